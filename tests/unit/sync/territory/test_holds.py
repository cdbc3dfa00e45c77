"""Holds: exempt and eligible opportunities, the cap, customers of some standing, and the end of each."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Policies
from sync.planning.desired import DESIRED
from sync.reconcile import reconcile
from sync.segmentation.tiers import TIERS
from sync.territory.holds import BY_RULE, Sides, Standing, months_before, stand
from sync.territory.ownership import OWNERSHIP
from sync.world import Reconciliation
from tests.fixtures.small_world import account, firm, system, user, world

ENGINE = PolarsEngine()
MAPPINGS = load()
AS_OF = "2026-01-15"
USERS = [user("U1", "win@x.example"), user("U2", "lose@x.example")]
LATE, MIDDLE, EARLY = "Negotiation", "Proposal", "Prospecting"


def deal(number: int, record: str, stage: str, amount: int = 100_000, **values: Any) -> dict[str, Any]:
    """An open opportunity of the loser unless said otherwise; amounts in cents."""
    own = {"connection": "salesforce", "owner": "U2", "is_closed": False, "is_won": False}
    return {
        **own,
        "opportunity_id": f"O{number}",
        "record_id": record,
        "stage": stage,
        "amount_cents": amount,
        **values,
    }


def won(number: int, record: str, closed: str, **values: Any) -> dict[str, Any]:
    return deal(number, record, "Closed Won", is_closed=True, is_won=True, close_date=closed, **values)


def decided(*deals: dict[str, Any], sites: int = 1, as_of: str = AS_OF, **tables: Any) -> Reconciliation:
    """A system of U1 whose sites A1, A2, ... belong to U2: all of them are to go to U1."""
    place = [f"6760{number}" for number in range(sites + 1)]
    records = [account("R", "Regional Health", definitive_id="900", owner="U1", zip5=None)]
    firms = [system("900", "Regional Health")]
    of = {"idn_id": "900", "idn_name": "Regional Health", "idn_parent_id": "900", "idn_parent_name": "Regional Health"}
    for number in range(1, sites + 1):
        zip5 = place[number]
        records.append(account(f"A{number}", f"Hospital {number}", definitive_id=str(number), owner="U2", zip5=zip5))
        firms.append(firm(str(number), f"Hospital {number}", zip5=zip5, **of))
    made = world(records=records, firms=firms, users=USERS, opportunities=deals, **tables)
    return reconcile(made, MAPPINGS, as_of, ENGINE)


def standing(
    *deals: dict[str, Any], sites: int = 1, tier: str = "T2", policies: Policies = MAPPINGS.policies, **tables: Any
) -> Standing:
    """The holds of the same accounts, without the rest of the plan."""
    names = [f"A{number}" for number in range(1, sites + 1)]
    records = [account(name, name, owner="U2") for name in names]
    made = world(**{"records": records, "users": USERS, "opportunities": deals, **tables})
    own = [
        {"connection": "salesforce", "record_id": n, "account_id": n, "owner": "U1", "owner__kind": "value"}
        for n in names
    ]
    units = [{"account_id": name, "unit_account_id": "R"} for name in (*names, "R")]
    sides = Sides(
        desired=ENGINE.table(own, DESIRED),
        ownership=ENGINE.table(units, OWNERSHIP),
        tiers=ENGINE.table([{"account_id": name, "tier": tier} for name in names], TIERS),
    )
    return stand(made, sides, policies, AS_OF, ENGINE)


def proposed(found: Standing) -> dict[str, tuple[str, str]]:
    """Record -> kind and last day."""
    return {row["record_id"]: (row["kind"], row["until"]) for row in ENGINE.rows(found.proposed)}


def held(found: Standing) -> set[str]:
    """Records that a hold on file or a proposed one keeps."""
    return {row["record_id"] for row in ENGINE.rows(found.holds)}


def state(result: Reconciliation, record: str) -> str:
    """State of the record's ownership in the plan."""
    return next(
        str(row["state"])
        for row in ENGINE.rows(result.plan.items)
        if (row["record_id"], row["group"]) == (record, "ownership")
    )


ON_FILE = {
    "connection": "salesforce",
    "record_id": "A1",
    "group": "ownership",
    "kind": "open_opportunity",
    "reason": "ELIGIBLE: open opportunity O1 in Proposal",
    "by": BY_RULE,
    "until": "2026-04-15",
}


def test_a_late_opportunity_of_the_loser_holds_the_account_until_it_is_closed() -> None:
    assert proposed(standing(deal(1, "A1", LATE))) == {"A1": ("open_opportunity", "2027-01-15")}


