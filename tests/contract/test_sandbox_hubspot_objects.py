"""Companies and deals of the sandbox HubSpot, one by one and in pages."""

from __future__ import annotations

import pytest

from sandbox.hubspot.records import merge
from sandbox.world import World
from tests.contract.hubspot_world import (
    ANA,
    ASSOCIATIONS,
    BEA,
    CARL,
    CLINIC,
    CLOSED,
    DEAL,
    HOSPITAL,
    LAKESIDE,
    LOADED,
    SYSTEM,
    V3,
    Client,
    edge,
    hubspot_world,
    more_companies,
)


@pytest.fixture
def world() -> World:
    return hubspot_world()


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def test_a_list_gives_ten_unless_asked_and_goes_on_where_it_stopped(world: World, client: Client) -> None:
    more_companies(world, 20)
    first = client("GET", V3).body
    assert len(first["results"]) == 10
    ids = [row["id"] for row in first["results"]]
    body = first
    while "paging" in body:
        body = client("GET", V3, limit=7, after=body["paging"]["next"]["after"]).body
        ids += [row["id"] for row in body["results"]]
    assert len(ids) == len(set(ids)) == 24


def test_a_record_made_during_paging_does_not_shift_the_pages(world: World, client: Client) -> None:
    ids = more_companies(world, 6)
    first = client("GET", V3, limit=6).body
    world.load("hubspot", "companies", [{"hs_object_id": "1", "name": "Early"}])
    rest = client("GET", V3, limit=100, after=first["paging"]["next"]["after"]).body
    assert [row["id"] for row in rest["results"]] == ids[2:]


@pytest.mark.parametrize("limit", ["0", "101", "ten", "-1"])
def test_a_page_size_outside_1_to_100_is_refused(client: Client, limit: str) -> None:
    assert client("GET", V3, limit=limit).status == 400


def test_a_cursor_that_is_none_is_refused(client: Client) -> None:
    assert client("GET", V3, after="100").body["category"] == "VALIDATION_ERROR"


def test_names_of_properties_come_repeated_or_with_commas_and_unknown_ones_are_passed_over(client: Client) -> None:
    repeated = client("GET", V3, properties=["name", "ccn", "nonsense"]).body
    with_commas = client("GET", V3, properties="name,ccn,nonsense").body
    assert repeated == with_commas
    assert set(repeated["results"][0]["properties"]) == {
        "name",
        "ccn",
        "createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
    }


def test_an_unset_property_is_null_and_a_reader_who_names_none_gets_the_usual_ones(client: Client) -> None:
    shown = client("GET", f"{V3}/{LAKESIDE}").body["properties"]
    assert shown["domain"] is None
    assert "ccn" not in shown


def test_archived_records_are_listed_apart(client: Client) -> None:
    assert [row["id"] for row in client("GET", V3, archived="true").body["results"]] == [CLOSED]
    assert CLOSED not in [row["id"] for row in client("GET", V3).body["results"]]
    assert client("GET", f"{V3}/{CLOSED}").status == 404
    assert client("GET", f"{V3}/{CLOSED}", archived="true").body["archived"] is True


def test_associations_are_inlined_when_asked(client: Client) -> None:
    shown = client("GET", f"{V3}/{HOSPITAL}", associations="companies").body
    found = {(entry["id"], entry["type"]) for entry in shown["associations"]["companies"]["results"]}
    assert found == {(SYSTEM, "child_to_parent_company"), (SYSTEM, "company_to_company")}


def test_history_shows_the_first_value_and_who_changed_it(world: World, client: Client) -> None:
    world.human_edit("hubspot", "companies", LAKESIDE, {"name": "Lakeside Medical"}, by=BEA)
    client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"name": ""}})
    shown = client("GET", f"{V3}/{LAKESIDE}", propertiesWithHistory="name").body
    versions = shown["propertiesWithHistory"]["name"]
    assert [(v["value"], v["sourceType"]) for v in versions] == [
        ("", "INTEGRATION"),
        ("Lakeside Medical", "CRM_UI"),
        ("Lakeside", "IMPORT"),
    ]
    assert versions[1]["updatedByUserId"] == 9072
    assert versions[2]["timestamp"] == LOADED


