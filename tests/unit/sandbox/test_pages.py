"""What faults make of an answer, and where the next page is."""

from __future__ import annotations

import gzip
import json
from typing import Any

from sandbox.faults import Fault, Verb
from sandbox.pages import body_of, changed, following

PAGE = {"totalSize": 9, "done": False, "nextRecordsUrl": "/services/data/v62.0/query/x-4", "records": [1, 2, 3, 4]}
LIST = {"results": [1, 2, 3, 4], "paging": {"next": {"after": "4", "link": "?after=4"}}}


def _messages(body: Any, *, packed: bool = False) -> list[Any]:
    raw = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")] if packed else []
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    return [start, {"type": "http.response.body", "body": gzip.compress(raw) if packed else raw}]


def _after(verb: Verb, body: Any, before: tuple[Any, ...] = (), *, packed: bool = False) -> Any:
    return body_of(changed(_messages(body, packed=packed), {verb: Fault(verb=verb)}, before))


def test_an_empty_page_ends_the_listing_of_either_system():
    assert _after(Verb.EMPTY_PAGE, PAGE) == {"totalSize": 9, "done": True, "records": []}
    assert _after(Verb.EMPTY_PAGE, LIST) == {"results": []}


def test_a_short_page_ends_it_half_way():
    assert _after(Verb.SHORT_PAGE, PAGE, packed=True)["records"] == [1, 2]


def test_a_repeated_page_has_the_records_before_and_goes_on():
    assert _after(Verb.DUP_PAGE, PAGE, (7, 8)) == {**PAGE, "records": [7, 8]}


def test_an_answer_without_faults_or_json_stays_as_it_is():
    messages = _messages(PAGE, packed=True)
    assert changed(messages, {}, ()) is messages
    text = [messages[0], {"type": "http.response.body", "body": b"no json"}]
    assert changed(text, {Verb.EMPTY_PAGE: Fault(verb=Verb.EMPTY_PAGE)}, ()) is text


def test_the_next_page_is_found_in_the_words_of_either_system():
    scope = {"path": "/p", "query_string": b"limit=4"}
    found = following(scope, PAGE)
    assert found is not None
    assert (found["path"], found["query_string"]) == ("/services/data/v62.0/query/x-4", b"")
    found = following(scope, LIST)
    assert found is not None
    assert found["query_string"] == b"limit=4&after=4"
    assert following(scope, {"records": []}) is None
