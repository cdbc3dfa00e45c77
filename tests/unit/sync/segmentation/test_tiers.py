"""Types, facts and tiers of small systems, by the worked cases; the shipped policies are the ones under test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import TierPolicy
from mappings.regulation import Law, Regulation
from sync.authority.decide import questions
from sync.authority.records import authority_records
from sync.authority.resolve import recorded
from sync.enrichment import enrich
from sync.hierarchy.edges import NODES, feed_edges
from sync.hierarchy.tree import resolve
from sync.identity.keys import link
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.holders import confirmed_facts, holders
from sync.segmentation.tiers import assign_tiers
from tests.fixtures.small_world import Row, firm, system, world

MAPPINGS = load()
POLICY = MAPPINGS.policies.tiers
REGULATION = (
    Regulation(state="KS", con="none", valid_from="", citation="a law"),
    Regulation(state="IA", con="CON", valid_from="", citation="a law"),
    Regulation(state="SC", con="CON", valid_from="", valid_to="2026-01-01", citation="a law"),
    Regulation(state="SC", con="none", valid_from="2026-01-01", citation="its repeal"),
)


def fact(firm_id: str, name: str, value: str, **values: Any) -> Row:
    return {"feed": "facts", "firm_id": firm_id, "fact": name, "value": value, "file": "f.csv", "row": 2, **values}


def members(count: int, **values: Any) -> list[Row]:
    names = {"idn_id": "900", "idn_name": "Prairie", "idn_parent_id": "900", "idn_parent_name": "Prairie"}
    return [firm(str(i), f"Hospital {i}", zip5=f"6760{i}", **{**names, **values}) for i in range(1, count + 1)]


def strong(firm_id: str = "900", **changed: str | None) -> list[Row]:
    """Facts that make an IDN in Kansas a first-tier account."""
    said = {"oncology_strength": "STRONG", "commercial_share": "55", "gpo_contract": "none", **changed}
    category = {"gpo_contract": "infusion_pumps"}
    return [fact(firm_id, n, v, category=category.get(n)) for n, v in said.items() if v is not None]


def tiers(
    firms: list[Row], facts: list[Row] | None = None, as_of: str = "2026-01-15", policy: TierPolicy = POLICY
) -> dict[str, Row]:
    """Rows of TIERS, with the facts of the deciding organisation, by the firm's vendor id."""
    engine = PolarsEngine()
    made = world(firms=firms, facts=facts or [])
    links = link(made, MAPPINGS.policies.identity, engine)
    accounts = enrich(made, links, MAPPINGS.policies.survivorship, engine)
    edges = feed_edges(made, links, engine).edges
    nodes = [{"account_id": r["account_id"], "kind": "HOSPITAL"} for r in engine.rows(accounts.select("account_id"))]
    tree = resolve(edges, engine.table(nodes, NODES), MAPPINGS.policies.hierarchy, as_of, engine)
    confirmed = confirmed_facts(made, links, as_of)
    records = authority_records(made, confirmed, None, MAPPINGS.policies.authority, as_of, engine)
    answers = recorded(records, tree.hierarchy, questions(MAPPINGS.policies, engine), engine)
    who = holders(tree.hierarchy, answers, MAPPINGS.policies.authority)
    evidence = Evidence(accounts=accounts, holders=who, facts=confirmed, law=Law(con=REGULATION), as_of=as_of)
    facts_of = classify(evidence, policy, engine)
    bounds = {row["account_id"]: row for row in engine.rows(facts_of)}
    rows = engine.rows(assign_tiers(who, facts_of, policy, engine))
    firm_of = {r["account_id"]: r["source_id"] for r in engine.rows(links)}
    return {firm_of[row["account_id"]]: {**bounds[row["holder_account_id"]], **row} for row in rows}


def one(hospital: Row, **changes: Any) -> tuple[Any, Any]:
    row = tiers([hospital], **changes)["1"]
    return row["org_type__lo"], row["org_type__hi"]


