"""Undo: a plan in reverse for what a run wrote, and the word of the person who asks for it. Writes to no CRM itself."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.applying.model import ApplyDeps
from jobs.applying.native import read_now
from jobs.cascades import TakenAlong, taken_along
from jobs.plan import store_plan
from jobs.wiring import Wired
from jobs.world import load_world
from store import audit, journal
from store.database import StoreError
from store.decisions import Verdict
from store.journal import JournalRow, JournalState, Values
from store.plans import StoredPlan
from sync.planning.threeway import State
from sync.planning.undo import Live, Undone, reverse_plan

CLEAN = (State.UPDATE, State.CLEAR)
"""States of values that nobody touched since: they go back when somebody asks for it."""


class NothingToUndo(Exception):
    """There is nothing of this run, or of these rows of it, that could be put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoPlan:
    """A saved plan in reverse."""

    stored: StoredPlan
    approved: int  # items that nobody touched since, approved by the person who asked
    conflicts: int  # items that somebody touched since; they wait for a decision
    blocked: int  # items that cannot be put back; their reasons say why
    along: TakenAlong  # what the run took along with its owner changes


def undo_run(
    wired: Wired, deps: ApplyDeps, run_id: str, *, reason: str, items: Collection[str] | None = None
) -> UndoPlan:
    """Save a plan that puts back what the run wrote, of these items only where given; approve what is clean.

    Raises NothingToUndo, and what reading the CRMs may raise.
    """
    rows = [row for row in _rows_of(wired, run_id) if items is None or row.item_id in items]
    if not rows:
        raise NothingToUndo(f"run {run_id}: it wrote nothing that could be undone; see `platbook runs`")
    befores = {row.id: row.pre_image for row in rows}
    overwrote = _overwrote(wired, rows)
    befores |= {row.id: {**row.pre_image, **over} for row in rows if (over := overwrote[row.id])}
    return _save(wired, deps, rows, befores, run_id=run_id, reason=reason)


def restore_item(wired: Wired, deps: ApplyDeps, item_id: str, *, reason: str) -> UndoPlan:
    """Save a plan that gives an item written over a person's edit that person's value back.

    Only the fields written over. Raises StoreError for an unknown item, NothingToUndo for one that overwrote nothing.
    """
    row = _newest_row(wired, item_id)
    over = _overwrote(wired, [row])[row.id]
    if not over:
        raise NothingToUndo(
            f"item {row.item_id}: it was not written over anybody's edit; `platbook undo` takes it back"
        )
    return _save(wired, deps, [_only(row, over)], {row.id: over}, run_id=row.run_id, reason=reason)


def _save(
    wired: Wired,
    deps: ApplyDeps,
    rows: Sequence[JournalRow],
    befores: Mapping[str, Values],
    *,
    run_id: str,
    reason: str,
) -> UndoPlan:
    as_of = wired.as_of()
    undone = _undone(wired, rows, befores)
    world = load_world(wired, as_of).world
    live = _read(deps, undone)
    policies = wired.mappings.policies
    plan = reverse_plan(undone, live, run_id, world, policies, as_of=as_of, engine=wired.engine)
    stored = store_plan(wired, plan, as_of)
    found = stored.items.to_pylist()
    clean = [item for item in found if item["state"] in CLEAN and item["action"] == "approve"]
    if clean:
        chosen = [(item["fingerprint"], item["item_id"]) for item in clean]
        wired.decisions.decide(chosen, Verdict.APPROVE, person=wired.person, reason=reason, plan_id=stored.id)
    conflicts = sum(item["action"] == "review" for item in found)
    owners = {(one.connection, one.record_id) for one in undone if "owner" in one.applied}
    return UndoPlan(
        stored=stored,
        approved=len(clean),
        conflicts=conflicts,
        blocked=len(found) - len(clean) - conflicts,
        along=taken_along(deps, run_id, owners),
    )


def _rows_of(wired: Wired, run_id: str) -> tuple[JournalRow, ...]:
    with wired.database.read() as conn:
        return tuple(row for row in journal.of_run(conn, run_id) if row.state is JournalState.VERIFIED)


def _newest_row(wired: Wired, item_id: str) -> JournalRow:
    with wired.database.read() as conn:
        found = journal.of_item(conn, item_id)
    if not found:
        raise StoreError(f"item {item_id}", "nothing was ever written for it", "See `platbook show` for the ids")
    return found[-1]


def _overwrote(wired: Wired, rows: Sequence[JournalRow]) -> dict[str, dict[str, str | None]]:
    """What persons had put there between our read and our write, by journal row; one pass over each plan's audit."""
    merged: dict[tuple[str, str], dict[str, str | None]] = defaultdict(dict)
    with wired.database.read() as conn:
        for plan_id in sorted({row.plan_id for row in rows}):
            for entry in audit.entries(conn, plan_id=plan_id):
                merged[plan_id, entry["item_id"]] |= entry["body"].get("overwrote", {})
    return {
        row.id: {name: value for name, value in merged[row.plan_id, row.item_id].items() if name in row.want}
        for row in rows
    }


def _only(row: JournalRow, fields: Collection[str]) -> JournalRow:
    want = {name: value for name, value in row.want.items() if name in fields}
    return JournalRow(**{**{n: getattr(row, n) for n in JournalRow.__dataclass_fields__}, "want": want})


def _undone(wired: Wired, rows: Sequence[JournalRow], befores: Mapping[str, Values]) -> list[Undone]:
    """The written values record by record, with the names that the plans gave them."""
    items = {
        (plan_id, item["item_id"]): item
        for plan_id in {row.plan_id for row in rows}
        for item in wired.plans.load(plan_id).items.to_pylist()
    }
    records: dict[tuple[str, str], list[JournalRow]] = defaultdict(list)
    for row in rows:
        records[row.connection, row.record_id].append(row)
    return [
        _of_record(listed, befores, [items[row.plan_id, row.item_id] for row in listed])
        for _, listed in sorted(records.items())
    ]


def _of_record(rows: Sequence[JournalRow], befores: Mapping[str, Values], items: Sequence[Mapping[str, Any]]) -> Undone:
    applied: dict[str, str | None] = {}
    before: dict[str, str | None] = {}
    for row in rows:
        changed = [name for name in row.want if befores[row.id].get(name) != row.want[name]]
        applied |= {name: row.want[name] for name in changed}
        before |= {name: befores[row.id].get(name) for name in changed}
    source = f"plan {rows[0].plan_id}, " + ", ".join(f"item {row.item_id}" for row in rows)
    return Undone(
        connection=rows[0].connection,
        record_id=rows[0].record_id,
        account_id=items[0]["account_id"],
        account_name=items[0]["account_name"] or "",
        depth=max((item["depth"] for item in items if item["depth"] is not None), default=None),
        applied=applied,
        before=before,
        evidence=json.dumps({"undoes run": {"is": rows[0].run_id, "from": source}}),
    )


def _read(deps: ApplyDeps, undone: Sequence[Undone]) -> Live:
    """The records as they are now, all fields in question of a connection at once."""
    fields: dict[str, set[str]] = defaultdict(set)
    for one in undone:
        fields[one.connection] |= set(one.applied)
    values: dict[tuple[str, str], Values | None] = {}
    for connection, names in sorted(fields.items()):
        wanted = {one.record_id: sorted(names) for one in undone if one.connection == connection}
        for record_id, found in read_now(deps.connections[connection], wanted, versions=False).items():
            values[connection, record_id] = found[0] if found else None
    return Live(fields={name: frozenset(found) for name, found in fields.items()}, values=values)
