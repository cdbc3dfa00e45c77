"""Collections of up to 200 rows, retrieval of up to 2,000, and composite calls of up to 25 parts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.moment import Cut
from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, malformed, malformed_id, too_many
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.rows import Rows
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.values import shown
from sandbox.salesforce.writes import Writer
from sandbox.world import World

MAX_ROWS = 200
MAX_RETRIEVED = 2000
MAX_PARTS = 25
MAX_HEAVY_PARTS = 5  # collections and queries
MAX_CHUNKS = 10  # runs of rows of one type

INHERITED = frozenset({"accept", "authorization", "content-type"})
"""The only headers that parts of a composite call take over from it, and may not set themselves."""

_REFERENCE = re.compile(r"@\{(\w+)\.?([^}]*)\}")
_DATA_URL = re.compile(r"^/services/data/v\d+\.\d+/(.*)$")
_HEAVY = re.compile(r"^(query|queryAll|composite/sobjects)\b")


class Collections:
    """The composite/sobjects resources of one world."""

    def __init__(self, world: World, schema: Schema, rows: Rows, writer: Writer) -> None:
        self._world = world
        self._schema = schema
        self._rows = rows
        self._writer = writer

    def retrieve(self, call: Call, object_name: str) -> Reply:
        """Records in the order asked for; null for what is missing or deleted."""
        body = call.body if isinstance(call.body, dict) else {}
        ids = body.get("ids") or [part for part in call.query.get("ids", "").split(",") if part]
        if not isinstance(ids, list):
            raise malformed("ids must be a list")
        if len(ids) > MAX_RETRIEVED:
            raise too_many(MAX_RETRIEVED)
        for record_id in ids:
            if not is_id(record_id):
                raise malformed_id(f"{object_name} ID", record_id, "Id")
        names = body.get("fields") or call.query.get("fields", "")
        if not isinstance(names, str | list):
            raise malformed("fields must be a list of names")
        fields = self._rows.columns(object_name, names)
        with self._world.lock:
            records = [self._world.get("salesforce", object_name, record_id) for record_id in ids]
            found = [
                None if record is None or record["IsDeleted"] else shown(object_name, record, fields, call.base)
                for record in records
            ]
        self._world.emit("after_read", "salesforce", object_name, [id18(record_id) for record_id in ids])
        return Reply(body=found)

    def write(self, call: Call) -> Reply:
        """PATCH updates and POST creates: one result per row, in the order of the rows."""
        records, all_or_none = _records(call)
        names = [self._object_of(record) for record in records]
        if sum(1 for before, name in zip(["", *names], names, strict=False) if before != name) > MAX_CHUNKS:
            raise ApiError("LIMIT_EXCEEDED", f"records of mixed types form more than {MAX_CHUNKS} chunks")
        ids = [id18(str(_id_of(record))) for record in records if _id_of(record)]
        step = self._updated if call.method == "PATCH" else self._created
        pairs = list(zip(names, records, strict=True))
        with self._writer.claim(call, ids):
            self._world.emit("before_write", "salesforce", names[0] if names else "", ids)
            return self._each(lambda pair: step(call, *pair), pairs, all_or_none)

    def upsert(self, call: Call, object_name: str, key: str) -> Reply:
        """PATCH by an external id field, or by Id: updates what matches and creates the others."""
        field = self._schema.field(object_name, key)
        if field is None or not (field.external or field.name == "Id"):
            raise ApiError("INVALID_FIELD", f"Provided external ID field does not exist or is not accessible: {key}")
        records, all_or_none = _records(call)
        self._world.emit("before_write", "salesforce", object_name, [])
        made: set[str] = set()

        def step(record: Mapping[str, Any]) -> str:
            value = _id_of(record) if field.name == "Id" else record.get(field.name)
            found = value if field.name == "Id" else self._writer.matching(object_name, field.name, value)
            if found:
                return str(self._writer.update(call, object_name, str(found), record)["Id"])
            made.add(record_id := self._writer.create(call, object_name, record))
            return record_id

        reply = self._each(step, records, all_or_none)
        rows = [{**row, "created": row["id"] in made} if row["success"] else row for row in reply.body]
        return Reply(body=rows)

    def delete(self, call: Call) -> Reply:
        """DELETE ?ids=: one result per id, in order."""
        ids = [part for part in call.query.get("ids", "").split(",") if part]
        if len(ids) > MAX_ROWS:
            raise too_many(MAX_ROWS)
        all_or_none = call.query.get("allOrNone", "false").lower() == "true"
        self._world.emit("before_write", "salesforce", "", [id18(record_id) for record_id in ids])
        return self._each(lambda record_id: self._deleted(call, record_id), ids, all_or_none)

    def _each(self, step: Callable[[Any], str], items: list[Any], all_or_none: bool) -> Reply:
        results: list[dict[str, Any]] = []
        with self._world.transaction() as rollback:
            for item in items:
                try:
                    results.append({"id": step(item), "success": True, "errors": []})
                except ApiError as error:
                    if error.code in ("INVALID_FIELD", "JSON_PARSER_ERROR"):  # the request as such cannot be read
                        rollback()
                        raise
                    results.append(error.row())
                except Cut:
                    if all_or_none:
                        rollback()
                    raise
            if all_or_none and not all(result["success"] for result in results):
                rollback()
                results = [_rolled_back() if result["success"] else result for result in results]
        return Reply(body=results)

    def _updated(self, call: Call, object_name: str, record: Mapping[str, Any]) -> str:
        record_id = _id_of(record)
        if not record_id:
            raise ApiError("MISSING_ARGUMENT", "Id not specified in an update call")
        return str(self._writer.update(call, object_name, str(record_id), record)["Id"])

    def _created(self, call: Call, object_name: str, record: Mapping[str, Any]) -> str:
        if _id_of(record):
            raise ApiError("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", fields=["Id"])
        return self._writer.create(call, object_name, record)

    def _deleted(self, call: Call, record_id: str) -> str:
        for name in self._schema.objects():
            if id18(record_id) in self._world.table("salesforce", name):
                return self._writer.delete(call, name, record_id)
        raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")

    def _object_of(self, record: Any) -> str:
        kind = _inside(_inside(record, "attributes"), "type")
        name = self._schema.object_name(kind) if isinstance(kind, str) else None
        if name is None:
            raise ApiError("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        return name


class Composite:
    """The composite resource: parts run in order through `handle`, each with its own headers alone."""

    def __init__(self, world: World, handle: Callable[[Call], Reply]) -> None:
        self._world = world
        self._handle = handle

    def run(self, call: Call) -> Reply:
        """All parts and their results; 200 whatever became of them."""
        parts = call.body.get("compositeRequest") if isinstance(call.body, dict) else None
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise malformed("compositeRequest must be a list of subrequests")
        _check_sizes(parts)
        all_or_none = bool(call.body.get("allOrNone", False))
        if not all_or_none:
            answered: dict[str, Reply] = {}
            return Reply(body={"compositeResponse": [self._part(call, part, answered) for part in parts]})
        with self._world.transaction() as rollback:
            answered = {}
            try:
                results = [self._part(call, part, answered) for part in parts]
            except Cut:
                rollback()
                raise
            if any(result["httpStatusCode"] >= 400 for result in results):
                rollback()
                results = [r if r["httpStatusCode"] >= 400 else _halted(r["referenceId"]) for r in results]
        return Reply(body={"compositeResponse": results})

    def _part(self, call: Call, part: Mapping[str, Any], answered: dict[str, Reply]) -> dict[str, Any]:
        name = str(part["referenceId"])
        try:
            reply = self._handle(_inner_call(call, part, answered))
        except ApiError as error:
            reply = Reply(status=error.status, body=error.envelope())
        answered[name] = reply
        return {
            "body": reply.body,
            "httpHeaders": dict(reply.headers),
            "httpStatusCode": reply.status,
            "referenceId": name,
        }


def _inner_call(call: Call, part: Mapping[str, Any], answered: Mapping[str, Reply]) -> Call:
    filled = json.loads(_fill(json.dumps([part.get("url", ""), part.get("body")]), answered))
    url = urlsplit(str(filled[0]))
    found = _DATA_URL.match(url.path)
    if found is None:
        raise ApiError("INVALID_URL", f"subrequest url {url.path!r} does not begin with /services/data/vNN.N/")
    given = part.get("httpHeaders") or {}
    if not isinstance(given, dict):
        raise malformed("httpHeaders must be an object")
    own = {name.lower(): str(value) for name, value in given.items()}
    if own.keys() & INHERITED:
        raise ApiError("INVALID_HEADER", f"a subrequest may not set {', '.join(sorted(own.keys() & INHERITED))}")
    return Call(
        method=str(part.get("method", "")).upper(),
        path=found.group(1).strip("/"),
        base=call.base,
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={**{k: v for k, v in call.headers.items() if k in INHERITED}, **own},
        body=filled[1],
        user=call.user,
        client=call.client,
        request=call.request,
        faults=call.faults,
        in_composite=True,
    )


def _fill(text: str, answered: Mapping[str, Reply]) -> str:
    """Replace @{reference.field} by values of earlier parts."""

    def one(match: re.Match[str]) -> str:
        name, path = match.groups()
        value: Any = answered[name].body if name in answered else None
        for step in re.findall(r"\w+", path):
            value = _inside(value, step)
        if value is None or answered[name].status >= 400:
            text = f"Invalid reference specified. No value for {name}.{path} found in {name}"
            raise ApiError("PROCESSING_HALTED", text)
        return json.dumps(str(value))[1:-1]

    return _REFERENCE.sub(one, text)


def _inside(value: Any, step: str) -> Any:
    if isinstance(value, list):
        return value[int(step)] if step.isdigit() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def _check_sizes(parts: list[dict[str, Any]]) -> None:
    if len(parts) > MAX_PARTS:
        raise ApiError("LIMIT_EXCEEDED", f"The request can't contain more than {MAX_PARTS} operations")
    paths = [found.group(1) for part in parts if (found := _DATA_URL.match(str(part.get("url", ""))))]
    if sum(1 for path in paths if _HEAVY.match(path)) > MAX_HEAVY_PARTS:
        text = f"The request can't contain more than {MAX_HEAVY_PARTS} sObject collections or query operations"
        raise ApiError("LIMIT_EXCEEDED", text)
    names = [part.get("referenceId") for part in parts]
    if len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        raise ApiError("INVALID_REFERENCE_ID", "every subrequest needs a referenceId of its own")


def _records(call: Call) -> tuple[list[Any], bool]:
    body = call.body
    if not isinstance(body, dict) or not isinstance(body.get("records"), list):
        raise malformed("records must be a list")
    if len(body["records"]) > MAX_ROWS:
        raise too_many(MAX_ROWS)
    return body["records"], bool(body.get("allOrNone", False))


def _id_of(record: Mapping[str, Any]) -> Any:
    return next((value for name, value in record.items() if name.lower() == "id"), None)


def _rolled_back() -> dict[str, Any]:
    text = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return ApiError("ALL_OR_NONE_OPERATION_ROLLED_BACK", text).row()


def _halted(name: str) -> dict[str, Any]:
    text = "The transaction was rolled back since another operation in the same transaction failed."
    body = ApiError("PROCESSING_HALTED", text).envelope()
    return {"body": body, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": name}
