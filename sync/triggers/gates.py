"""Which events may be followed at once: those that a rule lets pass unless something is at stake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from mappings.structure_policy import TriggerPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, conform, count_where, one_of
from sync.identity.parties import live
from sync.triggers.events import TRIGGERS
from sync.world import World

_TOUCHED = ("self", "descendant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What a change of ownership can put at risk."""

    world: World
    links: Frame  # LINKS
    tiers: Frame  # TIERS
    ownership: Frame  # OWNERSHIP
    first_tier: str


def gated(events: Frame, affected: Frame, stakes: Stakes, policy: TriggerPolicy, engine: Engine) -> Frame:
    """TRIGGERS whose gate is `auto` where none of the reasons of the rule's `approve_if` holds.

    A reason counts for the organisation and all below it, and only where the owner changes.
    """
    asked = {
        kind: rule.approve_if for kind, rule in policy.rules.items() if rule.gate == "approval" and rule.approve_if
    }
    waiting = events.filter(one_of(nw.col("kind"), sorted(asked)), nw.col("gate") == "approval")
    if not asked or not engine.count(waiting.head(1)):
        return events
    touched = affected.filter(one_of(nw.col("relation"), _TOUCHED)).join(
        waiting.select("event_id", "kind"), on="event_id", how="inner"
    )
    moving = engine.materialize(touched.join(_changing_hands(stakes, touched), on="account_id", how="inner"))
    found = []
    for kind, reasons in sorted(asked.items()):
        at_stake = _at_stake(moving.filter(nw.col("kind") == kind), reasons, stakes)
        found.append({row["event_id"] for row in engine.rows(at_stake)})
    serious = sorted(set().union(*found))
    free = one_of(nw.col("kind"), sorted(asked)) & (nw.col("gate") == "approval") & ~one_of(nw.col("event_id"), serious)
    gate = nw.when(free).then(nw.lit("auto")).otherwise(nw.col("gate"))
    return engine.materialize(conform(events.with_columns(gate=gate), TRIGGERS))


def _changing_hands(stakes: Stakes, near: Frame) -> Frame:
    """`account_id` of those of the accounts with a record that somebody else owns than the one the rules name."""
    named = stakes.ownership.filter(~nw.col("owner_email").is_null()).select("account_id", "owner_email")
    linked = stakes.links.join(near, on="account_id", how="semi").select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    users = stakes.world.users.select("connection", nw.col("user_id").alias("owner"), "email")
    records = live(stakes.world.records).select("connection", "record_id", "owner")
    owned = records.join(linked, on=["connection", "record_id"], how="inner").join(named, on="account_id", how="inner")
    beside = owned.join(users, on=["connection", "owner"], how="left")
    return beside.filter(~certain(nw.col("email") == nw.col("owner_email"))).select("account_id").unique()


def _at_stake(moving: Frame, reasons: Sequence[str], stakes: Stakes) -> Frame:
    """`event_id` of events that move an account for which a reason holds."""
    first = (
        stakes.tiers.filter(nw.col("tier") == stakes.first_tier).select("account_id").with_columns(is_first=nw.lit(1))
    )
    linked = stakes.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    open_ = stakes.world.opportunities.filter(~certain(nw.col("is_closed"))).select("connection", "record_id").unique()
    deals = open_.join(linked, on=["connection", "record_id"], how="inner").select("account_id").unique()
    table = moving.join(first, on="account_id", how="left").join(
        deals.with_columns(has_deal=nw.lit(1)), on="account_id", how="left"
    )
    holds = {"tier_1": ~nw.col("is_first").is_null(), "open_opportunity": ~nw.col("has_deal").is_null()}
    counted = table.group_by("event_id").agg(
        *(count_where(holds[reason]).alias(reason) for reason in sorted(set(reasons)))
    )
    at_risk = nw.lit(value=False)
    for reason in sorted(set(reasons)):
        at_risk = at_risk | (nw.col(reason) > 0)
    return counted.filter(at_risk).select("event_id")
