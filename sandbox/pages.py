"""What faults make of an answer: pages that lose or repeat records, bodies that swell, names nobody expects."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.types import Message, Scope

from sandbox.faults import Fault, Verb

LISTS = ("records", "results")
"""Where a page of Salesforce, or of HubSpot, keeps its records."""

_MEGABYTE = 1_000_000
_WEIRD = "e\u0301\u200d\u202eZ\u0353\ufeff\U0001f3e5\u00a0\u2028"
_OF_A_PAGE = (Verb.EMPTY_PAGE, Verb.SHORT_PAGE, Verb.DUP_PAGE)


def changed(messages: list[Message], faults: Mapping[Verb, Fault], before: Sequence[Any]) -> list[Message]:
    """The answer as the faults leave it. `before` are the records of the page answered before."""
    verbs = faults.keys() & {*_OF_A_PAGE, Verb.HUGE_JSON, Verb.UNICODE_WEIRD}
    body = body_of(messages) if verbs else None
    if body is None:
        return messages
    for verb in _OF_A_PAGE:
        if verb in verbs:
            _spoil(verb, body, before)
    if Verb.UNICODE_WEIRD in verbs:
        body = _weird(body)
    text = json.dumps(body).encode()
    if Verb.HUGE_JSON in verbs:
        text += b" " * (_MEGABYTE * max(1, faults[Verb.HUGE_JSON].rows))
    return _rewritten(messages, text)


def body_of(messages: Sequence[Message]) -> Any:
    """The JSON of an answer; None when it is none."""
    raw = b"".join(message.get("body", b"") for message in messages[1:])
    headers = dict(messages[0]["headers"]) if messages else {}
    try:
        return json.loads(gzip.decompress(raw) if headers.get(b"content-encoding") == b"gzip" else raw)
    except (ValueError, OSError):
        return None


def records_of(body: Any) -> list[Any] | None:
    """The records of a page; None when the body is none."""
    name = next((name for name in LISTS if isinstance(body, dict) and isinstance(body.get(name), list)), None)
    return None if name is None else list(body[name])


def following(scope: Scope, body: Any) -> Scope | None:
    """The request for the page after this one; None when there is none."""
    url = body.get("nextRecordsUrl") if isinstance(body, dict) else None
    if isinstance(url, str):
        path = urlsplit(url).path
        return {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
    after = ((body.get("paging") or {}).get("next") or {}).get("after") if isinstance(body, dict) else None
    if after is None:
        return None
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)) | {"after": str(after)}
    return {**scope, "query_string": urlencode(query).encode()}


def _spoil(verb: Verb, body: Any, before: Sequence[Any]) -> None:
    records = records_of(body)
    if records is None:
        return
    name = next(name for name in LISTS if isinstance(body.get(name), list))
    if verb is Verb.DUP_PAGE:
        body[name] = list(before) or records
        return
    body[name] = [] if verb is Verb.EMPTY_PAGE else records[: len(records) // 2]
    body.pop("paging", None)
    body.pop("nextRecordsUrl", None)
    if "done" in body:
        body["done"] = True


def _weird(value: Any) -> Any:
    if isinstance(value, list):
        return [_weird(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{inner}{_WEIRD}" if key.lower() == "name" and isinstance(inner, str) else _weird(inner)
        for key, inner in value.items()
    }


def _rewritten(messages: list[Message], text: bytes) -> list[Message]:
    dropped = (b"content-length", b"content-encoding")
    headers = [(name, value) for name, value in messages[0]["headers"] if name.lower() not in dropped]
    start = {**messages[0], "headers": [*headers, (b"content-length", str(len(text)).encode())]}
    return [start, {"type": "http.response.body", "body": text}]
