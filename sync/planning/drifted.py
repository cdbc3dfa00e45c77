"""What moved in the CRM since it was agreed, and who moved it; whatever the rules want by now."""

from __future__ import annotations

import narwhals as nw

from mappings.canonical import MANAGED
from sync.engine import Engine, Frame
from sync.frames import certain, differs, one_of, stack
from sync.planning.attribution import with_actors
from sync.world import TEXT, Schema, World

DRIFTED: Schema = dict.fromkeys(
    ("connection", "record_id", "name", "field", "agreed", "crm", "actor_kind", "actor", "changed_at"), TEXT
)
"""One row per field of a live record whose value is not the agreed one; null = empty."""

_KEY = ["connection", "record_id"]


def drifted(world: World, engine: Engine) -> Frame:
    """DRIFTED, sorted by connection, record and field. Fields that were let go or are not readable are left out."""
    seen = world.records.filter(~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null())
    names = [nw.col(name).alias(f"{name}__crm") for name in MANAGED]
    live = seen.select(*_KEY, "name", "modified_by", "modified_at", *names)
    joined = engine.materialize(world.agreed.join(live, on=_KEY, how="inner"))
    moved = engine.materialize(stack([_moved(joined, name, world) for name in MANAGED]))
    return with_actors(moved, world).select(*DRIFTED).sort("connection", "record_id", "field")


def _moved(joined: Frame, name: str, world: World) -> Frame:
    agreed, crm = _text(name), _text(f"{name}__crm")
    unread = {one for one, fields in (*world.hidden.items(), *world.unmapped.items()) if name in fields}
    was_agreed = one_of(nw.col(f"{name}__kind"), {"value", "empty"}) & ~one_of(nw.col("connection"), unread)
    return joined.filter(was_agreed & differs(agreed, crm)).select(
        *_KEY,
        "name",
        "modified_by",
        "modified_at",
        field=nw.lit(name),
        agreed=agreed,
        crm=crm,
        crm_kind=nw.when(crm.is_null()).then(nw.lit("empty")).otherwise(nw.lit("value")),
    )


def _text(column: str) -> nw.Expr:
    return nw.when(nw.col(column) != "").then(nw.col(column))
