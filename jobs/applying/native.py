"""One connection's accounts in the CRM's own words, through its field map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.protocol import Current
from jobs.applying.model import Connected, Translation
from mappings.canonical import OBJECTS, FieldType
from mappings.schema import CrmMap, FieldMap
from mappings.transforms import canonical_text
from mappings.translate import desired_native
from store.journal import Values

_TYPES = {field.name: field.type for field in OBJECTS["account"]}


class MapTranslation:
    """The translation that a field map describes."""

    def __init__(self, crm: CrmMap) -> None:
        self._kind = crm.kind
        self._fields = crm.objects["account"].fields
        self._kinds = crm.actor_kinds

    def native_name(self, field: str) -> str:
        """The native field. Raises KeyError for a field that the map does not name."""
        return self._fields[field].native

    def to_native(self, field: str, value: str | None) -> Any:
        """What to send for a canonical text; None clears."""
        return desired_native(field, value, self._fields[field], kind=self._kind)

    def to_canonical(self, field: str, native: Any) -> str | None:
        """The canonical text of what the CRM sent; None = empty."""
        return canonical_text(native, _type(field, self._fields[field]))

    def actor_kind(self, marks: Sequence[str], *, our_user: str) -> str:
        """Who an entry of the CRM's history is by. Salesforce names users, HubSpot kinds of sources as well."""
        if our_user and our_user in marks:
            return "us"
        known = (self._kinds[mark] for mark in reversed(marks) if mark in self._kinds)
        return next(known, "human" if self._kind == "salesforce" and any(marks) else "unknown")


def native_values(translation: Translation, values: Values) -> dict[str, Any]:
    """What to send, by native name."""
    return {translation.native_name(name): translation.to_native(name, value) for name, value in values.items()}


def as_stored(translation: Translation, values: Values) -> dict[str, str | None]:
    """The values as they read back: a Salesforce checkbox that is cleared says false."""
    return {name: translation.to_canonical(name, translation.to_native(name, value)) for name, value in values.items()}


def canonical_values(translation: Translation, current: Current, fields: Iterable[str]) -> dict[str, str | None]:
    """The fields of a record as canonical text."""
    return {name: translation.to_canonical(name, current.fields.get(translation.native_name(name))) for name in fields}


def read_now(
    connected: Connected, wanted: Mapping[str, Iterable[str]], *, versions: bool
) -> dict[str, tuple[dict[str, str | None], str] | None]:
    """Canonical values and version by record id, for the fields wanted of each; None = gone."""
    names = {name: connected.translation.native_name(name) for fields in wanted.values() for name in fields}
    found = connected.target.read(list(wanted), sorted(set(names.values())), versions=versions)
    now: dict[str, tuple[dict[str, str | None], str] | None] = {}
    for record_id, fields in wanted.items():
        current = found.get(record_id)
        now[record_id] = (
            None if current is None else (canonical_values(connected.translation, current, fields), current.version)
        )
    return now


def _type(field: str, field_map: FieldMap) -> FieldType:
    return _TYPES.get(field) or field_map.type or FieldType.TEXT
