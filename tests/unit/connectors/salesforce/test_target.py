"""Writing: every record has its own verdict, nothing is sent twice unread, and every request carries its guards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import requests
import responses
import urllib3

from connectors.errors import Fatal, Retriable
from connectors.protocol import Lane, Verdict, Write, WriteResult
from connectors.salesforce.ids import to_18
from connectors.salesforce.session import Session
from connectors.salesforce.target import SalesforceTarget

DATA = "https://acme.my.salesforce.com/services/data/v62.0"
PATH = "/services/data/v62.0/sobjects/Account"
RESET = requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted."))
Answer = Callable[[requests.PreparedRequest], tuple[int, dict[str, str], str]]


@pytest.fixture
def target(session: Session) -> SalesforceTarget:
    return SalesforceTarget(session)


def _id(number: int) -> str:
    return to_18(f"001{number:012d}")


def _writes(count: int, **changes: Any) -> list[Write]:
    base: dict[str, Any] = {"fields": {"OwnerId": "005000000000009AAA"}, "version": '"v1"', **changes}
    return [Write(key=f"k{n}", record_id=_id(n), **base) for n in range(count)]


def _send(target: SalesforceTarget, writes: Sequence[Write], lane: Lane = Lane.CONDITIONAL) -> tuple[WriteResult, ...]:
    return target.write(writes, lane=lane, stamp="run-7/3", before_send=lambda: None)


def _bodies(wire: responses.RequestsMock, url: str = f"{DATA}/composite") -> list[dict[str, Any]]:
    return [json.loads(call.request.body or "") for call in wire.calls if call.request.url == url]


def _composite(part: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    """Give a callback that answers every subrequest of a composite call by `part`."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        asked = json.loads(request.body or "")["compositeRequest"]
        parts = [{"referenceId": item["referenceId"], "httpHeaders": {}, **part(item)} for item in asked]
        return 200, {}, json.dumps({"compositeResponse": parts})

    return answer


def _written(_: dict[str, Any]) -> dict[str, Any]:
    return {"httpStatusCode": 204, "body": None, "httpHeaders": {"etag": '"v2"'}}


def _collected(item: dict[str, Any]) -> dict[str, Any]:
    rows = [{"id": row["id"], "success": True, "errors": []} for row in item["body"]["records"]]
    return {"httpStatusCode": 200, "body": rows}


def test_conditional_writes_travel_25_a_call_each_with_its_own_guards(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(_written))

    results = _send(target, _writes(26))

    assert [(result.key, result.verdict, result.version) for result in results] == [
        (f"k{n}", Verdict.OK, '"v2"') for n in range(26)
    ]
    first, second = _bodies(wire)
    assert (len(first["compositeRequest"]), len(second["compositeRequest"])) == (25, 1)
    assert first["allOrNone"] is False
    assert second["compositeRequest"][0] == {
        "method": "PATCH",
        "referenceId": "r0",
        "url": f"{PATH}/{_id(25)}",
        "httpHeaders": {"If-Match": '"v1"', "Sforce-Auto-Assign": "FALSE"},
        "body": {"OwnerId": "005000000000009AAA"},
    }
    headers = wire.calls[-1].request.headers
    assert headers["Sforce-Call-Options"] == "client=platbook/run-7/3"
    assert headers["User-Agent"] == "platbook/run-7/3"
    assert headers["Sforce-Auto-Assign"] == "FALSE"


def test_each_row_of_a_conditional_call_has_its_own_verdict(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    answers: dict[str, dict[str, Any]] = {
        f"{PATH}/{_id(0)}": {"httpStatusCode": 204, "body": None},
        f"{PATH}/{_id(1)}": {"httpStatusCode": 412, "body": [{"errorCode": "PRECONDITION_FAILED", "message": "m"}]},
        f"{PATH}/{_id(2)}": {"httpStatusCode": 404, "body": [{"errorCode": "ENTITY_IS_DELETED", "message": "m"}]},
        f"{PATH}/{_id(3)}": {"httpStatusCode": 400, "body": [{"errorCode": "INACTIVE_OWNER_OR_USER", "message": "m"}]},
        f"{PATH}/{_id(4)}": {"httpStatusCode": 400, "body": [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "m"}]},
        f"{PATH}/{_id(5)}": {"httpStatusCode": 500, "body": [{"errorCode": "UNKNOWN_EXCEPTION", "message": "m"}]},
    }
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(lambda item: answers[item["url"]]))

    assert [(result.verdict, result.code) for result in _send(target, _writes(6))] == [
        (Verdict.OK, ""),
        (Verdict.STALE, "PRECONDITION_FAILED"),
        (Verdict.REJECTED, "ENTITY_IS_DELETED"),
        (Verdict.REJECTED, "INACTIVE_OWNER_OR_USER"),
        (Verdict.RETRIABLE, "UNABLE_TO_LOCK_ROW"),
        (Verdict.UNKNOWN, "UNKNOWN_EXCEPTION"),
    ]


