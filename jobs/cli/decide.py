"""platbook approve, reject, keep, import-decisions: verdicts on items, bound to their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say
from jobs.cli.selecting import PlanOption, ReasonOption, WhereOption, day, decidable, select_rows
from jobs.persons import require
from jobs.present import PlanView, view_plan
from jobs.verdict_file import Said, VerdictFileError, raise_for, read_verdicts
from jobs.wiring import Wired
from store.connections import Mode
from store.decisions import Verdict
from store.persons import Role
from store.voices import voices
from sync.planning.decisions import WRITING
from sync.planning.threeway import State

_VERDICTS = ("approve", "reject", "keep")

ItemArguments = Annotated[list[str] | None, typer.Argument(help="Item ids; or select rows with --where.")]


def approve(
    items: ItemArguments = None,
    where: WhereOption = "",
    reason: ReasonOption = "",
    plan_id: PlanOption = "latest",
    take_ours: Annotated[
        bool, typer.Option("--take-ours", help="Also conflicts, drift and takeovers: write over the value in the CRM.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Approve items of a plan, to be written by the next apply. Conflicts need --take-ours.

    Where an item asks again because something beside a kept field is proposed, the kept field stays as it is unless
    --take-ours is said.
    """
    actions = ("approve", "review") if take_ours else ("approve",)
    _decide("approve", items, where, reason, plan_id, actions, json_, take_ours=take_ours)


