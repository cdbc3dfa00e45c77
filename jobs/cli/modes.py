"""platbook mode: how far Platbook may go on a connection by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, table
from jobs.persons import require_admin
from jobs.wiring import HUBSPOT, SALESFORCE
from store.connections import Mode


def mode(
    connection: Annotated[str, typer.Argument(help="salesforce or hubspot; empty = show all.")] = "",
    to: Annotated[Mode | None, typer.Argument(help="observe, propose or auto; empty = show.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show or set how far Platbook may go: observe (plans only), propose (what a person approved), auto."""
    wired = opened()
    if to is not None:
        if connection not in (SALESFORCE, HUBSPOT):
            raise Stop(f'mode: no connection "{connection}"; expected {SALESFORCE} or {HUBSPOT}', Exit.USAGE)
        require_admin(wired, f"mode {connection}")
        wired.pins.set_mode(connection, to, kind=connection, by=wired.person)
    known = dict.fromkeys(wired.kinds, Mode.AUTO) | wired.pins.modes()
    shown = {name: one.value for name, one in sorted(known.items()) if connection in ("", name)}
    if json_:
        emit_json("mode", {"modes": shown})
        return
    table("", ("connection", "mode"), list(shown.items()))
