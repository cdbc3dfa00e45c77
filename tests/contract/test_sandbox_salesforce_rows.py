"""The sandbox Salesforce reads and writes single records as the vendor documents it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

OWNED = {"Sforce-Auto-Assign": "FALSE"}


def _error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()[0]["errorCode"]


def test_a_record_is_found_by_its_15_and_its_18_character_id(salesforce, accounts):
    long, short = (salesforce("GET", f"sobjects/Account/{key}") for key in (accounts.mercy, accounts.mercy[:15]))
    assert long.json() == short.json()
    assert short.json()["Id"] == accounts.mercy


def test_references_written_with_15_characters_come_back_with_18(salesforce, accounts, people):
    salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", {"OwnerId": people.bea[:15]}, OWNED)
    assert salesforce("GET", f"sobjects/Account/{accounts.clinic}").json()["OwnerId"] == people.bea


def test_field_names_are_read_whatever_their_case(salesforce, accounts):
    assert salesforce("PATCH", f"sobjects/account/{accounts.mercy}", {"name": "Mercy"}, OWNED).status_code == 204
    assert salesforce("GET", f"sobjects/ACCOUNT/{accounts.mercy}", fields="NAME").json()["Name"] == "Mercy"


def test_a_null_and_an_empty_text_clear_a_field(salesforce, accounts):
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"BillingCity": None, "BillingState": ""}, OWNED)
    read = salesforce("GET", f"sobjects/Account/{accounts.mercy}").json()
    assert (read["BillingCity"], read["BillingState"]) == (None, None)


def test_the_etag_of_an_account_changes_with_every_write(salesforce, accounts):
    path = f"sobjects/Account/{accounts.mercy}"
    first = salesforce("GET", path).headers["ETag"]
    second = salesforce("PATCH", path, {"Name": "Mercy Hospital"}, OWNED).headers["ETag"]  # the value it has already
    assert first != second == salesforce("GET", path, fields="Id").headers["ETag"]


def test_a_write_on_a_moved_account_is_refused_with_412_and_writes_nothing(salesforce, sandbox, accounts, people):
    path = f"sobjects/Account/{accounts.mercy}"
    tag = salesforce("GET", path).headers["ETag"]
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"Phone": "5550100"}, by=people.bea)
    refused = salesforce("PATCH", path, {"OwnerId": people.bea}, {**OWNED, "If-Match": tag})
    assert refused.status_code == 412
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["OwnerId"] == people.ana


def test_a_human_edit_between_read_and_write_is_caught_by_if_match(salesforce, sandbox, accounts, people):
    def edit(event: dict[str, Any]) -> None:
        sandbox.world.human_edit("salesforce", "Account", event["ids"][0], {"OwnerId": people.rule}, by=people.bea)

    path = f"sobjects/Account/{accounts.clinic}"
    tag = salesforce("GET", path).headers["ETag"]
    sandbox.world.on("before_write", edit)
    assert salesforce("PATCH", path, {"OwnerId": people.bea}, {**OWNED, "If-Match": tag}).status_code == 412
    assert sandbox.world.get("salesforce", "Account", accounts.clinic)["OwnerId"] == people.rule


def test_the_etag_of_a_compressed_answer_has_a_suffix_and_matches_all_the_same(salesforce, accounts):
    path = f"sobjects/Account/{accounts.mercy}"
    plain = salesforce("GET", path, headers={"Accept-Encoding": "identity"}).headers["ETag"]
    packed = salesforce("GET", path)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] == plain[:-1] + '--gzip"'
    first = salesforce("PATCH", path, {"Name": "M"}, {**OWNED, "If-Match": packed.headers["ETag"]})
    second = salesforce("PATCH", path, {"Name": "N"}, {**OWNED, "If-Match": packed.headers["ETag"]})
    assert (first.status_code, second.status_code) == (204, 412)


def test_of_many_writers_with_one_version_exactly_one_wins(salesforce, sandbox, accounts):
    path = f"sobjects/Account/{accounts.lakeside}"
    headers = {**OWNED, "If-Match": salesforce("GET", path).headers["ETag"]}
    sandbox.world.settings.lock_parents = False
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: salesforce("PATCH", path, {"Phone": f"555010{n}"}, headers), range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [412] * 7
    assert len([change for change in sandbox.world.history if change.field == "Phone"]) == 1


def test_a_reader_who_has_the_record_gets_304(salesforce, accounts):
    path = f"sobjects/Account/{accounts.mercy}"
    read = salesforce("GET", path)
    assert salesforce("GET", path, headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
    assert salesforce("GET", path, headers={"If-Modified-Since": read.headers["Last-Modified"]}).status_code == 304
    assert salesforce("GET", path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_an_etag_that_is_no_quoted_text_is_refused_with_400(salesforce, accounts):
    answer = salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Name": "M"}, {**OWNED, "If-Match": "abc"})
    assert answer.status_code == 400


def test_if_unmodified_since_is_weak_it_sees_whole_seconds_only(salesforce, accounts):
    path = f"sobjects/Account/{accounts.mercy}"
    stamp = salesforce("GET", path).headers["Last-Modified"]
    old = {**OWNED, "If-Unmodified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}
    assert salesforce("PATCH", path, {"Name": "M"}, old).status_code == 412
    assert salesforce("PATCH", path, {"Name": "M"}, {**OWNED, "If-Unmodified-Since": stamp}).status_code == 204


def test_only_accounts_have_etags(salesforce):
    path = "sobjects/Opportunity/006000000000oPn"
    assert "ETag" not in salesforce("GET", path).headers
    assert salesforce("PATCH", path, {"Amount": 1.0}, {**OWNED, "If-Match": '"stale"'}).status_code == 204


def test_stages_decide_whether_an_opportunity_is_closed_and_won(salesforce):
    salesforce("PATCH", "sobjects/Opportunity/006000000000oPn", {"StageName": "Closed Lost"}, OWNED)
    lost = salesforce("GET", "sobjects/Opportunity/006000000000oPn").json()
    won = salesforce("GET", "sobjects/Opportunity/006000000000wOn").json()
    assert [(row["IsClosed"], row["IsWon"]) for row in (lost, won)] == [(True, False), (True, True)]


REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "an unknown column": ({"Nope__c": "x"}, 400, "INVALID_FIELD"),
    "a read-only column": ({"IsDeleted": True}, 400, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    "the compound address": ({"BillingAddress": {"city": "X"}}, 400, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    "a cleared required field": ({"Name": None}, 400, "REQUIRED_FIELD_MISSING"),
    "a text that is too long": ({"BillingCity": "x" * 41}, 400, "STRING_TOO_LONG"),
    "a value outside a closed list": ({"Account_Tier__c": "T9"}, 400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
    "a text for a checkbox": ({"Rescore_Flag__c": "yes"}, 400, "JSON_PARSER_ERROR"),
    "a text for a number": ({"NumberOfEmployees": "many"}, 400, "JSON_PARSER_ERROR"),
    "an owner that is no id": ({"OwnerId": "Ana"}, 400, "MALFORMED_ID"),
    "an owner who does not exist": ({"OwnerId": "005000000000zZz"}, 400, "INVALID_CROSS_REFERENCE_KEY"),
    "a parent that is a user": ({"ParentId": "005000000000aNa"}, 400, "FIELD_INTEGRITY_EXCEPTION"),
    "an owner who left": ({"OwnerId": "005000000000cAR"}, 400, "INACTIVE_OWNER_OR_USER"),
    "a parent below the account": ({"ParentId": "001000000000cLi"}, 400, "CIRCULAR_DEPENDENCY"),
    "the account as its own parent": ({"ParentId": "001000000000sYs"}, 400, "CIRCULAR_DEPENDENCY"),
    "a deleted parent": ({"ParentId": "001000000000cLo"}, 404, "ENTITY_IS_DELETED"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_write_is_refused_for(case, salesforce, sandbox, accounts):
    fields, status, code = REFUSALS[case]
    before = sandbox.world.get("salesforce", "Account", accounts.system)
    assert _error(salesforce("PATCH", f"sobjects/Account/{accounts.system}", fields, OWNED)) == (status, code)
    assert sandbox.world.get("salesforce", "Account", accounts.system) == before


def test_the_permission_for_inactive_owners_lifts_the_refusal(salesforce, sandbox, accounts, people):
    sandbox.world.settings.allow_inactive_owner = True
    answer = salesforce("PATCH", f"sobjects/Account/{accounts.system}", {"OwnerId": people.carl}, OWNED)
    assert answer.status_code == 204


def test_other_fields_of_an_account_of_an_inactive_owner_can_be_written(salesforce, sandbox, accounts, people):
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"OwnerId": people.carl}, by=people.ana)
    fields = {"Name": "Clinic", "OwnerId": people.carl}
    assert salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", fields, OWNED).status_code == 204


def test_deleted_and_unknown_records_are_told_apart(salesforce, accounts):
    assert _error(salesforce("GET", f"sobjects/Account/{accounts.closed}")) == (404, "ENTITY_IS_DELETED")
    assert _error(salesforce("PATCH", f"sobjects/Account/{accounts.closed}", {"Name": "x"})) == (
        404,
        "ENTITY_IS_DELETED",
    )
    assert _error(salesforce("GET", "sobjects/Account/001000000000zZz")) == (404, "NOT_FOUND")
    assert _error(salesforce("GET", "sobjects/Nothing/001000000000zZz")) == (404, "NOT_FOUND")


def test_a_record_is_created_and_deleted(salesforce, sandbox):
    made = salesforce("POST", "sobjects/Account", {"Name": "New"}, OWNED)
    assert made.status_code == 201
    path = f"sobjects/Account/{made.json()['id']}"
    assert salesforce("GET", path).json()["OwnerId"] == sandbox.world.integration_user
    assert salesforce("DELETE", path).status_code == 204
    assert _error(salesforce("GET", path)) == (404, "ENTITY_IS_DELETED")


def test_a_new_record_needs_its_required_fields(salesforce):
    answer = salesforce("POST", "sobjects/Opportunity", {"Name": "Deal"}, OWNED)
    assert answer.json()[0]["fields"] == ["StageName", "CloseDate"]


def test_without_the_header_the_assignment_rule_takes_the_account(salesforce, sandbox, accounts, people):
    salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", {"OwnerId": people.bea})
    assert sandbox.world.get("salesforce", "Account", accounts.clinic)["OwnerId"] == people.rule
    assert [c.source for c in sandbox.world.history if c.field == "OwnerId"] == ["API", "ASSIGNMENT_RULE"]


def test_with_the_header_the_assignment_rule_stays_out(salesforce, sandbox, accounts, people):
    salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", {"OwnerId": people.bea}, {"sforce-auto-assign": "false"})
    assert sandbox.world.get("salesforce", "Account", accounts.clinic)["OwnerId"] == people.bea


@pytest.mark.parametrize(("keep", "left"), [(False, 0), (True, 2)])
def test_an_owner_change_by_rest_ends_the_account_team_unless_the_org_keeps_it(
    keep, left, salesforce, sandbox, accounts, people
):
    sandbox.world.settings.keep_account_team = keep
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"OwnerId": people.bea}, OWNED)
    team = "SELECT COUNT() FROM AccountTeamMember"
    assert salesforce.query(team).json()["totalSize"] == left


def test_other_writes_leave_the_account_team_alone(salesforce, accounts, people):
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Name": "M", "OwnerId": people.ana}, OWNED)
    assert salesforce.query("SELECT COUNT() FROM AccountTeamMember").json()["totalSize"] == 2


def test_a_flow_may_rewrite_what_was_written(salesforce, sandbox, accounts):
    sandbox.world.settings.trigger_rewrite = {"Territory__c": "from flow"}
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Territory__c": "ours"}, OWNED)
    assert salesforce("GET", f"sobjects/Account/{accounts.mercy}").json()["Territory__c"] == "from flow"


def test_every_change_is_known_with_user_client_and_request(salesforce, sandbox, accounts):
    headers = {**OWNED, "Sforce-Call-Options": "client=platbook/run-1/7"}
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Territory__c": "T-7", "CCN__c": "140001"}, headers)
    (change,) = sandbox.world.history  # the CCN is what it was
    assert (change.field, change.old, change.new) == ("Territory__c", None, "T-7")
    assert (change.by, change.client) == (sandbox.world.integration_user, "platbook/run-1/7")
    (request,) = [r for r in sandbox.world.requests if r.seq == change.request]
    assert (request.method, request.is_write, request.status) == ("PATCH", True, 204)
    assert "authorization" not in request.headers


def test_tracked_fields_leave_account_history(salesforce, sandbox, accounts, people):
    salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", {"OwnerId": people.bea, "Phone": "5550100"}, OWNED)
    (row,) = salesforce.query("SELECT Field, OldValue, NewValue, CreatedBy.Name FROM AccountHistory").json()["records"]
    assert (row["Field"], row["OldValue"], row["NewValue"]) == ("OwnerId", people.ana, people.bea)
    assert row["CreatedBy"]["Name"] == "Platbook Integration"


def test_orgs_with_labels_in_history_name_references_twice(salesforce, sandbox, accounts, people):
    sandbox.world.settings.history_labels = True
    salesforce("PATCH", f"sobjects/Account/{accounts.clinic}", {"OwnerId": people.bea}, OWNED)
    rows = salesforce.query("SELECT Field, DataType, NewValue FROM AccountHistory").json()["records"]
    seen = {(row["Field"], row["DataType"], row["NewValue"]) for row in rows}
    assert seen == {("Owner", "EntityId", people.bea), ("Owner", "Text", "Bea Busy")}


def test_a_merge_deletes_the_losers_and_moves_their_children(salesforce, sandbox, accounts, people):
    sandbox.world.merge_accounts(accounts.lakeside, [accounts.mercy], by=people.bea)
    soql = "SELECT Id, IsDeleted, MasterRecordId FROM Account WHERE IsDeleted = true AND MasterRecordId != null"
    (loser,) = salesforce.query(soql, "queryAll").json()["records"]
    assert (loser["Id"], loser["MasterRecordId"]) == (accounts.mercy, accounts.lakeside)
    assert salesforce("GET", f"sobjects/Account/{accounts.clinic}").json()["ParentId"] == accounts.lakeside
    assert salesforce("GET", "sobjects/Opportunity/006000000000oPn").json()["AccountId"] == accounts.lakeside
