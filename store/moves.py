"""What was really moved in the CRMs lately: the verified writes of the journal, value by value."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from store.database import Database
from store.journal import JournalState
from store.tables import journal

_COLUMNS = ("plan_id", "run_id", "connection", "record_id", "pre_image", "want", "states", "at")


def moves_since(database: Database, since: str, *, plan_id: str = "") -> list[dict[str, Any]]:
    """Values verified at an instant or later, and all of one plan's, whenever: one row per value that changed.

    Keys: plan_id, run_id, connection, record_id, field, old, new, state ("" = written before states were kept), at.
    """
    wanted = (journal.c.at >= since) | (journal.c.plan_id == plan_id)
    query = sa.select(*(journal.c[name] for name in _COLUMNS)).where(journal.c.state == JournalState.VERIFIED, wanted)
    with database.read() as conn:
        rows = conn.execute(query.order_by(journal.c.at, journal.c.id)).all()
    about = ("plan_id", "run_id", "connection", "record_id", "at")
    return [
        {
            **{name: getattr(row, name) for name in about},
            "field": name,
            "old": row.pre_image.get(name),
            "new": value,
            "state": row.states.get(name, ""),
        }
        for row in rows
        for name, value in row.want.items()
        if row.pre_image.get(name) != value
    ]
