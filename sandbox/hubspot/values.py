"""Checks property values as HubSpot does: text in, text out, refused with the code that HubSpot gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.hubspot.errors import Detail, Refused, detail, invalid
from sandbox.hubspot.schema import Definition, definitions, is_read_only
from sandbox.world import Record, World, hubspot_time


def checked(world: World, object_type: str, record_id: str, given: Any) -> dict[str, str | None]:
    """The values to store. Refused (400 with one detail per property, or 409 when a unique value is taken)."""
    if not isinstance(given, Mapping):
        raise invalid("Invalid input JSON: properties must be an object")
    known = definitions(world, object_type)
    stored: dict[str, str | None] = {}
    wrong: list[Detail] = []
    for name, value in given.items():
        problem = _problem(world, known.get(name), name, value)
        if problem is None:
            stored[name] = _stored(known[name], value)
        else:
            wrong.append(problem)
    if wrong:
        summary = ", ".join(f"{entry['code']}: {entry['message']}" for entry in wrong)
        raise invalid(f"Property values were not valid: {summary}", errors=wrong)
    _refuse_taken(world, object_type, record_id, stored)
    return stored


def holder(world: World, object_type: str, name: str, value: str | None) -> Record | None:
    """The record in use that has this value in a unique property."""
    rows = world.rows("hubspot", object_type)
    return next((row for row in rows if not row["archived"] and row.get(name) == value), None)


def milliseconds(text: str) -> int | None:
    """Epoch milliseconds of an instant written as ISO text or as milliseconds; None when it is neither."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _problem(world: World, definition: Definition | None, name: str, value: Any) -> Detail | None:
    if definition is None or definition["archived"]:
        return detail("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist', propertyName=name)
    if not isinstance(value, str):
        return detail("INVALID_JSON", f'"{name}" must be a string; "" clears it', propertyName=name)
    if is_read_only(definition):
        return detail(
            "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set', propertyName=name
        )
    if not value:
        return None
    if definition.get("referencedObjectType") == "OWNER":
        return _owner_problem(world, name, value)
    return _type_problem(definition, name, value)


def _owner_problem(world: World, name: str, value: str) -> Detail | None:
    owner = world.table("hubspot", "owners").get(value)
    if owner is None or owner["archived"]:
        return detail("INVALID_OWNER_ID", f"{value} is not the id of an active owner", propertyName=name)
    return None


def _type_problem(definition: Definition, name: str, value: str) -> Detail | None:
    kind = definition["type"]
    if kind in ("enumeration", "bool"):
        allowed = {option["value"] for option in definition["options"]}
        chosen = value.split(";") if definition["fieldType"] == "checkbox" else [value]
        if unknown := [option for option in chosen if option not in allowed]:
            text = f"{unknown[0]} was not one of the allowed options: {sorted(allowed)}"
            return detail("INVALID_OPTION", text, propertyName=name)
    if kind == "number" and not _is_number(value):
        return detail("INVALID_LONG", f"{value} was not a valid number", propertyName=name)
    if kind == "date" and milliseconds(value) is None:
        return detail("INVALID_DATE", f"{value} was not a valid date", propertyName=name)
    if kind == "datetime" and milliseconds(value) is None:
        return detail("INVALID_DATE", f"{value} was not a valid long", propertyName=name)
    return None


def _is_number(value: str) -> bool:
    """HubSpot takes no thousands separators; Python's digit separator is no number either."""
    try:
        return "_" not in value and math.isfinite(float(value))
    except ValueError:
        return False


def _stored(definition: Definition, value: str) -> str | None:
    if not value:
        return None
    if definition["type"] == "datetime":
        moment = datetime.fromtimestamp((milliseconds(value) or 0) / 1000, UTC)
        return hubspot_time(moment)
    return value


def _refuse_taken(world: World, object_type: str, record_id: str, stored: Mapping[str, str | None]) -> None:
    known = definitions(world, object_type)
    for name, value in stored.items():
        if value is None or not known[name]["hasUniqueValue"]:
            continue
        other = holder(world, object_type, name, value)
        if other is not None and other["hs_object_id"] != record_id:
            message = f"Cannot set {name} to {value}, which is taken. Existing ID: {other['hs_object_id']}"
            raise Refused(409, "CONFLICT", message)
