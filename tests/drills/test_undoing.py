"""An undo puts back what nobody touched, accounts with a team too, and leaves to a person what somebody changed."""

from __future__ import annotations

from pathlib import Path

from sandbox.server import Sandbox
from tests.drills.undoing import undo_trial


def test_an_undo_restores_all_but_what_persons_changed(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        found = undo_trial(tmp_path / "market", sandbox, systems=6, edits=8, seed=2)
    assert (found.restored, found.conflicts) == (found.records - 8, 8)
    assert (found.overwritten, found.other) == (0, 0)
    assert min(found.owners, found.parents, found.teams) > 0
