"""Who decides about one question, from the records on file: the most specific, then the nearest, then the best source.

A record that is over is never used, but shown. Without one, the archetype of the organisation decides by default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mappings.structure_policy import AuthorityPolicy
from sync.authority.resolve import SPECIFICITY

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
    delegates: bool = True  # holds for the organisations below as well
    spend_limit_cents: int | None = None
    valid_from: str | None = None
    valid_to: str | None = None  # first day it no longer holds
    ended: bool = False  # its source says that it is over, without a day
    trust: int = 0  # place of its source in the policy, 0 = first
    confidence_bp: int = 10_000
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
    over = sorted(_told(record) for record in fitting if _is_over(record, asked.as_of))
    standing = [r for r in fitting if not _is_over(r, asked.as_of) and (r.valid_from or "") <= asked.as_of]
    if standing:
        best = min(standing, key=_rank)
        basis = "EXPLICIT" if best.distance == 0 else "DELEGATED"
        limit = best.spend_limit_cents
        above = limit is not None and asked.amount_cents is not None and asked.amount_cents > limit
        level, holder = ("SYSTEM", None) if above else (best.level, best.holder_id)
        return Decided(level=level, basis=basis, holder_id=holder, ref=_told(best), expired=tuple(over))
    for line in policy.defaults:
        if line.archetype == archetype and line.function in (EVERY, asked.function):
            ref = f"default of {archetype}"
            return Decided(level=line.level, basis="DEFAULT", ref=ref, expired=tuple(over))
    return Decided(level=None, basis=None, expired=tuple(over))


def _fits(record: AuthorityRecord, asked: Question) -> bool:
    pairs = (
        (record.function, asked.function),
        (record.service_line, asked.service_line),
        (record.category, asked.category),
    )
    reaches = record.delegates or not record.distance
    return reaches and all(own == EVERY or own.casefold() == wanted.casefold() for own, wanted in pairs)


def _is_over(record: AuthorityRecord, as_of: str) -> bool:
    return record.ended or (record.valid_to is not None and record.valid_to <= as_of)


def _rank(record: AuthorityRecord) -> tuple[int, int, int, int, int, str]:
    """Lower is better: specificity, distance, source, newest, surest, place."""
    exact = (record.service_line != EVERY, record.category != EVERY, record.function != EVERY)
    newest = int((record.valid_from or "0").replace("-", ""))
    place = SPECIFICITY.index(exact)
    return (place, record.distance, record.trust, -newest, -record.confidence_bp, record.ref)


def _told(record: AuthorityRecord) -> str:
    about = "/".join((record.function, record.service_line, record.category))
    since = f" since {record.valid_from}" if record.valid_from else ""
    until = f" until {record.valid_to}" if record.valid_to else ""
    return f"{record.level} for {about} at {record.org_id}{since}{until}{record.ref and f' [{record.ref}]'}"
