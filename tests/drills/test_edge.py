"""No change is missed at the edge of a pull."""

from __future__ import annotations

from pathlib import Path

from sandbox.server import Sandbox
from tests.drills.edge import edits_during_pulls


def test_what_persons_edit_while_a_pull_runs_is_known_after_the_next(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        edits, unlike = edits_during_pulls(tmp_path / "market", sandbox, seed=1)
    assert edits > 20
    assert unlike == 0
