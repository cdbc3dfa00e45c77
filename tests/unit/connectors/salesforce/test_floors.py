"""The least number of calls, derived by hand."""

from __future__ import annotations

import pytest

from connectors.salesforce.floors import BULK_FROM_ROWS, bulk_floor, pull_floor, push_floor, team_floor


@pytest.mark.parametrize(
    ("counts", "calls"),
    [
        ([0], 1),  # the query that says there is nothing
        ([2000], 1),
        ([2001], 2),
        ([8000, 40, 0], 6),  # 4 + 1 + 1
        ([100_000, 40, 0], 7),  # a query that counts, a Bulk query with one poll and 2 pages; 1 + 1
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
        ({"conditional": 100, "canary": 10}, 11),  # 4 ETags, 1 + 4 writes, each verified
        ({"conditional": 25, "team_checks": 401}, 5),  # 3 + 2
    ],
)
def test_a_push_costs_its_reads_writes_and_checks(parts: dict[str, int], calls: int) -> None:
    assert push_floor(**parts) == calls


@pytest.mark.parametrize(
    ("pairs", "calls"),
    [
        ([], 0),
        ([200], 4),  # image, SOAP, owners, team
        ([1, 1], 5),  # a SOAP call for each pair of owners
        ([401], 8),  # 2 + 3 + 1 + 2
    ],
)
def test_owner_changes_with_teams_cost_a_call_per_pair_and_200(pairs: list[int], calls: int) -> None:
    assert team_floor(pairs) == calls


def test_the_choice_between_collections_and_a_job_is_never_far_from_the_better() -> None:
    for rows in range(100, 30_000, 100):
        collections = push_floor(batch=rows) - 2 * -(-rows // 2000)  # without the reads before and after
        chosen = bulk_floor(rows) if rows >= BULK_FROM_ROWS else collections
        assert chosen <= 1.5 * min(collections, bulk_floor(rows))
