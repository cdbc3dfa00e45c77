"""platbook route: where a lead goes and why, for one or for a file; replay, and what if."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, steps, table
from jobs.export import FORMATS, ExportError, write_table
from jobs.route import Answer, outcomes, read_lead, read_leads, replay_decision, route_leads, step_rows, suppose
from jobs.wiring import Wired
from sync.territory.lead_records import routed_text
from sync.territory.leads import Outcome, Routed

SHOWN = 40
"""Leads of a batch shown in the table; a file has them all."""

_TRACE = ("stage", "rule_id", "verdict", "expression", "effect")
_BATCH = ("lead", "organisation", "outcome", "assignee", "queue", "account_name", "rule", "decision")


def route(
    lead: Annotated[str, typer.Option(help="One lead: JSON text, or a JSON file.")] = "",
    leads: Annotated[Path | None, typer.Option(help="Many leads: a CSV file with a header.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a batch to .csv, .xlsx, .parquet.")
    ] = None,
    replay: Annotated[str, typer.Option(help="Decide again from what was kept with this decision.")] = "",
    if_: Annotated[
        list[str] | None,
        typer.Option("--if", help="field=value: what if it were so? Beside the real answer; not kept."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the decision, to be replayed.")] = True,
    json_: JsonFlag = False,
) -> None:
    """Say who gets a lead, by which rule, and why every other rule did not decide. Writes nothing to any CRM."""
    if sum(map(bool, (lead, leads, replay))) != 1:
        raise Stop("route: give one of --lead, --leads and --replay", Exit.USAGE)
    if if_ and not lead:
        raise Stop("route: --if needs --lead; it changes one lead", Exit.USAGE)
    if output and not leads:
        raise Stop("route: -o needs --leads; one decision is printed", Exit.USAGE)
    if output and output.suffix not in FORMATS:
        raise Stop(f"route: {output.name}: the name must end with one of {', '.join(FORMATS)}", Exit.USAGE)
    if replay:
        _replay(opened(), replay, json_)
    elif if_:
        _suppose(lead, if_, json_)
    elif leads:
        _batch(leads, output, keep=keep, as_json=json_)
    else:
        _one(lead, keep=keep, as_json=json_)


def _one(text: str, *, keep: bool, as_json: bool) -> None:
    lead = read_lead(text)
    [answer] = route_leads(opened(), [lead], keep=keep)
    if as_json:
        emit_json("route", {"decisions": [answer.as_dict()]})
        return
    show(answer.routed)
    if answer.id:
        say(f"\nkept as {answer.id}, with everything it rests on: platbook route --replay {answer.id}")


def _batch(file: Path, output: Path | None, *, keep: bool, as_json: bool) -> None:
    leads = read_leads(file)
    wired = opened()
    with steps() as progress:
        answers = route_leads(wired, leads, keep=keep, progress=progress)
    rows = [answer.as_row() for answer in answers]
    if output:
        try:
            write_table(pa.Table.from_pylist(rows) if rows else pa.table({"lead": pa.array([], pa.string())}), output)
        except (ExportError, OSError) as error:
            raise Stop(f"{output}: {error}", Exit.ERROR) from error
    if as_json:
        emit_json("route", {"counts": outcomes(answers), "decisions": [answer.as_dict() for answer in answers]})
        return
    table("leads", _BATCH, [[row[name] for name in _BATCH] for row in rows], limit=SHOWN)
    say(", ".join(f"{count:,} {name}" for name, count in outcomes(answers).items()))
    if output:
        say(f"{len(rows):,} rows in {output}")


def _suppose(text: str, given: list[str], as_json: bool) -> None:
    so, other = suppose(opened(), read_lead(text), given)
    if as_json:
        emit_json("route", {"if": given, "is": so.as_dict(), "would_be": other.as_dict()})
        return
    say(f"as it is: {_sentence(so.routed)}")
    say(f"if {' and '.join(given)}: {_sentence(other.routed)}")
    table("rules that come out otherwise", ("rule_id", "is", "would be", "effect then"), _differences(so, other))


def _replay(wired: Wired, wanted: str, as_json: bool) -> None:
    found = replay_decision(wired, wanted)
    stored = found.stored
    rules_now = wired.mappings.digest == stored.ruleset_digest
    if as_json:
        emit_json(
            "route",
            {
                "replay": stored.id,
                "identical": found.identical,
                "as_of": stored.decided.as_of,
                "by": stored.by,
                "at": stored.at,
                "ruleset_digest": stored.ruleset_digest,
                "ruleset_is_current": rules_now,
                "snapshot_ids": list(stored.snapshot_ids),
                "decision": json.loads(routed_text(found.now)),
            },
        )
    else:
        show(found.now)
        ruled = "the rules are the same today" if rules_now else "the rules have changed since"
        same = "the same decision and trace, byte for byte" if found.identical else "ANOTHER decision than was kept"
        say(f"\n{stored.id} of {stored.decided.as_of}, by {stored.by}: {same}; {ruled}")
    if not found.identical:
        raise Stop("", Exit.ERROR)


def show(routed: Routed) -> None:
    """The decision in a sentence, then every rule."""
    say(_sentence(routed), style="bold")
    for helper in routed.collaborators:
        say(f"with {helper.email}, as {helper.role.replace('_', ' ')}")
    if routed.redirected_from:
        say(f"account {routed.redirected_from} is closed; {routed.account_name} took over")
    for name in routed.unknown:
        say(f"nobody knows: {name}")
    for alert in routed.alerts:
        say(f"alert: {alert}")
    rows = [[row[name] for name in _TRACE] for row in step_rows(routed)]
    table("every rule", ("stage", "rule", "T/F/U", "asked, with [what is so]", "effect"), rows)


def _sentence(routed: Routed) -> str:
    account = f"{routed.account_name} ({routed.account_id})" if routed.account_id else "no known account"
    queue = f" of queue {routed.queue}" if routed.queue else ""
    told = {
        Outcome.ASSIGNED: f"{routed.assignee} gets it as {(routed.assigned_as or '').replace('_', ' ')}{queue}",
        Outcome.AMBIGUOUS: f"a person must choose the account; it waits in {routed.queue}",
        Outcome.REJECTED: "it is no lead",
        Outcome.UNASSIGNED: f"nobody is there to take it; it waits in {routed.queue}",
    }
    return f"{told[routed.outcome]}: {account}, by rule {routed.rule_id}"


def _differences(so: Answer, other: Answer) -> list[tuple[str, str, str, str]]:
    before = {step.rule_id: step for step in so.routed.trace}
    return [
        (step.rule_id, was.verdict if (was := before.get(step.rule_id)) else "not asked", step.verdict, step.effect)
        for step in other.routed.trace
        if step.rule_id not in before or before[step.rule_id] != step
    ]
