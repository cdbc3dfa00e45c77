"""A plan in reverse: what a run wrote against what stood there before, through the same decision table.

Base is the value that was written, the CRM's side is what it says now, desired is what stood there before. So a value
that nobody touched since goes back, and one that somebody touched is a conflict for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import FieldPolicy, Policies
from sync.engine import Engine, Frame
from sync.frames import certain, one_of
from sync.planning.alarms import circumstances
from sync.planning.desired import DESIRED
from sync.planning.guards import UNDO_RULE as UNDO_RULE
from sync.planning.guards import Populations, books_of, evaluate
from sync.planning.plan import build_plan, plan_digest, writable
from sync.planning.threeway import Action
from sync.world import AGREED, BOOL, OVERRIDES, TEXT, Plan, Schema, World

Values = Mapping[str, str | None]
Row = Mapping[str, Any]
_KEY = ["connection", "record_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What a run wrote to one record, and what stood there before."""

    connection: str
    record_id: str
    account_id: str
    account_name: str
    depth: int | None  # of the record in the tree
    applied: Values  # managed field -> what was written
    before: Values  # the same fields
    evidence: str = ""  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the CRMs say now about the records."""

    fields: Mapping[str, frozenset[str]]  # connection -> managed fields that were read
    values: Mapping[tuple[str, str], Values | None] = field(default_factory=dict)  # (connection, record); None = gone


def reverse_plan(
    undone: Sequence[Undone], live: Live, run_id: str, world: World, policies: Policies, *, as_of: str, engine: Engine
) -> Plan:
    """What would undo the run, for a person to approve; the guards are the ordinary ones. Read-only."""
    records = engine.materialize(_with_live(world.records, live, engine))
    agreed = engine.table([_agreed(one) for one in undone], AGREED)
    # What was refused before does not count: the person who asks for the undo asks for just these values.
    seen = replace(world, records=records, agreed=agreed, overrides=engine.table([], OVERRIDES))
    desired = engine.table([_desired(one, run_id) for one in undone], DESIRED)
    asking = policies.model_copy(update={"conflicts": _asking(policies)})
    plan = build_plan(desired, seen, asking, as_of, engine)
    items, changes = (engine.materialize(_approved_first(frame)) for frame in (plan.items, plan.changes))
    guards = evaluate(
        writable(items),
        changes,
        populations=Populations(accounts=_accounts(records, engine), books=books_of(records, engine)),
        policies=policies,
        contacted=world.accepted_guards,
        around=circumstances(world, policies.guards, policies.territories.named_accounts, engine),
        engine=engine,
    )
    digest = plan_digest(items, changes, engine)
    counts = {**_renamed(plan.counts), "undone": len(undone)}
    return replace(plan, items=items, changes=changes, guards=guards, counts=counts, digest=digest)


def _desired(one: Undone, run_id: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "connection": one.connection,
        "record_id": one.record_id,
        "account_id": one.account_id,
        "account_name": one.account_name,
        "depth": one.depth,
    }
    for name in one.applied:
        value = one.before.get(name)
        row |= {
            name: value,
            f"{name}__kind": "clear" if value is None else "value",
            f"{name}__rule": f"{UNDO_RULE}{run_id}",
            f"{name}__evidence": one.evidence,
        }
    return row


def _agreed(one: Undone) -> dict[str, Any]:
    kinds = {f"{name}__kind": "empty" if value is None else "value" for name, value in one.applied.items()}
    return {"connection": one.connection, "record_id": one.record_id, **one.applied, **kinds}


def _asking(policies: Policies) -> Any:
    """The conflict policy under which every value that somebody touched is a person's to decide."""
    conflicts = policies.conflicts
    own = {name: conflicts.fields.get(name, FieldPolicy()) for name in MANAGED}
    fields = {name: FieldPolicy(group=one.group, clear="auto", cascade=one.cascade) for name, one in own.items()}
    return conflicts.model_copy(update={"fields": fields, "successors": (), "multi_crm": {}})


def _approved_first(frame: Frame) -> Frame:
    """Nothing of an undo is written by policy alone."""
    automatic = nw.col("action") == Action.AUTO.value
    action = nw.when(automatic).then(nw.lit(Action.APPROVE.value)).otherwise(nw.col("action"))
    return frame.with_columns(action=action)


def _renamed(counts: Mapping[str, int]) -> dict[str, int]:
    automatic = counts.get("action:auto", 0)
    kept = {name: number for name, number in counts.items() if name != "action:auto"}
    return {**kept, "action:approve": kept.get("action:approve", 0) + automatic}


def _with_live(records: Frame, live: Live, engine: Engine) -> Frame:
    """The records with what was read just now in place of what was pulled."""
    names = sorted({name for fields in live.fields.values() for name in fields})
    schema: Schema = {**dict.fromkeys([*_KEY, *(f"{name}__live" for name in names)], TEXT), "_there": BOOL}
    rows = [_live_row(key, values) for key, values in sorted(live.values.items())]
    joined = records.join(engine.table(rows, schema), on=_KEY, how="left")
    was_read = ~nw.col("_there").is_null()
    overlaid = joined.with_columns(
        is_deleted=certain(nw.col("is_deleted")) | (was_read & ~certain(nw.col("_there"))),
        **{name: _overlaid(name, was_read & _reads(name, live)) for name in names},
    )
    return overlaid.drop("_there", *(f"{name}__live" for name in names))


def _live_row(key: tuple[str, str], values: Values | None) -> Row:
    shown = {f"{name}__live": value for name, value in (values or {}).items()}
    return {"connection": key[0], "record_id": key[1], **shown, "_there": values is not None}


def _overlaid(name: str, was_read: Any) -> Any:
    return nw.when(was_read).then(nw.col(f"{name}__live")).otherwise(nw.col(name))


def _reads(name: str, live: Live) -> Any:
    return one_of(nw.col("connection"), {connection for connection, fields in live.fields.items() if name in fields})


def _accounts(records: Frame, engine: Engine) -> dict[str, int]:
    there = records.filter(~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null())
    rows: Iterable[Row] = engine.rows(there.group_by("connection").agg(nw.len().cast(nw.Int64()).alias("records")))
    return dict(sorted((row["connection"], row["records"]) for row in rows))