def test_history_is_given_for_at_most_fifty_records(client: Client) -> None:
    assert client("GET", V3, limit=51, propertiesWithHistory="name").status == 400
    inputs = [{"id": str(number)} for number in range(51)]
    assert client.batch("read", inputs, propertiesWithHistory=["name"]).status == 400


def test_a_new_company_carries_its_associations(client: Client) -> None:
    given = {"properties": {"name": "New", "hubspot_owner_id": ANA}, "associations": [_to(SYSTEM, 14)]}
    made = client("POST", V3, given)
    assert made.status == 201
    assert client.properties(made.body["id"], "hs_parent_company_id")["hs_parent_company_id"] == SYSTEM
    assert client.properties(SYSTEM, "hs_num_child_companies")["hs_num_child_companies"] == "3"


def test_a_record_names_the_user_who_changed_it_last(world: World, client: Client) -> None:
    name = "hs_updated_by_user_id"
    world.human_edit("hubspot", "companies", LAKESIDE, {"name": "Lakeside Medical"}, by=BEA)
    client("PATCH", f"{V3}/{CLINIC}", {"properties": {"name": "Clinic"}})
    app = client("POST", "/oauth/v2/private-apps/get/access-token-info", {"tokenKey": "sandbox"}).body
    users = {row["id"]: row["properties"][name] for row in client("GET", V3, properties=name).body["results"]}
    assert users == {SYSTEM: None, HOSPITAL: None, CLINIC: str(app["userId"]), LAKESIDE: "9072"}


def test_every_change_moves_the_modification_stamp(client: Client) -> None:
    stamps = [client.properties(LAKESIDE)["hs_lastmodifieddate"]]
    for name in ("A", "B"):
        stamps.append(client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"name": name}}).body["updatedAt"])
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("code", "values"),
    {
        "an option nobody made": ("INVALID_OPTION", {"account_tier": "T9"}),
        "an option in other case": ("INVALID_OPTION", {"account_tier": "t1"}),
        "a boolean in words": ("INVALID_OPTION", {"rescore_flag": "yes"}),
        "a number with commas": ("INVALID_LONG", {"annualrevenue": "1,000"}),
        "an archived owner": ("INVALID_OWNER_ID", {"hubspot_owner_id": CARL}),
        "a user id in place of an owner id": ("INVALID_OWNER_ID", {"hubspot_owner_id": "9071"}),
        "a property that does not exist": ("PROPERTY_DOESNT_EXIST", {"nonsense": "x"}),
        "the parent, which is calculated": ("READ_ONLY_VALUE", {"hs_parent_company_id": SYSTEM}),
        "the number of children": ("READ_ONLY_VALUE", {"hs_num_child_companies": "3"}),
        "null in place of an empty text": ("INVALID_JSON", {"name": None}),
        "a number that is no text": ("INVALID_JSON", {"annualrevenue": 5}),
    }.values(),
)
def test_a_wrong_value_is_refused_with_its_code(
    world: World, client: Client, code: str, values: dict[str, str]
) -> None:
    refused = client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"name": "Changed", **values}})
    assert refused.status == 400
    assert [error["code"] for error in refused.body["errors"]] == [code]
    assert world.tables["hubspot", "companies"][LAKESIDE]["name"] == "Lakeside"


def test_an_archived_record_cannot_be_written(client: Client) -> None:
    assert client("DELETE", f"{V3}/{LAKESIDE}").status == 204
    assert client("PATCH", f"{V3}/{LAKESIDE}", {"properties": {"name": "x"}}).status == 404
    assert client("DELETE", f"{V3}/{LAKESIDE}").status == 204


def test_a_merge_makes_a_new_record_and_the_old_ones_are_gone(world: World, client: Client) -> None:
    merged = client("POST", f"{V3}/merge", {"primaryObjectId": LAKESIDE, "objectIdToMerge": HOSPITAL}).body
    assert merged["id"] not in (LAKESIDE, HOSPITAL)
    assert merged["properties"]["hs_merged_object_ids"] == f"{HOSPITAL};{LAKESIDE}"
    shown = client.properties(merged["id"], "name", "ccn", "hs_parent_company_id")
    assert (shown["name"], shown["ccn"], shown["hs_parent_company_id"]) == ("Lakeside", "140001", SYSTEM)
    listed = [row["id"] for flag in ("true", "false") for row in client("GET", V3, archived=flag).body["results"]]
    assert not {LAKESIDE, HOSPITAL} & set(listed)
    missing = client.batch("update", [{"id": LAKESIDE, "properties": {"name": "x"}}]).body
    assert missing["errors"][0]["category"] == "OBJECT_NOT_FOUND"


