"""The cascade preview of a plan: what its owner changes touch beside the accounts, from what the plan was made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.protocol import HandsOver
from jobs.applying.model import ApplyDeps
from jobs.applying.wired import keeps_teams
from jobs.present import PlanView
from jobs.wiring import Wired
from store import journal
from store.database import StoreError
from store.plans import StoredPlan
from store.snapshots import Snapshots
from sync.planning.cascade import Along, Key, along, put_back
from sync.planning.threeway import State

OWNED = ("auto", "approve", "review", "held", "blocked")
"""Actions of items whose owner change is, or may come to be, made."""


def previewed(wired: Wired, plan: StoredPlan) -> dict[str, Along]:
    """By item id, what the owner changes of a plan touch; nothing of what was swept meanwhile."""
    items = {row["item_id"] for row in plan.items.select(["item_id", "action"]).to_pylist() if row["action"] in OWNED}
    owners = plan.changes.filter(pc.equal(plan.changes["field"], "owner"))
    changes = [row for row in owners.to_pylist() if row["item_id"] in items]
    records: dict[str, set[str]] = defaultdict(set)
    for change in changes:
        records[change["connection"]].add(change["record_id"])
    teams: dict[Key, list[str]] = defaultdict(list)
    deals: dict[Key, list[tuple[str, str]]] = defaultdict(list)
    for connection, wanted in sorted(records.items()):
        for row in _rows(wired.snapshots, plan, connection, "team_member", wanted):
            teams[connection, row["record_id"]].append(row["user_id"])
        for row in _rows(wired.snapshots, plan, connection, "opportunity", wanted):
            if not row["is_closed"]:
                deals[connection, row["record_id"]].append((row["opportunity_id"], row["owner"] or ""))
    listed = {key: sorted(found) for key, found in deals.items()}
    policy = wired.mappings.policies.conflicts
    return along(changes, teams, listed, policy, keeps_teams=keeps_teams(wired))


def with_cascade(wired: Wired, view: PlanView) -> PlanView:
    """The view with what its owner changes touch."""
    return replace(view, along=previewed(wired, view.stored))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAlong:
    """What a run took along with its owner changes, and what an undo finds of it now."""

    opportunities: Mapping[State, tuple[str, ...]]  # by what the decision table says of each
    team_members: int  # that are put back where they are missing


def taken_along(deps: ApplyDeps, run_id: str, records: Collection[Key]) -> TakenAlong:
    """What a run took along with the owner changes of these records. Reads the CRMs only where there is something."""
    with deps.database.read() as conn:
        rows = [row for row in journal.of_run(conn, run_id) if (row.connection, row.record_id) in records]
    moved = {(row.connection, row.record_id): row.response["moved"] for row in rows if row.response.get("moved")}
    by_state: dict[State, list[str]] = defaultdict(list)
    for connection in sorted({connection for connection, _ in moved}):
        wanted = [record_id for name, record_id in moved if name == connection]
        now = _owners(deps, connection, wanted)
        for record_id in wanted:
            for deal, before, there in moved[connection, record_id]:
                by_state[put_back(before, there, now.get(deal))].append(deal)
    return TakenAlong(
        opportunities={state: tuple(sorted(found)) for state, found in sorted(by_state.items())},
        team_members=sum(len(row.response.get("lost", ())) for row in rows),
    )


def _owners(deps: ApplyDeps, connection: str, record_ids: Sequence[str]) -> dict[str, str]:
    target = deps.connections[connection].target
    found = target.open_opportunities(record_ids) if isinstance(target, HandsOver) else {}
    return {one.child_id: one.owner_id for children in found.values() for one in children}


def _rows(
    snapshots: Snapshots, plan: StoredPlan, connection: str, name: str, records: Collection[str]
) -> list[dict[str, Any]]:
    """Rows about these records, of the pull that the plan was made of; of the newest one for a plan without."""
    listed = [one for one in snapshots.list(source=connection) if one.object == name]
    made_of = next((one for one in listed if one.id in plan.header.snapshot_ids), None)
    found = made_of or snapshots.current(connection, name)
    if found is None:
        return []
    try:
        table: pa.Table = snapshots.read(found)
    except StoreError:
        return []
    wanted = pa.array(sorted(records), table["record_id"].type)
    return list(table.filter(pc.is_in(table["record_id"], wanted)).to_pylist())
