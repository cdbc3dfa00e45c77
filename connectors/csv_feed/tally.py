"""Counts what a delivery holds, in bounded memory: blanks, clears, frequent values; and the facts that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FREQUENT = 32  # counters a column; any value in more than 1/33 of the rows is found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """What a delivery looked like, small enough to keep with the run; the next one is compared with it."""

    as_of: str  # ISO date
    sha256: str
    rows: int
    columns: tuple[str, ...]
    blank_rate: Mapping[str, float] = field(default_factory=dict)  # column -> 0..1
    mismatch_rate: Mapping[str, float] = field(default_factory=dict)  # typed column -> share of cells of another type
    top_share: Mapping[str, float] = field(default_factory=dict)  # column -> share of its most frequent value
    cleared_rate: Mapping[str, float] = field(default_factory=dict)  # column -> share of rows that empty it by a word
    newest: Mapping[str, str] = field(default_factory=dict)  # column that says how fresh a row is -> latest ISO day
    cells: Mapping[str, str] = field(default_factory=dict)  # usual header -> cells of a few rows, packed (sample.py)
    key_sample: tuple[int, ...] = ()  # the smallest key hashes, ascending
    key_sample_whole: bool = True  # the sample holds every key

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> DeliveryFacts:
        """The facts that `as_dict` gave."""
        lists = {name: tuple(stored[name]) for name in ("columns", "key_sample")}
        return cls(**{**stored, **lists})


@dataclass(slots=True)
class ColumnTally:
    """Running counts of one column."""

    blank: int = 0
    worded: int = 0  # of the blank ones, by a word such as N/A
    cleared: int = 0
    filled: int = 0
    mismatched: int = 0
    lost: int = 0  # ids in scientific notation
    day_first: int = 0  # dates that only make sense with the day before the month
    future: int = 0  # dates after the delivery's
    odd: int = 0  # wrongly decoded letters
    first_worded: int = 0  # data row of the first of each, 0 = none
    first_odd: int = 0
    what_is_odd: str = ""
    newest: str = ""  # latest ISO day, of columns that say how fresh a row is
    _frequent: dict[str, int] = field(default_factory=dict)
    _dropped: int = 0

    def add(self, text: str) -> None:
        """Count one filled cell (Misra and Gries 1982: a lower bound of each frequent value's count)."""
        self.filled += 1
        counts = self._frequent
        if text in counts:
            counts[text] += 1
        elif len(counts) < FREQUENT:
            counts[text] = 1
        else:
            self._dropped += 1
            self._frequent = {value: count - 1 for value, count in counts.items() if count > 1}

    def count_word(self, row: int, *, is_blank: bool, is_clear: bool) -> None:
        """A cell that is one of the agreed words."""
        self.cleared += is_clear
        if is_blank:
            self.blank += 1
            self.worded += 1
            self.first_worded = self.first_worded or row

    def see_day(self, day: str) -> None:
        """An ISO day of a column that says how fresh a row is."""
        self.newest = max(self.newest, day)

    def top_share(self) -> float:
        """Upper bound of the most frequent value's share of the filled cells; exact when nothing was dropped."""
        top = max(self._frequent.values(), default=0) + self._dropped
        return top / self.filled if self.filled else 0.0
