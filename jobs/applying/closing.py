"""The transaction that ends a run: agreed moves, overrides, plan and run status, and one digest mail per recipient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from jobs.applying.model import DONE, ItemState
from jobs.applying.selection import Selection, agreements, moves_of_converged
from jobs.applying.session import ApplyRun
from mappings.policy import ConflictPolicy
from store import audit, events, outbox, runs
from store.agreed import Agreed
from store.decisions import add_overrides, spend
from store.leases import require_epoch
from store.plans import OPEN, Outcome, PlanStatus, note_outcomes, transition
from store.runs import RunStatus
from sync.planning.decisions import AgreedMove, Refusal

DIGEST = "ownership_digest"


def close(run: ApplyRun, selection: Selection, *, is_recovery: bool = False) -> tuple[PlanStatus, dict[str, int]]:
    """Commit what the run leaves behind; the plan's status and figures for the result.

    A recovery may find the plan closed already (a row in doubt outlived its run): then the status stays.
    """
    agreed = Agreed(run.deps.database, run.deps.files)
    with run.deps.database.read() as conn:
        is_first = not agreed.has_moves(conn, run.plan.id)
    moves, overrides = _moves(run, selection, is_first=is_first)
    staged = agreed.stage(moves)
    status = _status(run, selection)
    at = run.deps.database.now()
    with run.deps.database.state() as conn:
        for lease in run.leases.values():
            require_epoch(conn, lease)
        agreed.commit(conn, staged, run_id=run.run_id, plan_id=run.plan.id)
        add_overrides(conn, overrides, run_id=run.run_id, at=at)
        lasting = _lasting_outcomes(run, selection)
        note_outcomes(conn, run.plan.id, run.run_id, lasting, at=at)
        prints = dict(zip(*(run.plan.items[name].to_pylist() for name in ("item_id", "fingerprint")), strict=True))
        done = [(prints[one.item_id], one.item_id) for one in lasting]
        spend(conn, done, plan_id=run.plan.id, run_id=run.run_id, at=at)
        figures = {"moves": len(moves), "overrides": len(overrides), **_promise_digest(conn, run, at=at)}
        if not is_recovery or run.plan.status in (*OPEN, PlanStatus.APPLYING):
            transition(conn, run.plan.id, [*OPEN, PlanStatus.APPLYING], status)
        counts = {**totals(run), **figures}
        runs.interrupt_others(conn, run.plan.id, run.run_id, at=at)
        runs.finish(conn, run.run_id, _run_status(run), counts=counts, message=run.halted, at=at)
        audit.append(conn, [_entry(run, status, counts)], at=at)
    return status, figures


def totals(run: ApplyRun) -> dict[str, int]:
    """Items by what became of them."""
    return dict(sorted(Counter(str(result.state) for result in run.results.values()).items()))


def _moves(run: ApplyRun, selection: Selection, *, is_first: bool) -> tuple[list[AgreedMove], list[Refusal]]:
    """What moves without a write. The plan's own agreements move with its first run only."""
    moves, adopted = agreements(run.plan) if is_first else ([], [])
    refusals = [_with_term(one, run.deps.conflicts) for one in adopted]
    moves += selection.moves
    refusals += selection.refusals
    for work in run.converged:
        moves += moves_of_converged(work)
    for work in [*run.applied_edits, *run.converged]:
        refusals += work.refusals
    return moves, refusals


def _with_term(refusal: Refusal, policy: ConflictPolicy) -> Refusal:
    """A proposal that the policy refused, until the day the policy names for the field."""
    field = policy.fields.get(refusal.field)
    return replace(refusal, until=field.override_until) if field is not None and field.override_until else refusal


def _lasting_outcomes(run: ApplyRun, selection: Selection) -> list[Outcome]:
    """Outcomes whose moves commit here and not before."""
    kept = [Outcome(item_id=one, state=ItemState.KEPT, message="a person keeps it") for one in selection.kept]
    converged = [
        Outcome(item_id=work.item_id, state=ItemState.CONVERGED, message=run.results[work.item_id].message)
        for work in run.converged
    ]
    return kept + converged


def _promise_digest(conn: sa.Connection, run: ApplyRun, *, at: str) -> Mapping[str, int]:
    """One mail per recipient about the applied owner changes that no mail tells yet, whichever run applied them."""
    part, applied = events.assign_part(conn, run.plan.id)
    mails = 0
    if applied:
        mails = outbox.promise(
            conn,
            DIGEST,
            run.deps.recipients,
            plan_id=run.plan.id,
            part=part,
            run_id=run.run_id,
            payload={"owner_events": applied, "halted": run.halted, "audit_head": list(audit.head(conn))},
            at=at,
        )
    return {"owner_events": applied, "mails": mails}


def _status(run: ApplyRun, selection: Selection) -> PlanStatus:
    """Applied once nothing that may end in a write is left."""
    written = [run.results[work.item_id] for work in selection.work if work.item_id in run.results]
    done = sum(result.state in DONE for result in written) + len(selection.kept)
    return PlanStatus.APPLIED if done == selection.open_items and not run.halted else PlanStatus.PARTIALLY_APPLIED


def _run_status(run: ApplyRun) -> RunStatus:
    if run.halted:
        return RunStatus.STOPPED
    complete = all(result.state in DONE for result in run.results.values())
    return RunStatus.DONE if complete else RunStatus.PARTIAL


def _entry(run: ApplyRun, status: PlanStatus, counts: Mapping[str, Any]) -> audit.Entry:
    body = {"status": status, "counts": dict(counts), "halted": run.halted}
    return audit.Entry(kind="run_closed", actor=run.actor, run_id=run.run_id, plan_id=run.plan.id, body=body)
