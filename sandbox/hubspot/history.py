"""What each property was before: the history that HubSpot keeps, made from the history of the world."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sandbox.hubspot.schema import SYSTEM_NAMES
from sandbox.world import Change, Record, World, hubspot_time

APP_ID = "7300101"
"""The id under which writes through the API are known."""
APP_USER_ID = 7_300_901
"""The user who installed the app; HubSpot names it as the one who updated a record through the API."""

SOURCE_TYPES = {"API": "INTEGRATION", "FLOW": "AUTOMATION_PLATFORM", "MERGE": "MERGE_COMPANIES"}


def changes_by_property(world: World, object_type: str, ids: Iterable[str]) -> dict[tuple[str, str], list[Change]]:
    """Changes of the records, newest first, by record id and property."""
    wanted = frozenset(ids)
    found: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in reversed(world.history):
        if change.system == "hubspot" and change.object == object_type and change.record_id in wanted:
            found[change.record_id, change.field].append(change)
    return found


def last_users(world: World, object_type: str, ids: Iterable[str]) -> dict[str, int]:
    """User ids of those who changed the records last, by record id; a record that nobody changed is left out."""
    wanted, found = set(ids), {}
    for change in reversed(world.history):
        if change.system == "hubspot" and change.object == object_type and change.record_id in wanted:
            wanted.discard(change.record_id)
            user_id = APP_USER_ID if change.source == "API" else _user_id(world, change.by)
            if user_id is not None:
                found[change.record_id] = user_id
    return found


def versions(world: World, record: Record, name: str, changes: list[Change]) -> list[dict[str, Any]]:
    """Values of one property with time and source, newest first. `changes` are its changes, newest first."""
    listed = [_version(world, change) for change in changes]
    initial = changes[-1].old if changes else record.get(name)
    if initial is not None:
        created = record["createdate"]
        listed.append({"value": str(initial), "timestamp": created, "sourceType": "IMPORT", "sourceId": "initial-load"})
    return listed


def as_indexed(world: World, object_type: str, records: Sequence[Record], cutoff: datetime) -> Iterator[Record]:
    """The records as they were at `cutoff`; those made later are left out."""
    moment = hubspot_time(cutoff)
    later = {record["hs_object_id"]: record for record in records if record["hs_lastmodifieddate"] > moment}
    yield from (record for record in records if record["hs_lastmodifieddate"] <= moment)
    by_record: dict[str, list[Change]] = defaultdict(list)
    for change in reversed(world.history):
        if change.system == "hubspot" and change.object == object_type and change.record_id in later:
            by_record[change.record_id].append(change)
    for record_id, record in later.items():
        if record["createdate"] <= moment:
            yield _as_of(record, by_record[record_id], cutoff)


def _as_of(record: Record, changes: list[Change], cutoff: datetime) -> Record:
    """The record before the changes after `cutoff`. `changes` are its changes, newest first."""
    undone = {c.field: c.old for c in changes if c.at > cutoff and c.field not in SYSTEM_NAMES}
    earlier = (hubspot_time(change.at) for change in changes if change.at <= cutoff)
    return record | undone | {"hs_lastmodifieddate": next(earlier, record["createdate"])}


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
    if (user_id := _user_id(world, change.by)) is not None:
        version |= {"sourceId": f"userId:{user_id}", "updatedByUserId": user_id}
    else:
        version["sourceId"] = change.by
    return version


def _user_id(world: World, owner_id: str) -> int | None:
    user_id: int | None = world.table("hubspot", "owners").get(owner_id, {}).get("userId")
    return user_id
