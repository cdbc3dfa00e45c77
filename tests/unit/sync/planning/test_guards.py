from __future__ import annotations

from collections.abc import Callable
from typing import Any

import narwhals as nw
import pytest

from jobs.engines import PolarsEngine
from mappings.policy import FieldPolicy, Limit, Policies
from sync.planning.guards import Populations, breaches, evaluate, guard_id, limit_of, populations_of, recheck
from sync.world import CHANGES, ITEMS, GuardResult, Plan, World

Make = Callable[..., Policies]


def changes(count: int, *, prefix: str = "r", **values: Any) -> list[dict[str, Any]]:
    """So many changes of one kind, each an item of its own."""
    row = {"connection": "salesforce", "field": "owner", "state": "update", "desired_kind": "value", **values}
    return [{"item_id": f"{prefix}{i}", "record_id": f"{prefix}{i}", **row} for i in range(count)]


def measure(engine: PolarsEngine, rules: Policies, rows: list[dict[str, Any]], **more: Any) -> dict[str, GuardResult]:
    populations = more.pop("populations", Populations(accounts={"salesforce": 1000}))
    items = engine.table([{"item_id": row["item_id"]} for row in rows], ITEMS)
    results = evaluate(
        items, engine.table(rows, CHANGES), populations=populations, policies=rules, engine=engine, **more
    )
    return {guard_id(result): result for result in results}


@pytest.mark.parametrize(
    ("count", "share_bp", "population", "limit"), [(50, 200, 1000, 50), (50, 200, 10_000, 200), (0, 0, 10_000, 0)]
)
def test_a_limit_is_the_larger_of_count_and_share(count: int, share_bp: int, population: int, limit: int) -> None:
    assert limit_of(Limit(count=count, share_bp=share_bp), population) == limit


def test_owner_changes_stop_above_the_limit_and_not_at_it(engine: PolarsEngine, policies: Make) -> None:
    at_limit = measure(engine, policies(), changes(50, crm="005A", desired="005B"))
    above = measure(engine, policies(), changes(51, crm="005A", desired="005B"))
    assert not at_limit["owner_changes:salesforce"].breached
    assert above["owner_changes:salesforce"].breached
    assert above["owner_changes:salesforce"].message == (
        "salesforce: 51 of 1,000 (5.1 %) accounts change owner, limit 50. Nothing is written until somebody accepts "
        "owner_changes:salesforce for this plan; check territories and the hierarchy changes behind it."
    )


def test_a_book_transfer_is_one_move(engine: PolarsEngine, policies: Make) -> None:
    rows = changes(30, crm="005A", desired="005B") + changes(3, prefix="s", crm="005A", desired="005C")
    told = measure(engine, policies(), rows)
    assert told["owner_moves:salesforce"].measured == 2
    assert told["owner_changes:salesforce"].measured == 33


def test_each_book_is_measured_against_its_own_size(engine: PolarsEngine, policies: Make) -> None:
    books = {("salesforce", "005A"): 400, ("salesforce", "005B"): 10}
    populations = Populations(accounts={"salesforce": 100_000}, books=books)
    told = measure(engine, policies(), changes(40, crm="005A", desired="005B"), populations=populations)
    lost, gained = told["owner_lost_by_rep:salesforce:005A"], told["owner_gained_by_rep:salesforce:005B"]
    assert (lost.limit, lost.breached) == (60, False)  # 15 % of 400
    assert (gained.limit, gained.breached) == (30, True)  # 20 % of 10 is less than the count


def test_too_many_accounts_to_one_owner_stop_whatever_the_population(engine: PolarsEngine, policies: Make) -> None:
    populations = Populations(accounts={"salesforce": 1_000_000})
    rows = [row for i in range(3) for row in changes(70, prefix=f"p{i}-", crm=f"005{i}", desired="005Z")]
    told = measure(engine, policies(), rows, populations=populations)
    assert told["accounts_to_one_owner:salesforce:005Z"].breached
    assert not told["owner_changes:salesforce"].breached


def test_parents_fields_and_downgrades_have_limits_of_their_own(engine: PolarsEngine, policies: Make) -> None:
    rows = (
        changes(26, prefix="p", field="parent", crm="1", desired="2")
        + changes(30, prefix="d", field="account_tier", crm="T1", desired="UNTIERED")
        + changes(30, prefix="u", field="account_tier", crm="T3", desired="T1")
        + changes(1, prefix="x", field="account_tier", crm="GOLD", desired="T3")
    )
    told = measure(engine, policies(), rows)
    assert told["parent_changes:salesforce"].breached
    assert told["any_field:salesforce:account_tier"].measured == 61
    downgrades = told["tier_downgrades:salesforce"]
    assert (downgrades.measured, downgrades.limit, downgrades.breached) == (30, 50, False)  # 5 % of 1,000


