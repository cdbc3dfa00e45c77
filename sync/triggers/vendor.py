"""Events since the delivery before: firms whose ultimate system is another one now."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, differs, first_by, stack
from sync.hierarchy.climb import Deliveries, deliveries, tops
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


def ownership_events(
    world: World, links: Frame, released: Frame, engine: Engine, told: Deliveries | None = None
) -> Frame:
    """EVENTS between the two newest deliveries; `released` are firms that belong to no system by a word."""
    known = _moved(world, released, told or deliveries(world, engine), engine)
    own = certain(nw.col("root") == nw.col("firm_id")) | nw.col("is_out")
    was_own = nw.col("old_root") == nw.col("firm_id")
    kind = cases([(own, "left_system"), (nw.col("old_root").is_null() | was_own, "joined_system")], "moved_system")
    ends = [known.select("feed", nw.col(name).alias("firm_id")) for name in ("firm_id", "root", "old_root")]
    parties = links.select(nw.col("source").alias("feed"), nw.col("source_id").alias("firm_id"), "account_id")
    ids = engine.materialize(parties.join(stack(ends), on=_FIRM, how="semi"))
    described = known.join(ids, on=_FIRM, how="inner").with_columns(
        kind=kind,
        new_system=nw.when(~own).then(nw.col("root_name")),
        old_system=nw.when(~was_own).then(nw.col("old_name")),
        source_ref=nw.concat_str(
            [nw.col("feed"), nw.lit(":"), nw.col("file"), nw.lit(":row "), nw.col("row").cast(TEXT)]
        ),
    )
    plain = described.filter(~((nw.col("kind") == "left_system") & nw.col("old_system").is_null()))
    once = first_by(plain, ["account_id"], _FIRM)
    for root, name in (("old_root", "old_account_id"), ("root", "new_account_id")):
        systems = ids.select("feed", nw.col("firm_id").alias(root), nw.col("account_id").alias(name))
        once = once.join(systems, on=["feed", root], how="left")
    return engine.materialize(conform(once, EVENTS))


_FIRM = ["feed", "firm_id"]


def _moved(world: World, released: Frame, told: Deliveries, engine: Engine) -> Frame:
    """Firms of both deliveries with another ultimate system now, `root` and `root_name`, than `old_root`, `old_name`.

    A blank is unknown, so that nobody moved, unless a word of the vendor says that there is none: `is_out`.
    """
    now, before = tops(told.now, told.before, engine), tops(told.before, None, engine)
    both = world.firms.select(*_FIRM, "as_of", "file", "row", _system().alias("vendor_id")).join(
        world.previous_firms.select(*_FIRM, _system().alias("was_vendor_id")), on=_FIRM, how="inner"
    )
    past = before.roots.rename({"root": "old_root"})
    systems = now.roots.join(past, on=_SYSTEM, how="inner").filter(nw.col("root") != nw.col("old_root"))
    # Whoever names the same system has moved with it, and only with it: most firms need no look at the top.
    elsewhere = differs(nw.col("vendor_id"), nw.col("was_vendor_id")) | ~nw.col("has_moved").is_null()
    marked = both.join(systems.select(*_SYSTEM, has_moved=nw.lit(value=True)), on=_SYSTEM, how="left")
    moved = (
        marked.filter(elsewhere)
        .join(now.roots, on=_SYSTEM, how="left")
        .join(past.rename({"vendor_id": "was_vendor_id"}), on=["feed", "was_vendor_id"], how="left")
        .filter(differs(nw.col("root"), nw.col("old_root")))
        .join(released.select(*_FIRM, nw.lit(value=True).alias("is_out")), on=_FIRM, how="left")
        .with_columns(is_out=certain(nw.col("is_out")))
        .filter(~nw.col("root").is_null() | nw.col("is_out"))
    )
    old_names = before.names.rename({"root": "old_root", "root_name": "old_name"})
    named = moved.join(now.names, on=["feed", "root"], how="left").join(old_names, on=["feed", "old_root"], how="left")
    return engine.materialize(named)


_SYSTEM = ["feed", "vendor_id"]


def _system() -> nw.Expr:
    """The system that counts for a firm: the IDN parent of its row, else its IDN; null = blank."""
    return nw.coalesce("idn_parent_id", "idn_id")
