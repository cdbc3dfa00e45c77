"""Lints on small worlds: what each finds, what it leaves alone, and how it is muted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Rep, RepPolicy, Territory
from sync.enrichment import ACCOUNTS
from sync.hierarchy.tree import HIERARCHY
from sync.insight.kpi import Kpi
from sync.insight.kpis import evenness
from sync.insight.lint import Level, Lint, Looked, Suppression, suppressed, worst
from sync.insight.lints import lints
from sync.insight.sales import differentiation
from sync.insight.standing import Found, active_territories, standing
from sync.problem import Problem, Severity
from sync.segmentation.profiles import PROFILES
from sync.segmentation.tiers import TIERS
from sync.territory.ownership import OWNERSHIP
from sync.world import LINKS
from tests.fixtures.small_world import Row, account, firm, user, world

MAPPINGS = load()
HEADER = MAPPINGS.policies.reps.policy


def looked(
    accounts: Sequence[Row], records: Sequence[Row] = (), *, as_of: str = "2026-01-15", reps: Sequence[Rep] = (),
    territories: Sequence[Territory] = (), firms: Sequence[Row] = (), **more: Any,
) -> Looked:  # fmt: skip
    """`accounts` name their system, owner's unit and territory; records are named like their account."""
    engine = PolarsEngine()
    users = [user(f"u-{r}", f"{r}@x.example") for r in ("r1", "r2", "r9")]
    gone = user("u-old", "old@x.example", is_active=False)
    trees = [
        {"account_id": a["account_id"], "system_account_id": a.get("system", a["account_id"]), "system_name": "S"}
        for a in accounts
    ]
    owned = [{**tree, "unit_account_id": tree["system_account_id"]} for tree in trees]
    named = more.pop("owned", {})
    owned = [{**own, "territory": a.get("territory"), **named} for own, a in zip(owned, accounts, strict=True)]
    about = [{"holder_account_id": a["account_id"], "status": "ACTIVE", **a} for a in accounts]
    links = [
        {"source": source, "source_id": a["account_id"], "account_id": a["account_id"]}
        for a in accounts
        for source in ("salesforce", "definitive")
    ]
    policies = MAPPINGS.policies.model_copy(
        update={
            "reps": RepPolicy(policy=HEADER, reps=tuple(reps)),
            "territories": MAPPINGS.policies.territories.model_copy(update={"territories": tuple(territories)}),
        }
    )
    found = Found(
        world=world(records=list(records), users=[*users, gone], firms=list(firms)),
        links=engine.table([*links, *more.pop("links", [])], LINKS),
        accounts=engine.table(accounts, ACCOUNTS),
        hierarchy=engine.table(trees, HIERARCHY),
        tiers=engine.table([], TIERS),
        ownership=engine.table(owned, OWNERSHIP),
        profiles=engine.table(about, PROFILES),
        policies=policies,
        as_of=as_of,
    )
    mappings = MAPPINGS.model_copy(update={"policies": policies, **more.pop("mappings", {})})
    return Looked(
        found=found,
        standing=standing(found, engine),
        kpis=(),
        problems=more.pop("problems", ()),
        mappings=mappings,
        **more,
    )


def found(given: Looked, id_: str) -> Lint:
    return next(one for one in lints(given, PolarsEngine()) if one.id == id_)


def site(id_: str, **values: Any) -> Row:
    return {"account_id": id_, "name": id_, "firm_type": "Hospital", **values}


def test_T27_two_primaries_of_one_system_are_listed_and_the_overlay_is_not_counted() -> None:
    roles = {"r1": "PRIMARY", "r2": "PRIMARY", "r9": "OVERLAY"}
    reps = [Rep.model_validate({"email": f"{who}@x.example", "name": who, "role": role}) for who, role in roles.items()]
    records = [account(f"h{i}", f"h{i}", owner=f"u-{r}") for i, r in ((1, "r1"), (2, "r2"), (3, "r9"))]
    given = looked([site(f"h{i}", system="s") for i in (1, 2, 3)] + [site("s")], records, reps=reps)
    (row,) = found(given, "FM1-MULTI-REP").rows
    assert (row["subject"], row["reps"]) == ("s", 2)
    assert row["owners"] == "r1@x.example (1), r2@x.example (1)"


