"""How a record stands to an item just now: the one comparison that every step of an apply run rests on."""

from __future__ import annotations

from enum import StrEnum

from store.journal import Values


class Standing(StrEnum):
    """What the CRM says against what we saw and what we want."""

    GONE = "gone"  # deleted, merged or not visible
    REACHED = "reached"  # everything is as wanted
    UNCHANGED = "unchanged"  # each field is as it was seen or as wanted: it may be written
    MOVED = "moved"  # a field is neither: somebody else was here


def stand(now: Values | None, *, before: Values, want: Values) -> Standing:
    """The standing of one record; `now` is None when it cannot be read."""
    if now is None:
        return Standing.GONE
    if all(now.get(name) == value for name, value in want.items()):
        return Standing.REACHED
    if all(now.get(name) in (before.get(name), value) for name, value in want.items()):
        return Standing.UNCHANGED
    return Standing.MOVED


def moved_fields(now: Values, *, before: Values, want: Values) -> str:
    """Names of the fields that are neither as seen nor as wanted, for a message."""
    return ", ".join(name for name, value in want.items() if now.get(name) not in (before.get(name), value))
