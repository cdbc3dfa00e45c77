"""Counts what a delivery holds, in bounded memory: blanks, frequent values, a sample of keys, repeated keys."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

KEY_SAMPLE = 1024  # keys remembered for the coverage check: exact below this many rows, +-3 % (2 sigma) above
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
    filled: int = 0
    mismatched: int = 0
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

    def top_share(self) -> float:
        """Upper bound of the most frequent value's share of the filled cells; exact when nothing was dropped."""
        top = max(self._frequent.values(), default=0) + self._dropped
        return top / self.filled if self.filled else 0.0


class KeyTally:
    """Keys of all rows as 16 bytes each: which repeat, identically or not, and the sample for the next delivery."""

    def __init__(self) -> None:
        self._keys, self._rows, self._numbers = array("Q"), array("Q"), array("Q")

    def add(self, number: int, key: Sequence[str], cells: Sequence[str]) -> None:
        self._keys.append(hash_text(key))
        self._rows.append(hash_text(cells))
        self._numbers.append(number)

    def sample(self) -> tuple[int, ...]:
        """The KEY_SAMPLE smallest distinct key hashes, ascending: a uniform sample of the keys."""
        distinct = pc.unique(_arrow(self._keys))
        return tuple(distinct.take(pc.sort_indices(distinct)[:KEY_SAMPLE]).to_pylist())

    def coverage(self, sample: Sequence[int]) -> float:
        """Share of an earlier delivery's sampled keys that are here too."""
        if not sample:
            return 1.0
        return len(set(sample).intersection(self._keys)) / len(sample)

    def distinct(self) -> int:
        return len(pc.unique(_arrow(self._keys)))

    def repeats(self) -> Iterator[tuple[list[int], bool]]:
        """Row numbers that share a key, and whether those rows are identical. Ordered by first row."""
        keys = _arrow(self._keys)
        counted = pc.value_counts(keys)
        again = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
        if not len(again):
            return
        positions = pc.indices_nonzero(pc.is_in(keys, value_set=again)).to_pylist()
        groups: dict[int, list[int]] = defaultdict(list)
        for position in positions:
            groups[self._keys[position]].append(position)
        for group in groups.values():
            identical = len({self._rows[position] for position in group}) == 1
            yield [self._numbers[position] for position in group], identical


def hash_text(parts: Sequence[str]) -> int:
    """64 bits of a tuple of texts; stable between runs and machines."""
    packed = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "big")


def _arrow(numbers: array[int]) -> Any:
    """The array as an Arrow column without copying it."""
    return pa.Array.from_buffers(pa.uint64(), len(numbers), [None, pa.py_buffer(numbers)])
