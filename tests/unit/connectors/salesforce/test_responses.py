"""Every answer of Salesforce becomes one of four errors, or one verdict for one row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Fatal, Rejected, Retriable, Stale
from connectors.protocol import Verdict
from connectors.salesforce.responses import (
    Reply,
    collection_outcomes,
    composite_results,
    failure,
    first_error,
    row_outcome,
)
from connectors.salesforce.retry import LostAnswer

A, B = "001000000000001AAA", "001000000000002AAA"


def _envelope(code: str, message: str = "") -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message, "fields": []}]


# situation: (status, body, error of a read, error of a write)
SITUATIONS: dict[str, tuple[int, Any, type[Exception], type[Exception]]] = {
    "unknown column": (400, _envelope("INVALID_FIELD"), Fatal, Rejected),
    "broken query": (400, _envelope("MALFORMED_QUERY"), Fatal, Rejected),
    "missing required field": (400, _envelope("REQUIRED_FIELD_MISSING"), Fatal, Rejected),
    "locked row": (400, _envelope("UNABLE_TO_LOCK_ROW"), Retriable, Retriable),
    "expired session": (401, _envelope("INVALID_SESSION_ID"), Fatal, Fatal),
    "daily limit": (403, _envelope("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), Fatal, Fatal),
    "concurrent limit": (
        403, _envelope("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."), Retriable, Retriable,
    ),
    "no access to a record": (403, _envelope("INSUFFICIENT_ACCESS_OR_READONLY"), Rejected, Rejected),
    "API switched off": (403, _envelope("API_DISABLED_FOR_ORG"), Fatal, Fatal),
    "no such record": (404, _envelope("NOT_FOUND"), Rejected, Rejected),
    "moved record": (412, _envelope("PRECONDITION_FAILED"), Stale, Stale),
    "address too long": (414, "<html>", Fatal, Rejected),
    "throttled": (429, None, Retriable, Retriable),
    "server error": (500, _envelope("UNKNOWN_EXCEPTION"), Retriable, LostAnswer),
    "bad gateway": (502, "<html>", Retriable, LostAnswer),
    "refused as unavailable": (503, _envelope("SERVER_UNAVAILABLE"), Retriable, Retriable),
    "gateway says unavailable": (503, "<html>", Retriable, LostAnswer),
    "gateway timeout": (504, "<html>", Retriable, LostAnswer),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_failed_request_is_one_of_the_four_errors(situation: str) -> None:
    status, body, read, write = SITUATIONS[situation]
    reply = Reply(status=status, body=body)
    assert type(failure(reply, route="query", is_write=False)) is read
    assert type(failure(reply, route="row", is_write=True)) is write


def test_an_unknown_field_is_named_with_the_file_to_correct() -> None:
    text = (
        "\nSELECT Ccn__c FROM Account\n       ^\nERROR at Row:1:Column:8\nNo such column 'Ccn__c' on entity 'Account'."
    )
    error = failure(Reply(status=400, body=_envelope("INVALID_FIELD", text)), route="query", is_write=False)
    assert "no field Ccn__c" in str(error)
    assert "mappings/salesforce.yaml" in str(error)


def test_a_wait_is_handed_on() -> None:
    error = failure(Reply(status=429, body=None, headers={"Retry-After": "9"}), route="query", is_write=False)
    assert isinstance(error, Retriable)
    assert error.retry_after_s == 9


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([{"errorCode": "X", "message": "m"}], "X"),
        ([{"statusCode": "Y", "message": "m"}], "Y"),
        ({"error": "invalid_grant", "error_description": "m"}, "invalid_grant"),
        ({"exceptionCode": "Z", "exceptionMessage": "m"}, "Z"),
        ([], ""),
        (None, ""),
        ("<html>", ""),
        (17, ""),
    ],
)
def test_every_envelope_gives_its_code(body: object, code: str) -> None:
    assert first_error(body).code == code


# each is status, body, verdict
ROWS: dict[str, tuple[int, Any, Verdict]] = {
    "written": (204, None, Verdict.OK),
    "moved": (412, _envelope("PRECONDITION_FAILED"), Verdict.STALE),
    "gone": (404, _envelope("NOT_FOUND"), Verdict.REJECTED),
    "deleted": (404, _envelope("ENTITY_IS_DELETED"), Verdict.REJECTED),
    "inactive owner": (400, _envelope("INACTIVE_OWNER_OR_USER"), Verdict.REJECTED),
    "locked": (400, _envelope("UNABLE_TO_LOCK_ROW"), Verdict.RETRIABLE),
    "locked inside a trigger": (
        400, _envelope("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "t: UNABLE_TO_LOCK_ROW, unable"), Verdict.RETRIABLE,
    ),
    "failed in a trigger": (400, _envelope("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "oops"), Verdict.REJECTED),
    "throttled": (429, None, Verdict.RETRIABLE),
    "unavailable": (503, None, Verdict.RETRIABLE),
    "failed in the server": (500, _envelope("UNKNOWN_EXCEPTION"), Verdict.UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_its_own_verdict(row: str) -> None:
    status, body, verdict = ROWS[row]
    outcome = row_outcome(status, body)
    assert outcome.verdict is verdict
    assert bool(outcome.code) is (verdict is not Verdict.OK)


def test_a_collection_gives_each_row_its_result_by_position() -> None:
    failed = {
        "success": False,
        "errors": [{"statusCode": "INACTIVE_OWNER_OR_USER", "message": "m", "fields": ["OwnerId"]}],
    }
    first, second = collection_outcomes([A, B], 200, [{"id": A[:15], "success": True, "errors": []}, failed])
    assert first.verdict is Verdict.OK
    assert (second.verdict, second.code, second.message) == (Verdict.REJECTED, "INACTIVE_OWNER_OR_USER", "m [OwnerId]")


UNREADABLE = {
    "too few results": [{"id": A, "success": True}],
    "swapped": [{"id": B, "success": True}, {"id": A, "success": True}],
    "an id that is none": [{"id": "nobody", "success": True}] * 2,
    "no verdict": [{"id": A}, {"id": B}],
    "not rows": ["yes", None],
    "not a list": {"success": True},
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_result_that_cannot_be_matched_to_its_row_is_unknown(case: str) -> None:
    assert [outcome.verdict for outcome in collection_outcomes([A, B], 200, UNREADABLE[case])] == [Verdict.UNKNOWN] * 2


def test_a_refused_collection_refuses_all_its_rows() -> None:
    outcomes = collection_outcomes([A, B], 400, _envelope("INVALID_FIELD"))
    assert [(outcome.verdict, outcome.code) for outcome in outcomes] == [(Verdict.REJECTED, "INVALID_FIELD")] * 2


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["referenceId", "httpStatusCode", "httpHeaders", "body", "id", "success", "errors", "r0"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(status=st.integers(100, 599), body=_JSON)
@settings(max_examples=100)
def test_a_row_is_written_only_when_its_own_status_says_so(status: int, body: object) -> None:
    assert (row_outcome(status, body).verdict is Verdict.OK) == (200 <= status < 300)


@given(body=_JSON)
@settings(max_examples=100)
def test_no_answer_however_odd_makes_a_collection_row_written_without_its_success(body: object) -> None:
    outcomes = collection_outcomes([A], 200, body)
    written = isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict) and body[0].get("success") is True
    assert len(outcomes) == 1
    assert written or outcomes[0].verdict is not Verdict.OK


@given(parts=_JSON, named=st.booleans())
@settings(max_examples=100)
def test_every_part_of_a_composite_call_has_a_status_and_headers(parts: object, named: bool) -> None:
    results = composite_results(["r0", "r1"], {"compositeResponse": parts} if named else parts)
    if results is None:
        return
    assert len(results) == 2
    for result in results:
        assert isinstance(result["httpStatusCode"], int)
        assert all(isinstance(value, str) for value in (result.get("httpHeaders") or {}).values())


def test_results_of_a_composite_call_are_found_by_reference() -> None:
    answered = [{"referenceId": "r1", "httpStatusCode": 204}, {"referenceId": "r0", "httpStatusCode": 412}]
    results = composite_results(["r0", "r1", "r2"], {"compositeResponse": answered})
    assert results is not None
    assert [result["httpStatusCode"] for result in results] == [412, 204, 500]
