"""Who decides: the account a tier is evaluated on. A system decides for its members, unless a site does for itself."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Frame
from sync.frames import certain, first_by
from sync.world import BOOL, TEXT, Schema, World

CONFIRMED: Schema = {
    "account_id": TEXT,
    "fact": TEXT,
    "category": TEXT,
    "value": TEXT,
    "valid_from": TEXT,
    "in_force": BOOL,
    "fact_source": TEXT,
}
"""Confirmed facts of accounts, one row per statement."""


def confirmed_facts(world: World, links: Frame, as_of: str) -> Frame:
    """Facts with the account they are about; `in_force` is true on the date (first day counts, last day does not)."""
    firms = links.join(
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
    )


def holders(hierarchy: Frame, facts: Frame) -> Frame:
    """`account_id`, `system_account_id`, `holder_account_id`: the system, or the account where a fact says so."""
    sites = (
        facts.filter(nw.col("fact") == "decision_authority", nw.col("value") == "SITE", nw.col("in_force"))
        .select("account_id", nw.lit(value=True).alias("site_decides"))
        .unique()
    )
    joined = hierarchy.select("account_id", "system_account_id").join(sites, on="account_id", how="left")
    holder = nw.when(certain(nw.col("site_decides"))).then(nw.col("account_id")).otherwise(nw.col("system_account_id"))
    return joined.select("account_id", "system_account_id", holder.alias("holder_account_id"))
