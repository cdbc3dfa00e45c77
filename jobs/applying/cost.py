"""What a run had on the wire, for the floor of calls to print beside what it made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from jobs.applying.budget import pushed
from jobs.applying.model import ApplyResult
from jobs.floors import Pushed, push_floor
from store import journal
from store.database import Database
from store.journal import JournalRow


def run_floor(database: Database, result: ApplyResult, connection: str, *, watched: Collection[str]) -> int:
    """The least calls the run could have made on a connection. `watched` fields are read back with their history."""
    with database.read() as conn:
        rows = [row for row in journal.of_plan(conn, result.plan_id) if row.run_id == result.run_id]
    rows = [row for row in rows if row.connection == connection]
    items = {row.id: _pushed(row, watched) for row in rows}
    return push_floor(connection, items.values(), canary=[items[row.id] for row in _canary(rows)])


def _canary(rows: Collection[JournalRow]) -> list[JournalRow]:
    """The rows that were sent first, where others of their lane had to wait for them."""
    began = min((row.created_at for row in rows), default="")
    first = [row for row in rows if row.created_at == began]
    lanes = {row.lane for row in first}
    return first if any(row.lane in lanes and row.created_at > began for row in rows) else []


def _pushed(row: JournalRow, watched: Collection[str]) -> Pushed:
    made = pushed(row.record_id, row.lane, row.pre_image, row.want, watched)
    return replace(made, deals=len(row.response["opportunities"]) if "opportunities" in row.response else None)
