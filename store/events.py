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

    def of_plan(self, plan_id: str, *, part: int | None = None) -> tuple[Mapping[str, Any], ...]:
        """Events of a plan, or those of one digest of it; sorted by from-user, to-user, account."""
        query = sa.select(owner_event).where(owner_event.c.plan_id == plan_id)
        if part is not None:
            query = query.where(owner_event.c.digest_part == part)
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


def assign_part(conn: sa.Connection, plan_id: str) -> tuple[int, int]:
    """Give the plan's events that no digest tells yet to the next digest: its number from 1, and how many they are."""
    of_plan = owner_event.c.plan_id == plan_id
    last = conn.scalar(sa.select(sa.func.max(owner_event.c.digest_part)).where(of_plan)) or 0
    untold = of_plan & owner_event.c.digest_part.is_(None)
    return last + 1, conn.execute(sa.update(owner_event).where(untold).values(digest_part=last + 1)).rowcount
