"""platbook drift."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import WhereOption
from jobs.drift import ROW_FIELDS, by_actor, drift_rows, written_since_pull
from sync.planning.selectors import parse


class By(StrEnum):
    """What the report is grouped by."""

    ACTOR = "actor"  # kind and person or integration


def drift(
    by: Annotated[By | None, typer.Option(help="Group by actor: who moved how much.")] = None,
    where: WhereOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows shown at most.")] = 40,
    json_: JsonFlag = False,
) -> None:
    """Show what moved in the CRMs since it was agreed, by whom, as the newest pull shows it. Writes nothing."""
    wired = opened()
    wanted = parse(where, ROW_FIELDS)
    rows = [row for row in drift_rows(wired) if wanted(row)]
    actors, is_early = by_actor(rows), written_since_pull(wired)
    if json_:
        shown = {} if by else {"rows": rows}
        emit_json("drift", {**shown, "by_actor": actors, "written_since_pull": is_early})
        return
    if is_early:
        say("A run wrote after the newest pull: what it wrote looks moved here until `platbook pull`.", style="yellow")
    say(f"{len(rows):,} values on {len({(r['connection'], r['record']) for r in rows}):,} accounts are not as agreed")
    if by is not None:
        told = [{**one, "fields": ", ".join(one["fields"]), "newest": one["newest"][:16]} for one in actors]
        columns = ("connection", "actor_kind", "actor", "values", "accounts", "fields", "newest")
        table("", columns, [[one[name] for name in columns] for one in told], limit=limit)
        return
    table("", ROW_FIELDS, [[row[name] for name in ROW_FIELDS] for row in rows], limit=limit)
