"""Sets of row numbers at one bit a row: a delivery of a hundred million rows needs twelve megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set


class RowSet(Set[int]):
    """Row numbers from 0. Equal to any other set of the same numbers."""

    __slots__ = ("_bits", "_count")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        self._count = 0
        self.update(numbers)

    def add(self, number: int) -> None:
        """Put one number in."""
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits) + (place >> 3)))
        if not self._bits[place] & bit:
            self._bits[place] |= bit
            self._count += 1

    def update(self, numbers: Iterable[int]) -> None:
        """Put several numbers in."""
        for number in numbers:
            self.add(number)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number < 0:
            return False
        place = number >> 3
        return place < len(self._bits) and bool(self._bits[place] & 1 << (number & 7))

    def __iter__(self) -> Iterator[int]:
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place << 3 | bit for bit in range(8) if byte & 1 << bit)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"RowSet({self._count} rows)"
