"""The scored links: what the shipped model joins, what its guards keep open, and that order never matters."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings
from sync.identity.judge import Identity, link, problems
from sync.problem import Severity
from sync.world import LINK_DECISIONS, World
from tests.fixtures.small_world import Row, account, company, firm, world

PLACE = {"street": "2220 Canterbury Drive", "phone": "7856235000"}
HAYS = [firm("100", "Hays Medical Center", **PLACE)]


@cache
def mappings() -> Mappings:
    return load()


def identified(made: World) -> Identity:
    return link(made, mappings().policies.identity, mappings().places, PolarsEngine())


def links(found: Identity) -> dict[str, Row]:
    return {row["source_id"]: row for row in PolarsEngine().rows(found.links)}


def together(found: Identity, *ids: str) -> bool:
    rows = links(found)
    return len({rows[one]["account_id"] for one in ids}) == 1


def decided(made: World, *said: tuple[str, str, str, str, str]) -> World:
    rows = [dict(zip(LINK_DECISIONS, one, strict=True)) for one in said]
    return replace(made, link_decisions=PolarsEngine().table(rows, LINK_DECISIONS))


def test_a_worn_name_at_the_same_street_and_phone_is_linked_without_any_identifier() -> None:
    found = identified(
        world(firms=HAYS, records=[account("A", "HAYS MED CTR FOUNDATION", account_type="Hospital", **PLACE)])
    )
    assert together(found, "100", "A")
    assert links(found)["A"]["how"] == "model"


def test_a_link_by_the_model_explains_itself_and_its_parts_add_up() -> None:
    found = identified(
        world(firms=HAYS, records=[account("A", "Hays Med Ctr Foundation", account_type="Hospital", **PLACE)])
    )
    told = json.loads(links(found)["A"]["evidence"])
    assert told["model"] == "hospitals-1"
    assert told["value"] == "definitive 100"
    assert sum(told["parts"].values()) == told["score"]


def test_a_link_between_two_crms_explains_itself_too() -> None:
    records = [account("A", "Hays Medical Center", **PLACE), company("H", "HAYS MED CTR FOUNDATION", **PLACE)]
    told = json.loads(links(identified(world(records=records)))["H"]["evidence"])
    assert told["value"] == "hubspot H" or told["value"] == "salesforce A"
    assert sum(told["parts"].values()) == told["score"]


def test_another_hospital_in_another_town_is_not_linked() -> None:
    other = account("A", "Prairie Regional Hospital", street="1 Oak Avenue", city="Salina", zip5="67401")
    assert not together(identified(world(firms=HAYS, records=[other])), "100", "A")


def test_the_better_of_two_records_is_taken_and_the_other_stays_alone() -> None:
    records = [
        account("A", "Hays Medical Center", account_type="Hospital", **PLACE),
        account("B", "Hays Medical Supply", street="14 Vine St", phone="7850000001"),
    ]
    found = identified(world(firms=HAYS, records=records))
    assert together(found, "100", "A")
    assert not together(found, "100", "B")


def test_a_firm_does_not_bring_two_records_together_that_are_unlike_each_other() -> None:
    seat = {"street": "12 Healthway Drive", "phone": "7856230000"}
    firms = [firm("100", "Chester Medical Center", former_name="Prairie Surgical Partners", npi="1234567893", **seat)]
    hospital = account("A", "Chester Medical Center", npi="1234567893", street="1 Park", city="Salina", zip5="67401")
    other = company("H", "Prairie Surgical Partners", **seat)
    assert together(identified(world(firms=firms, records=[other])), "100", "H")
    found = identified(world(firms=firms, records=[hospital, other]))
    assert together(found, "100", "A")
    assert not together(found, "100", "H")
    assert "unlike each other" in found.open_pairs[0].reason


def test_campus_siblings_at_one_street_stay_apart() -> None:
    firms = [
        firm("100", "Hays Medical Center", hospital_type="Short Term Acute Care Hospital", **PLACE),
        firm("101", "Hays Rehabilitation Hospital", hospital_type="Rehabilitation Hospital", **PLACE),
    ]
    records = [
        account("A", "Hays Medical Center", account_type="Acute Care Hospitals", **PLACE),
        account("B", "Hays Rehabilitation Hosp", account_type="Inpatient Rehabilitation Facility", **PLACE),
    ]
    found = identified(world(firms=firms, records=records))
    assert together(found, "100", "A")
    assert together(found, "101", "B")


def test_a_record_whose_number_is_of_another_kind_of_provider_waits_for_a_person() -> None:
    record = company("H", "Hays Medical Center", ccn="177001", **PLACE)
    found = identified(world(firms=HAYS, records=[record]))
    assert not together(found, "100", "H")
    assert [one.other for one in found.open_pairs] == [("hubspot", "H")]
    assert "another kind of provider" in found.open_pairs[0].reason


def test_a_firm_that_prints_a_number_of_the_wrong_kind_is_not_bound_to_a_bare_namesake() -> None:
    firms = [firm("100", "Hays Medical Center", street="2220 Canterbury Drive", ccn="177001")]
    record = company("H", "Hays Medical Center", street="2220 Canterbury Drive")
    assert not together(identified(world(firms=firms, records=[record])), "100", "H")


def test_two_npis_in_one_building_wait_where_neither_name_nor_phone_agrees() -> None:
    place = {"city": "Panorama City", "state": "CA", "zip5": "91402"}
    street = "9608 Van Nuys Blvd Ste 201"
    firms = [firm("100", "Radiant Hospice Care Inc.", firm_type="Hospice", street=street, npi="1508442682", **place)]
    other = company("H", "Loyal Hospice Care, Inc", street="9608 Van Nuys Blvd, Suite 207-B", npi="1912328485", **place)
    found = identified(world(firms=firms, records=[other]))
    assert not together(found, "100", "H")
    assert "NPI of its own" in found.open_pairs[0].reason


def test_a_campus_with_another_street_number_waits_and_the_same_door_is_linked() -> None:
    place = {"city": "Searcy", "state": "AR", "zip5": "72143", "phone": "5012783100"}
    main = company("H", "White County Medical Center", street="3214 East Race Avenue", ccn="040014", **place)
    name = "White County Medical Center - South Campus"
    away = identified(world(firms=[firm("100", name, street="1200 South Main Street", **place)], records=[main]))
    assert not together(away, "100", "H")
    assert "two campuses" in away.open_pairs[0].reason
    here = identified(world(firms=[firm("100", name, street="3214 E Race Ave", **place)], records=[main]))
    assert together(here, "100", "H")


def test_an_open_pair_is_a_problem_for_a_person_and_names_the_way_out() -> None:
    record = company("H", "Hays Medical Center", ccn="177001", **PLACE)
    (problem,) = problems(identified(world(firms=HAYS, records=[record])).open_pairs)
    assert (problem.code, problem.severity) == ("LINK-REVIEW", Severity.REVIEW)
    assert "platbook identity review" in problem.remedy


def test_records_of_two_crms_are_one_organisation_without_any_firm() -> None:
    records = [account("A", "Hays Medical Center", **PLACE), company("H", "HAYS MED CTR", **PLACE)]
    assert together(identified(world(records=records)), "A", "H")


def test_two_records_in_one_crm_never_share_an_account_by_the_model() -> None:
    records = [account("A", "Hays Medical Center", **PLACE), account("B", "Hays Med Ctr", **PLACE)]
    assert not together(identified(world(firms=HAYS, records=records)), "A", "B")


def test_a_person_who_keeps_two_apart_wins_over_keys_and_model() -> None:
    made = world(firms=HAYS, records=[account("A", "Hays Medical Center", definitive_id="100", **PLACE)])
    assert together(identified(made), "100", "A")
    said = decided(made, ("definitive", "100", "salesforce", "A", "not_link"))
    assert not together(identified(said), "100", "A")


def test_a_person_who_links_wins_over_everything_that_speaks_against_it() -> None:
    made = world(firms=HAYS, records=[account("A", "Somewhere Else", city="Salina", zip5="67401")])
    found = identified(decided(made, ("definitive", "100", "salesforce", "A", "link")))
    assert together(found, "100", "A")
    assert links(found)["A"]["how"] == "person"


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(random: Any) -> None:
    firms = [firm(str(n), f"{word} Hospital", **PLACE) for n, word in enumerate(("Hays", "Mercy", "Prairie"), 100)]
    records = [account(word, f"{word} Hosp", **PLACE) for word in ("Hays", "Mercy", "Prairie")]
    expected = links(identified(world(firms=firms, records=records)))
    random.shuffle(firms)
    random.shuffle(records)
    assert links(identified(world(firms=firms, records=records))) == expected


@pytest.mark.parametrize("records", [[], [account("A", "Hays Medical Center", is_deleted=True)]])
def test_a_world_without_live_records_has_links_of_firms_only(records: list[Row]) -> None:
    assert set(links(identified(world(firms=HAYS, records=records)))) == {"100"}
