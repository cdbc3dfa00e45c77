"""Keys of all rows of a delivery in bounded memory: which repeat, and a sample to compare the next delivery with.

A row is three 64-bit numbers: hash of the key, hash of the cells, row number. Up to HELD rows stay in memory; beyond,
they lie in temporary files by the first bits of the key's hash, and each file is looked at by itself.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

KEY_SAMPLE = 1024  # keys remembered for the coverage check: exact below this many rows, +-3 % (2 sigma) above
HELD = 1 << 18  # rows held before they are written out: 24 bytes each
PARTS = 128  # temporary files
MAX_PART = 1 << 21  # rows looked at together, 48 MB; enough for 250 million different keys
_PART_SHIFT = np.uint64(57)  # the seven first bits
_ROW_BYTES = 24

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Rows that share a key, in file order."""

    numbers: Numbers
    identical: bool  # their cells are the same too


class KeyTally:
    """Takes the key of every row, once; then answers."""

    def __init__(self, *, held: int = HELD) -> None:
        self._buffer = array("Q")
        self._held = held * 3
        self._files: list[IO[bytes]] = []
        self.is_skewed = False  # known after `repeats`: so many rows share a key that they were not looked at

    def add(self, number: int, key: Sequence[str], cells: Sequence[str]) -> int:
        """One row; the hash of its key."""
        hashed = hash_text(key)
        self._buffer.extend((hashed, hash_text(cells), number))
        if len(self._buffer) >= self._held:
            self._spill()
        return hashed

    def sample(self) -> tuple[tuple[int, ...], bool]:
        """The KEY_SAMPLE smallest distinct key hashes, ascending (a uniform sample), and whether that is all keys."""
        smallest = np.empty(0, dtype=np.uint64)
        for part in self._parts():
            smallest = np.unique(np.concatenate([smallest, part[:, 0]]))[: KEY_SAMPLE + 1]
        return tuple(smallest[:KEY_SAMPLE].tolist()), len(smallest) <= KEY_SAMPLE

    def coverage(self, sample: Sequence[int]) -> float:
        """Share of an earlier delivery's sampled keys that are here too."""
        if not sample:
            return 1.0
        wanted = np.array(sample, dtype=np.uint64)
        there = np.zeros(len(wanted), dtype=bool)
        for part in self._parts():
            there |= np.isin(wanted, part[:, 0])
        return float(there.mean())

    def repeats(self) -> Iterator[Repeat]:
        """Groups of rows that share a key; by first row where no file was written, else part by part."""
        for part in self._parts():
            yield from _repeats(part)

    def close(self) -> None:
        """Delete the temporary files."""
        for file in self._files:
            file.close()
        self._files = []

    def _spill(self) -> None:
        if not self._files:
            self._files = [tempfile.TemporaryFile() for _ in range(PARTS)]  # noqa: SIM115  # closed by `close`
        rows = np.array(self._buffer, dtype=np.uint64).reshape(-1, 3)
        self._buffer = array("Q")
        parts = rows[:, 0] >> _PART_SHIFT
        rows = rows[np.argsort(parts, kind="stable")]
        ends = np.searchsorted(np.sort(parts), np.arange(1, PARTS + 1, dtype=np.uint64))
        for file, chunk in zip(self._files, np.split(rows, ends[:-1]), strict=True):
            file.write(chunk.tobytes())

    def _parts(self) -> Iterator[Numbers]:
        if not self._files:
            yield np.array(self._buffer, dtype=np.uint64).reshape(-1, 3)
            return
        if self._buffer:
            self._spill()
        for file in self._files:
            rows = file.seek(0, os.SEEK_END) // _ROW_BYTES
            self.is_skewed = self.is_skewed or rows > MAX_PART
            file.seek(0)
            yield np.frombuffer(file.read(MAX_PART * _ROW_BYTES), dtype=np.uint64).reshape(-1, 3)


def _repeats(rows: Numbers) -> Iterator[Repeat]:
    if not len(rows):
        return
    by_key = rows[np.lexsort((rows[:, 2], rows[:, 0]))]
    begins = np.flatnonzero(np.append([True], by_key[1:, 0] != by_key[:-1, 0]))
    ends = np.append(begins[1:], len(by_key))
    several = ends - begins > 1
    groups = [by_key[begin:end] for begin, end in zip(begins[several], ends[several], strict=True)]
    for group in sorted(groups, key=lambda group: int(group[0, 2])):
        yield Repeat(group[:, 2], bool((group[:, 1] == group[0, 1]).all()))


def hash_text(parts: Sequence[str]) -> int:
    """64 bits of a tuple of texts; stable between runs and machines."""
    packed = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "big")
