"""platbook policy check, diff, assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.policies import PACKAGED, Moves, membership_moves, policy_differences, version_faults
from mappings.assumptions import assumptions as assumed
from mappings.load import MappingError
from mappings.policy import Policies

app = typer.Typer(help="Check the policies, compare them, and list what they take for granted.", no_args_is_help=True)


@app.command()
def check(json_: JsonFlag = False) -> None:
    """Load every policy with all checks; find rules changed without a new version. Exit 7 on any fault."""
    wired = opened()
    try:
        mappings = wired.mappings
    except MappingError as error:
        if json_:
            emit_json("policy check", {"problems": [str(problem) for problem in error.problems], "versions": []})
            raise Stop("", Exit.NEEDS_PERSON) from error
        raise
    faults = version_faults(wired)
    if json_:
        emit_json(
            "policy check", {"problems": [], "versions": [asdict(one) for one in faults], "digest": mappings.digest}
        )
    else:
        for one in faults:
            say(str(one), style="red")
        rows = [(n, p.policy.version, p.policy.owner, p.policy.effective_from) for n, p in _policies(mappings.policies)]
        table("policies", ("policy", "version", "owner", "in force from"), rows)
        state = "are in order" if not faults else "can be read"
        say(f"{len(rows)} policies {state}; rules digest {mappings.digest[:8]}")
    if faults:
        raise Stop("", Exit.NEEDS_PERSON)


@app.command()
def diff(
    against: Annotated[
        str, typer.Option(help="packaged, used (by the last plan), or a folder with other policies.")
    ] = PACKAGED,
    members: Annotated[
        bool, typer.Option("--members", help="Also decide the newest plan's data again and show who would move.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Show what our policies say differently, and which accounts would change tier, segment or band by it."""
    wired = opened()
    found = policy_differences(wired, against)
    moves = membership_moves(wired) if members else None
    if json_:
        emit_json("policy diff", {"differences": [asdict(one) for one in found], "moves": _moves(moves)})
        return
    rows = [(d.policy, d.path, _short(d.before), _short(d.after), "new version missing" if d.needs_version else "")
            for d in found]  # fmt: skip
    table(f"{len(rows)} differences to {against}", ("policy", "where", "there", "here", ""), rows)
    for name, counts in _moves(moves).items():
        if name != "plan":
            say()
            table(f"accounts that change {name}", ("from", "to", "accounts"),
                  [(row["from"], row["to"], row["accounts"]) for row in counts])  # fmt: skip


@app.command()
def assumptions(json_: JsonFlag = False) -> None:
    """List what the rules take for granted, each with the file that says otherwise."""
    found = assumed(opened().mappings)
    if json_:
        emit_json("policy assumptions", {"assumptions": [asdict(one) for one in found]})
        return
    table("assumptions", ("about", "assumed", "file"), [(one.topic, one.says, one.file) for one in found])


def _policies(policies: Policies) -> list[tuple[str, Any]]:
    return [(name, getattr(policies, name)) for name in Policies.model_fields]


def _moves(moves: Moves | None) -> dict[str, Any]:
    if moves is None:
        return {}
    named: Mapping[str, Mapping[tuple[str, str], int]] = {
        "tier": moves.tiers, "segment": moves.segments, "band": moves.bands
    }  # fmt: skip
    listed = {
        name: [{"from": a, "to": b, "accounts": n} for (a, b), n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))]
        for name, counts in named.items()
    }
    return {"plan": moves.plan_id, **listed}


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
