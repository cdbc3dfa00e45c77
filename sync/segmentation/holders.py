"""The account a tier is evaluated on: whoever decides, by record; else the system, for all its members."""

from __future__ import annotations

import narwhals as nw

from mappings.structure_policy import AuthorityPolicy
from sync.engine import Frame
from sync.frames import cases, conform, first_by, one_of
from sync.world import BOOL, TEXT, Schema, World

CONFIRMED: Schema = {
    "account_id": TEXT,
    "fact": TEXT,
    "category": TEXT,
    "value": TEXT,
    "valid_from": TEXT,
    "in_force": BOOL,
    "fact_source": TEXT,
    "valid_to": TEXT,
}
"""Confirmed facts of accounts, one row per statement."""


HOLDERS: Schema = {
    "account_id": TEXT,
    "system_account_id": TEXT,
    "holder_account_id": TEXT,
    "level": TEXT,  # of the record it rests on; null = by default
    "basis": TEXT,  # EXPLICIT, DELEGATED; null = by default
}
"""One row per account."""


def confirmed_facts(world: World, links: Frame, as_of: str) -> Frame:
    """Facts with the account they are about; `in_force` is true on the date (first day counts, last day does not)."""
    named = world.facts.select(nw.col("firm_id").alias("source_id")).unique()  # few firms have any
    firms = links.join(named, on="source_id", how="semi").join(
        world.firms.select(nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id")),
        on=["source", "source_id"],
        how="semi",
    )
    accounts = first_by(firms, ["source_id"], ["source"]).select(nw.col("source_id").alias("firm_id"), "account_id")
    started = nw.coalesce(nw.col("valid_from") <= as_of, nw.lit(value=True))
    running = nw.coalesce(nw.col("valid_to") > as_of, nw.lit(value=True))
    source = nw.concat_str(
        [nw.col("feed"), nw.lit(":"), nw.col("file"), nw.lit(":row "), nw.col("row").cast(nw.String())]
    )
    return world.facts.join(accounts, on="firm_id", how="inner").select(
        "account_id",
        "fact",
        nw.coalesce("category", nw.lit("")).alias("category"),
        "value",
        nw.coalesce("valid_from", nw.lit("")).alias("valid_from"),
        (started & running).alias("in_force"),
        source.alias("fact_source"),
        "valid_to",
    )


def holders(hierarchy: Frame, recorded: Frame, policy: AuthorityPolicy) -> Frame:
    """HOLDERS: the organisation that answers the tier's question.

    `recorded` are ANSWERS that rest on records; without one the system decides. A holder at a level that hands no tier
    down (a site's, by default) leaves the account to its own.
    """
    said = recorded.filter(nw.col("need") == policy.tier_need, ~nw.col("basis").is_null()).select(
        "account_id", nw.col("holder_account_id").alias("named"), "level", "basis"
    )
    joined = hierarchy.select("account_id", "system_account_id").join(said, on="account_id", how="left")
    hands_down = one_of(nw.col("level"), policy.inherit_tier_from)
    holder = cases(
        [(nw.col("basis").is_null(), nw.col("system_account_id")), (hands_down, nw.col("named"))], nw.col("account_id")
    )
    return conform(joined.with_columns(holder_account_id=holder), HOLDERS)