def test_R28_R29_six_hospitals_make_an_idn_and_all_five_predicates_the_first_tier_for_every_member() -> None:
    found = tiers([system("900", "Prairie"), *members(6)], strong())
    assert {row["tier"] for row in found.values()} == {"T1"}
    assert found["1"]["holder_account_id"] == found["900"]["account_id"]
    assert found["1"]["tier_status"] == "CONFIRMED"
    assert json.loads(found["1"]["evidence"])["commercial_bp"] == {"is": "5500", "from": "facts:f.csv:row 2"}


def test_T17_an_unknown_contract_keeps_the_tier_provisional_and_says_what_would_lift_it() -> None:
    row = tiers([system("900", "Prairie"), *members(6)], strong(gpo_contract=None))["900"]
    assert (row["tier"], row["provisional"], row["could_be"], row["blocking"]) == ("T2", True, "T1", "gpo_covered")
    assert row["tier_status"] == "PROVISIONAL: T1 if gpo_covered is confirmed as false"
    assert "no_gpo=U" in row["predicates"]


def test_T18_one_false_predicate_rules_the_first_tier_out_whatever_is_unknown() -> None:
    row = tiers([system("900", "Prairie"), *members(6)], strong(commercial_share="40", gpo_contract=None))["900"]
    assert (row["tier"], row["provisional"], row["tier_status"]) == ("T2", False, "CONFIRMED")


@pytest.mark.parametrize(("as_of", "tier"), [("2027-02-28", "T1"), ("2027-03-01", "T2")])
def test_a_contract_counts_from_its_first_day_and_is_no_contract_before(as_of: str, tier: str) -> None:
    contract = fact("900", "gpo_contract", "Premier", category="infusion_pumps", valid_from="2027-03-01")
    facts = [*strong(gpo_contract=None), contract]
    row = tiers([system("900", "Prairie"), *members(6)], facts, as_of)["900"]
    assert (row["tier"], row["provisional"]) == (tier, False)


def test_a_contract_for_another_category_says_nothing() -> None:
    facts = [*strong(gpo_contract=None), fact("900", "gpo_contract", "Premier", category="surgical_robotics")]
    assert tiers([system("900", "Prairie"), *members(6)], facts)["900"]["gpo_covered__lo"] is None


def test_a_site_that_decides_for_itself_does_not_inherit() -> None:
    facts = [*strong(), fact("1", "decision_authority", "SITE")]
    found = tiers([system("900", "Prairie"), *members(6)], facts)
    assert (found["1"]["tier"], found["2"]["tier"]) == ("UNTIERED", "T1")
    assert found["1"]["holder_account_id"] == found["1"]["account_id"]


@pytest.mark.parametrize(
    ("count", "central", "states", "expected"),
    [
        (6, None, ("KS",), ("IDN", "IDN")),
        (5, None, ("KS", "IA"), ("COMMUNITY_SYSTEM", "IDN")),
        (5, "true", ("KS", "IA"), ("IDN", "IDN")),
        (5, "true", ("KS",), ("COMMUNITY_SYSTEM", "IDN")),  # affiliated professionals are unknown
        (5, "false", ("KS", "IA"), ("COMMUNITY_SYSTEM", "COMMUNITY_SYSTEM")),
        (2, "false", ("KS",), ("COMMUNITY_SYSTEM", "COMMUNITY_SYSTEM")),
    ],
)
def test_the_type_of_a_system(count: int, central: str | None, states: tuple[str, ...], expected: Any) -> None:
    hospitals = [{**row, "state": states[i % len(states)]} for i, row in enumerate(members(count))]
    facts = [] if central is None else [fact("900", "procurement_centralized", central)]
    row = tiers([system("900", "Prairie"), *hospitals], facts)["900"]
    assert (row["org_type__lo"], row["org_type__hi"]) == expected


