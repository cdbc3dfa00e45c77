"""Native CRM records to canonical rows, and a desired value back to native JSON. Pure.

Rows have the columns of `sync.world` (RECORDS, USERS, OPPORTUNITIES, TEAM_MEMBERS, FIELD_CHANGES). A HubSpot record is
`{id, properties, archived, associations}`, a Salesforce record is flat; a native name is looked up among the properties
first. Reading never fails: what cannot be read is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mappings.canonical import OBJECTS, RECORD_KEYS, FieldType
from mappings.forms import FORMS, PARSERS, Parser
from mappings.history import field_change_rows
from mappings.identifiers import zip_5
from mappings.schema import FieldMap, ObjectMap
from mappings.transforms import canonicaliser, clean_text, instant, salesforce_id_18, yes_no

Native = Mapping[str, Any]
Row = dict[str, Any]
Getter = Callable[[Native], Any]
Translate = Callable[[Iterable[Native]], list[Row]]


def translator(
    name: str,
    object_map: ObjectMap,
    connection: str,
    visible: frozenset[str] | None = None,
    *,
    account_map: ObjectMap | None = None,
    actor_kinds: Mapping[str, str] | None = None,
    our_user: str = "",
) -> Translate:
    """Compiles the map of one object once; what it gives turns a page of native records into rows.

    Fields that are not among the `visible` native names stay null. The three keywords are for `field_change` only.
    """
    if name == "field_change":
        if account_map is None:
            raise ValueError("translator('field_change', ...) needs account_map: history rows name account fields")
        known = account_map
        return lambda records: field_change_rows(
            records, object_map, connection, account_map=known, actor_kinds=actor_kinds or {}, our_user=our_user
        )
    reader = _Reader(name, object_map, visible)
    if name == "account":
        return lambda records: _account_rows(reader, records, connection)
    return lambda records: [reader.row(record, connection) for record in records if not reader.is_deleted(record)]


def account_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of RECORDS, custom fields last, unique on the record id within this call.

    The loser of a HubSpot merge has no record of its own any more: a row `is_deleted` with `merged_into` and the
    survivor's stamps stands for it. A caller that joins pages keeps the row with the greatest version.
    """
    return _account_rows(_Reader("account", object_map), records, connection)


def _account_rows(reader: _Reader, records: Iterable[Native], connection: str) -> list[Row]:
    rows: dict[str, Row] = {}
    losers: list[tuple[str, str]] = []
    for record in records:
        row = reader.row(record, connection)
        row |= reader.stamps(record)
        rows[row["record_id"]] = row
        losers += [(loser, row["record_id"]) for loser in reader.merged_ids(record)]
    for loser, survivor in losers:
        if loser != survivor:
            blank = rows.get(loser) or reader.blank(connection, loser)
            # as new as the survivor, so that it wins over an older row of the same id
            stamps = {name: rows[survivor][name] for name in ("version", "modified_at", "modified_by")}
            rows[loser] = blank | stamps | {"is_deleted": True, "merged_into": survivor}
    return list(rows.values())


def user_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of USERS."""
    return translator("user", object_map, connection)(records)


def opportunity_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of OPPORTUNITIES without the deleted ones; those are in `deleted_ids`."""
    return translator("opportunity", object_map, connection)(records)


def team_member_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of TEAM_MEMBERS without the deleted ones."""
    return translator("team_member", object_map, connection)(records)


def deleted_ids(records: Iterable[Native], object_map: ObjectMap) -> list[str]:
    """Native ids of the records that are deleted, in order."""
    if not object_map.deleted:
        return []
    is_deleted, record_id = _getter(object_map.deleted), _getter(object_map.id)
    return [_identifier(record_id(r)) for r in records if yes_no(is_deleted(r))]


def native_fields(
    object_map: ObjectMap, visible: frozenset[str] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Native names a pull must ask for, sorted; and the canonical fields that are not to be seen.

    HubSpot's own envelope (id, archived, associations) is not asked for: it always comes, and is no property.
    `visible` are the native names that the CRM describes; None = all.
    """
    envelope = [object_map.id, object_map.version, object_map.modified_by, object_map.deleted]
    envelope += [object_map.merged_into, object_map.merged_ids, object_map.contact_count]
    names = {part for native in (*envelope, *(f.native for f in object_map.fields.values())) for part in _parts(native)}
    wanted = sorted(name for name in names if not _comes_anyway(name) and (visible is None or name in visible))
    missing = [field for field, spec in object_map.fields.items() if not _is_visible(spec.native, visible)]
    return tuple(wanted), tuple(missing)


def _parts(native: str) -> list[str]:
    """The native fields that a name of the map reads."""
    return [part for word in native.split("+") if (part := word.strip(" !"))]


def _comes_anyway(name: str) -> bool:
    return name in ("id", "archived") or name.startswith("associations.")


def _is_visible(native: str, visible: frozenset[str] | None) -> bool:
    return visible is None or all(_comes_anyway(part) or part in visible for part in _parts(native))


