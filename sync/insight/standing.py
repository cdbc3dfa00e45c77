"""The tables that KPIs and lints count: accounts with who really holds them, and deals with what they were sold to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import narwhals as nw

from mappings.policy import Policies, RepPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, count_where, first_by, null
from sync.identity.parties import live
from sync.territory.capacity import on_leave
from sync.world import BOOL, INT, TEXT, Schema, World

Row = dict[str, Any]

STANDING: Schema = {
    "account_id": TEXT,
    "holder_account_id": TEXT,
    "system_account_id": TEXT,
    "name": TEXT,
    "system_name": TEXT,
    "parent_account_id": TEXT,
    "state": TEXT,
    "territory": TEXT,  # of the policy, by state
    "is_active_territory": BOOL,
    "owner_email": TEXT,  # the active person who owns a record of it in a CRM; the lowest address of several
    "owners": INT,  # distinct active people
    "inactive_owners": INT,
    "assigned_email": TEXT,  # whom the policy names
    "assigned_role": TEXT,
    "assigned_rule": TEXT,
    "in_crm": BOOL,
    "org_type": TEXT,
    "account_tier": TEXT,
    "segment": TEXT,
    "payer_class": TEXT,
    "motion": TEXT,
    "history": TEXT,
    "status": TEXT,
    "hospitals": INT,
    "providers": INT,
    "beds": INT,
    "potential_cents": INT,
    "score_tenths": INT,
    "band": TEXT,
    "is_lighthouse": BOOL,
    "last_activity": TEXT,  # newest day a deal was opened or closed
    "open_deals": INT,
}
"""One row per account."""

DEALS: Schema = {
    "account_id": TEXT,
    "org_type": TEXT,
    "segment": TEXT,
    "payer_class": TEXT,  # on the day of closing where a plan of that time knows it, else as known now
    "is_payer_then": BOOL,
    "account_tier": TEXT,
    "territory": TEXT,
    "assigned_rule": TEXT,
    "assigned_role": TEXT,
    "hospitals": INT,
    "providers": INT,
    "system_account_id": TEXT,
    "connection": TEXT,
    "owner": TEXT,
    "stage": TEXT,
    "amount_cents": INT,
    "is_closed": BOOL,
    "is_won": BOOL,
    "created_on": TEXT,
    "close_date": TEXT,
}
"""One row per opportunity of an account we know."""

WINS: Schema = {"connection": TEXT, "owner": TEXT, "close_date": TEXT, "amount_cents": INT}
"""One row per won opportunity, of accounts we know and of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a plan found out, and the world it was made of."""

    world: World
    links: Frame
    accounts: Frame
    hierarchy: Frame
    tiers: Frame
    ownership: Frame
    profiles: Frame
    policies: Policies
    as_of: str
    payer_history: Frame | None = None  # account_id, as_of, payer_class of earlier plans; None = none is kept


def standing(found: Found, engine: Engine) -> Frame:
    """STANDING of every account."""
    active = active_territories(found, engine)
    owned = found.ownership.select(
        "account_id",
        "territory",
        nw.col("owner_email").alias("assigned_email"),
        nw.col("owner_role").alias("assigned_role"),
        nw.col("rule").alias("assigned_rule"),
    )
    tree = found.hierarchy.select("account_id", "system_account_id", "system_name", "parent_account_id")
    table = found.profiles.join(tree, on="account_id", how="left").join(owned, on="account_id", how="left")
    table = table.join(_holders_in_crm(found), on="account_id", how="left")
    table = table.join(_activity(found), on="account_id", how="left")
    is_active = certain(nw.col("territory").is_in(active)) if active else nw.lit(value=False)
    return engine.materialize(
        conform(
            table.with_columns(
                is_active_territory=is_active,
                in_crm=~nw.col("records").is_null(),
                open_deals=nw.coalesce("open_deals", nw.lit(0)),
            ),
            STANDING,
        )
    )


def active_territories(found: Found, engine: Engine) -> list[str]:
    """Territories that are worked on the date: active, and whoever owns one is too, and not on leave over a month."""
    named = [t for t in found.policies.territories.territories if t.active]
    if not any(t.owner for t in named):
        return [t.id for t in named]
    active = found.world.users.filter(certain(nw.col("is_active")), ~nw.col("email").is_null()).select("email").unique()
    here = {row["email"].lower() for row in engine.rows(active)} - set(away(found.policies.reps, found.as_of))
    return [t.id for t in named if not t.owner or t.owner.lower() in here]


def deals(found: Found, standing_: Frame, engine: Engine) -> Frame:
    """DEALS of the world."""
    links = found.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    about = standing_.select(
        *(
            "account_id",
            "org_type",
            "segment",
            "payer_class",
            "account_tier",
            "territory",
            "assigned_rule",
            "assigned_role",
            "hospitals",
        ),
        *("providers", "system_account_id"),
    )
    joined = found.world.opportunities.join(links, on=["connection", "record_id"], how="inner")
    table = engine.materialize(joined.join(about, on="account_id", how="left"))
    if found.payer_history is None:
        return engine.materialize(conform(table.with_columns(is_payer_then=nw.lit(value=False)), DEALS))
    then = _payer_then(table, found.payer_history)
    key = ["connection", "opportunity_id"]
    dated = table.join(then, on=key, how="left").with_columns(is_payer_then=~nw.col("then").is_null())
    return engine.materialize(conform(dated.with_columns(payer_class=nw.coalesce("then", "payer_class")), DEALS))


def wins(found: Found) -> Frame:
    """WINS of the world."""
    return found.world.opportunities.filter(certain(nw.col("is_won"))).select(*WINS)


def _payer_then(table: Frame, history: Frame) -> Frame:
    """`connection`, `opportunity_id`, `then`: what the newest plan up to the day of closing knew."""
    known = history.filter(~nw.col("payer_class").is_null()).select(
        "account_id", nw.col("as_of").alias("known_on"), nw.col("payer_class").alias("then")
    )
    closed = table.filter(certain(nw.col("is_closed")), ~nw.col("close_date").is_null())
    pairs = closed.select("connection", "opportunity_id", "account_id", "close_date").join(
        known, on="account_id", how="inner"
    )
    before_it = pairs.filter(nw.col("known_on") <= nw.col("close_date"))
    newest = first_by(before_it, ["connection", "opportunity_id"], ["known_on", "then"], descending=["known_on"])
    return newest.select("connection", "opportunity_id", "then")


def _holders_in_crm(found: Found) -> Frame:
    """Per account: the active people who own its records, on leave over a month not counted."""
    links = found.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    users = found.world.users.select("connection", nw.col("user_id").alias("owner"), "email", "is_active")
    absent = away(found.policies.reps, found.as_of)
    records = live(found.world.records).select("connection", "record_id", "owner")
    joined = records.join(links, on=["connection", "record_id"], how="inner").join(
        users, on=["connection", "owner"], how="left"
    )
    here = certain(nw.col("is_active")) & ~nw.col("email").is_null()
    here = here & ~certain(nw.col("email").is_in(absent)) if absent else here
    marked = joined.with_columns(active_email=nw.when(here).then(nw.col("email")), has=~nw.col("owner").is_null())
    once = marked.select("account_id", "active_email").unique().group_by("account_id").agg(
        nw.col("active_email").min().alias("owner_email"),
        count_where(~nw.col("active_email").is_null()).alias("owners"),
    )  # fmt: skip
    counted = marked.group_by("account_id").agg(
        nw.len().cast(INT).alias("records"),
        count_where(nw.col("has") & nw.col("active_email").is_null()).alias("inactive_owners"),
    )
    return once.join(counted, on="account_id", how="left")


def away(reps: RepPolicy, as_of: str) -> list[str]:
    """Addresses of people who are not active, or are on leave for over 30 days around the date."""
    found = []
    for rep in reps.reps:
        length = days_between(rep.leave_from, rep.leave_to)
        long = on_leave(rep.leave_from, rep.leave_to, as_of) and (not rep.leave_to or (length or 0) > 30)
        if not rep.active or long:
            found.append(rep.email.lower())
    return found


def _activity(found: Found) -> Frame:
    """Newest day of a deal up to the date, and open deals, per account."""
    links = found.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    closed = certain(nw.col("is_closed")) & certain(nw.col("close_date") <= found.as_of)
    day = cases(
        [
            (closed, nw.col("close_date")),
            (certain(nw.col("created_on") <= found.as_of), nw.col("created_on")),
        ],
        null(TEXT),
    )
    joined = found.world.opportunities.join(links, on=["connection", "record_id"], how="inner")
    return (
        joined.with_columns(day=day)
        .group_by("account_id")
        .agg(
            nw.col("day").max().alias("last_activity"),
            count_where(~certain(nw.col("is_closed"))).alias("open_deals"),
        )
    )


def before(as_of: str, days: int) -> str:
    """The ISO date so many days earlier."""
    return (date.fromisoformat(as_of) - timedelta(days=days)).isoformat()


def _days(start: str, end: str) -> int:
    return (date.fromisoformat(end) - date.fromisoformat(start)).days


def days_between(start: str | None, end: str | None) -> int | None:
    """Days from one ISO date to another; None where one is missing or no date."""
    try:
        return _days(start, end) if start and end else None
    except ValueError:
        return None
