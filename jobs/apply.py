"""Apply: write what was agreed, effectively once, and never on top of a person's edit.

1. the plan is what was saved, fresh, of these rules and these organisations   2. leases, in the order of connection ids
3. what a died run left in doubt is read and settled   4. the guards again, on the approved part
5. chunks: parents top down, then the rest; a first small one as canary   6. rows to try later, together
7. the closing transaction
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import structlog

from connectors.errors import ConnectorError
from connectors.protocol import JobTarget, Lane
from jobs.applying.budget import require_budget
from jobs.applying.checks import (
    load_plan,
    require_applicable,
    require_decided,
    require_same_orgs,
    require_within_limits,
)
from jobs.applying.chunk import run_chunk
from jobs.applying.closing import close, totals
from jobs.applying.model import (
    DONE,
    ApplyDeps,
    ApplyResult,
    GuardStopped,
    ItemResult,
    ItemState,
    PlanRefused,
    Work,
)
from jobs.applying.native import as_stored
from jobs.applying.owners import without_departed
from jobs.applying.permission import permitted, require_not_observing, require_own_life
from jobs.applying.reading import read_before
from jobs.applying.recovery import items_in_doubt, resolve_doubts, unfinished
from jobs.applying.selection import Selection, select
from jobs.applying.session import ApplyRun
from jobs.applying.teams import restore_undone_teams
from jobs.applying.waves import Wave, chunks, record_count, waves
from jobs.audit_head import anchor
from store.database import StoreError
from store.decisions import Acceptance, Decisions, Person
from store.leases import Lease, LeaseHeld, LeaseLost, require_epoch
from store.plans import OPEN, Plans, PlanStatus, StoredPlan, transition
from store.runs import Runs, RunStatus
from sync.applying.outcomes import Standing, stand

log = structlog.get_logger()

CANARY_RECORDS = 10
OWN_CANARY_RECORDS = 25
"""A wave this small, one conditional request at most, is its own canary."""
BULK_RECORDS = 50_000
"""Records of one job; what it does shows only when it has ended."""
MAX_ROUNDS = 5
CROWDED = 2
"""So often locked, a row is sent in a small group."""
_PAUSE_S = 2.0


def apply_plan(
    deps: ApplyDeps,
    plan_id: str,
    *,
    person: Person,
    accept: Sequence[Acceptance] = (),
    only_approved: bool = True,
    strict: bool = False,
    baseline_only: bool = False,
) -> ApplyResult:
    """Apply a stored plan. Running it again goes on where it stopped, and writes nothing twice.

    Raises PlanRefused (nothing written), GuardStopped (nothing written), LeaseHeld, LeaseLost, StoreError, and a
    connector's Fatal or Retriable where nothing could be begun; once begun, those end up in `halted`.
    `strict` refuses the whole plan when one approved item moved. `baseline_only` moves agreed values only.
    """
    plan = load_plan(deps, plan_id)
    if plan.status is PlanStatus.APPLIED:
        return _already_applied(plan)
    try:
        require_applicable(deps, plan)
        require_same_orgs(deps, plan, _connections(plan))
        if not baseline_only:
            require_own_life(deps)
            require_not_observing(deps, plan, _connections(plan))
    except PlanRefused:
        if plan.status is PlanStatus.APPLYING:
            recover(deps, person=person)
        raise
    recover(deps, person=person, but=plan.id)
    with _leases(deps, _connections(plan), op=f"apply {plan.id}", who=person.name) as leases:
        plan = replace(plan, status=Plans(deps.database, deps.files).status(plan.id))  # another may have held them
        if plan.status is PlanStatus.APPLIED:
            return _already_applied(plan)
        require_applicable(deps, plan)
        return _apply_leased(
            deps, plan, leases, person=person, accept=accept, flags=(only_approved, strict, baseline_only)
        )


def recover(deps: ApplyDeps, *, person: Person, but: str = "") -> tuple[str, ...]:
    """Settle what died runs left: read every row in doubt, close their plans. Writes to no CRM. Plan ids settled.

    Left as they are: a plan of another organisation than the credentials lead to, a tampered one, a run that is alive.
    """
    settled = []
    for plan_id, doubtful in sorted(unfinished(deps.database).items()):
        if plan_id == but:
            continue
        try:
            _recover_plan(deps, plan_id, doubtful, person)
        except (PlanRefused, LeaseHeld) as exc:
            log.warning("recovery_left", plan_id=plan_id, reason=str(exc))
            continue
        settled.append(plan_id)
    return tuple(settled)


def _recover_plan(deps: ApplyDeps, plan_id: str, doubtful: Collection[str], person: Person) -> None:
    plan = load_plan(deps, plan_id)
    connections = sorted({*doubtful, *_connections(plan)})
    require_same_orgs(deps, plan, connections)
    with _leases(deps, connections, op=f"recover {plan_id}", who=person.name) as leases:
        run = _start(deps, plan, leases, person)
        run.halted = "its run died; what was in doubt was read and settled"
        resolve_doubts(run)
        close(run, _selection(run, baseline_only=True), is_recovery=True)


def _start(deps: ApplyDeps, plan: StoredPlan, leases: dict[str, Lease], person: Person) -> ApplyRun:
    started = Runs(deps.database).start("apply", by=person.label, plan_id=plan.id)
    return ApplyRun(
        deps=deps,
        plan=plan,
        run_id=started.id,
        actor=person.label,
        leases=leases,
        owner_events=_owner_events(plan),
    )


def _apply_leased(
    deps: ApplyDeps,
    plan: StoredPlan,
    leases: dict[str, Lease],
    *,
    person: Person,
    accept: Sequence[Acceptance],
    flags: tuple[bool, bool, bool],
) -> ApplyResult:
    only_approved, strict, baseline_only = flags
    calls = {
        name: (deps.connections[name].target.meter.reads, deps.connections[name].target.meter.writes) for name in leases
    }
    run = _start(deps, plan, leases, person)
    try:
        resolve_doubts(run)
        selection = _selection(run, baseline_only=baseline_only)
        try:
            if not only_approved:
                require_decided(plan, selection)
            require_within_limits(run, selection.work, accept)
            require_budget(run, selection.work)
            if strict:
                _require_unmoved(run, selection)
        except (PlanRefused, GuardStopped):
            if plan.status is PlanStatus.APPLYING:
                close(run, replace(selection, work=(), kept=(), moves=(), refusals=()), is_recovery=True)
            raise
        with deps.database.state() as conn:
            for lease in leases.values():
                require_epoch(conn, lease)
            transition(conn, plan.id, [*OPEN, PlanStatus.APPLYING], PlanStatus.APPLYING)
        _write_all(run, selection.work)
        status, figures = close(run, selection)
    except BaseException as exc:
        _end_run(deps, run, exc)
        raise
    anchor(deps.database, deps.audit_head_file)
    log.info("plan_applied", run_id=run.run_id, plan_id=plan.id, status=str(status), **totals(run))
    return ApplyResult(
        plan_id=plan.id,
        run_id=run.run_id,
        status=str(status),
        items=_in_plan_order(run, selection),
        totals={**totals(run), "kept": len(selection.kept), "pending": len(selection.pending), **figures},
        calls=_calls(run, calls),
        halted=run.halted,
    )


def _write_all(run: ApplyRun, work: Sequence[Work]) -> None:
    """Write wave by wave. An outside system that fails for good ends the writing, not the run."""
    tried: set[str] = set()  # connections whose canary lived
    for one in work:  # what a died run left is tried again now: until then nothing waits for it in vain
        run.results.pop(one.item_id, None)
    try:
        for wave in waves(without_departed(run, work)):
            runnable = replace(wave, works=tuple(_without_orphans(run, wave)))
            pool = _write_wave(run, runnable, is_first=wave.connection not in tried)
            tried.add(wave.connection)
            _write_pool(run, runnable, pool)
            if run.halted:
                break
        restore_undone_teams(run, work)
    except ConnectorError as exc:
        run.halted = f"{exc.system}: {exc}"
    doubtful = items_in_doubt(run)
    for one in work:
        if one.item_id not in run.results:
            run.note(one, *_unreached(run, one, doubtful))


def _write_wave(run: ApplyRun, wave: Wave, *, is_first: bool) -> list[Work]:
    """Write chunk after chunk; the first one of a connection begins with a few records, read back before the others.

    Where nothing guards the gap between read and write, these few are a chunk of their own.
    """
    pool: list[Work] = []
    size, total = run.connected(wave.connection).rows(wave.lane), record_count(wave.works)
    as_job = wave.lane is Lane.BATCH and total >= run.deps.bulk_from
    as_job = as_job and isinstance(run.connected(wave.connection).target, JobTarget)
    size = max(size, BULK_RECORDS) if as_job else size
    canary = CANARY_RECORDS if is_first and total > OWN_CANARY_RECORDS else None
    is_guarded = wave.lane is Lane.CONDITIONAL
    done = 0
    for chunk in chunks(wave.works, (size if is_guarded or canary is None else min(canary, size), size)):
        if run.must_stop():
            break
        lane = Lane.BULK if as_job and canary is None else wave.lane
        pool += run_chunk(run, wave.connection, lane, chunk, canary=canary if is_guarded else None)
        canary = None
        done += record_count(chunk)
        run.deps.progress(f"apply {wave.connection} {wave.lane}", done, total)
    return pool


def _write_pool(run: ApplyRun, wave: Wave, pool: list[Work]) -> None:
    """Try again what may work later: together, a bounded number of times, each after a new reading.

    Rows that were locked twice go in small, serial groups: together they would wait for each other again.
    """
    size = run.connected(wave.connection).rows(wave.lane)
    for attempt in range(1, MAX_ROUNDS):
        if not pool or run.must_stop():
            return
        run.deps.sleep(_PAUSE_S * attempt)
        crowded = [one for one in pool if run.locked[one.item_id] >= CROWDED]
        others = [one for one in pool if run.locked[one.item_id] < CROWDED]
        again: list[Work] = []
        for chunk in [*chunks(others, (size,)), *chunks(crowded, (min(size, CANARY_RECORDS),))]:
            if run.must_stop():
                return
            again += run_chunk(run, wave.connection, wave.lane, chunk)
        pool = again
    run.judge()


def _without_orphans(run: ApplyRun, wave: Wave) -> list[Work]:
    """The wave's items without those whose parent change was to be written and was not."""
    runnable, blocked = [], []
    for one in wave.works:
        cause = run.results.get(one.caused_by or "")
        if cause is None or cause.state in DONE:
            runnable.append(one)
        else:
            message = f"the parent change it follows from is {cause.state}"
            blocked.append((one, ItemState.BLOCKED, message))
    if blocked:
        run.commit_unsent(wave.connection, blocked)
    return runnable