def test_an_eligible_opportunity_holds_for_ninety_days() -> None:
    # p50 of 1,000 and 2,000 dollars is 1,500: only the larger is eligible
    found = standing(deal(1, "A1", MIDDLE, 200_000), deal(2, "A2", MIDDLE, 100_000), sites=2)
    assert proposed(found) == {"A1": ("open_opportunity", "2026-04-15")}


@pytest.mark.parametrize(("cents", "held"), [(50_000_00, True), (49_999_99, False), (50_000, False)])
def test_a_fixed_amount_of_the_policy_is_in_dollars_like_all_money_of_policies(cents: int, held: bool) -> None:
    policies = MAPPINGS.policies
    eligible = policies.holds.eligible.model_copy(update={"amount": 50_000})
    fixed = policies.model_copy(update={"holds": policies.holds.model_copy(update={"eligible": eligible})})
    assert bool(proposed(standing(deal(1, "A1", MIDDLE, cents), policies=fixed))) is held


@pytest.mark.parametrize(
    "opportunity",
    [deal(1, "A1", EARLY), deal(1, "A1", LATE, is_closed=True), deal(1, "A1", LATE, owner="U1"), deal(1, "A1", "?")],
)
def test_an_early_a_closed_or_somebody_elses_opportunity_is_no_reason_to_wait(opportunity: dict[str, Any]) -> None:
    assert proposed(standing(opportunity)) == {}


def test_somebody_who_left_keeps_nothing() -> None:
    gone = [user("U1", "win@x.example"), user("U2", "lose@x.example", is_active=False)]
    assert proposed(standing(deal(1, "A1", LATE), users=gone)) == {}


def test_the_cap_takes_the_largest_deals_of_a_person_first() -> None:
    cap = MAPPINGS.policies.holds.max_per_rep
    deals = [deal(n, f"A{n}", MIDDLE, 100_000) for n in range(1, cap + 1)]
    found = proposed(standing(*deals, deal(99, f"A{cap + 1}", MIDDLE, 100_001), sites=cap + 1))
    equal = sorted(f"A{n}" for n in range(1, cap + 1))  # equal amounts: the lower record id
    assert sorted(found) == sorted([*equal[: cap - 1], f"A{cap + 1}"])


def test_a_customer_of_a_year_keeps_the_owner_until_the_next_plan() -> None:
    found = standing(won(1, "A1", "2025-01-15"), won(2, "A2", "2025-01-16"), sites=2)
    assert proposed(found) == {"A1": ("grandfather", "2026-12-31")}


def test_in_a_t1_system_a_customer_keeps_the_owner_only_for_a_transition() -> None:
    assert proposed(standing(won(1, "A1", "2020-01-15"), tier="T1")) == {"A1": ("grandfather", "2026-02-14")}


def test_a_hold_on_file_counts_and_is_not_proposed_again() -> None:
    found = standing(deal(1, "A1", MIDDLE), holds=[ON_FILE])
    assert (proposed(found), held(found)) == ({}, {"A1"})


def test_a_hold_whose_opportunity_is_closed_no_longer_counts_unless_a_person_made_it() -> None:
    closed = deal(1, "A1", MIDDLE, is_closed=True)
    assert held(standing(closed, holds=[ON_FILE])) == set()
    assert held(standing(closed, holds=[{**ON_FILE, "by": "maria"}])) == {"A1"}


def test_a_hold_that_ended_is_not_made_again() -> None:
    found = standing(deal(1, "A1", MIDDLE), past_holds=[{**ON_FILE, "until": "2026-01-14"}])
    assert (proposed(found), held(found)) == ({}, set())


def test_the_plan_shows_the_hold_and_is_the_same_once_it_is_on_file() -> None:
    first = decided(deal(1, "A1", MIDDLE))
    assert state(first, "A1") == "held"
    assert first.holds is not None
    on_file = [{key: row[key] for key in ON_FILE} for row in ENGINE.rows(first.holds)]
    assert on_file == [ON_FILE]
    assert decided(deal(1, "A1", MIDDLE), holds=on_file).plan.digest == first.plan.digest


def test_months_end_with_the_month() -> None:
    assert months_before("2026-03-31", 1) == "2026-02-28"
    assert months_before("2026-01-15", 12) == "2025-01-15"
    assert months_before("2024-02-29", 12) == "2023-02-28"
    assert months_before("2026-01-01", 1) == "2025-12-01"
