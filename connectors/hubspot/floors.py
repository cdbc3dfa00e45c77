"""The least number of HTTP requests a pull and a push can make at HubSpot's page sizes; runs report calls beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSize:
    """What a pull had to bring."""

    companies: int
    deals: int = 0
    owners: int = 0
    archived_companies: int = 0
    archived_deals: int = 0
    archived_owners: int = 0
    described: int = 0  # object types whose properties were read
    org: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSize:
    """What a pull of changes had to bring. The archive is swept whole."""

    changed_companies: int
    changed_deals: int = 0
    owners: int = 0
    archived_companies: int = 0
    archived_deals: int = 0
    archived_owners: int = 0


def pull_floor(size: PullSize) -> int:
    """Requests of a full pull: 100 records a list page, 500 owners; an empty list costs its one request."""
    records = (size.companies, size.archived_companies, size.deals, size.archived_deals)
    owners = (size.owners, size.archived_owners)
    return sum(_pages(n, 100) for n in records) + sum(_pages(n, 500) for n in owners) + size.described + size.org


def delta_floor(size: DeltaSize) -> int:
    """Requests of a pull of changes: 200 records a search page, the companies of 1,000 deals a request."""
    found = _pages(size.changed_companies, 200) + _pages(size.changed_deals, 200) + _parts(size.changed_deals, 1000)
    archive = _pages(size.archived_companies, 100) + _pages(size.archived_deals, 100)
    return found + archive + _pages(size.owners, 500) + _pages(size.archived_owners, 500)


def push_floor(
    updates: int, *, traced: int = 0, parents_added: int = 0, parents_removed: int = 0, parents_traced: int = 0
) -> int:
    """Requests of a safe push: read, write and read back 100 rows each.

    `traced` of the updates, and of the parents, are read back with their history, which HubSpot gives for 50 a request
    at most. A parent is read before and after with its record and its association (1,000 a request), and its
    association once more as it is written. A move is one row to remove and one to set, 100 a request since the two stay
    together; a first parent is one row to set (1,000 a request, some of them with the last moves). Rows that already
    hold the wanted value are no updates: a push of nothing costs nothing.
    """
    changed = max(parents_added, parents_removed)
    parents_back = _parts(parents_traced, 50) + _parts(changed - parents_traced, 100)
    reads = _parts(changed, 100) + parents_back + 3 * _parts(changed, 1000)
    back = _parts(traced, 50) + _parts(updates - traced, 100)
    moved = min(parents_added, parents_removed)
    sets = _parts(moved, 100) + _parts(parents_added - moved - (900 if moved else 0), 1000)
    return 2 * _parts(updates, 100) + back + reads + _parts(parents_removed, 100) + sets


def _pages(records: int, size: int) -> int:
    return max(1, _parts(records, size))


def _parts(rows: int, size: int) -> int:
    return -(-max(rows, 0) // size)