def test_emptied_values_stop_the_plan_unless_their_field_may_be_emptied(engine: PolarsEngine, policies: Make) -> None:
    allowed = changes(5, prefix="a", field="rescore_reason", state="clear", desired_kind="clear")
    asked = changes(1, prefix="b", field="parent", state="clear", desired_kind="clear")
    assert "clears:salesforce" not in measure(engine, policies(), allowed)
    assert measure(engine, policies(), allowed + asked)["clears:salesforce"].breached


def test_first_contact_is_a_class_of_its_own_until_it_is_accepted_for_good(
    engine: PolarsEngine, policies: Make
) -> None:
    rows = changes(60, state="takeover", crm="005A", desired="005B")
    contacted = {"first_contact:salesforce:owner"}
    new, known = measure(engine, policies(), rows), measure(engine, policies(), rows, contacted=contacted)
    assert new["owner_changes:salesforce"].measured == 0
    assert (new["first_contact:salesforce:owner"].limit, new["first_contact:salesforce:owner"].breached) == (0, True)
    assert (known["first_contact:salesforce:owner"].limit, known["first_contact:salesforce:owner"].measured) == (50, 60)
    assert known["first_contact:salesforce:owner"].breached


@pytest.mark.parametrize("name", ["first_contact:salesforce:owner", "first_contact:salesforce", "first_contact"])
def test_an_acceptance_for_this_plan_lets_it_through_and_says_so(
    engine: PolarsEngine, policies: Make, name: str
) -> None:
    rows = changes(500, state="fill", desired="005B")
    told = measure(engine, policies(), rows, accepted={name}, contacted={"first_contact:salesforce:owner"})
    result = told["first_contact:salesforce:owner"]
    assert (result.breached, result.measured) == (False, 500)
    assert result.message.endswith("Accepted for this plan.")


def test_an_acceptance_of_another_subject_does_not_help(engine: PolarsEngine, policies: Make) -> None:
    rows = changes(1, state="fill", desired="005B")
    told = measure(engine, policies(), rows, accepted={"first_contact:salesforce:own", "first_contact:hubspot"})
    assert told["first_contact:salesforce:owner"].breached


def test_only_the_items_handed_in_are_measured(engine: PolarsEngine, policies: Make) -> None:
    rows = changes(10, crm="005A", desired="005B")
    items = engine.table([{"item_id": "r1"}, {"item_id": "r2"}], ITEMS)
    results = evaluate(
        items,
        engine.table(rows, CHANGES),
        populations=Populations(accounts={"salesforce": 10}),
        policies=policies(),
        engine=engine,
    )
    assert {r.measured for r in results if r.guard == "owner_changes"} == {2}


def test_the_approved_part_is_measured_against_the_plans_own_populations(
    engine: PolarsEngine, policies: Make, plan_of: Callable[..., Plan], world: Callable[..., World]
) -> None:
    users = [f"{i:03}" for i in range(40)]
    seen = world(
        records=[{"record_id": user, "owner": "005A"} for user in users],
        agreed=[{"record_id": user, "owner": "005A"} for user in users],
    )
    plan = plan_of([{"record_id": user, "owner": "005B"} for user in users], seen)
    assert {guard_id(result) for result in breaches(plan.guards)} == {
        "owner_lost_by_rep:salesforce:005A",
        "owner_gained_by_rep:salesforce:005B",
    }
    books = populations_of(plan.guards).books
    assert books == {("salesforce", "005A"): 40, ("salesforce", "005B"): 0}
    some = plan.items.filter(nw.col("sequence") <= 20)
    again = recheck(some, plan.changes, planned=plan.guards, policies=policies(), engine=engine)
    assert breaches(again) == ()
    assert {r.population for r in again if r.guard == "owner_changes"} == {40}


def test_items_that_cannot_be_written_count_for_nothing(
    policies: Make, plan_of: Callable[..., Plan], world: Callable[..., World]
) -> None:
    seen = world(records=[{"record_id": "1"}], team_members=[{"record_id": "1", "user_id": "005B"}])
    rules = policies({"owner": FieldPolicy(group="ownership", on_takeover="ours")})
    plan = plan_of([{"record_id": "1", "owner": "005A"}], seen, rules)
    assert breaches(plan.guards) == ()
