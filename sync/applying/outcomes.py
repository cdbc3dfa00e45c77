"""What became of a write, judged from what the CRM says now: the one comparison every step of an apply rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Values = Mapping[str, str | None]
"""Canonical text by field; None = empty."""


class Standing(StrEnum):
    """How a record stands to what we saw and what we want."""

    GONE = "gone"  # deleted, merged or not visible
    REACHED = "reached"  # every field is as wanted
    UNCHANGED = "unchanged"  # every field is as it was seen, or already as wanted: it may be written
    MOVED = "moved"  # a field is neither: somebody else was here


class Doubt(StrEnum):
    """What to do about a row that was perhaps sent."""

    VERIFIED = "verified"  # it is as wanted; the field's history says whose doing it was
    RESEND = "resend"  # it was not written, and may be
    STALE = "stale"  # somebody was here, perhaps after our own write: ask again
    GONE = "gone"  # there is nothing to write to


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a journal row promised before the wire."""

    pre_image: Values
    want: Values
    version: str  # of the record when it was read; "" where the CRM has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a read just now found."""

    values: Values
    version: str


def stand(seen: Values | None, *, before: Values, want: Values) -> Standing:
    """The standing of one record; `seen` is None when it cannot be read."""
    if seen is None:
        return Standing.GONE
    if all(_text(seen, name) == (value or None) for name, value in want.items()):
        return Standing.REACHED
    return Standing.MOVED if moved_fields(seen, before=before, want=want) else Standing.UNCHANGED


def moved_fields(seen: Values, *, before: Values, want: Values) -> tuple[str, ...]:
    """Fields that are neither as they were seen nor as wanted, sorted."""
    return tuple(sorted(n for n, v in want.items() if _text(seen, n) not in (_text(before, n), v or None)))


def to_send(seen: Values, *, want: Values) -> Values:
    """The wanted values that are not there yet: no others travel."""
    return {name: value for name, value in want.items() if _text(seen, name) != (value or None)}


def judge_doubt(intent: Intent, seen: Seen | None, *, plan_expired: bool, moved_since: bool = False) -> Doubt:
    """The fate of an intent or sent row nobody heard of again. Read first, never send blindly.

    Equal values with another version may hide our write put back by a person, so only an unmoved record is sent to
    again. `moved_since` says the same for CRMs without versions: their history has an entry after the intent.
    """
    standing = stand(seen.values if seen else None, before=intent.pre_image, want=intent.want)
    if standing is Standing.REACHED:
        return Doubt.VERIFIED
    if seen is None:
        return Doubt.GONE
    untouched = seen.version == intent.version and not moved_since and _is_pre_image(intent, seen.values)
    return Doubt.RESEND if untouched and not plan_expired else Doubt.STALE


def mismatch(seen: Values, *, want: Values) -> Values:
    """What the written fields became where they do not read back as written; empty = verified."""
    return {name: _text(seen, name) for name, value in want.items() if _text(seen, name) != (value or None)}


def _is_pre_image(intent: Intent, seen: Values) -> bool:
    return all(_text(seen, name) == _text(intent.pre_image, name) for name in intent.want)


def _text(values: Values, name: str) -> str | None:
    """The value with "" as None: either is empty."""
    return values.get(name) or None
