"""Links by keys: what they join, and above all what they leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.policy import IdentityPolicy
from sync.identity.keys import account_id, link
from tests.fixtures.small_world import Row, account, company, firm, system, world

POLICY = IdentityPolicy.model_validate(
    {
        "policy": {"id": "identity", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "keys": ["definitive_id", "npi", "ccn", "domain", "name_zip"],
    }
)


def links(keys: Sequence[str] = POLICY.keys, **tables: Any) -> dict[str, Row]:
    engine = PolarsEngine()
    policy = POLICY.model_copy(update={"keys": tuple(keys)})
    return {row["source_id"]: row for row in engine.rows(link(world(**tables), policy, engine))}


def together(found: dict[str, Row], *ids: str) -> bool:
    return len({found[i]["account_id"] for i in ids}) == 1


def test_an_equal_vendor_id_with_a_similar_name_links() -> None:
    found = links(
        firms=[firm("100", "Hays Medical Center")], records=[account("A", "Hays Med. Ctr., Inc.", definitive_id="100")]
    )
    assert together(found, "100", "A")
    assert found["A"]["how"] == "definitive_id"
    assert found["A"]["account_id"] == account_id("salesforce", "A")


def test_a_key_held_by_two_records_links_neither() -> None:
    found = links(
        firms=[firm("100", "Hays Medical Center", zip5="99999", city="Elsewhere")],
        records=[account("A", "Hays Medical", definitive_id="100"), account("B", "Hays Med", definitive_id="100")],
    )
    assert [found[i]["how"] for i in ("A", "B")] == ["own", "own"]


def test_a_key_held_by_two_firms_links_neither() -> None:
    campuses = [firm("100", "Mercy North", ccn="170001"), firm("101", "Mercy South", ccn="170001")]
    found = links(firms=campuses, records=[account("A", "Mercy", ccn="170001")])
    assert found["A"]["how"] == "own"


def test_an_equal_number_without_any_other_agreement_does_not_link() -> None:
    found = links(
        firms=[firm("100", "Hays Medical Center", npi="1234567893")],
        records=[account("A", "Dialysis Supply Warehouse", npi="1234567893")],
    )
    assert not together(found, "100", "A")


def test_an_equal_number_in_another_state_does_not_link() -> None:
    found = links(
        firms=[firm("100", "Mercy Hospital", ccn="170001")],
        records=[account("A", "Mercy Hospital", ccn="170001", state="OK", zip5="73001")],
    )
    assert not together(found, "100", "A")


def test_the_number_of_a_home_health_agency_on_a_hospital_is_not_used() -> None:
    found = links(
        firms=[firm("100", "Mercy Hospital", ccn="177001", zip5="67602")],
        records=[account("A", "Mercy Home Health", account_type="Home Health Agency", ccn="177001")],
    )
    assert not together(found, "100", "A")


def test_a_row_with_a_number_of_the_wrong_class_needs_more_than_a_name() -> None:
    printed = firm("100", "Mercy Hospital", ccn="177001")
    assert not together(links(firms=[printed], records=[company("B", "Mercy Hospital")]), "100", "B")
    npi = {"npi": "1234567893"}
    assert together(links(firms=[printed | npi], records=[company("B", "Mercy Hospital", **npi)]), "100", "B")


def test_name_and_zip_decide_only_where_neither_street_nor_phone_can_be_compared() -> None:
    bare, phone = firm("100", "Mercy Hospital"), {"phone": "7855551000"}
    assert together(links(firms=[bare], records=[company("B", "Mercy Hospital", **phone)]), "100", "B")
    assert not together(links(firms=[bare | phone], records=[company("B", "Mercy Hospital", **phone)]), "100", "B")


def test_a_rehabilitation_unit_under_its_hospitals_name_is_another_account() -> None:
    found = links(
        firms=[firm("100", "Mercy Hospital", hospital_type="Short Term Acute Care Hospital", ccn="170001")],
        records=[company("B", "Mercy Hospital", ccn="17T001")],
    )
    assert not together(found, "100", "B")


def test_an_npi_with_a_wrong_check_digit_is_not_used() -> None:
    found = links(
        firms=[firm("100", "Mercy Hospital", npi="1234567890", zip5="1")],
        records=[account("A", "Mercy Hospital", npi="1234567890")],
    )
    assert not together(found, "100", "A")


def test_name_and_zip_link_across_case_accents_and_legal_form() -> None:
    found = links(
        firms=[firm("100", "Clínica San José")], records=[account("A", "CLINICA SAN JOSE, INC.", definitive_id=None)]
    )
    assert together(found, "100", "A")
    assert found["A"]["how"] == "name_zip"


def test_a_system_without_zip_links_by_name_city_and_state_only_to_a_row_without_zip() -> None:
    found = links(
        firms=[system("900", "Prairie Health")],
        records=[account("A", "Prairie Health", zip5=None), account("B", "Prairie Health")],
    )
    assert together(found, "900", "A")
    assert not together(found, "900", "B")


def test_the_two_crms_are_joined_through_the_firm_and_without_one() -> None:
    through_firm = links(
        firms=[firm("100", "Mercy Hospital", ccn="170001")],
        records=[account("A", "Mercy Hospital", ccn="170001"), company("B", "Mercy Hospital", domain="mercy.example")],
    )
    assert together(through_firm, "100", "A", "B")
    directly = links(records=[account("A", "Mercy Hospital"), company("B", "Mercy Hospital")])
    assert together(directly, "A", "B")


def test_deleted_and_merged_records_have_no_link() -> None:
    gone = [account("A", "Mercy", is_deleted=True), account("B", "Mercy", merged_into="C")]
    assert links(records=gone) == {}


def test_what_an_earlier_run_linked_stays_linked_under_its_account() -> None:
    crosswalk = [
        {"source": "salesforce", "source_id": "A", "account_id": "acc1", "how": "npi"},
        {"source": "definitive", "source_id": "100", "account_id": "acc1", "how": "npi"},
    ]
    found = links(
        firms=[firm("100", "Mercy Hospital")],
        records=[account("A", "St. Joseph", zip5="00001"), account("B", "Mercy Hospital")],
        crosswalk=crosswalk,
    )
    assert together(found, "100", "A")
    assert found["A"]["account_id"] == "acc1"
    assert found["A"]["how"] == "crosswalk"
    assert not together(found, "100", "B")


def test_an_account_seen_alone_before_keeps_its_id_when_a_firm_joins_it() -> None:
    crosswalk = [{"source": "salesforce", "source_id": "A", "account_id": "acc1", "how": "own"}]
    found = links(firms=[firm("100", "Mercy")], records=[account("A", "Mercy")], crosswalk=crosswalk)
    assert found["100"]["account_id"] == found["A"]["account_id"] == "acc1"


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_rows_does_not_matter(order: int) -> None:
    firms = [firm("100", "Mercy Hospital", ccn="170001"), firm("101", "Mercy Hospital", zip5="67602")]
    records = [account("A", "Mercy Hospital", ccn="170001"), company("B", "Mercy Hospital", zip5="67602")]
    found = links(firms=firms[::order], records=records[::order])
    assert together(found, "100", "A")
    assert together(found, "101", "B")
    assert not together(found, "A", "B")


def two_firms_of_one_account() -> dict[str, Any]:
    """An account that an earlier run made of two firms: either prints a certification number of its own."""
    kept = [
        {"source": feed, "source_id": "100", "account_id": "acc1", "how": "npi"} for feed in ("definitive", "second")
    ]
    firms = [firm("100", "Mercy Hospital", ccn="170001"), firm("100", "Mercy Hospital", feed="second", ccn="170002")]
    return {"firms": firms, "crosswalk": kept}


def test_of_two_records_that_fit_an_account_as_well_the_one_with_the_lower_id_is_linked() -> None:
    records = [account("B", "Mercy Hospital", ccn="170001"), account("A", "Mercy Hospital", ccn="170002")]
    found = links(**two_firms_of_one_account(), records=records)
    assert found["A"]["account_id"] == "acc1"
    assert found["B"]["how"] == "own"


def test_a_record_whose_first_choice_is_taken_is_linked_by_its_next_key() -> None:
    known = two_firms_of_one_account()
    other = firm("200", "Mercy Hospital", phone="7855551000", ccn="170003")
    second = account("B", "Mercy Hospital", ccn="170001", phone="7855551000")
    found = links(
        firms=[*known["firms"], other],
        records=[account("A", "Mercy Hospital", ccn="170002"), second],
        crosswalk=known["crosswalk"],
        keys=["ccn", "name_phone"],
    )
    assert found["A"]["account_id"] == "acc1"
    assert together(found, "200", "B")
    assert found["B"]["how"] == "name_phone"
