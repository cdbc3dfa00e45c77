"""The sandbox Salesforce takes collections and composite calls as the vendor documents them."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from sandbox.faults import Fault, Verb

OWNED = {"Sforce-Auto-Assign": "FALSE"}
DATA = "/services/data/v62.0"


def _row(record_id: str, **fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, "id": record_id, **fields}


def _patch(name: str, record_id: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    url = f"{DATA}/sobjects/Account/{record_id}"
    return {"method": "PATCH", "url": url, "referenceId": name, "body": body, "httpHeaders": headers}


def test_two_hundred_rows_are_written_and_201_refused(salesforce, many_accounts):
    ids = many_accounts(201)
    rows = [_row(key, Phone="5550100") for key in ids]
    assert len(salesforce("PATCH", "composite/sobjects", {"records": rows[:200]}, OWNED).json()) == 200
    refused = salesforce("PATCH", "composite/sobjects", {"records": rows}, OWNED)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert "more than 200 records" in refused.json()[0]["message"]


def test_a_bundle_answers_200_with_one_result_per_row_in_order(salesforce, sandbox, accounts, people):
    rows = [
        _row(accounts.mercy, Phone="5550100"),
        _row(accounts.clinic, OwnerId=people.carl),
        _row(accounts.closed, Phone="5550100"),
        _row("001000000000zZz", Phone="5550100"),
    ]
    answer = salesforce("PATCH", "composite/sobjects", {"allOrNone": False, "records": rows}, OWNED)
    assert answer.status_code == 200
    first, *failed = answer.json()
    assert first == {"id": accounts.mercy, "success": True, "errors": []}
    codes = [row["errors"][0]["statusCode"] for row in failed]
    assert codes == ["INACTIVE_OWNER_OR_USER", "ENTITY_IS_DELETED", "NOT_FOUND"]
    assert all("id" not in row and "errorCode" not in row["errors"][0] for row in failed)
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "5550100"


def test_all_or_none_takes_every_row_back(salesforce, sandbox, accounts, people):
    rows = [_row(accounts.mercy, OwnerId=people.bea), _row(accounts.clinic, OwnerId=people.carl)]
    before = copy.deepcopy(sandbox.world.tables)
    results = salesforce("PATCH", "composite/sobjects", {"allOrNone": True, "records": rows}, OWNED).json()
    codes = [row["errors"][0]["statusCode"] for row in results]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INACTIVE_OWNER_OR_USER"]
    assert sandbox.world.history == []
    assert sandbox.world.tables | before == sandbox.world.tables
    assert sandbox.world.table("salesforce", "AccountHistory") == {}


def test_an_unknown_column_refuses_the_whole_bundle(salesforce, sandbox, accounts):
    rows = [_row(accounts.mercy, Phone="5550100"), _row(accounts.clinic, Nope__c=1)]
    answer = salesforce("PATCH", "composite/sobjects", {"records": rows}, OWNED)
    assert (answer.status_code, answer.json()[0]["message"]) == (
        400,
        "No such column 'Nope__c' on sobject of type Account",
    )
    assert sandbox.world.history == []


def test_rows_are_created_in_a_bundle(salesforce):
    rows = [{"attributes": {"type": "Account"}, "Name": "New"}, {"attributes": {"type": "Account"}}]
    made, refused = salesforce("POST", "composite/sobjects", {"records": rows}, OWNED).json()
    assert made["success"]
    assert refused["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"


def test_if_match_means_nothing_to_a_collection(salesforce, accounts):
    rows = {"records": [_row(accounts.mercy, Phone="5550100")]}
    assert salesforce("PATCH", "composite/sobjects", rows, {**OWNED, "If-Match": '"stale"'}).json()[0]["success"]


def test_two_thousand_records_are_retrieved_with_null_for_missing_ones(salesforce, many_accounts, accounts):
    ids = [*many_accounts(1998), accounts.closed, "001000000000zZz"]
    found = salesforce("POST", "composite/sobjects/Account", {"ids": ids, "fields": ["id", "name"]}).json()
    assert [row and row["Id"] for row in found] == [*ids[:1998], None, None]
    over = salesforce("POST", "composite/sobjects/Account", {"ids": [*ids, accounts.mercy], "fields": ["Id"]})
    assert (over.status_code, over.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


def test_retrieval_is_no_write_in_the_request_log(salesforce, sandbox, accounts):
    salesforce("POST", "composite/sobjects/Account", {"ids": [accounts.mercy], "fields": ["Id"]})
    assert [r.is_write for r in sandbox.world.requests if "composite" in r.path] == [False]


def test_a_composite_call_runs_its_parts_and_counts_once(salesforce, sandbox, accounts, many_accounts):
    ids = many_accounts(25)
    used = sandbox.world.salesforce_calls
    parts = [_patch(f"r{n}", key, {"Phone": "5550100"}, **OWNED) for n, key in enumerate(ids)]
    answer = salesforce("POST", "composite", {"compositeRequest": parts})
    assert [part["httpStatusCode"] for part in answer.json()["compositeResponse"]] == [204] * 25
    assert sandbox.world.salesforce_calls == used + 1
    assert answer.headers["Sforce-Limit-Info"] == f"api-usage={used + 1}/100000"


def test_26_parts_and_six_collections_are_refused(salesforce, accounts):
    parts = [_patch(f"r{n}", accounts.mercy, {}) for n in range(26)]
    heavy = [
        {"method": "GET", "url": f"{DATA}/query/?q=SELECT+Id+FROM+Account", "referenceId": f"q{n}"} for n in range(6)
    ]
    for given in (parts, heavy):
        answer = salesforce("POST", "composite", {"compositeRequest": given})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")
    assert salesforce("POST", "composite", {"compositeRequest": heavy[:5]}).status_code == 200


def test_auto_assign_on_the_outer_call_does_not_reach_the_parts(salesforce, sandbox, accounts, people):
    parts = [
        _patch("bare", accounts.clinic, {"OwnerId": people.bea}),
        _patch("own", accounts.mercy, {"OwnerId": people.bea}, **OWNED),
    ]
    salesforce("POST", "composite", {"compositeRequest": parts}, OWNED)
    owners = [sandbox.world.get("salesforce", "Account", key)["OwnerId"] for key in (accounts.clinic, accounts.mercy)]
    assert owners == [people.rule, people.bea]


def test_a_part_carries_its_own_if_match(salesforce, sandbox, accounts, people):
    tags = [salesforce("GET", f"sobjects/Account/{key}").headers["ETag"] for key in (accounts.mercy, accounts.clinic)]
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"OwnerId": people.rule}, by=people.ana)
    parts = [
        _patch("moved", accounts.mercy, {"OwnerId": people.bea}, **OWNED, **{"If-Match": tags[0]}),
        _patch("same", accounts.clinic, {"OwnerId": people.bea}, **OWNED, **{"If-Match": tags[1]}),
    ]
    moved, same = salesforce("POST", "composite", {"compositeRequest": parts}).json()["compositeResponse"]
    assert (moved["httpStatusCode"], same["httpStatusCode"]) == (412, 204)
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["OwnerId"] == people.rule
    tag = salesforce("GET", f"sobjects/Account/{accounts.clinic}", fields="Id").headers["ETag"]
    assert same["httpHeaders"]["ETag"] == tag


def test_an_org_may_ignore_if_match_inside_composite(salesforce, sandbox, accounts):
    sandbox.world.settings.conditional_in_composite = False
    parts = [_patch("a", accounts.mercy, {"Phone": "5550100"}, **{"If-Match": '"stale"'})]
    answer = salesforce("POST", "composite", {"compositeRequest": parts})
    assert answer.json()["compositeResponse"][0]["httpStatusCode"] == 204


def test_a_part_may_not_set_authorization_accept_or_content_type(salesforce, accounts):
    parts = [_patch("a", accounts.mercy, {"Phone": "5550100"}, Accept="application/xml")]
    (part,) = salesforce("POST", "composite", {"compositeRequest": parts}).json()["compositeResponse"]
    assert part["httpStatusCode"] == 400


def test_all_or_none_of_a_composite_call_takes_every_part_back(salesforce, sandbox, accounts, people):
    parts = [
        _patch("good", accounts.mercy, {"OwnerId": people.bea}, **OWNED),
        _patch("bad", accounts.clinic, {"OwnerId": people.carl}, **OWNED),
    ]
    answer = salesforce("POST", "composite", {"allOrNone": True, "compositeRequest": parts})
    good, bad = answer.json()["compositeResponse"]
    assert answer.status_code == 200
    assert [part["body"][0]["errorCode"] for part in (good, bad)] == ["PROCESSING_HALTED", "INACTIVE_OWNER_OR_USER"]
    assert sandbox.world.history == []


def test_a_part_may_use_the_result_of_an_earlier_one(salesforce, sandbox):
    parts = [
        {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "parent", "body": {"Name": "P"}},
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Account",
            "referenceId": "child",
            "body": {"Name": "C", "ParentId": "@{parent.id}"},
        },
        _patch("lost", "@{nobody.id}", {"Phone": "5550100"}),
    ]
    parent, child, lost = salesforce("POST", "composite", {"compositeRequest": parts}).json()["compositeResponse"]
    made = sandbox.world.get("salesforce", "Account", child["body"]["id"])
    assert made["ParentId"] == parent["body"]["id"]
    assert lost["body"][0]["errorCode"] == "PROCESSING_HALTED"


def test_collections_packed_into_a_composite_call_give_their_rows(salesforce, accounts):
    part = {"method": "PATCH", "url": f"{DATA}/composite/sobjects", "referenceId": "c", "httpHeaders": OWNED}
    part["body"] = {"records": [_row(accounts.mercy, Phone="5550100"), _row("001000000000zZz", Phone="1")]}
    (answer,) = salesforce("POST", "composite", {"compositeRequest": [part]}).json()["compositeResponse"]
    assert [row["success"] for row in answer["body"]] == [True, False]


def test_a_locked_row_is_refused_and_the_others_written(salesforce, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.LOCK_ROW, ids=(accounts.mercy,)))
    rows = {"records": [_row(accounts.mercy, Phone="1"), _row(accounts.clinic, Phone="1")]}
    locked, written = salesforce("PATCH", "composite/sobjects", rows, OWNED).json()
    assert locked["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert accounts.mercy in locked["errors"][0]["message"]
    assert written["success"]
    again = salesforce("PATCH", "composite/sobjects", {"records": rows["records"][:1]}, OWNED).json()
    assert again[0]["success"]


@pytest.mark.parametrize("seed", [1, 2])
def test_locks_by_chance_repeat_with_the_seed_and_pass_in_the_end(seed, salesforce, sandbox, many_accounts):
    ids = many_accounts(40)
    sandbox.world.settings.lock_probability = 0.3
    outcomes = []
    for _ in range(2):
        sandbox.world.seed = seed
        rows = [_row(key, Phone="1") for key in ids]
        results = salesforce("PATCH", "composite/sobjects", {"records": rows}, OWNED).json()
        outcomes.append([row["success"] for row in results])
    assert 0 < sum(outcomes[0]) < 40
    assert outcomes[0] != outcomes[1]  # another attempt, another draw


def test_rows_of_one_parent_in_two_requests_at_once_meet_a_lock(salesforce, sandbox, accounts, people):
    """The first request waits inside the sandbox until the second one has been answered."""
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"ParentId": accounts.system}, by=people.ana)
    arrived, answered = threading.Event(), threading.Event()

    def hold(event: dict[str, Any]) -> None:
        if event["ids"] == [accounts.mercy]:
            arrived.set()
            answered.wait(5)

    sandbox.world.on("before_write", hold)
    first = threading.Thread(
        target=salesforce, args=("PATCH", f"sobjects/Account/{accounts.mercy}", {"Phone": "1"}, OWNED)
    )
    first.start()
    arrived.wait(5)
    rows = {"records": [_row(accounts.clinic, Phone="2"), _row(accounts.lakeside, Phone="2")]}
    sibling, stranger = salesforce("PATCH", "composite/sobjects", rows, OWNED).json()
    answered.set()
    first.join()
    assert sibling["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert stranger["success"]
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "1"
    assert salesforce("PATCH", "composite/sobjects", rows, OWNED).json()[0]["success"]


def test_a_record_may_be_refused_with_a_code_of_choice(salesforce, sandbox, accounts):
    sandbox.world.settings.row_refusals = {accounts.mercy: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    rows = {"records": [_row(accounts.mercy, Phone="1"), _row(accounts.clinic, Phone="1")]}
    refused, written = salesforce("PATCH", "composite/sobjects", rows, OWNED).json()
    assert refused["errors"][0]["statusCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert written["success"]
