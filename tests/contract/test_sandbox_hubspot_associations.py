"""Associations of the sandbox HubSpot: parents, plain edges, deals."""

from __future__ import annotations

import pytest

from sandbox.world import World
from tests.contract.hubspot_world import (
    ASSOCIATIONS,
    CLINIC,
    CLOSED,
    DEAL,
    HOSPITAL,
    LAKESIDE,
    SYSTEM,
    Client,
    edge,
    hubspot_world,
)


@pytest.fixture
def world() -> World:
    return hubspot_world()


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def parent(client: Client, record_id: str) -> str | None:
    value = client.properties(record_id, "hs_parent_company_id")["hs_parent_company_id"]
    return None if value is None else str(value)


def test_type_14_goes_from_child_to_parent(client: Client) -> None:
    made = client.batch("create", [edge(LAKESIDE, SYSTEM, 14)], ASSOCIATIONS)
    assert made.status == 201
    assert made.body["results"][0]["labels"] == ["Parent Company"]
    assert parent(client, LAKESIDE) == SYSTEM


def test_type_13_goes_from_parent_to_child(client: Client) -> None:
    client.batch("create", [edge(SYSTEM, LAKESIDE, 13)], ASSOCIATIONS)
    assert parent(client, LAKESIDE) == SYSTEM
    assert client.properties(SYSTEM, "hs_num_child_companies")["hs_num_child_companies"] == "3"


def test_a_second_parent_replaces_the_first(world: World, client: Client) -> None:
    client.batch("create", [edge(CLINIC, HOSPITAL, 14)], ASSOCIATIONS)
    assert parent(client, CLINIC) == HOSPITAL
    assert [(c.field, c.old, c.new) for c in world.history] == [("hs_parent_company_id", SYSTEM, HOSPITAL)]


def test_a_second_parent_is_an_error_by_switch(world: World, client: Client) -> None:
    world.settings.second_parent = "error"
    answer = client.batch("create", [edge(CLINIC, HOSPITAL, 14), edge(LAKESIDE, HOSPITAL, 14)], ASSOCIATIONS)
    assert answer.status == 207
    assert answer.body["errors"][0]["context"] == {"fromObjectId": [CLINIC], "toObjectId": [HOSPITAL]}
    assert (parent(client, CLINIC), parent(client, LAKESIDE)) == (SYSTEM, HOSPITAL)


def test_nobody_is_their_own_parent(client: Client) -> None:
    answer = client.batch("create", [edge(SYSTEM, SYSTEM, 14), edge(SYSTEM, CLINIC, 14)], ASSOCIATIONS)
    assert answer.body["results"] == []
    assert parent(client, SYSTEM) is None


def test_missing_and_archived_ends_fail_alone(client: Client) -> None:
    inputs = [edge(LAKESIDE, "900", 14), edge(CLOSED, SYSTEM, 14), edge(LAKESIDE, SYSTEM, 14)]
    answer = client.batch("create", inputs, ASSOCIATIONS)
    assert answer.status == 207
    assert {error["category"] for error in answer.body["errors"]} == {"OBJECT_NOT_FOUND"}
    assert len(answer.body["results"]) == 1


def test_a_type_of_another_pair_is_refused(client: Client) -> None:
    assert client.batch("create", [edge(LAKESIDE, SYSTEM, 5)], ASSOCIATIONS).body["results"] == []


def test_a_read_gives_all_types_of_each_edge(client: Client) -> None:
    client.batch("create", [edge(LAKESIDE, SYSTEM, 450)], ASSOCIATIONS)
    [found] = client.batch("read", [{"id": SYSTEM}], ASSOCIATIONS).body["results"]
    types = {end["toObjectId"]: [t["typeId"] for t in end["associationTypes"]] for end in found["to"]}
    assert types == {HOSPITAL: [13, 450], CLINIC: [13, 450], LAKESIDE: [450]}


def test_a_record_without_edges_is_an_error_of_its_own(client: Client) -> None:
    answer = client.batch("read", [{"id": HOSPITAL}, {"id": LAKESIDE}], ASSOCIATIONS)
    assert answer.status == 207
    assert answer.body["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert answer.body["errors"][0]["context"] == {"fromObjectId": [LAKESIDE]}


def test_archiving_an_edge_takes_the_parent_away(world: World, client: Client) -> None:
    assert client.batch("archive", [{"from": {"id": CLINIC}, "to": [{"id": SYSTEM}]}], ASSOCIATIONS).status == 204
    assert parent(client, CLINIC) is None
    assert [(c.old, c.new) for c in world.history] == [(SYSTEM, None)]
    assert client.batch("archive", [{"from": {"id": CLINIC}, "to": [{"id": SYSTEM}]}], ASSOCIATIONS).status == 204


def test_one_label_can_be_archived_alone(client: Client) -> None:
    client.batch("create", [edge(LAKESIDE, SYSTEM, 14, 450)], ASSOCIATIONS)
    client.batch("labels/archive", [edge(LAKESIDE, SYSTEM, 14)], ASSOCIATIONS)
    [found] = client.batch("read", [{"id": LAKESIDE}], ASSOCIATIONS).body["results"]
    assert [t["typeId"] for t in found["to"][0]["associationTypes"]] == [450]


@pytest.mark.parametrize(("verb", "most"), [("create", 2000), ("read", 1000), ("archive", 100)])
def test_batches_of_associations_have_limits_of_their_own(client: Client, verb: str, most: int) -> None:
    entry = {"id": CLINIC, "from": {"id": CLINIC}, "to": {"id": CLINIC}, "types": []}
    if verb == "archive":
        entry = {"from": {"id": CLINIC}, "to": []}
    assert client.batch(verb, [entry] * most, ASSOCIATIONS).status < 400
    assert client.batch(verb, [entry] * (most + 1), ASSOCIATIONS).status == 400


def test_deals_hang_on_companies_in_both_directions(client: Client) -> None:
    path = "/crm/v4/associations/deals/companies"
    assert client.batch("create", [edge(DEAL, CLINIC, 5, 341)], path).status == 201
    listed = client("GET", f"/crm/v4/objects/companies/{CLINIC}/associations/deals").body["results"]
    assert listed == [
        {
            "toObjectId": DEAL,
            "associationTypes": [
                {"category": "HUBSPOT_DEFINED", "typeId": 6, "label": "Primary"},
                {"category": "HUBSPOT_DEFINED", "typeId": 342},
            ],
        }
    ]


def test_one_pair_can_be_handled_by_path(client: Client) -> None:
    base = f"/crm/v4/objects/companies/{LAKESIDE}/associations"
    assert client("PUT", f"{base}/companies/{SYSTEM}", edge("", "", 14)["types"]).status == 201
    assert client("PUT", f"{base}/default/companies/{CLINIC}").status == 200
    assert {e["toObjectId"] for e in client("GET", f"{base}/companies").body["results"]} == {SYSTEM, CLINIC}
    assert client("DELETE", f"{base}/companies/{SYSTEM}").status == 204
    assert parent(client, LAKESIDE) is None


def test_default_edges_have_no_label_and_a_failed_one_is_named_in_a_200(client: Client) -> None:
    inputs = [edge(LAKESIDE, CLINIC), edge(LAKESIDE, "900")]
    answer = client.batch("associate/default", inputs, ASSOCIATIONS)
    assert (answer.status, answer.body["numErrors"]) == (200, 1)
    assert answer.body["results"][0]["associationSpec"]["associationTypeId"] == 450
