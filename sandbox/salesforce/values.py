"""How stored values are read: derived fields, instants, and the JSON of a record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.salesforce.schema import Field
from sandbox.world import Record, salesforce_time

_STORED_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
_ADDRESS_PARTS = ("street", "city", "state", "postalCode", "country")


def read(object_name: str, record: Mapping[str, Any], field: Field) -> Any:
    """The value of a field as the API shows it."""
    if field.type == "address":
        return _address(record, field.name.removesuffix("Address"))
    value = record.get(field.name)
    if value is None:
        value = _derived(object_name, record, field.name)
    if value == "":
        return None
    return bool(value) if field.type == "boolean" else value


def attributes(object_name: str, record_id: str, base: str) -> dict[str, str]:
    """The `attributes` entry of a record."""
    return {"type": object_name, "url": f"{base}/sobjects/{object_name}/{record_id}"}


def shown(object_name: str, record: Record, fields: Iterable[Field], base: str) -> dict[str, Any]:
    """A record as JSON with the fields asked for."""
    values = {field.name: read(object_name, record, field) for field in fields}
    return {"attributes": attributes(object_name, record["Id"], base), **values}


def instant(text: str) -> datetime:
    """An ISO instant with any offset, colon or not, as UTC. ValueError when it is none."""
    normal = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.strip())
    moment = datetime.fromisoformat(normal.replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError(f"instant {text!r} has no offset")
    return moment.astimezone(UTC)


def stored_instant(value: str) -> str:
    """An instant in the one stored form, which sorts as text. Other text comes back as it is."""
    if _STORED_INSTANT.fullmatch(value):
        return value
    try:
        return salesforce_time(instant(value))
    except ValueError:
        return value


def _derived(object_name: str, record: Mapping[str, Any], name: str) -> Any:
    if object_name == "Opportunity" and name in ("IsClosed", "IsWon"):
        stage = str(record.get("StageName"))
        return stage == "Closed Won" or (name == "IsClosed" and stage == "Closed Lost")
    if object_name in ("User", "Contact") and name == "Name":
        return " ".join(part for part in (record.get("FirstName"), record.get("LastName")) if part) or None
    return None


def _address(record: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    parts = {part: record.get(f"{kind}{part[0].upper()}{part[1:]}") or None for part in _ADDRESS_PARTS}
    if not any(parts.values()):
        return None
    return {**parts, "geocodeAccuracy": None, "latitude": None, "longitude": None}
