"""One trial of death: several lives at one plan, each dying somewhere, judged from outside."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from tests.drills.judge import judge
from tests.drills.lives import Fate, killed, live, processes
from tests.drills.lives import child as one_life
from tests.drills.world import Place, make

LIVES = 5
POINTS = 90


class Crash(BaseException):
    """The process is gone: no handler of ours may catch it."""


def crash() -> None:
    raise Crash


def simulate(places: Callable[[], Place], seed: int) -> Counter[str]:
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
    finish(place, plan_id)
    return judge(place, plan_id)


def finish(place: Place, plan_id: str) -> None:
    """Two quiet runs more: rows that failed for good in a faulty life are tried again."""
    for life in (100, 101):
        live(place, plan_id, Fate(seed=0, faults=False, humans=False), life)


def kill(places: Callable[[], Place], seed: int, *, most: int = 3) -> int:
    """Lives in processes of their own, each ended by SIGKILL at a random point; how many were."""
    rng, place, context = random.Random(1_000 + seed), places(), processes()
    plan_id, kills = make(place), 0
    for life in range(2 * most + 2):
        arguments = (place, plan_id, rng.randrange(1 << 30), rng.randrange(5, POINTS), life)
        process = context.Process(target=one_life, args=arguments)
        process.start()
        kills += killed(process)
        process.close()
        if kills == most:
            break
    finish(place, plan_id)
    judge(place, plan_id)
    return kills
