"""Fights: a field that flips between two values because another integration, or a workflow, keeps changing it back.

Writing there again would go on for ever. The field is held until it has been quiet, and the other side is named.
"""

from __future__ import annotations

from datetime import date, timedelta

import narwhals as nw

from mappings.policy import ConflictPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, count_where, one_of, text
from sync.problem import Problem, Severity
from sync.world import World

AUTOMATIC = frozenset({"integration", "workflow"})
"""Actors that change a value back without a person looking."""

_KEY = ["connection", "record_id", "field"]


def with_fights(rows: Frame, world: World, policy: ConflictPolicy, as_of: str) -> Frame:
    """`held` and `hold_reason` also where there is a fight about the field."""
    if not policy.fight_flips:
        return rows
    found = _fights(world, policy, as_of).select(*_KEY, _fight=_reason(policy))
    joined = rows.join(found, on=_KEY, how="left")
    is_fight = ~nw.col("_fight").is_null()
    return joined.with_columns(
        held=certain(nw.col("held")) | is_fight, hold_reason=nw.coalesce(nw.col("hold_reason"), nw.col("_fight"))
    ).drop("_fight")


def fights(world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> tuple[Problem, ...]:
    """A FIGHT problem per field of a record that is held for it."""
    if not policy.fight_flips:
        return ()
    rows = engine.rows(_fights(world, policy, as_of).select(*_KEY, "changes", "actor"))
    return tuple(
        Problem(
            code="FIGHT",
            severity=Severity.REVIEW,
            subject=f"{row['connection']} {row['record_id']} {row['field']}",
            fact=f"{row['changes']} changes between two values in {policy.fight_days} days, by {row['actor']} too",
            remedy="Stop the other automation for this field, or take push: true off it here; it is held until then",
            refs=(row["record_id"],),
        )
        for row in sorted(rows, key=lambda row: tuple(row[name] for name in _KEY))
    )


def _fights(world: World, policy: ConflictPolicy, as_of: str) -> Frame:
    """Fields in a fight on a date: key, number of changes, and one automatic actor."""
    since = (date.fromisoformat(as_of) - timedelta(days=policy.fight_days)).isoformat()
    c = nw.col
    recent = world.field_changes.filter((c("changed_at") >= since) & (c("changed_at").str.slice(0, 10) <= as_of))
    changes = recent.with_columns(
        nw.col("old_value", "new_value").fill_null(""), automatic=one_of(c("actor_kind"), AUTOMATIC) & ~_is_us(world)
    )
    old, new = c("old_value"), c("new_value")
    pairs = changes.filter(old != new).select(
        *_KEY,
        "automatic",
        low=nw.when(old < new).then(old).otherwise(new),
        high=nw.when(old < new).then(new).otherwise(old),
        actor=nw.when(c("automatic")).then(c("changed_by")),
    )
    told = pairs.group_by(*_KEY).agg(
        changes=nw.len().cast(nw.Int64()),
        low_first=c("low").min(),
        low_last=c("low").max(),
        high_first=c("high").min(),
        high_last=c("high").max(),
        by_others=count_where(c("automatic")),
        actor=c("actor").max(),
    )
    return told.filter(
        (c("changes") >= policy.fight_flips)
        & (c("low_first") == c("low_last"))
        & (c("high_first") == c("high_last"))
        & (c("by_others") > 0)
    )


def _is_us(world: World) -> nw.Expr:
    expression = nw.lit(value=False)
    for connection, user in sorted(world.our_users.items()):
        expression = expression | ((nw.col("connection") == connection) & (nw.col("changed_by") == user))
    return certain(expression)


def _reason(policy: ConflictPolicy) -> nw.Expr:
    return text(
        "fight: ",
        nw.col("changes").cast(nw.String()),
        f" changes between two values in {policy.fight_days} days, by ",
        nw.col("actor"),
        " too; stop the other automation",
    )
