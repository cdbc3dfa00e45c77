"""Salesforce record ids: 15 case-sensitive characters, or 18 that survive case-insensitive systems."""

from __future__ import annotations

import re

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)


def to_18(record_id: str) -> str:
    """Give the 18-character form: each added character is the bitmap of capitals in five of the first fifteen.

    An 18-character id keeps its first fifteen and gets a right suffix. Raises ValueError for anything else.
    """
    if not _ID.fullmatch(record_id):
        raise ValueError(f"not a Salesforce id: {len(record_id)} characters; expected 15 or 18 letters and digits")
    stem = record_id[:15]
    return stem + "".join(_suffix(stem[start : start + 5]) for start in (0, 5, 10))


def is_id(text: str) -> bool:
    """Tell whether the text has the form of a record id."""
    return bool(_ID.fullmatch(text))


def _suffix(five: str) -> str:
    return _ALPHABET[sum(1 << place for place, char in enumerate(five) if "A" <= char <= "Z")]
