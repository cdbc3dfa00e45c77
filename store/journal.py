"""The journal: one row per item that is really sent, written before the wire. A verified row moves the agreed value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from store.agreed import POSITION
from store.identifiers import next_number
from store.tables import journal, plan

Values = Mapping[str, str | None]
"""Canonical field to canonical text; None = empty."""


class JournalState(StrEnum):
    """How far a write has come."""

    INTENT = "intent"  # about to be sent, or sent without a known answer
    SENT = "sent"  # the CRM says it was written; not read back yet
    VERIFIED = "verified"  # read back equal
    STALE = "stale"  # the record had moved; not written
    FAILED = "failed"  # refused or given up; not written
    MISMATCH = "mismatch"  # written, and read back as something else


IN_DOUBT = (JournalState.INTENT, JournalState.SENT)
"""States after which only reading the CRM tells what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One write of one item."""

    id: str
    plan_id: str
    item_id: str
    run_id: str
    connection: str
    record_id: str
    lane: str
    pre_image: Values  # just before the write
    want: Values
    version: str  # of the record just before the write
    epoch: int
    state: JournalState = JournalState.INTENT
    attempt: int = 1
    states: Values = field(default_factory=dict)  # by field, the row of the decision table that led here
    response: Mapping[str, Any] = field(default_factory=dict)
    verified_value: Values = field(default_factory=dict)
    position: int | None = None
    created_at: str = ""
    at: str = ""


def idempotency_key(plan_id: str, item_id: str) -> str:
    """The key of an item's write; the same for every attempt."""
    return "W-" + hashlib.sha256(f"{plan_id}:{item_id}".encode()).hexdigest()[:24]


def write_intents(conn: sa.Connection, rows: Sequence[JournalRow], *, at: str) -> tuple[JournalRow, ...]:
    """Commit what is about to be sent, in the caller's transaction; a known item's row counts one attempt more.

    A row that was verified before is never touched again: asking for it is a broken promise and raises.
    """
    before = _by_id(conn, [row.id for row in rows])
    written, new = [], []
    for row in rows:
        known = before.get(row.id)
        if known is None:
            row = replace(row, state=JournalState.INTENT, created_at=at, at=at)
            new.append(_columns(row))
        elif known.state is JournalState.VERIFIED:
            raise ValueError(f"journal row {row.id}: it is verified and cannot be sent again")
        else:
            row = replace(row, state=JournalState.INTENT, attempt=known.attempt + 1, created_at=known.created_at, at=at)
            conn.execute(sa.update(journal).where(journal.c.id == row.id).values(**_columns(row)))
        written.append(row)
    if new:
        conn.execute(sa.insert(journal), new)
    return tuple(written)


def settle(conn: sa.Connection, rows: Sequence[JournalRow], *, at: str) -> None:
    """Store new states of in-doubt rows, in the caller's transaction; verified rows get their place in the order."""
    position = next_number(conn, POSITION) if any(row.state is JournalState.VERIFIED for row in rows) else None
    for row in rows:
        values = {
            "state": row.state,
            "response": dict(row.response),
            "verified_value": dict(row.verified_value),
            "position": position if row.state is JournalState.VERIFIED else None,
            "at": at,
        }
        expected = (journal.c.id == row.id) & journal.c.state.in_(IN_DOUBT)
        if not conn.execute(sa.update(journal).where(expected).values(**values)).rowcount:
            raise ValueError(f"journal row {row.id}: it was settled before")


def in_doubt(conn: sa.Connection, connection: str) -> tuple[JournalRow, ...]:
    """Rows of a connection whose fate only the CRM knows, in the order of their writing."""
    query = sa.select(journal).where(journal.c.connection == connection, journal.c.state.in_(IN_DOUBT))
    rows = conn.execute(query.order_by(journal.c.created_at, journal.c.id)).mappings()
    return tuple(_journal_row(row) for row in rows)


