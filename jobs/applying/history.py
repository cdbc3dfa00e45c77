"""A person's edit between our read and our write, found in the CRM's own history where there is no precondition.

Entries are ordered by their position, not by clocks: the value under ours must be the one we read just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from connectors.protocol import Current, Lane
from jobs.applying.model import ItemState, Translation
from jobs.applying.session import ApplyRun, Settled
from store.journal import JournalState

UNGUARDED = frozenset({Lane.BATCH, Lane.BULK, Lane.TEAM, Lane.ASSOCIATION})
"""Lanes without a precondition."""


class Entry(Protocol):
    """One value that a native field has had."""

    property: str  # native field name
    value: str  # as the CRM keeps it; "" = empty
    timestamp: str  # instant
    user: str  # native user id; "" when no person is named


@runtime_checkable
class KeepsHistory(Protocol):
    """A target whose CRM shows the history of single fields at once."""

    def history(self, record_ids: Sequence[str], properties: Sequence[str]) -> Mapping[str, Sequence[Entry]]:
        """Entries by record id, newest first within a property."""
        ...


@runtime_checkable
class ReadsWithHistory(KeepsHistory, Protocol):
    """A target that gives values and history in one reading."""

    def read_with_history(
        self, record_ids: Sequence[str], fields: Sequence[str], properties: Sequence[str]
    ) -> tuple[Mapping[str, Current | None], Mapping[str, Sequence[Entry]]]:
        """Current state, as `read` gives it, and entries as `history` gives them, of one moment."""
        ...


def foreign_edits(
    run: ApplyRun, connection: str, settled: Iterable[Settled], *, known: Mapping[str, Sequence[Entry]] | None = None
) -> list[Settled]:
    """The rows; those that were written over somebody's edit are marked, with what stood there.

    Histories that are not `known` by record id are read now.
    """
    listed = list(settled)
    connected = run.connected(connection)
    target = connected.target
    if not isinstance(target, KeepsHistory):
        return listed
    written = [one for one in listed if one.row.state is JournalState.VERIFIED and one.row.lane in UNGUARDED]
    watched = {one.row.id: _watched(run, one) for one in written if _watched(run, one)}
    if not watched:
        return listed
    names = sorted({connected.translation.native_name(name) for fields in watched.values() for name in fields})
    found = dict(known or {})
    missing = [one.row.record_id for one in written if one.row.id in watched and one.row.record_id not in found]
    if missing:
        found.update(target.history(missing, names))
    return [
        _marked(one, watched[one.row.id], found.get(one.row.record_id, ()), connected.translation)
        if one.row.id in watched
        else one
        for one in listed
    ]


def _without_middle(entries: list[Entry]) -> list[Entry]:
    """The entries without our own middle step: an old parent is taken away before the new one is set."""
    if len(entries) > 1 and entries[0].value and not entries[1].value and entries[0].user == entries[1].user:
        return [entries[0], *entries[2:]]
    return entries


def _watched(run: ApplyRun, one: Settled) -> list[str]:
    """Fields of the row whose policy does not say that ours wins anyway."""
    return [name for name in one.row.want if run.is_watched(name)]


def _marked(one: Settled, fields: Sequence[str], entries: Sequence[Entry], translation: Translation) -> Settled:
    overwrote: dict[str, str | None] = {}
    words = []
    for name in fields:
        want = one.row.want[name]
        native = translation.native_name(name)
        own = _without_middle([entry for entry in entries if entry.property == native])[:2]
        values = [translation.to_canonical(name, entry.value) for entry in own]
        if len(own) == 2 and values[0] == want and values[1] not in (one.row.pre_image.get(name), want):
            overwrote[name] = values[1]
            words.append(f"{name} (user {own[1].user or 'unknown'}, {own[1].timestamp})")
    if not overwrote:
        return one
    message = f"an edit between our read and our write was written over: {', '.join(words)}; restore it if it counts"
    return replace(one, state=ItemState.OVERWROTE, message=message, overwrote=overwrote)
