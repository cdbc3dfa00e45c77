"""The query resources: pages of records behind an opaque, expiring locator."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.filters import Path, Resolver, compiled, sort_key
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.soql import Column, Ordering, Query, located, parse
from sandbox.salesforce.tables import cell_of
from sandbox.salesforce.values import attributes, read
from sandbox.world import Record, World

_LEAST_PAGE, _MOST_PAGE = 200, 2000
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class _Cursor:
    rows: list[dict[str, Any]]
    size: int
    made_at: datetime
    resource: str  # query or queryAll


class Queries:
    """Runs queries of one world and keeps their cursors."""

    def __init__(self, world: World, schema: Schema) -> None:
        self._world = world
        self._schema = schema
        self._cursors: dict[str, _Cursor] = {}
        self._random = random.Random(f"pages:{world.seed}")

    def start(self, call: Call, *, resource: str) -> Reply:
        """The first page of a new query."""
        query = parse(call.query.get("q", ""))
        with self._world.lock:
            rows, total = self._run(query, call.base, include_deleted=resource == "queryAll")
        if query.count_only:
            return Reply(body={"totalSize": total, "done": True, "records": []})
        cursor = _Cursor(rows, self._page_size(call), self._world.now(), resource)
        locator = f"0r8{self._random.randrange(16**12):012X}AAA"
        reply = self._page(call, cursor, locator, 0)
        if not reply.body["done"]:
            self._cursors[locator] = cursor
        object_name = self._schema.object_name(query.object) or query.object
        ids = [row["Id"] for row in rows if "Id" in row]
        self._world.emit("after_read", "salesforce", object_name, ids)
        return reply

    def more(self, call: Call, locator: str) -> Reply:
        """A further page. ApiError INVALID_QUERY_LOCATOR when the cursor is unknown or too old."""
        name, _, offset = locator.partition("-")
        cursor = self._cursors.get(name)
        lifetime = timedelta(seconds=self._world.settings.cursor_lifetime_s)
        if cursor is None or not offset.isdigit() or self._world.now() - cursor.made_at > lifetime:
            raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, cursor, name, int(offset))

    def table(self, text: str, *, include_deleted: bool) -> tuple[list[str], list[list[str]]]:
        """The whole result of a query as header and rows of text. ApiError when it is none."""
        query = parse(text)
        with self._world.lock:
            rows, _ = self._run(query, "", include_deleted=include_deleted)
        header = [column.path for column in query.columns]
        return header, [[cell_of(_at(row, path)) for path in header] for row in rows]

    def _page_size(self, call: Call) -> int:
        asked = _BATCH_SIZE.search(call.headers.get("sforce-query-options", ""))
        size = _MOST_PAGE if asked is None else min(_MOST_PAGE, max(_LEAST_PAGE, int(asked.group(1))))
        return max(1, min(size, self._world.settings.salesforce_page_size))

    def _page(self, call: Call, cursor: _Cursor, locator: str, offset: int) -> Reply:
        size = cursor.size
        if self._world.settings.short_pages:
            size = self._random.randint(max(1, size // 2), size)
        end = min(offset + size, len(cursor.rows))
        done = end == len(cursor.rows)
        body: dict[str, Any] = {"totalSize": len(cursor.rows), "done": done}
        if not done:
            body["nextRecordsUrl"] = f"{call.base}/{cursor.resource}/{locator}-{end}"
        return Reply(body={**body, "records": cursor.rows[offset:end]})

    def _run(self, query: Query, base: str, *, include_deleted: bool) -> tuple[list[dict[str, Any]], int]:
        object_name = self._source(query)
        resolver = Resolver(self._world, self._schema, query.text)
        paths = [resolver.path(object_name, column) if column.path else None for column in query.columns]
        test = compiled(query.where, object_name, resolver)
        found = [
            record
            for record in self._world.rows("salesforce", object_name)
            if (include_deleted or not record["IsDeleted"]) and test(record)
        ]
        if query.count_only:
            return [], len(found)
        if query.group_by or any(column.function for column in query.columns):
            rows = _aggregated(query, found, paths, resolver, object_name)
        else:
            _refuse_repeats(query.columns)
            ordered = _in_order(found, query.order_by, object_name, resolver)
            plain = [path for path in paths if path is not None]
            last = None if query.limit is None else query.offset + query.limit
            kept = ordered[query.offset : last]
            return [_row(record, plain, resolver, object_name, base) for record in kept], len(found)
        return rows, len(rows)

    def _source(self, query: Query) -> str:
        name = self._schema.object_name(query.object)
        if name is None:
            text = (
                f"sObject type '{query.object}' is not supported. If you are attempting to use a custom object, be "
                "sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for "
                "the appropriate names."
            )
            raise ApiError("INVALID_TYPE", located(query.text, query.object_at, text))
        return name


def _at(row: Mapping[str, Any], path: str) -> Any:
    """The value under a dotted path, whatever the case of its names; None when a reference is empty."""
    value: Any = row
    for step in path.split("."):
        value = next((inner for name, inner in (value or {}).items() if name.lower() == step.lower()), None)
    return value


def _refuse_repeats(columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.path.lower() in seen:
            raise ApiError("INVALID_FIELD", f"duplicate field selected: {column.path}")
        seen.add(column.path.lower())


def _in_order(found: list[Record], order_by: Sequence[Ordering], object_name: str, resolver: Resolver) -> list[Record]:
    """Sorted by all terms: a stable sort per term, from the last to the first. Empty values come first unless told."""
    for term in reversed(order_by):
        path = resolver.path(object_name, term.column)
        keyed = [(sort_key(path.field, resolver.value(record, path)), record) for record in found]
        empty = [record for key, record in keyed if key is None]
        filled = sorted((pair for pair in keyed if pair[0] is not None), key=lambda p: p[0], reverse=term.descending)
        full = [record for _, record in filled]
        found = [*full, *empty] if term.nulls_last else [*empty, *full]
    return found


def _row(record: Record, paths: Sequence[Path], resolver: Resolver, object_name: str, base: str) -> dict[str, Any]:
    row: dict[str, Any] = {"attributes": attributes(object_name, record["Id"], base)}
    for path in paths:
        if path.steps:
            _nest(row, record, path, resolver, base)
        else:
            row[path.field.name] = read(object_name, record, path.field)
    return row


def _nest(row: dict[str, Any], record: Record, path: Path, resolver: Resolver, base: str) -> None:
    """Put a value reached over references into nested objects; an empty reference makes the object null."""
    here = row
    for depth, step in enumerate(path.steps):
        reference = resolver.value(record, Path(path.object, path.steps[:depth], step, ()))
        if not reference:
            here.setdefault(step.relationship, None)
            return
        inner = here.get(step.relationship) or {"attributes": attributes(step.refers_to, reference, base)}
        here[step.relationship] = inner
        here = inner
    here[path.field.name] = resolver.value(record, path)


def _aggregated(
    query: Query, found: list[Record], paths: Sequence[Path | None], resolver: Resolver, object_name: str
) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    by = [resolver.path(object_name, column) for column in query.group_by]
    for record in found:
        groups.setdefault(tuple(resolver.value(record, path) for path in by), []).append(record)
    grouped = {column.path.lower() for column in query.group_by}
    for column in query.columns:
        if not column.function and column.path.lower() not in grouped:
            raise ApiError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {column.path}")
    if not by and not groups:
        groups[()] = []
    rows = [_group_row(query.columns, members, paths, resolver) for members in groups.values()]
    last = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : last]


def _group_row(
    columns: Sequence[Column], members: list[Record], paths: Sequence[Path | None], resolver: Resolver
) -> dict[str, Any]:
    row: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
    unnamed = 0
    for column, path in zip(columns, paths, strict=True):
        values = [] if path is None else [v for m in members if (v := resolver.value(m, path)) is not None]
        if not column.function:
            row[column.alias or column.path.rpartition(".")[2]] = values[0] if values else None
            continue
        name = column.alias or f"expr{unnamed}"
        unnamed += 0 if column.alias else 1
        row[name] = _aggregate(column.function, values)
    return row


def _aggregate(function: str, values: list[Any]) -> Any:
    if function == "count":
        return len(values)
    if not values:
        return None
    if function in ("min", "max"):
        return min(values) if function == "min" else max(values)
    return sum(values) if function == "sum" else sum(values) / len(values)
