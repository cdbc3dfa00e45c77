"""A person's edit just after our write, before anybody has read it back: neither lost, nor written over, nor untold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.errors import Fatal
from store import audit
from tests.drills.conftest import Places
from tests.drills.crm import HUMAN, SENT, HistoryTarget
from tests.drills.desk import SF, Desk, states
from tests.drills.world import Wanted, record_id, save_plan, values


def test_what_a_person_changes_just_after_our_write_is_an_edit_like_any_later_one(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=30)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "after_write" and record_id(SF, 0) in ids:
            desk.crm.edit(SF, record_id(SF, 0), {"owner": "human"})
        return ""

    result = desk.apply(hook=hook)
    assert result.is_complete
    first = result.items[0]
    assert (first.state, first.message) == ("verified", "written; then owner was changed by user human")
    assert desk.owner(0) == "human"
    desk.close()


def test_many_values_that_somebody_changes_just_after_our_write_halt_the_run(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=30)

    def hook(point: str, ids: Sequence[str]) -> str:
        for one in ids if point == "after_write" else ():
            desk.crm.edit(SF, one, {"owner": "a flow of its own"})
        return ""

    result = desk.apply(hook=hook)
    assert states(result).count("mismatch") == 10
    assert "read back as something else" in result.halted
    desk.close()


def test_a_write_whose_answer_was_lost_and_which_a_person_changed_since_is_in_the_audit(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=3)

    def hook(point: str, ids: Sequence[str]) -> str:
        if (
            point == "before_read"
            and desk.crm.requests()
            and not [one for one in desk.crm.history() if one[6] == HUMAN]
        ):
            desk.crm.edit(SF, record_id(SF, 1), {"owner": "human"})
        return "commit_then_reset" if point == "before_write" else ""

    result = desk.apply(hook=hook)
    assert result.is_complete
    assert desk.owner(1) == "human"
    with desk.database.read() as conn:
        told = {one["body"]["record_id"]: one["body"] for one in audit.entries(conn) if one["kind"] == "applied"}
    assert told[record_id(SF, 1)]["how"] == "in_doubt"
    assert "changed by user human" in told[record_id(SF, 1)]["message"]
    desk.close()


def test_a_write_that_never_came_and_a_persons_edit_are_told_apart_from_one_that_did(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=3)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_read" and desk.crm.touches()[-1:] == [(SF, record_id(SF, 2), SENT)]:
            desk.crm.edit(SF, record_id(SF, 1), {"owner": "human"})
        return "reset" if point == "before_write" else ""

    result = desk.apply(hook=hook)
    with desk.database.read() as conn:
        (told,) = [one["body"] for one in audit.entries(conn) if one["kind"] == "stale"]
    assert (result.items[1].state, told["record_id"], told["how"]) == ("stale", record_id(SF, 1), "ours")
    desk.close()


@pytest.mark.parametrize("fault", ["", "commit_then_reset"])
def test_a_person_who_puts_the_old_value_back_just_after_our_write_keeps_it(tmp_path: Path, fault: str) -> None:
    desk = Desk(Places(tmp_path, None)(), count=5)
    old, ours = values(SF, 1)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "after_write" and desk.owner(1) == ours:
            desk.crm.edit(SF, record_id(SF, 1), {"owner": old})
        return fault if point == "before_write" else ""

    result = desk.apply(hook=hook)
    assert result.is_complete
    assert "changed by user human" in result.items[1].message
    assert desk.apply().message  # already applied
    assert desk.owner(1) == old
    desk.close()


def test_a_value_that_was_ours_once_proves_nothing_about_a_later_write_of_it(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=5)
    old, ours = values(SF, 1)
    desk.apply()
    desk.crm.edit(SF, record_id(SF, 1), {"owner": old})
    wanted = Wanted(connection=SF, record_id=record_id(SF, 1), before=old, after=ours)
    desk.plan_id = save_plan(desk.place, [wanted], {SF: f"org-{SF}"})

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_read" and desk.crm.touches()[-1] == (SF, record_id(SF, 1), SENT):
            desk.crm.edit(SF, record_id(SF, 1), {"phone": "2"})
        return "reset" if point == "before_write" else ""

    result = desk.apply(hook=hook)
    with desk.database.read() as conn:
        (told,) = [one["body"] for one in audit.entries(conn) if one["kind"] == "stale"]
    assert (result.items[0].state, told["how"]) == ("stale", "lost")
    desk.close()


def test_where_no_history_can_be_read_the_audit_says_that_the_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(Places(tmp_path, None)(), count=3)

    def refuse(*_: object) -> None:
        raise Fatal("AccountHistory: no access", system=SF)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_read" and desk.crm.touches()[-1:] == [(SF, record_id(SF, 2), SENT)]:
            desk.crm.edit(SF, record_id(SF, 1), {"owner": "human"})
        return "commit_then_reset" if point == "before_write" else ""

    monkeypatch.setattr(HistoryTarget, "history", refuse)
    result = desk.apply(hook=hook)
    with desk.database.read() as conn:
        (told,) = [one["body"] for one in audit.entries(conn) if one["kind"] == "stale"]
    assert (result.items[1].state, told["record_id"], told["how"]) == ("stale", record_id(SF, 1), "lost")
    assert desk.owner(1) == "human"
    desk.close()
