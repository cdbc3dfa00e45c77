"""Random steps over one installation, two runs against each other, and the same history from the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.drills.conftest import Places
from tests.drills.machine import Installation
from tests.drills.replay import crash_hash, duel_hash


def test_no_order_of_steps_breaks_a_promise() -> None:
    run_state_machine_as_test(
        Installation,
        settings=settings(
            max_examples=12,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_seed_has_the_same_history_every_time(tmp_path: Path, seed: int) -> None:
    places = Places(tmp_path, None)
    assert crash_hash(places(), seed) == crash_hash(places(), seed)


@pytest.mark.parametrize("seed", range(6))
def test_two_runs_at_one_plan_write_each_value_once_and_the_same_way_every_time(tmp_path: Path, seed: int) -> None:
    places = Places(tmp_path, None)
    assert duel_hash(places(), seed) == duel_hash(places(), seed)
