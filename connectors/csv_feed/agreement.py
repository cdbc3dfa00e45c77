"""What a sender agreed to deliver: columns, key, formats, and how far a delivery may move from the last one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.csv_feed.reader import Format

_LOOKS: Mapping[str, re.Pattern[str]] = {
    "money": re.compile(r"\(?-?\s*[$€£]?\s*-?[\d,]+(\.\d+)?\)?"),
    "percent": re.compile(r"-?\d+(\.\d+)?\s*%?"),
    "integer": re.compile(r"-?[\d,]+(\.0+)?"),
    "yes_no": re.compile(r"yes|no|y|n|true|false|0|1", re.IGNORECASE),
    "rural_urban": re.compile(r"rural|urban", re.IGNORECASE),
    "date": re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}/\d{1,2}/\d{2,4}"),
    "id": re.compile(r"[\w.:-]+"),
}
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """One column that Platbook reads."""

    names: tuple[str, ...]  # headers that may carry it, the usual one first
    required: bool = False
    format: str = "text"  # text, money, percent, integer, yes_no, rural_urban, date, id
    digits: int | None = None  # ids: at most this many digits

    def fits(self, text: str) -> bool:
        """The cell could be of this column's type. Text fits always."""
        pattern = _LOOKS.get(self.format)
        if pattern is None:
            return True
        if self.digits is not None and _DIGITS.fullmatch(text):
            return len(text) <= self.digits
        return pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a delivery may move from the last accepted one. Shares are 0..1."""

    row_drop: float = 0.10
    row_growth: float = 0.50
    keys_lost: float = 0.10
    blank_rise: float = 0.20
    top_share: float = 0.50  # one value in more rows than this, and in twice the share of last time
    mismatch_rise: float = 0.20
    misaligned: float = 0.02  # rows whose values sit in the wrong columns
    set_aside: float = 0.20  # rows quarantined
    percent_sum: tuple[float, float] = (98.0, 102.0)
    cleared_rise: float = 0.05  # rows that empty a column by a word, above last time


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedContract:
    """What a sender agreed to deliver."""

    feed: str
    columns: tuple[ColumnRule, ...]
    key: tuple[str, ...]  # usual headers of the columns that identify a row
    key_may_be_blank: tuple[str, ...] = ()  # of `key`, those whose cell may be empty, such as an open date
    ignore: tuple[str, ...] = ()  # known headers that nobody reads
    clear_words: frozenset[str] = frozenset()  # cells, in lower case, that say: there is none (any more)
    same_words: frozenset[str] = frozenset()  # cells, in lower case, that say: as in the last delivery
    percent_groups: tuple[tuple[str, ...], ...] = ()  # usual headers of shares that together make 100 %
    format: Format = field(default_factory=Format)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        known = {rule.names[0] for rule in self.columns}
        named = {*self.key, *(name for group in self.percent_groups for name in group)}
        if not self.key or named - known:
            missing = ", ".join(sorted(named - known)) or "a key"
            raise ValueError(f"feed {self.feed}: {missing} is not among the contract's columns. Add it to the layout.")
