"""Whose books win where two are merged: the owners of one unit, ranked by the conflict rule `two_primaries`.

Where none of the reasons tells the first two apart, nobody wins here and the next step of the policy decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw

from mappings.policy import Policies, RepPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, first_by, text
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


def winning_books(
    held: Frame, world: World, winner: Sequence[str], reps: RepPolicy, as_of: str, engine: Engine
) -> Frame:
    """`unit`, `email`, `because` of units with several owners; `held` as sync/territory/ownership.py makes it."""
    root = cases([(nw.col("account_id") == nw.col("unit"), 1)], 0)
    books = engine.materialize(
        held.with_columns(root=root)
        .group_by("unit", "email")
        .agg(
            nw.col("root").max().cast(INT).alias("acquirer"),
            nw.col("open_cents").sum().cast(INT).alias("open_cents"),
        )
        .with_columns(people=nw.len().over("unit"))
    )
    contested = books.filter(nw.col("people") > 1)
    if not winner or not engine.count(contested.head(1)):
        return engine.table([], {"unit": TEXT, "email": TEXT, "because": TEXT})
    columns = [_REASONS[name][0] for name in winner]
    ranked = (
        contested.join(_tenure(held, world, reps, engine), on=["unit", "email"], how="left")
        .join(_room(held, world, reps, as_of, engine), on="email", how="left")
        .with_columns(since=nw.coalesce("since", nw.lit("9999")), room=nw.coalesce("room", nw.lit(_NO_LIMIT)))
        .with_columns(alike=nw.len().over("unit", *columns))
    )
    more = [_REASONS[name][0] for name in winner if _REASONS[name][1]]
    best = first_by(engine.materialize(ranked), ["unit"], [*columns, "email"], descending=more)
    words = ", then ".join(_REASONS[name][2] for name in winner)
    return best.filter(nw.col("alike") == 1).select(
        "unit", "email", text("wins the merged books: ", words).alias("because")
    )


def _tenure(held: Frame, world: World, reps: RepPolicy, engine: Engine) -> Frame:
    """`unit`, `email`, `since`: the earliest day from which a person is known to own, else began in the role."""
    owned = held.select("connection", "record_id", "owner", "unit", "email")
    changes = world.field_changes.filter(nw.col("field") == "owner").select(
        "connection", "record_id", nw.col("new_value").alias("owner"), "changed_at"
    )
    began = owned.join(changes, on=["connection", "record_id", "owner"], how="left")
    first = began.group_by("unit", "email").agg(nw.col("changed_at").min().alias("owned_since"))
    rows = [{"email": rep.email.lower(), "in_role": rep.since} for rep in reps.reps if rep.since]
    roles = engine.table(rows, {"email": TEXT, "in_role": TEXT})
    joined = first.join(roles, on="email", how="left")
    return joined.select("unit", "email", nw.coalesce("owned_since", "in_role").alias("since"))


def _room(held: Frame, world: World, reps: RepPolicy, as_of: str, engine: Engine) -> Frame:
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
    people = held.select("connection", "owner", "email").unique()
    open_ones = world.opportunities.filter(~certain(nw.col("is_closed"))).select("connection", "owner")
    carried = (
        open_ones.join(people, on=["connection", "owner"], how="inner")
        .group_by("email")
        .agg(nw.len().cast(INT).alias("carried"))
    )
    left = nw.col("capacity") - nw.coalesce("carried", nw.lit(0))
    return limits.join(carried, on="email", how="left").select("email", left.alias("room"))
