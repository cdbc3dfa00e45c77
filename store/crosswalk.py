"""The crosswalk: which account a record or a firm belongs to, kept for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from store.database import Database
from store.tables import crosswalk

SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "source_id", "account_id", "how")])
_KNOWN = "crosswalk"  # how: the link came from here


class Crosswalk:
    """Links by (source, source id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def table(self) -> pa.Table:
        """All links, in the shape of sync.world.CROSSWALK, sorted by key."""
        query = sa.select(*(crosswalk.c[name] for name in SCHEMA.names)).order_by(
            crosswalk.c.source, crosswalk.c.source_id
        )
        with self._database.read() as conn:
            rows = conn.execute(query).all()
        columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
        return pa.table([pa.array(list(column), pa.string()) for column in columns], schema=SCHEMA)

    def save(self, links: pa.Table, *, decided_by: str = "rules") -> int:
        """Add new links and move those whose account changed; how many of both. A known link stays as it is."""
        with self._database.state() as conn:
            query = sa.select(crosswalk.c.source, crosswalk.c.source_id, crosswalk.c.account_id)
            known = {(row.source, row.source_id): row.account_id for row in conn.execute(query)}
            new, moved = [], []
            for row in links.select(SCHEMA.names).to_pylist():
                account_id = known.get((row["source"], row["source_id"]))
                if account_id is None:
                    new.append(self._row(row, decided_by))
                elif account_id != row["account_id"] and row["how"] != _KNOWN:
                    moved.append(self._row(row, decided_by))
            for row in moved:
                key = (crosswalk.c.source == row["source"]) & (crosswalk.c.source_id == row["source_id"])
                conn.execute(sa.update(crosswalk).where(key).values(**row))
            if new:
                conn.execute(sa.insert(crosswalk), new)
        return len(new) + len(moved)

    def _row(self, row: Mapping[str, Any], decided_by: str) -> dict[str, Any]:
        return {**row, "decided_by": decided_by, "decided_at": self._database.now()}
