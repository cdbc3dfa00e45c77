"""Companies and deals a hundred at a time. A row that fails does not stop the others where HubSpot lets it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.hubspot import records, schema, values
from sandbox.hubspot.calls import Call, Reply, batch, text, texts
from sandbox.hubspot.errors import Refused, RowErrors, invalid
from sandbox.world import Record

MOST, MOST_WITH_HISTORY = 100, 50


def read_batch(call: Call) -> Reply:
    """Records by id or by a unique property; missing ones are named together in one error."""
    object_type, given = schema.object_name(call.params["type"]), call.fields()
    with_history = texts(given, "propertiesWithHistory")
    wanted = list(dict.fromkeys(_id(entry) for entry in call.inputs(MOST_WITH_HISTORY if with_history else MOST)))
    archived, id_property = call.flag("archived"), text(given, "idProperty")
    found = {key: records.find(call.world, object_type, key, id_property) for key in wanted}
    present = [row for row in found.values() if row is not None and row["archived"] == archived]
    errors, kept = RowErrors(), {row["hs_object_id"] for row in present}
    for key, row in found.items():
        if row is None or row["hs_object_id"] not in kept:
            errors.add(_missing(object_type, "get"), ids=key)
    shown = records.show(call.world, object_type, present, texts(given, "properties"), with_history)
    call.world.emit("after_read", "hubspot", object_type, [row["hs_object_id"] for row in present])
    return batch(call, shown, errors.listed())


def update_batch(call: Call) -> Reply:
    """Change records; each row has its own result."""
    object_type, inputs = schema.object_name(call.params["type"]), call.inputs(MOST)
    for entry in inputs:
        _refuse_id_property(entry, "update")
        text(entry, "objectWriteTraceId")
    _refuse_repeats(_id(entry) for entry in inputs)
    targets = [records.find(call.world, object_type, _id(e), text(e, "idProperty")) for e in inputs]
    present = [row["hs_object_id"] for row in targets if row is not None]
    _refuse_repeats(present)
    records.refuse_locked(call, present)
    changed, errors = [], RowErrors()
    for entry in inputs:
        try:
            record = records.in_use(call, object_type, _id(entry), entry.get("idProperty"))
            changed.append((records.update(call, object_type, record, entry.get("properties")), entry))
        except Refused as refused:
            _note(errors, refused, entry, object_type)
    return batch(call, _shown(call, object_type, changed), errors.listed())


def upsert_batch(call: Call) -> Reply:
    """Change the records that a unique property finds and make the others."""
    object_type, inputs = schema.object_name(call.params["type"]), call.inputs(MOST)
    for entry in inputs:
        _refuse_id_property(entry, "upsert")
        _refuse_non_unique(call, object_type, entry.get("idProperty"))
        text(entry, "objectWriteTraceId")
    _refuse_repeats(_id(entry) for entry in inputs)
    targets = [values.holder(call.world, object_type, entry["idProperty"], _id(entry)) for entry in inputs]
    records.refuse_locked(call, [row["hs_object_id"] for row in targets if row is not None])
    written, made, errors = [], set(), RowErrors()
    for entry in inputs:
        try:
            record, new = _upsert(call, object_type, entry)
            written.append((record, entry))
            made |= {record["hs_object_id"]} if new else set()
        except Refused as refused:
            _note(errors, refused, entry, object_type)
    shown = [entry | {"new": entry["id"] in made} for entry in _shown(call, object_type, written)]
    return batch(call, shown, errors.listed())


def create_batch(call: Call) -> Reply:
    """Make records: all or none, unless every row has a trace id of its own."""
    object_type, inputs = schema.object_name(call.params["type"]), call.inputs(MOST)
    traces = Counter(text(entry, "objectWriteTraceId") for entry in inputs)
    traced = None not in traces and all(count == 1 for count in traces.values())
    made, errors = [], RowErrors()
    with call.world.transaction() as rollback:
        for entry in inputs:
            try:
                made.append((records.create(call, object_type, entry), entry))
            except Refused as refused:
                if not traced:
                    rollback()
                    raise
                errors.add(refused, objectWriteTraceId=str(entry["objectWriteTraceId"]))
    return batch(call, _shown(call, object_type, made), errors.listed(), status=201)


def archive_batch(call: Call) -> Reply:
    """Move records to the archive; unknown ones are passed over."""
    object_type = schema.object_name(call.params["type"])
    for entry in call.inputs(MOST):
        records.archive(call, object_type, _id(entry))
    return Reply(status=204)


def _upsert(call: Call, object_type: str, entry: dict[str, Any]) -> tuple[Record, bool]:
    name, value = entry["idProperty"], _id(entry)
    properties = {name: value} | (entry.get("properties") or {})
    record = values.holder(call.world, object_type, name, value)
    if record is None:
        return records.create(call, object_type, {"properties": properties}), True
    target = records.in_use(call, object_type, record["hs_object_id"])
    return records.update(call, object_type, target, properties), False


def _id(entry: dict[str, Any]) -> str:
    if not isinstance(entry.get("id"), str):
        raise invalid("Invalid input JSON: every input needs an id that is a string")
    return str(entry["id"])


def _refuse_id_property(entry: dict[str, Any], verb: str) -> None:
    if entry.get("idProperty") == "hs_object_id":
        raise invalid(f"Unable to perform {verb} by non-unique or internal property hs_object_id; leave idProperty out")


def _refuse_non_unique(call: Call, object_type: str, name: Any) -> None:
    definition = schema.definitions(call.world, object_type).get(str(name))
    if definition is None or not definition["hasUniqueValue"]:
        raise invalid(f"Unable to perform upsert by non-unique property {name}")


def _refuse_repeats(ids: Iterable[str]) -> None:
    repeated = sorted(key for key, count in Counter(ids).items() if count > 1)
    if repeated:
        raise invalid("Duplicate IDs found in batch input", context={"ids": repeated})


def _missing(object_type: str, verb: str) -> Refused:
    name = schema.SINGULAR[object_type].upper()
    text = f"Could not {verb} some {name} objects, they may be deleted or not exist. Check that ids are valid."
    return Refused(404, "OBJECT_NOT_FOUND", text)


def _note(errors: RowErrors, refused: Refused, entry: dict[str, Any], object_type: str) -> None:
    """Note a row that failed."""
    error = _missing(object_type, "update") if refused.status == 404 else refused
    traced = {"objectWriteTraceId": entry["objectWriteTraceId"]} if entry.get("objectWriteTraceId") else {}
    errors.add(error, ids=_id(entry), **traced)


def _shown(call: Call, object_type: str, rows: Sequence[tuple[Record, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Written records with the properties that were written."""
    shown = []
    for record, entry in rows:
        one = records.show(call.world, object_type, [record], entry.get("properties") or {})[0]
        trace = entry.get("objectWriteTraceId")
        shown.append(one | ({"objectWriteTraceId": trace} if trace else {}))
    return shown
