"""The least number of calls, derived by hand."""

from __future__ import annotations

import pytest

from connectors.salesforce.floors import pull_floor, push_floor


@pytest.mark.parametrize(
    ("counts", "calls"),
    [
        ([0], 1),  # the query that says there is nothing
        ([2000], 1),
        ([2001], 2),
        ([100_000, 40, 0], 52),  # 50 + 1 + 1
    ],
)
def test_a_pull_costs_its_pages(counts: list[int], calls: int) -> None:
    assert pull_floor(counts) == calls


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        ({}, 0),  # nothing to write costs nothing
        ({"conditional": 25}, 3),  # ETags, writes, verify
        ({"conditional": 26}, 5),  # 2 + 2 + 1
        ({"batch": 1000}, 3),  # read, write, verify
        ({"batch": 2001}, 7),  # 2 + 3 + 2
        ({"conditional": 100, "batch": 1000}, 11),  # 4 + 4, 1 + 1, one verify for all 1,100
        ({"conditional": 25, "verify": False}, 2),
        ({"conditional": 25, "team_checks": 401}, 5),  # 3 + 2
    ],
)
def test_a_push_costs_its_reads_writes_and_checks(parts: dict[str, int], calls: int) -> None:
    assert push_floor(**parts) == calls  # type: ignore[arg-type]  # verify is a bool among ints
