"""The custom fields that Platbook reads and pushes: what a CRM lacks of them, and how they are made there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from connectors.hubspot.properties import create_properties
from connectors.salesforce.source import SalesforceSource
from jobs.wiring import HUBSPOT, SALESFORCE, Connection, Wired, hubspot_session
from mappings.canonical import MANAGED
from store import audit

WORDS: Mapping[str, str] = {
    "ccn": "CMS Certification Number",
    "npi": "National Provider Identifier",
    "definitive_id": "Definitive ID",
    "health_system": "Health System",
    "owner_role": "Owner Role",
    "territory": "Territory",
    "routing_queue": "Routing Queue",
    "account_tier": "Account Tier",
    "tier_status": "Tier Status",
    "score": "Account Score",
    "rescore_flag": "Re-score",
    "rescore_reason": "Re-score Reason",
}
"""Label of every canonical field that no CRM has by itself."""

KINDS: Mapping[str, str] = {"rescore_flag": "checkbox", "rescore_reason": "long", "score": "number"}
"""What kind of field it is, where it is not a line of text."""

_SUITABLE = {
    SALESFORCE: {
        "checkbox": {"boolean"},
        "long": {"textarea", "string"},
        "number": {"double", "int", "percent"},
        "text": {"string", "picklist", "textarea"},
    },
    HUBSPOT: {
        "checkbox": {"bool", "enumeration"},
        "long": {"string"},
        "number": {"number"},
        "text": {"string", "enumeration"},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmField:
    """One custom field that the map names."""

    connection: str
    field: str  # canonical
    native: str
    label: str
    kind: str  # text, long, number, checkbox
    status: str  # there, missing, other type, read-only
    found: str = ""  # the CRM's own type, where it is there


def crm_fields(wired: Wired) -> tuple[CrmField, ...]:
    """Every custom field of every configured CRM, and whether it is there as it has to be. Writes nothing."""
    return tuple(one for kind in wired.kinds for one in _of(wired.connect(kind)))


def excess(wired: Wired, connection: str) -> tuple[str, ...]:
    """What the credentials allow beyond the work, one sentence each; only Salesforce tells."""
    connected = wired.connect(connection)
    if not isinstance(connected.source, SalesforceSource):
        return ()
    fields = connected.map.objects["account"].fields
    pushed = [spec.native for name, spec in fields.items() if name in MANAGED and spec.push]
    owner = wired.mappings.policies.conflicts.fields.get("owner")
    needed = {"Opportunity.Edit"} if owner is not None and owner.cascade is not None else set()
    found = connected.source.excess_privileges(pushed)
    return tuple(f"{one.name}: {one.why}" for one in found if one.name not in needed)


def create_in_hubspot(wired: Wired, missing: tuple[CrmField, ...]) -> tuple[str, ...]:
    """Make the missing properties; the names made. Audited. Raises Fatal where the token may not."""
    wanted = [_property(one) for one in missing if one.connection == HUBSPOT and one.status == "missing"]
    if not wanted:
        return ()
    made = create_properties(
        hubspot_session(wired.settings), wanted, stamp="platbook/crm-fields", before_send=lambda: None
    )
    with wired.database.state() as conn:
        entry = audit.Entry(kind="crm_fields_created", actor=wired.person.label, body={"hubspot": list(made)})
        audit.append(conn, [entry], at=wired.database.now())
    return made


def write_salesforce_source(wired: Wired, fields: tuple[CrmField, ...], folder: Path) -> tuple[Path, ...]:
    """Metadata source of the fields and of a permission set that may edit the pushed ones and nothing else.

    A Salesforce administrator reads it and deploys it (`sf project deploy start --source-dir FOLDER`).
    """
    ours = [one for one in fields if one.connection == SALESFORCE]
    pushed = wired.mappings.crms[SALESFORCE].objects["account"].fields
    texts = {
        f"objects/Account/fields/{one.native}.field-meta.xml": _field_xml(one)
        for one in ours
        if one.status == "missing"
    }
    texts["permissionsets/Platbook.permissionset-meta.xml"] = _permission_xml(
        [(one.native, pushed[one.field].push) for one in ours]
    )
    written = []
    for name, text in sorted(texts.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return tuple(written)


def _of(connection: Connection) -> Iterator[CrmField]:
    accounts = connection.map.objects["account"]
    described = {one.name: one for one in connection.source.describe(accounts.native)}
    for name, spec in accounts.fields.items():
        if name not in WORDS:
            continue
        kind = KINDS.get(name, "text")
        found = described.get(spec.native)
        status = "there"
        if found is None:
            status = "missing"
        elif found.type not in _SUITABLE[connection.kind][kind]:
            status = "other type"
        elif spec.push and not found.updateable:
            status = "read-only"
        yield CrmField(
            connection=connection.id,
            field=name,
            native=spec.native,
            label=WORDS[name],
            kind=kind,
            status=status,
            found=found.type if found else "",
        )


def _property(one: CrmField) -> dict[str, Any]:
    made = {"name": one.native, "label": one.label, "description": "Kept by Platbook"}
    if one.kind == "checkbox":
        options = [{"label": label, "value": value, "hidden": False} for label, value in _YES_NO]
        return {**made, "type": "bool", "fieldType": "booleancheckbox", "options": options}
    if one.kind == "number":
        return {**made, "type": "number", "fieldType": "number"}
    return {**made, "type": "string", "fieldType": "textarea" if one.kind == "long" else "text"}


_YES_NO = (("Yes", "true"), ("No", "false"))
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NS = 'xmlns="http://soap.sforce.com/2006/04/metadata"'


def _field_xml(one: CrmField) -> str:
    details = {
        "checkbox": "    <defaultValue>false</defaultValue>\n    <type>Checkbox</type>\n",
        "long": "    <length>4000</length>\n    <type>LongTextArea</type>\n    <visibleLines>3</visibleLines>\n",
        "number": "    <precision>3</precision>\n    <scale>0</scale>\n    <type>Number</type>\n",
        "text": "    <length>255</length>\n    <type>Text</type>\n",
    }
    history = "" if one.kind == "long" else "    <trackHistory>true</trackHistory>\n"
    return (
        f"{_XML}<CustomField {_NS}>\n    <fullName>{escape(one.native)}</fullName>\n"
        f"    <label>{escape(one.label)}</label>\n    <description>Kept by Platbook</description>\n"
        f"{history}{details[one.kind]}</CustomField>\n"
    )


def _permission_xml(fields: list[tuple[str, bool]]) -> str:
    rows = "".join(
        f"    <fieldPermissions>\n        <editable>{str(push).lower()}</editable>\n"
        f"        <field>Account.{escape(native)}</field>\n        <readable>true</readable>\n    </fieldPermissions>\n"
        for native, push in sorted(fields)
    )
    rights = {"allowCreate": False, "allowDelete": False, "allowEdit": True, "allowRead": True}
    rights |= {"modifyAllRecords": False, "viewAllRecords": True}
    told = "".join(f"        <{name}>{str(value).lower()}</{name}>\n" for name, value in rights.items())
    return (
        f"{_XML}<PermissionSet {_NS}>\n{rows}    <hasActivationRequired>false</hasActivationRequired>\n"
        f"    <label>Platbook</label>\n    <objectPermissions>\n{told}        <object>Account</object>\n"
        "    </objectPermissions>\n</PermissionSet>\n"
    )