def test_children_and_deals_follow_a_merge_and_ids_of_earlier_merges_are_kept(world: World, client: Client) -> None:
    client("POST", "/crm/v4/associations/deals/companies/batch/create", {"inputs": [edge(DEAL, SYSTEM, 5, 341)]})
    first = merge(world, "companies", SYSTEM, LAKESIDE, by=BEA)
    second = merge(world, "companies", first, HOSPITAL, by=BEA)
    shown = client.properties(second, "hs_merged_object_ids", "hs_num_child_companies", "hs_parent_company_id")
    assert shown["hs_merged_object_ids"].split(";") == [SYSTEM, HOSPITAL, LAKESIDE, first]
    assert (shown["hs_num_child_companies"], shown["hs_parent_company_id"]) == ("1", None)
    assert client.properties(CLINIC, "hs_parent_company_id")["hs_parent_company_id"] == second
    deal = client("GET", f"/crm/v3/objects/0-3/{DEAL}", associations="companies").body
    assert {entry["id"] for entry in deal["associations"]["companies"]["results"]} == {second}
    assert client("POST", f"{ASSOCIATIONS}/batch/read", {"inputs": [{"id": CLINIC}]}).body["results"]


def test_a_record_cannot_be_merged_with_itself_or_with_nothing(client: Client) -> None:
    for other in (LAKESIDE, "999", CLOSED):
        refused = client("POST", f"{V3}/merge", {"primaryObjectId": LAKESIDE, "objectIdToMerge": other})
        assert refused.status == 400


def test_deals_say_whether_they_are_closed(client: Client) -> None:
    shown = client("GET", "/crm/v3/objects/deals", properties="hs_is_closed,hs_is_closed_won").body["results"][0]
    assert (shown["properties"]["hs_is_closed"], shown["properties"]["hs_is_closed_won"]) == ("true", "true")
    changed = client("PATCH", f"/crm/v3/objects/deals/{DEAL}", {"properties": {"dealstage": "contractsent"}}).body
    assert changed["properties"]["dealstage"] == "contractsent"
    shown = client("GET", f"/crm/v3/objects/deals/{DEAL}", properties="hs_is_closed").body
    assert shown["properties"]["hs_is_closed"] == "false"


def test_the_dated_paths_answer_as_the_numbered_ones_do(client: Client) -> None:
    pairs = {
        V3: "/crm/objects/2026-09/companies",
        f"{V3}/{LAKESIDE}": f"/crm/objects/2026-09/companies/{LAKESIDE}",
        "/crm/v3/owners/": "/crm/owners/2026-09",
        "/crm/v3/properties/companies": "/crm/properties/2026-09/companies",
    }
    for numbered, dated in pairs.items():
        assert client("GET", numbered).body == client("GET", dated).body
    dated = client("POST", "/crm/associations/2026-09/company/company/batch/read", {"inputs": [{"id": HOSPITAL}]})
    assert dated.body["results"][0]["to"][0]["toObjectId"] == SYSTEM


def test_what_the_sandbox_does_not_know_is_a_404_with_an_envelope(client: Client) -> None:
    for path in ("/crm/v3/objects/contacts", "/crm/v3/nothing", f"{V3}/999"):
        refused = client("GET", path)
        assert refused.status == 404
        assert refused.body["correlationId"]


def test_a_url_that_is_too_long_is_refused(client: Client) -> None:
    assert client("GET", V3, properties=",".join(["hs_parent_company_id"] * 900)).status == 414


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"7", b"null"])
def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    for path in (V3, f"{V3}/batch/update", f"{V3}/search", f"{V3}/merge", "/crm/v3/properties/companies"):
        assert client("POST", path, body).status == 400


def _to(end: str, type_id: int) -> dict[str, object]:
    return {"to": {"id": end}, "types": edge("", end, type_id)["types"]}
