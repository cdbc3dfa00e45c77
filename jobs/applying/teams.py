"""Owner changes of accounts with a team, where the lane that keeps teams is allowed.

No precondition exists there: the record is read just before, the team is pictured before the write and looked at again
after it, and what a person did in between shows in the field's history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from connectors.protocol import Lane, TeamMember, TeamTarget, Verdict
from jobs.applying.model import Work
from jobs.applying.session import ApplyRun, Settled
from store import journal
from store.journal import JournalRow, JournalState
from sync.planning.undo import UNDO_RULE

Members = Sequence[Mapping[str, Any]]
"""Team members as the journal keeps them."""


def team_target(run: ApplyRun, connection: str) -> TeamTarget | None:
    """The target, where it has teams and the settings allow the lane that keeps them."""
    target = run.connected(connection).target
    return target if run.deps.keeps_teams and isinstance(target, TeamTarget) else None


def pictured(target: TeamTarget, rows: Sequence[JournalRow]) -> list[JournalRow]:
    """The rows with what an owner change may take along, as it is now: team members and open opportunities."""
    ids = list(dict.fromkeys(row.record_id for row in rows))
    teams, deals = target.team(ids), target.open_opportunities(ids)
    return [
        replace(
            row,
            response={
                "team": [asdict(member) for member in teams.get(row.record_id, ())],
                "opportunities": [[deal.child_id, deal.owner_id] for deal in deals.get(row.record_id, ())],
            },
        )
        for row in rows
    ]


def with_opportunities(target: TeamTarget, rows: Sequence[JournalRow]) -> list[JournalRow]:
    """The rows with the open opportunities of their accounts as they are now, and their owners."""
    deals = target.open_opportunities(list(dict.fromkeys(row.record_id for row in rows)))
    shown = {key: [[deal.child_id, deal.owner_id] for deal in held] for key, held in deals.items()}
    return [replace(row, response={**row.response, "opportunities": shown.get(row.record_id, [])}) for row in rows]


def with_teams_completed(run: ApplyRun, connection: str, settled: Sequence[Settled]) -> list[Settled]:
    """The rows a died run wrote on this lane, after the members that went with its owner changes are back."""
    target = team_target(run, connection) or run.connected(connection).target
    written = [one for one in settled if one.row.lane == Lane.TEAM and one.row.state is JournalState.VERIFIED]
    if not written or not isinstance(target, TeamTarget):
        return list(settled)
    words = _put_back(run, connection, target, {one.row.record_id: _team(one.row) for one in written})
    return [
        replace(one, message=f"{one.message}; {words[one.row.record_id]}") if one.row.record_id in words else one
        for one in settled
    ]


def restore_undone_teams(run: ApplyRun, work: Iterable[Work]) -> None:
    """Put back the members that an owner change took along, where that change was undone just now."""
    lost: dict[str, dict[str, Members]] = {}
    known: dict[str, dict[str, Members]] = {}
    for one in work:
        result = run.results.get(one.item_id)
        undone = next((r.removeprefix(UNDO_RULE) for r in one.rules.values() if r.startswith(UNDO_RULE)), "")
        if not undone or "owner" not in one.want or result is None or result.state != "verified":
            continue
        if undone not in known:
            known[undone] = _lost_in(run, undone)
        members = known[undone].get(one.record_id)
        if members:
            lost.setdefault(one.connection, {})[one.record_id] = members
    for connection, teams in lost.items():
        target = run.connected(connection).target
        if isinstance(target, TeamTarget):
            _put_back(run, connection, target, teams)


def lost_members(target: TeamTarget, rows: Sequence[JournalRow]) -> dict[str, Members]:
    """Members of the pictures that are not there now, by record id."""
    now = target.team([row.record_id for row in rows])
    there = {record_id: {member.user_id for member in team} for record_id, team in now.items()}
    return {
        row.record_id: gone
        for row in rows
        if (gone := [m for m in _team(row) if m["user_id"] not in there.get(row.record_id, set())])
    }


def _team(row: JournalRow) -> Members:
    found: Members = row.response.get("team", ())
    return found


def _lost_in(run: ApplyRun, run_id: str) -> dict[str, Members]:
    """By record, the members that went with the owner changes of a run and could not be put back."""
    with run.deps.database.read() as conn:
        rows = journal.of_run(conn, run_id)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.record_id, []).extend(row.response.get("lost", ()))
    return {record_id: members for record_id, members in found.items() if members}


def _put_back(run: ApplyRun, connection: str, target: TeamTarget, teams: Mapping[str, Members]) -> dict[str, str]:
    """Insert what is missing; a word by record id where a team is not whole afterwards."""
    members = [TeamMember(**member) for team in teams.values() for member in team]
    if not members:
        return {}
    results = target.restore_team(members, stamp=run.stamp(connection), before_send=lambda: run.confirm(connection))
    failed: dict[str, int] = {}
    for member, result in zip(members, results, strict=True):
        if result.verdict is not Verdict.OK:
            failed[member.record_id] = failed.get(member.record_id, 0) + 1
    return {record_id: f"{count} team members could not be put back" for record_id, count in failed.items()}
