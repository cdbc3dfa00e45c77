"""Whose books win where two are merged: the owners of one unit, ranked by the conflict rule `two_primaries`.

Where none of the reasons tells the first two apart, nobody wins here and the next step of the policy decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import narwhals as nw

from mappings.policy import Policies, RepPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, text
from sync.territory.capacity import capacity_on, on_leave
from sync.world import INT, TEXT, World

_REASONS = {
    # column, whether more is better, words
    "acquirer_owner": ("acquirer", True, "owns the acquiring system"),
    "open_pipeline": ("open_cents", True, "larger open pipeline"),
    "tenure": ("since", False, "longer tenure"),
    "capacity": ("room", True, "more capacity left"),
}
_NO_LIMIT = 1_000_000_000


def winner(policies: Policies) -> tuple[str, ...]:
    """Reasons to win where two owners meet in one unit, the first first."""
    rule = policies.holds.conflicts.get("two_primaries")
    return tuple(rule.winner) if rule else ()


def books_of(held: Frame) -> Frame:
    """Who owns in which unit, `unit`, `email`: `records`, `open_cents` of them, `acquirer` = 1 with the unit's root.

    `held` as sync/territory/ownership.py makes it.
    """
    root = nw.when(nw.col("account_id") == nw.col("unit")).then(nw.lit(1)).otherwise(nw.lit(0))
    return (
        held.with_columns(root=root)
        .group_by("unit", "email")
        .agg(
            nw.len().cast(INT).alias("records"),
            nw.col("open_cents").sum().cast(INT).alias("open_cents"),
            nw.col("root").max().cast(INT).alias("acquirer"),
        )
    )


def best_of_unit(rows: Frame, order: Sequence[str], *, most: Collection[str] = ()) -> Frame:
    """The rows of each unit with the lowest value of the first column, of those the lowest of the next, and so on.

    `most` are columns whose highest value is the best. For columns without nulls: an aggregate is a fifth of a sort.
    """
    for column in order:
        best = nw.col(column).max() if column in most else nw.col(column).min()
        rows = rows.with_columns(best=best.over("unit")).filter(nw.col(column) == nw.col("best")).drop("best")
    return rows


def winning_books(
    books: Frame, held: Frame, world: World, winner: Sequence[str], reps: RepPolicy, as_of: str, engine: Engine
) -> Frame:
    """`unit`, `email`, `because` of units with several owners; `books` are those of `held`.

    One reason after the other leaves those who are best by it, until nobody is alike: the later ones are seldom asked.
    """
    people = nw.len().over("unit")
    left = engine.materialize(books.with_columns(people=people).filter(nw.col("people") > 1))
    for name in winner:
        if not engine.count(left.filter(nw.col("people") > 1).head(1)):
            break
        column, is_more, _ = _REASONS[name]
        if column == "since":
            left = left.join(_tenure(left, held, world, reps, engine), on=["unit", "email"], how="left")
            left = left.with_columns(since=nw.coalesce("since", nw.lit("9999")))
        elif column == "room":
            left = left.join(_room(left, held, world, reps, as_of, engine), on="email", how="left")
            left = left.with_columns(room=nw.coalesce("room", nw.lit(_NO_LIMIT)))
        left = engine.materialize(
            best_of_unit(left, [column], most=[column] if is_more else []).with_columns(people=people)
        )
    words = ", then ".join(_REASONS[name][2] for name in winner)
    return left.filter(nw.col("people") == 1).select(
        "unit", "email", text("wins the merged books: ", words).alias("because")
    )


def _tenure(left: Frame, held: Frame, world: World, reps: RepPolicy, engine: Engine) -> Frame:
    """`unit`, `email`, `since`: the earliest day from which a person is known to own, else began in the role."""
    alike = held.join(left.select("unit", "email"), on=["unit", "email"], how="semi")
    owned = alike.select("connection", "record_id", "owner", "unit", "email")
    changes = world.field_changes.filter(nw.col("field") == "owner").select(
        "connection", "record_id", nw.col("new_value").alias("owner"), "changed_at"
    )
    began = owned.join(changes, on=["connection", "record_id", "owner"], how="left")
    first = began.group_by("unit", "email").agg(nw.col("changed_at").min().alias("owned_since"))
    rows = [{"email": rep.email.lower(), "in_role": rep.since} for rep in reps.reps if rep.since]
    roles = engine.table(rows, {"email": TEXT, "in_role": TEXT})
    joined = first.join(roles, on="email", how="left")
    return joined.select("unit", "email", nw.coalesce("owned_since", "in_role").alias("since"))


def _room(left: Frame, held: Frame, world: World, reps: RepPolicy, as_of: str, engine: Engine) -> Frame:
    """`email`, `room`: open deals a person can still take on the date; who has no limit is left out.

    While ramping up that is of a part of the capacity, and on leave nothing.
    """
    rows = [
        {"email": rep.email.lower(), "capacity": -_NO_LIMIT if absent else limit}
        for rep in reps.reps
        for absent in (on_leave(rep.leave_from, rep.leave_to, as_of),)
        if (limit := capacity_on(rep, as_of, reps.ramp_capacity_bp)) or absent
    ]
    limits = engine.table(rows, {"email": TEXT, "capacity": INT})
    people = held.join(left.select("email"), on="email", how="semi").select("connection", "owner", "email").unique()
    open_ones = world.opportunities.filter(~certain(nw.col("is_closed"))).select("connection", "owner")
    carried = (
        open_ones.join(people, on=["connection", "owner"], how="inner")
        .group_by("email")
        .agg(nw.len().cast(INT).alias("carried"))
    )
    room = nw.col("capacity") - nw.coalesce("carried", nw.lit(0))
    return limits.join(carried, on="email", how="left").select("email", room.alias("room"))
