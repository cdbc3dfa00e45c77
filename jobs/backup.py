"""Re-baseline: what a restored state takes for agreed is compared with the CRMs before anything is written again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from jobs.apply import recover
from jobs.applying.wired import apply_deps
from jobs.audit_head import anchor
from jobs.pull import Progress, pull
from jobs.wiring import Wired
from mappings.canonical import MANAGED
from store import generation
from store.plans import OPEN, PlanStatus
from store.runs import RunStatus
from store.tables import plan
from sync.planning.decisions import AgreedMove


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebaselined:
    """What a re-baseline found."""

    kept: int  # agreed values that the CRM still has
    released: int  # agreed values that the CRM does not have: a person is asked before anything is written there
    records_gone: int  # records of which there is nothing in the CRM any more
    plans_closed: int  # plans made before, which may not be applied any more


def rebaseline(wired: Wired, *, progress: Progress = lambda step, done, total: None) -> Rebaselined:
    """Read everything anew, let go what is not as it was agreed, close old plans, and allow writing again.

    Writes to no CRM. A value that was let go is a takeover in the next plan, whatever the field's policy on drift says.
    """
    recover(apply_deps(wired), person=wired.person)
    pull(wired, full=True, progress=progress)
    run = wired.runs.start("rebaseline", by=wired.person.label)
    moves, kept, gone = _compare(wired)
    staged = wired.agreed.stage(moves)
    with wired.database.state() as conn:
        wired.agreed.commit(conn, staged, run_id=run.id, plan_id="")
        closed = conn.execute(sa.update(plan).where(plan.c.status.in_(OPEN)).values(status=PlanStatus.SUPERSEDED))
    result = Rebaselined(kept=kept, released=len(moves), records_gone=gone, plans_closed=closed.rowcount)
    generation.settle(wired.database, by=wired.person)
    wired.runs.finish(run.id, RunStatus.DONE, counts={"kept": kept, "released": len(moves), "gone": gone})
    anchor(wired.database, wired.settings.audit_head_file)
    return result


def _compare(wired: Wired) -> tuple[list[AgreedMove], int, int]:
    """Values to let go, values that stand, and agreed records that the CRM does not have."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for connection in wired.kinds:
        snapshot = wired.snapshots.current(connection, "account")
        rows = wired.snapshots.read(snapshot).to_pylist() if snapshot else []
        found |= {(connection, row["record_id"]): row for row in rows if not row["is_deleted"]}
    moves, kept, gone = [], 0, 0
    for row in wired.agreed.table().to_pylist():
        now = found.get((row["connection"], row["record_id"]))
        gone += now is None
        for name in MANAGED:
            if now is None or row[f"{name}__kind"] not in ("value", "empty"):
                continue
            if (row[name] or None) == (now.get(name) or None):
                kept += 1
            else:
                moves.append(_released(row, name))
    return moves, kept, gone


def _released(row: dict[str, Any], name: str) -> AgreedMove:
    return AgreedMove(connection=row["connection"], record_id=row["record_id"], field=name, kind="released", value=None)