def test_a_part_without_an_answer_is_unknown(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    answer = {"compositeResponse": [{"referenceId": "r1", "httpStatusCode": 204, "body": None}]}
    wire.post(f"{DATA}/composite", json=answer)
    assert [result.verdict for result in _send(target, _writes(2))] == [Verdict.UNKNOWN, Verdict.OK]


def test_without_conditions_in_composite_each_row_is_its_own_call(
    session: Session, wire: responses.RequestsMock
) -> None:
    target = SalesforceTarget(session, conditional_in_composite=False)
    wire.patch(f"{DATA}/sobjects/Account/{_id(0)}", status=200, json={"success": True}, headers={"ETag": '"v2"'})
    wire.patch(f"{DATA}/sobjects/Account/{_id(1)}", status=412, json=[{"errorCode": "PRECONDITION_FAILED"}])
    wire.patch(f"{DATA}/sobjects/Account/{_id(2)}", status=400, json=[{"errorCode": "FIELD_INTEGRITY_EXCEPTION"}])

    results = _send(target, _writes(3))

    assert [(result.verdict, result.version) for result in results] == [
        (Verdict.OK, '"v2"'),
        (Verdict.STALE, ""),
        (Verdict.REJECTED, ""),
    ]
    for call in list(wire.calls)[1:]:
        assert call.request.headers["If-Match"] == '"v1"'
        assert call.request.headers["Sforce-Auto-Assign"] == "FALSE"
        assert call.request.headers["Sforce-Call-Options"] == "client=platbook/run-7/3"


def test_batches_travel_200_a_collection_and_five_collections_a_call(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(_collected))

    results = _send(target, _writes(1001, fields={"Tier_Status__c": None}), Lane.BATCH)

    assert {result.verdict for result in results} == {Verdict.OK}
    first, second = _bodies(wire)
    assert [len(part["body"]["records"]) for part in first["compositeRequest"]] == [200] * 5
    (last,) = second["compositeRequest"]
    assert last["httpHeaders"] == {"Sforce-Auto-Assign": "FALSE"}
    assert last["body"] == {
        "allOrNone": False,
        "records": [{"attributes": {"type": "Account"}, "id": _id(1000), "Tier_Status__c": None}],
    }


def test_a_bad_row_of_a_batch_does_not_touch_the_others(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    def part(item: dict[str, Any]) -> dict[str, Any]:
        answer = _collected(item)
        errors = [{"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Name"]}]
        answer["body"][1] = {"success": False, "errors": errors}
        return answer

    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(part))
    results = _send(target, _writes(3), Lane.BATCH)
    assert [result.verdict for result in results] == [Verdict.OK, Verdict.REJECTED, Verdict.OK]
    assert (results[1].code, results[1].message) == ("STRING_TOO_LONG", "too long [Name]")


def test_two_writes_to_one_record_travel_together_and_answer_apart(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(_written))
    writes = [
        Write(key="a", record_id=_id(1), fields={"OwnerId": "x"}, version='"v1"'),
        Write(key="b", record_id=_id(1)[:15], fields={"ParentId": None}, version='"v1"'),
    ]

    assert [(result.key, result.verdict) for result in _send(target, writes)] == [("a", Verdict.OK), ("b", Verdict.OK)]
    (part,) = _bodies(wire)[0]["compositeRequest"]
    assert part["body"] == {"OwnerId": "x", "ParentId": None}


UNSENDABLE: dict[str, list[Write]] = {
    "no version": _writes(1, version=""),
    "a modification stamp for a version": _writes(1, version="2026-01-31T08:00:00.000+0000"),
    "any version": _writes(1, version="*"),
    "a header within a header": _writes(1, version='"v1"\r\nX: y'),
    "a field that is none": _writes(1, fields={"Name, Id": "x"}),
    "an id that is none": [Write(key="k", record_id="../User/1", fields={}, version='"v"')],
    "two values for one field": [*_writes(1), *_writes(1, fields={"OwnerId": "005000000000008AAA"})],
    "two versions of one record": [*_writes(1), *_writes(1, version='"v0"')],
}


@pytest.mark.parametrize("case", UNSENDABLE)
def test_a_write_that_may_not_be_sent_stops_before_the_wire(
    target: SalesforceTarget, wire: responses.RequestsMock, case: str
) -> None:
    with pytest.raises(ValueError):
        _send(target, UNSENDABLE[case])
    assert len(wire.calls) == 1


