"""What the CRM would refuse, or what would do damage beside the field: found before the wire."""

from __future__ import annotations

import narwhals as nw

from mappings.canonical import ACCOUNT, MANAGED, FieldType
from sync.engine import Frame
from sync.frames import Expr, cases, certain, null, one_of, text
from sync.world import TEXT, World

_KEY = ["connection", "record_id"]
_USERS, _ACCOUNTS, _PICKLISTS = (
    frozenset(field.name for field in ACCOUNT if field.name in MANAGED and field.type is kind)
    for kind in (FieldType.USER_REF, FieldType.ACCOUNT_REF, FieldType.PICKLIST)
)


def with_validity(rows: Frame, world: World, *, block_team: bool) -> Frame:
    """Adds `writable`, and to `blocked` the first reason why a desired value cannot be written.

    Reads connection, record_id, field, desired_kind, desired, blocked; one row per field of a record. Only rows whose
    desired value differs from the CRM's may rely on it.
    """
    checked = _with_parent_check(_with_user_check(rows, world), world)
    if block_team:
        checked = _with_team_check(checked, world)
    blocked = nw.coalesce(nw.col("blocked"), nw.col("_user"), nw.col("_team"), nw.col("_parent"), _picklist(world))
    checked = checked if block_team else checked.with_columns(_team=null(TEXT))
    judged = checked.with_columns(blocked=blocked)
    return judged.with_columns(writable=nw.col("blocked").is_null()).drop("_user", "_team", "_parent")


def _names(fields: frozenset[str]) -> Expr:
    return one_of(nw.col("field"), fields) & (nw.col("desired_kind") == "value")


def _with_user_check(rows: Frame, world: World) -> Frame:
    users = world.users.select(
        "connection", nw.col("user_id").alias("desired"), nw.coalesce(nw.col("is_active"), nw.lit(False)).alias("_ok")
    )
    checked = rows.join(users, on=["connection", "desired"], how="left")
    reason = cases(
        [
            (~_names(_USERS), null(TEXT)),
            (nw.col("_ok").is_null(), "the proposed owner is not a user of this CRM; check the roster"),
            (~nw.col("_ok"), "the proposed owner is inactive in this CRM; name a successor"),
        ],
        null(TEXT),
    )
    return checked.with_columns(_user=reason).drop("_ok")


def _with_team_check(rows: Frame, world: World) -> Frame:
    sizes = world.team_members.group_by(*_KEY).agg(nw.len().cast(nw.Int64()).alias("_size"))
    checked = rows.join(sizes, on=_KEY, how="left")
    size = nw.col("_size")
    members = text(size.cast(nw.String()), cases([(size == 1, " member")], " members"))
    reason = text("account team has ", members, "; an owner change by REST would drop it")
    drops = one_of(nw.col("field"), _USERS) & certain(size > 0)
    return checked.with_columns(_team=nw.when(drops).then(reason)).drop("_size")


def _with_parent_check(rows: Frame, world: World) -> Frame:
    live = world.records.filter(~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null())
    parents = live.select("connection", nw.col("record_id").alias("desired")).with_columns(_known=nw.lit(True))
    checked = rows.join(parents, on=["connection", "desired"], how="left")
    reason = cases(
        [
            (~_names(_ACCOUNTS), null(TEXT)),
            (nw.col("desired") == nw.col("record_id"), "an account cannot be its own parent"),
            (nw.col("_known").is_null(), "the proposed parent is not a live account of this CRM; pull again"),
        ],
        null(TEXT),
    )
    return checked.with_columns(_parent=reason).drop("_known")


def _picklist(world: World) -> Expr:
    offered = [
        (
            _names(frozenset({name})) & (nw.col("connection") == connection) & ~one_of(nw.col("desired"), values),
            f"the proposed value is not in this CRM's picklist for {name}; add it there or change the rule",
        )
        for connection, fields in sorted(world.picklists.items())
        for name, values in sorted(fields.items())
        if name in _PICKLISTS
    ]
    return cases(offered, null(TEXT))
