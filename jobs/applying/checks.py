"""What must hold before anything is written: the plan is what was saved, it is fresh, and the limits are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from jobs.applying.around import around
from jobs.applying.model import ApplyDeps, GuardCheck, GuardStopped, PlanRefused, Work
from jobs.applying.second_person import take_acceptances, what_lacks
from jobs.applying.selection import Selection
from jobs.applying.session import ApplyRun
from mappings.policy import Policies
from store import audit, outbox
from store.decisions import Acceptance, Decisions
from store.plans import OPEN, Plans, PlanStatus, PlanTampered, StoredPlan, transition
from store.snapshots import Snapshots
from sync.engine import Engine
from sync.planning import guards
from sync.planning.plan import plan_digest
from sync.world import CHANGES, ITEMS, GuardResult

OTHER_FEEDS = "feeds"
"""Reason of a refusal: what the plan was made of is not what is accepted now; the next plan is made of it."""

GUARD_STOP = "guard_stop"
"""Kind of the mail about limits that paused a plan."""

_WRONG_STATUS = {
    PlanStatus.DRAFT: "it was never finished",
    PlanStatus.SUPERSEDED: "a newer plan took its place",
    PlanStatus.EXPIRED: "it expired",
}


def load_plan(deps: ApplyDeps, plan_id: str) -> StoredPlan:
    """The plan, if its bytes are those that were saved. Raises PlanRefused."""
    try:
        plan = Plans(deps.database, deps.files).load(plan_id)
    except PlanTampered as exc:
        raise PlanRefused("tampered", str(exc)) from exc
    if deps.plan_digest(plan) != plan.header.digest:
        raise PlanRefused(
            "tampered", f"plan {plan_id}: its items do not have the digest it was saved with. Plan again."
        )
    return plan


def require_applicable(deps: ApplyDeps, plan: StoredPlan) -> None:
    """Raise PlanRefused for a plan that is too old or was made under other rules."""
    if plan.status in _WRONG_STATUS:
        raise PlanRefused(str(plan.status), f"plan {plan.id}: {_WRONG_STATUS[plan.status]}. Plan again.")
    if plan.expires_at <= deps.database.now():
        if plan.status is not PlanStatus.APPLYING:  # a died run is closed first, see jobs.apply.recover
            with deps.database.state() as conn:
                transition(conn, plan.id, OPEN, PlanStatus.EXPIRED)
        raise PlanRefused("expired", f"plan {plan.id}: it expired at {plan.expires_at}. Plan again.")
    if plan.header.ruleset_digest != deps.ruleset_digest:
        raise PlanRefused(
            "ruleset",
            f"plan {plan.id}: mappings or policies have changed since it was made "
            f"({_changed_files(plan.header.rule_files, deps.rule_files)}"
            f"{plan.header.ruleset_digest[:12]} then, {deps.ruleset_digest[:12]} now). Plan again.",
        )
    _require_same_inputs(deps, plan)


def _changed_files(then: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """The files of the ruleset that say something else by now, before the digests; empty where none was noted."""
    changed = sorted(name for name in {*(then or ()), *now} if (then or {}).get(name) != now.get(name))
    return f"{', '.join(changed)}; " if then and changed else ""


def _require_same_inputs(deps: ApplyDeps, plan: StoredPlan) -> None:
    """Raise PlanRefused where other deliveries are accepted by now, or a CRM shows other fields than it did.

    A plan in reverse is made of neither.
    """
    if not plan.header.snapshot_ids:
        return
    snapshots, then = Snapshots(deps.database, deps.files), plan.header
    found = {name: snapshots.current(name, rows) for name, rows in sorted(deps.feeds.items())}
    now = {name: one.sha256 for name, one in found.items() if one is not None}
    for name in sorted(deps.feeds):
        if now.get(name, "") != then.feed_hashes.get(name, ""):
            words = f"plan {plan.id}: feed {name}: since the plan was made, {_of_feed(name, then.feed_hashes, now)}"
            raise PlanRefused(OTHER_FEEDS, f"{words}. Plan again.")
    for key, before in sorted(then.schema_hashes.items()):
        source, _, name = key.partition("/")
        pulled = snapshots.current(source, name) if source in deps.connections else None
        if pulled is not None and pulled.schema_hash != before:
            raise PlanRefused(
                "schema", f"plan {plan.id}: {source} shows other fields of {name} since the plan was made. Plan again."
            )


def _of_feed(name: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    if name not in now:
        return "its delivery is not accepted any more"
    return "another delivery of it is accepted" if name in then else "a delivery of it is accepted"


def require_same_orgs(deps: ApplyDeps, plan: StoredPlan, connections: Collection[str]) -> None:
    """Raise PlanRefused unless the credentials lead to the organisations the plan was made for."""
    for name in sorted(connections):
        if name not in deps.connections:
            raise PlanRefused("connection", f"plan {plan.id}: connection {name} has no credentials. Set them first.")
        planned, live = plan.header.org_ids.get(name, ""), deps.connections[name].org().org_id
        if planned != live:
            raise PlanRefused(
                "org",
                f"plan {plan.id}: {name} was organisation {planned or 'unknown'} when it was made, "
                f"the credentials now lead to {live}. Use the right credentials, or plan again.",
            )


def require_decided(plan: StoredPlan, selection: Selection) -> None:
    """Raise PlanRefused while items wait for a decision."""
    if selection.pending:
        raise PlanRefused(
            "pending",
            f"plan {plan.id}: {len(selection.pending)} items wait for a decision. Decide them, or apply what is "
            "approved with --approved-only.",
        )


def require_within_limits(run: ApplyRun, work: Sequence[Work], accept: Sequence[Acceptance]) -> None:
    """Measure the guards on the approved work; raise GuardStopped and pause the plan when one is passed."""
    deps, plan = run.deps, run.plan
    accepted = take_acceptances(deps, plan, accept)
    results = deps.guards(plan, work, Decisions(deps.database).accepted_first_contacts(), accepted, deps)
    breached = guards.breaches(results)
    if not breached:
        return
    body = {"guards": [guards.guard_id(result) for result in breached]}
    entry = audit.Entry(kind="guard_stopped", actor=run.actor, run_id=run.run_id, plan_id=plan.id, body=body)
    known = {f"{one['guard']}:{one['subject']}" for one in plan.header.guards if one["breached"]}
    is_new = not known.issuperset(body["guards"])  # what the plan itself was paused for was mailed then
    with deps.database.state() as conn:
        transition(conn, plan.id, [*OPEN, PlanStatus.APPLYING], PlanStatus.PAUSED_BY_GUARD)
        audit.append(conn, [entry], at=deps.database.now())
        if is_new:
            promise_guard_stop(
                conn, breached, deps.recipients, plan_id=plan.id, run_id=run.run_id, at=deps.database.now()
            )
    raise GuardStopped(plan.id, breached, who=what_lacks(deps, plan, breached))


def promise_guard_stop(
    conn: sa.Connection,
    breached: Sequence[GuardResult],
    recipients: Sequence[str],
    *,
    plan_id: str,
    run_id: str,
    at: str,
) -> int:
    """Promise one mail per recipient about passed limits: once when the plan is made, once when it is to be written."""
    payload = {"guards": [asdict(one) for one in breached]}
    part = 2 if run_id else 1
    return outbox.promise(
        conn, GUARD_STOP, recipients, plan_id=plan_id, part=part, run_id=run_id, payload=payload, at=at
    )


def guard_check(policies: Policies, engine: Engine, *, local_time: Callable[[], str] = lambda: "") -> GuardCheck:
    """The guards of these policies, measured with this engine; `local_time` is now in the policy's zone."""

    def check(
        plan: StoredPlan,
        work: Collection[Work],
        contacted: Collection[str],
        accepted: Collection[str],
        deps: ApplyDeps,
    ) -> tuple[GuardResult, ...]:
        wanted = {one.item_id: one.want for one in work}
        items = [row for row in plan.items.to_pylist() if row["item_id"] in wanted]
        changes = [
            _with_edit(row, wanted)
            for row in plan.changes.to_pylist()
            if row["field"] in wanted.get(row["item_id"], ())
        ]
        return guards.recheck(
            engine.table(items, ITEMS),
            engine.table(changes, CHANGES),
            planned=[GuardResult(**guard) for guard in plan.header.guards],
            policies=policies,
            engine=engine,
            contacted=contacted,
            accepted=accepted,
            around=around(deps, plan, policies, engine, local_time=local_time()),
        )

    return check


def digest_check(engine: Engine) -> Callable[[StoredPlan], str]:
    """Recomputes a stored plan's digest with this engine."""

    def digest(plan: StoredPlan) -> str:
        return plan_digest(engine.from_arrow(plan.items), engine.from_arrow(plan.changes), engine)

    return digest


def _with_edit(row: Mapping[str, Any], wanted: Mapping[str, Mapping[str, str | None]]) -> dict[str, Any]:
    """The change row with what is really written: a person may have put another value in place of ours."""
    value = wanted[row["item_id"]][row["field"]]
    return {**row, "desired": value, "desired_kind": "clear" if value is None else "value"}
