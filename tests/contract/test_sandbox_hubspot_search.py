"""Search of the sandbox HubSpot."""

from __future__ import annotations

import pytest

from sandbox.world import World
from tests.contract.hubspot_world import (
    ANA,
    BEA,
    CLINIC,
    CLOSED,
    HOSPITAL,
    LAKESIDE,
    LOADED,
    SYSTEM,
    V3,
    Client,
    Clock,
    hubspot_world,
    more_companies,
    where,
)

LOADED_MS = "1767600000000"  # 2026-01-05T08:00:00Z


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    world = hubspot_world(clock)
    world.settings.search_per_second = 1000
    return world


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


@pytest.mark.parametrize(
    ("condition", "expected"),
    {
        "equal, whatever the case": (where("name", "EQ", "MERCY CLINIC"), [CLINIC]),
        "not equal leaves out what has no value": (where("ccn", "NEQ", "1"), [HOSPITAL]),
        "has a value": (where("ccn", "HAS_PROPERTY"), [HOSPITAL]),
        "has none": (where("hs_parent_company_id", "NOT_HAS_PROPERTY"), [SYSTEM, LAKESIDE]),
        "one of, in lower case": (where("name", "IN", values=["mercy clinic", "lakeside"]), [CLINIC, LAKESIDE]),
        "one of, in other case": (where("name", "IN", values=["Lakeside"]), []),
        "none of": (where("hs_object_id", "NOT_IN", values=[SYSTEM, HOSPITAL, CLINIC]), [LAKESIDE]),
        "number above": (where("hs_object_id", "GT", CLINIC), [LAKESIDE]),
        "number up to": (where("hs_object_id", "LTE", HOSPITAL), [SYSTEM, HOSPITAL]),
        "between": (where("hs_object_id", "BETWEEN", HOSPITAL, highValue=CLINIC), [HOSPITAL, CLINIC]),
        "a word of it": (where("name", "CONTAINS_TOKEN", "mercy"), [SYSTEM, HOSPITAL, CLINIC]),
        "the start of a word": (where("name", "CONTAINS_TOKEN", "hosp*"), [HOSPITAL]),
        "none of its words": (where("name", "NOT_CONTAINS_TOKEN", "mercy"), [LAKESIDE]),
        "since, in milliseconds": (
            where("hs_lastmodifieddate", "GTE", LOADED_MS),
            [SYSTEM, HOSPITAL, CLINIC, LAKESIDE],
        ),
        "after, in milliseconds": (where("hs_lastmodifieddate", "GT", LOADED_MS), []),
        "before, as text": (where("hs_lastmodifieddate", "LT", LOADED), []),
    }.values(),
)
def test_filters(client: Client, condition: dict[str, object], expected: list[str]) -> None:
    found = client.search(condition, sorts=["hs_object_id"], limit=200).body
    assert [row["id"] for row in found["results"]] == expected
    assert found["total"] == len(expected)


def test_all_filters_of_one_group_or_of_another_must_hold(client: Client) -> None:
    groups = [
        {"filters": [where("name", "CONTAINS_TOKEN", "mercy"), where("ccn", "HAS_PROPERTY")]},
        {"filters": [where("name", "EQ", "lakeside")]},
    ]
    found = client("POST", f"{V3}/search", {"filterGroups": groups}).body
    assert {row["id"] for row in found["results"]} == {HOSPITAL, LAKESIDE}


def test_archived_records_are_not_found(client: Client) -> None:
    assert CLOSED not in {row["id"] for row in client.search(limit=200).body["results"]}


def test_pages_of_two_hundred_and_a_way_on(world: World, client: Client) -> None:
    more_companies(world, 300)
    first = client.search(limit=200, sorts=["-hs_object_id"]).body
    rest = client.search(limit=200, sorts=["-hs_object_id"], after=first["paging"]["next"]["after"]).body
    ids = [int(row["id"]) for row in first["results"] + rest["results"]]
    assert first["total"] == 304
    assert ids == sorted(set(ids), reverse=True)
    assert "paging" not in rest


def test_beyond_ten_thousand_results_there_is_no_paging(world: World, client: Client) -> None:
    assert client.search(limit=200, after="9800").status == 200
    assert client.search(limit=200, after="9801").status == 400


@pytest.mark.parametrize(
    "request_body",
    {
        "page too large": {"limit": 201},
        "six groups": {"filterGroups": [{"filters": [where("name", "EQ", "x")]}] * 6},
        "seven filters": {"filterGroups": [{"filters": [where("name", "EQ", "x")] * 7}]},
        "nineteen filters": {"filterGroups": [{"filters": [where("name", "EQ", "x")] * 5}] * 4},
        "unknown property": {"filterGroups": [{"filters": [where("nonsense", "EQ", "x")]}]},
        "unknown operator": {"filterGroups": [{"filters": [where("name", "LIKE", "x")]}]},
        "no value": {"filterGroups": [{"filters": [where("name", "EQ")]}]},
        "no list": {"filterGroups": [{"filters": [where("name", "IN", "x")]}]},
        "text where a number is": {"filterGroups": [{"filters": [where("hs_object_id", "GT", "x")]}]},
        "long query": {"query": "x" * 3001},
        "two sorts": {"sorts": ["name", "domain"]},
        "unknown sort": {"sorts": ["nonsense"]},
        "sorts that are no list": {"sorts": True},
    }.values(),
)
def test_a_search_that_breaks_a_limit_is_refused(client: Client, request_body: dict[str, object]) -> None:
    assert client("POST", f"{V3}/search", request_body).status == 400


def test_sorts_are_taken_as_objects_too(client: Client) -> None:
    found = client.search(sorts=[{"propertyName": "name", "direction": "DESCENDING"}]).body
    assert found["results"][0]["id"] == HOSPITAL


def test_words_are_looked_up_in_names_and_domains(client: Client) -> None:
    assert [row["id"] for row in client.search(query="mercy.example").body["results"]] == [HOSPITAL]


def test_the_index_can_lag_behind(world: World, client: Client, clock: Clock) -> None:
    world.settings.search_lag_s = 30.0
    world.human_edit("hubspot", "companies", LAKESIDE, {"hubspot_owner_id": BEA}, by=BEA)
    client("POST", V3, {"properties": {"name": "Newcomer", "hubspot_owner_id": BEA}})
    changed = where("hubspot_owner_id", "EQ", BEA)
    assert client.search(changed).body["total"] == 0
    assert client.search(where("hubspot_owner_id", "EQ", ANA), where("name", "EQ", "lakeside")).body["total"] == 1
    assert client.search(where("hs_lastmodifieddate", "GT", LOADED_MS)).body["total"] == 0
    clock.forward(31)
    assert client.search(changed).body["total"] == 2


def test_between_two_changes_the_index_knows_the_first(world: World, client: Client, clock: Clock) -> None:
    world.settings.search_lag_s = 30.0
    world.human_edit("hubspot", "companies", LAKESIDE, {"name": "First"}, by=BEA)
    clock.forward(20)
    world.human_edit("hubspot", "companies", LAKESIDE, {"name": "Second"}, by=BEA)
    clock.forward(20)
    found = client.search(where("hs_lastmodifieddate", "GT", LOADED_MS), properties=["name"]).body["results"]
    assert [row["properties"]["name"] for row in found] == ["First"]
