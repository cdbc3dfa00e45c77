"""Who decides, by the worked cases: records, levels, expiry, limits and what holds without a record."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.authority.decide import questions
from sync.authority.records import RECORDS
from sync.authority.resolve import ANSWERS, NEEDS, answers, defaults_to_system, recorded
from sync.reconcile import find_out
from sync.world import TEXT
from tests.fixtures.small_world import AS_OF, Row, authority_fact, edge_fact, firm, system, world

MAPPINGS = load()
POLICY = MAPPINGS.policies.authority
ENGINE = PolarsEngine()
TREE = {"account_id": TEXT, "parent_account_id": TEXT, "system_account_id": TEXT}
SYSTEM = [
    {"account_id": "S", "parent_account_id": None, "system_account_id": "S"},
    {"account_id": "D", "parent_account_id": "S", "system_account_id": "S"},
    {"account_id": "H1", "parent_account_id": "D", "system_account_id": "S"},
    {"account_id": "H2", "parent_account_id": "D", "system_account_id": "S"},
]


def record(org: str, level: str, **values: Any) -> Row:
    said = {"function": "ALL", "service_line": "ALL", "category": "ALL", "trust": 0, "confidence_bp": 10000}
    base = {"org": org, "level": level, "delegates": level != "SITE", "ref": f"{org}:{level}", "in_force": True}
    return {**said, **base, "is_expired": False, "valid_from": "2025-01-01", **values}


def decide(records: list[Row], account: str, **need: Any) -> Row | None:
    asked = {"need": 0, "function": "BUDGET", "service_line": "ONCOLOGY", "category": "pumps", **need}
    tables = ENGINE.table(records, RECORDS), ENGINE.table(SYSTEM, TREE), ENGINE.table([asked], NEEDS)
    rows = {row["account_id"]: row for row in ENGINE.rows(recorded(*tables, ENGINE))}
    return rows.get(account)


def holder(records: list[Row], account: str, **need: Any) -> tuple[Any, Any]:
    row = decide(records, account, **need)
    assert row is not None
    return row["holder_account_id"], row["basis"]


T24 = [
    record("S", "SYSTEM", service_line="ONCOLOGY"),
    record("H1", "SITE", service_line="CARDIOLOGY"),
]


def test_T24_a_site_decides_for_its_own_line_and_the_system_for_the_other() -> None:
    assert holder(T24, "H1", service_line="CARDIOLOGY") == ("H1", "EXPLICIT")
    assert holder(T24, "H1", service_line="ONCOLOGY") == ("S", "DELEGATED")
    assert decide(T24, "H2", service_line="CARDIOLOGY") is None


def test_T25_an_expired_record_is_not_used_but_shown() -> None:
    over = {"in_force": False, "is_expired": True, "valid_to": "2026-01-14"}
    row = decide([record("H1", "SITE", service_line="CARDIOLOGY", **over)], "H1", service_line="CARDIOLOGY")
    assert row is not None
    assert (row["basis"], row["holder_account_id"]) == (None, None)
    assert (row["expired_ref"], row["expired_on"]) == ("H1:SITE", "2026-01-14")


def test_R16_the_more_specific_record_beats_the_nearer_one() -> None:
    near, specific = record("H1", "SITE"), record("S", "SYSTEM", service_line="ONCOLOGY", function="BUDGET")
    assert holder([near, specific], "H1") == ("S", "DELEGATED")
    assert holder([near, specific], "H1", service_line="CARDIOLOGY") == ("H1", "EXPLICIT")


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ({}, {"function": "BUDGET"}),
        ({"function": "BUDGET"}, {"service_line": "ONCOLOGY"}),
        ({"service_line": "ONCOLOGY"}, {"service_line": "ONCOLOGY", "function": "BUDGET"}),
        (
            {"service_line": "ONCOLOGY", "function": "BUDGET"},
            {"service_line": "ONCOLOGY", "function": "BUDGET", "category": "pumps"},
        ),
    ],
)
def test_R16_specificity_in_order(weaker: dict[str, str], stronger: dict[str, str]) -> None:
    both = [record("H1", "SITE", **weaker), record("H1", "SYSTEM", **stronger)]
    assert holder(both, "H1") == ("S", "EXPLICIT")


def test_R16_at_equal_specificity_the_nearer_then_the_better_source_then_the_newer_counts() -> None:
    assert holder([record("S", "SYSTEM"), record("D", "REGION")], "H1") == ("D", "DELEGATED")
    steward, rep = record("H1", "SITE", trust=0), record("H1", "SYSTEM", trust=1, ref="rep")
    assert holder([rep, steward], "H1")[0] == "H1"
    old, new = record("H1", "SITE"), record("H1", "SYSTEM", valid_from="2025-06-01")
    assert holder([old, new], "H1")[0] == "S"


def test_R16_a_sites_record_does_not_reach_below_unless_it_says_so() -> None:
    assert decide([record("D", "SITE")], "H1") is None
    assert holder([record("D", "SITE", delegates=True)], "H1") == ("H1", "DELEGATED")


def test_R16_a_record_for_another_category_does_not_count() -> None:
    assert decide([record("H1", "SITE", category="beds")], "H1") is None


@pytest.mark.parametrize(("amount", "expected"), [(10_000, "H1"), (10_001, "S"), (None, "H1")])
def test_R16_above_its_spend_limit_the_system_decides(amount: int | None, expected: str) -> None:
    limited = record("H1", "SITE", spend_limit_cents=10_000)
    assert holder([limited], "H1", amount_cents=amount)[0] == expected


@pytest.mark.parametrize(
    ("archetype", "function", "expected"),
    [
        ("IDN", "CLINICAL", ("SYSTEM", "S")),
        ("COMMUNITY_SYSTEM", "BUDGET", ("SYSTEM", "S")),
        ("COMMUNITY_SYSTEM", "CLINICAL", ("SITE", "H1")),
        ("PE_PLATFORM", "BUDGET", ("PLATFORM", "S")),
        ("HOSPITAL_GROUP", "BUDGET", ("SYSTEM", "S")),
        ("CAH_MEMBER", "BUDGET", ("SYSTEM", "S")),
        ("ASC_JOINT_VENTURE", "BUDGET", ("SYSTEM", "S")),
    ],
)
def test_R16_without_a_record_the_archetype_decides(archetype: str, function: str, expected: tuple[str, str]) -> None:
    of = {"account_id": TEXT, "system_account_id": TEXT, "archetype": TEXT}
    kinds = ENGINE.table([{"account_id": "H1", "system_account_id": "S", "archetype": archetype}], of)
    needs = ENGINE.table([{"need": 0, "function": function, "service_line": "ALL", "category": "ALL"}], NEEDS)
    [row] = ENGINE.rows(answers(ENGINE.table([], ANSWERS), kinds, needs, POLICY))
    assert (row["level"], row["holder_account_id"]) == expected
    assert (row["basis"], row["confidence_bp"]) == ("DEFAULT", None)


def test_the_shipped_defaults_leave_the_budget_to_the_system() -> None:
    assert defaults_to_system(POLICY, "BUDGET")
    assert not defaults_to_system(POLICY, "CLINICAL")


UNDER = {"idn_id": "900", "idn_name": "Prairie", "idn_parent_id": "900", "idn_parent_name": "Prairie"}
CLINIC = firm("7", "Prairie Clinic", zip5="67607", firm_type="Physician Group", **UNDER)


def strong_system() -> dict[str, list[Row]]:
    hospitals = [firm(str(i), f"Hospital {i}", zip5=f"6760{i}", **UNDER) for i in range(1, 7)]
    said = {"oncology_strength": ("STRONG", ""), "commercial_share": ("55", ""), "non_con_share": ("100", "")}
    said["gpo_contract"] = ("none", "infusion_pumps")
    facts = [
        {"feed": "facts", "firm_id": "900", "fact": n, "value": v, "category": c or None, "file": "f.csv", "row": 2}
        for n, (v, c) in said.items()
    ]
    return {"firms": [system("900", "Prairie"), *hospitals, CLINIC], "facts": facts}


def tiers(**tables: Any) -> tuple[dict[str, Row], Any]:
    found, _ = find_out(world(**tables), MAPPINGS, AS_OF, ENGINE)
    firm_of = {row["account_id"]: row["source_id"] for row in ENGINE.rows(found.links)}
    return {firm_of[row["account_id"]]: row for row in ENGINE.rows(found.tiers)}, found


def test_T23_an_affiliate_has_the_tier_of_its_system_and_both_are_stored() -> None:
    rows, found = tiers(**strong_system())
    assert (rows["900"]["tier"], rows["7"]["tier"], rows["7"]["standalone_tier"]) == ("T1", "T1", "UNTIERED")
    asked = {(r["account_id"], r["need"]): r for r in ENGINE.rows(found.structure.authority)}
    assert asked[rows["7"]["account_id"], 0]["basis"] == "DEFAULT"


def test_T23_an_affiliate_that_decides_for_itself_has_its_own_tier() -> None:
    rows, found = tiers(**strong_system(), authority_facts=[authority_fact("7", "SITE")])
    assert (rows["900"]["tier"], rows["7"]["tier"], rows["7"]["standalone_tier"]) == ("T1", "UNTIERED", "UNTIERED")
    [row] = [r for r in ENGINE.rows(found.structure.recorded) if r["need"] == 0]
    assert (row["basis"], row["source_ref"]) == ("EXPLICIT", "authority:authority.csv:row 2")


def test_T25_a_representatives_record_is_believed_for_half_a_year() -> None:
    for since, tier in (("2025-07-20", "UNTIERED"), ("2025-07-18", "T1")):
        said = authority_fact("7", "SITE", source="REP", valid_from=since)
        rows, found = tiers(**strong_system(), authority_facts=[said])
        assert rows["7"]["tier"] == tier, since
    [row] = [r for r in ENGINE.rows(found.structure.recorded) if r["need"] == 0]
    assert (row["basis"], row["expired_on"]) == (None, "2026-01-14")


def test_R01_a_platform_below_its_sponsor_decides_for_its_practices() -> None:
    firms = [firm("1", "Practice A", firm_type="Physician Group"), firm("2", "MSO", zip5="67602", firm_type="MSO")]
    edges = [edge_fact("1", "2"), edge_fact("2", "fund", "FINANCIAL_SPONSOR", None, parent_type="INVESTOR")]
    found, _ = find_out(world(firms=firms, edge_facts=edges), MAPPINGS, AS_OF, ENGINE)
    tree = {row["account_id"]: row for row in ENGINE.rows(found.hierarchy)}
    levels = {tree[r["account_id"]]["system_name"]: r["level"] for r in ENGINE.rows(found.structure.authority)}
    assert levels == {"MSO": "PLATFORM", "fund": "SITE"}


def test_the_questions_name_the_target_line_and_category() -> None:
    rows = list(ENGINE.rows(questions(MAPPINGS.policies, ENGINE)))
    assert [(r["function"], r["service_line"], r["category"]) for r in rows] == [
        ("BUDGET", "ONCOLOGY", "infusion_pumps"),
        ("CLINICAL", "ONCOLOGY", "infusion_pumps"),
    ]
