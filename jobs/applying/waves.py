"""The order of writing: parents top down before what follows from them; all of a record in one lane goes together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from connectors.protocol import Lane
from jobs.applying.model import Work

_Key = tuple[str, str, str]
"""Connection, lane, record id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Work of one connection and lane that may be written without waiting for any of the rest of it."""

    connection: str
    lane: Lane
    works: tuple[Work, ...]  # the items of a record stand side by side


def waves(work: Iterable[Work]) -> Iterator[Wave]:
    """First the records that get another parent, top down, then everything else in plan order.

    A whole depth needs no wave of its own: rows of one call are written in the order given, and HubSpot's parents all
    leave before the first one is set, so no circle can close on the way.
    """
    units: dict[_Key, list[Work]] = defaultdict(list)
    for one in sorted(work, key=lambda w: w.sequence):
        units[one.connection, str(one.lane), one.record_id].append(one)
    found: dict[tuple[int, str, str], list[list[Work]]] = defaultdict(list)
    for (connection, lane, _), unit in units.items():
        found[0 if _moves(unit) else 1, connection, lane].append(unit)
    for (_, connection, lane), listed in sorted(found.items()):
        listed.sort(key=lambda unit: (_depth(unit), unit[0].sequence))
        yield Wave(connection=connection, lane=Lane(lane), works=tuple(one for unit in listed for one in unit))


def chunks(works: Sequence[Work], sizes: Iterable[int]) -> Iterator[list[Work]]:
    """The work in parts of at most so many records each; the last size goes on. Items of a record stay together."""
    left, size, part, records = iter(sizes), 0, list[Work](), set[str]()
    size = next(left)
    for one in works:
        if one.record_id not in records and len(records) == size:
            yield part
            part, records, size = [], set(), next(left, size)
        part.append(one)
        records.add(one.record_id)
    if part:
        yield part


def record_count(works: Iterable[Work]) -> int:
    """Distinct records."""
    return len({one.record_id for one in works})


def _moves(unit: Iterable[Work]) -> bool:
    return any("parent" in one.want for one in unit)


def _depth(unit: Iterable[Work]) -> int:
    return max((one.depth for one in unit if "parent" in one.want), default=0)
