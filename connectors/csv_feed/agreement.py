"""What a sender agreed to deliver: columns, key, formats, and how far a delivery may move from the last one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from connectors.csv_feed.reader import Format

_LOOKS: Mapping[str, re.Pattern[str]] = {
    "money": re.compile(r"\(?-?\s*\$?\s*-?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]*)?\)?"),
    "percent": re.compile(r"[0-9]+(\.[0-9]*)?\s*%?"),
    "integer": re.compile(r"([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.0*)?"),
    "yes_no": re.compile(r"yes|no|y|n|true|false|0|1", re.IGNORECASE),
    "rural_urban": re.compile(r"rural|urban", re.IGNORECASE),
    "date": re.compile(
        r"[0-9]{4}([-/]?)(0?[1-9]|1[0-2])\1(0?[1-9]|[12][0-9]|3[01])([T ].*)?"
        r"|(0?[1-9]|1[0-2])/(0?[1-9]|[12][0-9]|3[01])/[0-9]{4}"
    ),
    "id": re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9_.:-]+"),
}
_DIGITS = re.compile(r"[0-9]+")
_SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+")
_SIGNED = re.compile(r"[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE][+-][0-9]+")
_ISO = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")
_SLASHED = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """One column that Platbook reads."""

    names: tuple[str, ...]  # headers that may carry it, the usual one first
    required: bool = False
    format: str = "text"  # text, money, percent, integer, yes_no, rural_urban, date, id
    digits: int | None = None  # ids: at most this many digits
    plain: Callable[[str], str | None] | None = None  # one form of all ways to write a value; None = there is none

    def fits(self, text: str) -> bool:
        """The cell could be of this column's type. Text fits always."""
        pattern = _LOOKS.get(self.format)
        if pattern is None:
            return True
        if self.format == "id" and (lost_digits(text) or not text.strip("0.-")):
            return False
        if self.digits is not None and _DIGITS.fullmatch(text):
            return len(text) <= self.digits
        return pattern.fullmatch(text) is not None

    def in_one_form(self, text: str) -> str:
        """The trimmed cell, in the one form of its value where it has one."""
        return (self.plain(text) or text) if self.plain is not None and text else text

    def header_in(self, header: Mapping[str, str]) -> str:
        """The column that carries it, "" = none. `header` by the folded name."""
        return next((header[folded] for name in self.names if (folded := name.casefold()) in header), "")


def folded(header: Iterable[str]) -> dict[str, str]:
    """Columns by their names in one case: `NPI` and `Npi` are the same header."""
    return {name.casefold(): name for name in header}


def lost_digits(text: str, *, whole: bool = False) -> bool:
    """A spreadsheet wrote the id in scientific notation. `whole`: ids that have no letters, so that `7E05` is one too.

    The certification number of a nursing facility may look like that (05E001).
    """
    return (_SCIENTIFIC if whole else _SIGNED).fullmatch(text) is not None


def is_day_first(text: str) -> bool:
    """A date that only makes sense with the day before the month."""
    match = _SLASHED.fullmatch(text)
    return match is not None and 12 < int(match[1]) <= 31 and 1 <= int(match[2]) <= 12


def day_of(text: str) -> str:
    """ISO day of an ISO or American date, "" for anything else; good enough to compare."""
    if match := _ISO.match(text):
        return "-".join(match.groups())
    if match := _SLASHED.fullmatch(text):
        return f"{match[3]}-{match[1]:0>2}-{match[2]:0>2}"
    return ""


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
    events_drop: float = 0.50  # instead of row_drop, where rows are events
    events_growth: float = 1.00
    constant: float = 0.10  # a column becomes one value: what is left of the other values' share
    changed: float = 0.50  # compared rows that say something else than last time
    ratio: tuple[float, float] = (0.5, 2.0)  # median of a number now : last time
    compared: int = 20  # rows, at least, before such a comparison counts
    odd: float = 0.05  # cells of a column: wrongly decoded, dates day first or in the future, ids with two names
    few: int = 2  # cells that are odd or of another type never hold a delivery
    days_ahead: int = 31  # a date later than the delivery's by more than this is in the future


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
    blank_words: frozenset[str] = frozenset()  # cells, in lower case, that say nothing: N/A, NULL, #REF!
    percent_groups: tuple[tuple[str, ...], ...] = ()  # usual headers of shares that together make 100 %
    named_ids: tuple[tuple[str, str], ...] = ()  # usual headers of an id and the name of what it stands for
    dated: tuple[str, ...] = ()  # usual headers of dates that say how fresh a row is
    rows_are_events: bool = False  # each delivery brings other rows, so that none of them is missed
    format: Format = field(default_factory=Format)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        known = {rule.names[0] for rule in self.columns}
        named = {*self.key, *self.dated, *(name for group in (*self.percent_groups, *self.named_ids) for name in group)}
        if not self.key or named - known:
            missing = ", ".join(sorted(named - known)) or "a key"
            raise ValueError(f"feed {self.feed}: {missing} is not among the contract's columns. Add it to the layout.")
