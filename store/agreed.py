"""Agreed values: what Platbook and the CRM last agreed on, per record and field. They move only inside an apply run.

A verified journal row is the move of a written value. Moves without a write are one Parquet part per apply run. The
table is the last compaction overlaid by parts and journal rows in the order of their positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from mappings.canonical import MANAGED
from store.database import Database
from store.files import ParquetFiles
from store.identifiers import new_id, next_number
from store.tables import agreed_part, journal
from sync.planning.decisions import AgreedMove

KEYS = ("connection", "record_id")
POSITION = "agreed"  # name of the counter
_WIDE = {**dict.fromkeys(KEYS, pl.String), **{f"{n}{s}": pl.String for n in MANAGED for s in ("", "__kind")}}
_LONG = {**dict.fromkeys((*KEYS, "field", "value", "kind"), pl.String), "position": pl.Int64, "order": pl.Int64}
_MOVE = pa.schema([(name, pa.string()) for name in (*KEYS, "field", "value", "kind")])


class Agreed:
    """The table of agreed values and the parts it is made of."""

    def __init__(self, database: Database, files: ParquetFiles) -> None:
        self._database = database
        self._files = files

    def table(self) -> pa.Table:
        """All agreed values, in the shape of sync.world.AGREED, sorted by key."""
        with self._database.read() as conn:
            frame, _ = self._frame(conn)
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    def stage(self, moves: Sequence[AgreedMove]) -> tuple[str, int] | None:
        """Write the moves' file before the transaction that commits them; None when there are none."""
        if not moves:
            return None
        columns = [pa.array([getattr(move, name) for move in moves], pa.string()) for name in _MOVE.names]
        return self._files.write(pa.table(columns, schema=_MOVE)), len(moves)

    def commit(self, conn: sa.Connection, staged: tuple[str, int] | None, *, run_id: str, plan_id: str) -> None:
        """Make staged moves the agreed values, in the caller's transaction."""
        if staged is None:
            return
        self._insert(conn, "moves", staged, position=next_number(conn, POSITION), owner=(run_id, plan_id))

    def has_moves(self, conn: sa.Connection, plan_id: str) -> bool:
        """True where a run of this plan has committed its moves."""
        query = sa.select(agreed_part.c.id).where(agreed_part.c.plan_id == plan_id, agreed_part.c.kind == "moves")
        return conn.execute(query.limit(1)).one_or_none() is not None

    def compact(self) -> int:
        """Fold parts and journal into one file, so that reading stays fast; rows in it. The table is unchanged."""
        with self._database.read() as conn:
            frame, position = self._frame(conn)
        staged = self._files.write(frame.to_arrow(compat_level=pl.CompatLevel.oldest())), frame.height
        with self._database.state() as conn:
            self._insert(conn, "compaction", staged, position=position, owner=("", ""))
        return frame.height

    def _insert(
        self, conn: sa.Connection, kind: str, staged: tuple[str, int], *, position: int, owner: tuple[str, str]
    ) -> None:
        conn.execute(
            sa.insert(agreed_part).values(
                id=new_id("A"),
                kind=kind,
                position=position,
                run_id=owner[0],
                plan_id=owner[1],
                sha256=staged[0],
                row_count=staged[1],
                at=self._database.now(),
            )
        )

    def _frame(self, conn: sa.Connection) -> tuple[pl.DataFrame, int]:
        latest = (
            sa.select(agreed_part).where(agreed_part.c.kind == "compaction").order_by(agreed_part.c.position.desc())
        )
        base = conn.execute(latest.limit(1)).mappings().one_or_none()
        since = base["position"] if base else 0
        wide = pl.DataFrame(schema=_WIDE)
        if base:
            wide = _polars(self._files.read(base["sha256"])).select(
                pl.col(name) if name in self._names(base) else pl.lit(None, pl.String).alias(name) for name in _WIDE
            )
        moves = pl.concat([*self._parts(conn, since), _journal_moves(conn, since)])
        position = max([since, *moves["position"].unique().to_list()])
        return _overlay(wide, moves), position

    def _names(self, base: Any) -> set[str]:
        return set(self._files.read(base["sha256"]).schema.names)

    def _parts(self, conn: sa.Connection, since: int) -> list[pl.DataFrame]:
        query = sa.select(agreed_part).where(agreed_part.c.kind == "moves", agreed_part.c.position > since)
        return [
            _polars(self._files.read(row["sha256"])).select(
                *_MOVE.names, position=pl.lit(row["position"], pl.Int64), order=pl.int_range(pl.len(), dtype=pl.Int64)
            )
            for row in conn.execute(query.order_by(agreed_part.c.position)).mappings()
        ]


def _journal_moves(conn: sa.Connection, since: int) -> pl.DataFrame:
    query = sa.select(journal.c.connection, journal.c.record_id, journal.c.verified_value, journal.c.position).where(
        journal.c.state == "verified", journal.c.position > since
    )
    rows = [
        (row.connection, row.record_id, name, value, "empty" if value is None else "value", row.position, 0)
        for row in conn.execute(query)
        for name, value in row.verified_value.items()
    ]
    return pl.DataFrame(rows, schema=_LONG, orient="row")


def _overlay(wide: pl.DataFrame, moves: pl.DataFrame) -> pl.DataFrame:
    last = moves.sort("position", "order").unique([*KEYS, "field"], keep="last", maintain_order=True)
    for name in MANAGED:
        new = last.filter(pl.col("field") == name).select(*KEYS, new_value="value", new_kind="kind")
        if not new.height:
            continue
        kind, moved = f"{name}__kind", pl.col("new_kind").is_not_null()
        wide = (
            wide.join(new, on=KEYS, how="full", coalesce=True)
            .with_columns(
                pl.when(moved).then("new_value").otherwise(name).alias(name),
                pl.when(moved).then("new_kind").otherwise(kind).alias(kind),
            )
            .drop("new_value", "new_kind")
        )
    return wide.select(list(_WIDE)).sort(*KEYS)


def _polars(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    return frame
