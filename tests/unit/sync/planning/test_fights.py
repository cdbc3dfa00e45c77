"""A field that another automation keeps changing back is held and named; people who change their minds are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.policy import Policies
from sync.planning.fights import fights
from sync.world import Plan, World

Flips = list[tuple[str, str, str, str, str]]
BACK_AND_FORTH: Flips = [  # day, actor kind, who, from, to; as_of is 2026-06-01
    ("2026-05-20", "integration", "bot", "005B", "005C"),
    ("2026-05-22", "integration", "005US", "005C", "005B"),
    ("2026-05-24", "integration", "bot", "005B", "005C"),
]


def told(flips: Flips) -> list[dict[str, Any]]:
    return [
        {
            "record_id": "a",
            "field": "owner",
            "changed_at": f"{day}T10:00:00.000Z",
            "actor_kind": kind,
            "changed_by": who,
            "old_value": old,
            "new_value": new,
        }
        for day, kind, who, old, new in flips
    ]


CASES: dict[str, tuple[Flips, bool]] = {
    "three flips, the other side automatic": (BACK_AND_FORTH, True),
    "two flips are not yet a fight": (BACK_AND_FORTH[1:], False),
    "three persons changed their minds": ([(day, "human", "005K", a, b) for day, _, _, a, b in BACK_AND_FORTH], False),
    "a third value is no flip": ([*BACK_AND_FORTH[:2], ("2026-05-24", "integration", "bot", "005B", "005D")], False),
    "long ago": ([("2026-04" + day[7:], *rest) for day, *rest in BACK_AND_FORTH], False),  # type: ignore[misc]  # a star in a tuple
    "only we ourselves": ([(day, "integration", "005US", a, b) for day, _, _, a, b in BACK_AND_FORTH], False),
    "from empty and back": ([(day, kind, who, a, b.replace("005B", "")) for day, kind, who, a, b in
                            [("2026-05-20", "workflow", "flow", "", "005C"),
                             ("2026-05-21", "human", "005K", "005C", "005B"),
                             ("2026-05-22", "workflow", "flow", "", "005C")]], True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_fight_is_held_and_named(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    engine: PolarsEngine,
    case: str,
) -> None:
    flips, is_fight = CASES[case]
    here = world(
        records=[{"record_id": "a", "owner": "005C"}],
        agreed=[{"record_id": "a", "owner": "005B"}],
        field_changes=told(flips),
    )
    rules = policies()
    (row,) = rows_of(plan_of([{"record_id": "a", "owner": "005B"}], here, rules).changes)
    problems = fights(here, rules.conflicts, "2026-06-01", engine)
    if not is_fight:
        assert (row["action"], problems) == ("review", ())
        return
    assert (row["state"], row["action"]) == ("held", "held")
    assert row["reason"].startswith("fight: 3 changes between two values in 14 days, by ")
    assert [(one.code, one.refs) for one in problems] == [("FIGHT", ("a",))]


def test_a_policy_may_let_fights_go_on(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    engine: PolarsEngine,
) -> None:
    rules = policies()
    rules = rules.model_copy(update={"conflicts": rules.conflicts.model_copy(update={"fight_flips": 0})})
    here = world(
        records=[{"record_id": "a", "owner": "005C"}],
        agreed=[{"record_id": "a", "owner": "005B"}],
        field_changes=told(BACK_AND_FORTH),
    )
    (row,) = rows_of(plan_of([{"record_id": "a", "owner": "005B"}], here, rules).changes)
    assert row["action"] == "review"
    assert fights(here, rules.conflicts, "2026-06-01", engine) == ()
