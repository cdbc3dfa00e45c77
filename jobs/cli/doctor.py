"""platbook doctor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from connectors.errors import ConnectorError
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, table
from jobs.wiring import Wired
from mappings.canonical import MANAGED
from mappings.load import MappingError
from mappings.translate import native_fields
from store.connections import Mode
from store.database import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    is_ok: bool
    found: str
    remedy: str = ""


_MODE_WORDS = {
    Mode.OBSERVE: "plans only, nothing is written",
    Mode.PROPOSE: "what a person approved is written",
    Mode.AUTO: "what the policy approves by itself is written too",
}


def doctor(json_: JsonFlag = False) -> None:
    """Check settings, mappings, database, credentials and fields; say what a person has to do. Writes nothing."""
    wired = opened(migrate=False)
    checks = tuple(examine(wired))
    if json_:
        emit_json("doctor", {"checks": [asdict(check) for check in checks]})
    else:
        rows = [("ok" if c.is_ok else "TO DO", c.name, c.found, c.remedy) for c in checks]
        table("", ("", "check", "found", "what to do"), rows)
    if not all(check.is_ok for check in checks):
        raise Stop("", Exit.NEEDS_PERSON)


def examine(wired: Wired) -> Iterator[Check]:
    """Every check in order. A later check is left out where it needs what an earlier one did not find."""
    yield _mappings(wired)
    yield _database(wired)
    if not wired.kinds:
        yield Check(
            name="credentials",
            is_ok=False,
            found="no CRM is configured",
            remedy="Set PLATBOOK_SALESFORCE__CLIENT_ID and its secret, or PLATBOOK_HUBSPOT__ACCESS_TOKEN",
        )
    for kind in wired.kinds:
        yield from _connection(wired, kind)
    yield _mail(wired)


def _mappings(wired: Wired) -> Check:
    try:
        mappings = wired.mappings
    except MappingError as error:
        return Check(name="mappings", is_ok=False, found=str(error), remedy="Correct the files")
    reps = len(mappings.policies.reps.reps)
    return Check(name="mappings", is_ok=True, found=f"digest {mappings.digest[:12]}, {reps} people on the roster")


def _database(wired: Wired) -> Check:
    try:
        wired.database.migrate()
        wired.database.check()
    except StoreError as error:
        return Check(name="database", is_ok=False, found=error.fact, remedy=error.remedy)
    return Check(name="database", is_ok=True, found=wired.database.subject)


def _connection(wired: Wired, kind: str) -> Iterator[Check]:
    try:
        connection = wired.connect(kind)
        org = connection.source.org()
    except (ConnectorError, MappingError) as error:
        yield Check(name=kind, is_ok=False, found=str(error), remedy="See docs/configuration.md")
        return
    pinned = wired.pins.org_ids().get(kind, org.org_id)
    yield Check(
        name=kind,
        is_ok=pinned == org.org_id,
        found=f"organisation {org.org_id} {org.name} (API {org.api_version})",
        remedy="" if pinned == org.org_id else f"This database belongs to organisation {pinned}; use another database",
    )
    mode = wired.pins.modes().get(kind, Mode.AUTO)
    yield Check(name=f"{kind} mode", is_ok=True, found=f"{mode.value}: {_MODE_WORDS[mode]}")
    accounts = connection.map.objects["account"]
    described = {field.name: field for field in connection.source.describe(accounts.native)}
    _, missing = native_fields(accounts, frozenset(described))
    yield Check(
        name=f"{kind} fields",
        is_ok=not missing,
        found=f"{len(described)} fields visible" + (f"; not visible: {', '.join(missing)}" if missing else ""),
        remedy="Create them, grant read access, or correct the field map" if missing else "",
    )
    pushed = [spec.native for name, spec in accounts.fields.items() if name in MANAGED and spec.push]
    fixed = [n for n in pushed if n in described and not described[n].updateable and n != "hs_parent_company_id"]
    yield Check(
        name=f"{kind} write access",
        is_ok=not fixed,
        found=f"read-only to us: {', '.join(fixed)}" if fixed else "all pushed fields that are visible are writable",
        remedy="Grant edit access to these fields, or take push: true off in the field map" if fixed else "",
    )


def _mail(wired: Wired) -> Check:
    alerts, smtp = wired.mappings.policies.alerts, wired.settings.smtp
    if not alerts.recipients:
        return Check(name="mail", is_ok=True, found="no recipients in policies/alerts.yaml: no mail is made")
    where = f"{smtp.host}:{smtp.port}" if smtp.host else "PLATBOOK_SMTP__HOST is not set: mails wait in the outbox"
    return Check(name="mail", is_ok=True, found=f"{len(alerts.recipients)} recipients, {where}")
