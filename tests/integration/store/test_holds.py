"""Holds on file: those of rules are put there once, and are remembered for a while after they ended."""

from __future__ import annotations

from store.database import Database
from store.decisions import Decisions, Person

MARIA = Person(name="maria")
ROW = {
    "connection": "salesforce",
    "record_id": "1",
    "group": "ownership",
    "kind": "open_opportunity",
    "reason": "EXEMPT",
    "by": "rule",
    "until": "2026-04-15",
}


def past(decisions: Decisions, as_of: str) -> list[str]:
    return decisions.past_holds(as_of, since="2025-06-01", by="rule")["record_id"].to_pylist()


def test_a_hold_of_a_rule_is_put_on_file_once(database: Database) -> None:
    decisions = Decisions(database)
    assert decisions.add_holds([ROW], person=MARIA) == 1
    assert decisions.add_holds([ROW, {**ROW, "record_id": "2"}], person=MARIA) == 1
    assert decisions.holds("2026-01-01")["record_id"].to_pylist() == ["1", "2"]


def test_it_stands_to_the_end_of_its_last_day_and_is_remembered_then(database: Database) -> None:
    decisions = Decisions(database)
    decisions.add_holds([ROW], person=MARIA)
    assert (decisions.holds("2026-04-15").num_rows, past(decisions, "2026-04-15")) == (1, [])
    assert (decisions.holds("2026-04-16").num_rows, past(decisions, "2026-04-16")) == (0, ["1"])


def test_a_released_one_is_remembered_and_listed_with_its_end(database: Database) -> None:
    decisions = Decisions(database)
    decisions.add_holds([ROW], person=MARIA)
    assert decisions.release([("salesforce", "1")], group="ownership", person=MARIA, reason="signed") == 1
    assert past(decisions, "2026-01-01") == ["1"]
    [listed] = decisions.every_hold()
    assert (listed["released_by"], listed["kind"]) == ("maria", "open_opportunity")
