"""platbook overrides: values that persons kept against a proposal."""

from __future__ import annotations

from typing import Any

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import ReasonOption, WhereOption
from jobs.persons import require
from jobs.present import load_names
from jobs.wiring import Wired
from store import overrides
from store.persons import Role
from sync.planning.selectors import parse

app = typer.Typer(no_args_is_help=True, help="Values that persons kept against a proposal.")

ROW_FIELDS = ("status", "connection", "record", "name", "field", "kept", "refused", "until", "by", "reason", "at")
"""Columns of a row, and the words a `--where` selector may use."""


@app.command("list")
def list_(where: WhereOption = "", json_: JsonFlag = False) -> None:
    """List the overrides, the newest first: what was kept, what was refused, until when, by whom."""
    wired = opened()
    wanted = parse(where, ROW_FIELDS)
    rows = [shown for shown, _ in _rows(wired) if wanted(shown)]
    if json_:
        emit_json("overrides list", {"overrides": rows})
        return
    table("overrides", ROW_FIELDS, [[row[name] for name in ROW_FIELDS] for row in rows])


@app.command("release")
def release(where: WhereOption = "", reason: ReasonOption = "", json_: JsonFlag = False) -> None:
    """Take back overrides: the next plan asks again, and shows what was refused."""
    if not where or not reason.strip():
        raise Stop("overrides release: say which with --where, and why with --reason", Exit.USAGE)
    wired = opened()
    require(wired, Role.APPROVER, "overrides release")
    wanted = parse(where, ROW_FIELDS)
    meant = [(shown, row) for shown, row in _rows(wired) if shown["status"] == "in force" and wanted(shown)]
    overrides.release(
        wired.database, [row for _, row in meant], as_of=wired.as_of(), person=wired.person, reason=reason
    )
    if json_:
        emit_json("overrides release", {"overrides": [shown for shown, _ in meant]})
    else:
        say(f"{len(meant):,} overrides released; the next plan asks again")


def _rows(wired: Wired) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every newest override as it is shown, and as it is stored."""
    stored, today = overrides.newest(wired.database), wired.as_of()
    names = load_names(wired, sorted({row["connection"] for row in stored}))
    return [(_shown(row, names, today), row) for row in stored]


def _shown(row: dict[str, Any], names: Any, today: str) -> dict[str, Any]:
    connection, field = row["connection"], row["field"]
    lapsed = row["until"] is not None and row["until"] < today
    return {
        "status": "lapsed" if lapsed else "in force",
        "connection": connection,
        "record": row["record_id"],
        "name": names.records.get((connection, row["record_id"]), row["record_id"]),
        "field": field,
        "kept": names.value(connection, field, row["kept"]),
        "refused": names.value(connection, field, row["refused"]),
        "until": row["until"] or "",
        "by": row["by"],
        "reason": row["reason"],
        "at": row["at"][:16].replace("T", " "),
    }
