"""Checks a row write meets before anything is stored, in the words the API refuses with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.salesforce.errors import ApiError, deleted, malformed, malformed_id, unknown_column
from sandbox.salesforce.ids import PREFIXES, id18, is_id
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema
from sandbox.salesforce.values import instant
from sandbox.world import Record, World

_IGNORED = "attributes"


def resolved(schema: Schema, object_name: str, given: Mapping[str, Any]) -> list[tuple[Field, Any]]:
    """Fields by their proper names, values in stored form. ApiError for what makes a whole request unreadable."""
    found = []
    for name, value in given.items():
        if name == _IGNORED or name.lower() == "id":
            continue
        field = schema.field(object_name, name)
        if field is None:
            raise unknown_column(name, object_name)
        found.append((field, _typed(field, value)))
    return found


def checked(world: World, object_name: str, record: Record | None, values: list[tuple[Field, Any]]) -> dict[str, Any]:
    """The values to store. ApiError for what refuses the row. `record` is None for a new one."""
    _refuse_read_only(values, creating=record is None)
    fields = {field.name: value for field, value in values}
    for field, value in values:
        _check_length(field, value)
        _check_picklist(world, field, value)
        if field.refers_to and value is not None:
            fields[field.name] = _reference(world, field, value)
    _check_owner(world, object_name, record, fields)
    if object_name == "Account" and record is not None and fields.get("ParentId"):
        _refuse_cycle(world, record["Id"], fields["ParentId"])
    return fields


def require(schema: Schema, object_name: str, values: Mapping[str, Any], *, creating: bool) -> None:
    """ApiError when a required field is missing (new record) or cleared."""
    missing = [
        field.name
        for field in schema.fields(object_name)
        if field.required and (creating or field.name in values) and values.get(field.name) in (None, "")
    ]
    if missing:
        text = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError("REQUIRED_FIELD_MISSING", text, fields=missing)


def _typed(field: Field, value: Any) -> Any:
    """The stored form of a JSON value; "" is stored as empty."""
    if value is None or value == "":
        if field.type == "boolean":
            raise malformed("Cannot deserialize instance of boolean from VALUE_NULL value")
        return None
    if field.type == "boolean" and not isinstance(value, bool):
        raise _wrong_type("boolean", value)
    if field.type in NUMBER_TYPES and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _wrong_type("double", value)
    if field.type in TEXT_TYPES or field.type in ("id", "reference", "date", "datetime"):
        if not isinstance(value, str):
            raise _wrong_type("string", value)
        _check_moment(field, value)
    return value


def _check_moment(field: Field, value: str) -> None:
    if field.type not in ("date", "datetime"):
        return
    try:
        instant(value if field.type == "datetime" else f"{value}T00:00:00Z")
    except ValueError as error:
        raise _wrong_type(field.type, value) from error


def _wrong_type(kind: str, value: Any) -> ApiError:
    token = "VALUE_STRING" if isinstance(value, str) else "VALUE_TRUE" if isinstance(value, bool) else "VALUE_NUMBER"
    return malformed(
        f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field"
    )


def _refuse_read_only(values: list[tuple[Field, Any]], *, creating: bool) -> None:
    closed = [f.name for f, _ in values if not (f.createable if creating else f.updateable)]
    if closed:
        text = (
            f"Unable to create/update fields: {', '.join(closed)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise ApiError("INVALID_FIELD_FOR_INSERT_UPDATE", text, fields=closed)


def _check_length(field: Field, value: Any) -> None:
    if isinstance(value, str) and field.type in TEXT_TYPES and field.length and len(value) > field.length:
        text = f"{field.name}: data value too large: {value[:40]} (max length={field.length})"
        raise ApiError("STRING_TOO_LONG", text, fields=[field.name])


def _check_picklist(world: World, field: Field, value: Any) -> None:
    if value is None or not field.restricted or not world.settings.restrict_picklists:
        return
    if value not in field.values:
        text = f"{field.name}: bad value for restricted picklist field: {value}"
        raise ApiError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, fields=[field.name])


def _reference(world: World, field: Field, value: str) -> str:
    """The 18-character id of the record a reference names."""
    prefix = PREFIXES[field.refers_to]
    if not is_id(value):
        raise malformed_id(field.name, value, field.name)
    if not value.startswith(prefix):
        text = f"{field.name}: id value of incorrect type: {value}"
        raise ApiError("FIELD_INTEGRITY_EXCEPTION", text, fields=[field.name])
    target = world.table("salesforce", field.refers_to).get(id18(value))
    if target is None:
        raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[field.name])
    if target["IsDeleted"]:
        raise deleted()
    return id18(value)


def _check_owner(world: World, object_name: str, record: Record | None, fields: Mapping[str, Any]) -> None:
    """Refuse a new owner who may not own records; a record that keeps its inactive owner is left alone."""
    owner = fields.get("OwnerId")
    if owner is None or (record is not None and record.get("OwnerId") == owner):
        return
    user = world.table("salesforce", "User")[owner]
    if not user.get("IsActive", True) and not world.settings.allow_inactive_owner:
        text = f"operation performed with inactive user [{owner}] as owner of {object_name.lower()}"
        raise ApiError("INACTIVE_OWNER_OR_USER", text, fields=["OwnerId"])
    if user.get("UserType", "Standard") != "Standard":
        text = f"operation performed with an invalid user type [{owner}] as owner of {object_name.lower()}"
        raise ApiError("OP_WITH_INVALID_USER_TYPE_EXCEPTION", text, fields=["OwnerId"])


def _refuse_cycle(world: World, record_id: str, parent_id: str) -> None:
    accounts, seen, here = world.table("salesforce", "Account"), set(), parent_id
    while here and here not in seen:
        if here == record_id:
            raise ApiError("CIRCULAR_DEPENDENCY", "attempt to violate hierarchy constraints", fields=["ParentId"])
        seen.add(here)
        here = accounts.get(here, {}).get("ParentId") or ""
