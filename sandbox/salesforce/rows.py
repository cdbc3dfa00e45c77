"""sObject rows: read, write and delete one record, with the conditional headers Salesforce knows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, deleted, malformed, malformed_id, not_found, unknown_column
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.schema import Field, Schema
from sandbox.salesforce.values import instant, shown
from sandbox.salesforce.writes import Writer
from sandbox.world import Record, World, salesforce_time

_TAG = re.compile(r'^(?:W/)?"[^"]*"$')
_ENCODED = re.compile(r'-{1,2}gzip"$')
_LONGEST_REPLICATION = timedelta(days=30)


class Rows:
    """The sObject row resources of one world."""

    def __init__(self, world: World, schema: Schema, writer: Writer) -> None:
        self._world = world
        self._schema = schema
        self._writer = writer

    def read(self, call: Call, object_name: str, record_id: str) -> Reply:
        """GET: the record, or 304 when a condition says the reader has it."""
        with self._world.lock:
            record = self._visible(object_name, record_id)
            fields = self.columns(object_name, call.query.get("fields"))
            headers = self._headers(object_name, record)
            if self._unmodified(call.headers, headers, record):
                return Reply(status=304, headers=headers)
            self._check_preconditions(call, object_name, record)
            body = shown(object_name, record, fields, call.base)
        self._world.emit("after_read", "salesforce", object_name, [record["Id"]])
        return Reply(body=body, headers=headers)

    def update(self, call: Call, object_name: str, record_id: str) -> Reply:
        """PATCH: 204, with the new ETag on Account; 412 when the record moved."""
        if not isinstance(call.body, dict):
            raise malformed("The HTTP entity body is required, but this request has no entity body.")
        if any(name.lower() == "id" for name in call.body):
            raise ApiError("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
        with self._writer.claim(call, [record_id]):
            return self._update(call, object_name, record_id, call.body)

    def _update(self, call: Call, object_name: str, record_id: str, fields: Mapping[str, Any]) -> Reply:
        self._world.emit("before_write", "salesforce", object_name, [id18(record_id)], fields)
        with self._world.lock:
            record = self._writer.existing(object_name, record_id)
            self._check_preconditions(call, object_name, record)
            headers = self._headers(object_name, self._writer.update(call, object_name, record_id, fields))
        return Reply(status=204, headers={k: v for k, v in headers.items() if k == "ETag"})

    def create(self, call: Call, object_name: str) -> Reply:
        """POST: 201 and the new id."""
        if not isinstance(call.body, dict):
            raise malformed("The HTTP entity body is required, but this request has no entity body.")
        self._world.emit("before_write", "salesforce", object_name, [], call.body)
        with self._world.lock:
            record_id = self._writer.create(call, object_name, call.body)
        where = {"Location": f"{call.base}/sobjects/{object_name}/{record_id}"}
        return Reply(status=201, body={"id": record_id, "success": True, "errors": []}, headers=where)

    def delete(self, call: Call, object_name: str, record_id: str) -> Reply:
        """DELETE: 204. Conditional headers have no effect on it."""
        self._world.emit("before_write", "salesforce", object_name, [id18(record_id)])
        with self._world.lock:
            self._writer.delete(call, object_name, record_id)
        return Reply(status=204)

    def columns(self, object_name: str, names: str | Sequence[str] | None) -> tuple[Field, ...]:
        """The fields named, or all of them. ApiError INVALID_FIELD for an unknown one."""
        if names is None:
            return self._schema.fields(object_name)
        listed = [part.strip() for part in names.split(",")] if isinstance(names, str) else names
        found = []
        for name in listed:
            if not isinstance(name, str):
                raise malformed("fields must be a list of names")
            field = self._schema.field(object_name, name)
            if field is None:
                raise unknown_column(name, object_name)
            found.append(field)
        return tuple(found)

    def replicated(self, call: Call, object_name: str, kind: str) -> Reply:
        """getUpdated and getDeleted: ids whose stamp lies in [start, end)."""
        start, end = (_moment(call.query.get(name)) for name in ("start", "end"))
        now = self._world.now()
        if start >= end or start < now - _LONGEST_REPLICATION:
            text = "startDate must be before endDate and at most 30 days ago"
            raise ApiError("INVALID_REPLICATION_DATE", text)
        with self._world.lock:
            pending = self._world.pending_since("salesforce", object_name)
            covered = salesforce_time(min(moment for moment in (end, now, pending) if moment is not None))
            rows = [
                row
                for row in self._world.rows("salesforce", object_name)
                if start <= instant(row["SystemModstamp"]) < end and row["IsDeleted"] == (kind == "deleted")
            ]
        if kind == "updated":
            return Reply(body={"ids": [row["Id"] for row in rows], "latestDateCovered": covered})
        found = [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows]
        earliest = salesforce_time(now - _LONGEST_REPLICATION)
        return Reply(body={"deletedRecords": found, "earliestDateAvailable": earliest, "latestDateCovered": covered})

    def _visible(self, object_name: str, record_id: str) -> Record:
        if not is_id(record_id):
            raise malformed_id(f"{object_name} ID", record_id, "Id")
        record = self._world.get("salesforce", object_name, record_id)
        if record is None:
            raise not_found()
        if record["IsDeleted"]:
            raise deleted()
        return record

    def _headers(self, object_name: str, record: Record) -> dict[str, str]:
        headers = {"Last-Modified": format_datetime(instant(record["LastModifiedDate"]), usegmt=True)}
        if object_name == "Account":
            headers["ETag"] = self._tag(record)
        return headers

    def _tag(self, record: Record) -> str:
        """A tag of the whole record: another one after every write, also within a second and to the same values."""
        version = self._world.version("salesforce", "Account", record["Id"])
        text = json.dumps([version, record], sort_keys=True, default=str)
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
        return f'"{base64.b64encode(digest).decode()}"'

    def _unmodified(self, given: Mapping[str, str], own: Mapping[str, str], record: Record) -> bool:
        tags = given.get("if-none-match")
        if tags is not None and "ETag" in own:
            return _matches(tags, own["ETag"])
        since = given.get("if-modified-since")
        return since is not None and instant(record["LastModifiedDate"]) <= http_date(since)

    def _check_preconditions(self, call: Call, object_name: str, record: Record) -> None:
        if call.in_composite and not self._world.settings.conditional_in_composite:
            return
        tags, since = call.headers.get("if-match"), call.headers.get("if-unmodified-since")
        if tags is not None and object_name == "Account" and not _matches(tags, self._tag(record)):
            raise _moved()
        if since is not None and instant(record["LastModifiedDate"]) > http_date(since):
            raise _moved()


def _moved() -> ApiError:
    text = "The record has been modified since the version named in the request."
    return ApiError("PRECONDITION_FAILED", text, status=412)


def _matches(header: str, own: str) -> bool:
    """True when a tag of the header is `own`, whatever its encoding suffix. ApiError when a tag is malformed."""
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    for tag in tags:
        if not _TAG.match(tag):
            raise ApiError("INVALID_HEADER", f"entity tag {tag!r} is not a quoted string")
    return own in {_ENCODED.sub('"', tag) for tag in tags}


def http_date(text: str) -> datetime:
    """The instant of an HTTP date. ApiError when it is none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError as error:
        raise ApiError("INVALID_HEADER", f"date {text!r} is not an HTTP date") from error


def _moment(text: str | None) -> datetime:
    try:
        return instant(text or "")
    except ValueError as error:
        raise ApiError("INVALID_REPLICATION_DATE", f"date {text!r} is not an ISO instant with an offset") from error
