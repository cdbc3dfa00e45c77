"""platbook holds list, add, release."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import ReasonOption, day
from jobs.holds import add_holds, list_holds, release_holds
from jobs.persons import require
from store.persons import Role

app = typer.Typer(help="Holds: fields of a record that are not written until a day. List, add and release them.")

KINDS = ("lock", "named_account", "open_opportunity", "grandfather")

SHOWN = 50
"""Rows of a table at most; --json has them all."""

_COLUMNS = ("status", "until", "connection", "record", "name", "owner", "group", "kind", "reason", "by", "made")
_RecordWhere = Annotated[
    str,
    typer.Option("--where", help='Records meant, such as "system~mercy and state=TX" or "record=001...".'),
]
_HoldWhere = Annotated[
    str, typer.Option("--where", help='Holds meant, such as "kind=grandfather and owner=kim@x.com".')
]


@app.command("list")
def list_(
    where: _HoldWhere = "",
    every: Annotated[bool, typer.Option("--all", help="Also those that ended or were released.")] = False,
    json_: JsonFlag = False,
) -> None:
    """List the holds in force, the newest first."""
    rows = [row for row in list_holds(opened(), where) if every or row["status"] == "in force"]
    _show("holds list", rows, json_)


@app.command("add")
def add(
    where: _RecordWhere = "",
    reason: ReasonOption = "",
    until: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD. A hold needs an end.")] = None,
    kind: Annotated[str, typer.Option(help="lock, named_account, open_opportunity or grandfather.")] = "lock",
    group: Annotated[
        str, typer.Option(help="Group of fields: ownership, hierarchy, ...; * = everything.")
    ] = "ownership",
    json_: JsonFlag = False,
) -> None:
    """Hold a group of fields of every record meant: nothing of it is written until the day is over."""
    _require("add", where, reason)
    if until is None:
        raise Stop(
            "holds add: --until is missing; a hold has a last day, after which it is looked at again", Exit.USAGE
        )
    if kind not in KINDS:
        raise Stop(f'holds add: --kind: "{kind}" is not known; expected {", ".join(KINDS)}', Exit.USAGE)
    wired = opened()
    require(wired, Role.REVIEWER, "hold")
    rows = add_holds(wired, where, kind=kind, group=group, reason=reason, until=day(until, "--until"))
    if json_:
        emit_json("holds add", {"holds": rows, "group": group, "kind": kind, "until": until})
        return
    say(f"{len(rows):,} records held ({group}, {kind}) until {until}. The next plan shows them as held.")


@app.command("release")
def release(where: _HoldWhere = "", reason: ReasonOption = "", json_: JsonFlag = False) -> None:
    """End the holds meant: the next plan decides on their records as on all others."""
    _require("release", where, reason)
    wired = opened()
    require(wired, Role.APPROVER, "release a hold")  # it makes a run do more
    rows = release_holds(wired, where, reason=reason)
    if json_:
        emit_json("holds release", {"holds": rows})
        return
    say(f"{len(rows):,} holds released. The next plan decides on their records again.")


def _require(verb: str, where: str, reason: str) -> None:
    if not where:
        raise Stop(f"holds {verb}: say which are meant with --where", Exit.USAGE)
    if not reason.strip():
        raise Stop(f"holds {verb}: --reason is missing; it stands in the audit beside your name", Exit.USAGE)


def _show(verb: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit_json(verb, {"holds": rows})
        return
    table("holds", _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows], limit=SHOWN)
