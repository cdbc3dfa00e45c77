"""What one cell of a column is: of its type, a word that says nothing, damaged, or not plausible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from connectors.csv_feed.agreement import ColumnRule, FeedContract, day_of, is_day_first, lost_digits
from connectors.csv_feed.oddities import oddity

MAX_CELL = 4_000  # characters; no name, list or note of an organisation is longer

BLANK_WORD, CLEAR_WORD, SAME_WORD = 1, 2, 4
WORD = BLANK_WORD | CLEAR_WORD | SAME_WORD
MISMATCH, LOST_DIGITS, DAY_FIRST, FUTURE, ODD, TOO_LONG = 8, 16, 32, 64, 128, 256

_REMEMBERED = 1024  # cells a typed column that are not looked at again

Look = Callable[[str], int]
"""What a trimmed cell that is not empty is: the flags above, 0 = as agreed."""


def look_of(rule: ColumnRule, contract: FeedContract, latest: str) -> Look:
    """The look at one column. Dates after `latest` (ISO) lie in the future where the contract says they should not."""
    words = _words(contract)
    if rule.format == "text":
        return _text(words)
    is_dated = rule.names[0] in contract.dated

    def look(text: str) -> int:
        if said := words.get(text.lower()):
            return said
        flags = 0 if rule.fits(text) else MISMATCH
        if rule.format == "id" and lost_digits(text):
            flags |= LOST_DIGITS
        if rule.format == "date":
            flags |= DAY_FIRST if is_day_first(text) else 0
            flags |= FUTURE if is_dated and day_of(text) > latest else 0
        return flags

    return lru_cache(_REMEMBERED)(look)


def _text(words: Mapping[str, int]) -> Look:
    longest = max(map(len, words), default=0)

    def look(text: str) -> int:
        if len(text) <= longest and (said := words.get(text.lower())):
            return said
        if text.isascii() and "&" not in text:
            return 0 if len(text) <= MAX_CELL else TOO_LONG
        return (ODD if oddity(text) else 0) | (TOO_LONG if len(text) > MAX_CELL else 0)

    return look


def _words(contract: FeedContract) -> Mapping[str, int]:
    """What the contract's words mean; what the vendor agreed on goes first."""
    meanings = dict.fromkeys(contract.blank_words, BLANK_WORD)
    return meanings | dict.fromkeys(contract.same_words, SAME_WORD) | dict.fromkeys(contract.clear_words, CLEAR_WORD)
