"""A few hundred rows of a delivery, one number a cell, small enough to keep: what the next delivery says of them.

Text becomes sixteen bits of a hash, whatever its case and punctuation; a number its logarithm to a thousandth. The rows
are those with the smallest hashes of their key, so that two deliveries sample the same ones.
"""

from __future__ import annotations

import base64
import math
import re
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

SAMPLED = 256  # rows; a share of them is known to +-6 % (2 sigma)
BLANK = -32_768
_STEPS = 512  # a doubling
_NUMBERS = frozenset(("money", "percent", "integer"))
_NOT_COMPARED = frozenset(("date", "person"))
_AMOUNT = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d*)?|\.\d+")
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a column moved among the rows that have it in both deliveries."""

    rows: int
    changed: float  # share of cells that say something else
    ratio: float | None  # numbers: the median of now : before


class RowSample:
    """Takes every row, once; keeps the few with the smallest key hashes, and those the last delivery kept."""

    def __init__(self, formats: Mapping[str, str], wanted: Sequence[int] = ()) -> None:
        self._formats = [(name, form) for name, form in formats.items() if form not in _NOT_COMPARED]
        self._wanted = frozenset(wanted)
        self._seen: dict[int, tuple[int, ...]] = {}  # rows of the last delivery's sample
        self._kept: dict[int, tuple[int, ...]] = {}
        self._limit = 1 << 64

    def wants(self, key: int) -> bool:
        """A row of that key would be kept."""
        return (key < self._limit and key not in self._kept) or (key in self._wanted and key not in self._seen)

    def add(self, key: int, cells: Mapping[str, str]) -> None:
        """One row; the first of a key counts. `cells` by the names of `formats`, "" where a word says nothing."""
        codes = tuple(_code(cells[name], form) for name, form in self._formats)
        if key in self._wanted:
            self._seen.setdefault(key, codes)
        if key < self._limit:
            self._keep(key, codes)

    def _keep(self, key: int, codes: tuple[int, ...]) -> None:
        self._kept.setdefault(key, codes)
        if len(self._kept) >= 2 * SAMPLED:
            self._kept = dict(sorted(self._kept.items())[:SAMPLED])
            self._limit = max(self._kept)

    def packed(self) -> dict[str, str]:
        """Column -> its cells of the sampled rows, ascending by key hash, as text for JSON."""
        rows = [codes for _, codes in sorted(self._kept.items())[:SAMPLED]]
        columns = zip(*rows, strict=True) if rows else ()
        return {name: _pack(column) for (name, _), column in zip(self._formats, columns, strict=False)}

    def moved(self, last: Mapping[str, str]) -> dict[str, Moved]:
        """Column -> how far it moved since `last`, the packed cells of the wanted keys in ascending order."""
        keys = sorted(self._wanted)[:SAMPLED]
        found: dict[str, Moved] = {}
        for at, (name, form) in enumerate(self._formats):
            before = _unpack(last.get(name, ""))
            pairs = [(old, self._seen[key][at]) for key, old in zip(keys, before, strict=False) if key in self._seen]
            both = [(old, new) for old, new in pairs if BLANK not in (old, new)]
            if both:
                found[name] = _moved(both, form)
        return found


def _moved(pairs: Sequence[tuple[int, int]], form: str) -> Moved:
    changed = sum(old != new for old, new in pairs) / len(pairs)
    ratios = [_value(new) / _value(old) for old, new in pairs if old] if form in _NUMBERS else []
    return Moved(len(pairs), changed, median(ratios) if ratios else None)


def _code(text: str, form: str) -> int:
    text = text.strip()
    if not text:
        return BLANK
    if form in _NUMBERS:
        return _number(text)
    bare = _NOT_WORD.sub("", text.casefold()) or text
    return zlib.crc32(bare.encode("utf-8", "surrogatepass")) % 65_535 - 32_767  # never BLANK


def _number(text: str) -> int:
    """The signed logarithm; BLANK for what is no number."""
    match = _AMOUNT.search(text)
    if match is None:
        return BLANK
    size = float(match[0].replace(",", ""))
    code = min(round(math.log2(1 + size) * _STEPS), 32_767)
    return -code if "-" in text[: match.start()] or "(" in text[: match.start()] else code


def _value(code: int) -> float:
    return math.copysign(2 ** (abs(code) / _STEPS) - 1, code)


def _pack(codes: Sequence[int]) -> str:
    return base64.b64encode(array("h", codes).tobytes()).decode("ascii")


def _unpack(text: str) -> Sequence[int]:
    codes = array("h")
    codes.frombytes(base64.b64decode(text))
    return codes
