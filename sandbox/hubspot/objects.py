"""Companies and deals one by one and page by page."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot import records
from sandbox.hubspot.associations import neighbours
from sandbox.hubspot.calls import Call, Reply, page, resume
from sandbox.hubspot.errors import invalid, not_found
from sandbox.hubspot.schema import SINGULAR, object_name
from sandbox.world import Record

MOST_WITH_HISTORY = 50


def list_records(call: Call) -> Reply:
    """A page of records in id order: those in use, or the archived ones only."""
    object_type = object_name(call.params["type"])
    with_history = call.names("propertiesWithHistory")
    most = min(call.world.settings.hubspot_page_max, MOST_WITH_HISTORY if with_history else 100)
    limit, start, archived = call.limit(10, most), resume(call.query.get("after")), call.flag("archived")
    rows = [r for r in call.world.rows("hubspot", object_type) if r["archived"] == archived]
    rows = sorted((r for r in rows if int(r["hs_object_id"]) > start), key=lambda r: int(r["hs_object_id"]))
    chosen = rows[:limit]
    shown = records.show(call.world, object_type, chosen, call.names("properties"), with_history)
    _add_associations(call, object_type, shown)
    _read(call, object_type, chosen)
    last = chosen[-1]["hs_object_id"] if chosen else ""
    return Reply(body=page(shown, len(rows) > limit, last, f"/crm/v3/objects/{object_type}"))


def read_record(call: Call) -> Reply:
    """One record by id, or by a unique property."""
    object_type = object_name(call.params["type"])
    record = records.find(call.world, object_type, call.params["id"], call.query.get("idProperty"))
    if record is None or record["archived"] != call.flag("archived"):
        raise not_found("resource not found")
    names = call.names("properties"), call.names("propertiesWithHistory")
    shown = records.show(call.world, object_type, [record], *names)
    _add_associations(call, object_type, shown)
    _read(call, object_type, [record])
    return Reply(body=shown[0])


def create_record(call: Call) -> Reply:
    """Make a record."""
    object_type = object_name(call.params["type"])
    record = records.create(call, object_type, call.fields())
    return Reply(body=_full(call, object_type, record, call.fields().get("properties", {})), status=201)


def update_record(call: Call) -> Reply:
    """Change some properties of one record."""
    object_type = object_name(call.params["type"])
    record = records.in_use(call, object_type, call.params["id"], call.query.get("idProperty"))
    properties = call.fields().get("properties", {})
    changed = records.update(call, object_type, record, properties)
    return Reply(body=_full(call, object_type, changed, properties))


def archive_record(call: Call) -> Reply:
    """Move one record to the archive."""
    records.archive(call, object_name(call.params["type"]), call.params["id"])
    return Reply(status=204)


def merge_records(call: Call) -> Reply:
    """Merge two records into a new one."""
    object_type, given = object_name(call.params["type"]), call.fields()
    primary, other = (given.get(name) for name in ("primaryObjectId", "objectIdToMerge"))
    if not isinstance(primary, str) or not isinstance(other, str):
        raise invalid("Invalid input JSON: primaryObjectId and objectIdToMerge must be strings")
    call.world.emit("before_write", "hubspot", object_type, [primary, other])
    survivor = records.merge(call.world, object_type, primary, other)
    call.world.emit("after_write", "hubspot", object_type, [survivor])
    record = call.world.table("hubspot", object_type)[survivor]
    return Reply(body=_full(call, object_type, record, ["hs_merged_object_ids"]))


def _full(call: Call, object_type: str, record: Record, names: Any) -> dict[str, Any]:
    return records.show(call.world, object_type, [record], names)[0]


def _read(call: Call, object_type: str, rows: list[Record]) -> None:
    call.world.emit("after_read", "hubspot", object_type, [row["hs_object_id"] for row in rows])


def _add_associations(call: Call, object_type: str, shown: list[dict[str, Any]]) -> None:
    """Inline the ids of associated records, one entry per record and type, as HubSpot words them."""
    for to_type in map(object_name, call.names("associations")):
        for entry in shown:
            found = [
                {"id": end, "type": _type_name(object_type, to_type, type_id)}
                for end, types in neighbours(call.world, (object_type, entry["id"]), to_type).items()
                for type_id in types
            ]
            if found:
                entry.setdefault("associations", {})[to_type] = {"results": found}


def _type_name(from_type: str, to_type: str, type_id: int) -> str:
    named = {13: "parent_to_child_company", 14: "child_to_parent_company"}
    plain = f"{SINGULAR[from_type]}_to_{SINGULAR[to_type]}"
    return named.get(type_id, f"{plain}_unlabeled" if type_id in (341, 342) else plain)
