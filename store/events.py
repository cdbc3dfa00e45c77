"""Owner events: ownership changes that were really applied. The digest mail is made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from store.database import Database
from store.identifiers import new_id
from store.tables import owner_event

_TEXTS = ("item_id", "connection", "record_id", "account_id", "account_name", "kind")
_OPTIONAL = ("old_system", "new_system", "from_user", "to_user")


class OwnerEvents:
    """The register of applied ownership changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_plan(self, plan_id: str) -> tuple[Mapping[str, Any], ...]:
        """Events of a plan, sorted by from-user, to-user, account."""
        query = sa.select(owner_event).where(owner_event.c.plan_id == plan_id)
        with self._database.read() as conn:
            rows = [dict(row) for row in conn.execute(query).mappings()]
        return tuple(
            sorted(rows, key=lambda row: [row[name] or "" for name in ("from_user", "to_user", "account_id", "id")])
        )


def add(conn: sa.Connection, events: Sequence[Mapping[str, Any]], *, plan_id: str, run_id: str, at: str) -> None:
    """Add events given in the shape of sync.world.OWNERSHIP_EVENTS, in the caller's transaction."""
    rows = [
        {
            "id": new_id("E"),
            "plan_id": plan_id,
            "run_id": run_id,
            "at": at,
            **{name: event.get(name) or "" for name in _TEXTS},
            **{name: event.get(name) for name in _OPTIONAL},
        }
        for event in events
    ]
    if rows:
        conn.execute(sa.insert(owner_event), rows)


def count(conn: sa.Connection, plan_id: str) -> int:
    """How many events of a plan were applied."""
    query = sa.select(sa.func.count()).select_from(owner_event).where(owner_event.c.plan_id == plan_id)
    return int(conn.scalar(query) or 0)
