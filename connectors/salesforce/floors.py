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
TEAM_IDS = 400  # account ids in one team query; keeps the address below 16 KB


def pull_floor(counts: Iterable[int], page: int = PAGE_ROWS) -> int:
    """Give the calls for pulling objects of these row counts; an empty object still costs its one query."""
    return sum(max(1, _calls(count, page)) for count in counts)


def push_floor(*, conditional: int = 0, batch: int = 0, team_checks: int = 0, verify: bool = True) -> int:
    """Give the calls for writing these numbers of records, with the reads that make the writes safe.

    conditional: one composite for the ETags and one for the writes per 25. batch: one retrieve before per 2,000 and
    one composite per 1,000. Both: one verifying retrieve per 2,000 together. team_checks: accounts asked for a team.
    """
    before = _calls(conditional, CONDITIONAL_ROWS) + _calls(batch, RETRIEVE_ROWS)
    writes = _calls(conditional, CONDITIONAL_ROWS) + _calls(batch, BATCH_ROWS)
    after = _calls(conditional + batch, RETRIEVE_ROWS) if verify else 0
    return before + writes + after + _calls(team_checks, TEAM_IDS)


def _calls(rows: int, size: int) -> int:
    return -(-rows // size)