def test_the_association_lane_is_not_salesforces(target: SalesforceTarget) -> None:
    with pytest.raises(ValueError, match="conditional, batch, team or bulk"):
        _send(target, _writes(1), Lane.ASSOCIATION)


def test_nothing_to_write_costs_nothing(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    assert _send(target, []) == ()
    assert len(wire.calls) == 1


def _in_turn(*answers: Answer | Exception) -> Answer:
    rest = iter(answers)

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        now = next(rest)
        if isinstance(now, Exception):
            raise now
        return now(request)

    return answer


def test_a_lost_answer_makes_its_own_rows_unknown_and_the_rest_goes_on(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    answers = _in_turn(_composite(_written), RESET, _composite(_written))
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=answers)

    verdicts = [result.verdict for result in _send(target, _writes(60))]

    assert verdicts == [Verdict.OK] * 25 + [Verdict.UNKNOWN] * 25 + [Verdict.OK] * 10
    assert target.meter.writes == 3


def test_four_lost_answers_in_a_row_leave_the_rest_unsent(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_in_turn(*[RESET] * 4))
    verdicts = [result.verdict for result in _send(target, _writes(110))]
    assert verdicts == [Verdict.UNKNOWN] * 100 + [Verdict.RETRIABLE] * 10


def _daily(_: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
    return 403, {}, json.dumps([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}])


def test_an_error_before_anything_was_written_is_raised(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_daily)
    with pytest.raises(Fatal):
        _send(target, _writes(1))


def test_an_error_later_on_does_not_hide_what_was_written(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_in_turn(_composite(_written), _daily))
    results = _send(target, _writes(60))
    assert [result.verdict for result in results] == [Verdict.OK] * 25 + [Verdict.RETRIABLE] * 35
    assert results[-1].code == "REQUEST_LIMIT_EXCEEDED"


def test_a_call_refused_as_a_whole_refuses_its_rows(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    wire.post(f"{DATA}/composite", status=400, json=[{"errorCode": "JSON_PARSER_ERROR", "message": "m"}])
    (result,) = _send(target, _writes(1))
    assert (result.verdict, result.code) == (Verdict.REJECTED, "JSON_PARSER_ERROR")


def test_a_stamp_cannot_add_a_header(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(_written))
    target.write(_writes(1), lane=Lane.CONDITIONAL, stamp="run\r\nX: y, z", before_send=lambda: None)
    assert wire.calls[-1].request.headers["Sforce-Call-Options"] == "client=platbook/run-X-y-z"


# reading


def test_a_plain_read_takes_2000_ids_a_call_and_the_stamp_as_version(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        asked = json.loads(request.body or "")
        rows = [{"Id": one, "Name": "A", "SystemModstamp": "s"} if one != _id(1) else None for one in asked["ids"]]
        return 200, {}, json.dumps(rows)

    wire.add_callback(responses.POST, f"{DATA}/composite/sobjects/Account", callback=answer)
    ids = [_id(n) for n in range(2001)]

    found = target.read(ids, ("Name",), versions=False)

    assert list(found) == ids
    assert found[_id(1)] is None
    current = found[_id(0)]
    assert current is not None
    assert (current.record_id, current.fields["Name"], current.version) == (_id(0), "A", "s")
    first, second = _bodies(wire, f"{DATA}/composite/sobjects/Account")
    assert (len(first["ids"]), len(second["ids"])) == (2000, 1)
    assert first["fields"] == ["Id", "Name", "SystemModstamp"]


def test_an_answer_is_found_under_the_id_it_was_asked_by(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.post(f"{DATA}/composite/sobjects/Account", json=[{"Id": _id(1), "SystemModstamp": "s"}])
    found = target.read([_id(1)[:15], _id(1)], (), versions=False)
    assert [current.record_id for current in found.values() if current] == [_id(1), _id(1)]


def _row(item: dict[str, Any], etag: str = '"e1"') -> dict[str, Any]:
    record_id = item["url"].split("?")[0].rpartition("/")[2]
    headers = {"ETag": etag} if etag else {}
    return {
        "httpStatusCode": 200,
        "httpHeaders": headers,
        "body": {"Id": record_id, "Name": "A", "SystemModstamp": "s"},
    }


def test_versions_come_25_a_call_from_composite(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    gone = {"httpStatusCode": 404, "body": [{"errorCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}]}
    wire.add_callback(
        responses.POST,
        f"{DATA}/composite",
        callback=_composite(lambda item: gone if _id(3) in item["url"] else _row(item)),
    )

    found = target.read([_id(n) for n in range(26)], ("Name",), versions=True)

    assert found[_id(3)] is None
    assert {current.version for current in found.values() if current} == {'"e1"'}
    assert target.meter.by_route == {"composite_read": 2}
    assert target.meter.writes == 0
    assert _bodies(wire)[1]["compositeRequest"][0]["url"] == f"{PATH}/{_id(25)}?fields=Id,Name,SystemModstamp"


def test_versions_come_one_by_one_where_composite_has_none_and_it_is_not_asked_again(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(lambda item: _row(item, etag="")))
    body = {"Id": _id(0), "Name": "A", "SystemModstamp": "s"}
    wire.get(f"{DATA}/sobjects/Account/{_id(0)}", json=body, headers={"ETag": '"e9"'})
    wire.get(f"{DATA}/sobjects/Account/{_id(1)}", status=404, json=[{"errorCode": "NOT_FOUND", "message": "m"}])

    for _ in range(2):
        found = target.read([_id(0), _id(1)], ("Name",), versions=True)
        assert found[_id(0)] is not None
        assert found[_id(0)].version == '"e9"'  # type: ignore[union-attr]  # asserted the line before
        assert found[_id(1)] is None

    assert target.meter.by_route == {"composite_read": 1, "row_read": 4}
    assert wire.calls[-1].request.headers["Accept-Encoding"] == "identity"


def test_a_record_without_an_etag_cannot_be_written_safely(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_composite(lambda item: _row(item, etag="")))
    wire.get(f"{DATA}/sobjects/Account/{_id(0)}", json={"Id": _id(0), "SystemModstamp": "s"})
    with pytest.raises(Fatal, match="no ETag"):
        target.read([_id(0)], (), versions=True)


def test_a_read_whose_part_is_throttled_is_read_again(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    busy = _composite(lambda _: {"httpStatusCode": 503, "body": [{"errorCode": "SERVER_UNAVAILABLE"}]})
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=_in_turn(busy, _composite(_row)))
    assert target.read([_id(0)], ("Name",), versions=True)[_id(0)] is not None
    assert target.meter.retries == 1


def test_a_read_that_stays_throttled_is_retriable(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    busy = _composite(lambda _: {"httpStatusCode": 503, "body": [{"errorCode": "SERVER_UNAVAILABLE"}]})
    wire.add_callback(responses.POST, f"{DATA}/composite", callback=busy)
    with pytest.raises(Retriable, match="SERVER_UNAVAILABLE"):
        target.read([_id(0)], ("Name",), versions=True)


def _member(number: int, account: str) -> dict[str, str]:
    return {"Id": f"01M{number:012d}", "AccountId": account, "UserId": f"005{number:012d}"}


def test_team_members_are_counted_by_account(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    rows = [_member(1, _id(1)), _member(2, _id(1)[:15])]
    next_url = "/services/data/v62.0/query/01g-1"
    wire.get(f"{DATA}/query", json={"done": False, "records": rows, "nextRecordsUrl": next_url})
    wire.get(f"{DATA}/query/01g-1", json={"done": True, "records": [_member(3, _id(2))]})

    assert target.team_sizes([_id(1), _id(2), _id(3)]) == {_id(1): 2, _id(2): 1}


def test_an_organisation_without_account_teams_has_no_sizes(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    text = "sObject type 'AccountTeamMember' is not supported."
    wire.get(f"{DATA}/query", status=400, json=[{"errorCode": "INVALID_TYPE", "message": text}])
    assert target.team_sizes([_id(1)]) == {}


def test_an_organisation_that_shows_no_history_has_none(target: SalesforceTarget, wire: responses.RequestsMock) -> None:
    text = "sObject type 'AccountHistory' is not supported."
    wire.get(f"{DATA}/query", status=400, json=[{"errorCode": "INVALID_TYPE", "message": text}])
    assert target.history([_id(1)], ["OwnerId"]) == {}


def test_members_come_with_the_fields_that_the_organisation_has(
    target: SalesforceTarget, wire: responses.RequestsMock
) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        if "CaseAccessLevel" in str(request.url):
            text = "No such column 'CaseAccessLevel' on entity 'AccountTeamMember'."
            return 400, {}, json.dumps([{"errorCode": "INVALID_FIELD", "message": text}])
        member = {**_member(1, _id(1)), "TeamMemberRole": "Sales Rep"}
        return 200, {}, json.dumps({"totalSize": 1, "done": True, "records": [member]})

    wire.add_callback(responses.GET, f"{DATA}/query", callback=answer)
    fields = [{"name": name, "type": "picklist"} for name in ("TeamMemberRole", "AccountAccessLevel")]
    wire.get(f"{DATA}/sobjects/AccountTeamMember/describe", json={"fields": fields})

    for _ in range(2):
        ((member,),) = target.team([_id(1)]).values()
        assert member.fields == {"TeamMemberRole": "Sales Rep"}
    assert target.meter.by_route == {"team_query": 3, "describe": 1}
