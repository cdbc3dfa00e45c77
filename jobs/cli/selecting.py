"""The options by which verbs name a plan and rows of it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from jobs.cli.exits import Exit, Stop
from jobs.present import ROW_FIELDS, PlanView
from sync.planning.selectors import parse

PlanOption = Annotated[str, typer.Option("--plan", help="Plan id, the beginning of one, or latest.")]
WhereOption = Annotated[
    str, typer.Option("--where", help='Rows meant, such as "state=conflict and owner_from=maria@acme.example".')
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stands in the audit.")]


def day(text: str | None, option: str) -> str | None:
    """The day an option names, as it is written; ends the command where that is no day."""
    try:
        if text is None or date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise Stop(f'{option}: "{text}" is not a day; expected YYYY-MM-DD, such as 2026-01-31', Exit.USAGE)


def select_rows(view: PlanView, where: str) -> list[dict[str, Any]]:
    """The plan's rows that a selector means, in the plan's order. Raises SelectorError."""
    wanted = parse(where, ROW_FIELDS)
    return [row for row in view.rows() if wanted(row)]


def decidable(rows: list[dict[str, Any]], actions: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows a verdict can be given on; ends the command when a selector names none."""
    found = [row for row in rows if row["action"] in actions]
    to_review = sum(row["action"] == "review" for row in rows)
    if not found and to_review:
        raise Stop(
            f"what is selected is for review ({to_review:,} items): it would write over a value in the CRM. "
            "--take-ours does that, `platbook keep` leaves the value, `platbook reject` refuses ours",
            Exit.ERROR,
        )
    if not found:
        raise Stop(
            f"no item that waits for a decision ({' or '.join(actions)}) is among the rows selected; look at "
            "`platbook show --where ...` first (a selector leaves what is decided alone unless it names decision)",
            Exit.ERROR,
        )
    return found
