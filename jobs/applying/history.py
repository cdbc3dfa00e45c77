"""A person's edit between our read and our write, found in the CRM's own history where there is no precondition.

Entries are ordered by their position, not by clocks: the value under ours must be the one we read just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import structlog

from connectors.errors import Fatal
from connectors.protocol import Current, Lane
from jobs.applying.model import ItemState, Translation
from jobs.applying.session import LOST, ApplyRun, Settled
from store import journal
from store.journal import JournalRow, JournalState, Values

UNGUARDED = frozenset({Lane.BATCH, Lane.BULK, Lane.TEAM, Lane.ASSOCIATION})
"""Lanes without a precondition."""
FEW, FEW_SHARE = 3, 0.2
"""So many written records of a chunk may have been changed by persons before they were read back."""

_OURS = frozenset({"us"})
_NAMELESS = frozenset({"integration"})  # us, where the CRM does not say under which name we write
_FLOWS = frozenset({"us", "workflow", "unknown"})  # what changes a value without a person

Sent = frozenset[tuple[str, str | None]]
"""Fields and values that other rows of a record have brought."""

log = structlog.get_logger()


class Entry(Protocol):
    """One value that a native field has had."""

    property: str  # native field name
    value: str  # as the CRM keeps it; "" = empty
    timestamp: str  # instant
    user: str  # native user id; "" when no person is named

    def marks(self) -> tuple[str, ...]:
        """What tells who it was, the most telling first."""
        ...


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


def landed(run: ApplyRun, connection: str, settled: Iterable[Settled]) -> list[Settled]:
    """The rows; where something else stands now, the CRM's history tells whether ours was there before.

    Of the rows whose answer was lost, and of those that read back as something else. What a person wrote after ours is
    an edit like any later one: the row counts as written, and the next plan finds the edit.
    """
    listed = list(settled)
    connected = run.connected(connection)
    target = connected.target
    changed = [one for one in listed if one.state is ItemState.MISMATCH]
    written = sum(one.row.state is JournalState.VERIFIED for one in listed) + len(changed)
    if len(changed) > max(FEW, FEW_SHARE * written):
        changed = []  # so many at once are the work of a flow, whoever it runs as
    unclear = [one for one in listed if one.how == LOST] + changed
    if not unclear or not isinstance(target, KeepsHistory):
        return listed
    names = sorted({connected.translation.native_name(name) for one in unclear for name in one.row.want})
    try:
        found = target.history(list(dict.fromkeys(one.row.record_id for one in unclear)), names)
    except Fatal as exc:  # an organisation without field history
        log.warning("history_not_readable", connection=connection, rows=len(unclear), reason=exc.code)
        return listed
    us = connected.org().user_id
    with run.deps.database.read() as conn:
        before = {one.row.id: _ever_sent(journal.written_before(conn, one.row)) for one in unclear}
    traced = {
        one.row.id: _traced(one, found.get(one.row.record_id, ()), connected.translation, us, before[one.row.id])
        for one in unclear
    }
    return [traced.get(one.row.id, one) for one in listed]


def _ever_sent(rows: Iterable[JournalRow]) -> Sent:
    return frozenset((name, value or None) for row in rows for name, value in row.want.items())


def _traced(one: Settled, entries: Sequence[Entry], translation: Translation, us: str, before: Sent) -> Settled:
    """The row as history has it. One field of ours that was there speaks for all: they travelled together."""
    became: dict[str, str | None] = {}
    over: dict[str, str | None] = {}
    later: list[Entry] = []
    is_traced = False
    for name, want in one.row.want.items():
        own = [entry for entry in entries if entry.property == translation.native_name(name)]
        values = [translation.to_canonical(name, entry.value) or None for entry in own]
        ours = [translation.actor_kind(entry.marks(), our_user=us) in (_OURS if us else _NAMELESS) for entry in own]
        seen = _place(values, one.row.pre_image.get(name) or None)
        if not seen and (name, want or None) not in before:  # put back, perhaps, over the only write of this value
            seen = _below(values, one.row.pre_image.get(name) or None, want or None)
        is_traced |= seen > 0 or (bool(own) and (want or None) not in values)
        at = next((n for n in range(1, seen) if values[n] == (want or None) and ours[n]), 0)
        if not at:  # it never came, or still stands
            continue
        became[name] = values[0]
        later += own[:at]
        between = [values[n] for n in range(at + 1, seen) if not ours[n]]
        if between and one.row.lane in UNGUARDED:
            over[name] = between[0]
    if became:
        by_flow = {translation.actor_kind(entry.marks(), our_user=us) for entry in later} & _FLOWS
        users = sorted({entry.user or entry.marks()[0] for entry in later})
        return _rewritten(one, became) if by_flow else _as_written(one, became, over, users)
    return replace(one, how="ours") if is_traced else one  # ours never came: nothing about it is in doubt


def _place(values: Sequence[str | None], before: str | None) -> int:
    """Where the value lies that was read before the write: whatever is newer came after that reading."""
    return values.index(before) if before in values else len(values) if before is None else 0


def _below(values: Sequence[str | None], before: str | None, want: str | None) -> int:
    """Where the value read before the write lies below a write of ours; 0 = there was none."""
    at = values.index(want) if want in values else 0
    return at + _place(values[at:], before) if at else 0


def _rewritten(one: Settled, became: Values) -> Settled:
    words = f"written, but {', '.join(became)} reads back as something else: a flow changed it"
    row = replace(one.row, state=JournalState.MISMATCH, verified_value=became)
    return replace(one, row=row, state=ItemState.MISMATCH, how=_how(one), message=words)


def _as_written(one: Settled, became: Values, over: Values, users: Sequence[str]) -> Settled:
    words = f"written; then {', '.join(became)} was changed by user {', '.join(users)}"
    if over:
        words += f"; before, an edit of {', '.join(over)} was written over: restore it if it counts"
    row = replace(one.row, state=JournalState.VERIFIED, verified_value=one.row.want)
    state = ItemState.OVERWROTE if over else ItemState.VERIFIED
    return replace(one, row=row, state=state, how=_how(one), message=words, overwrote=over)


def _how(one: Settled) -> str:
    return "in_doubt" if one.how == LOST else one.how


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