def test_more_hospitals_than_several_and_fewer_than_many_are_a_community_system_whatever_else_is_known() -> None:
    content = POLICY.model_dump()
    content["classify"]["idn"]["or"]["hospitals_between"] = [2, 3]
    policy, central = TierPolicy.model_validate(content), [fact("900", "procurement_centralized", "true")]
    apart = [{**row, "state": state} for row, state in zip(members(4), ("KS", "IA", "KS", "IA"), strict=True)]
    row = tiers([system("900", "Prairie"), *apart], central, policy=policy)["900"]
    assert (row["org_type__lo"], row["org_type__hi"]) == ("COMMUNITY_SYSTEM", "COMMUNITY_SYSTEM")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ccn": "171300"}, ("CAH", "CAH")),
        ({"is_critical_access": True, "staffed_beds": 40}, ("CAH", "CAH")),
        ({"ccn": "171300", "providers": 0}, ("CAH", "CAH")),  # nobody affiliated makes no system of it
        ({"staffed_beds": 25, "is_rural": True}, ("CAH_LIKELY", "CAH_LIKELY")),
        ({"staffed_beds": 24, "is_rural": False}, ("INDEPENDENT_HOSPITAL", "INDEPENDENT_HOSPITAL")),
        ({"staffed_beds": 26, "is_rural": True}, ("INDEPENDENT_HOSPITAL", "INDEPENDENT_HOSPITAL")),
        ({"staffed_beds": 25}, ("INDEPENDENT_HOSPITAL", "CAH_LIKELY")),
        ({"ccn": "170001", "staffed_beds": 20, "is_rural": True}, ("INDEPENDENT_HOSPITAL", "INDEPENDENT_HOSPITAL")),
        ({"firm_type": "Skilled Nursing Facility"}, ("POST_ACUTE", "POST_ACUTE")),
        ({"firm_type": "Ambulatory Surgery Center"}, ("ASC", "ASC")),
        ({"firm_type": "Unheard Of"}, (None, None)),
    ],
)
def test_the_type_of_one_organisation(values: Row, expected: Any) -> None:
    assert one(firm("1", "Hays", **values)) == expected


def test_the_strict_reading_of_the_bed_limit_is_a_policy_switch() -> None:
    content = POLICY.model_dump()
    content["classify"]["cah"]["max_beds_operator"] = "lt"
    strict = TierPolicy.model_validate(content)
    assert one(firm("1", "Hays", staffed_beds=25, is_rural=True), policy=strict)[0] == "INDEPENDENT_HOSPITAL"


@pytest.mark.parametrize(
    ("shares", "gov", "commercial"),
    [
        ((2500, 2000, 5500), (4500, 4500), (0, 5500)),
        ((2500, 2000, 4500), (None, None), (None, None)),  # adds up to 90 %: no information
        ((3800, 2200, 4000), (6000, 6000), (0, 4000)),
        ((None, 2000, 5500), (None, None), (None, None)),
    ],
)
def test_payer_days_bound_the_commercial_share_from_above(shares: Any, gov: Any, commercial: Any) -> None:
    days = dict(zip(("medicare_days_bp", "medicaid_days_bp", "other_days_bp"), shares, strict=True))
    row = tiers([firm("1", "Hays", **days)])["1"]
    assert (row["gov_bp__lo"], row["gov_bp__hi"]) == gov
    assert (row["commercial_bp__lo"], row["commercial_bp__hi"]) == commercial


@pytest.mark.parametrize(
    ("days", "letter"), [((3800, 2200, 4000), "F"), ((3810, 2200, 3990), "T"), ((2000, 2500, 5500), "F")]
)
def test_government_heavy_is_strictly_above_sixty_percent(days: Any, letter: str) -> None:
    values = dict(zip(("medicare_days_bp", "medicaid_days_bp", "other_days_bp"), days, strict=True))
    assert f"gov_heavy={letter}" in tiers([firm("1", "Hays", **values)])["1"]["predicates"]


