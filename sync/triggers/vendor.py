"""Events since the delivery before: firms whose ultimate system is another one now."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, same
from sync.hierarchy.climb import Deliveries, deliveries, tops
from sync.hierarchy.edges import released
from sync.world import TEXT, Schema, World

EVENTS: Schema = {
    "account_id": TEXT,
    "kind": TEXT,  # moved_system, joined_system, left_system
    "old_system": TEXT,  # name; null where it had none
    "new_system": TEXT,
    "as_of": TEXT,  # of the delivery that shows it
    "source_ref": TEXT,
    "old_account_id": TEXT,  # account of the old system; null where it had none or has no account
    "new_account_id": TEXT,
}
"""One row per account whose vendor-stated system changed. A blank system is unknown and a new name is no change.

A system that is emptied by a word was left. What counts is who stands at the top: where a system itself is taken over,
all its members move, whether their own rows say so or not.
"""


def ownership_events(world: World, links: Frame, engine: Engine, told: Deliveries | None = None) -> Frame:
    """EVENTS between the two newest deliveries."""
    told = told or deliveries(world, engine)
    before = _roots(world.previous_firms, tops(told.before, None, engine))
    now = _roots(world.firms, tops(told.now, told.before, engine))
    old = before.select("feed", "firm_id", nw.col("root").alias("old_root"), nw.col("root_name").alias("old_system"))
    both = now.join(old, on=["feed", "firm_id"], how="inner").filter(~same(nw.col("root"), nw.col("old_root")))
    out = released(world).select("feed", "firm_id", nw.lit(value=True).alias("is_out"))
    known = both.join(out, on=["feed", "firm_id"], how="left").filter(
        ~nw.col("root").is_null() | certain(nw.col("is_out"))
    )
    own = certain(nw.col("root") == nw.col("firm_id")) | certain(nw.col("is_out"))
    was_own = nw.col("old_root") == nw.col("firm_id")
    kind = cases([(own, "left_system"), (nw.col("old_root").is_null() | was_own, "joined_system")], "moved_system")
    linked = links.select(nw.col("source").alias("feed"), nw.col("source_id").alias("firm_id"), "account_id")
    described = known.join(linked, on=["feed", "firm_id"], how="inner").with_columns(
        kind=kind,
        new_system=nw.when(~own).then(nw.col("root_name")),
        old_system=nw.when(~was_own).then(nw.col("old_system")),
    )
    plain = described.filter(~((nw.col("kind") == "left_system") & nw.col("old_system").is_null()))
    once = engine.materialize(first_by(plain, ["account_id"], ["feed", "firm_id"]))
    for root, name in (("old_root", "old_account_id"), ("root", "new_account_id")):
        ends = linked.select("feed", nw.col("firm_id").alias(root), nw.col("account_id").alias(name))
        once = once.join(ends, on=["feed", root], how="left")
    return engine.materialize(conform(once, EVENTS))


def _roots(firms: Frame, systems_: Frame) -> Frame:
    """The ultimate system of a firm: what is above the IDN parent of its row, else above its IDN; null = blank."""
    ref = nw.concat_str([nw.col("feed"), nw.lit(":"), nw.col("file"), nw.lit(":row "), nw.col("row").cast(nw.String())])
    named = firms.select(
        "feed",
        "firm_id",
        "as_of",
        nw.coalesce("idn_parent_id", "idn_id").alias("vendor_id"),
        ref.alias("source_ref"),
    )
    return named.join(systems_, on=["feed", "vendor_id"], how="left").drop("vendor_id")
