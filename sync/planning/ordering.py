"""The order of a plan: parents first, top down; then what follows from them; then the rest."""

from __future__ import annotations

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, null, one_of, row_number, stack
from sync.planning.groups import WRITABLE, group_of
from sync.world import ITEMS, TEXT

PARENT = "parent"
_FOLLOWERS = ("owner", "health_system", "account_tier", "rescore_flag")
"""Fields whose groups depend on the parents of the record, its own and those above."""

_MAX_LEVELS = 64
_KEY = ["connection", "record_id"]


def order_items(
    items: Frame, records: Frame, conflicts: ConflictPolicy, engine: Engine, *, waits: Frame | None = None
) -> Frame:
    """ITEMS with `caused_by` and `sequence`, from 1 without gaps; the same items always get the same order.

    `waits` are the changes of parent that need another one first, see sync/planning/circles.py.

    An item follows from the nearest change of a parent that may be written: the record's own, or of one it stands
    under in the CRM today.
    """
    causes = engine.materialize(_parent_changes(items, conflicts))
    caused = items.join(_handed_down(causes, records, engine), on=_KEY, how="left")
    follows = one_of(nw.col("group"), {group_of(name, conflicts) for name in _FOLLOWERS if name in MANAGED})
    is_parent = nw.col("group") == group_of(PARENT, conflicts)
    waiting = caused.join(_awaited(waits, causes), on=_KEY, how="left") if waits is not None else caused
    before = nw.col("_before") if waits is not None else null(TEXT)
    cause = cases([(is_parent, before), (follows, nw.col("_cause"))], null(TEXT))
    named = waiting.with_columns(caused_by=cause)
    waves = named.with_columns(_wave=cases([(is_parent, 0), (~nw.col("caused_by").is_null(), 1)], 2).cast(nw.Int64()))
    return conform(row_number(waves, "sequence", ["_wave", "depth", *_KEY, "group"]), ITEMS)


def _parent_changes(items: Frame, conflicts: ConflictPolicy) -> Frame:
    """`connection`, `record_id`, `_cause`: records whose parent may be written, with the item that does it."""
    writable = one_of(nw.col("action"), WRITABLE)
    parents = items.filter((nw.col("group") == group_of(PARENT, conflicts)) & writable)
    return parents.select(*_KEY, nw.col("item_id").alias("_cause"))


def _awaited(waits: Frame, causes: Frame) -> Frame:
    """`connection`, `record_id`, `_before`: the item that a change of parent waits for."""
    first = causes.select("connection", nw.col("record_id").alias("first"), nw.col("_cause").alias("_before"))
    return waits.join(first, on=["connection", "first"], how="inner").select(*_KEY, "_before")


def _handed_down(causes: Frame, records: Frame, engine: Engine) -> Frame:
    """The causes of all records below as well, level by level. A record with a change of its own keeps that one.

    Walking down from the few that move is cheaper than walking up from all. What was seen is not visited again, so
    that a circle of parents in the CRM ends.
    """
    live = ~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null() & ~nw.col("parent").is_null()
    tree = records.filter(live).select("connection", "record_id", "parent")
    frontier = causes
    levels = [causes]
    for _ in range(_MAX_LEVELS):
        above = frontier.rename({"record_id": "parent"})
        below = tree.join(above, on=["connection", "parent"], how="inner").select(*_KEY, "_cause")
        frontier = engine.materialize(below.join(stack(levels).select(*_KEY), on=_KEY, how="anti"))
        if not engine.count(frontier.head(1)):
            break
        levels.append(frontier)
    return stack(levels)
