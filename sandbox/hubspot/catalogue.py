"""What the portal is made of: property definitions, their groups, and the owners."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.calls import Call, Reply, batch, page, resume
from sandbox.hubspot.errors import Refused, RowErrors, invalid, not_found
from sandbox.hubspot.schema import Definition, definitions, groups, object_name
from sandbox.world import hubspot_time

FIELD_TYPES = {
    "string": {"text", "textarea", "file", "html", "phonenumber"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
    "bool": {"booleancheckbox", "calculation_equation"},
}
"""Field types that fit a type; others are refused."""
MOST_UNIQUE, MOST_IN_BATCH = 10, 100
_OPTIONAL = {"description": "", "displayOrder": -1, "hidden": False, "formField": False, "hasUniqueValue": False}


def list_properties(call: Call) -> Reply:
    """All definitions in one reply; this list has no pages."""
    known, archived = definitions(call.world, object_name(call.params["type"])), call.flag("archived")
    return Reply(body={"results": [d for d in known.values() if d["archived"] == archived]})


def read_property(call: Call) -> Reply:
    """One definition."""
    return Reply(body=_known(call))


def create_property(call: Call) -> Reply:
    """Make a custom property."""
    return Reply(body=_create(call, call.fields()), status=201)


def create_properties(call: Call) -> Reply:
    """Make several; each has its own result."""
    made, errors = [], RowErrors()
    for entry in call.inputs(MOST_IN_BATCH):
        try:
            made.append(_create(call, entry))
        except Refused as refused:
            errors.add(refused, name=str(entry.get("name")))
    return batch(call, made, errors.listed(), status=201)


def read_properties(call: Call) -> Reply:
    """Several definitions by name."""
    known = definitions(call.world, object_name(call.params["type"]))
    found, errors = [], RowErrors()
    for entry in call.inputs(MOST_IN_BATCH):
        name = str(entry.get("name"))
        if name in known:
            found.append(known[name])
        else:
            errors.add(not_found("Some properties do not exist."), name=name)
    return batch(call, found, errors.listed())


def archive_properties(call: Call) -> Reply:
    """Remove several custom properties; unknown ones are passed over."""
    known = definitions(call.world, object_name(call.params["type"]))
    for entry in call.inputs(MOST_IN_BATCH):
        if (definition := known.get(str(entry.get("name")))) is not None:
            _archive(definition)
    return Reply(status=204)


def update_property(call: Call) -> Reply:
    """Change label, options and the like. Whether values are unique is decided when a property is made."""
    definition, given = _known(call), call.fields()
    if definition["modificationMetadata"]["readOnlyDefinition"]:
        raise invalid(f"property {definition['name']} is defined by HubSpot and cannot be changed")
    changed = definition | {name: value for name, value in given.items() if name != "hasUniqueValue"}
    _check_types(changed)
    definition.update(changed, updatedAt=hubspot_time(call.world.now()))
    return Reply(body=definition)


def archive_property(call: Call) -> Reply:
    """Remove one custom property."""
    _archive(_known(call))
    return Reply(status=204)


def list_groups(call: Call) -> Reply:
    """All property groups."""
    return Reply(body={"results": list(groups(call.world, object_name(call.params["type"])).values())})


def read_group(call: Call) -> Reply:
    """One property group."""
    known = groups(call.world, object_name(call.params["type"]))
    if call.params["name"] not in known:
        raise not_found(f"property group {call.params['name']} does not exist")
    return Reply(body=known[call.params["name"]])


def create_group(call: Call) -> Reply:
    """Make a property group."""
    known, given = groups(call.world, object_name(call.params["type"])), call.fields()
    name, label = _required(given, "name"), _required(given, "label")
    if name in known:
        raise Refused(409, "CONFLICT", f"A property group named '{name}' already exists.")
    known[name] = {"name": name, "label": label, "displayOrder": given.get("displayOrder", -1), "archived": False}
    return Reply(body=known[name], status=201)


def update_group(call: Call) -> Reply:
    """Change label or order of a property group."""
    body = read_group(call).body
    body |= {name: value for name, value in call.fields().items() if name in ("label", "displayOrder")}
    return Reply(body=body)


def archive_group(call: Call) -> Reply:
    """Remove a property group that no property is in."""
    object_type, name = object_name(call.params["type"]), read_group(call).body["name"]
    if any(d["groupName"] == name for d in definitions(call.world, object_type).values()):
        raise invalid(f"property group {name} still has properties; move them first")
    del groups(call.world, object_type)[name]
    return Reply(status=204)


def list_owners(call: Call) -> Reply:
    """A page of owners in id order: those in use, or the archived ones only."""
    archived, email = call.flag("archived"), call.query.get("email")
    limit, start = call.limit(100, 500), resume(call.query.get("after"))
    rows = [o for o in call.world.table("hubspot", "owners").values() if o["archived"] == archived]
    rows = sorted(rows, key=lambda o: int(o["hs_object_id"]))
    rows = [o for o in rows if int(o["hs_object_id"]) > start and email in (None, o.get("email"))]
    chosen = rows[:limit]
    last = chosen[-1]["hs_object_id"] if chosen else ""
    call.world.emit("after_read", "hubspot", "owners", [row["hs_object_id"] for row in chosen])
    return Reply(body=page([_owner(row) for row in chosen], len(rows) > limit, last, "/crm/v3/owners"))


def read_owner(call: Call) -> Reply:
    """One owner, by owner id or by user id."""
    key, archived = call.params["id"], call.flag("archived")
    name = "userId" if call.query.get("idProperty") == "userId" else "hs_object_id"
    for row in call.world.table("hubspot", "owners").values():
        if str(row.get(name)) == key and row["archived"] == archived:
            return Reply(body=_owner(row))
    raise not_found("resource not found")


def _owner(row: dict[str, Any]) -> dict[str, Any]:
    """An owner as shown. An archived one has lost its user id."""
    shown = {
        "id": row["hs_object_id"],
        "type": "PERSON",
        "email": row.get("email", ""),
        "firstName": row.get("firstName", ""),
        "lastName": row.get("lastName", ""),
        "createdAt": row["createdate"],
        "updatedAt": row["hs_lastmodifieddate"],
        "archived": row["archived"],
        "teams": row.get("teams", []),
    }
    if (user_id := row.get("userId")) is not None:
        shown |= {"userIdIncludingInactive": user_id} | ({} if row["archived"] else {"userId": user_id})
    return shown


def _known(call: Call) -> Definition:
    known = definitions(call.world, object_name(call.params["type"]))
    definition = known.get(call.params["name"])
    if definition is None:
        raise not_found(f"property {call.params['name']} does not exist")
    return definition


def _create(call: Call, given: dict[str, Any]) -> Definition:
    object_type = object_name(call.params["type"])
    known = definitions(call.world, object_type)
    required = {name: _required(given, name) for name in ("name", "label", "type", "fieldType", "groupName")}
    if required["name"] in known:
        raise Refused(409, "CONFLICT", f"A property named '{required['name']}' already exists.")
    if required["groupName"] not in groups(call.world, object_type):
        raise invalid(f"property group {required['groupName']} does not exist")
    if (
        given.get("hasUniqueValue")
        and sum(d["hasUniqueValue"] and not d["hubspotDefined"] for d in known.values()) >= MOST_UNIQUE
    ):
        raise invalid(f"an object has at most {MOST_UNIQUE} properties with unique values")
    now = hubspot_time(call.world.now())
    optional = {name: given.get(name, default) for name, default in _OPTIONAL.items()}
    definition = {**required, **optional, "options": given.get("options", []), "createdAt": now, "updatedAt": now}
    definition |= {"calculated": False, "externalOptions": False, "hubspotDefined": False, "archived": False}
    flags = {"readOnlyDefinition": False, "readOnlyValue": False, "readOnlyOptions": False}
    definition |= {"modificationMetadata": {"archivable": True, **flags}}
    _check_types(definition)
    known[definition["name"]] = definition
    return definition


def _archive(definition: Definition) -> None:
    if definition["hubspotDefined"]:
        raise invalid(f"property {definition['name']} is defined by HubSpot and cannot be archived")
    definition["archived"] = True


def _required(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"Invalid input JSON: {name} must be a string that is not empty")
    return value


def _check_types(definition: Definition) -> None:
    kind, field_type = definition["type"], definition["fieldType"]
    if field_type not in FIELD_TYPES.get(kind, set()):
        raise invalid(f"field type {field_type!r} does not fit a property of type {kind!r}")
    options = definition["options"]
    if kind == "enumeration" and not options:
        raise invalid("a property of type enumeration needs options")
    if not all(isinstance(o, dict) and {"label", "value", "hidden"} <= set(o) for o in options):
        raise invalid("Invalid input JSON: an option needs label, value and hidden")
