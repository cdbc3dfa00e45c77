"""How many calls a push may take of a day, and what is left to others."""

from __future__ import annotations

import pytest

from connectors.protocol import CallMeter
from jobs.applying.budget import below_reserve, planned_calls, pushed, refusal
from mappings.guard_policy import ApiBudget

BUDGET = ApiBudget(apply_bp=3000, reserve_bp=2000)
WATCHED = frozenset({"owner", "parent"})


def meter(left: int, limit: int = 1_000) -> CallMeter:
    return CallMeter(day_limit=limit, day_left=left)


@pytest.mark.parametrize(("calls", "left"), [(300, 500), (10, 210), (0, 5)])
def test_what_fits_the_day_is_begun(calls: int, left: int) -> None:
    assert refusal("salesforce", calls, meter(left), BUDGET) == ""


def test_the_reserve_is_left_to_others() -> None:
    why = refusal("salesforce", 11, meter(210), BUDGET)
    assert why.startswith("salesforce: about 11 calls; 210 of the day's 1,000 are left, and 200 of them are others'")


def test_one_apply_does_not_take_most_of_the_day() -> None:
    assert "one apply takes 300 at most" in refusal("hubspot", 301, meter(1_000), BUDGET)


def test_where_the_crm_does_not_say_nothing_is_refused() -> None:
    assert refusal("hubspot", 9_999, CallMeter(), BUDGET) == ""
    assert list(below_reserve({"hubspot": CallMeter()}, BUDGET)) == []


def test_a_run_ends_when_only_the_others_share_is_left() -> None:
    assert list(below_reserve({"salesforce": meter(200)}, BUDGET)) == []
    (why,) = below_reserve({"salesforce": meter(199), "hubspot": meter(900)}, BUDGET)
    assert why.startswith("salesforce: 199 calls of the day's 1,000 are left")


def test_an_owner_that_stays_is_no_owner_change() -> None:
    assert pushed("1", "conditional", {"owner": "a"}, {"owner": "a"}, WATCHED).owner is None
    assert pushed("1", "conditional", {"owner": None}, {"owner": "b"}, WATCHED).owner == ("", "b")


def test_a_plan_is_priced_by_its_lanes() -> None:
    items = [
        {"item_id": str(n), "connection": "salesforce", "record_id": str(n), "lane": "conditional"} for n in range(50)
    ]
    changes = [{"item_id": one["item_id"], "field": "owner", "crm": "a", "desired": "b"} for one in items]
    calls = planned_calls(items, changes, watched=WATCHED)
    assert calls == {"salesforce": 2 + 2 + 1 + 1 + 1}  # ETags, writes, reading back, a look for teams, one at the owner
