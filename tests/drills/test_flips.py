"""A stored plan is applied as it was saved or not at all."""

from __future__ import annotations

from tests.drills.conftest import Places
from tests.drills.flips import flip_all


def test_a_plan_with_one_byte_changed_anywhere_is_refused_and_nothing_is_written(new_place: Places) -> None:
    found = flip_all(new_place(), stride=67)
    assert set(found) == {"files: refused", "row: refused"}