def test_T28_twelve_of_fifteen_hospitals_belong_to_a_system_elsewhere() -> None:
    areas = [Territory(id=name, name=name, states=()) for name in ("DALLAS", "OTHER")]
    members = [site(f"m{i}", system="s", territory="DALLAS") for i in range(12)]
    alone = [site(f"a{i}", territory="DALLAS") for i in range(3)]
    given = looked([*members, *alone, site("s", territory="OTHER", firm_type="IDN")], territories=areas)
    (row,) = found(given, "FM1-GEO-AFFILIATED").rows
    assert (row["subject"], row["system_elsewhere"], row["hospitals"], row["share_pct"]) == ("DALLAS", 12, 15, 80.0)


@pytest.mark.parametrize(
    ("verified", "expected"),
    [("2026-01-15", (311, Level.ERROR)), ("2026-08-20", (94, Level.WARN)), ("2026-08-24", None)],
)
def test_T44_a_hierarchy_verified_311_days_ago_is_an_error(verified: str, expected: Any) -> None:
    given = looked([site("1")], firms=[firm("1", "One", as_of=verified)], as_of="2026-11-22")
    lint = found(given, "FM3-STALE")
    assert [(row["age_days"], lint.level) for row in lint.rows] == ([expected] if expected else [])


def test_T11_a_hospital_with_exactly_the_limit_of_beds_is_listed_whichever_way_the_policy_reads_it() -> None:
    sites = [site("1", staffed_beds=25, is_rural=True), site("2", staffed_beds=25, is_rural=True, ccn="170001"),
             site("3", staffed_beds=24, is_rural=True), site("4", staffed_beds=25, is_rural=False)]  # fmt: skip
    assert [row["subject"] for row in found(looked(sites), "CAH-25").rows] == ["1"]


def test_T09_a_purchasing_group_as_the_parent_is_an_error() -> None:
    records = [account("g", "Vizient"), account("h", "General", parent="g"), account("k", "Kids", parent="h")]
    given = looked([site("g", firm_type="GPO"), site("h"), site("k")], records)
    assert [row["subject"] for row in found(given, "GPO-AS-PARENT").rows] == ["h"]


def test_records_of_people_who_left_are_listed_per_person() -> None:
    records = [account("1", "One", owner="u-old"), account("2", "Two", owner="u-r1")]
    (row,) = found(looked([site("1"), site("2")], records), "OWNER-INACTIVE").rows
    assert (row["subject"], row["records"]) == ("old@x.example", 1)


def test_two_records_of_one_organisation_in_one_crm_are_listed() -> None:
    twin = {"source": "salesforce", "source_id": "1b", "account_id": "1"}
    records = [account("1", "One"), account("1b", "One Inc")]
    (row,) = found(looked([site("1")], records, links=[twin]), "DUP-ORG").rows
    assert row["records"] == "1, 1b"


def test_payer_shares_that_make_no_whole_are_listed() -> None:
    days = {"medicare_days_bp": 5000, "medicaid_days_bp": 3000}
    sites = [site("1", other_days_bp=1000, **days), site("2", other_days_bp=2000, **days)]
    (row,) = found(looked(sites), "PAYER-SUM").rows
    assert (row["subject"], row["total_bp"]) == ("1", 9000)


def test_a_small_territory_and_first_tier_accounts_without_lines_are_listed() -> None:
    area = Territory(id="SMALL", name="Small", states=())
    sites = [site("1", territory="SMALL", account_tier="T1", line_1="ONCOLOGY"), site("2", account_tier="T2")]
    given = looked(sites, territories=[area])
    assert [row["accounts"] for row in found(given, "FM4-MIN-ACCOUNTS").rows] == [1]
    assert [row["subject"] for row in found(given, "FM2-TOP3").rows] == ["1"]


