"""The unmodified client library against the sandbox, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hubspot
import pytest
from hubspot.crm.companies.exceptions import ApiException, NotFoundException

from sandbox.server import Sandbox
from sandbox.world import World, utcnow
from tests.contract import hubspot_contract
from tests.contract.hubspot_world import (
    ANA,
    BEA,
    CLINIC,
    HOSPITAL,
    LAKESIDE,
    SYSTEM,
    hubspot_world,
    more_companies,
    where,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One server for all tests here; every test takes records of its own."""
    world = hubspot_world()
    world.now = utcnow
    more_companies(world, 250)
    with Sandbox(world) as running:
        yield running


@pytest.fixture(scope="module")
def world(sandbox: Sandbox) -> World:
    return sandbox.world


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Any:
    return hubspot.HubSpot(access_token="sandbox", host=sandbox.base_url)


def test_all_companies_in_pages_of_a_hundred(client: Any, world: World) -> None:
    before = len(world.requests)
    companies = client.crm.companies.get_all(properties=["name", "hs_parent_company_id"])
    assert len({company.id for company in companies}) == 254
    assert len(world.requests) - before == 3
    parents = {company.id: company.properties["hs_parent_company_id"] for company in companies}
    assert parents[HOSPITAL] == SYSTEM


def test_history_and_associations_become_models(client: Any) -> None:
    page = client.crm.companies.basic_api.get_page(
        limit=2, properties_with_history=["name"], associations=["companies"]
    )
    assert page.results[1].properties_with_history["name"][0].source_type == "IMPORT"
    assert page.results[1].associations["companies"].results[0].id == SYSTEM


def test_a_batch_read_with_missing_ids_comes_back_as_207(client: Any) -> None:
    body = {"inputs": [{"id": HOSPITAL}, {"id": "900"}], "properties": ["ccn"], "propertiesWithHistory": []}
    read, status, _ = client.crm.companies.batch_api.read_with_http_info(body)
    assert (status, read.num_errors) == (207, 1)
    assert read.results[0].properties["ccn"] == "140001"
    assert read.errors[0].context == {"ids": ["900"]}


def test_a_batch_update_reports_each_row(client: Any) -> None:
    rows = [("1000001", {"account_tier": "T1"}), ("1000002", {"account_tier": "T9"})]
    inputs = [{"id": key, "properties": properties} for key, properties in rows]
    updated, status, _ = client.crm.companies.batch_api.update_with_http_info({"inputs": inputs})
    assert status == 207
    assert [row.id for row in updated.results] == ["1000001"]
    assert updated.errors[0].context == {"ids": ["1000002"]}
    assert updated.errors[0].errors[0].code == "INVALID_OPTION"


def test_search_pages_by_two_hundred(client: Any) -> None:
    groups = [{"filters": [where("hs_object_id", "GTE", "1000000")]}]
    request = {"filterGroups": groups, "limit": 200, "sorts": ["hs_object_id"], "properties": ["name"]}
    first = client.crm.companies.search_api.do_search(request)
    rest = client.crm.companies.search_api.do_search(request | {"after": first.paging.next.after})
    assert (first.total, len(first.results), len(rest.results)) == (250, 200, 50)


def test_owners_and_properties(client: Any) -> None:
    owners = client.crm.owners.owners_api.get_page(limit=500)
    assert [owner.id for owner in owners.results] == [ANA, BEA]
    assert client.crm.owners.owners_api.get_page(archived=True).results[0].archived
    names = {entry.name for entry in client.crm.properties.core_api.get_all("companies").results}
    assert {"account_tier", "hs_parent_company_id", "hubspot_owner_id"} <= names
    given = {"name": "note", "label": "Note", "type": "string", "fieldType": "text", "groupName": "account_ownership"}
    assert client.crm.properties.core_api.create("companies", given).name == "note"


def test_associations_set_and_clear_a_parent(client: Any) -> None:
    api = client.crm.associations.v4.batch_api
    spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 14}
    pair = {"from": {"id": LAKESIDE}, "to": {"id": SYSTEM}}
    assert api.create("company", "company", {"inputs": [pair | {"types": [spec]}]}).results
    read = api.get_page("company", "company", {"inputs": [{"id": LAKESIDE}]})
    assert [t.type_id for t in read.results[0].to[0].association_types] == [14, 450]
    api.archive("company", "company", {"inputs": [{"from": {"id": LAKESIDE}, "to": [{"id": SYSTEM}]}]})
    company = client.crm.companies.basic_api.get_by_id(LAKESIDE, properties=["hs_parent_company_id"])
    assert company.properties["hs_parent_company_id"] is None


def test_create_update_merge_and_archive(client: Any) -> None:
    api = client.crm.companies.basic_api
    made = [api.create({"properties": {"name": name}, "associations": []}).id for name in ("A", "B")]
    assert api.update(made[0], {"properties": {"phone": "217"}}).properties["phone"] == "217"
    survivor = api.merge({"primaryObjectId": made[0], "objectIdToMerge": made[1]})
    assert survivor.id not in made
    api.archive(survivor.id)
    with pytest.raises(NotFoundException):
        api.get_by_id(survivor.id)


def test_deals_and_tokens(client: Any) -> None:
    assert client.crm.deals.basic_api.get_page().results[0].properties["dealname"] == "Beds"
    keys = {"client_id": "sandbox", "client_secret": "sandbox", "refresh_token": "sandbox"}
    assert client.oauth.tokens_api.create(grant_type="refresh_token", **keys).expires_in == 1800


def test_a_refusal_carries_category_and_policy(client: Any, world: World) -> None:
    world.settings.burst_limit = 0
    try:
        with pytest.raises(ApiException) as caught:
            client.crm.companies.basic_api.get_by_id(CLINIC)
    finally:
        world.settings.burst_limit = 190
    assert caught.value.status == 429
    assert json.loads(caught.value.body)["policyName"] == "TEN_SECONDLY_ROLLING"


def test_requests_of_the_client_match_the_description(client: Any, world: World) -> None:
    wrong = {
        request.path: found
        for request in world.requests
        if request.body is not None
        and (found := hubspot_contract.request_problems(request.method, request.path, request.body))
    }
    assert not wrong
