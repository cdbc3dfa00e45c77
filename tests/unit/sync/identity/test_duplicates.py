"""Duplicates: what is reported in both CRMs and inside one, and what is not."""

from __future__ import annotations

from dataclasses import replace

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.identity.duplicates import Duplicate, find_duplicates
from sync.identity.judge import link
from sync.world import LINK_DECISIONS, World
from tests.fixtures.small_world import account, company, firm, world

MAPPINGS = load()
PLACE = {"street": "2220 Canterbury Drive", "phone": "7856235000"}
BARE = {"street": "2220 Canterbury Drive", "phone": None}


def found(made: World) -> list[Duplicate]:
    engine, policy, places = PolarsEngine(), MAPPINGS.policies.identity, MAPPINGS.places
    assert policy.model is not None
    return list(find_duplicates(made, link(made, policy, places, engine).links, places, policy.model, engine))


def pairs(made: World) -> list[tuple[str, str]]:
    return [(one.record[1], one.other[1]) for one in found(made)]


def test_two_records_in_one_crm_are_reported_with_what_makes_them_alike() -> None:
    (one,) = found(world(records=[account("A", "Hays Medical Center", **PLACE), account("B", "Hays Med Ctr", **BARE)]))
    assert one.is_in_one_crm
    assert one.score is not None
    assert sum(one.parts.values()) == one.score
    assert one.chance > 0.5


def test_records_of_two_crms_under_one_firm_are_reported() -> None:
    records = [account("A", "Hays Medical Center", **PLACE), company("H", "HAYS MED CTR", **PLACE)]
    assert pairs(world(firms=[firm("100", "Hays Medical Center", **PLACE)], records=records)) == [("H", "A")]


def test_a_psychiatric_unit_at_the_address_is_no_duplicate_of_its_hospital() -> None:
    unit = account("B", "Hays Medical Center Psychiatric Unit", ccn="17S013", account_type="Psychiatric", **BARE)
    hospital = account("A", "Hays Medical Center", ccn="170013", account_type="Acute Care Hospitals", **PLACE)
    assert pairs(world(records=[hospital, unit])) == []


def test_a_wrong_type_number_does_not_hide_a_duplicate_that_shares_npi_and_phone() -> None:
    shared = {**PLACE, "npi": "1234567893"}
    records = [
        account("A", "Hays Medical Center", account_type="Acute Care Hospitals", **shared),
        account("B", "Hays Medical Center", account_type=None, ccn="177001", **shared),
    ]
    assert pairs(world(records=records)) == [("A", "B")]
    lone = [records[0] | {"npi": None}, records[1] | {"npi": None}]
    assert pairs(world(records=lone)) == []


def test_what_a_person_keeps_apart_is_no_duplicate() -> None:
    made = world(records=[account("A", "Hays Medical Center", **PLACE), account("B", "Hays Med Ctr", **BARE)])
    said = dict(zip(LINK_DECISIONS, ("salesforce", "A", "salesforce", "B", "not_link"), strict=True))
    assert pairs(replace(made, link_decisions=PolarsEngine().table([said], LINK_DECISIONS))) == []
