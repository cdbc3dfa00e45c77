"""Records as they are shown and as they are written: create, update, archive, merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandbox.hubspot import associations, history, schema, values
from sandbox.hubspot.associations import PLAIN, child_counts
from sandbox.hubspot.calls import WRITER, Call, objects
from sandbox.hubspot.errors import Refused, invalid
from sandbox.hubspot.history import last_users
from sandbox.world import Record, World, hubspot_time


def show(
    world: World,
    object_type: str,
    records: Sequence[Record],
    names: Iterable[str] = (),
    with_history: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Records as the API gives them, with the named properties (the default ones when none are named)."""
    known = schema.definitions(world, object_type)
    asked = [*names, *with_history] or list(schema.DEFAULT_NAMES[object_type])
    wanted = [name for name in dict.fromkeys([*asked, *schema.SYSTEM_NAMES]) if name in known]
    shown = [_shown(object_type, record, wanted) for record in records]
    _fill_in(world, object_type, shown)
    if with_history:
        _add_history(world, object_type, records, shown, [name for name in with_history if name in known])
    return shown


def find(world: World, object_type: str, record_id: str, id_property: str | None = None) -> Record | None:
    """The record by id or by a unique property, archived ones too; None when there is none."""
    if id_property in (None, "hs_object_id"):
        return world.get("hubspot", object_type, record_id)
    definition = schema.definitions(world, object_type).get(id_property or "")
    if definition is None or not definition["hasUniqueValue"]:
        raise invalid(f"Unable to perform read by non-unique property {id_property}")
    return values.holder(world, object_type, str(id_property), record_id)


def in_use(call: Call, object_type: str, record_id: str, id_property: str | None = None) -> Record:
    """A record that may be written. Refused (404) when it is missing or archived, (423) when a fault locks it."""
    record = find(call.world, object_type, record_id, id_property)
    if record is None or record["archived"]:
        raise Refused(404, "OBJECT_NOT_FOUND", f"{schema.SINGULAR[object_type].upper()} is not available")
    refuse_locked(call, [record["hs_object_id"]])
    return record


def refuse_locked(call: Call, ids: Iterable[str]) -> None:
    """Refused (423) when a fault holds one of the records locked."""
    held = [key for key in ids if call.locked is not None and (not call.locked or key in call.locked)]
    if held:
        raise Refused(423, "LOCKED", f"record {held[0]} is locked by another process; try again in two seconds")


def update(call: Call, object_type: str, record: Record, properties: Any) -> Record:
    """Write checked values to a record and give its new state."""
    record_id = record["hs_object_id"]
    stored = values.checked(call.world, object_type, record_id, properties)
    call.world.emit("before_write", "hubspot", object_type, [record_id], stored)
    call.world.set_fields("hubspot", object_type, record_id, _derived(object_type, stored), source="API", **call.author)
    call.world.emit("after_write", "hubspot", object_type, [record_id], stored)
    return call.world.table("hubspot", object_type)[record_id]


def create(call: Call, object_type: str, given: Mapping[str, Any]) -> Record:
    """Make a record with its associations."""
    stored = values.checked(call.world, object_type, "", given.get("properties"))
    edges = _edges(call.world, object_type, objects(given, "associations"))
    call.world.emit("before_write", "hubspot", object_type, [], stored)
    record_id = call.world.insert("hubspot", object_type, _derived(object_type, stored), source="API", **call.author)
    for end, types in edges:
        associations.associate(call.world, (object_type, record_id), end, types, **call.author)
    call.world.emit("after_write", "hubspot", object_type, [record_id], stored)
    return call.world.table("hubspot", object_type)[record_id]


def archive(call: Call, object_type: str, record_id: str) -> None:
    """Move a record to the archive. One that is not there is no error."""
    record = call.world.get("hubspot", object_type, record_id)
    if record is None or record["archived"]:
        return
    fields = {"archived": True, "archivedAt": hubspot_time(call.world.now())}
    call.world.emit("before_write", "hubspot", object_type, [record_id], fields)
    call.world.set_fields("hubspot", object_type, record_id, fields, source="API", **call.author)
    call.world.emit("after_write", "hubspot", object_type, [record_id], fields)


