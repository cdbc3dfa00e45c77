"""Organisations in both CRMs: one side is written, and the other waits for the native sync to bring it there.

The mirror is held while the master does not have the value yet, and for a while after our write to the master. If the
echo comes, the mirror has converged and nothing is written; if it does not, the next plan writes the mirror.
"""

from __future__ import annotations

from collections.abc import Mapping

import narwhals as nw

from mappings.policy import ConflictPolicy, MultiCrm
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, one_of, stack
from sync.planning.groups import WRITABLE
from sync.planning.threeway import Action, State
from sync.world import TEXT, World

_PENDING = WRITABLE | {Action.HELD, Action.OVERRIDDEN, Action.BLOCKED}
"""Actions of a master that does not have the value."""

_ACCOUNT = {"account_id": TEXT, "field": TEXT, "_why": TEXT}


def await_echo(differences: Frame, world: World, policy: ConflictPolicy, engine: Engine) -> Frame:
    """DIFFERENCES, materialized, with the mirrors' writes held that the master's sync may still make unnecessary."""
    if not policy.multi_crm:
        return differences
    reasons = engine.materialize(stack([_ahead(differences, policy), _sent(world, policy, engine)]))
    # Waiting for the master comes first: "a" sorts before "b".
    waits = reasons.group_by("account_id", "field").agg(nw.col("_why").min())
    joined = differences.join(waits, on=["account_id", "field"], how="left")
    mirrors = _any([_is_mirror(name, one) for name, one in policy.multi_crm.items()])
    holds = mirrors & one_of(nw.col("action"), WRITABLE) & ~nw.col("_why").is_null()
    changed = {"state": State.HELD.value, "action": Action.HELD.value}
    held = joined.with_columns(
        **{
            name: nw.when(certain(holds)).then(nw.lit(value)).otherwise(nw.col(name)) for name, value in changed.items()
        },
        reason=nw.when(certain(holds)).then(nw.col("_why").str.slice(1)).otherwise(nw.col("reason")),
    )
    return engine.materialize(held.drop("_why"))


def _ahead(differences: Frame, policy: ConflictPolicy) -> Frame:
    """Accounts whose master record does not have the value yet."""
    masters = {
        name: (nw.col("field") == name) & (nw.col("connection") == one.master) for name, one in policy.multi_crm.items()
    }
    pending = _any(list(masters.values())) & one_of(nw.col("action"), _PENDING)
    words = [
        (nw.col("field") == name, f"aecho: {one.master} gets it first; its sync may bring it here")
        for name, one in policy.multi_crm.items()
    ]
    return differences.filter(certain(pending)).select("account_id", "field", _why=cases(words, ""))


def _sent(world: World, policy: ConflictPolicy, engine: Engine) -> Frame:
    """Accounts whose master record we wrote a short while ago."""
    if world.moves is None:
        return engine.table([], _ACCOUNT)
    c = nw.col
    recent = {
        name: (c("field") == name) & (c("connection") == one.master) & (c("age_min") < one.minutes)
        for name, one in policy.multi_crm.items()
    }
    words = [
        (c("field") == name, f"becho: written to {one.master} within {one.wait_for_echo}; its sync may still bring it")
        for name, one in policy.multi_crm.items()
    ]
    wrote = world.moves.filter(certain(_any(list(recent.values()))))
    told = wrote.select("connection", "record_id", "field", _why=cases(words, ""))
    records = world.crosswalk.select(c("source").alias("connection"), c("source_id").alias("record_id"), "account_id")
    return told.join(records, on=["connection", "record_id"], how="inner").select("account_id", "field", "_why")


def _is_mirror(name: str, one: MultiCrm) -> Expr:
    return (nw.col("field") == name) & one_of(nw.col("connection"), one.mirror)


def _any(conditions: list[Expr]) -> Expr:
    found = conditions[0]
    for condition in conditions[1:]:
        found = found | condition
    return found


def longest_wait(fields: Mapping[str, MultiCrm]) -> int:
    """Minutes that any mirror waits: how far back writes have to be known."""
    return max((one.minutes for one in fields.values()), default=0)
