"""platbook pull."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, steps, table
from jobs.pull import ConnectionPull
from jobs.pull import pull as pull_all


def pull(
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what changed.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Read accounts, users, opportunities, teams and field history from every configured CRM. Writes nothing there."""
    wired = opened()
    with steps() as progress:
        pulled = pull_all(wired, full=full, progress=progress)
    if json_:
        emit_json("pull", {"connections": [asdict(one) for one in pulled]})
        return
    show_pull(pulled)


def show_pull(pulled: tuple[ConnectionPull, ...]) -> None:
    """What came, per connection and object, and what it cost."""
    for one in pulled:
        table(
            f"{one.connection}: {one.org.name or one.org.org_id}",
            ("object", "mode", "rows read", "rows now", "deleted"),
            [(o.object, o.mode, f"{o.seen:,}", f"{o.total:,}", f"{o.deleted:,}") for o in one.objects],
        )
        say(f"{one.calls} calls, floor {one.floor}")
        if one.missing:
            say(
                f"not readable in {one.connection}, so not managed there: {', '.join(one.missing)}. "
                "Create these fields or grant access, or correct the field map.",
                style="yellow",
            )
        say()
