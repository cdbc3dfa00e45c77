"""platbook plan, show, explain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.alert import send_waiting
from jobs.calls import call_lines, predicted
from jobs.cascades import with_cascade
from jobs.cli.exits import Exit, Stop
from jobs.cli.limits import limit_lines
from jobs.cli.links import ChartOption, draw_story, show_story, story_payload
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, one_line, say, steps, table
from jobs.cli.selecting import PlanOption, WhereOption, day, select_rows
from jobs.explain import explain_account, explain_links
from jobs.export import described_plan
from jobs.plan import make_plan
from jobs.present import DECIDABLE, PlanView, owner_moves, view_plan
from jobs.wiring import Wired
from mappings.canonical import MANAGED
from store.plans import PlanStatus
from sync.planning.cascade import summed
from sync.problem import Problem, Severity
from sync.world import GuardResult

SYMBOLS = (
    ("action:auto", "~", "to write by policy"),
    ("action:approve", "?", "wait for approval"),
    ("action:review", "!", "need a decision"),
    ("action:held", "⏸", "held"),
    ("action:overridden", "=", "kept by a person"),
    ("action:blocked", "✗", "blocked"),
)

VALUE_SHOWN = 40
"""Characters of a value in a table of items."""


def plan(
    as_of: Annotated[str | None, typer.Option(help="Decide as of this day, YYYY-MM-DD; default: today.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when there are changes, 3 when a person is needed.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the plans made so far instead.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Decide what should change, from what was pulled and the accepted feeds. Writes nothing to any CRM."""
    decided_on = day(as_of, "--as-of")
    wired = opened()
    if list_:
        _list_plans([dict(row) for row in wired.plans.list()], json_)
        return
    with steps() as progress:
        planned = make_plan(wired, as_of=decided_on, progress=progress)
    view = previewed(wired, planned.stored.id)
    if json_:
        emit_json("plan", {**plan_payload(view), "problems": [_problem(one) for one in planned.problems]})
    else:
        show_summary(view, planned.problems)
    if planned.stored.status is PlanStatus.PAUSED_BY_GUARD:
        send_waiting(wired)
        raise Stop("", Exit.GUARD)
    if detailed_exitcode:
        raise Stop("", _detailed(view))


def show(
    plan_id: PlanOption = "latest",
    where: WhereOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows shown at most.")] = 40,
    json_: JsonFlag = False,
) -> None:
    """Show a plan: totals, guards, owner moves, and its items with the three values of each."""
    wired = opened()
    view = previewed(wired, wired.plans.resolve(plan_id))
    rows = select_rows(view, where)
    if json_:
        emit_json("show", {**plan_payload(view), "items": rows})
        return
    show_summary(view)
    show_rows(rows, limit)


