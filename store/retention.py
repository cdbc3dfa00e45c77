"""Retention: old snapshots go once nothing needs them; plans, journal and audit stay, so an old run can be undone."""

from __future__ import annotations

import sqlalchemy as sa

from store import audit
from store.database import Database
from store.decisions import Person
from store.plans import OPEN, PlanStatus
from store.tables import plan, snapshot

OF_PLAN = "plan:"
"""Begins the source of tables that were found while planning."""


def retire(database: Database, *, before: str, by: Person) -> int:
    """Forget snapshots taken before an instant; how many. Audited. Their files go with the next sweep.

    Kept: the newest two accepted of every source and object, held ones, and what open or younger plans were made of.
    """
    with database.state() as conn:
        kept = _newest(conn) | _of_live_plans(conn, before)
        old = sa.select(snapshot.c.id, snapshot.c.source).where(
            snapshot.c.taken_at < before, snapshot.c.status != "held"
        )
        gone = sorted(row.id for row in conn.execute(old) if row.id not in kept and row.source not in kept)
        for start in range(0, len(gone), 500):
            conn.execute(sa.delete(snapshot).where(snapshot.c.id.in_(gone[start : start + 500])))
        if gone:
            body = {"before": before, "snapshots": len(gone)}
            entry = audit.Entry(kind="snapshots_retired", actor=by.label, body=body)
            audit.append(conn, [entry], at=database.now())
    return len(gone)


def _newest(conn: sa.Connection) -> set[str]:
    """Ids of the newest two accepted snapshots of every source and object; of plans, none."""
    place = sa.func.row_number().over(
        partition_by=(snapshot.c.source, snapshot.c.object), order_by=snapshot.c.position.desc()
    )
    ranked = (
        sa.select(snapshot.c.id, place.label("place"))
        .where(snapshot.c.status == "accepted", ~snapshot.c.source.startswith(OF_PLAN))
        .subquery()
    )
    return set(conn.scalars(sa.select(ranked.c.id).where(ranked.c.place <= 2)))


def _of_live_plans(conn: sa.Connection, before: str) -> set[str]:
    """Snapshot ids and sources of the newest plan, of younger ones, and of those that may still be applied."""
    alive = plan.c.status.in_([*OPEN, PlanStatus.APPLYING]) | (plan.c.created_at >= before)
    newest = sa.select(plan.c.id).order_by(plan.c.created_at.desc(), plan.c.id.desc()).limit(1).scalar_subquery()
    kept: set[str] = set()
    for row in conn.execute(sa.select(plan.c.id, plan.c.snapshot_ids).where(alive | (plan.c.id == newest))):
        kept |= {f"{OF_PLAN}{row.id}", *row.snapshot_ids}
    return kept