def _unreached(run: ApplyRun, one: Work, doubtful: Collection[str]) -> tuple[ItemState, str]:
    if one.item_id in doubtful:
        return ItemState.IN_DOUBT, "sent, and the answer could not be had; the next run reads it first"
    return ItemState.LEFT, run.halted or "not reached"


def _selection(run: ApplyRun, *, baseline_only: bool) -> Selection:
    decisions = Decisions(run.deps.database).current()
    outcomes = Plans(run.deps.database, run.deps.files).outcomes(run.plan.id)
    selection = select(run.plan, decisions, outcomes, now=run.deps.database.now())
    return replace(selection, work=()) if baseline_only else permitted(run.deps, run.plan, selection)


def _require_unmoved(run: ApplyRun, selection: Selection) -> None:
    """Read every approved item first; raise PlanRefused when one moved."""
    moved = []
    for wave in waves(selection.work):
        connected = run.connected(wave.connection)
        now = read_before(run, wave.connection, wave.works, versions=False)
        for one in wave.works:
            found = now[one.record_id]
            want = as_stored(connected.translation, one.want)
            standing = stand(found[0] if found else None, before=one.before, want=want)
            if standing in (Standing.MOVED, Standing.GONE):
                moved.append(one.item_id)
    if moved:
        raise PlanRefused(
            "moved",
            f"plan {run.plan.id}: {len(moved)} of {len(selection.work)} approved items moved since it was made "
            f"({', '.join(moved[:5])}). Plan again, or apply without --strict to leave them out.",
        )