def desired_native(field: str, text: str | None, field_map: FieldMap, *, kind: str) -> Any:
    """JSON value that a write sends for a canonical text; None or "" clears, as the map says.

    `kind` is salesforce or hubspot: HubSpot takes every property as text, and a Salesforce checkbox has no empty state.
    """
    known = next((f.type for f in OBJECTS["account"] if f.name == field), None)
    type_ = known or field_map.type or FieldType.TEXT
    if kind == "hubspot":
        return text if text is not None else ("" if field_map.clear_as == "empty_string" else None)
    if type_ is FieldType.BOOLEAN:
        return text == "true"
    if text is None:
        return "" if field_map.clear_as == "empty_string" else None
    if type_ is FieldType.INTEGER and text.lstrip("-").isdecimal():
        return int(text)
    return text


class _Reader:
    """One object's field map, compiled: a getter and a parser per canonical field."""

    def __init__(self, name: str, object_map: ObjectMap, visible: frozenset[str] | None = None) -> None:
        known = {f.name: f for f in OBJECTS[name]}
        self._key = RECORD_KEYS.get(name, "")
        self._id = _getter(object_map.id)
        self._blank: Row = dict.fromkeys(known)
        self._columns: list[tuple[str, Getter, Parser]] = []
        for field, field_map in object_map.fields.items():
            self._blank[field] = None
            if not _is_visible(field_map.native, visible):
                continue
            managed = field in known and known[field].managed
            type_ = known[field].type if field in known else field_map.type or FieldType.TEXT
            self._columns.append((field, _getter(field_map.native), _parser(field, type_, managed=managed)))
        zip_map = object_map.fields.get("zip5")
        self._zip = _getter(zip_map.native) if zip_map and _is_visible(zip_map.native, visible) else None
        self._version, self._modified_by = _optional(object_map.version), _optional(object_map.modified_by)
        self._deleted, self._merged_into = _optional(object_map.deleted), _optional(object_map.merged_into)
        self._merged_ids = _optional(object_map.merged_ids)

    def row(self, record: Native, connection: str) -> Row:
        """The canonical fields of one record."""
        row: Row = {"connection": connection}
        if self._key:
            row[self._key] = _identifier(self._id(record))
        row |= {k: v for k, v in self._blank.items() if k != self._key}
        for field, get, parse in self._columns:
            row[field] = parse(get(record))
        if self._zip is not None:
            row["zip5"] = zip_5(self._zip(record), row.get("state"))
        return row

    def stamps(self, record: Native) -> Row:
        """Version, who and when, deleted, merged: the columns after the fields."""
        version = clean_text(self._version(record))
        return {
            "version": version,
            "modified_at": instant(version),
            "modified_by": clean_text(self._modified_by(record)),
            "is_deleted": self.is_deleted(record),
            "merged_into": PARSERS[FieldType.ACCOUNT_REF](self._merged_into(record)),
        }

    def is_deleted(self, record: Native) -> bool:
        return bool(yes_no(self._deleted(record)))

    def merged_ids(self, record: Native) -> list[str]:
        """Ids that were merged into this record."""
        listed = clean_text(self._merged_ids(record))
        return [part.strip() for part in listed.split(";") if part.strip()] if listed else []

    def blank(self, connection: str, record_id: str) -> Row:
        """A row that says nothing but the id."""
        return {"connection": connection, "record_id": record_id, **self._blank, **self.stamps({})}


def _parser(field: str, type_: FieldType, *, managed: bool) -> Parser:
    return canonicaliser(type_) if managed else FORMS.get(field) or PARSERS[type_]


def _optional(native: str) -> Getter:
    return _getter(native) if native else lambda record: None


def _getter(native: str) -> Getter:
    """Reads a native name; `!a`, `a + b` and `associations.companies` as schema.FieldMap and docs/mappings.md say."""
    if native.startswith("!"):
        inner = _getter(native[1:].strip())
        return lambda record: _contrary(yes_no(inner(record)))
    if "+" in native:
        parts = [_getter(part.strip()) for part in native.split("+")]
        return lambda record: " ".join(filter(None, (clean_text(part(record)) for part in parts)))
    if native.startswith("associations."):
        other = native.removeprefix("associations.")
        return lambda record: _associated(record, other)

    def get(record: Native) -> Any:
        properties = record.get("properties")
        if properties is not None and native in properties:
            return properties[native]
        return record.get(native)

    return get


def _contrary(value: bool | None) -> bool | None:
    return None if value is None else not value


def _associated(record: Native, other: str) -> str | None:
    """Id of the associated record: the primary one (`deal_to_company`), else the lowest id."""
    results = ((record.get("associations") or {}).get(other) or {}).get("results") or []
    ranked = sorted(_ranked(results))
    return ranked[0][-1] if ranked else None


def _ranked(results: Iterable[Mapping[str, Any]]) -> Iterator[tuple[bool, int, str]]:
    for result in results:
        found = str(result.get("id") or result.get("toObjectId") or "")
        if found:
            yield str(result.get("type", "")).endswith("_unlabeled"), len(found), found


def _identifier(value: Any) -> str:
    text = clean_text(value)
    return salesforce_id_18(text) if text else ""
