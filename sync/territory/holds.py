"""Accounts that stay with whoever works them although the rules give them to somebody else, each until a day.

On an owner change the loser's open opportunities are looked at: EXEMPT ones (late in their stages) keep the account
until they close, ELIGIBLE ones for some weeks, so many per person, the largest first; the rest is no reason to wait. A
customer of some standing keeps the owner until the next plan; in a system of a transition tier, where one owner is the
rule, only until a dated transition. A hold that ended is not proposed again, so its account is up for transfer then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import narwhals as nw

from mappings.policy import Policies
from mappings.routing_policy import Grandfather, HoldPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, conform, count_where, stack
from sync.identity.parties import live
from sync.world import HOLDS, TEXT, Schema, World

OPEN_OPPORTUNITY, GRANDFATHER = "open_opportunity", "grandfather"
"""Kinds of holds that rules make."""

BY_RULE = "rule of holds.yaml"
"""Who made a hold that no person made."""

PROPOSED: Schema = {**HOLDS, "account_id": TEXT, "account_name": TEXT, "keeps": TEXT}
"""HOLDS that this run makes, with the account and the e-mail of whoever keeps it; unique as HOLDS are."""

_KEY = ["connection", "record_id"]
_CENTS = 100

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Holds in force when a plan is made."""

    holds: Frame  # HOLDS: those on file that still have their reason, and the proposed
    proposed: Frame  # PROPOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Who is to lose an account and what is known of it."""

    desired: Frame  # DESIRED of sync/planning/desired.py
    ownership: Frame  # OWNERSHIP
    tiers: Frame  # TIERS


def stand(world: World, sides: Sides, policies: Policies, as_of: str, engine: Engine) -> Standing:
    """The holds that count on an ISO date. Without a policy of holds, those on file."""
    policy = policies.holds
    group = policies.conflicts.fields["owner"].group or "owner"
    if not policy.stages and policy.grandfather is None:
        return Standing(holds=world.holds, proposed=engine.table([], PROPOSED))
    kept = engine.materialize(_with_reason_left(world, policy, group, engine))
    moving = list(engine.rows(_moving(world, sides).join(_settled(world, kept, group), on=_KEY, how="anti")))
    if not moving:
        return Standing(holds=kept, proposed=engine.table([], PROPOSED))
    waiting = engine.table(moving, _MOVING)
    deals = _by_record(engine.rows(_deals(world, waiting)))
    median = _median(engine.rows(_open(world).filter(~nw.col("amount_cents").is_null()).select("amount_cents")))
    rows = list(_propose(engine.rows(_with_unit(waiting, sides)), deals, policy, as_of, median))
    proposed = engine.table([{**row, "group": group, "by": BY_RULE} for row in rows], PROPOSED)
    return Standing(holds=engine.materialize(stack([kept, conform(proposed, HOLDS)])), proposed=proposed)


def with_holds_of(world: World, standing: Standing) -> World:
    """The world with the holds that count."""
    return replace(world, holds=standing.holds)


def _moving(world: World, sides: Sides) -> Frame:
    """Records that the rules give to another person than the active one who owns them now."""
    users = world.users.filter(certain(nw.col("is_active"))).select(
        "connection", nw.col("user_id").alias("loser"), nw.col("email").alias("keeps")
    )
    worked = (
        world.opportunities.filter(~certain(nw.col("is_closed")) | certain(nw.col("is_won"))).select(*_KEY).unique()
    )
    wanted = sides.desired.filter(~nw.col("owner").is_null()).select(
        *_KEY, "account_id", "account_name", nw.col("owner").alias("winner")
    )
    wanted = wanted.join(worked, on=_KEY, how="semi")  # nobody else has anything to keep
    owned = live(world.records).select(*_KEY, nw.col("owner").alias("loser"))
    moving = wanted.join(owned, on=_KEY, how="inner").filter(certain(nw.col("loser") != nw.col("winner")))
    return moving.join(users, on=["connection", "loser"], how="inner").select(*_MOVING)


_MOVING: Schema = dict.fromkeys((*_KEY, "account_id", "account_name", "loser", "keeps"), TEXT)


def _with_unit(moving: Frame, sides: Sides) -> Frame:
    """How many accounts have one owner with the account, and its tier."""
    units = sides.ownership.select("account_id", "unit_account_id")
    sizes = units.group_by("unit_account_id").agg(nw.len().cast(nw.Int64()).alias("unit_size"))
    of_unit = units.join(sizes, on="unit_account_id", how="inner")
    return moving.join(of_unit, on="account_id", how="left").join(
        sides.tiers.select("account_id", "tier"), on="account_id", how="left"
    )


def _open(world: World) -> Frame:
    return world.opportunities.filter(~certain(nw.col("is_closed")), ~nw.col("record_id").is_null())


def _deals(world: World, moving: Frame) -> Frame:
    """Open opportunities of the loser, and anybody's won ones, on the records that move."""
    won = certain(nw.col("is_won"))
    about = world.opportunities.join(moving.select(*_KEY, "loser"), on=_KEY, how="inner")
    relevant = about.filter(won | (~certain(nw.col("is_closed")) & (nw.col("owner") == nw.col("loser"))))
    return relevant.select(*_KEY, "opportunity_id", "stage", "amount_cents", "close_date", won.alias("is_won"))


