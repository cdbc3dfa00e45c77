"""Who put the value there that the CRM shows now."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Frame
from sync.frames import Expr, cases, first_by, same
from sync.world import World

_KEY = ["connection", "record_id", "field"]


def with_actors(differences: Frame, world: World) -> Frame:
    """Adds `actor_kind`, `actor` and `changed_at`: from the field's history where it names this very value.

    Else the kind is 'unknown' and the actor is the record's last editor, who may have touched another field; so that
    alone never makes the actor 'us'.
    """
    history = world.field_changes.select(*_KEY, "changed_at", "changed_by", "actor_kind", "new_value")
    values = differences.select(*_KEY, "crm")
    told = history.join(values, on=_KEY, how="inner").filter(same(_null_if_empty("new_value"), nw.col("crm")))
    order = ["changed_at", "changed_by", "actor_kind"]
    newest = first_by(told, _KEY, order, descending={"changed_at"}).select(*_KEY, *[_alias(c) for c in order])
    joined = differences.join(newest, on=_KEY, how="left")
    found = ~nw.col("_changed_at").is_null()
    readable = nw.col("crm_kind") == "value"
    by_record = nw.when(readable).then(nw.col("modified_by"))
    at_record = nw.when(readable).then(nw.col("modified_at"))
    return joined.with_columns(
        actor_kind=nw.coalesce(cases([(found & _is_us(world), "us")], nw.col("_actor_kind")), nw.lit("unknown")),
        actor=cases([(found, nw.col("_changed_by"))], by_record),
        changed_at=cases([(found, nw.col("_changed_at"))], at_record),
    ).drop("_changed_at", "_changed_by", "_actor_kind")


def _alias(column: str) -> Expr:
    return nw.col(column).alias(f"_{column}")


def _null_if_empty(column: str) -> Expr:
    return nw.when(nw.col(column) != "").then(nw.col(column))


def _is_us(world: World) -> Expr:
    pairs = [
        ((nw.col("connection") == connection) & (nw.col("_changed_by") == user), nw.lit(True))
        for connection, user in sorted(world.our_users.items())
    ]
    return cases(pairs, nw.lit(False))