def test_a_score_that_only_follows_beds_is_listed_and_one_that_does_not_is_left_alone() -> None:
    follows = [site(f"{i}", beds=i + 1, score_tenths=i) for i in range(40)]
    apart = [site(f"{i}", beds=i + 1, score_tenths=(i * 7) % 40) for i in range(40)]
    assert found(looked(follows), "SCORE-SIZE").rows[0]["rank_correlation"] == 1.0
    assert found(looked(apart), "SCORE-SIZE").rows == ()
    assert found(looked(follows[:29]), "SCORE-SIZE").note == "29 accounts with known beds; 30 are needed"


def test_cycles_come_from_what_the_plan_could_not_decide() -> None:
    cycle = Problem(
        code="PARENT-CYCLE", severity=Severity.REVIEW, subject="A / B", fact="f", remedy="r", refs=("a", "b")
    )
    assert [row["about"] for row in found(looked([site("1")], problems=(cycle,)), "PARENT-CYCLE").rows] == ["A / B"]


@pytest.mark.parametrize(("checked", "count"), [("2025-01-15", 0), ("2025-01-14", 1), ("", 1)])
def test_regulation_is_stale_after_a_year(checked: str, count: int) -> None:
    given = looked([site("1")], mappings={"regulation_checked_on": checked, "law_checked": {}})
    assert len(found(given, "REG-STALE").rows) == count
    other = {"regulation_checked_on": "2025-12-31", "law_checked": {"nurse_practice": checked}}
    assert [row["subject"] for row in found(looked([site("1")], mappings=other), "REG-STALE").rows] == (
        ["nurse_practice"] * count
    )


def test_more_segments_with_territories_than_meant_are_listed() -> None:
    assert found(looked([site("1")]), "FM4-SEGMENTS").rows == ()


def muted(until: str, subject: str = "1") -> Suppression:
    return Suppression(lint="X", subject=subject, reason="known", by="ana", until=until)


def test_a_suppression_sets_rows_aside_until_the_end_of_its_last_day() -> None:
    lint = Lint(id="X", level=Level.ERROR, title="x", rows=({"subject": "1"}, {"subject": "2"}), fix="f")
    (on_the_day,) = suppressed([lint], [muted("2026-01-15")], "2026-01-15")
    (after,) = suppressed([lint], [muted("2026-01-15")], "2026-01-16")
    assert [row["subject"] for row in on_the_day.rows] == ["2"]
    assert on_the_day.muted[0]["muted_because"] == "known"
    assert len(after.rows) == 2
    (all_of_it,) = suppressed([lint], [muted("2026-01-15", "*")], "2026-01-15")
    assert (all_of_it.rows, worst([all_of_it]), worst([lint])) == ((), None, Level.ERROR)


def measured(id_: str, line: str) -> tuple[Kpi, ...]:
    return (Kpi(id=id_, name=id_, line=line),)


def with_kpis(given: Looked, kpis: tuple[Kpi, ...]) -> Looked:
    return replace(given, kpis=kpis)


def test_T38_TIER1_UNEVEN_is_found_where_one_territory_has_twice_the_mean() -> None:
    uneven = evenness({"A": 3, "B": 3, "C": 3, "D": 3, "E": 8}, "T1", MAPPINGS.policies.kpis)
    even = evenness({"A": 3, "B": 4}, "T1", MAPPINGS.policies.kpis)
    rows = [found(with_kpis(looked([site("1")]), (kpi,)), "TIER1-UNEVEN").rows for kpi in (uneven, even)]
    assert [len(one) for one in rows] == [1, 0]


