"""Sums over days, and limits that one case is enough for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.guard_policy import Freeze, GuardPolicy, Window
from mappings.policy import Policies
from sync.planning.alarms import Circumstances, circumstances, frozen
from sync.planning.guards import Populations, evaluate, guard_id
from sync.planning.limits import RULES, unit_of
from sync.world import CHANGES, ITEMS, MOVES, GuardResult, Plan, World

Make = Callable[..., Policies]


def changes(count: int, *, prefix: str = "r", **values: Any) -> list[dict[str, Any]]:
    row = {"connection": "salesforce", "field": "owner", "state": "update", "desired_kind": "value"}
    owners = {"crm": "005A", "desired": "005B"}
    return [{"item_id": f"{prefix}{i}", "record_id": f"{prefix}{i}", **row, **owners, **values} for i in range(count)]


def moved(count: int, *, age_h: int = 1, **values: Any) -> list[dict[str, Any]]:
    row = {"plan_id": "P1", "run_id": "R1", "connection": "salesforce", "field": "owner", "state": "update"}
    owners = {"old": "005A", "new": "005B"}
    return [{"record_id": f"m{i}", "age_min": age_h * 60, **row, **owners, **values} for i in range(count)]


def measure(
    engine: PolarsEngine, rules: Policies, rows: list[dict[str, Any]], *, accepted: Any = (), **beside: Any
) -> dict[str, GuardResult]:
    frames = {name: engine.table(beside.pop(name), MOVES) for name in ("moves", "own") if name in beside}
    results = evaluate(
        engine.table([{"item_id": row["item_id"]} for row in rows], ITEMS),
        engine.table(rows, CHANGES),
        populations=Populations(accounts={"salesforce": 1000}, books={("salesforce", "005A"): 1000}),
        policies=rules,
        accepted=accepted,
        around=Circumstances(**frames, **beside),
        engine=engine,
    )
    return {guard_id(result): result for result in results}


def test_two_plans_of_one_day_are_measured_together(engine: PolarsEngine, policies: Make) -> None:
    alone = measure(engine, policies(), changes(30), moves=[])
    after = measure(engine, policies(), changes(30), moves=moved(21))
    assert not any(result.breached for result in alone.values() if result.guard.startswith("owner_changes"))
    assert after["owner_changes:salesforce"].measured == 30
    day = after["owner_changes_24h:salesforce"]
    assert (day.measured, day.limit, day.breached) == (51, 50, True)
    assert "51 of 1,000 (5.1 %) accounts change owner within 24h, limit 50." in day.message


def test_a_week_may_move_three_times_the_limit(engine: PolarsEngine, policies: Make) -> None:
    at = measure(engine, policies(), changes(50), moves=moved(100, age_h=30))
    above = measure(engine, policies(), changes(50), moves=moved(101, age_h=30))
    assert "owner_changes_24h:salesforce" not in at
    assert (at["owner_changes_7d:salesforce"].measured, at["owner_changes_7d:salesforce"].breached) == (150, False)
    assert above["owner_changes_7d:salesforce"].breached
    assert "owner_changes_7d:salesforce" not in measure(engine, policies(), changes(50), moves=moved(500, age_h=168))


def test_first_contact_does_not_count_into_the_sums(engine: PolarsEngine, policies: Make) -> None:
    for state in ("fill", "takeover"):
        told = measure(engine, policies(), changes(30), moves=moved(400, state=state))
        assert not [name for name in told if "_24h" in name or "_7d" in name]
    known = measure(engine, policies(), changes(30), moves=moved(400, state=""))
    assert known["owner_changes_24h:salesforce"].breached  # of writes before states were kept nothing is known


def test_a_book_that_goes_in_two_steps_is_one_move_and_each_rep_is_summed(engine: PolarsEngine, policies: Make) -> None:
    told = measure(engine, policies(), changes(20), moves=moved(15))
    assert "owner_moves_24h:salesforce" not in told
    assert told["owner_gained_by_rep_24h:salesforce:005B"].measured == 35
    assert told["owner_gained_by_rep_24h:salesforce:005B"].breached  # 30 for somebody without a book
    other = measure(engine, policies(), changes(20), moves=moved(15, new="005C"))
    assert other["owner_moves_24h:salesforce"].measured == 2
    assert "owner_gained_by_rep_24h:salesforce:005B" not in other


def test_what_the_plan_does_not_touch_is_not_summed(engine: PolarsEngine, policies: Make) -> None:
    rows = changes(3, field="account_tier", crm="T1", desired="T2")
    told = measure(engine, policies(), rows, moves=moved(400) + moved(99, field="account_tier", old="T1", new="T3"))
    assert "owner_changes_24h:salesforce" not in told
    assert told["any_field_24h:salesforce:account_tier"].measured == 102
    assert (told["tier_downgrades_24h:salesforce"].measured, told["tier_downgrades_24h:salesforce"].limit) == (102, 50)


def test_what_an_undo_takes_back_is_not_held_against_it_and_its_own_moves_count_later(
    engine: PolarsEngine, policies: Make
) -> None:
    back = changes(40, crm="005B", desired="005A", rule_id="undo:R1")
    told = measure(engine, policies(), back, moves=moved(40) + moved(3, run_id="R0"))
    assert told["owner_changes_24h:salesforce"].measured == 43
    later = measure(engine, policies(), changes(10), moves=moved(40) + moved(40, run_id="R2", old="005B", new="005A"))
    assert later["owner_changes_24h:salesforce"].measured == 90


def test_what_this_plan_wrote_already_counts_for_it(engine: PolarsEngine, policies: Make) -> None:
    told = measure(engine, policies(), changes(30), own=moved(30))
    assert (told["owner_changes:salesforce"].measured, told["owner_changes:salesforce"].breached) == (60, True)
    let_through = measure(engine, policies(), changes(30), own=moved(30), moves=[], accepted={"owner_changes"})
    assert not let_through["owner_changes:salesforce"].breached


def test_a_sum_is_accepted_under_its_own_name(engine: PolarsEngine, policies: Make) -> None:
    rows, past = changes(30), moved(30)
    plain = measure(engine, policies(), rows, moves=past, accepted={"owner_changes"})
    assert plain["owner_changes_24h:salesforce"].breached
    named = measure(engine, policies(), rows, moves=past, accepted={"owner_changes_24h"})
    assert not named["owner_changes_24h:salesforce"].breached


def test_windows_are_the_policys(engine: PolarsEngine, policies: Make) -> None:
    rules = policies(guards={"windows": (Window(hours=48, times=2),)})
    told = measure(engine, rules, changes(30), moves=moved(80, age_h=47) + moved(80, age_h=48))
    assert told["owner_changes_2d:salesforce"].measured == 110
    assert told["owner_changes_2d:salesforce"].limit == 100
    none = measure(engine, policies(guards={"windows": ()}), changes(30), moves=moved(400))
    assert not [name for name in none if "_24h" in name]


def test_owner_and_parent_of_a_named_account_stop_the_plan_its_tier_does_not(
    engine: PolarsEngine, policies: Make
) -> None:
    one = changes(1, account_id="a-mercy")
    assert "named_accounts:salesforce" not in measure(engine, policies(), one)
    for name in ("a-mercy", "r0", "salesforce:r0"):
        assert measure(engine, policies(), one, named=frozenset({name}))["named_accounts:salesforce"].breached
    tier = changes(1, field="account_tier", crm="T2", desired="T1", account_id="a-mercy")
    assert "named_accounts:salesforce" not in measure(engine, policies(), tier, named=frozenset({"a-mercy"}))
    new = changes(1, state="takeover", account_id="a-mercy")
    assert "named_accounts:salesforce" not in measure(engine, policies(), new, named=frozenset({"a-mercy"}))
    other = measure(engine, policies(), one, named=frozenset({"a-mercy"}), accepted={"named_accounts"})
    assert not other["named_accounts:salesforce"].breached


def test_named_accounts_are_those_of_the_list_and_those_held_as_named(
    engine: PolarsEngine, policies: Make, world: Callable[..., World]
) -> None:
    seen = world(
        crosswalk=[{"source": "definitive", "source_id": "900", "account_id": "a-mercy"}],
        holds=[
            {"record_id": "1", "group": "ownership", "kind": "named_account"},
            {"record_id": "2", "group": "ownership", "kind": "lock"},
        ],
    )
    around = circumstances(seen, policies().guards, {"900": "ana@x.example"}, engine)
    assert around.named == {"900", "a-mercy", "salesforce:1"}


FREEZES = (
    Freeze(id="year-end", **{"from": "2026-12-21", "until": "2027-01-02"}),
    Freeze(id="office", weekdays=("mon", "fri"), hours=(8, 18)),
    Freeze(id="night", weekdays=("sat",), hours=(22, 6)),
)


@pytest.mark.parametrize(
    ("local_time", "names"),
    {
        "before the first day": ("2026-12-20T23:59", []),
        "the last day, whole": ("2027-01-02T23:59", ["year-end", "night"]),
        "a Monday at eight": ("2026-11-23T08:00", ["office"]),
        "a Monday at six in the evening": ("2026-11-23T18:00", []),
        "a Tuesday": ("2026-11-24T09:00", []),
        "Sunday before six belongs to Saturday's night": ("2026-11-29T05:59", ["night"]),
        "Sunday at six": ("2026-11-29T06:00", []),
        "Saturday before six": ("2026-11-28T05:00", []),
        "no time is known": ("", []),
    }.values(),
)
def test_a_freeze_holds_when_all_it_says_holds(local_time: str, names: list[str]) -> None:
    assert [one.id for one in frozen(FREEZES, local_time)] == names


def test_a_freeze_stops_any_write_and_nothing_else(engine: PolarsEngine, policies: Make) -> None:
    rules = policies(guards={"freeze": FREEZES})
    told = measure(engine, rules, changes(2), local_time="2026-12-24T12:00")
    assert (told["freeze:year-end"].measured, told["freeze:year-end"].breached) == (2, True)
    assert not [name for name in measure(engine, rules, [], local_time="2026-12-24T12:00") if "freeze" in name]
    assert "freeze:year-end" not in measure(engine, rules, changes(2), local_time="2026-12-20T12:00")


def test_lost_access_and_a_missing_canary_stop_what_is_written_there(engine: PolarsEngine, policies: Make) -> None:
    rules = policies(guards={"canaries": {"salesforce": ("001A", "001B"), "hubspot": ("7",)}})
    beside = {
        "lost_access": {"salesforce": {"owner"}},
        "missing_canaries": {"salesforce": ("001B",), "hubspot": ("7",)},
    }
    told = measure(engine, rules, changes(1), **beside)
    assert told["permission_drift:salesforce"].breached
    assert (told["canary:salesforce"].measured, told["canary:salesforce"].population) == (1, 2)
    assert "canary:hubspot" not in told  # nothing would be written there


def test_canaries_are_live_records(engine: PolarsEngine, policies: Make, world: Callable[..., World]) -> None:
    guards: GuardPolicy = policies(guards={"canaries": {"salesforce": ("1", "2", "3", "4")}}).guards
    seen = world(
        records=[{"record_id": "1"}, {"record_id": "2", "is_deleted": True}, {"record_id": "3", "merged_into": "1"}]
    )
    assert circumstances(seen, guards, (), engine).missing_canaries == {"salesforce": ("2", "3", "4")}


def test_a_plan_made_of_a_world_looks_at_what_stands_beside_it(
    plan_of: Callable[..., Plan], policies: Make, world: Callable[..., World], engine: PolarsEngine
) -> None:
    past = engine.table(moved(60, field="health_system", old="A", new="B"), MOVES)
    seen = world(
        {"moves": past, "local_time": "2026-12-24T12:00", "fixed": {"salesforce": frozenset({"territory"})}},
        records=[{"record_id": "1", "health_system": "A"}],
        agreed=[{"record_id": "1", "health_system": "A"}],
    )
    plan = plan_of([{"record_id": "1", "health_system": "B"}], seen, policies(guards={"freeze": FREEZES}))
    stopped = {guard_id(one) for one in plan.guards if one.breached}
    assert stopped == {"any_field_24h:salesforce:health_system", "freeze:year-end", "permission_drift:salesforce"}


def test_every_guard_has_words_alone_and_in_a_window() -> None:
    for rule in RULES:
        assert unit_of(rule.guard) == rule.unit
        assert unit_of(f"{rule.guard}_7d") == f"{rule.unit} within 7d"
    assert unit_of("unheard_of") == ""
