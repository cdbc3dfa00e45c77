"""The worked cases of segmentation by their ids, on small worlds and the shipped policies."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.insight_policy import Contract, Market, Purchasing
from sync.segmentation import motions
from tests.fixtures.small_world import Row, firm, system
from tests.unit.sync.segmentation.conftest import MAPPINGS, Profiles, changed

SEGMENTS = MAPPINGS.policies.segments
IN_PRAIRIE = {"idn_id": "900", "idn_name": "Prairie", "idn_parent_id": "900", "idn_parent_name": "Prairie"}


def fact(firm_id: str, name: str, value: str, **values: Any) -> Row:
    return {"feed": "facts", "firm_id": firm_id, "fact": name, "value": value, "file": "f.csv", "row": 2, **values}


def hospitals(count: int, **values: Any) -> list[Row]:
    return [firm(str(i), f"Hospital {i}", zip5=f"6760{i}", **{**IN_PRAIRIE, **values}) for i in range(1, count + 1)]


def classify_with(**cah: Any) -> dict[str, Any]:
    shipped = MAPPINGS.policies.tiers.classify
    return {"classify": {**shipped, "cah": {**shipped["cah"], **cah}}}


@pytest.mark.parametrize(
    ("operator", "expected"), [("lte", "CAH_LIKELY"), ("lt", "INDEPENDENT_HOSPITAL")], ids=["at most", "under"]
)
def test_T11_25_rural_beds_are_likely_critical_access_unless_the_limit_is_left_out(
    profile_of: Profiles, operator: str, expected: str
) -> None:
    policy = changed(tiers=classify_with(max_beds_operator=operator))
    row = profile_of(firms=[firm("1", "Rural", staffed_beds=25, is_rural=True)], mappings=policy)["1"]
    assert row["org_type"] == expected


@pytest.mark.parametrize(
    ("prefer", "ccn", "flag", "expected"),
    [
        (["ccn_block", "feed_flag"], "451300", False, "CAH"),
        (["ccn_block", "feed_flag"], "450001", True, "CAH"),
        (["feed_flag"], "451300", False, "INDEPENDENT_HOSPITAL"),
        (["ccn_block"], "450001", True, "INDEPENDENT_HOSPITAL"),
        (["ccn_block"], None, True, "CAH_LIKELY"),
    ],
)
def test_R04_only_the_certificates_that_the_policy_names_count(
    profile_of: Profiles, prefer: list[str], ccn: str | None, flag: bool, expected: str
) -> None:
    rural = firm("1", "One", state="TX", ccn=ccn, is_critical_access=flag, staffed_beds=20, is_rural=True)
    row = profile_of(firms=[rural], mappings=changed(tiers=classify_with(prefer=prefer)))["1"]
    assert row["org_type"] == expected


def test_T12_24_urban_beds_are_no_critical_access_hospital(profile_of: Profiles) -> None:
    row = profile_of(firms=[firm("1", "Urban", staffed_beds=24, is_rural=False)])["1"]
    assert row["org_type"] == "INDEPENDENT_HOSPITAL"


def test_R04_the_certificate_comes_before_the_flag_and_the_flag_before_the_beds(profile_of: Profiles) -> None:
    found = profile_of(
        firms=[
            firm("1", "By number", ccn="171301", staffed_beds=300, is_critical_access=False, is_rural=False),
            firm("2", "By flag", zip5="67602", is_critical_access=True, staffed_beds=90, is_rural=False),
            firm("3", "By neither", zip5="67603", staffed_beds=25),
        ]
    )
    assert [found[i]["org_type"] for i in "123"] == ["CAH", "CAH", None]


@pytest.mark.parametrize(
    ("medicare", "medicaid", "expected"),
    [("38.0", "22.0", "MIXED"), ("38.1", "22.0", "GOV_HEAVY")],
    ids=["60.0", "60.1"],
)
def test_T13_R23_sixty_percent_is_not_yet_government_heavy(
    profile_of: Profiles, medicare: str, medicaid: str, expected: str
) -> None:
    other = str(100 - float(medicare) - float(medicaid) - 30)
    mix = {"medicare_share": medicare, "medicaid_share": medicaid, "commercial_share": "30", "other_share": other}
    row = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, v) for n, v in mix.items()])["1"]
    assert row["payer_class"] == expected


def test_T14_45_30_25_is_neither(profile_of: Profiles) -> None:
    mix = {"medicare_share": "25", "medicaid_share": "20", "commercial_share": "30", "other_share": "25"}
    row = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, v) for n, v in mix.items()])["1"]
    assert row["payer_class"] == "MIXED"


@pytest.mark.parametrize(("counts_as", "expected"), [("medicare", "GOV_HEAVY"), ("commercial", "MIXED")])
def test_T15_medicare_advantage_decides_the_class(profile_of: Profiles, counts_as: str, expected: str) -> None:
    # 35 + 12 + 20 = 67 is government-heavy; without the 12 it is 55, and commercial is 33 + 12 = 45
    mix = {"medicare_share": "35", "medicare_advantage_share": "12", "medicaid_share": "20", "commercial_share": "33"}
    policy = changed(tiers={"assumptions": {**MAPPINGS.policies.tiers.assumptions, "ma_counts_as": counts_as}})
    row = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, v) for n, v in mix.items()], mappings=policy)["1"]
    assert row["payer_class"] == expected


@pytest.mark.parametrize(
    ("other", "expected"), [(5500, (None, "U")), (4500, ("MIXED", "F"))], ids=["bound 55", "bound 45"]
)
def test_T54_one_column_for_all_private_payers_only_bounds_the_commercial_share(
    profile_of: Profiles, other: int, expected: tuple[str | None, str]
) -> None:
    # the 45 of the second case make a whole with 35 and 20
    days = {"medicare_days_bp": 2500 if other == 5500 else 3500, "medicaid_days_bp": 2000, "other_days_bp": other}
    row = profile_of(firms=[firm("1", "One", **days)])["1"]
    assert row["payer_class"] == expected[0]
    assert row["payer_note"] == "basis: days in the feed, not revenue"


def test_R24_shares_that_make_no_whole_are_unknown(profile_of: Profiles) -> None:
    mix = {"medicare_share": "50", "medicaid_share": "30", "commercial_share": "30"}
    row = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, v) for n, v in mix.items()])["1"]
    assert row["payer_class"] is None
    assert "11000 of 10000" in row["payer_note"]


def test_a_system_weighs_its_payer_mix_by_revenue(profile_of: Profiles) -> None:
    # 80 % of 300 and 20 % of 100 make 260 of 400 = 65 %: the plain mean of 50 % would be no government-heavy system
    heavy = {
        "medicare_days_bp": 6000,
        "medicaid_days_bp": 2000,
        "other_days_bp": 2000,
        "net_patient_revenue_cents": 300,
    }
    light = {
        "medicare_days_bp": 1000,
        "medicaid_days_bp": 1000,
        "other_days_bp": 8000,
        "net_patient_revenue_cents": 100,
    }
    pair = [{**row, **mix} for row, mix in zip(hospitals(2), (heavy, light), strict=True)]
    assert profile_of(firms=[system("900", "Prairie"), *pair])["900"]["payer_class"] == "GOV_HEAVY"


def premier(awarded_to: str, since: str = "2027-03-01") -> dict[str, Any]:
    contract = Contract(gpo="Premier", category="infusion_pumps", awarded_to=awarded_to, valid_from=since)
    return {"purchasing": Purchasing(contracts=(contract,))}


@pytest.mark.parametrize(
    ("as_of", "expected"), [("2027-02-28", (False, "NEW_BUSINESS")), ("2027-03-01", (True, "CONTRACT_ACTIVATION"))]
)
def test_T29_the_motion_flips_on_the_first_day_of_the_contract(
    profile_of: Profiles, as_of: str, expected: tuple[bool, str]
) -> None:
    policy = changed(segments=premier("US"))
    row = profile_of(firms=[firm("1", "One", gpo="Premier; Other")], mappings=policy, as_of=as_of)["1"]
    assert (row["gpo_covered"], row["motion"]) == expected


def test_T30_a_competitors_sole_source_contract_asks_for_displacement(profile_of: Profiles) -> None:
    policy = changed(segments=premier("COMPETITOR", "2020-01-01"))
    row = profile_of(firms=[firm("1", "One", gpo="Premier")], mappings=policy)["1"]
    assert (row["gpo_covered"], row["awarded_to"], row["motion"]) == (True, "COMPETITOR", "DISPLACEMENT")
    assert row["band"] == "GATED"


def test_R17_membership_is_not_coverage_and_nothing_known_is_not_uncovered(profile_of: Profiles) -> None:
    policy = changed(segments=premier("US", "2020-01-01"))
    found = profile_of(
        firms=[firm("1", "Other group", gpo="Vizient"), firm("2", "No word", zip5="67602")], mappings=policy
    )
    assert [found[i]["gpo_covered"] for i in "12"] == [False, None]
    assert [found[i]["motion"] for i in "12"] == ["NEW_BUSINESS", None]


def test_R18_an_old_name_of_the_group_counts_once_it_was_taken_over(profile_of: Profiles) -> None:
    contract = Contract(gpo="Vizient", category="infusion_pumps", awarded_to="US", valid_from="2010-01-01")
    policy = changed(segments={"purchasing": SEGMENTS.purchasing.model_copy(update={"contracts": (contract,)})})
    late, early = (
        profile_of(firms=[firm("1", "One", gpo="Novation")], mappings=policy, as_of=d)["1"]
        for d in ("2016-01-01", "2014-12-31")
    )
    assert (late["gpo_covered"], early["gpo_covered"]) == (True, False)


def test_R20_a_backed_group_is_sold_a_platform_whatever_its_contract(profile_of: Profiles) -> None:
    facts = [fact("1", "pe_backed", "true"), fact("1", "gpo_contract", "none", category="infusion_pumps")]
    row = profile_of(firms=[firm("1", "Group", firm_type="Physician Group")], facts=facts)["1"]
    assert (row["affiliation"], row["motion"]) == ("PE_BACKED", "STANDARDIZATION")


@pytest.mark.parametrize(
    ("people", "expected"), [(100, "IDN"), (99, "COMMUNITY_SYSTEM"), (None, None)], ids=["enough", "too few", "unknown"]
)
def test_R02_the_key_network_profile_asks_for_professionals(
    profile_of: Profiles, people: int | None, expected: str | None
) -> None:
    policy = changed(segments={"idn_profile": "key_network"})
    firms = [system("900", "Prairie", providers=people), *hospitals(2)]
    assert profile_of(firms=firms, mappings=policy)["900"]["org_type"] == expected


@pytest.mark.parametrize(
    ("revenue", "employees", "expected"),
    [
        (5_000_000_000, 20_000, ("MID", True)),
        (5_000_000_001, 20_000, ("ENTERPRISE", False)),
        (500_000_000, 1_000, ("MID", False)),
        (499_999_999, 900, ("SMB", False)),
    ],
)
def test_R08_revenue_decides_the_size_and_employees_check_it(
    profile_of: Profiles, revenue: int, employees: int, expected: tuple[str, bool]
) -> None:
    facts = [fact("1", "revenue_usd", str(revenue)), fact("1", "employees", str(employees))]
    row = profile_of(firms=[firm("1", "One")], facts=facts)["1"]
    assert (row["size_tier"], row["size_disagrees"]) == expected


@pytest.mark.parametrize(
    ("able", "expected"), [("FHIR API", "3"), ("HL7v2", "2"), ("paper", "1"), (None, None)], ids=str
)
def test_R09_no_evidence_of_it_is_unknown_not_the_lowest(
    profile_of: Profiles, able: str | None, expected: str | None
) -> None:
    row = profile_of(firms=[firm("1", "One", ehr_vendor="Epic", it_capabilities=able)])["1"]
    assert row["it_maturity"] == expected


def test_R10_a_province_has_its_privacy_act_and_no_certificate_of_need(profile_of: Profiles) -> None:
    row = profile_of(firms=[firm("1", "Toronto General", state="ON", zip5=None)])["1"]
    assert (row["region"], row["canada_law"], row["site_con"], row["reg_env"]) == ("CANADA", "PHIPA", "N/A", "N/A")


def test_R11_a_system_has_the_record_system_of_most_beds_and_is_mixed_below_80_percent(profile_of: Profiles) -> None:
    beds = [("Epic Systems", 70), ("Cerner", 30)]
    pair = [{**row, "ehr_vendor": v, "staffed_beds": b} for row, (v, b) in zip(hospitals(2), beds, strict=True)]
    row = profile_of(firms=[system("900", "Prairie"), *pair])["900"]
    assert (row["ehr_vendor"], row["ehr_top_share_bp"], row["ehr_mixed"]) == ("EPIC", 7000, True)


def test_R13_volume_among_twenty_peers_makes_a_line_strong(profile_of: Profiles) -> None:
    firms = [firm(str(i), f"Hospital {i}", zip5=f"{67600 + i}", ccn=f"17{i:04}") for i in range(1, 21)]
    facts = [fact(str(i), "oncology_volume", str(i * 10), category="oncology") for i in range(1, 21)]
    grown = [fact(str(i), "oncology_growth", "1", category="oncology") for i in range(1, 21)]
    found = profile_of(firms=firms, facts=[*facts, *grown])
    assert found["20"]["oncology_strength"] == "STRONG"
    assert found["15"]["oncology_strength"] == "STRONG"  # 15 of 20 at or below: the 75th percentile
    few = profile_of(firms=firms[:19], facts=[*facts[:19], *grown[:19]])
    assert few["19"]["oncology_strength"] is None  # nineteen are no peer group


def test_R15_the_three_largest_lines_are_ranked(profile_of: Profiles) -> None:
    shares = {"cardiology_share_bp": 3000, "oncology_share_bp": 1000, "orthopedics_share_bp": 3000}
    row = profile_of(firms=[firm("1", "One", net_patient_revenue_cents=100, **shares)])["1"]
    assert [row[f"line_{place}"] for place in (1, 2, 3)] == ["CARDIOLOGY", "ORTHOPEDICS", "ONCOLOGY"]


def test_T43_a_deal_size_between_or_on_the_limits_is_mixed() -> None:
    assert [motions.focus(usd, SEGMENTS) for usd in (75_000, 100_000, 50_000)] == ["MIXED"] * 3
    assert [motions.focus(usd, SEGMENTS) for usd in (100_001, 49_999)] == ["LARGE", "SMALL"]


@pytest.mark.parametrize(
    ("size", "win", "complexity", "expected"),
    [
        (8_000_000_000, 2500, "Medium", "HIGH"),
        (7_999_999_999, 2500, "Medium", "MEDIUM"),
        (9_000_000_000, 3000, "High", "MEDIUM"),
        (2_000_000_000, 3000, "Low", "LOW"),
        (9_000_000_000, 999, "Low", "LOW"),
        (9_000_000_000, 3000, "Very High", "LOW"),
    ],
)
def test_R39_the_prioritisation_matrix_cuts_where_the_policy_says(
    size: int, win: int, complexity: Any, expected: str
) -> None:
    market = Market(name="a market", size_usd=size, win_rate_bp=win, complexity=complexity)
    assert motions.priority(market, SEGMENTS.priorities) == expected


def test_R37_share_and_headroom_place_an_account_in_the_matrix(profile_of: Profiles) -> None:
    fixed = SEGMENTS.quadrants.model_copy(update={"cut": "fixed", "share_bp": 2500, "headroom_usd": 100_000})
    policy = changed(segments={"quadrants": fixed})
    # of a potential of 200,000 the first has bought 120,000 and the second nothing
    firms = [firm(i, f"H{i}", zip5=f"6760{i}", ccn=f"17000{i}") for i in "12"]
    won = {"connection": "salesforce", "opportunity_id": "006", "record_id": "1", "amount_cents": 12_000_000,
           "is_closed": True, "is_won": True, "close_date": "2025-06-01"}  # fmt: skip
    found = profile_of(firms=firms, opportunities=[won], mappings=policy)
    assert [found[i]["quadrant"] for i in "12"] == ["MAINTAIN_MONITOR", "GROWTH"]
    assert [found[i]["history"] for i in "12"] == ["CUSTOMER", "NONE"]


def test_R41_each_profile_has_its_own_budget_gate(profile_of: Profiles) -> None:
    firms = [system("900", "Prairie"), *hospitals(7, staffed_beds=100)]
    inside, outside = (
        profile_of(firms=firms, facts=[fact("900", "it_budget_usd", usd)])["900"] for usd in ("5000000", "11000000")
    )
    assert (inside["icp_profile"], outside["icp_profile"]) == ("mid_market_idn", None)


def test_R72_a_record_in_many_segments_has_one_primary_and_its_members_inherit_it(profile_of: Profiles) -> None:
    firms = [system("900", "Prairie"), *hospitals(11)]
    found = profile_of(firms=firms)
    assert found["900"]["segment"] == "strategic-systems"
    assert found["900"]["other_segments"] == "regional-systems@1"
    assert found["3"]["segment"] == "strategic-systems"


def test_R66_a_cohort_is_never_the_primary_segment(profile_of: Profiles) -> None:
    policy = changed(segments=premier("US", "2020-01-01"))
    row = profile_of(firms=[firm("1", "One", firm_type="Laboratory", gpo="Premier")], mappings=policy)["1"]
    assert (row["segment"], row["cohorts"]) == (None, "contract-activation@1")


def test_R42_a_lighthouse_needs_brand_outcome_and_consent(profile_of: Profiles) -> None:
    names = ("lighthouse_brand", "lighthouse_outcome", "lighthouse_reference")
    every = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, "true") for n in names])["1"]
    two = profile_of(firms=[firm("1", "One")], facts=[fact("1", n, "true") for n in names[:2]])["1"]
    assert (every["is_lighthouse"], two["is_lighthouse"]) == (True, False)


def test_R07_the_committee_lacks_the_roles_that_no_title_fills(profile_of: Profiles) -> None:
    people = [
        {"feed": "crm_contacts", "record_id": "1", "person": p, "title": t, "last_touch_on": "2025-12-01"}
        for p, t in (("a", "Chief Executive Officer"), ("b", "IT Director"))
    ]
    row = profile_of(firms=[firm("1", "One", ccn="170001")], contacts=people)["1"]
    assert row["segment"] == "community-hospitals"
    assert row["committee_missing"] == "CFO"


def test_R27_a_system_over_states_has_the_share_of_its_sites_and_a_site_its_own_law(profile_of: Profiles) -> None:
    # on 2022-12-01 Kansas had not expanded and Missouri had; Kansas had full practice, Missouri restricted
    firms = [
        firm("1", "West", **IN_PRAIRIE),
        firm("2", "East", state="MO", zip5="63101", **IN_PRAIRIE),
        firm("3", "Clinic", state="MO", zip5="63102", firm_type="Physician Group"),
        system("900", "Prairie"),
    ]
    found = profile_of(firms=firms, as_of="2022-12-01")
    assert (found["900"]["expansion_bp"], found["900"]["full_practice_bp"]) == (5000, 5000)
    assert (found["1"]["site_expansion"], found["1"]["site_practice"]) == ("not_adopted", "full")
    assert (found["3"]["expansion_bp"], found["3"]["full_practice_bp"]) == (10000, 0)
    assert profile_of(firms=firms, as_of="2019-06-01")["900"]["full_practice_bp"] is None
