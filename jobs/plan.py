"""Plan: load the world, let the core decide, save what it decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa

from jobs.applying.checks import promise_guard_stop
from jobs.export import FINDINGS, findings_source
from jobs.policies import note_policies, version_problems
from jobs.scoring import POLICY_TABLE, policy_table
from jobs.tables import arrow_schema
from jobs.wiring import Wired
from jobs.world import Loaded, load_world
from store.plans import PlanHeader, PlanStatus, StoredPlan
from sync.engine import Frame
from sync.planning.guards import breaches
from sync.problem import Problem
from sync.reconcile import reconcile
from sync.world import CHANGES, HOLDS, ITEMS, LINKS, OWNERSHIP_EVENTS, GuardResult, Plan, Reconciliation, Schema

_PROBLEMS = pa.schema([(name, pa.string()) for name in ("code", "severity", "subject", "fact", "remedy", "refs")])
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A saved plan with the rest of what the core found out."""

    stored: StoredPlan
    guards: tuple[GuardResult, ...]
    problems: tuple[Problem, ...]
    reconciliation: Reconciliation


def make_plan(
    wired: Wired, *, as_of: str | None = None, progress: Progress = lambda step, done, total: None
) -> Planned:
    """Decide and save. Reads the CRM not at all: it works on what was pulled."""
    day = as_of or wired.as_of()
    progress("load the world", 0, 3)
    loaded = load_world(wired, day)
    progress("reconcile", 1, 3)
    result = reconcile(loaded.world, wired.mappings, day, wired.engine)
    progress("save the plan", 2, 3)
    wired.crosswalk.save(_table(wired, result.links, LINKS))
    stored = _save(wired, loaded, result, day)
    problems = (*result.problems, *version_problems(wired, day))
    _keep_findings(wired, result, problems, stored.id)
    _keep_holds(wired, result)
    note_policies(wired)
    progress("save the plan", 3, 3)
    return Planned(stored=stored, guards=result.plan.guards, problems=problems, reconciliation=result)


def _save(wired: Wired, loaded: Loaded, result: Reconciliation, as_of: str) -> StoredPlan:
    return store_plan(
        wired,
        result.plan,
        as_of,
        snapshot_ids=tuple(one.id for one in (*loaded.snapshots, *loaded.feeds)),
        feed_hashes={one.source: one.sha256 for one in loaded.feeds},
        schema_hashes=loaded.schema_hashes,
    )


def store_plan(
    wired: Wired,
    plan: Plan,
    as_of: str,
    *,
    snapshot_ids: tuple[str, ...] = (),
    feed_hashes: Mapping[str, str] | None = None,
    schema_hashes: Mapping[str, str] | None = None,
) -> StoredPlan:
    """Save what the core decided, with what it was made of; paused where a limit was passed."""
    header = PlanHeader(
        digest=plan.digest,
        ruleset_digest=wired.mappings.digest,
        rules_digest=wired.mappings.rules_digest,
        rule_files=wired.mappings.file_digests,
        as_of=as_of,
        author=wired.person.name,
        author_kind=wired.person.kind,
        tool_version=tool_version(),
        org_ids=wired.pins.org_ids(),
        snapshot_ids=snapshot_ids,
        feed_hashes=feed_hashes or {},
        schema_hashes=schema_hashes or {},
        counts=dict(plan.counts),
        guards=tuple(asdict(guard) for guard in plan.guards),
    )
    stopped = breaches(plan.guards)
    stored = wired.plans.save(
        header,
        items=_table(wired, plan.items, ITEMS),
        changes=_table(wired, plan.changes, CHANGES),
        events=_table(wired, plan.events, OWNERSHIP_EVENTS),
        ttl_hours=wired.mappings.policies.conflicts.plan_ttl_hours,
        status=PlanStatus.PAUSED_BY_GUARD if stopped else PlanStatus.READY,
    )
    if stopped:
        recipients, at = wired.mappings.policies.alerts.recipients, wired.database.now()
        with wired.database.state() as conn:
            promise_guard_stop(conn, stopped, recipients, plan_id=stored.id, run_id="", at=at)
    return stored


def _keep_findings(wired: Wired, result: Reconciliation, problems: tuple[Problem, ...], plan_id: str) -> None:
    """Keep what the plan was made of: explanations and exports read it."""
    for name in sorted(set(FINDINGS.values())):
        frame: Frame = getattr(result, name)
        wired.snapshots.save(findings_source(plan_id), name, wired.engine.to_arrow(frame))
    kept = result.structure
    extra = {"latency": result.latency, "recorded": kept.recorded if kept else None}
    extra |= {"events": kept.events, "affected": kept.affected} if kept else {}
    for name, small in extra.items():
        if small is not None:
            wired.snapshots.save(findings_source(plan_id), name, wired.engine.to_arrow(small))
    rows = [{**asdict(one), "severity": one.severity.value, "refs": "\n".join(one.refs)} for one in problems]
    policies = wired.mappings.policies
    scoring = policy_table(policies.scores.positioned(policies.segments.product_position))
    wired.snapshots.save(findings_source(plan_id), POLICY_TABLE, scoring)
    wired.snapshots.save(findings_source(plan_id), "problems", pa.Table.from_pylist(rows, schema=_PROBLEMS))


def _keep_holds(wired: Wired, result: Reconciliation) -> None:
    """Put the holds that rules made on file: the day they end is counted from the first plan that shows them."""
    if result.holds is not None:
        rows = list(wired.engine.rows(result.holds.select(*HOLDS)))
        wired.decisions.add_holds(rows, person=wired.person)


def _table(wired: Wired, frame: Frame, schema: Schema) -> pa.Table:
    """A frame of the core as an Arrow table with exactly the columns of the schema."""
    return wired.engine.to_arrow(frame.select(*schema)).cast(arrow_schema(schema))


def tool_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("platbook")
    except PackageNotFoundError:
        return "unknown"
