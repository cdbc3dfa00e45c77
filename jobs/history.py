"""Who changed a field, for a CRM that keeps history per record: HubSpot's property history as FIELD_CHANGES rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from connectors.hubspot.target import HistoryEntry, HubSpotTarget
from jobs.wiring import Connection
from mappings.canonical import MANAGED
from mappings.history import property_history_rows


def history_rows(
    connection: Connection, record_ids: Sequence[str], *, our_user: str, protected: Collection[str] = ()
) -> list[dict[str, Any]]:
    """History of the managed and the protected fields of these records, in as many calls as for one field.

    Empty where the CRM has another way, or there are no records. `protected` are fields of which the survivorship
    policy asks whether a person entered them.
    """
    target, accounts = connection.target, connection.map.objects["account"]
    if not record_ids or not isinstance(target, HubSpotTarget):
        return []
    names = [spec.native for field, spec in accounts.fields.items() if field in MANAGED or field in protected]
    entries = target.history(record_ids, names)
    records = [{"id": record_id, "propertiesWithHistory": _by_property(found)} for record_id, found in entries.items()]
    kinds = connection.map.actor_kinds
    return property_history_rows(records, accounts, connection.id, actor_kinds=kinds, our_user=our_user)


def _by_property(entries: Iterable[HistoryEntry]) -> Mapping[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for entry in entries:
        native = {
            "value": entry.value,
            "timestamp": entry.timestamp,
            "sourceType": entry.source_type,
            "sourceId": entry.source_id,
            "updatedByUserId": entry.user,
        }
        found.setdefault(entry.property, []).append(native)
    return found
