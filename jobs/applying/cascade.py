"""What goes along with an owner change: open opportunities, as the owner's policy says, and back when it is undone.

The picture of before lies in the journal before the wire; what was moved is noted in the row that is verified. So a run
that died goes on from the picture, and an undo puts back what is still where it was put, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from connectors.errors import Retriable
from connectors.protocol import HandsOver, Lane, OwnedChild, TeamTarget
from jobs.applying.session import ApplyRun, Settled
from jobs.applying.teams import lost_members, pictured, with_opportunities
from mappings.policy import Cascade
from store import journal
from store.journal import JournalRow, JournalState
from store.snapshots import Snapshots
from sync.planning.guards import UNDO_RULE

log = structlog.get_logger()

Moved = tuple[str, str, str]
"""An opportunity, its owner before, and the owner it was given to."""


@dataclass(frozen=True, slots=True)
class _Follow:
    """One verified owner change and its opportunities: who should own them, and who does."""

    settled: Settled
    goals: Mapping[str, tuple[str, str]]  # opportunity -> (owner before, owner wanted)
    now: Mapping[str, str]  # opportunity -> owner, of those still open


def lets_teams_go(run: ApplyRun) -> bool:
    """True where the policy does not keep account teams: they are pictured, for an undo, and no more."""
    cascade = _policy(run)
    return cascade is not None and not cascade.keep_account_team


def with_picture(run: ApplyRun, connection: str, rows: Sequence[JournalRow]) -> list[JournalRow]:
    """The rows; those of owner changes with the open opportunities as they are now, and the team where it may go.

    Without a policy the CRM may still take opportunities along. They are read where the last pull knew of any.
    """
    target = run.connected(connection).target
    changing = [row for row in rows if _changes_owner(row) and "opportunities" not in row.response]
    if not changing or not isinstance(target, TeamTarget):
        return list(rows)
    if _policy(run) is not None:
        made = pictured(target, changing)
    elif not _dealt(run, connection).isdisjoint(row.record_id for row in changing):
        made = with_opportunities(target, changing)
    else:
        return list(rows)
    known = {row.id: row for row in made}
    return [known.get(row.id, row) for row in rows]


def followed(run: ApplyRun, connection: str, settled: Iterable[Settled]) -> list[Settled]:
    """The rows, after the opportunities of verified owner changes are where they should be; each says what moved."""
    target = run.connected(connection).target
    listed = _with_lost_team(target, list(settled))
    if not isinstance(target, HandsOver):
        return listed
    undone = _undone(run, listed)
    changed = [one for one in listed if _is_changed(one) and (_pictured(one.row) or undone.get(one.row.record_id))]
    if not changed:
        return listed
    owners = _owners(target, changed)
    follows = [_follow(run, one, owners.get(one.row.record_id, {}), undone) for one in changed]
    made = {one.settled.row.id: one for one in _carried_out(run, connection, target, follows)}
    done = {row_id: _noted(one) for row_id, one in made.items()}
    return [done.get(one.row.id, one) for one in listed]


def _follow(run: ApplyRun, one: Settled, now: Mapping[str, str], undone: Mapping[str, Sequence[Moved]]) -> _Follow:
    old, new = str(one.row.pre_image["owner"]), str(one.row.want["owner"])
    held = [child for child, owner in _pictured(one.row) if owner == old]
    cascade = _policy(run)
    if _undone_run(one):
        put = {child: (there, before) for child, before, there in undone.get(one.row.record_id, ())}
        kept = {child: (old, old) for child in held if child not in put}  # they did not come with the run
        return _Follow(one, {**kept, **put}, now)
    goes = cascade is None or cascade.transfer_open_opportunities
    return _Follow(one, dict.fromkeys(held, (old, new if goes else old)), now)


def _carried_out(run: ApplyRun, connection: str, target: HandsOver, follows: Sequence[_Follow]) -> list[_Follow]:
    """The follows after what differs was written and read again; without a policy only an undo writes anything."""
    moves = [
        OwnedChild(record_id=one.settled.row.record_id, child_id=child, owner_id=goal)
        for one in follows
        if _policy(run) is not None or _undone_run(one.settled)
        for child, (before, goal) in one.goals.items()
        # Where somebody else has it by now, a person gave it away: it stays there.
        if one.now.get(child) in (before, one.settled.row.want["owner"]) and one.now[child] != goal
    ]
    if not moves:
        return list(follows)
    try:
        target.hand_over(moves, stamp=run.stamp(connection), before_send=lambda: run.confirm(connection))
    except Retriable as exc:
        log.warning("opportunities_in_doubt", connection=connection, count=len(moves), reason=exc.code)
    owners = _owners(target, [one.settled for one in follows])
    return [replace(one, now=owners.get(one.settled.row.record_id, {})) for one in follows]


def _noted(one: _Follow) -> Settled:
    """The row with the opportunities that have another owner than before: [opportunity, before, now]."""
    row, ours = one.settled.row, (one.settled.row.pre_image["owner"], one.settled.row.want["owner"])
    moved = [
        [child, before, one.now[child]]
        for child, (before, _) in sorted(one.goals.items())
        if child in one.now and one.now[child] != before and one.now[child] in ours
    ]
    touched = [
        child for child, (before, goal) in one.goals.items() if one.now.get(child, goal) not in (goal, before, *ours)
    ]
    words = [one.settled.message] if one.settled.message else []
    words += [f"{len(moved)} open opportunities went along"] if moved else []
    words += [f"{len(touched)} were given to somebody else since, and stay"] if touched else []
    response = {**row.response, "moved": moved} if moved else row.response
    return replace(one.settled, row=replace(row, response=response), message="; ".join(words))


def _with_lost_team(target: object, settled: Sequence[Settled]) -> list[Settled]:
    """The rows of owner changes that let the team go, with the members that went: an undo puts them back."""
    letting = [
        one.row for one in settled if _is_changed(one) and one.row.lane != Lane.TEAM and one.row.response.get("team")
    ]
    if not letting or not isinstance(target, TeamTarget):
        return list(settled)
    lost = lost_members(target, letting)
    return [
        replace(one, row=replace(one.row, response={**one.row.response, "lost": list(lost[one.row.record_id])}))
        if one.row.record_id in lost and _is_changed(one)
        else one
        for one in settled
    ]


def _undone(run: ApplyRun, settled: Sequence[Settled]) -> dict[str, list[Moved]]:
    """By record, what the runs that are undone here moved."""
    runs = sorted({_undone_run(one) for one in settled if _is_changed(one)} - {""})
    found: dict[str, list[Moved]] = {}
    for run_id in runs:
        with run.deps.database.read() as conn:
            rows = journal.of_run(conn, run_id)
        for row in rows:
            for child, before, there in row.response.get("moved", ()):
                found.setdefault(row.record_id, []).append((child, before, there))
    return found


def _owners(target: HandsOver, settled: Sequence[Settled]) -> dict[str, dict[str, str]]:
    found = target.open_opportunities(list(dict.fromkeys(one.row.record_id for one in settled)))
    return {record_id: {one.child_id: one.owner_id for one in children} for record_id, children in found.items()}


def _pictured(row: JournalRow) -> list[tuple[str, str]]:
    return [(child, owner) for child, owner in row.response.get("opportunities", ())]


def _undone_run(one: Settled) -> str:
    """The run that this row takes back; "" for none."""
    rule = one.work.rules.get("owner", "")
    return rule.removeprefix(UNDO_RULE) if rule.startswith(UNDO_RULE) else ""


def _is_changed(one: Settled) -> bool:
    return one.row.state is JournalState.VERIFIED and one.how != "converged" and _changes_owner(one.row)


def _changes_owner(row: JournalRow) -> bool:
    old, new = row.pre_image.get("owner"), row.want.get("owner")
    return bool(old and new and old != new)


def _dealt(run: ApplyRun, connection: str) -> frozenset[str]:
    """Records that had open opportunities when the CRM was last pulled."""
    if connection not in run.dealt:
        snapshots = Snapshots(run.deps.database, run.deps.files)
        found = snapshots.current(connection, "opportunity")
        table = snapshots.read(found) if found is not None else None
        known = [] if table is None else table.filter(_is_open(table))["record_id"].to_pylist()
        run.dealt[connection] = frozenset(one for one in known if one)
    return run.dealt[connection]


def _is_open(table: pa.Table) -> pa.ChunkedArray:
    return pc.invert(pc.fill_null(table["is_closed"], False))  # the value to fill in


def _policy(run: ApplyRun) -> Cascade | None:
    owner = run.deps.conflicts.fields.get("owner")
    return owner.cascade if owner is not None else None
