"""Field history of either CRM to rows of FIELD_CHANGES: who changed which field of an account, when and how."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mappings.canonical import ACCOUNT, FieldType
from mappings.forms import FORMS, PARSERS
from mappings.schema import ObjectMap
from mappings.transforms import canonical_text, clean_text, instant

_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?\Z")
_TYPES = {f.name: f.type for f in ACCOUNT}
_REFS = (FieldType.ACCOUNT_REF, FieldType.USER_REF)

Row = dict[str, Any]


def field_change_rows(
    records: Iterable[Mapping[str, Any]],
    object_map: ObjectMap,
    connection: str,
    *,
    account_map: ObjectMap,
    actor_kinds: Mapping[str, str],
    our_user: str = "",
) -> list[Row]:
    """Rows of FIELD_CHANGES from Salesforce history records, of fields that `account_map` names; others are left out.

    `actor_kinds` maps user ids to kinds; `our_user` is `us`; any other user is human.
    """
    fields = _canonical_names(account_map)
    native = {name: field_map.native for name, field_map in object_map.fields.items()}
    ours = canonical_text(our_user, FieldType.USER_REF)
    kinds = {canonical_text(user, FieldType.USER_REF): kind for user, kind in actor_kinds.items()}
    rows = []
    for record in records:
        field = fields.get(str(record.get(native["field"])))
        old, new = (record.get(native.get(side, "")) for side in ("old_value", "new_value"))
        if field is None or _is_name_row(field, old, new):
            continue
        who = canonical_text(record.get(native["changed_by"]), FieldType.USER_REF)
        kind = "unknown" if who is None else "us" if who == ours else kinds.get(who, "human")
        change: Row = {
            "connection": connection,
            "record_id": canonical_text(record.get(native["record_id"]), FieldType.ACCOUNT_REF),
            "field": field,
            "changed_at": instant(record.get(native["changed_at"])),
            "changed_by": who,
            "actor_kind": kind,
        }
        rows.append(
            change | {"old_value": _value(field, account_map, old), "new_value": _value(field, account_map, new)}
        )
    return rows


def property_history_rows(
    records: Iterable[Mapping[str, Any]],
    account_map: ObjectMap,
    connection: str,
    *,
    actor_kinds: Mapping[str, str],
    our_user: str = "",
) -> list[Row]:
    """Rows of FIELD_CHANGES from HubSpot records with `propertiesWithHistory`, whose entries come newest first.

    Rows of one field come oldest first. `actor_kinds` maps HubSpot's sourceType to kinds; a change whose sourceId or
    user is `our_user` is `us`; a source that is not mapped is unknown.
    """
    fields = {f.native: name for name, f in account_map.fields.items()}
    rows = []
    for record in records:
        for native, entries in (record.get("propertiesWithHistory") or {}).items():
            if field := fields.get(native):
                before: str | None = None
                for entry in reversed(entries):
                    after = _value(field, account_map, entry.get("value"))
                    change: Row = {"connection": connection, "record_id": str(record["id"]), "field": field}
                    change |= {"changed_at": instant(entry.get("timestamp"))} | _actor(entry, actor_kinds, our_user)
                    rows.append(change | {"old_value": before, "new_value": after})
                    before = after
    return rows


def _actor(entry: Mapping[str, Any], actor_kinds: Mapping[str, str], our_user: str) -> Row:
    person, source_id = clean_text(entry.get("updatedByUserId")), clean_text(entry.get("sourceId"))
    is_ours = bool(our_user) and our_user in (source_id, person)
    kind = "us" if is_ours else actor_kinds.get(str(entry.get("sourceType") or ""), "unknown")
    return {"changed_by": person or source_id or clean_text(entry.get("sourceLabel")), "actor_kind": kind}


def _canonical_names(account_map: ObjectMap) -> dict[str, str]:
    """History name -> canonical field. Salesforce names a lookup by its relationship there: Owner for OwnerId."""
    names: dict[str, str] = {}
    for field, field_map in account_map.fields.items():
        names[field_map.native] = field
        if _TYPES.get(field) in _REFS:
            names[field_map.native.removesuffix("Id")] = field
    return names


def _is_name_row(field: str, old: Any, new: Any) -> bool:
    """A change of a lookup comes twice, by id and by name; only ids can be compared."""
    values = [str(value) for value in (old, new) if value]
    return _TYPES.get(field) in _REFS and bool(values) and not all(_RECORD_ID.match(value) for value in values)


def _value(field: str, account_map: ObjectMap, value: Any) -> str | None:
    """Canonical text in the field's own form."""
    type_ = _TYPES.get(field) or account_map.fields[field].type or FieldType.TEXT
    if field in FORMS:
        return clean_text(FORMS[field](value))
    parsed = PARSERS[type_](value) if type_ in (FieldType.MONEY, FieldType.SHARE) else value
    return canonical_text(parsed, type_)