def test_T39_NOT_DIFFERENTIATED_is_found_where_segments_win_alike() -> None:
    alike = differentiation({"a": (25, 75), "b": (26, 74), "c": (24, 76), "d": (25, 75)}, MAPPINGS.policies.kpis)
    apart = differentiation({"a": (18, 82), "b": (30, 70), "c": (35, 65), "d": (45, 55)}, MAPPINGS.policies.kpis)
    rows = [found(with_kpis(looked([site("1")]), (kpi,)), "NOT-DIFFERENTIATED").rows for kpi in (alike, apart)]
    assert [len(one) for one in rows] == [1, 0]


def test_FM2_SIZE_PROXY_finds_tiers_that_only_follow_beds() -> None:
    tier = {0: "T1", 1: "T2", 2: "T3"}
    by_beds = [site(f"a{i}", beds=1000 - i, account_tier=tier[i // 10]) for i in range(30)]
    mixed = [site(f"a{i}", beds=1000 - i, account_tier=tier[i % 3]) for i in range(30)]
    assert [len(found(looked(one), "FM2-SIZE-PROXY").rows) for one in (by_beds, mixed)] == [1, 0]


def test_T33_FM3_SLA_lists_changes_past_the_deadline_with_both_clocks() -> None:
    late = {"record_id": "R1", "connection": "salesforce", "account_id": "1", "effective_from": "2026-02-10",
            "first_seen": "2026-03-01", "applied_on": "2026-03-14", "latency_days": 32,
            "note": "source lag 19 d, own lag 13 d"}  # fmt: skip
    (row,) = found(looked([site("1")], late=(late,)), "FM3-SLA").rows
    assert (row["subject"], row["latency_days"], row["note"]) == ("R1", 32, "source lag 19 d, own lag 13 d")


def test_AUTH_UNKNOWN_and_HOLD_EXPIRED_list_what_the_plan_and_the_register_say() -> None:
    assumed = ({"account_id": "1", "name": "One", "basis": "DEFAULT"},)
    held = ({"record_id": "R1", "connection": "salesforce", "until": "2026-01-01"},)
    given = looked([site("1")], unknown_authority=assumed, expired_holds=held)
    assert [found(given, id_).rows[0]["subject"] for id_ in ("AUTH-UNKNOWN", "HOLD-EXPIRED")] == ["1", "R1"]


NAMED = (
    "FM1-MULTI-REP FM1-GEO-AFFILIATED FM2-TOP3 FM2-SIZE-PROXY FM3-STALE FM3-SLA FM3-LEAD-OLD-OWNER FM4-SEGMENTS "
    "FM4-MIN-ACCOUNTS FM4-TRAVEL NOT-DIFFERENTIATED TIER1-UNEVEN SCORE-SIZE AUTH-UNKNOWN PARENT-CYCLE NO-CONTROL "
    "GPO-AS-PARENT DUP-ORG CAH-25 PAYER-SUM HOLD-EXPIRED OWNER-INACTIVE REG-STALE"
)


def test_every_lint_is_there_with_a_way_out_and_can_be_muted() -> None:
    all_ = {one.id: one for one in lints(looked([site("1")]), PolarsEngine())}
    assert set(NAMED.split()) <= set(all_)
    assert [id_ for id_, one in all_.items() if not one.fix or not one.title] == []


@pytest.mark.parametrize(
    ("owner", "leave_to", "expected"),
    [("r1@x.example", "", ["T"]), ("old@x.example", "", []), ("r2@x.example", "2026-01-31", ["T"]),
     ("r2@x.example", "2026-03-01", []), ("", "", ["T"])],
)  # fmt: skip
def test_A14_R44_a_territory_is_active_while_whoever_owns_it_is(owner: str, leave_to: str, expected: list[str]) -> None:
    away = Rep(
        email="r2@x.example", name="R2", role="GEO", leave_from="2026-01-10" if leave_to else "", leave_to=leave_to
    )
    area = Territory(id="T", name="T", states=("KS",), owner=owner)
    given = looked([site("1")], reps=[away], territories=[area])
    assert active_territories(given.found, PolarsEngine()) == expected
