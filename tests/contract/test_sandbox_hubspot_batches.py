"""Batches of the sandbox HubSpot: one row, one result."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import Fault, Verb
from sandbox.world import World
from tests.contract.hubspot_world import ANA, BEA, CLINIC, CLOSED, HOSPITAL, LAKESIDE, V3, Client, hubspot_world

UNIQUE = {
    "name": "dh_id",
    "label": "Vendor id",
    "type": "string",
    "fieldType": "text",
    "groupName": "account_ownership",
}


@pytest.fixture
def world() -> World:
    return hubspot_world()


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


@pytest.fixture
def with_unique(client: Client) -> Client:
    assert client("POST", "/crm/v3/properties/companies", UNIQUE | {"hasUniqueValue": True}).status == 201
    return client


def row(record_id: str, **properties: Any) -> dict[str, Any]:
    return {"id": record_id, "properties": properties}


def test_a_batch_read_names_all_missing_ids_in_one_error(client: Client) -> None:
    read = client.batch("read", [{"id": key} for key in (HOSPITAL, "900", CLOSED, "901")], properties=["ccn"])
    assert read.status == 207
    assert [found["properties"]["ccn"] for found in read.body["results"]] == ["140001"]
    assert [error["context"]["ids"] for error in read.body["errors"]] == [["900", CLOSED, "901"]]


def test_a_batch_read_that_finds_everything_is_a_200(client: Client) -> None:
    read = client.batch("read", [{"id": HOSPITAL}, {"id": CLINIC}])
    assert read.status == 200
    assert "errors" not in read.body


def test_rows_that_fail_alike_share_an_entry_and_the_others_are_written(client: Client) -> None:
    answer = client.batch(
        "update",
        [
            row(HOSPITAL, account_tier="T9"),
            row(CLINIC, account_tier="T1"),
            row(LAKESIDE, account_tier="T9"),
            row(CLOSED, account_tier="T1"),
            row("900", account_tier="T1"),
        ],
    )
    assert answer.status == 207
    assert [found["id"] for found in answer.body["results"]] == [CLINIC]
    errors = {error["category"]: error["context"]["ids"] for error in answer.body["errors"]}
    assert errors == {"VALIDATION_ERROR": [HOSPITAL, LAKESIDE], "OBJECT_NOT_FOUND": [CLOSED, "900"]}
    assert client.properties(CLINIC, "account_tier")["account_tier"] == "T1"


def test_a_trace_id_comes_back_with_its_row(client: Client) -> None:
    inputs = [row(CLINIC, name="x") | {"objectWriteTraceId": "a"}, row("900", name="x") | {"objectWriteTraceId": "b"}]
    answer = client.batch("update", inputs).body
    assert answer["results"][0]["objectWriteTraceId"] == "a"
    assert answer["errors"][0]["context"]["objectWriteTraceId"] == ["b"]


def test_an_empty_text_clears(client: Client) -> None:
    client.batch("update", [row(HOSPITAL, ccn="")])
    assert client.properties(HOSPITAL, "ccn")["ccn"] is None


def test_the_same_record_twice_refuses_the_whole_batch(world: World, client: Client) -> None:
    refused = client.batch("update", [row(CLINIC, name="A"), row(LAKESIDE, name="B"), row(CLINIC, name="C")])
    assert refused.status == 400
    assert refused.body["context"]["ids"] == [CLINIC]
    assert not world.history


@pytest.mark.parametrize("verb", ["update", "upsert"])
def test_the_record_id_is_no_id_property_for_writes(client: Client, verb: str) -> None:
    assert client.batch(verb, [row(CLINIC, name="A") | {"idProperty": "hs_object_id"}]).status == 400


@pytest.mark.parametrize("verb", ["read", "update", "upsert", "create", "archive"])
def test_more_than_a_hundred_inputs_are_refused(client: Client, verb: str) -> None:
    inputs = [row(str(number), name="x") for number in range(101)]
    assert client.batch(verb, inputs).status == 400


def test_one_bad_row_stops_a_batch_of_new_records(world: World, client: Client) -> None:
    before = set(world.tables["hubspot", "companies"])
    refused = client.batch("create", [{"properties": {"name": "A"}}, {"properties": {"account_tier": "T9"}}])
    assert refused.status == 400
    assert set(world.tables["hubspot", "companies"]) == before


def test_trace_ids_let_the_good_new_records_through(client: Client) -> None:
    rows = [{"properties": {"name": "A"}}, {"properties": {"account_tier": "T9"}}]
    answer = client.batch("create", [entry | {"objectWriteTraceId": str(n)} for n, entry in enumerate(rows)])
    assert answer.status == 207
    assert len(answer.body["results"]) == 1
    assert answer.body["errors"][0]["context"] == {"objectWriteTraceId": ["1"]}


def test_a_batch_of_good_new_records_is_a_201(client: Client) -> None:
    assert client.batch("create", [{"properties": {"name": "A", "hubspot_owner_id": ANA}}]).status == 201


def test_an_upsert_finds_by_a_unique_property_or_makes(with_unique: Client) -> None:
    with_unique.batch("update", [row(CLINIC, dh_id="7")])
    inputs = [row(key, name=f"Named {key}") | {"idProperty": "dh_id"} for key in ("7", "8")]
    answer = with_unique.batch("upsert", inputs)
    assert answer.status == 200
    assert [(found["new"], found["id"] == CLINIC) for found in answer.body["results"]] == [(False, True), (True, False)]
    read = with_unique.batch("read", [{"id": "8"}], idProperty="dh_id", properties=["name"]).body
    assert read["results"][0]["properties"]["name"] == "Named 8"


def test_a_property_that_is_not_unique_cannot_find_records(client: Client) -> None:
    assert client.batch("upsert", [row("7", name="x") | {"idProperty": "ccn"}]).status == 400
    assert client.batch("read", [{"id": "7"}], idProperty="ccn").status == 400


def test_a_unique_value_that_is_taken_is_a_conflict_of_that_row(with_unique: Client) -> None:
    with_unique.batch("update", [row(CLINIC, dh_id="7")])
    answer = with_unique.batch("update", [row(HOSPITAL, dh_id="7"), row(CLINIC, dh_id="7")])
    assert answer.status == 207
    assert answer.body["errors"][0]["category"] == "CONFLICT"
    assert f"Existing ID: {CLINIC}" in answer.body["errors"][0]["message"]


def test_two_unique_values_of_one_record_refuse_the_whole_batch(with_unique: Client) -> None:
    with_unique.batch("update", [row(CLINIC, dh_id="7")])
    inputs = [row("7", name="A") | {"idProperty": "dh_id"}, row(CLINIC, name="B")]
    assert with_unique.batch("update", inputs).status == 400


def test_archiving_passes_over_what_is_not_there(client: Client) -> None:
    assert client.batch("archive", [{"id": CLINIC}, {"id": "900"}]).status == 204
    assert client.batch("read", [{"id": CLINIC}]).status == 207


def test_a_hook_sees_each_row_before_it_is_written(world: World, client: Client) -> None:
    seen: list[Any] = []
    world.on("before_write", seen.append)
    client.batch("update", [row(CLINIC, name="A"), row("900", name="B"), row(LAKESIDE, name="C")])
    assert [(event["ids"], event["fields"]) for event in seen] == [
        ([CLINIC], {"name": "A"}),
        ([LAKESIDE], {"name": "C"}),
    ]


def test_history_says_which_request_and_client_wrote(world: World, client: Client) -> None:
    client.batch("update", [row(CLINIC, hubspot_owner_id=BEA)])
    [change] = world.history
    assert (change.old, change.new, change.source, change.by) == (ANA, BEA, "API", "integration")
    assert change.request == world.requests[-1].seq


def test_a_locked_record_stops_the_request(world: World, client: Client) -> None:
    world.faults.add(Fault(verb=Verb.LOCK_ROW, ids=(CLINIC,), times=2))
    assert client.batch("update", [row(LAKESIDE, name="A"), row(CLINIC, name="A")]).status == 423
    assert not world.history
    assert client("PATCH", f"{V3}/{CLINIC}", {"properties": {"name": "A"}}).status == 423
    assert client("PATCH", f"{V3}/{CLINIC}", {"properties": {"name": "A"}}).status == 200