def merge(world: World, object_type: str, primary: str, other: str, *, by: str = WRITER, source: str = "MERGE") -> str:
    """Merge two records and give the id of the survivor, which is new. The old records are gone, not archived.

    The primary's values win; the other fills what the primary leaves empty. Children and edges move to the survivor.
    """
    table = world.table("hubspot", object_type)
    first, second = table.get(primary), table.get(other)
    if first is None or second is None or first["archived"] or second["archived"] or primary == other:
        raise invalid(f"{object_type} {primary} and {other} cannot be merged: both must exist and be two")
    fields = {name: first[name] if first.get(name) is not None else second.get(name) for name in {**second, **first}}
    merged = [
        e for r in (first, second) for e in (r["hs_object_id"], *(r.get("hs_merged_object_ids") or "").split(";"))
    ]
    for name in ("hs_object_id", "hs_lastmodifieddate", "archived"):
        fields.pop(name)
    fields |= {
        "createdate": min(first["createdate"], second["createdate"]),
        "hs_merged_object_ids": ";".join(sorted(filter(None, merged), key=int)),
    }
    if fields.get("hs_parent_company_id") in (primary, other):
        fields["hs_parent_company_id"] = None
    survivor = world.insert("hubspot", object_type, fields, by=by, source=source)
    for old in (primary, other):
        _retire(world, object_type, old, survivor, by=by, source=source)
    return survivor


def _retire(world: World, object_type: str, old: str, survivor: str, *, by: str, source: str) -> None:
    if object_type == "companies":
        for child in associations.children_of(world, old):
            fields = {"hs_parent_company_id": survivor}
            world.set_fields("hubspot", "companies", child, fields, by=by, source=source)
    associations.move_edges(world, (object_type, old), (object_type, survivor))
    world.set_fields("hubspot", object_type, old, {"archived": True}, by=by, source=source)
    del world.table("hubspot", object_type)[old]


def _shown(object_type: str, record: Record, names: list[str]) -> dict[str, Any]:
    full = _derived(object_type, record)
    properties = {name: _text(full.get(name)) for name in names}
    shown = {
        "id": record["hs_object_id"],
        "properties": properties,
        "createdAt": record["createdate"],
        "updatedAt": record["hs_lastmodifieddate"],
        "archived": record["archived"],
    }
    archived_at = record.get("archivedAt") or record["hs_lastmodifieddate"]
    return shown | ({"archivedAt": archived_at} if record["archived"] else {})


def _fill_in(world: World, object_type: str, shown: list[dict[str, Any]]) -> None:
    """Put in the properties that are worked out from other records or from the history."""
    names = shown[0]["properties"] if shown else ()
    if "hs_num_child_companies" in names:
        counts = child_counts(world)
        for entry in shown:
            entry["properties"]["hs_num_child_companies"] = str(counts.get(entry["id"], 0))
    if "hs_updated_by_user_id" in names:
        users = last_users(world, object_type, (entry["id"] for entry in shown))
        for entry in shown:
            entry["properties"]["hs_updated_by_user_id"] = _text(users.get(entry["id"]))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _derived(object_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with the deal flags that HubSpot calculates from the stage."""
    if object_type != "deals" or not fields.get("dealstage"):
        return dict(fields)
    stage = fields["dealstage"]
    closed = {"hs_is_closed": stage in ("closedwon", "closedlost"), "hs_is_closed_won": stage == "closedwon"}
    return {**fields, **{name: "true" if value else "false" for name, value in closed.items()}}


def _add_history(
    world: World, object_type: str, records: Sequence[Record], shown: list[dict[str, Any]], names: list[str]
) -> None:
    changes = history.changes_by_property(world, object_type, (record["hs_object_id"] for record in records))
    for record, entry in zip(records, shown, strict=True):
        record_id = record["hs_object_id"]
        entry["propertiesWithHistory"] = {
            name: history.versions(world, record, name, changes.get((record_id, name), [])) for name in names
        }


def _edges(world: World, object_type: str, given: Any) -> list[tuple[associations.End, list[int]]]:
    """The associations asked for with a new record: ((object type, id), type ids)."""
    edges = []
    for entry in given:
        try:
            end_id, types = str(entry["to"]["id"]), [int(t["associationTypeId"]) for t in entry["types"]]
        except (KeyError, TypeError, ValueError) as error:
            raise invalid("Invalid input JSON: an association needs to.id and types[].associationTypeId") from error
        fits = [
            pair for pair, allowed in associations.ALLOWED.items() if pair[0] == object_type and allowed >= set(types)
        ]
        if not fits or end_id not in world.table("hubspot", fits[0][1]):
            raise invalid(f"association types {types} to record {end_id} are not possible for {object_type}")
        edges.append(((fits[0][1], end_id), types or [PLAIN]))
    return edges
