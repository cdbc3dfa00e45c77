"""The least number of HTTP requests a pull or a push can take, to print beside what was really used.

Counted like CallMeter: every request but logins. Formulae: rows per page, rows per composite call, one verifying read.
"""

from __future__ import annotations

from collections.abc import Iterable

PAGE_ROWS = 2000  # a query page at most
RETRIEVE_ROWS = 2000  # ids in one retrieve call
CONDITIONAL_ROWS = 25  # subrequests in one composite call
COLLECTION_ROWS = 200  # rows in one sObject collection
BATCH_ROWS = 5 * COLLECTION_ROWS  # five collections fit one composite call
BULK_FROM_ROWS = 5000  # from here on a Bulk job takes no more calls than packed collections; below, it is slower
EXTRACT_ROWS = 50_000  # records in one page of a Bulk query's result
EXTRACT_FROM_ROWS = 8000  # above, a Bulk query with the query that counted takes fewer calls than pages do
TEAM_ROWS = 200  # owner changes in one SOAP call
TEAM_IDS = 400  # account ids in one team query; keeps the address below 16 KB


def pull_floor(counts: Iterable[int], page: int = PAGE_ROWS) -> int:
    """Give the calls for pulling objects of these row counts, by pages or by a query that counts and a Bulk query.

    An empty object still costs its one query.
    """
    return sum(min(max(1, _calls(count, page)), 1 + extract_floor(count)) for count in counts)


def extract_floor(rows: int, *, polls: int = 1) -> int:
    """Give the calls for pulling so many rows by a Bulk query: create, polls, and pages of 50,000."""
    return 1 + polls + max(1, _calls(rows, EXTRACT_ROWS))


def push_floor(*, conditional: int = 0, batch: int = 0, team_checks: int = 0, canary: int = 0) -> int:
    """Give the calls for writing these numbers of records, with the reads that make the writes safe.

    conditional: one composite for the ETags and one for the writes per 25. batch: one retrieve before per 2,000 and
    one composite per 1,000. Both: one verifying retrieve per 2,000 together. team_checks: accounts asked for a team.
    canary: how many of the conditional ones are written and read back before the others.
    """
    before = _calls(conditional, CONDITIONAL_ROWS) + _calls(batch, RETRIEVE_ROWS)
    writes = (
        _calls(canary, CONDITIONAL_ROWS) + _calls(conditional - canary, CONDITIONAL_ROWS) + _calls(batch, BATCH_ROWS)
    )
    after = _calls(canary, RETRIEVE_ROWS) + _calls(conditional - canary + batch, RETRIEVE_ROWS)
    return before + writes + after + _calls(team_checks, TEAM_IDS)


def owner_floor(owners: int) -> int:
    """Give the calls for asking which of so many owners to be are active users: one query per 400."""
    return _calls(owners, TEAM_IDS)


def bulk_floor(rows: int, *, polls: int = 1, failed: bool = False) -> int:
    """Give the calls for writing this many records as one journaled job: create, upload, close, polls, failures."""
    return 3 + polls + failed if rows else 0


def team_floor(pairs: Iterable[int]) -> int:
    """Give the calls for owner changes that keep teams, by the accounts of each pair of old and new owner.

    One team query per 400 before and after, one SOAP call per 200 of a pair, one verifying retrieve per 2,000.
    """
    counts = list(pairs)
    rows = sum(counts)
    return 2 * _calls(rows, TEAM_IDS) + sum(_calls(count, TEAM_ROWS) for count in counts) + _calls(rows, RETRIEVE_ROWS)


def _calls(rows: int, size: int) -> int:
    return -(-rows // size)