def unfinished_plans(conn: sa.Connection) -> dict[str, set[str]]:
    """Plans under the status of a running apply, or with rows in doubt, and the connections of those rows."""
    found: dict[str, set[str]] = {
        plan_id: set() for plan_id in conn.scalars(sa.select(plan.c.id).where(plan.c.status == "applying"))
    }
    query = sa.select(journal.c.plan_id, journal.c.connection).where(journal.c.state.in_(IN_DOUBT)).distinct()
    for row in conn.execute(query):
        found.setdefault(row.plan_id, set()).add(row.connection)
    return found


def find(conn: sa.Connection, ids: Sequence[str]) -> Mapping[str, JournalRow]:
    """The rows that are there, by id."""
    return _by_id(conn, ids)


def written_before(conn: sa.Connection, row: JournalRow) -> tuple[JournalRow, ...]:
    """Other rows of the record that the CRM has taken."""
    taken = journal.c.state.in_((JournalState.SENT, JournalState.VERIFIED, JournalState.MISMATCH))
    same = (journal.c.connection == row.connection) & (journal.c.record_id == row.record_id) & (journal.c.id != row.id)
    return tuple(_journal_row(one) for one in conn.execute(sa.select(journal).where(same, taken)).mappings())


def of_plan(conn: sa.Connection, plan_id: str) -> tuple[JournalRow, ...]:
    """All rows of a plan."""
    query = sa.select(journal).where(journal.c.plan_id == plan_id).order_by(journal.c.created_at, journal.c.id)
    return tuple(_journal_row(row) for row in conn.execute(query).mappings())


def of_run(conn: sa.Connection, run_id: str) -> tuple[JournalRow, ...]:
    """All rows that a run had the last word on."""
    query = sa.select(journal).where(journal.c.run_id == run_id).order_by(journal.c.created_at, journal.c.id)
    return tuple(_journal_row(row) for row in conn.execute(query).mappings())


def versions_ended(conn: sa.Connection, connection: str, *, since: str) -> dict[str, str]:
    """By record id, the version that the last write since then found and ended; "" where the CRM gave none."""
    query = sa.select(journal.c.record_id, journal.c.version).where(
        journal.c.connection == connection, journal.c.state == JournalState.VERIFIED, journal.c.at >= since
    )
    return {row.record_id: row.version for row in conn.execute(query.order_by(journal.c.position))}


def read_back(conn: sa.Connection, connection: str, *, since: str) -> dict[str, dict[str, str | None]]:
    """By record id, the values that were read back after writes since then; the newest of each field."""
    query = sa.select(journal.c.record_id, journal.c.verified_value).where(
        journal.c.connection == connection,
        journal.c.state.in_((JournalState.VERIFIED, JournalState.MISMATCH)),
        journal.c.at > since,
    )
    found: dict[str, dict[str, str | None]] = {}
    for row in conn.execute(query.order_by(journal.c.at, journal.c.created_at, journal.c.id)):
        found.setdefault(row.record_id, {}).update(row.verified_value)
    return found


def of_item(conn: sa.Connection, item_id: str) -> tuple[JournalRow, ...]:
    """All rows of an item, oldest first: one per plan that sent it."""
    query = sa.select(journal).where(journal.c.item_id == item_id).order_by(journal.c.created_at, journal.c.id)
    return tuple(_journal_row(row) for row in conn.execute(query).mappings())


def _by_id(conn: sa.Connection, ids: Sequence[str]) -> dict[str, JournalRow]:
    found: dict[str, JournalRow] = {}
    for start in range(0, len(ids), 500):
        query = sa.select(journal).where(journal.c.id.in_(ids[start : start + 500]))
        found.update({row["id"]: _journal_row(row) for row in conn.execute(query).mappings()})
    return found


def _journal_row(row: Mapping[Any, Any]) -> JournalRow:
    return JournalRow(**{**row, "state": JournalState(row["state"])})


def _columns(row: JournalRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in JournalRow.__dataclass_fields__}
    for name in ("pre_image", "want", "states", "response", "verified_value"):
        values[name] = dict(values[name])
    return values
