"""platbook apply, sync."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event
from typing import Annotated, Any

import typer

from jobs.alert import send_waiting
from jobs.apply import apply_plan
from jobs.applying.cost import run_floor
from jobs.applying.model import DONE, ApplyDeps, ApplyResult, GuardStopped, ItemState, PlanRefused
from jobs.applying.permission import OBSERVING
from jobs.applying.wired import apply_deps, watched_fields
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, steps, table
from jobs.cli.plan import previewed, show_summary
from jobs.cli.pull import show_pull
from jobs.cli.selecting import PlanOption, ReasonOption
from jobs.difflog import log_plan, require_folder
from jobs.plan import make_plan
from jobs.present import view_plan
from jobs.pull import pull
from jobs.wiring import Wired
from store import audit
from store.decisions import Acceptance
from store.plans import PlanStatus

AcceptOption = Annotated[
    list[str] | None,
    typer.Option("--accept-guard", help="Let this guard's passed limits through, for this plan only. Needs --reason."),
]


def apply(
    plan_id: PlanOption = "latest",
    accept_guard: AcceptOption = None,
    reason: ReasonOption = "",
    strict: Annotated[bool, typer.Option("--strict", help="Refuse the plan when one approved item moved.")] = False,
    baseline_only: Annotated[
        bool, typer.Option("--baseline-only", help="Agree to what is already right; write nothing to any CRM.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Write what the policy or a person approved, each record read just before and read back after."""
    wired = opened()
    require_folder(wired)
    chosen = wired.plans.resolve(plan_id)
    accepted = acceptances(wired, chosen, accept_guard or [], reason)
    with stopping() as stop, steps() as progress, _mailing(wired):
        result = apply_plan(
            apply_deps(wired, stop=stop.is_set, progress=progress),
            chosen,
            person=wired.person,
            accept=accepted,
            strict=strict,
            baseline_only=baseline_only,
        )
    sent = send_waiting(wired)
    logs = log_plan(wired, chosen, run_id=result.run_id) if result.run_id else {}
    if json_:
        emit_json("apply", {**asdict(result), "files": logs, "mails_sent": sent.sent, "mails_waiting": sent.waiting})
    else:
        show_applied(wired, result)
        for path in logs.values():
            say(f"diff log: {path}")
        if sent.sent or sent.waiting:
            say(f"mails: {sent.sent} sent, {sent.waiting} waiting{f' ({sent.error})' if sent.error else ''}")
    if not result.is_complete:
        raise Stop("", Exit.PARTIAL)


