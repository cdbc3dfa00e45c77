"""Lints of the daily work: travel, leads after an acquisition, the deal size in between; and who is comparable."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.insight_policy import Travel
from mappings.policy import Rep, Territory
from sync.insight.kpi import Counted, Numbers
from sync.insight.lint import Lint, Suppression, suppressed
from sync.insight.quotas import attainment_kpi
from sync.insight.standing import STANDING
from sync.insight.travel import Stop, distance_km, hours
from sync.territory.capacity import capacity_on
from tests.unit.sync.insight.test_lints import MAPPINGS, Row, account, found, looked, site

DALLAS, HOUSTON = (327767, -967970), (297604, -953698)
ZIPS = {"75201": DALLAS, "77002": HOUSTON}


def test_dallas_and_houston_are_some_360_km_apart() -> None:
    assert 355 < distance_km(DALLAS, HOUSTON) < 370


def test_FM4_TRAVEL_visits_share_a_round_trip_from_the_base() -> None:
    # 12 visits of 362 km: 12 x 2 x 362 x 1.25 / 4 / 70 = 38.8 h on the road, 12 x 1.5 = 18 h with the customer
    policy = Travel(visits_per_year={"T1": 12})
    year = hours([Stop(place=HOUSTON, tier="T1", accounts=1)], policy, DALLAS)
    assert (year.visits, year.travel, year.selling, year.farthest_km) == (12, 39, 18, 362)
    assert hours([Stop(place=HOUSTON, tier="T1", accounts=1)], policy).travel == 0
    assert hours([], policy).visits == 0


def spread_out(home: str) -> Any:
    texas = Territory(id="TX", name="Texas", states=("TX",), owner="r1@x.example")
    accounts = [site("1", territory="TX", zip5="77002", account_tier="T1"), site("2", territory="TX", zip5="99999")]
    records = [account(i, i, owner="u-r1") for i in "12"]
    base = Rep(email="r1@x.example", name="R", role="GEO", home_zip=home)
    return looked(accounts, records, territories=[texas], reps=[base], mappings={"places": ZIPS})


def test_FM4_TRAVEL_a_territory_with_more_road_than_customers_is_listed_until_it_is_muted() -> None:
    near, far = (found(spread_out(home), "FM4-TRAVEL") for home in ("77002", "75201"))
    assert near.rows == ()
    [row] = far.rows
    assert (row["subject"], row["accounts"], row["visits"], row["without_place"]) == ("TX", 1, 12, 1)
    assert row["travel_hours"] > row["selling_hours"]
    assert "territories.yaml" in far.fix
    muted = Suppression(lint="FM4-TRAVEL", subject="TX", reason="hired in Houston", by="ana", until="2026-02-28")
    (quiet,) = suppressed([far], [muted], "2026-02-28")
    assert (quiet.rows, quiet.muted[0]["muted_because"]) == ((), "hired in Houston")
    (again,) = suppressed([far], [muted], "2026-03-01")
    assert again.rows == far.rows


def old_owner(lead: Row, *, events: tuple[Row, ...] = (), history: tuple[str, ...] = ()) -> Lint:
    event = {"account_id": "1", "effective_date": "2026-01-05", "old": "Prairie", "new": "Lakes"}
    decided = {"id": "L1", "lead_id": "web-1", "account_id": "1", **lead}
    given = looked(
        [site("1")], [account("1", "1", owner="u-r1")], owned={"owner_email": "r2@x.example"},
        moves=events or (event,), leads=(decided,), past_owners={"1": history},
    )  # fmt: skip
    return found(given, "FM3-LEAD-OLD-OWNER")


def test_FM3_LEAD_OLD_OWNER_a_lead_after_the_sale_at_the_owner_of_before_is_listed() -> None:
    lint = old_owner({"as_of": "2026-01-05", "assignee": "R1@x.example"})
    [row] = lint.rows
    assert (row["subject"], row["went_to"], row["owner_now"]) == ("L1", "r1@x.example", "r2@x.example")
    assert (row["changed_on"], row["from_system"], row["to_system"]) == ("2026-01-05", "Prairie", "Lakes")
    assert lint.fix.startswith("platbook plan && platbook apply")


@pytest.mark.parametrize(
    "lead",
    [
        {"as_of": "2026-01-04", "assignee": "r1@x.example"},
        {"as_of": "2026-01-06", "assignee": "r2@x.example"},
        {"as_of": "2026-01-06", "assignee": "geo@x.example"},
        {"as_of": "2026-01-06", "assignee": None},
        {"as_of": "2026-01-06", "assignee": "r1@x.example", "account_id": "2"},
    ],
    ids=["before the sale", "at the new owner", "at somebody the rules name", "at nobody", "about another account"],
)
def test_FM3_LEAD_OLD_OWNER_leaves_alone(lead: Row) -> None:
    assert old_owner(lead).rows == ()


def test_FM3_LEAD_OLD_OWNER_who_owned_it_by_the_history_counts_too() -> None:
    lead = {"as_of": "2026-01-06", "assignee": "left@x.example"}
    assert old_owner(lead).rows == ()
    assert len(old_owner(lead, history=("left@x.example",)).rows) == 1


def test_R06_a_deal_size_in_between_is_worth_knowing() -> None:
    assert [row["average_usd"] for row in found(looked([site("1")]), "DEAL-SIZE-MIXED").rows] == [75_000]


@pytest.mark.parametrize(("as_of", "expected"), [("2026-06-30", 30), ("2026-07-01", 60)])
def test_R62_somebody_who_ramps_up_carries_a_part(as_of: str, expected: int) -> None:
    rep = Rep(email="r@x.example", name="R", role="GEO", capacity=60, ramp_until="2026-07-01")
    assert capacity_on(rep, as_of, 5000) == expected
    assert capacity_on(rep.model_copy(update={"capacity": 1}), as_of, 5000) == 1
    assert capacity_on(rep.model_copy(update={"capacity": 0}), as_of, 5000) == 0


def test_R62_quotas_are_compared_within_a_role_two_full_quarters_in_it_and_not_while_ramping_up() -> None:
    sold = {"r0": 62, "r1": 95, "r2": 110, "r3": 133, "r4": 100}
    base = {"role": "GEO", "quota_usd": 100, "since": "2025-07-01"}
    reps = [Rep(email=f"{name}@x.example", name=name, **base) for name in sold]
    reps += [
        Rep(email="new@x.example", name="new", **{**base, "since": "2025-07-02"}),
        Rep(email="ramp@x.example", name="ramp", **base, ramp_until="2026-02-01"),
        Rep(email="other@x.example", name="other", **{**base, "role": "PRIMARY"}),
    ]
    closed = [
        {
            "is_closed": True,
            "is_won": True,
            "close_date": "2025-12-01",
            "amount_cents": usd * 100,
            "connection": "s",
            "owner": name,
        }
        for name, usd in sold.items()
    ]
    policies = MAPPINGS.policies.model_copy(
        update={"reps": MAPPINGS.policies.reps.model_copy(update={"reps": tuple(reps)})}
    )
    empty = PolarsEngine().table([], STANDING)
    numbers = Numbers(
        standing=empty,
        deals=empty,
        wins=empty,
        users={("s", rep.name): rep.email for rep in reps},
        policies=policies,
        as_of="2026-01-15",
    )
    told = attainment_kpi(Counted(numbers=numbers, accounts=[], sold=closed, closed=closed, wins=closed))
    assert told.line.startswith("GEO, geographic: cv 25.8 %, in bounds; range 71 points")
    assert "PRIMARY: INSUFFICIENT: 1 comparable" in told.line
    readings = {row["person"]: row["reading"] for row in told.rows if row["reading"]}
    assert readings == {
        "new@x.example": "1 full quarter in the role",
        "ramp@x.example": "ramping up until 2026-02-01",
    }
