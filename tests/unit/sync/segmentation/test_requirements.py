"""What segmentation owes to the seed's requirements beyond the worked cases, by their ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from sync.hierarchy.stated import AFFILIATIONS
from sync.segmentation.handoff import handoff
from sync.segmentation.referrals import referrals
from sync.world import TEXT
from tests.fixtures.small_world import Row, firm, system
from tests.unit.sync.segmentation.conftest import MAPPINGS, Profiles, changed
from tests.unit.sync.segmentation.test_vectors import fact, hospitals

SEGMENTS = MAPPINGS.policies.segments
GROUP = {"firm_type": "Physician Group"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Skilled Nursing Facility", "SNF"),
        ("Long Term Acute Care Hospital", "LTACH"),
        ("Inpatient Rehabilitation Facility", "IRF"),
        ("Home Health Agency", "HOME_HEALTH"),
        ("Hospice", "HOSPICE"),
    ],
)
def test_R05_post_acute_care_has_its_subtype(profile_of: Profiles, words: str, expected: str) -> None:
    row = profile_of(firms=[firm("1", "One", firm_type=words)])["1"]
    assert (row["org_type"], row["own_subtype"]) == ("POST_ACUTE", expected)


def test_R05_a_joint_venture_is_backed_and_attached_and_its_motion_follows_the_backing(profile_of: Profiles) -> None:
    said = [fact("1", "pe_backed", "true"), fact("1", "affiliation", "HOSPITAL_AFFILIATED")]
    found = profile_of(firms=[firm("1", "Joint", **GROUP), firm("2", "Free", zip5="67602", **GROUP)], facts=said)
    assert (found["1"]["affiliations"], found["1"]["affiliation"]) == ("PE_BACKED,HOSPITAL_AFFILIATED", "PE_BACKED")
    assert found["1"]["motion"] == "STANDARDIZATION"
    assert found["2"]["affiliations"] == "INDEPENDENT"


def titles(firm_id: str, *words: str) -> list[Row]:
    return [
        {"feed": "crm_contacts", "record_id": firm_id, "person": f"p{i}", "title": word, "last_touch_on": "2026-01-01"}
        for i, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("kind", "present", "missing"),
    [
        ("Health Plan", ["Chief Technology Officer"], "CIO,ACTUARIAL"),
        ("Pharmacy Benefit Manager", ["Chief Information Officer"], "VP_ANALYTICS"),
        ("Life Sciences", ["VP Regulatory Affairs"], "RND_IT"),
        ("Public Health Department", ["Informatician", "CTO"], ""),
        ("Physician Group", ["Practice Manager"], "MEDICAL_DIRECTOR"),
    ],
)
def test_R07_every_kind_of_market_has_its_own_committee(
    profile_of: Profiles, kind: str, present: list[str], missing: str
) -> None:
    one = firm("1", "One", firm_type=kind, providers=100)
    row = profile_of(firms=[one], contacts=titles("1", *present))["1"]
    assert row["committee_missing"] == missing


def test_R07_a_payer_outside_its_range_of_members_is_no_target(profile_of: Profiles) -> None:
    small, open_ = firm("1", "Small", firm_type="Health Plan"), firm("2", "Open", firm_type="Health Plan", zip5="67602")
    found = profile_of(firms=[small, open_], facts=[fact("1", "covered_lives", "99999")])
    assert (found["1"]["icp_profile"], found["2"]["icp_profile"]) == (None, "payer")
    assert found["2"]["icp_open"] == "covered_lives"


def test_R12_the_largest_line_gives_the_margin_class(profile_of: Profiles) -> None:
    base = {"net_patient_revenue_cents": 10**10, "oncology_share_bp": 1000}
    firms = [
        firm("1", "High", cardiology_share_bp=2000, **base),
        firm("2", "Volume", zip5="67602", primary_care_share_bp=3000, **base),
        firm("3", "Open", zip5="67603"),
    ]
    found = profile_of(firms=firms)
    assert [found[i]["line_margin"] for i in "123"] == ["HIGH", "VOLUME", None]


def test_R14_two_hospitals_of_200_beds_differ_by_the_lines_the_product_is_sold_into(profile_of: Profiles) -> None:
    both = changed(segments={"products": {"infusion_pumps": ("ONCOLOGY", "ORTHOPEDICS")}})
    base = {"staffed_beds": 200, "net_patient_revenue_cents": 10**10, "oncology_share_bp": 100}
    firms = [
        firm("1", "Bones", orthopedics_share_bp=2500, **base),
        firm("2", "Family", zip5="67602", orthopedics_share_bp=100, primary_care_share_bp=3000, **base),
        firm("3", "Half known", zip5="67603", **base),
    ]
    growth = [fact(i, f"{line}_growth", "2") for i in "123" for line in ("oncology", "orthopedics")]
    found = profile_of(firms=firms, facts=growth, mappings=both)
    assert [found[i]["product_strength"] for i in "123"] == ["STRONG", "WEAK", None]
    assert found["1"]["score_tenths"] > found["2"]["score_tenths"]


def test_R26_the_position_of_the_product_turns_the_payer_term_round(profile_of: Profiles) -> None:
    mix = {"medicare_share": "50", "medicaid_share": "20", "commercial_share": "30"}
    given: Any = {"firms": [firm("1", "One")], "facts": [fact("1", name, value) for name, value in mix.items()]}
    premium = profile_of(**given)["1"]
    contained = profile_of(**given, mappings=changed(segments={"product_position": "COST_CONTAINMENT"}))["1"]
    assert premium["payer_class"] == "GOV_HEAVY"
    # payer weighs 30 of 100 in a dimension of 40: 80 points more of it are 9.6 of the score
    assert contained["score_tenths"] - premium["score_tenths"] == 96


def test_R38_a_share_of_referrals_is_shown_from_eleven_referring_organisations_on() -> None:
    engine = PolarsEngine()
    to = [("A", 30), ("B", 11), ("C", 10), ("D", 9)]
    rows = [
        {"account_id": f"{name}-{i}", "with_account_id": name, "kind": "REFERS_TO", "source_ref": "r"}
        for name, count in to
        for i in range(count)
    ]
    rows.append({"account_id": "A-0", "with_account_id": "A2", "kind": "REFERS_TO", "source_ref": "r"})
    rows.append({"account_id": "Z", "with_account_id": "B", "kind": "GPO_MEMBER", "source_ref": "r"})
    pairs = [(name, name) for name, _ in to] + [("A2", "A")]
    holders = engine.table(
        [{"account_id": a, "holder_account_id": h} for a, h in pairs],
        dict.fromkeys(("account_id", "holder_account_id"), TEXT),
    )
    made = referrals(engine.table(rows, AFFILIATIONS), holders, SEGMENTS.referral_min_cell, engine)
    found = {row["account_id"]: (row["referrers"], row["referral_bp"]) for row in engine.rows(made)}
    # A-0 refers to two sites of A and counts once; of 60 referring organisations 30 are a half
    assert found == {"A": (30, 5000), "B": (11, 1833)}


def test_R41_a_gate_that_is_known_to_be_shut_keeps_out_and_an_open_one_is_listed(profile_of: Profiles) -> None:
    firms = [
        *(firm(str(i), f"H{i}", zip5=f"6760{i}", staffed_beds=200, idn_id="900", idn_name="P") for i in range(1, 5)),
        firm("900", "P", firm_type="IDN", zip5=None, idn_id="900", idn_name="P"),
    ]
    ready = {
        "funds_allocated": "true",
        "procurement_path": "true",
        "committee_formed": "true",
        "it_budget_usd": "3000000",
    }
    said = [fact("900", name, value) for name, value in ready.items()]
    row = profile_of(firms=firms, facts=said)["900"]
    assert (row["icp_profile"], row["icp_open"]) == ("mid_market_idn", "compliance_ready")
    shut = profile_of(firms=firms, facts=[*said, fact("900", "compliance_ready", "false")])["900"]
    assert shut["icp_profile"] != "mid_market_idn"


def signal(firm_id: str, kind: str, day: str, *, topic: str | None = None, strength: int | None = None) -> Row:
    return {
        "feed": "sixsense", "firm_id": firm_id, "kind": kind, "occurred_on": day, "person": f"{kind}{day}",
        "topic": topic, "strength": strength, "file": "f.csv", "row": 2,
    }  # fmt: skip


def test_R73_demo_and_form_lead_to_sales_a_download_to_nurture(profile_of: Profiles) -> None:
    firms = [firm(i, f"Site {i}", zip5=f"6760{i}") for i in "123"]
    signals = [
        signal("1", "demo_view", "2026-01-10"),
        signal("1", "form_fill", "2026-01-12"),
        signal("2", "content", "2026-01-12"),
        signal("3", "content", "2025-11-12"),
    ]
    found = profile_of(firms=firms, signals=signals)
    assert [found[i]["intent_path"] for i in "123"] == ["SALES", "NURTURE", None]


def test_R74_the_topics_of_late_are_kept_strongest_first(profile_of: Profiles) -> None:
    asked = [("Pumps", 60), ("Oncology", 90), ("Pumps", 95), ("Beds", 10), ("Nurses", 70)]
    signals = [
        signal("1", "intent", f"2026-01-0{n}", topic=topic, strength=strength)
        for n, (topic, strength) in enumerate(asked, 1)
    ]
    old = signal("1", "intent", "2025-06-01", topic="Long ago", strength=99)
    row = profile_of(firms=[firm("1", "One")], signals=[*signals, old])["1"]
    assert row["topics"] == "Pumps, Oncology, Nurses"


def test_R74_the_hand_off_says_stage_topics_and_why(profile_of: Profiles) -> None:
    asked = signal("1", "intent", "2026-01-05", topic="Pumps", strength=80)
    firms = [firm("1", "One", staffed_beds=300)]
    row = profile_of(
        firms=firms, signals=[asked, signal("1", "demo_view", "2026-01-10"), signal("1", "form_fill", "2026-01-11")]
    )["1"]
    assert handoff(row, SEGMENTS) == (
        "stage awareness; ready for sales; engaged with Pumps; in community-hospitals because "
        "org_type is INDEPENDENT_HOSPITAL or CAH or CAH_LIKELY; talk about small teams"
    )
    assert handoff(dict.fromkeys(row), SEGMENTS) == ""


@pytest.mark.parametrize(("count", "expected"), [(2, "COMMUNITY_SYSTEM"), (5, "COMMUNITY_SYSTEM"), (6, "IDN")])
def test_R03_two_to_five_hospitals_that_do_not_buy_centrally_are_a_community_system(
    profile_of: Profiles, count: int, expected: str
) -> None:
    under = {"idn_id": "900", "idn_name": "P", "idn_parent_id": "900", "idn_parent_name": "P"}
    firms = [firm(str(i), f"H{i}", zip5=f"6760{i}", **under) for i in range(1, count + 1)]
    found = profile_of(firms=firms, facts=[fact("900", "procurement_centralized", "false")])
    assert {found[str(i)]["org_type"] for i in range(1, count + 1)} <= {expected, None}
    firms.append(firm("900", "P", firm_type="IDN", zip5=None, **under))
    assert (
        profile_of(firms=firms, facts=[fact("900", "procurement_centralized", "false")])["900"]["org_type"] == expected
    )


def test_R25_capitation_and_care_organisations_ask_for_the_total_cost_of_care_while_in_force(
    profile_of: Profiles,
) -> None:
    firms = [firm("1", "Capitated"), firm("2", "In one", zip5="67602", aco="Care"), firm("3", "Plain", zip5="67603")]
    year = [fact("1", "capitated", "true", valid_from="2025-01-01", valid_to="2026-01-01")]
    during = profile_of(firms=firms, facts=year, as_of="2025-12-31")
    after = profile_of(firms=firms, facts=year, as_of="2026-01-01")
    assert [during[i]["roi_frame"] for i in "123"] == ["TOTAL_COST_OF_CARE", "TOTAL_COST_OF_CARE", None]
    assert after["1"]["roi_frame"] is None


@pytest.mark.parametrize(
    ("able", "expected"),
    [("rapid deployment; capital plan", None), ("open APIs", "3"), ("unknown", None), ("minimal", "1")],
)
def test_R09_a_word_within_a_word_is_no_evidence(profile_of: Profiles, able: str, expected: str | None) -> None:
    by_feed = profile_of(firms=[firm("1", "One", ehr_vendor="Epic", it_capabilities=able)])["1"]
    stated = profile_of(firms=[firm("1", "One")], facts=[fact("1", "it_capability", able)])["1"]
    assert (by_feed["it_maturity"], stated["it_maturity"]) == (expected, expected)


def test_R02_a_hospital_whose_state_is_not_known_leaves_open_whether_a_system_spans_states(
    profile_of: Profiles,
) -> None:
    central = [fact("900", "procurement_centralized", "true"), fact("900", "providers", "10")]
    two = hospitals(2)
    known = profile_of(firms=[system("900", "Prairie"), *two], facts=central)["900"]
    open_ = profile_of(firms=[system("900", "Prairie"), two[0], {**two[1], "state": None}], facts=central)["900"]
    assert (known["org_type"], open_["org_type"]) == ("COMMUNITY_SYSTEM", None)


def test_R73_downloads_are_nurtured_however_many_there_are(profile_of: Profiles) -> None:
    read = [{**signal("1", "content", f"2026-01-1{day}"), "person": f"p{day}"} for day in range(4)]
    row = profile_of(firms=[firm("1", "One")], signals=read)["1"]
    assert (row["high_intent"], row["intent_path"]) == (False, "NURTURE")


@pytest.mark.parametrize(
    ("flags", "expected"), [((True, None), "true"), ((False, False), "false"), ((False, None), None), ((None,), None)]
)
def test_R31_a_champion_that_nobody_was_asked_about_is_unknown(
    profile_of: Profiles, flags: tuple[bool | None, ...], expected: str | None
) -> None:
    people = [
        {
            "feed": "crm_contacts",
            "record_id": "1",
            "person": f"p{i}",
            "is_champion": flag,
            "last_touch_on": "2026-01-01",
        }
        for i, flag in enumerate(flags)
    ]
    row = profile_of(firms=[firm("1", "One")], contacts=people)["1"]
    assert json.loads(row["features"]).get("champion") == expected


@pytest.mark.parametrize(
    ("own", "members", "expected"),
    [
        (None, (60, 50), "IDN"),  # their sum reaches the hundred
        (None, (60, None), None),  # the other one may have forty
        (None, (30, 20), "COMMUNITY_SYSTEM"),
        (80, (60, 50), "COMMUNITY_SYSTEM"),  # the system's own row speaks of all of them, each once
        (None, (120, None), "IDN"),
    ],
)
def test_R02_professionals_of_whom_a_part_is_unknown_settle_only_what_their_least_settles(
    profile_of: Profiles, own: int | None, members: tuple[int | None, int | None], expected: str | None
) -> None:
    two = [{**row, "providers": n} for row, n in zip(hospitals(2), members, strict=True)]
    central = [fact("900", "procurement_centralized", "true")]
    row = profile_of(firms=[system("900", "Prairie", providers=own), *two], facts=central)["900"]
    assert row["org_type"] == expected
