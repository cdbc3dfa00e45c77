"""What each property was before: the history that HubSpot keeps, made from the history of the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sandbox.hubspot.schema import SYSTEM_NAMES
from sandbox.world import Change, Record, World, hubspot_time

APP_ID = "7300101"
"""The id under which writes through the API are known."""

SOURCE_TYPES = {"API": "INTEGRATION", "FLOW": "AUTOMATION_PLATFORM", "MERGE": "MERGE_OBJECTS"}


def changes_by_property(world: World, object_type: str, ids: Iterable[str]) -> dict[tuple[str, str], list[Change]]:
    """Changes of the records, newest first, by record id and property."""
    wanted = frozenset(ids)
    found: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in reversed(world.history):
        if change.system == "hubspot" and change.object == object_type and change.record_id in wanted:
            found[change.record_id, change.field].append(change)
    return found


def versions(world: World, record: Record, name: str, changes: list[Change]) -> list[dict[str, Any]]:
    """Values of one property with time and source, newest first. `changes` are its changes, newest first."""
    listed = [_version(world, change) for change in changes]
    initial = changes[-1].old if changes else record.get(name)
    if initial is not None:
        created = record["createdate"]
        listed.append({"value": str(initial), "timestamp": created, "sourceType": "IMPORT", "sourceId": "initial-load"})
    return listed


def as_indexed(world: World, object_type: str, record: Record, cutoff: datetime) -> Record | None:
    """The record as it was at `cutoff`; None when it did not exist then."""
    if record["createdate"] > hubspot_time(cutoff) or record["hs_lastmodifieddate"] <= hubspot_time(cutoff):
        return None if record["createdate"] > hubspot_time(cutoff) else record
    seen = dict(record)
    stamp = record["createdate"]
    for change in reversed(world.history):
        if (change.system, change.object, change.record_id) != ("hubspot", object_type, record["hs_object_id"]):
            continue
        if change.at <= cutoff:
            stamp = max(stamp, hubspot_time(change.at))
            break
        if change.field not in SYSTEM_NAMES:
            seen[change.field] = change.old
    return seen | {"hs_lastmodifieddate": stamp}


def _version(world: World, change: Change) -> dict[str, Any]:
    source = SOURCE_TYPES.get(change.source, change.source)
    version: dict[str, Any] = {
        "value": "" if change.new is None else str(change.new),
        "timestamp": hubspot_time(change.at),
        "sourceType": source,
        "sourceId": APP_ID,
    }
    if change.source == "API":
        return version | {"sourceLabel": change.client or "sandbox"}
    owner = world.table("hubspot", "owners").get(change.by, {})
    if (user_id := owner.get("userId")) is not None:
        version |= {"sourceId": f"userId:{user_id}", "updatedByUserId": user_id}
    else:
        version["sourceId"] = change.by
    return version