@contextmanager
def _leases(deps: ApplyDeps, connections: Sequence[str], *, op: str, who: str) -> Iterator[dict[str, Lease]]:
    with ExitStack() as stack:
        held: dict[str, Lease] = {}
        for name in sorted(connections):
            held[name] = deps.leases.acquire(name, op=op, who=who)
            stack.enter_context(deps.leases.keeping(held[name]))
        yield held


def _end_run(deps: ApplyDeps, run: ApplyRun, exc: BaseException) -> None:
    """Say how the run ended, where the database still answers; the error itself goes on."""
    status = RunStatus.INTERRUPTED if isinstance(exc, LeaseLost | KeyboardInterrupt) else RunStatus.FAILED
    if isinstance(exc, PlanRefused | GuardStopped):
        status = RunStatus.STOPPED
    try:
        Runs(deps.database).finish(run.run_id, status, counts=totals(run), message=str(exc)[:1000])
    except StoreError:
        log.warning("run_end_not_stored", run_id=run.run_id)


def _already_applied(plan: StoredPlan) -> ApplyResult:
    return ApplyResult(
        plan_id=plan.id,
        run_id="",
        status=str(plan.status),
        items=(),
        totals={},
        calls={},
        message=f"plan {plan.id} is already applied; nothing was written",
    )


def _connections(plan: StoredPlan) -> list[str]:
    names = set(plan.items["connection"].to_pylist()) | set(plan.changes["connection"].to_pylist())
    return sorted(names)


def _owner_events(plan: StoredPlan) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    for event in plan.events.to_pylist():
        if event["item_id"]:
            found[event["item_id"]].append(event)
    return found


def _in_plan_order(run: ApplyRun, selection: Selection) -> tuple[ItemResult, ...]:
    order = {work.item_id: work.sequence for work in selection.work}
    return tuple(sorted(run.results.values(), key=lambda result: order.get(result.item_id, 0)))


def _calls(run: ApplyRun, before: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    meters = {name: run.connected(name).target.meter for name in run.leases}
    return {
        name: {"reads": meter.reads - before[name][0], "writes": meter.writes - before[name][1]}
        for name, meter in meters.items()
    }
