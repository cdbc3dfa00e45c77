"""What the CRMs were sent, from their request logs: the header that keeps rules from acting, fields, empty values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sandbox.world import Request

NEEDED = "sforce-auto-assign"
OWN_WORDS = frozenset({"attributes", "id", "Id", "allOrNone", "records"})
_SOAP_NULL = re.compile(r"<(?:\w+:)?fieldsToNull>")


def unasked(requests: Sequence[Request], *, fields: Collection[str], nulls: bool = False) -> list[str]:
    """What is wrong with write requests: no Sforce-Auto-Assign FALSE, a field that was not planned, an empty value."""
    return [word for one in requests if one.is_write for word in _of_request(one, frozenset(fields), nulls)]


def _of_request(one: Request, fields: frozenset[str], nulls: bool) -> Iterator[str]:
    if one.system == "salesforce":
        for place, headers in _heads(one):
            if {k.lower(): str(v) for k, v in headers.items()}.get(NEEDED, "").upper() != "FALSE":
                yield f"request {one.seq}: {place} goes without Sforce-Auto-Assign: FALSE"
    for values in _values(one):
        for name in values.keys() - fields - OWN_WORDS:
            yield f"request {one.seq}: {name} was not planned"
        if not nulls and any(value in (None, "") for value in values.values()):
            yield f"request {one.seq}: an empty value"
    if isinstance(one.body, str) and not nulls and _SOAP_NULL.search(one.body):
        yield f"request {one.seq}: a field is emptied"


def _heads(one: Request) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(one.body, str):
        return  # SOAP: it has its own header, and its default is no rule
    yield f"{one.method} {one.path}", one.headers
    parts = one.body.get("compositeRequest", ()) if isinstance(one.body, dict) else ()
    for part in parts:
        if part["method"] != "GET":
            yield f"part {part['referenceId']} of {one.path}", part.get("httpHeaders") or {}


def _values(one: Request) -> Iterator[Mapping[str, Any]]:
    """The fields of every record in a body."""
    if not isinstance(one.body, dict):
        return
    bodies = [part.get("body") for part in one.body.get("compositeRequest", ())] or [one.body]
    for body in bodies:
        if not isinstance(body, dict):
            continue
        if "inputs" in body:  # HubSpot
            yield from (entry["properties"] for entry in body["inputs"] if "properties" in entry)
        elif "records" in body:
            yield from body["records"]
        else:
            yield body
