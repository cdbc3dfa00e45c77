"""What limits must satisfy beyond their shape: figures within bounds, windows and freezes that can happen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from mappings.guard_policy import Freeze, GuardPolicy, Limit
from mappings.located import Document, MappingProblem

_MAX_BP = 10_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
Problems = Iterator[MappingProblem]


def check_guards(document: Document, policy: GuardPolicy) -> Problems:
    """Limits that are not negative, shares of at most everything, one entry per window and freeze."""
    for name in GuardPolicy.model_fields:
        limit = getattr(policy, name)
        if isinstance(limit, Limit):
            yield from _check_limit(document, name, limit)
    lengths: set[int] = set()
    for place, window in enumerate(policy.windows):
        if window.hours in lengths:
            yield document.problem(("windows", place, "hours"), f"two windows of {window.hours} hours; keep one")
        lengths.add(window.hours)
    names: set[str] = set()
    for place, freeze in enumerate(policy.freeze):
        if freeze.id in names:
            yield document.problem(("freeze", place, "id"), f"freeze {freeze.id!r} stands there twice")
        names.add(freeze.id)
        yield from _check_freeze(document, place, freeze)
    for connection, ids in policy.canaries.items():
        if connection not in ("salesforce", "hubspot"):
            fact = f"{connection!r} is not a connection; expected salesforce or hubspot"
            yield document.problem(("canaries", connection), fact)
        if not ids:
            yield document.problem(("canaries", connection), f"no record of {connection} is named")


def _check_limit(document: Document, name: str, limit: Limit) -> Problems:
    if limit.count < 0:
        yield document.problem((name, "count"), f"{name}.count is {limit.count}; expected 0 or more")
    if not 0 <= limit.share_bp <= _MAX_BP:
        fact = f"{limit.share_bp} is not a share in basis points; expected 0 to {_MAX_BP}"
        yield document.problem((name, "share_bp"), fact)


def _check_freeze(document: Document, place: int, freeze: Freeze) -> Problems:
    at = ("freeze", place)
    if not _ID.match(freeze.id):
        fact = f"freeze {freeze.id!r}: expected letters, digits, _, . and -, so that --accept-guard can name it"
        yield document.problem((*at, "id"), fact)
    for key, day in (("from", freeze.from_), ("until", freeze.until)):
        if day and not _is_day(day):
            yield document.problem((*at, key), f"{day!r} is not a date; expected YYYY-MM-DD")
    if freeze.from_ and freeze.until and freeze.until < freeze.from_:
        yield document.problem((*at, "until"), f"until {freeze.until} is before {freeze.from_}")
    start, end = freeze.hours
    if not (0 <= start <= 23 and 1 <= end <= 24 and start != end):
        fact = f"hours {start} to {end}: expected two different hours from 0 to 24, such as [9, 17]"
        yield document.problem((*at, "hours"), fact)
    if (freeze.from_, freeze.until, freeze.weekdays, freeze.hours) == ("", "", (), (0, 24)):
        yield document.problem(at, f"freeze {freeze.id!r} would hold for ever; name days, weekdays or hours")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
