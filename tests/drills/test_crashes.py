"""Death at any point of an apply run, while the CRM loses answers and persons edit: nothing lost, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.conftest import Places
from tests.drills.trials import kill, simulate

SEEDS = Path(__file__).parent / "seeds" / "crashes.txt"
FAILED_BEFORE = [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", [*FAILED_BEFORE, *range(14)])
def test_dying_at_any_point_loses_nothing_and_writes_nothing_twice(new_place: Places, seed: int) -> None:
    simulate(new_place, seed)  # a seed that fails goes into SEEDS, with a word about the cause


@pytest.mark.parametrize("seed", range(9))
def test_sigkill_at_random_points_loses_nothing_and_writes_nothing_twice(new_place: Places, seed: int) -> None:
    assert kill(new_place, seed) > 0
