"""Snapshots: what was seen of a source at one moment, immutable, with the cursor that continues from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from store.database import Database, StoreError
from store.files import ParquetFiles
from store.identifiers import new_id, next_number
from store.leases import Lease, require_epoch
from store.tables import agreed_part, plan, snapshot


class Status(StrEnum):
    """Whether a snapshot is looked at."""

    ACCEPTED = "accepted"  # part of the world
    HELD = "held"  # waits for a person
    REJECTED = "rejected"  # kept as evidence only


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One row of the register; `Snapshots.read` gives the table."""

    id: str
    source: str  # connection id or feed name
    object: str  # account, user, firm, ...
    position: int
    taken_at: str
    cursor: str | None
    complete: bool
    row_count: int
    sha256: str
    schema_hash: str
    status: Status
    verdict: Mapping[str, Any]  # facts behind the status
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows that lie in a file which no snapshot names yet."""

    sha256: str
    row_count: int
    schema_hash: str


class Snapshots:
    """The register of snapshots and their files."""

    def __init__(self, database: Database, files: ParquetFiles) -> None:
        self._database = database
        self._files = files

    def write(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Written:
        """Store rows as they come, in bounded memory; `save` makes the snapshot of it."""
        sha256, rows = self._files.write_batches(schema, batches)
        return Written(sha256=sha256, row_count=rows, schema_hash=schema_hash(schema))

    def save(
        self,
        source: str,
        object_: str,
        table: pa.Table | Written,
        *,
        cursor: str | None = None,
        complete: bool = True,
        meta: Mapping[str, Any] | None = None,
        status: Status = Status.ACCEPTED,
        verdict: Mapping[str, Any] | None = None,
        lease: Lease | None = None,
    ) -> Snapshot:
        """Store the table, then its row with the cursor in one transaction (under the lease, where one is given)."""
        kept = table if isinstance(table, Written) else self._written(table)
        with self._database.state() as conn:
            if lease is not None:
                require_epoch(conn, lease)
            saved = Snapshot(
                id=new_id("S"),
                source=source,
                object=object_,
                position=next_number(conn, "snapshot"),
                taken_at=self._database.now(),
                cursor=cursor,
                complete=complete,
                row_count=kept.row_count,
                sha256=kept.sha256,
                schema_hash=kept.schema_hash,
                status=status,
                verdict=dict(verdict or {}),
                meta=dict(meta or {}),
            )
            conn.execute(sa.insert(snapshot).values(**_columns(saved)))
        return saved

    def current(self, source: str, object_: str) -> Snapshot | None:
        """The newest accepted one. Its `cursor` is where the next pull goes on."""
        return self._accepted(source, object_, skip=0)

    def previous(self, source: str, object_: str) -> Snapshot | None:
        """The accepted one before the current one."""
        return self._accepted(source, object_, skip=1)

    def get(self, snapshot_id: str) -> Snapshot:
        """One by id."""
        found = self.list(snapshot_id=snapshot_id)
        if not found:
            raise StoreError(f"snapshot {snapshot_id}", "it does not exist", "See `platbook feeds list`")
        return found[0]

    def list(self, *, source: str = "", status: Status | None = None, snapshot_id: str = "") -> tuple[Snapshot, ...]:
        """Newest first."""
        query = sa.select(snapshot).order_by(snapshot.c.position.desc())
        for column, value in ((snapshot.c.source, source), (snapshot.c.status, status), (snapshot.c.id, snapshot_id)):
            if value:
                query = query.where(column == value)
        with self._database.read() as conn:
            return tuple(_snapshot(row) for row in conn.execute(query).mappings())

    def read(self, found: Snapshot) -> pa.Table:
        """Its table, after the bytes were checked."""
        return self._files.read(found.sha256)

    def judge(self, snapshot_id: str, status: Status, *, verdict: Mapping[str, Any]) -> Snapshot:
        """Accept or reject a held one; an accepted one becomes the current one."""
        with self._database.state() as conn:
            changed = conn.execute(
                sa.update(snapshot)
                .where(snapshot.c.id == snapshot_id, snapshot.c.status == Status.HELD)
                .values(status=status, verdict=dict(verdict), position=next_number(conn, "snapshot"))
            )
            if not changed.rowcount:
                fact = "it is not waiting for a decision"
                raise StoreError(f"snapshot {snapshot_id}", fact, "See `platbook feeds list`")
        return self.get(snapshot_id)

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """Delete files that no row of the state points to; how many."""
        with self._database.read() as conn:
            keep = pointed_at(conn)
        return self._files.sweep(keep, older_than_s=older_than_s)

    def _written(self, table: pa.Table) -> Written:
        sha256 = self._files.write(table)
        return Written(sha256=sha256, row_count=table.num_rows, schema_hash=schema_hash(table.schema))

    def _accepted(self, source: str, object_: str, *, skip: int) -> Snapshot | None:
        query = (
            sa.select(snapshot)
            .where(snapshot.c.source == source, snapshot.c.object == object_, snapshot.c.status == Status.ACCEPTED)
            .order_by(snapshot.c.position.desc())
            .offset(skip)
            .limit(1)
        )
        with self._database.read() as conn:
            row = conn.execute(query).mappings().one_or_none()
        return _snapshot(row) if row else None


def pointed_at(conn: sa.Connection) -> frozenset[str]:
    """sha256 of every file that a row of the state points to."""
    pointers = (
        snapshot.c.sha256,
        agreed_part.c.sha256,
        plan.c.items_sha256,
        plan.c.changes_sha256,
        plan.c.events_sha256,
    )
    return frozenset(value for column in pointers for value in conn.scalars(sa.select(column)))


def schema_hash(schema: pa.Schema) -> str:
    """What tells two column layouts apart; order counts."""
    text = "\n".join(f"{field.name}:{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()


def _snapshot(row: Mapping[Any, Any]) -> Snapshot:
    return Snapshot(**{**row, "status": Status(row["status"])})


def _columns(saved: Snapshot) -> dict[str, Any]:
    return {name: getattr(saved, name) for name in Snapshot.__dataclass_fields__}
