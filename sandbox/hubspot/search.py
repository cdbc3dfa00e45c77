"""Search with filters, in HubSpot's limits: 200 a page, 10,000 a query, and an index that may lag behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sandbox.hubspot import records, schema
from sandbox.hubspot.calls import Call, Reply, objects, texts
from sandbox.hubspot.errors import invalid
from sandbox.hubspot.history import as_indexed
from sandbox.hubspot.values import milliseconds
from sandbox.world import Record

MOST_ON_PAGE, MOST_RESULTS, MOST_QUERY = 200, 10_000, 3_000
MOST_GROUPS, MOST_FILTERS, MOST_ALL_FILTERS = 5, 6, 18

Test = Callable[[Record], bool]
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "LT": lambda a, b: a < b,
    "LTE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GTE": lambda a, b: a >= b,
}
_TEXT_COLUMNS = {"companies": ("name", "domain", "phone", "website"), "deals": ("dealname", "description")}


def search(call: Call) -> Reply:
    """Records that pass any filter group, as the index knows them."""
    object_type, given = schema.object_name(call.params["type"]), call.fields()
    limit, start = _window(given)
    tests = _groups(call, object_type, given)
    rows = [row for row in _indexed(call, object_type) if any(all(t(row) for t in group) for group in tests)]
    rows = _sorted(call, object_type, _with_words(object_type, rows, given.get("query")), _sorts(given))
    chosen = rows[start : start + limit]
    body: dict[str, Any] = {
        "total": len(rows),
        "results": records.show(call.world, object_type, chosen, texts(given, "properties")),
    }
    if len(rows) > start + limit:
        body["paging"] = {"next": {"after": str(start + limit)}}
    call.world.emit("after_read", "hubspot", object_type, [row["hs_object_id"] for row in chosen])
    return Reply(body=body)


def _window(given: Mapping[str, Any]) -> tuple[int, int]:
    limit, after = given.get("limit", 10), str(given.get("after") or "0")
    if not isinstance(limit, int) or not 1 <= limit <= MOST_ON_PAGE:
        raise invalid(f"limit must be between 1 and {MOST_ON_PAGE}, got {limit}")
    if not after.isdecimal():
        raise invalid(f"after must be a number of results, got {after!r}")
    if int(after) + limit > MOST_RESULTS:
        raise invalid(f"a search gives at most {MOST_RESULTS} results; paging beyond them is not possible")
    if len(str(given.get("query") or "")) > MOST_QUERY:
        raise invalid(f"query is longer than {MOST_QUERY} characters")
    return limit, int(after)


def _groups(call: Call, object_type: str, given: Mapping[str, Any]) -> list[list[Test]]:
    groups = objects(given, "filterGroups") or ([dict(given)] if given.get("filters") else [])
    filters = [objects(group, "filters") for group in groups]
    if (
        len(filters) > MOST_GROUPS
        or any(len(f) > MOST_FILTERS for f in filters)
        or sum(map(len, filters)) > MOST_ALL_FILTERS
    ):
        raise invalid(
            f"a search takes up to {MOST_GROUPS} filter groups of {MOST_FILTERS} filters, {MOST_ALL_FILTERS} in all"
        )
    known = schema.definitions(call.world, object_type)
    return [[_test(known, entry) for entry in group] for group in filters] or [[]]


def _indexed(call: Call, object_type: str) -> list[Record]:
    rows = [row for row in call.world.rows("hubspot", object_type) if not row["archived"]]
    lag = call.world.settings.search_lag_s
    if not lag:
        return rows
    cutoff = call.world.now() - timedelta(seconds=lag)
    return list(as_indexed(call.world, object_type, rows, cutoff))


def _test(known: Mapping[str, schema.Definition], entry: Mapping[str, Any]) -> Test:
    """A filter as a function. A record without a value passes NOT_HAS_PROPERTY only."""
    name = str(entry.get("propertyName"))
    if name not in known:
        raise invalid(f"There was a problem with the request: property {name!r} does not exist")
    operator, kind = entry.get("operator"), known[name]["type"]
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return lambda row: (row.get(name) is not None) == (operator == "HAS_PROPERTY")
    holds = _comparison(kind, operator, entry)
    return lambda row: row.get(name) is not None and holds(str(row[name]))


def _comparison(kind: str, operator: Any, entry: Mapping[str, Any]) -> Callable[[str], bool]:
    def typed(text: Any) -> Any:
        return _typed(kind, text)

    if operator in ("IN", "NOT_IN"):
        # The index holds text in lower case, and the values of IN are taken as they are written.
        wanted = {value if kind == "string" else typed(value) for value in _values(entry)}
        return lambda text: (typed(text) in wanted) == (operator == "IN")
    value = entry.get("value")
    if not isinstance(value, str):
        raise invalid(f"operator {operator} needs a value that is a string")
    if operator in ("EQ", "NEQ"):
        return lambda text: (typed(text) == typed(value)) == (operator == "EQ")
    if operator == "BETWEEN":
        low, high = typed(value), typed(entry.get("highValue"))
        return lambda text: bool(low <= typed(text) <= high)
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        token = re.compile(re.escape(value.lower()).replace(r"\*", ".*"))
        return lambda text: any(map(token.fullmatch, _tokens(text))) == (operator == "CONTAINS_TOKEN")
    if operator not in _ORDER:
        raise invalid(f"operator {operator!r} does not exist")
    bound, order = typed(value), _ORDER[operator]
    return lambda text: order(typed(text), bound)


def _values(entry: Mapping[str, Any]) -> list[str]:
    given = entry.get("values")
    if not isinstance(given, list) or not given:
        raise invalid("operators IN and NOT_IN need a list of values")
    return [str(value) for value in given]


def _typed(kind: str, text: Any) -> Any:
    try:
        if kind == "number":
            return float(text)
        if kind in ("date", "datetime"):
            moment = milliseconds(str(text))
            if moment is None:
                raise ValueError
            return moment
    except (TypeError, ValueError) as error:
        raise invalid(f"{text!r} cannot be compared with a property of type {kind}") from error
    return str(text).lower()


def _tokens(text: str) -> list[str]:
    return [text.lower(), *re.findall(r"[^\s.,;@/()-]+", text.lower())]


def _with_words(object_type: str, rows: list[Record], query: Any) -> list[Record]:
    words = str(query or "").lower().split()
    if not words:
        return rows
    texts = ((row, " ".join(str(row.get(c) or "").lower() for c in _TEXT_COLUMNS[object_type])) for row in rows)
    return [row for row, text in texts if all(word in text for word in words)]


def _sorts(given: Mapping[str, Any]) -> list[Any]:
    value = given.get("sorts") or []
    if not isinstance(value, list):
        raise invalid("Invalid input JSON: sorts must be a list")
    return value


def _sorted(call: Call, object_type: str, rows: list[Record], sorts: list[Any]) -> list[Record]:
    """By the one sort that HubSpot takes, newest created last otherwise; ties by id."""
    if len(sorts) > 1:
        raise invalid("a search takes one sort")
    name, descending = "createdate", False
    for entry in sorts:
        if isinstance(entry, Mapping):
            name, descending = str(entry.get("propertyName")), entry.get("direction") == "DESCENDING"
        else:
            name, descending = str(entry).lstrip("-"), str(entry).startswith("-")
    definition = schema.definitions(call.world, object_type).get(name)
    if definition is None:
        raise invalid(f"sort property {name!r} does not exist")
    kind = definition["type"]
    rows = sorted(rows, key=lambda row: int(row["hs_object_id"]))
    with_value = [row for row in rows if row.get(name) is not None]
    without = [row for row in rows if row.get(name) is None]
    return sorted(with_value, key=lambda row: _typed(kind, row[name]), reverse=descending) + without
