"""People who may own accounts: active CRM users, and of them those on the roster where there is one."""

from __future__ import annotations

import narwhals as nw

from mappings.policy import RepPolicy, TerritoryPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, first_by
from sync.world import TEXT, World

DEFAULT_ROLE = "PRIMARY"


def eligible_people(world: World, reps: RepPolicy, engine: Engine) -> Frame:
    """`email`, `owner_role`: one row per person who is active in a CRM and, where a roster exists, on it and active."""
    active = world.users.filter(certain(nw.col("is_active")), ~nw.col("email").is_null()).select("email").unique()
    if not reps.reps:
        return active.with_columns(nw.lit(DEFAULT_ROLE).alias("owner_role"))
    rows = [{"email": rep.email.lower(), "owner_role": rep.role} for rep in reps.reps if rep.active]
    roster = engine.table(rows, {"email": TEXT, "owner_role": TEXT})
    return roster.join(active, on="email", how="semi")


def native_users(world: World) -> Frame:
    """`connection`, `owner_email`, `native_owner`: the active user of each person in each CRM."""
    active = world.users.filter(certain(nw.col("is_active")), ~nw.col("email").is_null())
    first = first_by(active, ["connection", "email"], ["user_id"])
    return first.select("connection", nw.col("email").alias("owner_email"), nw.col("user_id").alias("native_owner"))


def state_owners(role: str, policy: TerritoryPolicy, reps: RepPolicy) -> dict[str, str]:
    """State to the e-mail of the one representative with that role in it; two leave the state without.

    For GEO the owner that a territory names comes first.
    """
    named: dict[str, set[str]] = {}
    for rep in reps.reps:
        if rep.active and rep.role == role:
            for state in rep.states:
                named.setdefault(state, set()).add(rep.email.lower())
    chosen = {state: next(iter(people)) for state, people in named.items() if len(people) == 1}
    if role == "GEO":
        owned = [t for t in policy.territories if t.active and t.owner]
        chosen |= {state: territory.owner.lower() for territory in owned for state in territory.states}
    return chosen


def territory_of_state(policy: TerritoryPolicy, engine: Engine) -> Frame:
    """`state`, `territory`: the active territory of each state; the first in the policy's order where two claim it."""
    claimed: dict[str, str] = {}
    for territory in policy.territories:
        if territory.active:
            for state in territory.states:
                claimed.setdefault(state, territory.id)
    rows = [{"state": state, "territory": id_} for state, id_ in sorted(claimed.items())]
    return engine.table(rows, {"state": TEXT, "territory": TEXT})
