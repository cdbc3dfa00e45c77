"""Who decides about one question, from the records on file: the most specific, then the nearest, then the best source.

A record that is over is never used, but shown. Without one, the archetype of the organisation decides by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mappings.structure_policy import AuthorityPolicy

EVERY = "ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """One record of who decides, at the organisation (distance 0) or above it."""

    org_id: str
    distance: int
    level: str
    function: str = EVERY
    service_line: str = EVERY
    category: str = EVERY
    holder_id: str | None = None  # account that decides; none = what the level says
    delegates_down: bool | None = None  # none = every level but SITE does
    spend_limit_cents: int | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    source: str = "STEWARD"
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked."""

    function: str
    service_line: str
    category: str
    amount_cents: int | None
    as_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The answer, and what was looked at."""

    level: str | None
    basis: str | None  # EXPLICIT = recorded at the organisation, DELEGATED = above it, DEFAULT = its archetype's
    holder_id: str | None = None
    ref: str = ""
    expired: tuple[str, ...] = ()  # records that would have answered, and when they ended


def who_decides(
    records: Iterable[AuthorityRecord], asked: Question, archetype: str | None, policy: AuthorityPolicy
) -> Decided:
    """The level at which a question is decided. Above a spending limit it is the system."""
    fitting = [record for record in records if _fits(record, asked)]
    standing = [record for record in fitting if _in_force(record, asked.as_of, policy)]
    over = [record for record in fitting if _end(record, policy) and _end(record, policy) <= asked.as_of]
    expired = tuple(f"{_told(record)} ended {_end(record, policy)}" for record in sorted(over, key=_told))
    if standing:
        best = min(standing, key=lambda record: _rank(record, asked, policy.source_priority))
        basis = "EXPLICIT" if best.distance == 0 else "DELEGATED"
        limit = best.spend_limit_cents
        above = limit is not None and asked.amount_cents is not None and asked.amount_cents > limit
        level, holder = ("SYSTEM", None) if above else (best.level, best.holder_id)
        return Decided(level=level, basis=basis, holder_id=holder, ref=_told(best), expired=expired)
    for line in policy.defaults:
        if line.archetype == archetype and line.function in (EVERY, asked.function):
            ref = f"default of {archetype}"
            return Decided(level=line.level, basis="DEFAULT", ref=ref, expired=expired)
    return Decided(level=None, basis=None, expired=expired)


def _fits(record: AuthorityRecord, asked: Question) -> bool:
    down = record.level != "SITE" if record.delegates_down is None else record.delegates_down
    if record.distance and not down:
        return False
    pairs = (
        (record.function, asked.function),
        (record.service_line, asked.service_line),
        (record.category, asked.category),
    )
    return all(own in (EVERY, wanted) for own, wanted in pairs)


def _in_force(record: AuthorityRecord, as_of: str, policy: AuthorityPolicy) -> bool:
    end = _end(record, policy)
    return (record.valid_from or "") <= as_of and (not end or as_of < end)


def _end(record: AuthorityRecord, policy: AuthorityPolicy) -> str:
    """First day it no longer holds; empty = open."""
    if record.valid_to:
        return record.valid_to
    days = policy.expires_days.get(record.source)
    if days is None or not record.valid_from:
        return ""
    return (date.fromisoformat(record.valid_from) + timedelta(days=days)).isoformat()


def _rank(record: AuthorityRecord, asked: Question, sources: Sequence[str]) -> tuple[int, int, int, int, str]:
    """Lower is better: specificity, distance, source, newest, then the text of the record."""
    specific = 4 * (record.service_line != EVERY) + 2 * (record.category != EVERY) + (record.function != EVERY)
    source = sources.index(record.source) if record.source in sources else len(sources)
    newest = -date.fromisoformat(record.valid_from).toordinal() if record.valid_from else 0
    return (-specific, record.distance, source, newest, _told(record))


def _told(record: AuthorityRecord) -> str:
    about = "/".join((record.function, record.service_line, record.category))
    since = f" since {record.valid_from}" if record.valid_from else ""
    return f"{record.level} for {about} at {record.org_id}{since} by {record.source}{record.ref and f' [{record.ref}]'}"
