"""KPIs counted on small books, by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.insight_policy import Experiment
from mappings.load import load
from mappings.policy import Rep, Territory
from sync.insight.experiments import arm
from sync.insight.kpi import Kpi, Numbers
from sync.insight.kpis import kpis
from sync.insight.standing import DEALS, STANDING, WINS, _payer_then
from sync.world import TEXT

MAPPINGS = load()
ENGINE = PolarsEngine()
AS_OF = "2026-01-15"
Row = dict[str, Any]


def site(account_id: str, **values: Any) -> Row:
    """An account that stands alone, in a territory, worked by ann, unless said otherwise."""
    alone = {"holder_account_id": account_id, "system_account_id": values.get("system_account_id", account_id)}
    usual = {"territory": "T", "is_active_territory": True, "owner_email": "ann@x.example", "status": "ACTIVE"}
    return {"account_id": account_id, **alone, **usual, "account_tier": "T2", "in_crm": True, **values}


def deal(number: int, *, won: bool | None, **values: Any) -> Row:
    """A deal closed last summer; `won` None = still open."""
    days = {"created_on": "2025-02-01", "close_date": "2025-08-01" if won is not None else None}
    base = {"connection": "salesforce", "opportunity_id": str(number), "account_id": "1", "is_payer_then": False}
    closed = {"is_closed": won is not None, "is_won": bool(won), "amount_cents": 100_000_00}
    return {**base, **days, **closed, "org_type": "IDN", "segment": "s", "hospitals": 12, **values}


def measured(
    accounts: Sequence[Row],
    deals: Sequence[Row] = (),
    *,
    reps: Sequence[Rep] = (),
    users: Sequence[Rep] = (),
    **kpi: Any,
) -> dict[str, Kpi]:
    """Every KPI of a book; each of `users` is a CRM user whose id is his name."""
    policies = MAPPINGS.policies
    policies = policies.model_copy(update={"reps": policies.reps.model_copy(update={"reps": tuple(reps)})})
    drawn = policies.territories.model_copy(update={"territories": (Territory(id="T", name="T", states=("KS",)),)})
    policies = policies.model_copy(update={"territories": drawn, "kpis": policies.kpis.model_copy(update=kpi)})
    numbers = Numbers(
        standing=ENGINE.table(list(accounts), STANDING), deals=ENGINE.table(list(deals), DEALS),
        wins=ENGINE.table([row for row in deals if row["is_won"]], WINS),
        users={("salesforce", rep.name): rep.email for rep in users}, policies=policies, as_of=AS_OF,
    )  # fmt: skip
    return {one.id: one for one in kpis(numbers, ENGINE)}


def test_R22_members_roll_up_and_whoever_decides_buys() -> None:
    accounts = [
        site("S"),
        site("1", system_account_id="S", holder_account_id="S"),
        site("2", system_account_id="S", holder_account_id="2"),
    ]
    told = measured(accounts)["R22"]
    assert told.line == "3 accounts, 2 roll up; 2 buying centers decide"
    assert told.rows[0]["consolidation_pct"] == 66.7


def test_R40_the_obtainable_share_is_of_our_services_not_of_everything_serviceable() -> None:
    told = measured([site("1")])["R40"]
    assert told.line == "300,000,000 to 500,000,000 USD are obtainable of 10,000,000,000 USD for our services"


def test_R44_potential_counts_where_territory_and_owner_are_active() -> None:
    money = {"potential_cents": 100_00}
    accounts = [
        site("1", **money),
        site("2", **money, owner_email=None),
        site("3", **money, is_active_territory=False),
        site("4", **money, status="CLOSED"),
    ]
    told = measured(accounts)["R44"]
    assert told.line == "33.3 % of the potential and 33.3 % of the accounts are covered"
    assert [row["total"] for row in told.rows] == [300, 3]


def test_R45_a_class_stands_beside_its_benchmark_and_eight_hospitals_beside_none() -> None:
    large = [deal(n, won=n < 4) for n in range(10)]  # 40 %, above 15 to 20
    middle = [deal(20 + n, won=True, hospitals=8) for n in range(2)]
    groups = [deal(30 + n, won=n < 1, org_type="PHYSICIAN_GROUP", hospitals=0, providers=50) for n in range(3)]
    rows = {row["class"]: row for row in measured([site("1")], [*large, *middle, *groups])["R45"].rows}
    assert rows["large idn"]["win_rate"] == "above"
    assert (rows["no benchmark"]["win_rate"], rows["no benchmark"]["closed"]) == ("no benchmark", 2)
    assert rows["physician group"]["win_rate"] == "within"
    assert rows["large idn"]["deal"] == "below"  # 100,000 against 250,000 to 2,000,000
    assert {row["reading"] for row in rows.values()} == {"indicative"}


def test_R46_accounts_are_divided_by_the_people_who_work_them() -> None:
    accounts = [
        site("1"),
        site("2"),
        site("3", owner_email="ben@x.example"),
        site("4", account_tier="T1", owner_email=None),
    ]
    rows = {row["tier"]: row for row in measured(accounts)["R46"].rows}
    assert (rows["T2"]["owners"], rows["T2"]["accounts_per_owner"]) == (2, 1.5)
    assert rows["T1"]["accounts_per_owner"] is None


def test_R47_white_space_is_good_and_not_worked_and_says_why() -> None:
    accounts = [
        site("worked", last_activity="2026-01-01"),
        site("idle", last_activity="2025-07-19"),
        site("ownerless", last_activity="2026-01-01", owner_email=None),
        site("poor", account_tier="UNTIERED", score_tenths=100, owner_email=None),
        site("scored", account_tier="UNTIERED", score_tenths=900, owner_email=None),
    ]
    rows = {row["account_id"]: row["why"] for row in measured(accounts)["R47"].rows}
    assert rows == {
        "idle": "no activity since 2025-07-19",
        "ownerless": "no active owner",
        "scored": "no active owner, no activity since 2025-07-19",
    }


def test_R48_open_deals_are_in_no_rate_and_few_deals_are_indicative() -> None:
    told = measured([site("1")], [deal(1, won=True), deal(2, won=False), deal(3, won=None)])["R48"]
    assert told.line.startswith("50.0 % of 2 closed deals won")
    assert told.rows[0]["reading"] == "indicative"


def test_R50_the_payer_class_is_that_of_the_day_of_closing_where_a_plan_of_that_time_knows_it() -> None:
    sold = [deal(1, won=True, close_date="2025-06-01"), deal(2, won=True, close_date="2024-12-31"), deal(3, won=None)]
    history = [
        {"account_id": "1", "as_of": "2025-01-01", "payer_class": "MIXED"},
        {"account_id": "1", "as_of": "2025-05-31", "payer_class": "GOV_HEAVY"},
        {"account_id": "1", "as_of": "2025-06-02", "payer_class": "COMMERCIAL_HEAVY"},
    ]
    columns = dict.fromkeys(("account_id", "as_of", "payer_class"), TEXT)
    found = _payer_then(ENGINE.table(sold, {**DEALS, "opportunity_id": TEXT}), ENGINE.table(history, columns))
    assert [(row["opportunity_id"], row["then"]) for row in ENGINE.rows(found)] == [("1", "GOV_HEAVY")]
    told = measured([site("1")], [{**sold[0], "payer_class": "GOV_HEAVY", "is_payer_then": True}, sold[1]])["R50"]
    assert told.notes[0].startswith("payer class on the day of closing for 1 of 2 closed deals")


def test_R52_first_tier_accounts_are_counted_per_active_territory() -> None:
    told = measured([site("1", account_tier="T1"), site("2", account_tier="T1", status="CLOSED")])["R52"]
    assert [row["T1_accounts"] for row in told.rows] == [1]


def seller(name: str, role: str = "PRIMARY", **values: Any) -> Rep:
    return Rep(email=f"{name}@x.example", name=name, role=role, **{"quota_usd": 100_000, **values})


def sold_by(name: str, share: int, **values: Any) -> Row:
    """A deal of so many percent of the usual quota, won by a person."""
    return deal(0, won=True, owner=name, amount_cents=share * 1000_00, **values)


def book_of(rep: Rep, rule: str) -> Row:
    return site(f"of {rep.name}", assigned_email=rep.email, assigned_rule=rule, assigned_role=rep.role, segment="s")


def two_models(**extra: Any) -> dict[str, Kpi]:
    """Five people who own systems and five who own places, with what each reached."""
    named, placed = (
        {"n0": 90, "n1": 100, "n2": 110, "n3": 120, "n4": 130},
        {"g0": 60, "g1": 70, "g2": 80, "g3": 90, "g4": 100},
    )
    reps = [*(seller(name) for name in named), *(seller(name, "GEO") for name in placed)]
    accounts = [book_of(rep, "state_geo" if rep.role == "GEO" else "root_owner") for rep in reps]
    sold = [sold_by(name, share) for name, share in {**named, **placed}.items()]
    return measured(accounts, sold, reps=[*reps, *extra.pop("more", ())], users=reps, **extra)


def test_R53_attainment_of_the_two_models_is_compared_with_an_interval() -> None:
    told = two_models()["R53"]
    # means 110 and 80 %, each with a deviation of 15.8 points over five: 30 - 2.306 * 10 = 6.9
    assert told.line.endswith("attainment account-based less geographic: +30.0 points (+6.9 to +53.1)")
    assert told.line.startswith("win rate INSUFFICIENT: 5 territories of each model are needed")
    rows = {row["model"]: row for row in told.rows}
    assert (rows["account-based"]["attainment_pct"], rows["geographic"]["attainment_pct"]) == (110.0, 80.0)
    assert rows["geographic"]["attainment_low_pct"] == 60.4  # 80 - 2.776 * 15.81 / sqrt(5)
    assert {row["benchmark"] for row in told.rows} == {"no benchmark"}


def test_R53_without_a_quota_attainment_is_unknown_and_never_nothing() -> None:
    more = [seller("q", "GEO", quota_usd=0), seller("stranger", "GEO")]
    told = two_models(more=more)
    rows = {row["model"]: row for row in told["R53"].rows}
    assert (rows["geographic"]["people"], rows["geographic"]["compared"], rows["geographic"]["no_quota"]) == (7, 5, 1)
    assert rows["geographic"]["attainment_pct"] == 80.0
    readings = {row["person"]: (row["attainment_pct"], row["reading"]) for row in told["R51"].rows if row["reading"]}
    assert readings == {
        "q@x.example": (None, "no quota is known"),
        "stranger@x.example": (None, "no user of a CRM has this address"),
    }
    nobody = measured([site("1")])["R53"]
    assert [row["attainment_pct"] for row in nobody.rows] == [None, None]
    assert "attainment INSUFFICIENT: 5 comparable quotas of each model are needed, found 0" in nobody.line


def test_R53_four_quotas_of_a_model_are_too_few() -> None:
    told = two_models(more=[], min_territories=6)["R53"]
    assert "found 5 account-based, 5 geographic" in told.line


def test_R51_a_won_deal_without_an_amount_leaves_attainment_unknown() -> None:
    ann = seller("ann")
    sold = [sold_by("ann", 50), {**sold_by("ann", 1), "amount_cents": None}]
    row = measured([site("1")], sold, reps=[ann], users=[ann])["R51"].rows[0]
    assert (row["won_usd"], row["attainment_pct"], row["reading"]) == (None, None, "a won deal has no amount")


def test_R51_a_quota_is_of_a_year_however_short_the_window_of_the_other_figures_is() -> None:
    ann = seller("ann")
    sold = [
        sold_by("ann", 50),
        sold_by("ann", 30, close_date="2025-01-15"),
        sold_by("ann", 20, close_date="2025-01-16"),
    ]
    row = measured([site("1")], sold, reps=[ann], users=[ann], window_days=30)["R51"].rows[0]
    assert row["attainment_pct"] == 70.0


def test_R62_those_of_another_model_or_segment_are_not_compared() -> None:
    told = two_models()["R51"]
    assert told.line.count("cv ") == 2
    assert told.line.startswith("GEO, geographic, s: cv 19.8 %")
    alike = two_models(comparable_by=("role",))["R51"]
    assert alike.line.startswith("GEO: cv")


TRIED = Experiment(id="nurses-first", starts_on="2025-01-01", share_bp=5000)


def test_R56_an_arm_is_drawn_by_system_once_and_for_all() -> None:
    drawn = [arm(f"system-{n}", TRIED) for n in range(1000)]
    assert drawn == [arm(f"system-{n}", TRIED) for n in range(1000)]
    assert 450 < drawn.count("tried") < 550
    assert [arm(f"system-{n}", TRIED.model_copy(update={"id": "other"})) for n in range(1000)] != drawn


def test_R56_accounts_of_one_system_are_in_one_arm() -> None:
    deals = [deal(n, won=n % 2 == 0, system_account_id=f"s{n % 7}") for n in range(70)]
    late = [deal(100, won=True, system_account_id="s1", created_on="2024-12-31")]
    told = measured([site("1")], [*deals, *late], experiments=(TRIED,))["R56"]
    assert sum(row["closed"] for row in told.rows) == 70
    assert sum(row["systems"] for row in told.rows) == 7


@pytest.mark.parametrize("id_", ["R45", "R48", "R49", "R50", "R53", "R54"])
def test_a_book_without_deals_says_so(id_: str) -> None:
    assert measured([site("1")])[id_].line
