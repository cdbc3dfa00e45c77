"""platbook identity report, review, decide, explain, fit."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from jobs.charts import ChartError, save, stacked
from jobs.cli.exits import Exit, Stop
from jobs.cli.links import ChartOption, draw_story, party, show_story, story_payload
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import ReasonOption
from jobs.identity import UnknownParty, Waiting, explain, judged, named, queue
from jobs.identity_file import as_yaml
from jobs.identity_fit import FitUnavailable, TooFewDecisions, fit
from jobs.identity_report import BANDS, IdentityReport, report
from jobs.sheets import write_sheets
from jobs.wiring import Wired
from jobs.world import load_world
from store.link_decisions import LinkVerdict
from sync.identity.duplicates import Duplicate
from sync.identity.sticky import Party

app = typer.Typer(help="Which records are one organisation: what is linked, what waits for a person, and why.")

VerdictOption = Annotated[
    LinkVerdict | None, typer.Option("--verdict", help="link, or not_link. It wins for ever; a newer word replaces it.")
]
ROWS_SHOWN = 40
T = TypeVar("T")


@app.command("report")
def show_report(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the tables to this .xlsx file.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Draw the bands to this .svg or .png file.")] = None,
    json_: JsonFlag = False,
) -> None:
    """What is linked and by what, what waits for a person, which records are duplicates, what contradicts itself."""
    found = report(opened())
    if chart is not None:
        _draw(found, chart)
    if output is not None:
        _write(found, output)
    if json_:
        emit_json("identity report", _report(found))
        return
    _show(found)


def _draw(found: IdentityReport, path: Path) -> None:
    try:
        title = f"{found.accounts:,} organisations: how their records and firms are linked"
        save(stacked(found.bands, by="source", part="band", value="rows", order=BANDS, title=title), path)
    except (ChartError, OSError) as error:
        raise Stop(f"--chart {path.name}: {error}", Exit.USAGE) from error


def _write(found: IdentityReport, path: Path) -> None:
    if path.suffix != ".xlsx":
        raise Stop(f"{path.name}: the name must end with .xlsx", Exit.USAGE)
    sheets = {
        "bands": found.bands,
        "coverage": found.coverage,
        "waiting": [_waiting_row(one) for one in found.waiting],
        "duplicates": [_duplicate_row(one) for one in found.duplicates],
        "conflicts": found.conflicts,
    }
    try:
        write_sheets(sheets, path)
    except OSError as error:
        raise Stop(f"{path}: cannot be written ({error.strerror})") from error


def _report(found: IdentityReport) -> dict[str, Any]:
    return {
        "by_source": found.by_source,
        "accounts": found.accounts,
        "bands": found.bands,
        "coverage": found.coverage,
        "conflicts": found.conflicts,
        "waiting": [_waiting(one) for one in found.waiting],
        "duplicates": [
            {
                "record": list(one.record),
                "other": list(one.other),
                "names": [one.name, one.other_name],
                "in_one_crm": one.is_in_one_crm,
                "chance": round(one.chance, 4),
                "because": one.because,
                "parts": dict(one.parts),
            }
            for one in found.duplicates
        ],
        "model": dict(found.model),
    }


def _show(found: IdentityReport) -> None:
    bands = [(row["source"], row["band"], f"{row['rows']:,}", f"{row['pct']:.1f} %") for row in found.bands]
    table(f"{found.accounts:,} organisations", ("source", "band", "rows", "share"), bands)
    covered = [
        (row["source"], row["in"], f"{row['rows']:,} of {row['of']:,}", f"{row['pct']:.1f} %") for row in found.coverage
    ]
    table("with a counterpart", ("rows of", "in", "rows", "share"), covered)
    inside = [one for one in found.duplicates if one.is_in_one_crm]
    say(f"{len(found.waiting):,} pairs wait for a person: `platbook identity review`")
    say(f"{len(found.duplicates) - len(inside):,} organisations stand in both CRMs, as they may")
    shown = [(*one.record, one.name, one.other[1], one.other_name, f"{one.chance:.0%}") for one in inside]
    columns = ("CRM", "record", "name", "duplicate", "name", "chance")
    table(f"{len(inside):,} duplicates inside one CRM; merge them there", columns, shown, limit=ROWS_SHOWN)
    conflicts = [tuple(row.values()) for row in found.conflicts]
    title = f"{len(conflicts):,} identifiers that cannot all be right"
    table(title, ("code", "source", "id", "name", "what is wrong"), conflicts, limit=ROWS_SHOWN)


def _duplicate_row(one: Duplicate) -> dict[str, Any]:
    return {
        "where": f"inside {one.record[0]}" if one.is_in_one_crm else "in both CRMs",
        "record": party(one.record),
        "name": one.name,
        "other": party(one.other),
        "other_name": one.other_name,
        "chance_pct": round(100 * one.chance, 1),
        "because": one.because,
    }


def _waiting_row(one: Waiting) -> dict[str, Any]:
    """A pair of the queue as a row for people."""
    return {
        "pair": one.id,
        "firm": party(one.pair.party),
        "firm_name": one.pair.name,
        "record": party(one.pair.other),
        "record_name": one.pair.other_name,
        "chance_pct": round(100 * one.pair.chance, 1),
        "open_pipeline_usd": one.pipeline_cents // 100,
        "why_it_waits": one.pair.reason,
    }


@app.command()
def review(
    pairs: Annotated[list[str] | None, typer.Argument(help="Ids of pairs to decide; none = list the queue.")] = None,
    verdict: VerdictOption = None,
    reason: ReasonOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows shown at most.")] = ROWS_SHOWN,
    json_: JsonFlag = False,
) -> None:
    """List the pairs that wait for a person, most valuable first; or decide some of them."""
    wired = opened()
    waiting = queue(wired, *judged(wired))
    if pairs:
        chosen = _found(lambda: named(waiting, pairs))
        _decide(wired, [(one.pair.party, one.pair.other) for one in chosen], verdict, reason, json_)
        return
    if json_:
        emit_json("identity review", {"waiting": [_waiting(one) for one in waiting]})
        return
    rows = [
        (
            *(one.id, one.pair.name, one.pair.other_name, party(one.pair.party), party(one.pair.other)),
            *(f"{one.pair.chance:.0%}", f"${one.pipeline_cents // 100:,}", one.pair.reason),
        )
        for one in waiting
    ]
    columns = ("pair", "firm", "record", "firm id", "record id", "chance", "open pipeline", "why it waits")
    table(f"{len(waiting):,} pairs wait for a decision", columns, rows, limit=limit)


@app.command()
def decide(
    first: Annotated[str, typer.Argument(help="A record or firm as source:id, such as salesforce:001...")],
    second: Annotated[str, typer.Argument(help="The other one.")],
    verdict: VerdictOption = None,
    reason: ReasonOption = "",
    json_: JsonFlag = False,
) -> None:
    """Say of any two records or firms that they are one organisation, or that they are not."""
    wired = opened()
    pair = (_named(first), _named(second))
    if pair[0] == pair[1]:
        raise Stop(f"{first} is named twice; name two different records or firms", Exit.USAGE)
    known = {(row["source"], row["source_id"]) for row in wired.engine.rows(judged(wired)[1].links)}
    for one in pair:
        if one not in known:
            raise Stop(f"{party(one)}: no live record or firm of this id; see `platbook identity explain`", Exit.USAGE)
    _decide(wired, [pair], verdict, reason, json_)


@app.command("explain")
def show_explanation(
    name: Annotated[str, typer.Argument(help="Record id, firm id or account id.")],
    chart: ChartOption = None,
    json_: JsonFlag = False,
) -> None:
    """How each member of an account is linked now: the key, or each theme's part of the weight, and what is open."""
    wired = opened()
    story = _found(lambda: explain(wired, name))
    if chart is not None:
        draw_story(story, wired.mappings.policies.identity.model, chart)
    if json_:
        emit_json("identity explain", story_payload(story))
        return
    show_story(story)


