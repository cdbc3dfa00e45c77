"""The floor formulae, worked by hand."""

from __future__ import annotations

from connectors.hubspot.floors import DeltaSize, PullSize, delta_floor, pull_floor, push_floor


def test_a_full_pull_pages_by_100_and_owners_by_500() -> None:
    # 25 + 3 company pages, 1 + 1 deal pages, 1 + 1 owner pages, 2 property lists, 1 portal
    size = PullSize(companies=2_401, archived_companies=201, deals=100, owners=80, described=2)
    assert pull_floor(size) == 25 + 3 + 1 + 1 + 1 + 1 + 2 + 1


def test_an_empty_portal_still_costs_a_request_a_list() -> None:
    assert pull_floor(PullSize(companies=0)) == 7


def test_a_delta_pages_by_200() -> None:
    # 2 + 1 searches, 1 association read, 1 + 1 archive pages, 1 + 1 owner pages
    assert delta_floor(DeltaSize(changed_companies=201, changed_deals=1)) == 8


def test_a_push_reads_writes_and_reads_back() -> None:
    assert push_floor(1_500) == 45
    assert push_floor(0) == 0


def test_parents_cost_their_own_requests() -> None:
    # 2 record and 1 association reads before and again after, 1 association read at the write;
    # 2 archives with 2 creates, the first parents with the last of them
    assert push_floor(0, parents_added=200, parents_removed=150) == 2 * (2 + 1) + 1 + 2 + 2


def test_a_read_back_with_history_takes_fifty_records_a_call() -> None:
    # 1,500 read and written a hundred at a time, 1,200 of them read back fifty at a time, 300 a hundred at a time
    assert push_floor(1_500, traced=1_200) == 15 + 15 + 24 + 3
