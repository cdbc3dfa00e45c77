"""Records as they were at an earlier instant, from the history of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol


class Step(Protocol):
    """One change, as sandbox.world keeps it."""

    @property
    def at(self) -> datetime: ...
    @property
    def record_id(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def old(self) -> Any: ...


def rewound(
    records: Mapping[str, dict[str, Any]], newest_first: Iterable[Step], cutoff: datetime, stamps: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Copies of the records with every change after `cutoff` taken back; those get `stamps`.

    A record that was made after `cutoff` has lost all its fields but its id, and is left out.
    """
    past = {key: dict(record) for key, record in records.items()}
    moved: dict[str, set[str]] = {}
    for change in newest_first:
        if change.at <= cutoff:
            break
        if change.record_id in past:
            past[change.record_id][change.field] = change.old
            moved.setdefault(change.record_id, set()).add(change.field)
    for key, fields in moved.items():
        if all(past[key].get(name) is None for name in fields) and past[key].get("Name", past[key].get("name")) is None:
            del past[key]
        else:
            past[key].update(stamps)
    return past
