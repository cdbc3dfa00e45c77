"""platbook doctor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from connectors.errors import ConnectorError
from connectors.salesforce.ids import is_id
from connectors.salesforce.target import SalesforceTarget
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, table, visible
from jobs.crm_fields import excess
from jobs.persons import require
from jobs.settings import ENV_FILE
from jobs.wiring import CONDITIONS, SALESFORCE, Wired
from mappings.canonical import MANAGED
from mappings.load import MappingError
from mappings.translate import native_fields
from store.connections import Mode
from store.database import StoreError
from store.persons import Role


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


ProveOption = Annotated[
    str,
    typer.Option(
        "--prove-conditions",
        metavar="RECORD",
        help="Prove on this Salesforce account, made to be thrown away, that conditional writes hold inside composite.",
    ),
]


def doctor(prove_conditions: ProveOption = "", json_: JsonFlag = False) -> None:
    """Check settings, mappings, database, credentials, fields and privileges; say what a person has to do.

    Writes nothing, but for --prove-conditions: one request that Salesforce has to refuse.
    """
    wired = opened(migrate=False)
    checks = tuple(examine(wired))
    if prove_conditions:
        checks = (*checks, prove(opened(), prove_conditions))
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
    yield from _readable_secrets(wired)
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


def _readable_secrets(wired: Wired) -> Iterator[Check]:
    """One line per file with secrets or customers' data that every user of this machine can read or change."""
    places = (
        ("settings", ENV_FILE, 0o077),
        ("private key", wired.settings.salesforce.private_key_file, 0o077),
        ("database file", Path(wired.database.file) if wired.database.file else None, 0o007),
    )
    for name, path, barred in places:
        if path is None or not path.is_file() or not path.stat().st_mode & barred:
            continue
        found = f"{path} can be read by others (mode {path.stat().st_mode & 0o777:o})"
        remedy = f"chmod {'600' if barred == 0o077 else 'o-rwx'} {path}"
        yield Check(name=name, is_ok=False, found=found, remedy=remedy)


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
    yield from _excess(wired, kind)
    if kind == SALESFORCE:
        yield _conditions(wired)


def _conditions(wired: Wired) -> Check:
    known = wired.proven(SALESFORCE)
    words = {
        True: f"proven on {str(known.get(f'{CONDITIONS}_at'))[:10]}: 25 owners or parents a call",
        False: "proven not to hold inside composite: one record a call",
    }
    holds = known.get(CONDITIONS)
    told = (
        words[bool(holds)] if holds is not None else "taken from the documentation; --prove-conditions RECORD proves it"
    )
    return Check(name="salesforce conditions", is_ok=True, found=told)


def prove(wired: Wired, record_id: str) -> Check:
    """Whether the organisation refuses a stale write inside a composite call; the answer decides the lane from now on.

    The record must be one that nobody needs: where the write is not refused its stamps change, though no value does.
    """
    require(wired, Role.ADMIN, "doctor --prove-conditions")
    if not is_id(record_id):
        fact = f'"{visible(record_id)}" is no Salesforce record id; expected 15 or 18 letters and digits'
        raise Stop(f"--prove-conditions: {fact}", Exit.USAGE)
    if SALESFORCE not in wired.kinds:
        raise Stop("--prove-conditions: no Salesforce is configured", Exit.USAGE)
    if wired.pins.modes().get(SALESFORCE) is Mode.OBSERVE:
        raise Stop("--prove-conditions: salesforce is in mode observe, where nothing is sent", Exit.NEEDS_PERSON)
    target = wired.connect(SALESFORCE).target
    if not isinstance(target, SalesforceTarget):
        raise TypeError("the Salesforce connection has no Salesforce target")
    lease = wired.leases.acquire(SALESFORCE, op="doctor --prove-conditions", who=wired.person.name)
    with wired.leases.keeping(lease):
        stamp = f"doctor/{lease.epoch}"
        if target.read([record_id], ["Id"], versions=False).get(record_id) is None:
            raise Stop(f"--prove-conditions: account {record_id} is not there, or not visible to us", Exit.USAGE)
        holds = target.honours_conditions(record_id, stamp=stamp, before_send=lambda: wired.leases.renew(lease))
    wired.pins.prove(SALESFORCE, CONDITIONS, holds=holds, by=wired.person, how=f"account {record_id}")
    if holds:
        found = "proven: a stale write inside composite is refused; 25 owners or parents a call"
        return Check(name="salesforce conditions", is_ok=True, found=found)
    found = "not honoured inside composite: written one record a call from now on"
    return Check(name="salesforce conditions", is_ok=True, found=found)


def _excess(wired: Wired, kind: str) -> Iterator[Check]:
    """One line per privilege beyond the work."""
    try:
        found = excess(wired, kind)
    except ConnectorError as error:
        yield Check(name=f"{kind} privileges", is_ok=True, found=f"could not be looked at ({error})")
        return
    for one in found:
        remedy = "Take it from the integration user's profile or permission sets"
        yield Check(name=f"{kind} privilege", is_ok=False, found=one, remedy=remedy)
    if not found and kind == SALESFORCE:
        yield Check(name=f"{kind} privileges", is_ok=True, found="nothing beyond the work")


def _mail(wired: Wired) -> Check:
    alerts, smtp = wired.mappings.policies.alerts, wired.settings.smtp
    if not alerts.recipients:
        return Check(name="mail", is_ok=True, found="no recipients in policies/alerts.yaml: no mail is made")
    where = f"{smtp.host}:{smtp.port}" if smtp.host else "PLATBOOK_SMTP__HOST is not set: mails wait in the outbox"
    return Check(name="mail", is_ok=True, found=f"{len(alerts.recipients)} recipients, {where}")
