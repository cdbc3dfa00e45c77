"""Faults of the sandbox that spoil pages, age reads, cut writes, change the org, or let a person work in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from connectors.errors import Fatal, Retriable
from connectors.protocol import Lane, Verdict, Write
from connectors.salesforce.session import Session
from connectors.salesforce.source import SalesforceSource
from connectors.salesforce.target import SalesforceTarget
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

OWNED = {"Sforce-Auto-Assign": "FALSE"}


@pytest.fixture
def source(salesforce_session: Session) -> SalesforceSource:
    return SalesforceSource(salesforce_session)


@pytest.fixture
def target(salesforce_session: Session) -> SalesforceTarget:
    return SalesforceTarget(salesforce_session)


@pytest.fixture
def paged(sandbox: Sandbox, many_accounts: Callable[[int], list[str]]) -> list[str]:
    """Accounts on five pages of 200."""
    sandbox.world.settings.salesforce_page_size = 200
    return many_accounts(900)


def _names(source: SalesforceSource) -> dict[str, str]:
    pages = source.pull("Account", ("Name",))
    return {record["Id"]: record["Name"] for page in pages for record in page.records}


def _write(target: SalesforceTarget, ids: list[str], **fields: Any) -> list[Verdict]:
    writes = [Write(key=one, record_id=one, fields=fields or {"Phone": "1"}) for one in ids]
    results = target.write(writes, lane=Lane.BATCH, stamp="run/1", before_send=lambda: None)
    return [result.verdict for result in results]


# pages


@pytest.mark.parametrize("verb", [Verb.EMPTY_PAGE, Verb.SHORT_PAGE, Verb.DUP_PAGE, Verb.SKIP_PAGE])
def test_a_spoiled_page_makes_a_pull_fail_rather_than_lack_records(source, sandbox, paged, verb):
    sandbox.world.faults.add(Fault(verb=verb, route="/query", nth=3))
    with pytest.raises(Retriable, match="pull is not whole"):
        _names(source)
    assert len(_names(source)) == 905  # the fault is spent; with the five of the small world


def test_a_page_that_comes_again_hides_the_one_it_replaces(salesforce, sandbox, paged):
    sandbox.world.faults.add(Fault(verb=Verb.DUP_PAGE, route="/query", nth=2))
    first = salesforce.query("SELECT Id FROM Account").json()
    second = salesforce("GET", first["nextRecordsUrl"]).json()
    assert [row["Id"] for row in second["records"]] == [row["Id"] for row in first["records"]]
    assert second["nextRecordsUrl"] != first["nextRecordsUrl"]


def test_a_huge_answer_is_still_the_answer(salesforce, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.HUGE_JSON, rows=3))
    answer = salesforce.query("SELECT Id FROM Account LIMIT 1")
    assert len(answer.content) > 3_000_000
    assert answer.json()["totalSize"] == 1 or answer.json()["done"]


def test_weird_names_come_through_a_pull_unharmed(source, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.UNICODE_WEIRD, route="/query"))
    assert _names(source)[accounts.mercy].startswith("Mercy Hospitale\u0301")


# reads and writes


def test_a_stale_read_shows_what_was_there_and_its_tag_is_refused(target, sandbox, accounts, people):
    now = datetime.now(UTC)
    sandbox.world.now = lambda: now - timedelta(seconds=100)
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"OwnerId": people.rule}, by=people.bea)
    sandbox.world.now = lambda: now
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"OwnerId": people.bea}, by=people.bea)
    sandbox.world.faults.add(Fault(verb=Verb.STALE_READ, seconds=30, route="/composite$"))

    stale = target.read([accounts.clinic], ("OwnerId",), versions=True)[accounts.clinic]

    assert stale.fields["OwnerId"] == people.rule
    write = Write(key="k", record_id=accounts.clinic, fields={"OwnerId": people.ana}, version=stale.version)
    (result,) = target.write([write], lane=Lane.CONDITIONAL, stamp="run/1", before_send=lambda: None)
    assert result.verdict is Verdict.STALE
    fresh = target.read([accounts.clinic], ("OwnerId",), versions=True)[accounts.clinic]
    assert fresh.fields["OwnerId"] == people.bea


def test_a_record_made_since_is_not_in_a_stale_listing(salesforce, sandbox):
    made = salesforce("POST", "sobjects/Account", {"Name": "New"}, OWNED).json()["id"]
    sandbox.world.faults.add(Fault(verb=Verb.STALE_READ, seconds=3600))
    assert made not in salesforce.query("SELECT Id FROM Account").text
    assert made in salesforce.query("SELECT Id FROM Account").text


def test_some_rows_of_a_request_are_refused(target, sandbox, many_accounts):
    ids = many_accounts(10)
    sandbox.world.faults.add(Fault(verb=Verb.PARTIAL, rows=3, code="FIELD_CUSTOM_VALIDATION_EXCEPTION"))
    assert _write(target, ids) == [Verdict.REJECTED] * 3 + [Verdict.OK] * 7
    assert _write(target, ids) == [Verdict.OK] * 10


def test_some_rows_are_written_before_the_connection_ends(target, sandbox, many_accounts):
    ids = many_accounts(10)
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_PARTIAL_THEN_RESET, rows=4, route="/composite$"))
    assert _write(target, ids) == [Verdict.UNKNOWN] * 10
    assert [change.record_id for change in sandbox.world.history] == ids[:4]


def test_nothing_of_an_all_or_none_request_stays_when_it_is_cut(salesforce, sandbox, many_accounts):
    ids = many_accounts(5)
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_PARTIAL_THEN_RESET, rows=2))
    rows = [{"attributes": {"type": "Account"}, "id": one, "Phone": "1"} for one in ids]
    with pytest.raises(requests.ConnectionError):
        salesforce("PATCH", "composite/sobjects", {"allOrNone": True, "records": rows}, OWNED)
    assert sandbox.world.history == []


def test_hubspot_writes_are_cut_the_same_way(sandbox):
    world = sandbox.world
    ids = ["11", "12", "13"]
    world.load("hubspot", "companies", [{"id": one, "name": "Clinic"} for one in ids])
    world.faults.add(Fault(verb=Verb.COMMIT_PARTIAL_THEN_RESET, rows=2, system="hubspot"))
    body = {"inputs": [{"id": one, "properties": {"phone": "1"}} for one in ids]}
    url = f"{sandbox.base_url}/crm/v3/objects/companies/batch/update"
    with pytest.raises(requests.ConnectionError):
        requests.post(url, json=body, headers={"Authorization": "Bearer sandbox"}, timeout=10)
    assert [change.record_id for change in world.history if change.field == "phone"] == ids[:2]


# the org


def test_a_revoked_token_ends_the_run(source, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.REVOKE_TOKEN))
    with pytest.raises(Fatal, match="login refused"):
        source.org()
    assert source.meter.logins == 2


def test_another_instance_address_is_followed(source, sandbox):
    before = source.session.sf_instance
    sandbox.world.faults.add(Fault(verb=Verb.ROTATE_INSTANCE_URL, route="/query"))
    assert source.org().org_id
    assert source.session.sf_instance != before


def test_a_dropped_field_is_named_by_the_pull(source, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.DROP_FIELD, field="CCN__c", route="describe"))
    assert "CCN__c" not in {field.name for field in source.describe("Account")}
    with pytest.raises(Fatal, match=r"no field CCN__c"):
        list(source.pull("Account", ("CCN__c",)))


def test_a_renamed_field_keeps_its_values(source, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.RENAME_FIELD, field="CCN__c", to="Medicare_ID__c"))
    source.describe("Account")
    (page,) = source.pull("Account", ("Medicare_ID__c",))
    assert {r["Id"]: r["Medicare_ID__c"] for r in page.records}[accounts.mercy] == "140001"


def test_a_field_of_another_type_refuses_old_values(target, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.TYPE_CHANGE, field="Tier_Status__c", to="double"))
    assert _write(target, [accounts.mercy], Tier_Status__c="A") == [Verdict.REJECTED]


def test_a_flow_may_rewrite_what_was_written(target, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.TRIGGER_REWRITE, fields={"Phone": "flow"}))
    _write(target, [accounts.mercy])
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "flow"


def test_the_clock_may_be_ahead(salesforce, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.CLOCK_SKEW, seconds=7200))
    salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Phone": "1"}, OWNED)
    stamp = sandbox.world.get("salesforce", "Account", accounts.mercy)["SystemModstamp"]
    assert datetime.fromisoformat(stamp) > datetime.now(UTC) + timedelta(hours=1)


# persons


def test_a_person_edits_what_the_request_is_about_to_write(target, sandbox, accounts, people):
    current = target.read([accounts.clinic], ("OwnerId",), versions=True)[accounts.clinic]
    sandbox.world.faults.add(Fault(verb=Verb.HUMAN_EDIT, fields={"OwnerId": people.bea}, route="/composite$"))
    write = Write(key="k", record_id=accounts.clinic, fields={"OwnerId": people.rule}, version=current.version)
    (result,) = target.write([write], lane=Lane.CONDITIONAL, stamp="run/1", before_send=lambda: None)
    assert result.verdict is Verdict.STALE
    assert [(c.new, c.source) for c in sandbox.world.history] == [(people.bea, "CRM_UI")]


def test_a_person_deletes_or_merges_what_is_about_to_be_written(target, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.HUMAN_DELETE, ids=(accounts.clinic,), nth=1))
    assert _write(target, [accounts.clinic, accounts.mercy]) == [Verdict.REJECTED, Verdict.OK]
    sandbox.world.faults.add(Fault(verb=Verb.HUMAN_MERGE, ids=(accounts.mercy,), to=accounts.lakeside))
    assert _write(target, [accounts.mercy]) == [Verdict.REJECTED]
    merged = sandbox.world.table("salesforce", "Account")[accounts.mercy]
    assert merged["MasterRecordId"] == accounts.lakeside


def test_a_fault_may_be_ordered_from_outside(sandbox, salesforce, accounts):
    given = {"verb": "human_edit", "ids": [accounts.mercy], "fields": {"Phone": "9"}, "by": "005000000000bEaAAI"}
    assert requests.post(f"{sandbox.oracle_url}/fault", json=given, timeout=10).json() == {"ok": True}
    salesforce("GET", "limits")
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "9"