def explain(
    account: Annotated[str, typer.Argument(help="Account id, CRM record id, vendor id, or (part of) a name.")],
    field: Annotated[str | None, typer.Option(help="Only this field.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Only how its records and firms were linked.")] = False,
    chart: ChartOption = None,
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Say for one account, value by value, which rule proposes what, from which facts, and where they came from."""
    if link or chart is not None:
        _explain_link(account, chart, plan_id, json_)
        return
    if field is not None and field not in MANAGED:
        raise Stop(f'--field: no field "{field}"; expected one of {", ".join(MANAGED)}', Exit.USAGE)
    wired = opened()
    told = explain_account(wired, described_plan(wired, plan_id), account, field=field)
    if json_:
        emit_json("explain", {"accounts": [one.as_dict() for one in told]})
        return
    for one in told:
        say(one.heading, style="bold")
        for line in one.lines:
            say(f"  {line}")
        say()


def _explain_link(account: str, chart: Path | None, plan_id: str, as_json: bool) -> None:
    wired = opened()
    story = explain_links(wired, described_plan(wired, plan_id), account)
    if chart is not None:
        draw_story(story, wired.mappings.policies.identity.model, chart)
    if as_json:
        emit_json("explain", story_payload(story))
        return
    show_story(story)


def previewed(wired: Wired, plan_id: str) -> PlanView:
    """The plan with what its owner changes touch, and what it would cost in calls."""
    view = with_cascade(wired, view_plan(wired, plan_id))
    return replace(view, calls=predicted(wired, view))


def show_summary(view: PlanView, problems: tuple[Problem, ...] = ()) -> None:
    """Totals, guards, owner moves and problems of a plan."""
    stored, counts = view.stored, view.stored.header.counts
    say(f"Plan {stored.id} · as of {stored.header.as_of} · rules {stored.header.ruleset_digest[:8]}", style="bold")
    say(f"{stored.status.replace('_', ' ')} · expires {stored.expires_at[:16].replace('T', ' ')} UTC")
    if view.new_rules:
        say("the rules are new since the last applied plan: of this plan only what a person approves is written")
    say(f"{counts.get('records', 0):,} records compared")
    for key, symbol, words in SYMBOLS:
        if counts.get(key):
            say(f"  {symbol} {counts[key]:,} {words}")
    if counts.get("action:agree"):
        say(f"  = {counts['action:agree']:,} values already right, to be agreed without a write")
    if not any(counts.get(key) for key, _, _ in SYMBOLS):
        say("Nothing to do: every managed value is as it should be.", style="green")
    _show_states(counts)
    _show_moves(view)
    _show_cascade(view)
    for line in call_lines(view.calls):
        say(line)
    show_guards(view)
    _show_problems(problems)


def _show_states(counts: Any) -> None:
    states = {key.removeprefix("state:"): n for key, n in counts.items() if key.startswith("state:") and n}
    if states:
        say("states: " + " · ".join(f"{name} {n:,}" for name, n in sorted(states.items(), key=lambda s: -s[1])))


def _show_moves(view: PlanView) -> None:
    rows = [row for row in view.rows() if row["group"] == "ownership" and row["action"] in ("auto", *DECIDABLE)]
    moves = [move for move in owner_moves(rows, view) if move[0] != move[1]]
    if moves:
        say()
        total = sum(count for _, _, count in moves)
        title = f"Owner changes: {total:,} accounts in {len(moves):,} moves"
        table(title, ("from", "to", "accounts"), [(a or "(nobody)", b, f"{n:,}") for a, b, n in moves], limit=12)


def _show_cascade(view: PlanView) -> None:
    """What the owner changes touch beside the accounts."""
    figures = summed(view.along.values())
    parts = [f"{count:,} team members {fate}" for fate, count in figures["team_members"].items()]
    parts += [
        f"{count:,} open opportunities of the old owners {fate}" for fate, count in figures["opportunities"].items()
    ]
    if figures["opportunities_of_others"]:
        parts.append(f"{figures['opportunities_of_others']:,} of others stay")
    if parts:
        say(f"with the owner changes: {' · '.join(parts)}")


def show_guards(view: PlanView) -> None:
    """Every limit that was passed; the others are counted."""
    guards = view.stored.header.guards
    breached = [guard for guard in guards if guard["breached"]]
    say()
    say(f"guards: {len(guards) - len(breached)} ok, {len(breached)} passed their limit")
    for line in limit_lines((GuardResult(**guard) for guard in breached), view.names):
        say(f"  {line}", style="yellow")
    if breached:
        say(f"  Who may let a limit through: {view.override.says}.")


def _show_problems(problems: tuple[Problem, ...]) -> None:
    serious = [one for one in problems if one.severity is not Severity.INFO]
    if not serious:
        return
    by_code: dict[str, int] = {}
    for one in serious:
        by_code[one.code] = by_code.get(one.code, 0) + 1
    say()
    say("to look at in the data: " + ", ".join(f"{code} {n:,}" for code, n in sorted(by_code.items())))
    for one in serious[:8]:
        say(f"  {one.code}: {one.subject}: {one.fact}. {one.remedy}")
    if len(serious) > 8:
        say(f"  … and {len(serious) - 8:,} more; `platbook plan --json` lists them all")


def show_rows(rows: list[dict[str, Any]], limit: int) -> None:
    """Items of a plan: a line about each, and under it a line per field with its three values."""
    say()
    say(f"{len(rows):,} items", style="italic")
    _show_items(rows[:limit])
    if len(rows) > limit:
        say(f"… and {len(rows) - limit:,} more; --limit shows more, --where fewer")
    reasons = sorted({row["reason"] for row in rows if row["reason"]})
    for reason in reasons[:12]:
        say(f"  {sum(row['reason'] == reason for row in rows):,} × {reason}")


def _show_items(rows: list[dict[str, Any]]) -> None:
    lines = [
        tuple(_cut(one[key]) for key in ("field", "base", "crm", "desired")) for row in rows for one in row["values"]
    ]
    heads = ("", "last agreed", "in CRM now", "proposed")
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    if lines:
        say(_columns(heads, widths), style="bold")
    rest = iter(lines)
    for row in rows:
        by = f" · by {row['actor']}" if row["actor"] else ""
        said = "".join(f" · {word}" for word in (row["state"], row["action"], _decision(row), row["result"]) if word)
        say(f"{row['item']}  {one_line(row['name'])} ({row['connection']}){said}{by}{_along(row['cascade'])}")
        for _ in row["values"]:
            say(_columns(next(rest), widths))


def _decision(row: dict[str, Any]) -> str:
    """What was decided, by whom and when: it may have been in an earlier plan."""
    return f"{row['decision']} by {row['decided_by']}, {row['decided_at'][:10]}" if row["decision"] else ""


def _along(cascade: dict[str, Any] | None) -> str:
    """What goes along with an item's owner change, where there is something."""
    if cascade is None:
        return ""
    team, deals = cascade["team"], cascade["opportunities"]
    parts = [f"team of {team['count']} {team['fate']}"] if team["count"] else []
    parts += [f"{deals['count']} open opportunities {deals['fate']}"] if deals["count"] else []
    parts += [f"{deals['of_others']} of others stay"] if deals["of_others"] else []
    return f" · {', '.join(parts)}" if parts else ""


def _columns(cells: tuple[str, ...], widths: list[int]) -> str:
    return ("    " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()


def _cut(text: str) -> str:
    """A value short enough for a table; `platbook explain` and the diff log have the whole."""
    text = one_line(text)
    return text if len(text) <= VALUE_SHOWN else f"{text[: VALUE_SHOWN - 2].rstrip()} …"


def plan_payload(view: PlanView) -> dict[str, Any]:
    """A plan's header for `--json`."""
    header = view.stored.header
    return {
        "plan": view.stored.id,
        "status": view.stored.status.value,
        "digest": header.digest,
        "ruleset_digest": header.ruleset_digest,
        "as_of": header.as_of,
        "created_at": view.stored.created_at,
        "expires_at": view.stored.expires_at,
        "counts": dict(header.counts),
        "guards": [dict(guard) for guard in header.guards],
        "feeds": dict(header.feed_hashes),
        "author": header.author,
        "author_kind": header.author_kind,
        "cascade": summed(view.along.values()),
        "calls": view.calls,
        "new_rules": view.new_rules,
        "guard_override": {"persons": view.override.persons, "who": view.override.says},
    }


def _detailed(view: PlanView) -> Exit:
    counts = view.stored.header.counts
    if any(counts.get(f"action:{action}") for action in DECIDABLE):
        return Exit.NEEDS_DECISION
    return Exit.CHANGES if counts.get("action:auto") or counts.get("action:agree") else Exit.OK


def _list_plans(plans: list[dict[str, Any]], as_json: bool) -> None:
    keys = ("id", "created_at", "as_of", "status", "author", "expires_at")
    if as_json:
        emit_json("plan", {"plans": [{key: one[key] for key in keys} for one in plans]})
        return
    table(
        "plans",
        keys,
        [[str(one[key])[:16].replace("T", " ") if key.endswith("_at") else one[key] for key in keys] for one in plans],
    )


def _problem(one: Problem) -> dict[str, Any]:
    return {
        "code": one.code,
        "severity": one.severity.value,
        "subject": one.subject,
        "fact": one.fact,
        "remedy": one.remedy,
        "refs": list(one.refs),
    }
