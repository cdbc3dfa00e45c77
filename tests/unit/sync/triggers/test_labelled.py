"""Real hospitals of two days: every move between systems is found, and nothing that was only renamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.events import Judged, judge

DATA = Path(os.environ.get("PLATBOOK_LABELLED_DATA", str(Path(__file__).parents[5] / "shared" / "data")))

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(
        not (DATA / "truth/events_2020_2022.csv").is_file(),
        reason="the labelled hospitals are not beside this checkout; set PLATBOOK_LABELLED_DATA to their folder",
    ),
]


@pytest.fixture(scope="module")
def judged() -> Judged:
    return judge(DATA)


def test_every_move_between_systems_is_found_with_both_systems(judged: Judged) -> None:
    moves = [event for event in judged.true.values() if event.kind == "moved_system"]
    assert len(moves) > 200
    assert judged.misses("moved_system") == []
    found = [judged.found[event.firm_id] for event in moves]
    assert all(event.old and event.new and event.old != event.new for event in found)


def test_nothing_that_was_only_renamed_is_an_event(judged: Judged) -> None:
    assert sorted(judged.renamed_only & judged.found.keys() - judged.true.keys()) == []
    assert judged.extras("moved_system") == []


def test_a_certificate_number_issued_anew_loses_no_account(judged: Judged) -> None:
    lost = {i: p for i, p in judged.reissued.items() if p[0] and p[0] != p[1] and p[1] not in judged.accounts_before}
    assert lost == {}