def reject(
    items: ItemArguments = None,
    where: WhereOption = "",
    reason: ReasonOption = "",
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Reject items: nothing is written, and the same proposal is not asked again."""
    _decide("reject", items, where, reason, plan_id, ("auto", "approve", "review"), json_)


def keep(
    items: ItemArguments = None,
    where: WhereOption = "",
    reason: ReasonOption = "",
    plan_id: PlanOption = "latest",
    until: Annotated[str | None, typer.Option(help="Keep until this day, YYYY-MM-DD; default: for good.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Keep what the CRM says: it becomes the agreed value, and the proposal is refused until it changes."""
    _decide("keep", items, where, reason, plan_id, ("auto", "approve", "review"), json_, until=day(until, "--until"))


def import_decisions(
    file: Annotated[
        Path, typer.Argument(help="What `platbook export changes` wrote, with the column verdict filled in.")
    ],
    reason: ReasonOption = "",
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Record the verdicts of a reviewed table of changes: approve, take_ours, reject or keep, all rows or none."""
    try:
        said = read_verdicts(file)
    except VerdictFileError as error:
        raise Stop(f"import-decisions: {error}") from error
    if not reason.strip() and not all(one.why for one in said):
        raise Stop("import-decisions: --reason is missing; it stands in the audit where a row has no why", Exit.USAGE)
    wired = opened()
    is_approving = any(one.verdict in ("approve", "take_ours") for one in said)
    require(wired, Role.APPROVER if is_approving else Role.REVIEWER, "import-decisions")
    chosen = wired.plans.resolve(plan_id)
    view = view_plan(wired, chosen)
    try:
        meant = _as_said(view, said, file.name, asks_for_more=_asks_for_more(wired, view))
    except VerdictFileError as error:
        raise Stop(f"import-decisions: {error}") from error
    new = {key: rows for key, rows in meant.items() if rows}
    for (verdict, why), rows in sorted(new.items()):
        decide_rows(wired, chosen, rows, _verdict(verdict), reason=why or reason)
    counts = {one: sum(len(rows) for (verdict, _), rows in new.items() if verdict == one) for one in _VERDICTS}
    as_before = len(said) - sum(counts.values())
    if json_:
        items = [row["item"] for rows in new.values() for row in rows]
        emit_json("import-decisions", {"plan": chosen, "items": items, "counts": counts, "as_before": as_before})
        return
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items() if count) or "nothing new"
    say(f"import-decisions: {told}; {as_before:,} as before, in plan {chosen}, by {wired.person.label}.")


def _as_said(
    view: PlanView, said: Sequence[Said], file: str, *, asks_for_more: bool
) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
    """Rows of the plan by verdict and reason; what was said before is left out. Raises VerdictFileError."""
    rows = {row["item"]: row for row in view.rows()}
    meant: dict[tuple[str, str], list[dict[str, Any]]] = {}
    problems = []
    for one in said:
        row = rows.get(one.item_id)
        fact = _unfit(row, one, asks_for_more=asks_for_more)
        if row is None or fact:
            problems.append(f"{file} line {one.line}: item {one.item_id}: {fact}")
            continue
        verdict = "approve" if one.verdict == "take_ours" else one.verdict
        given = _beside_kept(row) if one.verdict == "approve" else row
        if row["decision"] != _recorded(_verdict(verdict), given["action"]):
            meant.setdefault((verdict, one.why), []).append(given)
    raise_for(problems)
    return meant


def _unfit(row: Mapping[str, Any] | None, said: Said, *, asks_for_more: bool) -> str:
    """Why that cannot be said of a row of the plan; empty where it can."""
    if row is None:
        return (
            "it is not in this plan. The values moved since the export, it is of another plan (--plan), or a "
            "spreadsheet changed the id (save as .xlsx)"
        )
    action = _beside_kept(dict(row))["action"] if said.verdict == "approve" else row["action"]
    if action not in ("auto", "approve", "review"):
        return f"it is {action}, so nothing can be decided on it ({row['reason'] or row['state']})"
    if said.verdict == "approve" and action == "review":
        return "it is for review: approving would write over a value in the CRM. Say take_ours, keep or reject"
    if said.verdict in ("approve", "take_ours") and action == "auto" and not asks_for_more:
        return "the policy writes it by itself; it needs no approval. Leave the cell empty, or say reject or keep"
    return ""


def _decide(
    verb: str,
    items: list[str] | None,
    where: str,
    reason: str,
    plan_id: str,
    actions: tuple[str, ...],
    as_json: bool,
    *,
    until: str | None = None,
    take_ours: bool = True,
) -> None:
    if not items and not where:
        raise Stop(f"{verb}: name item ids, or select rows with --where (everything: --where 'item!=\"\"')", Exit.USAGE)
    if not reason.strip():
        raise Stop(f"{verb}: --reason is missing; it stands in the audit beside your name", Exit.USAGE)
    wired = opened()
    require(wired, Role.APPROVER if verb == "approve" else Role.REVIEWER, verb)
    if until is not None and until < wired.as_of():
        raise Stop(f"--until: {until} is over; the value is kept until the end of that day", Exit.USAGE)
    chosen = wired.plans.resolve(plan_id)
    view = view_plan(wired, chosen)
    if verb == "approve" and _asks_for_more(wired, view):
        actions = ("auto", *actions)
    selected = select_rows(view, where)
    is_second = verb == "approve" and wired.person.is_verified and bool(wired.mappings.policies.conflicts.requires)
    others = _approved_by_others(wired, view) if is_second else frozenset()
    meant = _named(selected, items) if items else _open(selected, where, others)
    rows = decidable([_beside_kept(row) for row in meant] if not take_ours else meant, actions)
    decide_rows(wired, chosen, rows, _verdict(verb), reason=reason, until=until)
    if as_json:
        emit_json(verb, {"plan": chosen, "items": [row["item"] for row in rows], "by": wired.person.label})
        return
    left = sum(row["action"] in ("approve", "review") and not row["decision"] for row in view.rows()) - sum(
        row["action"] in ("approve", "review") and not row["decision"] for row in rows
    )
    say(f"{verb}: {len(rows):,} items of plan {chosen}, by {wired.person.label}. {left:,} still wait for a decision.")


def _verdict(verb: str) -> Verdict:
    return {"approve": Verdict.APPROVE, "reject": Verdict.REJECT, "keep": Verdict.KEEP_CRM}[verb]


def decide_rows(
    wired: Wired,
    plan_id: str,
    rows: list[dict[str, Any]],
    verdict: Verdict,
    *,
    reason: str,
    until: str | None = None,
) -> None:
    """Record one verdict on rows of a plan. An approval of a review item means: take ours."""
    for action in sorted({row["action"] for row in rows}):
        same = [(row["fingerprint"], row["item"]) for row in rows if row["action"] == action]
        said = _recorded(verdict, action)
        wired.decisions.decide(same, said, person=wired.person, reason=reason, plan_id=plan_id, expires_at=until)


def _recorded(verdict: Verdict, action: str) -> Verdict:
    """A verdict as it is kept: an approval of what is for review means to take ours."""
    return Verdict.TAKE_OURS if verdict is Verdict.APPROVE and action == "review" else verdict


def _beside_kept(row: dict[str, Any]) -> dict[str, Any]:
    """The row; one that only asks again for what stands beside a kept field is like any that may be approved."""
    asks_again = row["action"] == "review" and row["kept"] and row["state"] == State.OVERRIDE_LAPSED
    rest = {one["field"]: one["action"] for one in row["values"] if one["field"] not in row["kept"].split(",")}
    return {**row, "action": "approve"} if asks_again and set(rest.values()) <= {"approve", "auto"} else row


def _open(rows: list[dict[str, Any]], where: str, others: frozenset[str]) -> list[dict[str, Any]]:
    """Rows nobody decided on yet: a wide selector must not undo what a person said about one item.

    A selector that speaks of decisions means what it says. `others` are fingerprints that a second person may approve.
    """
    if "decision" in where or "decided_by" in where:
        return rows
    return [row for row in rows if not row["decision"] or row["fingerprint"] in others]


def _asks_for_more(wired: Wired, view: PlanView) -> bool:
    """True where what the policy would write by itself may wait for a person."""
    policy = wired.mappings.policies.conflicts
    is_slowed = any(mode is not Mode.AUTO for mode in wired.pins.modes().values())
    return is_slowed or view.new_rules or bool(policy.requires)


def _approved_by_others(wired: Wired, view: PlanView) -> frozenset[str]:
    """Fingerprints with an approval, and none by this person: where two have to agree, he may be the second."""
    given = frozenset(key for key, one in view.decisions.items() if one.verdict in WRITING)
    heard = voices(wired.database, sorted(given))
    return frozenset(key for key in given if wired.person.name not in heard.get(key, ()))


def _named(rows: list[dict[str, Any]], items: list[str]) -> list[dict[str, Any]]:
    found = []
    for item in items:
        matching = [row for row in rows if row["item"].startswith(item)]
        if len(matching) != 1:
            what = "no item" if not matching else f"{len(matching)} items"
            raise Stop(f"{what} of this plan begins with {item}; see `platbook show` for the ids", Exit.USAGE)
        found += matching
    return found
