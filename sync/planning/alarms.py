"""Limits that one case is enough for: a freeze, access that was lost, a canary that is not to be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import narwhals as nw

from mappings.guard_policy import Freeze, GuardPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, one_of
from sync.planning.limits import CANARY, DRIFT, FREEZE, judged
from sync.world import GuardResult, World

NAMED_HOLD = "named_account"
"""Kind of a hold that makes an account a named one."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the limits look at beside the plan itself."""

    moves: Frame | None = None  # MOVES of other plans, as far back as the longest window
    own: Frame | None = None  # MOVES that this very plan made already
    named: frozenset[str] = frozenset()  # of named accounts: account ids, record ids, `connection:record id`
    local_time: str = ""  # YYYY-MM-DDTHH:MM in the policy's zone; empty = no freeze is looked at
    lost_access: Mapping[str, Collection[str]] = field(default_factory=dict)  # connection -> fields once agreed
    missing_canaries: Mapping[str, Collection[str]] = field(default_factory=dict)  # connection -> record ids


def circumstances(world: World, guards: GuardPolicy, named: Collection[str], engine: Engine) -> Circumstances:
    """What stands beside a plan made of this world. `named` are vendor and record ids of named accounts."""
    return Circumstances(
        moves=world.moves,
        named=named_keys(world, named, engine),
        local_time=world.local_time,
        lost_access=_united(world.hidden, world.fixed),
        missing_canaries=missing_canaries(world.records, guards, engine),
    )


def named_keys(world: World, named: Collection[str], engine: Engine) -> frozenset[str]:
    """Ids by which a change shows that its account is a named one."""
    holds = world.holds.filter(nw.col("kind") == NAMED_HOLD).select("connection", "record_id")
    held = {f"{row['connection']}:{row['record_id']}" for row in engine.rows(holds)}
    known = world.crosswalk.filter(one_of(nw.col("source_id"), named)).select("account_id") if named else None
    accounts = {row["account_id"] for row in engine.rows(known)} if known is not None else set()
    return frozenset({*held, *accounts, *named})


def missing_canaries(records: Frame, guards: GuardPolicy, engine: Engine) -> dict[str, tuple[str, ...]]:
    """Canaries that are not live records of their connection."""
    if not guards.canaries:
        return {}
    wanted = {one for ids in guards.canaries.values() for one in ids}
    live = records.filter(
        one_of(nw.col("record_id"), wanted) & ~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null()
    )
    seen = {(row["connection"], row["record_id"]) for row in engine.rows(live.select("connection", "record_id"))}
    lost = {name: tuple(one for one in ids if (name, one) not in seen) for name, ids in guards.canaries.items()}
    return {name: ids for name, ids in lost.items() if ids}


def alarms(
    writes: Mapping[str, int], guards: GuardPolicy, around: Circumstances, accepted: Collection[str]
) -> Iterator[GuardResult]:
    """The alarms of connections that something would be written to (connection -> items)."""
    written = {name: count for name, count in sorted(writes.items()) if count}
    if not written:
        return
    for freeze in frozen(guards.freeze, around.local_time):
        yield judged(FREEZE, freeze.id, sum(written.values()), accepted=accepted)
    for name in written:
        lost, canaries = around.lost_access.get(name, ()), around.missing_canaries.get(name, ())
        if lost:
            yield judged(DRIFT, name, len(lost), accepted=accepted)
        if canaries:
            yield judged(CANARY, name, len(canaries), population=len(guards.canaries.get(name, ())), accepted=accepted)


def frozen(freezes: Collection[Freeze], local_time: str) -> tuple[Freeze, ...]:
    """The freezes that hold at a local time, YYYY-MM-DDTHH:MM; none for ""."""
    return tuple(one for one in freezes if local_time and _holds(one, local_time))


def _holds(freeze: Freeze, local_time: str) -> bool:
    """Hours that go over midnight belong to the day on which they begin."""
    day, hour = date.fromisoformat(local_time[:10]), int(local_time[11:13])
    start, end = freeze.hours
    if start > end and hour < end:
        day, hour = day - timedelta(days=1), hour + 24
    last = end + 24 if start > end else end
    if not start <= hour < last:
        return False
    if freeze.weekdays and _DAYS[day.weekday()] not in freeze.weekdays:
        return False
    shown = day.isoformat()
    return (not freeze.from_ or freeze.from_ <= shown) and (not freeze.until or shown <= freeze.until)


def _united(one: Mapping[str, Collection[str]], other: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset((*one.get(name, ()), *other.get(name, ()))) for name in sorted({*one, *other})}
