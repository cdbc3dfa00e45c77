from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync.world import Plan, World

Rows = list[dict[str, Any]]

OWN = {"owner": "005A", "account_tier": "T1"}


@pytest.fixture
def planned(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Rows]
) -> Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]]:
    """Items by (record, group), from records (agreed as they are) and wishes."""

    def make(records: Rows, wishes: Rows) -> dict[tuple[str, str], dict[str, Any]]:
        seen = world(records=records, agreed=[{k: v for k, v in row.items() if k != "is_deleted"} for row in records])
        return {(row["record_id"], row["group"]): row for row in rows_of(plan_of(wishes, seen).items)}

    return make


# Trinity                     Trinity
# Ascension                   └ Ascension          (acquired)
# └ Indiana                     └ Indiana
#   └ Evansville                  └ Evansville
TREE: Rows = [
    {"record_id": "trinity"},
    {"record_id": "ascension"},
    {"record_id": "indiana", "parent": "ascension", **OWN},
    {"record_id": "evansville", "parent": "indiana", **OWN},
    {"record_id": "elsewhere", **OWN},
]


def test_items_below_an_acquired_system_follow_from_its_change_of_parent(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(
        TREE,
        [
            {"record_id": "ascension", "parent": "trinity", "depth": 1},
            {"record_id": "indiana", "owner": "005B", "depth": 2},
            {"record_id": "evansville", "owner": "005B", "account_tier": "T2", "depth": 3},
            {"record_id": "elsewhere", "owner": "005B"},
        ],
    )
    cause = items["ascension", "hierarchy"]["item_id"]
    assert items["indiana", "ownership"]["caused_by"] == cause
    assert items["evansville", "ownership"]["caused_by"] == cause
    assert items["elsewhere", "ownership"]["caused_by"] is None
    order = sorted(items, key=lambda key: items[key]["sequence"])
    assert order == [
        ("ascension", "hierarchy"),
        ("indiana", "ownership"),
        ("evansville", "ownership"),
        ("evansville", "segmentation"),
        ("elsewhere", "ownership"),
    ]


def test_the_nearest_change_of_parent_is_the_cause(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(
        TREE,
        [
            {"record_id": "ascension", "parent": "trinity", "depth": 1},
            {"record_id": "evansville", "parent": "trinity", "owner": "005B", "depth": 1},
        ],
    )
    assert items["evansville", "ownership"]["caused_by"] == items["evansville", "hierarchy"]["item_id"]
    assert items["evansville", "hierarchy"]["caused_by"] is None


def test_parents_are_written_top_down(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(
        TREE,
        [
            {"record_id": "evansville", "parent": "trinity", "depth": 3},
            {"record_id": "ascension", "parent": "trinity", "depth": 1},
            {"record_id": "indiana", "parent": "trinity", "depth": 2},
        ],
    )
    order = sorted(items, key=lambda key: items[key]["sequence"])
    assert [record for record, _ in order] == ["ascension", "indiana", "evansville"]


def test_a_parent_change_that_cannot_be_written_causes_nothing(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(TREE, [{"record_id": "indiana", "parent": "nowhere", "owner": "005B"}])
    assert items["indiana", "hierarchy"]["action"] == "blocked"
    assert items["indiana", "ownership"]["caused_by"] is None


def test_a_circle_of_parents_in_the_crm_ends(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    circle: Rows = [
        {"record_id": "1", "parent": "3", **OWN},
        {"record_id": "2", "parent": "1", **OWN},
        {"record_id": "3", "parent": "2", **OWN},
        {"record_id": "top"},
    ]
    items = planned(circle, [{"record_id": "1", "parent": "top"}, {"record_id": "3", "owner": "005B"}])
    assert items["3", "ownership"]["caused_by"] == items["1", "hierarchy"]["item_id"]


# a                  b
# └ b                └ a           (b was bought out and bought its parent)
SWAP: Rows = [{"record_id": "a", "parent": "top"}, {"record_id": "b", "parent": "a"}, {"record_id": "top"}]


def test_of_two_records_that_swap_the_one_that_leaves_moves_first_and_the_other_waits_for_it(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(
        SWAP, [{"record_id": "a", "parent": "b", "depth": 2}, {"record_id": "b", "parent": "top", "depth": 1}]
    )
    leaving, following = items["b", "hierarchy"], items["a", "hierarchy"]
    assert leaving["sequence"] < following["sequence"]
    assert (leaving["caused_by"], following["caused_by"]) == (None, leaving["item_id"])


def test_a_change_of_parent_that_would_leave_a_circle_is_blocked(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    items = planned(SWAP, [{"record_id": "a", "parent": "b", "depth": 1}])
    assert items["a", "hierarchy"]["action"] == "blocked"
    assert "circle of parents" in items["a", "hierarchy"]["reason"]


def test_a_change_of_parent_that_only_runs_into_a_circle_ends(
    planned: Callable[[Rows, Rows], dict[tuple[str, str], dict[str, Any]]],
) -> None:
    records = [{"record_id": "1", "parent": "2"}, {"record_id": "2", "parent": "1"}, {"record_id": "x"}]
    items = planned(records, [{"record_id": "x", "parent": "1", "depth": 1}])
    assert items["x", "hierarchy"]["action"] != "blocked"