def test_forty_five_thirty_twentyfive_is_neither_government_nor_commercial() -> None:
    days = {"medicare_days_bp": 2500, "medicaid_days_bp": 2000, "other_days_bp": 5500}
    row = tiers([firm("1", "Hays", **days)], [fact("1", "commercial_share", "30")])["1"]
    assert "commercial=F, gov_heavy=F" in row["predicates"]


def test_ratios_of_members_are_bounds_never_averages() -> None:
    low = {"medicare_days_bp": 3000, "medicaid_days_bp": 1000, "other_days_bp": 6000}
    high = {"medicare_days_bp": 5000, "medicaid_days_bp": 2000, "other_days_bp": 3000}
    pair = [{**row, **days} for row, days in zip(members(2), (low, high), strict=True)]
    row = tiers([system("900", "Prairie"), *pair])["900"]
    assert (row["gov_bp__lo"], row["gov_bp__hi"]) == (4000, 7000)
    assert (row["commercial_bp__lo"], row["commercial_bp__hi"]) == (0, 6000)


@pytest.mark.parametrize(
    ("states", "as_of", "expected"),
    [
        (("KS", "IA"), "2026-01-15", (5000, 5000)),
        (("KS", "XX"), "2026-01-15", (5000, 10000)),
        (("SC", "SC"), "2025-12-31", (0, 0)),
        (("SC", "SC"), "2026-01-01", (10000, 10000)),
    ],
)
def test_certificate_of_need_is_dated_and_counted_by_site(states: Any, as_of: str, expected: Any) -> None:
    pair = [{**row, "state": state} for row, state in zip(members(2), states, strict=True)]
    row = tiers([system("900", "Prairie"), *pair], as_of=as_of)["900"]
    assert (row["non_con_bp__lo"], row["non_con_bp__hi"]) == expected


@pytest.mark.parametrize(
    ("growth", "expected"),
    [("2", ("STRONG", "STRONG")), ("-6", ("WEAK", "MODERATE")), (None, ("MODERATE", "STRONG"))],
)
def test_a_line_with_fifteen_percent_of_revenue_is_strong_unless_it_shrinks(growth: str | None, expected: Any) -> None:
    # 100 at 20 % and 50 at 5 % make 22.5 of 150 = exactly 15 %.
    pair = [
        {**row, "oncology_share_bp": share, "net_patient_revenue_cents": revenue}
        for row, share, revenue in zip(members(2), (2000, 500), (100, 50), strict=True)
    ]
    facts = [] if growth is None else [fact("900", "oncology_growth", growth, category="oncology")]
    row = tiers([system("900", "Prairie"), *pair], facts)["900"]
    assert (row["oncology_strength__lo"], row["oncology_strength__hi"]) == expected


def test_the_order_of_firms_does_not_matter() -> None:
    firms = [system("900", "Prairie"), *members(6)]
    assert tiers(firms, strong()) == tiers(firms[::-1], strong()[::-1])


@pytest.mark.parametrize("revenue_usd", [1_000_000, 30_000_000, 4_000_000_000])
def test_the_revenue_share_outside_certificate_of_need_holds_for_hospitals_of_any_size(revenue_usd: int) -> None:
    """Kansas asks for no certificate, Iowa does: three quarters of the oncology revenue is in Kansas at any size."""
    big, small = members(2)
    pair = [
        {**big, "state": "KS", "net_patient_revenue_cents": revenue_usd * 300, "oncology_share_bp": 2000},
        {**small, "state": "IA", "net_patient_revenue_cents": revenue_usd * 100, "oncology_share_bp": 2000},
    ]
    row = tiers([system("900", "Prairie"), *pair], as_of="2026-01-15")["900"]
    assert (row["non_con_bp__lo"], row["non_con_bp__hi"]) == (7500, 7500)
