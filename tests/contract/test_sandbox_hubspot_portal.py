"""Properties, owners, tokens and limits of the sandbox HubSpot."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import Fault, Verb
from sandbox.world import World
from tests.contract.hubspot_world import (
    ANA,
    BEA,
    CARL,
    LAKESIDE,
    V3,
    Client,
    Clock,
    hubspot_world,
    more_companies,
)

PROPERTIES = "/crm/v3/properties/companies"
OWNERS = "/crm/v3/owners/"
GIVEN = {
    "name": "grade",
    "label": "Grade",
    "type": "enumeration",
    "fieldType": "select",
    "groupName": "account_ownership",
}
OPTIONS = [{"label": "A", "value": "a", "displayOrder": 0, "hidden": False}]
REFRESH = {
    "grant_type": "refresh_token",
    "refresh_token": "sandbox",
    "client_id": "sandbox",
    "client_secret": "sandbox",
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return hubspot_world(clock)


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def test_one_call_lists_all_properties_with_what_may_be_written(client: Client) -> None:
    listed = {entry["name"]: entry for entry in client("GET", PROPERTIES).body["results"]}
    assert listed["hs_parent_company_id"]["modificationMetadata"]["readOnlyValue"] is True
    assert listed["account_tier"]["modificationMetadata"]["readOnlyValue"] is False
    assert [option["value"] for option in listed["account_tier"]["options"]] == ["T1", "T2", "T3", "UNTIERED"]
    assert listed["hubspot_owner_id"]["referencedObjectType"] == "OWNER"
    assert client("GET", "/crm/v3/properties/deals").body["results"]


def test_a_new_property_takes_values_and_a_second_one_of_its_name_is_a_conflict(client: Client) -> None:
    assert client("POST", PROPERTIES, GIVEN | {"options": OPTIONS}).status == 201
    assert client("POST", PROPERTIES, GIVEN | {"options": OPTIONS}).body["category"] == "CONFLICT"
    assert client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"grade": "a"}}).status == 200
    assert client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"grade": "A"}}).status == 400
    assert client("PATCH", f"{PROPERTIES}/grade", {"label": "Mark", "hasUniqueValue": True}).body["label"] == "Mark"
    assert client("GET", f"{PROPERTIES}/grade").body["hasUniqueValue"] is False
    assert client("DELETE", f"{PROPERTIES}/grade").status == 204
    assert client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"grade": "a"}}).status == 400


@pytest.mark.parametrize(
    "change",
    {
        "a field type of another type": {"fieldType": "date"},
        "a group that does not exist": {"groupName": "nowhere"},
        "no name": {"name": ""},
        "options that are incomplete": {"options": [{"value": "a"}]},
        "no options": {"options": []},
    }.values(),
)
def test_a_definition_that_does_not_fit_is_refused(client: Client, change: dict[str, Any]) -> None:
    assert client("POST", PROPERTIES, GIVEN | {"options": OPTIONS} | change).status == 400


def test_an_object_has_at_most_ten_unique_properties(client: Client) -> None:
    text = GIVEN | {"type": "string", "fieldType": "text", "hasUniqueValue": True}
    statuses = [client("POST", PROPERTIES, text | {"name": f"key_{number}"}).status for number in range(11)]
    assert statuses == [201] * 10 + [400]


def test_batches_of_properties_answer_row_by_row(client: Client) -> None:
    rows = [GIVEN | {"name": "one", "options": OPTIONS}, GIVEN | {"name": "ccn", "options": OPTIONS}]
    made = client.batch("create", rows, PROPERTIES)
    assert made.status == 207
    assert made.body["errors"][0]["category"] == "CONFLICT"
    read = client.batch("read", [{"name": "one"}, {"name": "nonsense"}], PROPERTIES, archived=False)
    assert read.status == 207
    assert client.batch("archive", [{"name": "one"}], PROPERTIES).status == 204


def test_what_hubspot_defined_stays(client: Client) -> None:
    assert client("DELETE", f"{PROPERTIES}/name").status == 400
    assert client("PATCH", f"{PROPERTIES}/name", {"label": "x"}).status == 400
    assert client("GET", f"{PROPERTIES}/nonsense").status == 404


def test_groups_are_made_once_and_removed_when_empty(client: Client) -> None:
    group = {"name": "ours", "label": "Ours"}
    assert client("POST", f"{PROPERTIES}/groups", group).status == 201
    assert client("POST", f"{PROPERTIES}/groups", group).status == 409
    assert client("PATCH", f"{PROPERTIES}/groups/ours", {"label": "Mine"}).body["label"] == "Mine"
    assert "ours" in [entry["name"] for entry in client("GET", f"{PROPERTIES}/groups").body["results"]]
    assert client("DELETE", f"{PROPERTIES}/groups/account_ownership").status == 400
    assert client("DELETE", f"{PROPERTIES}/groups/ours").status == 204
    assert client("GET", f"{PROPERTIES}/groups/ours").status == 404


def test_archived_owners_are_listed_apart_and_have_lost_their_user_id(client: Client) -> None:
    assert [owner["id"] for owner in client("GET", OWNERS, limit=500).body["results"]] == [ANA, BEA]
    [gone] = client("GET", OWNERS, archived="true").body["results"]
    assert gone["id"] == CARL
    assert "userId" not in gone


def test_owners_come_in_pages_and_by_email_or_user_id(client: Client) -> None:
    first = client("GET", OWNERS, limit=1).body
    rest = client("GET", OWNERS, limit=1, after=first["paging"]["next"]["after"]).body
    assert [rest["results"][0]["id"], "paging" in rest] == [BEA, False]
    assert client("GET", OWNERS, email="bea@people.example").body["results"][0]["id"] == BEA
    assert client("GET", f"/crm/v3/owners/{int(BEA) + 9000}", idProperty="userId").body["id"] == BEA
    assert client("GET", f"/crm/v3/owners/{CARL}").status == 404
    assert client("GET", OWNERS, limit=501).status == 400


def test_a_wrong_token_is_refused_with_an_envelope(world: World) -> None:
    refused = Client(world, token="wrong")("GET", V3)
    assert (refused.status, refused.body["category"]) == (401, "INVALID_AUTHENTICATION")


def test_a_refresh_token_buys_an_access_token_that_dies(world: World, client: Client, clock: Clock) -> None:
    bought = client("POST", "/oauth/v1/token", form=REFRESH).body
    client.token = bought["access_token"]
    assert client("GET", V3).status == 200
    assert client("GET", f"/oauth/v1/access-tokens/{client.token}").body["hub_id"] > 0
    clock.forward(bought["expires_in"] + 5)
    refused = client("GET", V3)
    assert (refused.status, refused.body["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert "expired 6 second(s) ago" in refused.body["message"]


@pytest.mark.parametrize(
    "change", [{"client_secret": "x"}, {"client_id": "x"}, {"refresh_token": "x"}, {"grant_type": "x"}]
)
def test_a_wrong_refresh_is_refused(client: Client, change: dict[str, str]) -> None:
    assert client("POST", "/oauth/v1/token", form=REFRESH | change).status == 400


def test_tokens_can_be_made_to_expire(world: World, client: Client) -> None:
    world.faults.add(Fault(verb=Verb.EXPIRE_TOKEN, system="hubspot"))
    assert client("GET", V3).status == 401


def test_headers_count_down_and_search_has_none(client: Client) -> None:
    first, second = client("GET", V3).headers, client("GET", V3).headers
    name = "x-hubspot-ratelimit-remaining"
    assert int(first[name]) - int(second[name]) == 1
    assert name not in client.search().headers


def test_the_burst_limit_ends_after_ten_seconds(world: World, client: Client, clock: Clock) -> None:
    world.settings.burst_limit = 3
    statuses = [client("GET", V3).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = client("GET", V3)
    assert refused.body["policyName"] == "TEN_SECONDLY_ROLLING"
    assert "retry-after" not in refused.headers
    assert client.search().status == 200
    clock.forward(10)
    assert client("GET", V3).status == 200


def test_search_has_a_limit_of_its_own(world: World, client: Client, clock: Clock) -> None:
    statuses = [client.search().status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    world.settings.retry_after_on_429 = True
    refused = client.search()
    assert (refused.body["policyName"], refused.headers["retry-after"]) == ("SECONDLY", "1")
    clock.forward(1)
    assert client.search().status == 200


def test_the_day_has_a_limit_and_says_so(world: World, client: Client) -> None:
    world.settings.hubspot_daily_limit = 2
    path = "/account-info/v3/api-usage/daily/private-apps"
    assert client("GET", path).body["results"][0]["currentUsage"] == 1
    client("GET", V3)
    assert client("GET", V3).body["policyName"] == "DAILY"


def test_the_account_says_which_portal_it_is(client: Client) -> None:
    assert isinstance(client("GET", "/account-info/v3/details").body["portalId"], int)


def test_the_request_log_tells_reads_from_writes(world: World, client: Client) -> None:
    more_companies(world, 1)
    client.batch("read", [{"id": LAKESIDE}])
    client.search()
    client.batch("update", [{"id": LAKESIDE, "properties": {"name": "A"}}])
    client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"name": "B"}})
    assert [request.is_write for request in world.requests] == [False, False, True, True]
