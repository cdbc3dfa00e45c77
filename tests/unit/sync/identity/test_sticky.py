"""What stays: links and separations by persons; account ids when records merge, ids change or a vendor renumbers."""

from __future__ import annotations

from dataclasses import replace

from jobs.engines import PolarsEngine
from mappings.policy import IdentityPolicy
from sync.identity.keys import link
from sync.world import LINK_DECISIONS, World
from tests.fixtures.small_world import Row, account, company, firm, world

POLICY = IdentityPolicy.model_validate(
    {
        "policy": {"id": "identity", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "keys": ["definitive_id", "npi", "ccn", "system_place"],
    }
)
NPI = "1234567893"


def links(made: World) -> dict[str, Row]:
    engine = PolarsEngine()
    return {row["source_id"]: row for row in engine.rows(link(made, POLICY, engine))}


def kept(*rows: tuple[str, str, str]) -> list[Row]:
    return [dict(zip(("source", "source_id", "account_id", "how"), (*row, "npi"), strict=True)) for row in rows]


def said(made: World, *rows: tuple[str, str, str, str, str]) -> World:
    table = PolarsEngine().table([dict(zip(LINK_DECISIONS, row, strict=True)) for row in rows], LINK_DECISIONS)
    return replace(made, link_decisions=table)


def test_a_separation_takes_the_firm_out_of_an_account_that_earlier_runs_made() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center", npi=NPI)],
        records=[account("A", "Hays Medical Center", npi=NPI)],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1")),
    )
    found = links(said(made, ("definitive", "100", "salesforce", "A", "not_link")))
    assert found["A"]["account_id"] == "acc-1"
    assert found["100"]["account_id"] != "acc-1"


def test_a_link_by_a_person_moves_the_firm_and_puts_the_one_before_out() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center"), firm("101", "Hays Clinic")],
        records=[account("A", "Hays Medical Center")],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1")),
    )
    found = links(said(made, ("definitive", "101", "salesforce", "A", "link")))
    assert found["101"]["account_id"] == found["A"]["account_id"] == "acc-1"
    assert found["100"]["account_id"] != "acc-1"


def test_links_by_persons_join_in_chains() -> None:
    made = world(records=[account("A", "Hays"), company("H", "Elsewhere")], firms=[firm("100", "Mercy")])
    chain = (("definitive", "100", "salesforce", "A", "link"), ("hubspot", "H", "salesforce", "A", "link"))
    assert len({row["account_id"] for row in links(said(made, *chain)).values()}) == 1


def test_a_decision_about_a_record_that_is_gone_changes_nothing() -> None:
    made = world(records=[account("A", "Hays")])
    assert links(said(made, ("definitive", "999", "salesforce", "A", "link"))) == links(made)


def test_a_merged_record_hands_its_account_to_the_survivor() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center")],
        records=[account("A", "Hays", is_deleted=True, merged_into="B"), account("B", "Hays")],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1")),
    )
    found = links(made)
    assert found["100"]["account_id"] == found["B"]["account_id"] == "acc-1"
    assert found["B"]["how"] == "merged"


def test_a_survivor_with_an_account_of_its_own_keeps_it_and_takes_the_links_of_the_merged_record() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center")],
        records=[account("A", "Hays", is_deleted=True, merged_into="B"), account("B", "Hays")],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1"), ("salesforce", "B", "acc-2")),
    )
    found = links(made)
    assert found["100"]["account_id"] == found["B"]["account_id"] == "acc-2"


def test_two_firms_do_not_end_in_one_account_because_their_records_were_merged() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center"), firm("101", "Mercy")],
        records=[account("A", "Hays", is_deleted=True, merged_into="B"), account("B", "Mercy")],
        crosswalk=kept(
            *(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1")),
            *(("definitive", "101", "acc-2"), ("salesforce", "B", "acc-2")),
        ),
    )
    found = links(made)
    assert found["101"]["account_id"] == found["B"]["account_id"] == "acc-2"
    assert found["100"]["account_id"] not in ("acc-1", "acc-2")


def test_an_account_keeps_its_id_when_the_vendor_renumbers() -> None:
    made = world(
        firms=[firm("900", "Hays Medical Center", npi=NPI)],
        records=[account("A", "Hays Medical Center", npi=NPI), company("H", "Hays Medical Center", npi=NPI)],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "A", "acc-1"), ("hubspot", "H", "acc-1")),
    )
    assert {row["account_id"] for row in links(made).values()} == {"acc-1"}


def test_an_account_keeps_its_id_when_the_record_comes_back_under_another_id() -> None:
    made = world(
        firms=[firm("100", "Hays Medical Center", npi=NPI)],
        records=[account("NEW", "Hays Medical Center", npi=NPI)],
        crosswalk=kept(("definitive", "100", "acc-1"), ("salesforce", "OLD", "acc-1")),
    )
    assert {row["account_id"] for row in links(made).values()} == {"acc-1"}


def test_systems_are_linked_by_name_with_place_and_never_by_name_alone() -> None:
    def idn(firm_id: str, city: str, state: str) -> Row:
        return firm(firm_id, "Mercy Health", firm_type="IDN", zip5=None, city=city, state=state)

    records = [
        account("A", "Mercy Health - Joplin", account_type="Health System", zip5=None, city="Joplin", state="MO")
    ]
    found = links(world(firms=[idn("1", "Joplin", "MO"), idn("2", "Toledo", "OH")], records=records))
    assert found["1"]["account_id"] == found["A"]["account_id"] != found["2"]["account_id"]
