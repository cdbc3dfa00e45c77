"""Two CRMs with a native sync between them: the mirror waits for the master's echo, and is written without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.policy import MultiCrm, Policies
from sync.world import MOVES, Plan, World

Rows = list[dict[str, Any]]
SYSTEM = MultiCrm(master="salesforce", mirror=("hubspot",), wait_for_echo="20m")


@pytest.fixture
def planned(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
    engine: PolarsEngine,
) -> Callable[..., dict[str, tuple[str, str, str | None]]]:
    """(state, action, reason) of the health system by connection: agreed on `Old`, wanted is `New`."""

    def make(master: str | None, mirror: str, *, age_min: int | None = None) -> dict[str, tuple[str, str, str | None]]:
        says = {"salesforce": master, "hubspot": mirror}
        keys = {c: {"connection": c, "record_id": c[0]} for c, value in says.items() if value is not None}
        moved = [{**keys["salesforce"], "field": "health_system", "age_min": age_min}] if age_min is not None else []
        seen = world(
            {"moves": engine.table(moved, MOVES)},
            records=[{**key, "health_system": says[c]} for c, key in keys.items()],
            agreed=[{**key, "health_system": "Old" if says[c] == "Old" else says[c]} for c, key in keys.items()],
            crosswalk=[{"source": c, "source_id": c[0], "account_id": "A"} for c in keys],
        )
        rules = policies()
        conflicts = rules.conflicts.model_copy(update={"multi_crm": {"health_system": SYSTEM}})
        wanted = [{**key, "account_id": "A", "health_system": "New"} for key in keys.values()]
        plan = plan_of(wanted, seen, rules.model_copy(update={"conflicts": conflicts}))
        return {row["connection"]: (row["state"], row["action"], row["reason"]) for row in rows_of(plan.changes)}

    return make


def test_the_mirror_waits_while_the_master_does_not_have_the_value(planned: Callable[..., Any]) -> None:
    assert planned("Old", "Old") == {
        "salesforce": ("update", "auto", None),
        "hubspot": ("held", "held", "echo: salesforce gets it first; its sync may bring it here"),
    }


def test_the_mirror_waits_for_the_echo_and_is_written_when_it_does_not_come(planned: Callable[..., Any]) -> None:
    words = "echo: written to salesforce within 20m; its sync may still bring it"
    assert planned("New", "Old", age_min=19) == {"hubspot": ("held", "held", words)}
    assert planned("New", "Old", age_min=20) == {"hubspot": ("update", "auto", None)}
    assert planned("New", "Old") == {"hubspot": ("update", "auto", None)}


def test_an_echo_that_came_has_converged_or_is_nothing_at_all(planned: Callable[..., Any]) -> None:
    assert planned("New", "New", age_min=3) == {}


def test_an_account_without_a_record_in_the_master_is_written_as_ever(planned: Callable[..., Any]) -> None:
    assert planned(None, "Old") == {"hubspot": ("update", "auto", None)}
