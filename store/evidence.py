"""What the state shows was done: counts for the roadmap, and holds that outlived their last day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from store.database import Database
from store.tables import audit, hold, outbox, plan, routing_decision

_HOLD = ("connection", "record_id", "group", "kind", "reason", "by", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Counts of what was really done."""

    applied_plans: int  # wholly or in part
    routed_leads: int
    mails: int  # sent
    audit_entries: int


def done(database: Database) -> Done:
    """What the state shows. Read-only."""
    applied = plan.c.status.in_(["applied", "partially_applied"])
    with database.read() as conn:
        return Done(
            applied_plans=_count(conn, plan, applied),
            routed_leads=_count(conn, routing_decision),
            mails=_count(conn, outbox, outbox.c.sent_at.is_not(None)),
            audit_entries=_count(conn, audit),
        )


def expired_holds(database: Database, as_of: str) -> tuple[Mapping[str, Any], ...]:
    """Holds that ended before the date and that nobody released, oldest first."""
    query = sa.select(*(hold.c[name] for name in _HOLD)).where(hold.c.released_at.is_(None), hold.c.until < as_of)
    with database.read() as conn:
        return tuple(dict(row) for row in conn.execute(query.order_by(hold.c.until, hold.c.record_id)).mappings())


def _count(conn: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return int(conn.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0)
