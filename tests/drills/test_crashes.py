"""Death at any point of an apply run, while the CRM loses answers and persons edit: nothing lost, nothing twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.drills.conftest import Places
from tests.drills.judge import judge
from tests.drills.lives import Fate, killed, live, processes
from tests.drills.lives import child as one_life
from tests.drills.world import Place, make

SEEDS = Path(__file__).parent / "seeds" / "crashes.txt"
FAILED_BEFORE = [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line and not line.startswith("#")]
LIVES = 5
POINTS = 90


class Crash(BaseException):
    """The process is gone: no handler of ours may catch it."""


def crash() -> None:
    raise Crash


def simulate(places: Places, seed: int) -> Counter[str]:
    """Several lives in one process: each dies with an exception that nothing catches, and all objects are dropped."""
    rng, place = random.Random(seed), places()
    plan_id = make(place)
    for life in range(LIVES):
        die_at = rng.randrange(1, POINTS) if life < LIVES - 1 else 0
        fate = Fate(seed=rng.randrange(1 << 30), die_at=die_at, die=crash, faults=life < LIVES - 1)
        try:
            live(place, plan_id, fate, life)
        except Crash:
            continue
    _finish(place, plan_id)
    return judge(place, plan_id)


def _finish(place: Place, plan_id: str) -> None:
    """Two quiet runs more: rows that failed for good in a faulty life are tried again."""
    for life in (100, 101):
        live(place, plan_id, Fate(seed=0, faults=False, humans=False), life)


@pytest.mark.parametrize("seed", [*FAILED_BEFORE, *range(14)])
def test_dying_at_any_point_loses_nothing_and_writes_nothing_twice(new_place: Places, seed: int) -> None:
    simulate(new_place, seed)  # a seed that fails goes into SEEDS, with a word about the cause


@pytest.mark.parametrize("seed", range(4))
def test_sigkill_at_random_points_loses_nothing_and_writes_nothing_twice(new_place: Places, seed: int) -> None:
    rng, place, context = random.Random(1_000 + seed), new_place(), processes()
    plan_id, kills = make(place), 0
    for life in range(8):
        arguments = (place, plan_id, rng.randrange(1 << 30), rng.randrange(5, POINTS), life)
        process = context.Process(target=one_life, args=arguments)
        process.start()
        kills += killed(process)
        process.close()
        if kills == 3:
            break
    _finish(place, plan_id)
    judge(place, plan_id)
    assert kills > 0