def sync(
    full: Annotated[bool, typer.Option("--full", help="Pull everything again, not only what changed.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Pull, plan, and apply what the policy approves by itself; the rest waits for a person."""
    wired = opened()
    require_folder(wired)
    with stopping() as stop, steps() as progress:
        pulled = pull(wired, full=full, progress=progress)
        planned = make_plan(wired, progress=progress)
        if planned.stored.status is PlanStatus.PAUSED_BY_GUARD:
            _show_sync(wired, pulled, planned, None, json_)
            send_waiting(wired)
            raise Stop("", Exit.GUARD)
        deps = apply_deps(wired, stop=stop.is_set, progress=progress)
        result = _applied_unless_observing(wired, deps, planned.stored.id)
    send_waiting(wired)
    if result is not None and result.run_id:
        log_plan(wired, planned.stored.id, run_id=result.run_id)
    _show_sync(wired, pulled, planned, result, json_)
    if result is not None and not result.is_complete:
        raise Stop("", Exit.PARTIAL)


def _applied_unless_observing(wired: Wired, deps: ApplyDeps, plan_id: str) -> ApplyResult | None:
    """The result of an apply; None where all connections are only observed."""
    try:
        return apply_plan(deps, plan_id, person=wired.person)
    except PlanRefused as refused:
        if refused.reason != OBSERVING:
            raise
        return None


def acceptances(wired: Wired, plan_id: str, guards: list[str], reason: str) -> tuple[Acceptance, ...]:
    """One acceptance per passed limit of the guards named; `name` means all its subjects, `name:subject` one."""
    if not guards:
        return ()
    if not reason.strip():
        raise Stop("--accept-guard needs --reason; it stands in the audit beside your name", Exit.USAGE)
    breached = passed_limits(wired, plan_id)
    found = []
    for name in guards:
        fitting = [(guard, subject) for guard, subject in breached if name in (guard, f"{guard}:{subject}")]
        if not fitting:
            passed = ", ".join(sorted({guard for guard, _ in breached})) or "none"
            raise Stop(f'guard "{name}" did not stop plan {plan_id}; passed limits: {passed}', Exit.USAGE)
        found += [Acceptance(guard=guard, subject=about, reason=reason, by=wired.person) for guard, about in fitting]
    return tuple(found)


def passed_limits(wired: Wired, plan_id: str) -> list[tuple[str, str]]:
    """(guard, subject) of the limits that stopped a plan: when it was made, or when somebody wanted to apply it."""
    made = {(one["guard"], one["subject"]) for one in wired.plans.load(plan_id).header.guards if one["breached"]}
    with wired.database.read() as conn:
        stops = [one["body"] for one in audit.entries(conn, plan_id=plan_id) if one["kind"] == "guard_stopped"]
    names = [name for body in stops for name in body["guards"]]
    applied = {(guard, subject) for guard, _, subject in (name.partition(":") for name in names)}
    return sorted(made | applied)


@contextmanager
def _mailing(wired: Wired) -> Iterator[None]:
    """A limit that stops the plan is mailed at once."""
    try:
        yield
    except GuardStopped:
        send_waiting(wired)
        raise


@contextmanager
def stopping() -> Iterator[Event]:
    """The first SIGTERM or Ctrl-C lets the chunk under way finish; the second one ends at once."""
    stop = Event()

    def ask(signum: int, frame: object) -> None:
        stop.set()
        for number in before:
            signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_applied(wired: Wired, result: ApplyResult) -> None:
    """What became of the items, what it cost, and what was left."""
    if not result.run_id:
        say(result.message or f"plan {result.plan_id}: nothing to apply")
        return
    states = [(state.value, result.totals[state.value]) for state in ItemState if result.totals.get(state.value)]
    status = result.status.replace("_", " ") if states or result.halted else "0 items written, none was to be"
    say(f"Run {result.run_id} of plan {result.plan_id}: {status}", style="bold")
    if states:
        say(" · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in states))
    others = {name: result.totals.get(name, 0) for name in ("moves", "pending", "owner_events")}
    if others["pending"] and result.run_id and view_plan(wired, result.plan_id).new_rules:
        say("the rules are new: in this plan, what the policy would write by itself waits for approval too")
    say(
        f"{others['moves']:,} values agreed without a write · {others['pending']:,} items wait for a decision · "
        f"{others['owner_events']:,} owner changes applied"
    )
    _show_left(result)
    watched = watched_fields(wired.mappings.policies.conflicts)
    for name, calls in result.calls.items():
        made, floor = calls["reads"] + calls["writes"], run_floor(wired.database, result, name, watched=watched)
        share = f", {made / floor:.2f} times as many" if floor else ""
        say(f"{name}: {calls['reads']} reads, {calls['writes']} writes; {made} calls, floor {floor}{share}")
    if result.halted:
        say(f"stopped early: {result.halted}", style="yellow")


def _show_left(result: ApplyResult) -> None:
    left = [item for item in result.items if item.state not in DONE or item.state is ItemState.OVERWROTE]
    if left:
        rows = [(i.connection, i.account_name, i.group, i.state.value, i.message) for i in left]
        columns = ("connection", "account", "group", "state", "why")
        table(f"{len(left):,} items not (simply) written", columns, rows, limit=20)


def _show_sync(wired: Wired, pulled: Any, planned: Any, result: ApplyResult | None, as_json: bool) -> None:
    if as_json:
        payload = {
            "pulled": [asdict(one) for one in pulled],
            "plan": planned.stored.id,
            "status": planned.stored.status.value,
            "counts": dict(planned.stored.header.counts),
            "guards": [asdict(guard) for guard in planned.guards],
            "applied": asdict(result) if result else None,
        }
        emit_json("sync", payload)
        return
    show_pull(pulled)
    show_summary(previewed(wired, planned.stored.id), planned.problems)
    if result is not None:
        show_applied(wired, result)
    elif planned.stored.status is not PlanStatus.PAUSED_BY_GUARD:
        say("mode observe: nothing was written")
