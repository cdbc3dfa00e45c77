"""Large pulls by Bulk query bring what a pull by pages brings, in fewer calls, and fall back to pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.errors import Retriable
from connectors.salesforce.floors import EXTRACT_FROM_ROWS, extract_floor, pull_floor
from connectors.salesforce.session import Session
from connectors.salesforce.source import SalesforceSource
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

FIELDS = (
    "Name",
    "OwnerId",
    "ParentId",
    "Owner.Name",
    "Parent.Name",
    "Rescore_Flag__c",
    "NumberOfEmployees",
    "AnnualRevenue",
    "Rescore_Reason__c",
    "CreatedDate",
    "LastModifiedBy.Name",
)


@pytest.fixture
def world_of_many(sandbox: Sandbox, many_accounts: Callable[[int], list[str]], accounts: Any, people: Any) -> Sandbox:
    """600 accounts on pages of 200, some with every kind of value, some deleted."""
    ids = many_accounts(600)
    sandbox.world.settings.salesforce_page_size = 200
    values = {"Rescore_Flag__c": True, "NumberOfEmployees": 12, "AnnualRevenue": 1.5}
    text = {"Rescore_Reason__c": 'two\nlines, "quoted"; #N/A', "ParentId": accounts.system}
    for one in ids[::50]:
        sandbox.world.human_edit("salesforce", "Account", one, {**values, **text}, by=people.ana)
    for one in ids[5:20]:
        sandbox.world.delete("salesforce", "Account", one, by=people.ana)
    return sandbox


def _pulled(source: SalesforceSource, fields: tuple[str, ...] = FIELDS) -> dict[str, Any]:
    source.describe("Account")
    pages = list(source.pull("Account", fields))
    assert [page.complete for page in pages].count(True) == 1
    return {record["Id"]: dict(record) for page in pages for record in page.records}


@pytest.mark.parametrize("result_page", [50_000, 100])
def test_a_bulk_query_brings_the_records_of_a_query(
    salesforce_session: Session, world_of_many: Sandbox, monkeypatch: pytest.MonkeyPatch, result_page: int
) -> None:
    monkeypatch.setattr("connectors.salesforce.extracts.EXTRACT_ROWS", result_page)
    by_pages = _pulled(SalesforceSource(salesforce_session, extract_from=None))
    by_job = _pulled(SalesforceSource(salesforce_session, extract_from=300))
    assert by_job == by_pages
    assert any("/jobs/query" in request.path for request in world_of_many.world.requests)


def test_a_large_pull_takes_the_calls_of_a_job_and_the_page_that_counted(
    salesforce_session: Session, sandbox: Sandbox, many_accounts: Callable[[int], list[str]]
) -> None:
    many_accounts(EXTRACT_FROM_ROWS + 2000)
    source = SalesforceSource(salesforce_session)
    source.describe("Account")
    before = source.meter.reads
    rows = sum(len(page.records) for page in source.pull("Account", ("Name",)))
    calls = source.meter.reads - before
    assert calls == 1 + extract_floor(rows, polls=2) == 5
    assert calls <= 1.5 * min(extract_floor(rows, polls=2), pull_floor([rows]))


def test_the_choice_of_the_way_is_never_far_from_the_better() -> None:
    for rows in range(1000, 200_000, 500):
        chosen = 1 + extract_floor(rows) if rows > EXTRACT_FROM_ROWS else pull_floor([rows])
        assert chosen <= 1.5 * min(extract_floor(rows), pull_floor([rows]))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(verb=Verb.STATUS, status=400, route="jobs/query", times=0),
        Fault(verb=Verb.STATUS, status=503, route="jobs/query/750", times=0),
    ],
)
def test_where_bulk_does_not_work_pages_do(salesforce_session: Session, world_of_many: Sandbox, fault: Fault) -> None:
    world_of_many.world.faults.add(fault)
    assert len(_pulled(SalesforceSource(salesforce_session, extract_from=300))) == 605


@pytest.mark.parametrize("fields", [("BillingAddress",), ("Name",)])
def test_what_bulk_cannot_carry_or_nobody_described_comes_by_pages(
    salesforce_session: Session, world_of_many: Sandbox, fields: tuple[str, ...]
) -> None:
    source = SalesforceSource(salesforce_session, extract_from=300)
    if fields == ("BillingAddress",):
        source.describe("Account")
    assert sum(len(page.records) for page in source.pull("Account", fields)) == 605
    assert not [request for request in world_of_many.world.requests if "/jobs/" in request.path]


def test_a_result_that_is_cut_short_is_not_used(salesforce_session: Session, world_of_many: Sandbox) -> None:
    source = SalesforceSource(salesforce_session, extract_from=300)
    source.describe("Account")
    world_of_many.world.faults.add(Fault(verb=Verb.STATUS, status=503, route="/results$", times=0))
    with pytest.raises(Retriable):
        list(source.pull("Account", ("Name",)))


def test_a_dead_token_in_mid_job_is_renewed(salesforce_session: Session, world_of_many: Sandbox) -> None:
    world_of_many.world.settings.token_calls = 2
    assert len(_pulled(SalesforceSource(salesforce_session, extract_from=300))) == 605