@app.command("fit")
def fit_model(
    to: Annotated[Path, typer.Option("--to", help="Where the new identity.yaml goes; into your mappings folder.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with source, source_id, other_source, other_id, verdict; default: decisions made here."),
    ] = None,
    version: Annotated[str, typer.Option(help="Name of the new model.")] = "own-1",
    json_: JsonFlag = False,
) -> None:
    """Fit the model on your own decisions, with whole states held out to judge it. Refuses when they are too few."""
    wired = opened()
    known = _labels(wired, labels)
    policy = wired.mappings.policies.identity
    try:
        fitted = fit(
            load_world(wired, wired.as_of()).world,
            policy,
            wired.mappings.places,
            lambda a, b: known.get((a, b), known.get((b, a))),
            wired.engine,
            version=version,
            fitted_on=f"{len(known):,} decisions of this installation",
        )
    except (TooFewDecisions, FitUnavailable) as error:
        raise Stop(str(error), Exit.NEEDS_PERSON) from None
    head = policy.policy.model_copy(update={"version": policy.policy.version + 1})
    to.write_text(as_yaml(policy.model_copy(update={"policy": head, "model": fitted.model})), encoding="utf-8")
    figures = dict(fitted.model.figures)
    if json_:
        emit_json("identity fit", {"file": str(to), "version": version, "figures": figures})
        return
    say(f"{to}: model {version}, fitted on {fitted.model.decisions:,} pairs in {fitted.model.groups} states")
    for name, value in figures.items():
        say(f"  {name.replace('_', ' ')}: {value:.4f} (states held out)")


