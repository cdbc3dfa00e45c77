"""Whose books win where two are merged: each reason in its turn, and nobody where none tells them apart."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import RepPolicy
from sync.territory.books import books_of, winner, winning_books
from sync.world import INT, TEXT
from tests.fixtures.small_world import world

ENGINE = PolarsEngine()
WINNER = winner(load().policies)
HEADER = {"id": "reps", "version": 1, "owner": "o", "effective_from": "2020-01-01"}
SCHEMA = dict.fromkeys(("connection", "record_id", "owner", "email", "account_id", "unit"), TEXT) | {"open_cents": INT}
ANN, BOB = "ann@x.example", "bob@x.example"


def record(name: str, owner: str, open_cents: int = 0, unit: str = "S") -> dict[str, Any]:
    """A record of a system's member; the system's own record is called like the system."""
    email = {"U1": ANN, "U2": BOB}[owner]
    key = {"connection": "salesforce", "record_id": name, "account_id": name}
    return {**key, "owner": owner, "email": email, "unit": unit, "open_cents": open_cents}


AS_OF = "2026-01-15"


def wins(
    *records: dict[str, Any], capacity: int = 0, since: str = "", ann: Any = None, bob: Any = None, **tables: Any
) -> dict[str, str]:
    """Unit -> who wins; ANN has a limit of open deals and a day she began, where given."""
    ann = {"email": ANN, "name": "Ann", "role": "PRIMARY", "capacity": capacity, "since": since, **(ann or {})}
    bob = {"email": BOB, "name": "Bob", "role": "PRIMARY", **(bob or {})}
    reps = RepPolicy.model_validate({"policy": HEADER, "reps": [ann, bob]})
    held = ENGINE.table(list(records), SCHEMA)
    found = winning_books(books_of(held), held, world(**tables), WINNER, reps, AS_OF, ENGINE)
    return {row["unit"]: row["email"] for row in ENGINE.rows(found)}


def changed(name: str, user: str, day: str) -> dict[str, Any]:
    key = {"connection": "salesforce", "record_id": name, "field": "owner"}
    return {**key, "new_value": user, "changed_at": f"{day}T00:00:00.000Z"}


def test_the_policy_ranks_acquirer_pipeline_tenure_capacity() -> None:
    assert WINNER == ("acquirer_owner", "open_pipeline", "tenure", "capacity")


def test_the_owner_of_the_acquiring_system_wins_over_any_pipeline() -> None:
    assert wins(record("S", "U2"), record("A", "U1", 900)) == {"S": BOB}


def test_then_the_larger_open_pipeline() -> None:
    assert wins(record("A", "U1", 100), record("B", "U2", 60), record("C", "U2", 60)) == {"S": BOB}


def test_then_the_longer_tenure_of_ownership_else_of_the_role() -> None:
    history = [changed("A", "U1", "2024-01-01"), changed("B", "U2", "2023-01-01")]
    assert wins(record("A", "U1"), record("B", "U2"), field_changes=history) == {"S": BOB}
    assert wins(record("A", "U1"), record("B", "U2"), since="2020-01-01") == {"S": ANN}


def test_then_whoever_has_more_capacity_left() -> None:
    assert wins(record("A", "U1"), record("B", "U2"), capacity=5) == {"S": BOB}  # no limit is more than five


@pytest.mark.parametrize(("ramp_until", "expected"), [("2026-01-16", BOB), ("2026-01-15", ANN)])
def test_R62_who_ramps_up_has_a_part_of_the_capacity_left(ramp_until: str, expected: str) -> None:
    ann, bob = {"capacity": 10, "ramp_until": ramp_until}, {"capacity": 6}  # half of ten is less than six
    assert wins(record("A", "U1"), record("B", "U2"), ann=ann, bob=bob) == {"S": expected}


def test_R62_open_work_is_taken_from_the_part_that_is_there_while_ramping_up() -> None:
    ann, bob = {"capacity": 10, "ramp_until": "2026-02-01"}, {"capacity": 4}
    deals = [
        {"connection": "salesforce", "opportunity_id": f"O{n}", "record_id": "A", "owner": "U1", "is_closed": False}
        for n in range(2)
    ]
    books = (record("A", "U1"), record("B", "U2"))
    assert wins(*books, ann=ann, bob=bob) == {"S": ANN}  # five against four
    assert wins(*books, ann=ann, bob=bob, opportunities=deals) == {"S": BOB}  # three against four


@pytest.mark.parametrize(("back", "expected"), [("2026-01-16", BOB), ("2026-01-15", ANN), ("", BOB)])
def test_who_is_on_leave_has_no_capacity_left(back: str, expected: str) -> None:
    ann = {"capacity": 10, "leave_from": "2026-01-01", "leave_to": back}
    assert wins(record("A", "U1"), record("B", "U2"), ann=ann, bob={"capacity": 6}) == {"S": expected}


def test_nobody_wins_where_nothing_tells_them_apart_or_nobody_contests() -> None:
    assert wins(record("A", "U1"), record("B", "U2")) == {}
    assert wins(record("A", "U1", 5), record("B", "U1", 7)) == {}


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [record("A", "U1", 10), record("B", "U2", 20), record("X", "U1", 5, "T"), record("Y", "U2", 1, "T")]
    assert wins(*rows) == wins(*rows[::-1]) == {"S": BOB, "T": ANN}
