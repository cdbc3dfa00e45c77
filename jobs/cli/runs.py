"""platbook runs, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import PlanOption
from jobs.export import FINDINGS, ExportError, described_plan, exportable, write_table
from store.runs import Run

IN_SHORT = 80
"""Characters of a message in the list of runs."""


def runs(
    run_id: Annotated[str, typer.Argument(help="Only this run, with what it did.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Runs shown at most.")] = 20,
    json_: JsonFlag = False,
) -> None:
    """List what was run, by whom, and how it ended."""
    wired = opened()
    found = (wired.runs.get(run_id),) if run_id else wired.runs.list(limit=limit)
    if json_:
        emit_json("runs", {"runs": [asdict(one) for one in found]})
        return
    columns = ("run", "kind", "plan", "by", "started (UTC)", "status", "what")
    rows = [_row(one) for one in found]
    table("runs", columns, rows)
    for one in found if run_id else ():
        say(f"by {one.by}" + (f": {one.message}" if one.message else ""))
        for name, count in one.counts.items():
            say(f"  {name}: {count}")


def export(
    what: Annotated[
        str, typer.Argument(help="links, accounts, hierarchy, tiers, assignments, changes, decisions, audit")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .csv, .xlsx or .parquet.")],
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Write one table of the newest (or the named) plan, or the decisions or the audit log, to a file."""
    wired = opened()
    try:
        chosen = described_plan(wired, plan_id) if what in FINDINGS else wired.plans.resolve(plan_id)
        found = exportable(wired, what, chosen)
        write_table(found, output)
    except ExportError as error:
        raise Stop(str(error), Exit.USAGE) from error
    if json_:
        emit_json("export", {"what": what, "file": str(output), "rows": found.num_rows})
        return
    say(f"{found.num_rows:,} rows of {what} in {output}")


def _row(one: Run) -> tuple[object, ...]:
    who, started = one.by.partition(" (")[0], one.started_at[:19].replace("T", " ")
    return one.id, one.kind, one.plan_id, who, started, one.status, _in_short(one.message) or _counted(one.counts)


def _in_short(message: str) -> str:
    """The beginning of a message, for a table; `platbook runs RUN` has the whole."""
    return message if len(message) <= IN_SHORT else f"{message[:IN_SHORT].rstrip()} …"


def _counted(counts: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in counts.items() if v) if isinstance(counts, dict) else ""
