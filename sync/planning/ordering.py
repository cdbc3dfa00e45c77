"""The order of a plan: parents first, top down; then what follows from them; then the rest."""

from __future__ import annotations

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy, FieldPolicy
from sync.engine import Frame
from sync.frames import Expr, cases, conform, one_of, row_number
from sync.planning.groups import WRITABLE
from sync.world import ITEMS

PARENT = "parent"
_FOLLOWERS = ("owner", "health_system", "account_tier", "rescore_flag")
"""Fields whose groups depend on the parent of the record."""


def order_items(items: Frame, conflicts: ConflictPolicy) -> Frame:
    """ITEMS with `caused_by` and `sequence`, from 1 without gaps; the same items always get the same order."""
    caused = _with_causes(items, conflicts)
    waves = caused.with_columns(
        _wave=cases([(_is_parent(conflicts), 0), (~nw.col("caused_by").is_null(), 1)], 2).cast(nw.Int64())
    )
    order = ["_wave", "depth", "connection", "record_id", "group"]
    return conform(row_number(waves, "sequence", order), ITEMS)


def _with_causes(items: Frame, conflicts: ConflictPolicy) -> Frame:
    """A change of the parent that may be written is the cause of the record's dependent items."""
    followers = {_group(name, conflicts) for name in _FOLLOWERS if name in MANAGED}
    parents = items.filter(_is_parent(conflicts) & one_of(nw.col("action"), WRITABLE))
    causes = parents.select("connection", "record_id", nw.col("item_id").alias("_cause"))
    joined = items.join(causes, on=["connection", "record_id"], how="left")
    follows = one_of(nw.col("group"), followers) & ~_is_parent(conflicts)
    return joined.with_columns(caused_by=nw.when(follows).then(nw.col("_cause"))).drop("_cause")


def _is_parent(conflicts: ConflictPolicy) -> Expr:
    return nw.col("group") == _group(PARENT, conflicts)


def _group(name: str, conflicts: ConflictPolicy) -> str:
    return conflicts.fields.get(name, FieldPolicy()).group or name
