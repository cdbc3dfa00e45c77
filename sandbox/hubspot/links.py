"""Associations between records, version 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.hubspot.associations import DEFAULT_TYPE, LABELS, End, associate, neighbours, unlink
from sandbox.hubspot.calls import Call, Reply, batch, objects, page, resume, text
from sandbox.hubspot.errors import Refused, RowErrors, invalid
from sandbox.hubspot.schema import SINGULAR, TYPE_IDS, object_name

MOST_CREATED, MOST_READ, MOST_ARCHIVED, PAGE = 2_000, 1_000, 100, 500
CATEGORY = "HUBSPOT_DEFINED"


def create_links(call: Call) -> Reply:
    """Make edges of the given types; each row has its own result."""

    def make(start: End, end: End, entry: dict[str, Any]) -> dict[str, Any]:
        return _make(call, start, end, _types(entry.get("types")))

    return _each(call, make, status=201)


def create_default_links(call: Call) -> Reply:
    """Make edges without a label. Rows that fail are named in a reply with status 200."""

    def make(start: End, end: End, entry: dict[str, Any]) -> dict[str, Any]:
        return _make_default(call, start, end)

    return _each(call, make, status=200, partly=200)


def create_link(call: Call) -> Reply:
    """Make the edges of one pair; the body is the list of their types."""
    start, end = _path_ends(call)
    return Reply(body=_make(call, start, end, _types(call.body)), status=201)


def create_default_link(call: Call) -> Reply:
    """Make the edge without a label of one pair."""
    return batch(call, [_make_default(call, *_path_ends(call))], [])


def archive_link(call: Call) -> Reply:
    """Remove all edges of one pair."""
    unlink(call.world, *_path_ends(call), None, **call.author)
    return Reply(status=204)


def read_links(call: Call) -> Reply:
    """Edges of up to 1,000 records. A record without any is an error of its own, as HubSpot has it."""
    from_type, to_type = _pair(call)
    found, errors = [], RowErrors()
    for entry in call.inputs(MOST_READ):
        record_id = _object_id(entry)
        ends = _ends(call, (from_type, record_id), to_type)
        ends = [end for end in ends if int(end["toObjectId"]) > resume(text(entry, "after"))]
        if not ends:
            errors.add(_none_found(from_type, to_type, record_id), fromObjectId=record_id)
            continue
        one: dict[str, Any] = {"from": {"id": record_id}, "to": ends[:PAGE]}
        if len(ends) > PAGE:
            one["paging"] = page([], True, ends[PAGE - 1]["toObjectId"], call.params["from"])["paging"]
        found.append(one)
    call.world.emit("after_read", "hubspot", from_type, [entry["from"]["id"] for entry in found])
    return batch(call, found, errors.listed())


def list_links(call: Call) -> Reply:
    """A page of the edges of one record."""
    from_type, to_type = _pair(call)
    limit, start = call.limit(PAGE, PAGE), resume(call.query.get("after"))
    ends = [e for e in _ends(call, (from_type, call.params["id"]), to_type) if int(e["toObjectId"]) > start]
    last = ends[:limit][-1]["toObjectId"] if ends else ""
    return Reply(body=page(ends[:limit], len(ends) > limit, last, "associations"))


def archive_links(call: Call) -> Reply:
    """Remove all edges between records."""
    from_type, to_type = _pair(call)
    for entry in call.inputs(MOST_ARCHIVED):
        start = (from_type, _object_id(entry.get("from")))
        for end in objects(entry, "to"):
            unlink(call.world, start, (to_type, _object_id(end)), None, **call.author)
    return Reply(status=204)


def archive_labels(call: Call) -> Reply:
    """Remove edges of the given types."""
    from_type, to_type = _pair(call)
    for entry in call.inputs(MOST_CREATED):
        start, end = (from_type, _object_id(entry.get("from"))), (to_type, _object_id(entry.get("to")))
        unlink(call.world, start, end, _types(entry.get("types")), **call.author)
    return Reply(status=204)


def _make(call: Call, start: End, end: End, types: list[int]) -> dict[str, Any]:
    associate(call.world, start, end, types, **call.author)
    return {
        "fromObjectTypeId": TYPE_IDS[start[0]],
        "fromObjectId": start[1],
        "toObjectTypeId": TYPE_IDS[end[0]],
        "toObjectId": end[1],
        "labels": [LABELS[type_id] for type_id in types if type_id in LABELS],
    }


def _make_default(call: Call, start: End, end: End) -> dict[str, Any]:
    type_id = _default(start[0], end[0])
    associate(call.world, start, end, [type_id], **call.author)
    spec = {"associationCategory": CATEGORY, "associationTypeId": type_id}
    return {"from": {"id": start[1]}, "to": {"id": end[1]}, "associationSpec": spec}


def _path_ends(call: Call) -> tuple[End, End]:
    (from_type, to_type), params = _pair(call), call.params
    return (from_type, _object_id({"id": params["id"]})), (to_type, _object_id({"id": params["to_id"]}))


def _each(
    call: Call, make: Callable[[End, End, dict[str, Any]], dict[str, Any]], *, status: int, partly: int = 207
) -> Reply:
    from_type, to_type = _pair(call)
    made, errors = [], RowErrors()
    for entry in call.inputs(MOST_CREATED):
        start, end = (from_type, _object_id(entry.get("from"))), (to_type, _object_id(entry.get("to")))
        try:
            made.append(make(start, end, entry))
        except Refused as refused:
            errors.add(refused, fromObjectId=start[1], toObjectId=end[1])
    return batch(call, made, errors.listed(), status=status, partly=partly)


def _pair(call: Call) -> tuple[str, str]:
    return object_name(call.params["from"]), object_name(call.params["to"])


def _object_id(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not entry["id"].isdecimal():
        raise invalid("Invalid input JSON: a record is named by an id that is a string of digits")
    return str(entry["id"])


def _types(given: Any) -> list[int]:
    try:
        types = [(t["associationCategory"], int(t["associationTypeId"])) for t in given]
    except (KeyError, TypeError, ValueError) as error:
        raise invalid("Invalid input JSON: types need associationCategory and associationTypeId") from error
    if any(category != CATEGORY for category, _ in types):
        raise invalid(f"the portal has no association types but those of category {CATEGORY}")
    return [type_id for _, type_id in types]


def _default(from_type: str, to_type: str) -> int:
    if (from_type, to_type) not in DEFAULT_TYPE:
        raise invalid(f"{from_type} cannot be associated with {to_type}")
    return DEFAULT_TYPE[from_type, to_type]


def _ends(call: Call, start: End, to_type: str) -> list[dict[str, Any]]:
    return [
        {"toObjectId": end, "associationTypes": [_label(type_id) for type_id in types]}
        for end, types in neighbours(call.world, start, to_type).items()
    ]


def _label(type_id: int) -> dict[str, Any]:
    named = {"label": LABELS[type_id]} if type_id in LABELS else {}
    return {"category": CATEGORY, "typeId": type_id, **named}


def _none_found(from_type: str, to_type: str, record_id: str) -> Refused:
    text = f"No {SINGULAR[to_type]} is associated with {SINGULAR[from_type]} {record_id}."
    return Refused(404, "OBJECT_NOT_FOUND", text, sub_category="crm.associations.NO_ASSOCIATIONS_FOUND")
