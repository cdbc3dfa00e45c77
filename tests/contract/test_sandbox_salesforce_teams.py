"""Account teams of the sandbox Salesforce: what an owner change does to them, over REST and over SOAP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests

from sandbox.faults import Fault, Verb

ACCOUNT_LEVELS = {"AccountAccessLevel": "Edit", "OpportunityAccessLevel": "Read"}
ENVELOPE = """<?xml version="1.0"?>
<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">
<env:Header><SessionHeader><sessionId>{token}</sessionId></SessionHeader>
<CallOptions><client>platbook/run/1</client></CallOptions>{headers}</env:Header>
<env:Body><update>{rows}</update></env:Body></env:Envelope>"""
KEEP = (
    "<AssignmentRuleHeader><useDefaultRule>false</useDefaultRule></AssignmentRuleHeader><OwnerChangeOptions><options>"
    "<execute>true</execute><type>KeepAccountTeam</type></options></OwnerChangeOptions>"
)


@pytest.fixture
def soap(salesforce: Any) -> Callable[..., requests.Response]:
    """Sends update() with rows of (id, fields) and the headers given."""

    def send(*rows: tuple[str, dict[str, str]], headers: str = KEEP, token: str = "") -> requests.Response:
        bearer = salesforce.session.headers["Authorization"].removeprefix("Bearer ")
        made = "".join(
            f"<sObjects><type>Account</type><Id>{record_id}</Id>"
            + "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
            + "</sObjects>"
            for record_id, fields in rows
        )
        body = ENVELOPE.format(token=token or bearer, headers=headers, rows=made)
        url = f"{salesforce.base_url}/services/Soap/u/62.0/00D000000000001"
        given = {"SOAPAction": '""', "Content-Type": "text/xml; charset=utf-8"}
        return requests.post(url, data=body.encode(), headers=given, timeout=10)

    return send


def _team(sandbox: Any, account: str) -> set[str]:
    members = sandbox.world.table("salesforce", "AccountTeamMember").values()
    return {m["UserId"] for m in members if m["AccountId"] == account and not m["IsDeleted"]}


def _owner(sandbox: Any, account: str) -> str:
    return str(sandbox.world.get("salesforce", "Account", account)["OwnerId"])


def test_soap_keeps_the_team_and_rest_drops_it(salesforce, soap, sandbox, accounts, people):
    answer = soap((accounts.mercy, {"OwnerId": people.bea}))
    assert (answer.status_code, "<success>true</success>" in answer.text) == (200, True)
    assert (_owner(sandbox, accounts.mercy), _team(sandbox, accounts.mercy)) == (people.bea, {people.ana, people.bea})
    assert sandbox.world.history[-1].client == "platbook/run/1"
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"OwnerId": people.ana}, {"Sforce-Auto-Assign": "FALSE"})
    assert _team(sandbox, accounts.mercy) == set()


def test_some_members_may_go_all_the_same_and_the_seed_says_who(soap, sandbox, accounts, people):
    users = [sandbox.world.new_id("salesforce", "User") for _ in range(40)]
    sandbox.world.load("salesforce", "User", [{"Id": one, "Name": "Member", "IsActive": True} for one in users])
    team = [{"AccountId": accounts.clinic, "UserId": one} for one in users]
    sandbox.world.load("salesforce", "AccountTeamMember", team)
    sandbox.world.settings.team_drop_probability = 0.3
    soap((accounts.clinic, {"OwnerId": people.bea}))
    assert 20 < len(_team(sandbox, accounts.clinic)) < 36  # 28 expected


def test_the_option_holds_for_one_pair_of_owners_a_request(soap, sandbox, accounts, people):
    team = [{"AccountId": accounts.lakeside, "UserId": people.rule}]
    sandbox.world.load("salesforce", "AccountTeamMember", team)
    soap((accounts.mercy, {"OwnerId": people.rule}), (accounts.lakeside, {"OwnerId": people.ana}))
    assert (len(_team(sandbox, accounts.mercy)), len(_team(sandbox, accounts.lakeside))) == (2, 0)


def test_rows_are_answered_one_by_one(soap, sandbox, accounts, people):
    answer = soap((accounts.clinic, {"OwnerId": people.carl}), (accounts.mercy, {"Phone": "<7>"}))
    assert answer.text.index("<success>false</success>") < answer.text.index("<success>true</success>")
    assert "<statusCode>INACTIVE_OWNER_OR_USER</statusCode>" in answer.text
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "<7>"


def test_all_or_none_takes_every_row_back(soap, sandbox, accounts, people):
    headers = KEEP + "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    rows = (accounts.mercy, {"OwnerId": people.bea}), (accounts.clinic, {"OwnerId": people.carl})
    answer = soap(*rows, headers=headers)
    assert "ALL_OR_NONE_OPERATION_ROLLED_BACK" in answer.text
    assert sandbox.world.history == []


def test_without_its_header_the_assignment_rule_decides(soap, sandbox, accounts, people):
    soap((accounts.clinic, {"OwnerId": people.bea}), headers="")
    assert _owner(sandbox, accounts.clinic) == people.rule


def test_a_field_is_cleared_by_name(soap, salesforce, sandbox, accounts):
    soap((accounts.mercy, {"fieldsToNull": "CCN__c"}))
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["CCN__c"] is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token": "dead"}, "INVALID_SESSION_ID"),
        ({"headers": KEEP.replace("KeepAccountTeam", "KeepMyTeam")}, "UNKNOWN_EXCEPTION"),
    ],
)
def test_a_refused_request_is_a_fault(soap, sandbox, accounts, people, change, code):
    answer = soap((accounts.mercy, {"OwnerId": people.bea}), **change)
    assert (answer.status_code, f"<faultcode>sf:{code}</faultcode>" in answer.text) == (500, True)
    assert sandbox.world.history == []


def test_201_rows_are_refused(soap, many_accounts):
    answer = soap(*((one, {"Phone": "1"}) for one in many_accounts(201)))
    assert "sf:EXCEEDED_ID_LIMIT" in answer.text


def test_a_bomb_of_entities_is_not_read(salesforce):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    url = f"{salesforce.base_url}/services/Soap/u/62.0"
    answer = requests.post(url, data=bomb, headers={"SOAPAction": '""', "Content-Type": "text/xml"}, timeout=10)
    assert (answer.status_code, "Fault" in answer.text) == (500, True)


def test_the_request_log_does_not_hold_the_token(soap, salesforce, sandbox, accounts):
    soap((accounts.mercy, {"Phone": "1"}))
    (request,) = [one for one in sandbox.world.requests if "/Soap/" in one.path]
    token = salesforce.session.headers["Authorization"].removeprefix("Bearer ")
    assert "<sessionId>" in request.body
    assert token not in request.body
    assert request.is_write


@pytest.mark.parametrize("moves", [True, False])
def test_open_opportunities_of_the_old_owner_move_where_the_org_says_so(salesforce, sandbox, accounts, people, moves):
    sandbox.world.settings.cascade_open_opportunities = moves
    other = {"Id": "006000000000oThAAI", "Name": "Bea's", "StageName": "Prospecting", "AccountId": accounts.mercy}
    sandbox.world.load("salesforce", "Opportunity", [{**other, "OwnerId": people.bea}])
    body = {"OwnerId": people.rule}
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", body, {"Sforce-Auto-Assign": "FALSE"})
    changed = {c.record_id: c.source for c in sandbox.world.history if c.object == "Opportunity"}
    assert changed == ({"006000000000oPnAAI": "OWNER_CHANGE"} if moves else {})  # not the closed one, not Bea's


def test_soap_says_for_itself_whether_opportunities_move(soap, sandbox, accounts, people):
    sandbox.world.settings.cascade_open_opportunities = True
    stays = "<options><execute>false</execute><type>TransferOwnedOpenOpportunities</type></options>"
    soap((accounts.mercy, {"OwnerId": people.rule}), headers=KEEP.replace("<options>", stays + "<options>", 1))
    assert not [c for c in sandbox.world.history if c.object == "Opportunity"]


def test_members_are_added_changed_and_removed_over_rest(salesforce, sandbox, accounts, people):
    member = {"AccountId": accounts.clinic, "UserId": people.bea, "TeamMemberRole": "Sales Rep"}
    made = salesforce("POST", "sobjects/AccountTeamMember", member).json()["id"]
    assert sandbox.world.get("salesforce", "AccountTeamMember", made)["AccountAccessLevel"] == "Read"
    again = salesforce("POST", "sobjects/AccountTeamMember", {**member, **ACCOUNT_LEVELS}).json()["id"]
    assert again == made  # one row for an account and a user
    stored = sandbox.world.get("salesforce", "AccountTeamMember", made)
    assert (stored["AccountAccessLevel"], stored["TeamMemberRole"]) == ("Edit", "Sales Rep")
    rows = [{"attributes": {"type": "AccountTeamMember"}, "Id": made, "TeamMemberRole": "Lead"}]
    (row,) = salesforce("PATCH", "composite/sobjects/AccountTeamMember/Id", {"records": rows}).json()
    assert (row["id"], row["created"]) == (made, False)
    assert salesforce("DELETE", f"sobjects/AccountTeamMember/{made}").status_code == 204
    assert _team(sandbox, accounts.clinic) == set()


def test_a_lock_refuses_a_row_over_soap_too(soap, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.LOCK_ROW, ids=(accounts.mercy,)))
    assert "UNABLE_TO_LOCK_ROW" in soap((accounts.mercy, {"Phone": "1"})).text
