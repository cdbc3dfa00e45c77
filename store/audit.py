"""The audit log: a hash chain of everything that was decided and done.

A row's hash covers its content and the hash before it; the head row keeps length and last hash, so a changed, removed,
inserted, reordered or cut-off row shows. Rows are appended inside the transaction they speak of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from store.database import Database
from store.tables import audit, audit_head

GENESIS = "0" * 64
_FIELDS = ("seq", "at", "kind", "actor", "run_id", "plan_id", "item_id", "body")
_PAGE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened."""

    kind: str  # applied, mismatch, decision, guard_accepted, plan_saved, ...
    actor: str
    run_id: str = ""
    plan_id: str = ""
    item_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking the chain found."""

    is_intact: bool
    rows: int
    first_bad_seq: int | None = None
    fact: str = ""


def append(conn: sa.Connection, entries: Sequence[Entry], *, at: str) -> None:
    """Add the entries in order, in the caller's transaction."""
    if not entries:
        return
    head = conn.execute(sa.select(audit_head).with_for_update()).mappings().one()
    seq, previous, rows = head["seq"], head["hash"], []
    for entry in entries:
        seq += 1
        row = _row(entry, seq=seq, at=at, previous=previous)
        previous = row["hash"]
        rows.append(row)
    conn.execute(sa.insert(audit), rows)
    conn.execute(sa.update(audit_head).values(seq=seq, hash=previous))


def head(conn: sa.Connection) -> tuple[int, str]:
    """Position and hash of the newest row; 0 and zeros for an empty log."""
    row = conn.execute(sa.select(audit_head)).mappings().one()
    return row["seq"], row["hash"]


def hash_at(conn: sa.Connection, seq: int) -> str | None:
    """Hash of one row; None where the log does not reach that far."""
    if seq == 0:
        return GENESIS
    return conn.scalar(sa.select(audit.c.hash).where(audit.c.seq == seq))


def entries(conn: sa.Connection, *, run_id: str = "", plan_id: str = "") -> Iterator[dict[str, Any]]:
    """Rows in order, `body` decoded; all of them, or those of one run or plan."""
    query = sa.select(audit).order_by(audit.c.seq)
    if run_id:
        query = query.where(audit.c.run_id == run_id)
    if plan_id:
        query = query.where(audit.c.plan_id == plan_id)
    for row in conn.execute(query).mappings():
        yield {**row, "body": json.loads(row["body"])}


def newest(conn: sa.Connection, *, limit: int) -> list[dict[str, Any]]:
    """The last rows in order, `body` decoded."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
    rows = conn.execute(query).mappings().all()
    return [{**row, "body": json.loads(row["body"])} for row in reversed(rows)]


def verify(database: Database) -> Verification:
    """Check every row of the chain and its length. Read-only."""
    with database.read() as conn:
        head = conn.execute(sa.select(audit_head)).mappings().one()
        expected, previous = 1, GENESIS
        for row in _pages(conn):
            fact = _fault(row, expected, previous)
            if fact:
                return Verification(
                    is_intact=False, rows=expected - 1, first_bad_seq=min(row["seq"], expected), fact=fact
                )
            expected, previous = expected + 1, row["hash"]
        if (head["seq"], head["hash"]) != (expected - 1, previous):
            fact = f"the log ends at row {expected - 1}, its head names row {head['seq']}"
            return Verification(is_intact=False, rows=expected - 1, first_bad_seq=expected, fact=fact)
    return Verification(is_intact=True, rows=expected - 1)


def _pages(conn: sa.Connection) -> Iterator[sa.RowMapping]:
    last: int | None = None
    while True:
        query = sa.select(audit).order_by(audit.c.seq).limit(_PAGE)
        page = conn.execute(query if last is None else query.where(audit.c.seq > last)).mappings().all()
        if not page:
            return
        yield from page
        last = page[-1]["seq"]


def _fault(row: Mapping[Any, Any], expected: int, previous: str) -> str:
    if row["seq"] != expected:
        return f"row {expected} is missing, row {row['seq']} stands in its place"
    if row["previous_hash"] != previous:
        return f"row {expected} does not follow the row before it"
    if row["hash"] != _hash(row, previous):
        return f"row {expected} was changed after it was written"
    return ""


def _row(entry: Entry, *, seq: int, at: str, previous: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "seq": seq,
        "at": at,
        "kind": entry.kind,
        "actor": entry.actor,
        "run_id": entry.run_id,
        "plan_id": entry.plan_id,
        "item_id": entry.item_id,
        "body": json.dumps(entry.body, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
        "previous_hash": previous,
    }
    return {**row, "hash": _hash(row, previous)}


def _hash(row: Mapping[Any, Any], previous: str) -> str:
    digest = hashlib.sha256(previous.encode("ascii"))
    for name in _FIELDS:
        text = str(row[name]).encode()
        digest.update(b"%d:" % len(text) + text)
    return digest.hexdigest()
