"""The crosswalk: which account a record or a firm belongs to, kept for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from store.database import Database
from store.tables import crosswalk

SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "source_id", "account_id", "how")])
_KNOWN = "crosswalk"  # how: the link came from here
SAVED = SCHEMA.append(pa.field("evidence", pa.string()))
"""What a run gives to keep: the links, and what they were made on."""
_INSERTED_AT_ONCE = 10_000


class Crosswalk:
    """Links by (source, source id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def table(self) -> pa.Table:
        """All links, in the shape of sync.world.CROSSWALK, sorted by key."""
        with self._database.read() as conn:
            return _links(conn)

    def save(self, links: pa.Table, *, decided_by: str = "rules") -> int:
        """Add new links and move those whose account changed; how many of both. A known link stays as it is."""
        with self._database.state() as conn:
            new, moved = _compared(_shaped(links), _links(conn))
            for row in moved.to_pylist():
                key = (crosswalk.c.source == row["source"]) & (crosswalk.c.source_id == row["source_id"])
                conn.execute(sa.update(crosswalk).where(key).values(**self._row(row, decided_by)))
            for batch in new.to_batches(max_chunksize=_INSERTED_AT_ONCE):
                conn.execute(sa.insert(crosswalk), [self._row(row, decided_by) for row in batch.to_pylist()])
        return int(new.num_rows + moved.num_rows)

    def evidence(self, source: str, source_id: str) -> str | None:
        """The evidence of the run that made a link, as JSON; None where none was kept."""
        key = (crosswalk.c.source == source) & (crosswalk.c.source_id == source_id)
        with self._database.read() as conn:
            found: str | None = conn.execute(sa.select(crosswalk.c.evidence).where(key)).scalar_one_or_none()
        return found

    def _row(self, row: Mapping[str, Any], decided_by: str) -> dict[str, Any]:
        return {**row, "decided_by": decided_by, "decided_at": self._database.now()}


def _shaped(links: pa.Table) -> pa.Table:
    if "evidence" not in links.column_names:
        links = links.append_column("evidence", pa.nulls(links.num_rows, pa.string()))
    return links.select(SAVED.names).cast(SAVED)


def _links(conn: sa.Connection) -> pa.Table:
    query = sa.select(*(crosswalk.c[name] for name in SCHEMA.names)).order_by(crosswalk.c.source, crosswalk.c.source_id)
    rows = conn.execute(query).all()
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(list(column), pa.string()) for column in columns], schema=SCHEMA)


def _compared(links: pa.Table, known: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Links that are new and links whose account is another than the known one; a million links hardly ever differ."""
    before = known.select(["source", "source_id", "account_id"]).rename_columns(["source", "source_id", "before"])
    both = links.join(before, ["source", "source_id"], join_type="left outer")
    is_new = pc.is_null(both["before"])
    is_moved = pc.and_(pc.not_equal(both["account_id"], both["before"]), pc.not_equal(both["how"], _KNOWN))
    order = [("source", "ascending"), ("source_id", "ascending")]
    new, moved = (both.filter(mask).select(SAVED.names).sort_by(order) for mask in (is_new, is_moved))
    return new, moved
