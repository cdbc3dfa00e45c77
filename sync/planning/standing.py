"""What people said that still stands: holds on a group of fields, and values they kept against a proposal."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Frame
from sync.frames import Expr, certain, first_by, text
from sync.world import World

EVERY_GROUP = "*"
"""A hold on this group holds all groups of the record."""

_KEY = ["connection", "record_id"]


def with_holds(rows: Frame, world: World, as_of: str) -> Frame:
    """Adds `held` and `hold_reason`. A hold stands until the end of its last day."""
    standing = nw.col("until").is_null() | (nw.col("until") >= as_of)
    reason = text(nw.col("kind"), ": ", nw.col("reason"), ", by ", nw.col("by"), _until())
    holds = world.holds.filter(standing).select(*_KEY, "group", reason=reason)
    holds = first_by(holds, [*_KEY, "group"], ["reason"])
    every = nw.col("group") == EVERY_GROUP
    own = holds.filter(~every).rename({"reason": "_own"})
    whole = holds.filter(every).drop("group").rename({"reason": "_whole"})
    joined = rows.join(own, on=[*_KEY, "group"], how="left").join(whole, on=_KEY, how="left")
    named = joined.with_columns(hold_reason=nw.coalesce(nw.col("_own"), nw.col("_whole"))).drop("_own", "_whole")
    return named.with_columns(held=~nw.col("hold_reason").is_null())


def with_overrides(rows: Frame, world: World, as_of: str) -> Frame:
    """Adds `override`, `kept`, `refused`, `lapsed` and `override_reason`. A lapsed one still asks, once."""
    reason = text("kept by ", nw.col("by"), ": ", nw.col("reason"), _until())
    overrides = world.overrides.select(
        *_KEY, "field", "kept", "refused", lapsed=certain(nw.col("until") < as_of), override_reason=reason
    )
    joined = rows.join(overrides, on=[*_KEY, "field"], how="left")
    return joined.with_columns(override=~nw.col("override_reason").is_null(), lapsed=certain(nw.col("lapsed")))


def _until() -> Expr:
    return nw.when(~nw.col("until").is_null()).then(text(", until ", nw.col("until")))