def _labels(wired: Wired, path: Path | None) -> dict[tuple[Party, Party], bool]:
    if path is None:
        rows = wired.link_decisions.table().to_pylist()
    else:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    try:
        return {
            ((r["source"], r["source_id"]), (r["other_source"], r["other_id"])): LinkVerdict(r["verdict"])
            is LinkVerdict.LINK
            for r in rows
        }
    except (KeyError, ValueError) as error:
        raise Stop(
            f"{path}: {error}; expected the columns source, source_id, other_source, other_id, verdict, and the "
            "verdicts link or not_link",
            Exit.USAGE,
        ) from None


def _decide(
    wired: Wired, pairs: list[tuple[Party, Party]], verdict: LinkVerdict | None, reason: str, as_json: bool
) -> None:
    if verdict is None or not reason.strip():
        raise Stop("--verdict and --reason are both needed; they stand in the audit beside your name", Exit.USAGE)
    count = wired.link_decisions.decide(pairs, verdict, person=wired.person, reason=reason)
    if as_json:
        payload = {"pairs": [[list(a), list(b)] for a, b in pairs], "verdict": verdict.value, "by": wired.person.label}
        emit_json("identity review", payload)
        return
    say(f"{count:,} pairs: {verdict.value.replace('_', ' ')}, by {wired.person.label}. The next plan follows it.")


def _found(look: Callable[[], T]) -> T:
    try:
        return look()
    except UnknownParty as error:
        raise Stop(str(error), Exit.USAGE) from None


def _named(text: str) -> Party:
    source, colon, source_id = text.partition(":")
    if not colon or not source or not source_id:
        raise Stop(f"{text}: expected source:id, such as salesforce:001... or definitive:123456", Exit.USAGE)
    return source, source_id


def _waiting(one: Waiting) -> dict[str, Any]:
    return {
        "id": one.id,
        "party": list(one.pair.party),
        "other": list(one.pair.other),
        "names": [one.pair.name, one.pair.other_name],
        "chance": round(one.pair.chance, 4),
        "reason": one.pair.reason,
        "parts": one.pair.parts,
        "pipeline_cents": one.pipeline_cents,
    }
