"""platbook identity report, review, decide, explain, fit."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import ReasonOption
from jobs.identity import Explained, UnknownParty, Waiting, explain, judged, named, queue, report, waterfall
from jobs.identity_file import as_yaml
from jobs.identity_fit import FitUnavailable, TooFewDecisions, fit
from jobs.wiring import Wired
from jobs.world import load_world
from store.link_decisions import LinkVerdict
from sync.identity.sticky import Party

app = typer.Typer(help="Which records are one organisation: what is linked, what waits for a person, and why.")

VerdictOption = Annotated[
    LinkVerdict | None, typer.Option("--verdict", help="link, or not_link. It wins for ever; a newer word replaces it.")
]
ROWS_SHOWN = 40
T = TypeVar("T")


@app.command("report")
def show_report(json_: JsonFlag = False) -> None:
    """What is linked and by what, what waits for a person, and which CRM records are duplicates."""
    found = report(opened())
    if json_:
        payload = {
            "by_source": found.by_source,
            "accounts": found.accounts,
            "waiting": [_waiting(one) for one in found.waiting],
            "duplicates": [
                {
                    "record": list(one.record),
                    "other": list(one.other),
                    "names": [one.name, one.other_name],
                    "in_one_crm": one.is_in_one_crm,
                    "chance": round(one.chance, 4),
                    "because": one.because,
                }
                for one in found.duplicates
            ],
            "model": dict(found.model),
        }
        emit_json("identity report", payload)
        return
    rows = [(source, how, f"{count:,}") for source, counts in found.by_source.items() for how, count in counts.items()]
    table(f"{found.accounts:,} organisations", ("source", "linked by", "rows"), rows)
    inside = [one for one in found.duplicates if one.is_in_one_crm]
    say(f"{len(found.waiting):,} pairs wait for a person: `platbook identity review`")
    say(f"{len(found.duplicates) - len(inside):,} organisations stand in both CRMs, as they may")
    shown = [(*one.record, one.name, one.other[1], one.other_name, f"{one.chance:.0%}") for one in inside]
    columns = ("CRM", "record", "name", "duplicate", "name", "chance")
    table(f"{len(inside):,} duplicates inside one CRM; merge them there", columns, shown, limit=ROWS_SHOWN)


@app.command()
def review(
    pairs: Annotated[list[str] | None, typer.Argument(help="Ids of pairs to decide; none = list the queue.")] = None,
    verdict: VerdictOption = None,
    reason: ReasonOption = "",
    limit: Annotated[int, typer.Option(help="Rows shown at most.")] = ROWS_SHOWN,
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
            *(one.id, one.pair.name, one.pair.other_name, _party(one.pair.party), _party(one.pair.other)),
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
    for party in pair:
        if party not in known:
            raise Stop(
                f"{_party(party)}: no live record or firm of this id; see `platbook identity explain`", Exit.USAGE
            )
    _decide(wired, [pair], verdict, reason, json_)


@app.command("explain")
def show_explanation(
    name: Annotated[str, typer.Argument(help="Record id, firm id or account id.")], json_: JsonFlag = False
) -> None:
    """How each member of an account was linked: the key, or each theme's part of the score, and what persons said."""
    told = _found(lambda: explain(opened(), name))
    if json_:
        emit_json("identity explain", {"links": [_explained(one) for one in told]})
        return
    for one in told:
        say(f"{_party((one.source, one.source_id))} is account {one.account_id}, linked by {one.how}", style="bold")
        for key, value in one.evidence.items():
            if key not in ("parts", "key") and value not in ("", None):
                say(f"  {key}: {value}")
        for line in waterfall(one.evidence.get("parts", {})):
            say(f"  {line}")
        for said in one.decisions:
            say(f"  {said['at'][:10]} {said['by']}: {said['verdict']}, because: {said['reason']}")


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
    to.write_text(as_yaml(policy.model_copy(update={"model": fitted.model})), encoding="utf-8")
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


def _party(party: Party) -> str:
    return ":".join(party)


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


def _explained(one: Explained) -> dict[str, Any]:
    return {
        "source": one.source,
        "source_id": one.source_id,
        "account_id": one.account_id,
        "how": one.how,
        "evidence": dict(one.evidence),
        "decisions": [dict(said) for said in one.decisions],
    }
