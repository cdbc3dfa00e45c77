"""What the limits look at beside the plan: what was written lately, named accounts, access, canaries, the hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from connectors.errors import ConnectorError
from jobs.applying.model import ApplyDeps
from mappings.guard_policy import GuardPolicy
from mappings.policy import Policies
from store.agreed import Agreed
from store.database import Database, instant
from store.decisions import Decisions
from store.moves import moves_since
from store.plans import StoredPlan
from store.snapshots import Snapshots
from store.tables import crosswalk
from sync.engine import Engine
from sync.planning.alarms import NAMED_HOLD, Circumstances
from sync.planning.echo import longest_wait
from sync.world import MOVES


def recent_moves(database: Database, policies: Policies, *, plan_id: str = "") -> list[dict[str, Any]]:
    """MOVES as far back as the limits and the mirrors look, and all of one plan's, whenever they were made."""
    now = datetime.fromisoformat(database.now())
    longest = max((window.hours * 60 for window in policies.guards.windows), default=0)
    minutes = max(longest, longest_wait(policies.conflicts.multi_crm))
    since = instant(now.astimezone(UTC) - timedelta(minutes=minutes))
    return [_aged(row, now) for row in moves_since(database, since, plan_id=plan_id)]


def around(deps: ApplyDeps, plan: StoredPlan, policies: Policies, engine: Engine, *, local_time: str) -> Circumstances:
    """What stands beside this plan just before it is written."""
    moves = recent_moves(deps.database, policies, plan_id=plan.id)
    others, own = ([row for row in moves if (row["plan_id"] == plan.id) is mine] for mine in (False, True))
    return Circumstances(
        moves=engine.table(others, MOVES) if others else None,
        own=engine.table(own, MOVES) if own else None,
        named=named_keys(deps.database, plan, policies.territories.named_accounts),
        local_time=local_time,
        lost_access=lost_access(deps, plan),
        missing_canaries=_missing_canaries(deps, policies.guards),
    )


def lost_access(deps: ApplyDeps, plan: StoredPlan) -> dict[str, frozenset[str]]:
    """Fields once agreed that the newest pull could not read, or not write, by connection."""
    snapshots = Snapshots(deps.database, deps.files)
    found: dict[str, frozenset[str]] = {}
    for name in sorted(plan.header.org_ids):
        pulled = snapshots.current(name, "account")
        meta = pulled.meta if pulled is not None else {}
        suspects = frozenset([*meta.get("missing", ()), *meta.get("fixed", ())])
        if suspects:
            found[name] = ever_agreed(Agreed(deps.database, deps.files).table(), name, suspects)
    return found


def ever_agreed(agreed: pa.Table, connection: str, fields: frozenset[str]) -> frozenset[str]:
    """Of these fields, those that were agreed on for any record: what we may not do now, we once could."""
    ours = agreed.filter(pc.equal(agreed["connection"], connection))
    return frozenset(name for name in fields if ours[f"{name}__kind"].null_count < ours.num_rows)


def _aged(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A row from the future, after a clock went back, is new."""
    age = (now - datetime.fromisoformat(row["at"])).total_seconds()
    return {**{name: row[name] for name in row if name != "at"}, "age_min": max(0, int(age // 60))}


def named_keys(database: Database, plan: StoredPlan, named: Iterable[str]) -> frozenset[str]:
    """Ids of named accounts: account ids, record ids, `connection:record id` where a hold makes them so."""
    keys = list(named)
    with database.read() as conn:
        query = sa.select(crosswalk.c.account_id).where(crosswalk.c.source_id.in_(keys)).distinct()
        accounts = set(conn.scalars(query)) if keys else set()
    holds = Decisions(database).holds(plan.header.as_of).to_pylist()
    held = {f"{one['connection']}:{one['record_id']}" for one in holds if one["kind"] == NAMED_HOLD}
    return frozenset({*keys, *accounts, *held})


def _missing_canaries(deps: ApplyDeps, guards: GuardPolicy) -> dict[str, tuple[str, ...]]:
    """Canaries that cannot be read now, read for this alone."""
    lost: dict[str, tuple[str, ...]] = {}
    for name, ids in guards.canaries.items():
        if name in deps.connections:
            lost[name] = _unseen(deps, name, ids)
    return {name: ids for name, ids in lost.items() if ids}


def _unseen(deps: ApplyDeps, name: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    target, translation = deps.connections[name].target, deps.connections[name].translation
    try:
        found = target.read(list(ids), [translation.native_name("owner")], versions=False)
    except ConnectorError:
        return ids
    return tuple(one for one in ids if found.get(one) is None)
