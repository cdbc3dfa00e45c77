"""platbook crm-fields: the custom fields Platbook needs in the CRMs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.crm_fields import CrmField, create_in_hubspot, crm_fields, excess, write_salesforce_source
from jobs.persons import require_admin
from jobs.wiring import HUBSPOT, SALESFORCE

app = typer.Typer(no_args_is_help=True, help="The custom fields Platbook needs: what is missing, and making them.")

SourceOption = Annotated[
    Path | None,
    typer.Option("--salesforce-source", help="Write metadata source to deploy for Salesforce into this folder."),
]


@app.command("plan")
def plan(salesforce_source: SourceOption = None, json_: JsonFlag = False) -> None:
    """Show which custom fields are missing or not as they have to be, and excess privilege. Writes to no CRM."""
    wired = opened()
    fields = crm_fields(wired)
    beyond = {kind: list(excess(wired, kind)) for kind in wired.kinds}
    files = write_salesforce_source(wired, fields, salesforce_source) if salesforce_source is not None else ()
    if json_:
        payload = {"fields": [asdict(one) for one in fields], "excess": beyond, "files": [str(one) for one in files]}
        emit_json("crm-fields plan", payload)
    else:
        _show(fields)
        for kind, lines in beyond.items():
            for line in lines:
                say(f"{kind}: more than the work needs: {line}", style="red")
        for path in files:
            say(f"written: {path}")
    if any(one.status != "there" for one in fields):
        raise Stop("", Exit.NEEDS_PERSON)


@app.command("create")
def create(json_: JsonFlag = False) -> None:
    """Make the missing properties in HubSpot. Salesforce: deploy what `crm-fields plan --salesforce-source` writes."""
    wired = opened()
    require_admin(wired, "crm-fields create")
    if HUBSPOT not in wired.kinds:
        raise Stop(
            "crm-fields create: HubSpot is not configured. For Salesforce, `crm-fields plan --salesforce-source DIR` "
            "writes the fields and a permission set for your administrator to deploy",
            Exit.NEEDS_PERSON,
        )
    made = create_in_hubspot(wired, tuple(one for one in crm_fields(wired) if one.status == "missing"))
    left = [one for one in crm_fields(wired) if one.status != "there"]
    if json_:
        emit_json("crm-fields create", {"made": {HUBSPOT: list(made)}, "left": [asdict(one) for one in left]})
    else:
        say(f"hubspot: {len(made)} properties made" + (f": {', '.join(made)}" if made else ""))
        if any(one.connection == SALESFORCE for one in left):
            say("salesforce: deploy what `platbook crm-fields plan --salesforce-source DIR` writes")
    if left:
        raise Stop("", Exit.NEEDS_PERSON)


def _show(fields: tuple[CrmField, ...]) -> None:
    rows = [(one.status, one.connection, one.native, one.label, one.kind, one.found) for one in fields]
    table("custom fields", ("status", "connection", "name", "label", "wanted", "found"), rows)
