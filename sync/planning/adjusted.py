"""What the field policies make of a proposal before it is compared: least changes of numbers, successors of owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw

from mappings.policy import ConflictPolicy
from mappings.successors import Successor, heirs
from sync.engine import Engine, Frame
from sync.frames import Expr, certain, differs
from sync.territory.people import native_users
from sync.world import BOOL, TEXT, World

SUCCESSOR_RULE = "successor"
"""Rule id of an owner who takes over from another one."""

_WHOLE = r"^-?[0-9]{1,15}$"
_HEIRS = {"connection": TEXT, "_old": TEXT, "_new": TEXT, "_due": BOOL, "_why": TEXT}


def adjusted(sides: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Frame:
    """The sides of all fields, wide, with the desired values that the policies of the fields leave.

    Where owners have successors, adds `owner__heir`: the evidence, where one takes the place of the owner proposed, or
    of today's.
    """
    damped = {
        f"{name}__desired": _damped(name, field.min_delta) for name, field in policy.fields.items() if field.min_delta
    }
    left = sides.with_columns(**damped) if damped else sides
    if not policy.successors:
        return left
    return _succeeded(left, _heirs(world, policy, as_of, engine))


def explained(detailed: Frame, policy: ConflictPolicy) -> Frame:
    """Rule and evidence of the owners that `adjusted` changed; `owner__heir` is gone."""
    if not policy.successors:
        return detailed
    heir = nw.col("owner__heir")
    return detailed.with_columns(
        owner__rule=nw.when(~heir.is_null()).then(nw.lit(SUCCESSOR_RULE)).otherwise(nw.col("owner__rule")),
        owner__evidence=nw.coalesce(heir, nw.col("owner__evidence")),
        owner__blocked=nw.when(heir.is_null()).then(nw.col("owner__blocked")),
    ).drop("owner__heir")


def with_heirs(world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> World:
    """The world in which the accounts of whoever has a successor are the successor's: how owners are looked for."""
    if not policy.successors:
        return world
    due = _heirs(world, policy, as_of, engine).filter(nw.col("_due")).select("connection", "_old", "_new")
    columns = list(world.records.collect_schema().names())
    joined = world.records.join(due.rename({"_old": "owner"}), on=["connection", "owner"], how="left")
    return replace(world, records=joined.with_columns(owner=nw.coalesce("_new", "owner")).select(*columns))


def _damped(name: str, least: int) -> Expr:
    """The agreed value where the desired one is nearer to it than `least` and nobody put the desired one there."""
    base, crm, desired = (nw.col(f"{name}__{side}") for side in ("base", "crm", "desired"))
    distance = (_number(desired) - _number(base)).abs()
    is_near = certain(base.str.contains(_WHOLE)) & certain(desired.str.contains(_WHOLE)) & (distance < least)
    agreed = nw.col(f"{name}__base_kind") == "value"
    return nw.when(is_near & certain(agreed) & differs(crm, desired)).then(base).otherwise(desired)


def _number(column: Expr) -> Expr:
    """The whole number of a text; 0 for any other text: neither engine casts what is no number."""
    return nw.when(certain(column.str.contains(_WHOLE))).then(column).otherwise(nw.lit("0")).cast(nw.Int64())


def _heirs(world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Frame:
    """One row per user who has a successor with an active user in the same CRM; `_due` = he has taken over."""
    now, ever = heirs(policy.successors, as_of), heirs(policy.successors, "9999-12-31")
    active = {(row["connection"], row["owner_email"]): row["native_owner"] for row in engine.rows(native_users(world))}
    known = world.users.filter(~nw.col("email").is_null()).select("connection", "user_id", "email").unique()
    rows = []
    for user in engine.rows(known):
        one = now.get(user["email"]) or ever.get(user["email"])
        to = active.get((user["connection"], one.to_user)) if one else None
        if one and to and to != user["user_id"]:
            rows.append(_heir_row(user, to, one, is_due=user["email"] in now))
    return engine.table(sorted(rows, key=lambda row: (row["connection"], row["_old"])), _HEIRS)


def _heir_row(user: Mapping[str, Any], to: str, one: Successor, *, is_due: bool) -> dict[str, Any]:
    why = f'{{"successor of":"{one.from_user}","reason":"{_quoted(one.reason)}","from":"{_quoted(one.source)}"}}'
    return {"connection": user["connection"], "_old": user["user_id"], "_new": to, "_due": is_due, "_why": why}


def _quoted(words: str) -> str:
    return words.replace("\\", "\\\\").replace('"', '\\"')


def _succeeded(sides: Frame, found: Frame) -> Frame:
    """A successor takes the place of the owner proposed, or of today's where nobody is.

    Also ahead of the day, where the CRM says so already: a person was early, and is right. Owners without a kind are
    proposed where there is one.
    """
    proposed = {"_old": "owner__desired", "_new": "_to", "_due": "_to_due", "_why": "_to_why"}
    today = {"_old": "owner__crm", "_new": "_in", "_due": "_in_due", "_why": "_in_why"}
    joined = sides
    for names in (proposed, today):
        joined = joined.join(found.rename(names), on=["connection", names["_old"]], how="left")
    c = nw.col
    has_kind = "owner__kind" in sides.collect_schema()
    is_value = certain(c("owner__kind") == "value") if has_kind else ~c("owner__desired").is_null()
    gives = is_value & ~c("_to").is_null()
    gives = gives & (certain(c("_to_due")) | certain(c("_to") == c("owner__crm")))
    silent = ~is_value & ~certain(c("owner__kind") == "clear") if has_kind else ~is_value
    inherits = silent & certain(c("_in_due")) & ~c("gone")
    kind = {"owner__kind": nw.when(inherits).then(nw.lit("value")).otherwise(c("owner__kind"))} if has_kind else {}
    return joined.with_columns(
        owner__desired=nw.when(gives)
        .then(c("_to"))
        .otherwise(nw.when(inherits).then(c("_in")).otherwise(c("owner__desired"))),
        **kind,
        owner__heir=nw.when(gives).then(c("_to_why")).otherwise(nw.when(inherits).then(c("_in_why"))),
    ).drop("_to", "_to_due", "_to_why", "_in", "_in_due", "_in_why")