def _with_reason_left(world: World, policy: HoldPolicy, group: str, engine: Engine) -> Frame:
    """Holds on file without those that a rule made for opportunities which are all closed by now."""
    ours = (nw.col("by") == BY_RULE) & (nw.col("kind") == OPEN_OPPORTUNITY) & (nw.col("group") == group)
    stages = [name for name, number in policy.stages.items() if number >= policy.eligible.stage_gte]
    late = nw.col("stage").is_in(stages) if stages else nw.lit(value=False)
    still = _open(world).group_by(*_KEY).agg(count_where(late).alias("late")).filter(nw.col("late") > 0)
    made = world.holds.filter(certain(ours)).join(still.select(*_KEY), on=_KEY, how="semi")
    return stack([world.holds.filter(~certain(ours)).select(*HOLDS), made.select(*HOLDS)])


def _settled(world: World, kept: Frame, group: str) -> Frame:
    """Records that are held already, or were by a rule not long ago."""
    standing = kept.filter(nw.col("group").is_in(["*", group])).select(*_KEY)
    if world.past_holds is None:
        return standing.unique()
    return stack([standing, world.past_holds.select(*_KEY)]).unique()


def _propose(
    waiting: Iterable[Row], deals: Mapping[tuple[str, str], list[Row]], policy: HoldPolicy, as_of: str, median: int
) -> Iterator[dict[str, Any]]:
    """HOLDS rows for records that wait, sorted by record; the cap per person takes the largest first."""
    eligible: dict[str, list[tuple[int, str, str, dict[str, Any]]]] = defaultdict(list)
    made: list[dict[str, Any]] = []
    for row in sorted(waiting, key=lambda one: (one["connection"], one["record_id"])):
        known = deals.get((row["connection"], row["record_id"]), [])
        about = {name: row[name] for name in ("connection", "record_id", "account_id", "account_name", "keeps")}
        exempt = [deal for deal in known if _stage(deal, policy) >= policy.exempt.stage_gte]
        large = [deal for deal in known if _is_eligible(deal, policy, median)]
        old = _grandfathered(row, known, policy.grandfather, as_of)
        if exempt:
            until = _after(as_of, policy.exempt.max_days)
            made.append({**about, "kind": OPEN_OPPORTUNITY, "reason": _told("EXEMPT", exempt), "until": until})
        elif old:
            made.append({**about, **old})
        elif large:
            until = _after(as_of, policy.expires_days)
            hold = {**about, "kind": OPEN_OPPORTUNITY, "reason": _told("ELIGIBLE", large), "until": until}
            amount = sum(deal["amount_cents"] or 0 for deal in large)
            eligible[row["keeps"]].append((-amount, row["connection"], row["record_id"], hold))
    for held in eligible.values():
        made += [hold for *_, hold in sorted(held, key=lambda one: one[:3])[: policy.max_per_rep]]
    yield from sorted(made, key=lambda one: (one["connection"], one["record_id"]))


def _stage(deal: Row, policy: HoldPolicy) -> int:
    """Number of an open opportunity's stage; 0 for a won one and for a stage nobody named."""
    return 0 if deal["is_won"] else policy.stages.get(deal["stage"] or "", 0)


def _is_eligible(deal: Row, policy: HoldPolicy, median: int) -> bool:
    amount = policy.eligible.amount
    least = median if isinstance(amount, str) else amount * _CENTS
    return _stage(deal, policy) >= policy.eligible.stage_gte and (deal["amount_cents"] or 0) >= least


def _grandfathered(row: Row, known: list[Row], policy: Grandfather | None, as_of: str) -> dict[str, Any] | None:
    """Kind, reason and end for a customer of some standing; None for others."""
    first = min((deal["close_date"] for deal in known if deal["is_won"] and deal["close_date"]), default=None)
    if policy is None or first is None or first > months_before(as_of, policy.tenure_months_gte):
        return None
    told = f"customer since {first}"
    if (row["unit_size"] or 1) > 1 and row["tier"] in policy.transition_tiers:
        reason, until = f"{told}; {row['tier']} system has one owner: transition", _after(as_of, policy.transition_days)
    else:
        reason, until = f"{told}; until the next plan", _day_before_next(policy.next_plan, as_of)
    return {"kind": GRANDFATHER, "reason": reason, "until": until}


def months_before(day: str, months: int) -> str:
    """The same day so many months before, or the last of that month where it is shorter."""
    given = date.fromisoformat(day)
    year, month = divmod(given.year * 12 + given.month - 1 - months, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (first_of_next - timedelta(days=1)).day
    return date(year, month + 1, min(given.day, last)).isoformat()


def _after(day: str, days: int) -> str:
    """The last day of so many from a day on."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _day_before_next(month_day: str, as_of: str) -> str:
    """The last day before the next occurrence of a month and day; 29 February counts as 1 March in short years."""
    year = int(as_of[:4])
    days = [_of_year(year + more, month_day) for more in (0, 1)]
    begins = next(day for day in days if day.isoformat() > as_of)
    return (begins - timedelta(days=1)).isoformat()


def _of_year(year: int, month_day: str) -> date:
    try:
        return date.fromisoformat(f"{year}-{month_day}")
    except ValueError:
        return date(year, 3, 1)


def _told(class_: str, deals: list[Row]) -> str:
    listed = ", ".join(f"{deal['opportunity_id']} in {deal['stage']}" for deal in sorted(deals, key=_id))
    return f"{class_}: open opportunity {listed}"


def _id(deal: Row) -> str:
    return str(deal["opportunity_id"])


def _median(rows: Iterable[Row]) -> int:
    """Median of the amounts in whole cents; 0 without any."""
    amounts = sorted(int(row["amount_cents"]) for row in rows)
    if not amounts:
        return 0
    low, high = amounts[(len(amounts) - 1) // 2], amounts[len(amounts) // 2]
    return (low + high) // 2


def _by_record(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["connection"], row["record_id"]].append(row)
    return grouped
