"""Whom each event touches: the organisation, what is below it, both systems, its holder and members, sites, books."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import conform, stack
from sync.identity.parties import live
from sync.segmentation.members import with_traits
from sync.world import INT, TEXT, Schema, World

AFFECTED: Schema = {
    "event_id": TEXT,
    "account_id": TEXT,
    "relation": TEXT,  # self, descendant, member, holder, site, successor, old_root, new_root, unit
}
"""One row per event and account: the closest relation."""

_ORDER = ("self", "successor", "descendant", "holder", "member", "site", "old_root", "new_root", "unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the events happen."""

    world: World
    links: Frame  # LINKS
    accounts: Frame  # ACCOUNTS
    hierarchy: Frame  # HIERARCHY
    holders: Frame  # HOLDERS


def affected(events: Frame, around: Surroundings, engine: Engine) -> Frame:
    """AFFECTED of TRIGGERS."""
    kinds = {row["kind"] for row in engine.rows(events.select("kind").unique())}
    own = events.filter(~nw.col("account_id").is_null())
    parts = [own.select("event_id", "account_id", nw.lit("self").alias("relation"))]
    if "OWNERSHIP_CHANGE" in kinds:
        moved = own.filter(nw.col("kind") == "OWNERSHIP_CHANGE")
        parts.append(_below(moved, around.hierarchy, engine))
        parts += [_named(moved, "old_id", "old_root"), _named(moved, "new_id", "new_root")]
    if "SUCCESSION" in kinds:
        parts.append(_named(own.filter(nw.col("kind") == "SUCCESSION"), "new_id", "successor"))
    if kinds & {"SERVICE_LINE_CHANGE", "PAYER_CONTRACT"}:
        parts += _held(own, around.holders)
    if "REGULATORY" in kinds:
        parts.append(_sites(events.filter(nw.col("kind") == "REGULATORY"), around.accounts))
    if "REP_CHANGE" in kinds:
        parts.append(_books(events.filter(nw.col("kind") == "REP_CHANGE"), around))
    whole = stack([conform(part, AFFECTED) for part in parts]).filter(~nw.col("account_id").is_null())
    places = list(range(len(_ORDER)))
    place = nw.col("relation").replace_strict(list(_ORDER), places, default=None, return_dtype=INT)
    closest = whole.with_columns(place=place).group_by("event_id", "account_id").agg(nw.col("place").min())
    relation = nw.col("place").replace_strict(places, list(_ORDER), default=None, return_dtype=TEXT)
    return engine.materialize(conform(closest.with_columns(relation=relation), AFFECTED))


def _named(events: Frame, column: str, relation: str) -> Frame:
    return events.select("event_id", nw.col(column).alias("account_id"), nw.lit(relation).alias("relation"))


def _below(events: Frame, hierarchy: Frame, engine: Engine) -> Frame:
    """Everything below the organisation of each event, level by level."""
    tree = hierarchy.filter(~nw.col("parent_account_id").is_null()).select("account_id", "parent_account_id")
    frontier, levels = events.select("event_id", "account_id"), []
    while True:
        above = frontier.rename({"account_id": "parent_account_id"})
        frontier = engine.materialize(
            tree.join(above, on="parent_account_id", how="inner").select("event_id", "account_id")
        )
        levels.append(frontier)
        if not engine.count(frontier.head(1)):
            return stack(levels).with_columns(relation=nw.lit("descendant"))


def _held(events: Frame, holders: Frame) -> list[Frame]:
    """The holder of each organisation, and for contracts of a holder those it decides for."""
    about = events.filter(nw.col("kind").is_in(["SERVICE_LINE_CHANGE", "PAYER_CONTRACT"]))
    joined = about.join(holders.select("account_id", "holder_account_id"), on="account_id", how="inner")
    holder = joined.select("event_id", nw.col("holder_account_id").alias("account_id"))
    contracts = about.filter(nw.col("kind") == "PAYER_CONTRACT").select(
        "event_id", nw.col("account_id").alias("holder_account_id")
    )
    members = holders.join(contracts, on="holder_account_id", how="inner").select("event_id", "account_id")
    return [
        holder.with_columns(relation=nw.lit("holder")),
        members.with_columns(relation=nw.lit("member")),
    ]


def _sites(events: Frame, accounts: Frame) -> Frame:
    """Hospitals of the state that a law is about: what it licenses."""
    hospitals = with_traits(accounts).filter(nw.col("kind") == "HOSPITAL").select("account_id", "state")
    states = events.select("event_id", nw.col("subject").str.replace_all("state:", "", literal=True).alias("state"))
    return hospitals.join(states, on="state", how="inner").select(
        "event_id", "account_id", nw.lit("site").alias("relation")
    )


def _books(events: Frame, around: Surroundings) -> Frame:
    """Accounts that the person owns in a CRM today."""
    users = around.world.users.filter(~nw.col("email").is_null()).select(
        "connection", nw.col("user_id").alias("owner"), nw.col("email").alias("subject")
    )
    people = events.select("event_id", "subject").join(users, on="subject", how="inner")
    records = live(around.world.records).select("connection", "record_id", "owner")
    linked = around.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    owned = records.join(people, on=["connection", "owner"], how="inner")
    found = owned.join(linked, on=["connection", "record_id"], how="inner").select("event_id", "account_id").unique()
    return found.with_columns(relation=nw.lit("unit"))
