"""Native CRM records to canonical rows, and a desired value back to native JSON. Pure.

Rows have the columns of `sync.world` (RECORDS, USERS, OPPORTUNITIES, TEAM_MEMBERS, FIELD_CHANGES). A HubSpot record is
`{id, properties, archived, associations}`, a Salesforce record is flat; a native name is looked up among the properties
first. Reading never fails: what cannot be read is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mappings.canonical import OBJECTS, RECORD_KEYS, FieldType
from mappings.identifiers import ccn_6, email, npi_10, padded_id, phone_10, state_code, web_domain, zip_5
from mappings.schema import FieldMap, ObjectMap
from mappings.transforms import (
    basis_points,
    canonicaliser,
    clean_text,
    instant,
    iso_date,
    money_cents,
    salesforce_id_18,
    whole_number,
    yes_no,
)

Native = Mapping[str, Any]
Row = dict[str, Any]
Getter = Callable[[Native], Any]
Parser = Callable[[Any], Any]

PARSERS: dict[FieldType, Parser] = {
    FieldType.TEXT: clean_text,
    FieldType.PICKLIST: clean_text,
    FieldType.ACCOUNT_REF: canonicaliser(FieldType.ACCOUNT_REF),
    FieldType.USER_REF: canonicaliser(FieldType.USER_REF),
    FieldType.INTEGER: whole_number,
    FieldType.MONEY: money_cents,
    FieldType.SHARE: basis_points,
    FieldType.BOOLEAN: yes_no,
    FieldType.DATE: iso_date,
    FieldType.INSTANT: instant,
}
"""How a fact of each type is read from JSON or text: dollars become cents, percent becomes basis points."""

FORMS: dict[str, Parser] = {
    "phone": phone_10,
    "domain": web_domain,
    "state": state_code,
    "ccn": ccn_6,
    "npi": npi_10,
    "email": email,
    "definitive_id": lambda value: padded_id(value, None),
}
"""Fields with a form of their own, by canonical name. `zip5` needs the state and is done per row."""


def account_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of RECORDS, custom fields last, unique on the record id within this call.

    The loser of a HubSpot merge has no record of its own any more: a row `is_deleted` with `merged_into` stands for it.
    Pages are translated one by one, so a caller that joins pages lets a row with `merged_into` win.
    """
    reader = _Reader("account", object_map)
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
            rows[loser] = blank | {"is_deleted": True, "merged_into": survivor}
    return list(rows.values())


def user_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of USERS."""
    return _rows("user", records, object_map, connection)


def opportunity_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of OPPORTUNITIES without the deleted ones; those are in `deleted_ids`."""
    return _rows("opportunity", records, object_map, connection)


def team_member_rows(records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    """Rows of TEAM_MEMBERS without the deleted ones."""
    return _rows("team_member", records, object_map, connection)


def deleted_ids(records: Iterable[Native], object_map: ObjectMap) -> list[str]:
    """Native ids of the records that are deleted, in order."""
    if not object_map.deleted:
        return []
    is_deleted, record_id = _getter(object_map.deleted), _getter(object_map.id)
    return [_identifier(record_id(r)) for r in records if yes_no(is_deleted(r))]


def native_fields(object_map: ObjectMap) -> tuple[str, ...]:
    """Every native field that the rows are made of, sorted: what a pull must ask for.

    HubSpot's own envelope (id, archived, associations) is left out: it always comes, and is no property.
    """
    names = {f.native for f in object_map.fields.values()}
    names |= {object_map.id, object_map.version, object_map.modified_by, object_map.deleted}
    names |= {object_map.merged_into, object_map.merged_ids, object_map.contact_count}
    single = {part.strip(" !") for name in names for part in name.split("+")}
    return tuple(sorted(n for n in single if n and n not in ("id", "archived") and not n.startswith("associations.")))


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


def _rows(name: str, records: Iterable[Native], object_map: ObjectMap, connection: str) -> list[Row]:
    reader = _Reader(name, object_map)
    return [reader.row(record, connection) for record in records if not reader.is_deleted(record)]


class _Reader:
    """One object's field map, compiled: a getter and a parser per canonical field."""

    def __init__(self, name: str, object_map: ObjectMap) -> None:
        known = {f.name: f for f in OBJECTS[name]}
        self._key = RECORD_KEYS.get(name, "")
        self._id = _getter(object_map.id)
        self._blank: Row = dict.fromkeys(known)
        self._columns: list[tuple[str, Getter, Parser]] = []
        for field, field_map in object_map.fields.items():
            self._blank[field] = None
            managed = field in known and known[field].managed
            type_ = known[field].type if field in known else field_map.type or FieldType.TEXT
            self._columns.append((field, _getter(field_map.native), _parser(field, type_, managed=managed)))
        self._zip = (
            _getter(object_map.fields["zip5"].native) if name == "account" and "zip5" in object_map.fields else None
        )
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
