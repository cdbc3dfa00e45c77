"""platbook undo, restore: take back what a run wrote; give a person's value back that was written over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.alert import send_waiting
from jobs.apply import apply_plan
from jobs.applying.wired import apply_deps
from jobs.cascades import TakenAlong
from jobs.cli.apply import show_applied, stopping
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, steps
from jobs.cli.plan import previewed, show_rows, show_summary
from jobs.cli.selecting import ReasonOption, WhereOption, select_rows
from jobs.difflog import log_plan, require_folder
from jobs.present import view_plan
from jobs.undo import NothingToUndo, UndoPlan, restore_item, undo_run
from jobs.wiring import Wired
from store.plans import PlanStatus
from sync.planning.threeway import State

SHOWN = 20


def undo(
    run: Annotated[str, typer.Argument(help="Run id, the beginning of one, or latest; see `platbook runs`.")],
    where: WhereOption = "",
    reason: ReasonOption = "",
    json_: JsonFlag = False,
) -> None:
    """Make a plan that puts back what a run wrote. What nobody touched since is approved in your name; apply writes."""
    _require_reason("undo", reason)
    wired = opened()
    run_id = _run_id(wired, run)
    items = _selected(wired, run_id, where)
    with _explained():
        made = undo_run(wired, apply_deps(wired), run_id, reason=reason, items=items)
    if json_:
        emit_json("undo", {"run": run_id, **_payload(made)})
    else:
        show_undo(wired, made)
    if made.stored.status is PlanStatus.PAUSED_BY_GUARD:
        raise Stop("", Exit.GUARD)


def restore(
    item: Annotated[str, typer.Argument(help="Id of an item whose result is overwrote.")],
    reason: ReasonOption = "",
    json_: JsonFlag = False,
) -> None:
    """Write back a person's value that was written over between our read and our write, if ours still stands."""
    _require_reason("restore", reason)
    wired = opened()
    require_folder(wired)
    with _explained(), stopping() as stop, steps() as progress:
        deps = apply_deps(wired, stop=stop.is_set, progress=progress)
        made = restore_item(wired, deps, item, reason=reason)
        if not made.approved:
            raise Stop(_not_restored(wired, made, item), Exit.PARTIAL)
        result = apply_plan(deps, made.stored.id, person=wired.person)
    send_waiting(wired)
    log_plan(wired, made.stored.id, run_id=result.run_id)
    if json_:
        emit_json("restore", {"item": item, **_payload(made), "applied": asdict(result)})
    else:
        show_applied(wired, result)
    if not result.is_complete:
        raise Stop("", Exit.PARTIAL)


def show_undo(wired: Wired, made: UndoPlan) -> None:
    """The plan in reverse: what goes back, and what somebody touched since."""
    view = previewed(wired, made.stored.id)
    show_summary(view)
    say(
        f"{made.approved:,} items nobody touched since: approved by {wired.person.label} · {made.conflicts:,} items "
        f"somebody touched since: left as they are until a person decides · {made.blocked:,} that cannot be put back"
    )
    for line in _along(made.along):
        say(line)
    touched = [row for row in view.rows() if row["action"] == "review"]
    if touched:
        show_rows(touched, SHOWN)
    say("`platbook apply` writes it; `platbook show` shows all of it")


@contextmanager
def _explained() -> Iterator[None]:
    """Nothing to take back ends the command with its reason."""
    try:
        yield
    except NothingToUndo as error:
        raise Stop(str(error), Exit.ERROR) from error


_FOUND = {
    State.UPDATE: "go back to their owners with the accounts",
    State.CONFLICT: "were given to somebody else since and stay there",
    State.CONVERGED: "are with their owners of before already",
    State.ORPHAN: "are closed by now and stay as they are",
}
"""What an undo does with an open opportunity that went along, by what the decision table says of it."""


def _along(along: TakenAlong) -> Iterator[str]:
    for state, ids in along.opportunities.items():
        shown = f": {', '.join(ids[:SHOWN])}{' …' if len(ids) > SHOWN else ''}" if state is State.CONFLICT else ""
        yield f"{len(ids):,} opportunities that went along {_FOUND[state]}{shown}"
    if along.team_members:
        yield f"{along.team_members:,} team members that were lost are put back with the accounts"


def _run_id(wired: Wired, text: str) -> str:
    if text != "latest":
        return wired.runs.get(text).id
    found = wired.runs.list(kind="apply", limit=1)
    if not found:
        raise Stop("no plan was ever applied here; there is nothing to undo", Exit.ERROR)
    return found[0].id


def _selected(wired: Wired, run_id: str, where: str) -> frozenset[str] | None:
    if not where:
        return None
    plan_id = wired.runs.get(run_id).plan_id
    if not plan_id:
        raise Stop(f"run {run_id} applied no plan, so it has no rows to select with --where", Exit.USAGE)
    return frozenset(row["item"] for row in select_rows(view_plan(wired, plan_id), where))


def _not_restored(wired: Wired, made: UndoPlan, item: str) -> str:
    (row,) = view_plan(wired, made.stored.id).rows() or [{"state": "", "crm": "", "reason": ""}]
    why = row["reason"] or f'the CRM says "{row["crm"]}" now, which is not what was written'
    return f"item {item}: not restored, nothing was written: {why}. Decide on it in plan {made.stored.id}."


def _require_reason(verb: str, reason: str) -> None:
    if not reason.strip():
        raise Stop(f"{verb}: --reason is missing; it stands in the audit beside your name", Exit.USAGE)


def _payload(made: UndoPlan) -> dict[str, object]:
    return {
        "plan": made.stored.id,
        "status": made.stored.status.value,
        "approved": made.approved,
        "conflicts": made.conflicts,
        "blocked": made.blocked,
        "cascade": {
            "opportunities": {state.value: list(ids) for state, ids in made.along.opportunities.items()},
            "team_members": made.along.team_members,
        },
    }
