"""How central an organisation is to those who refer: its share of all organisations known to refer to somebody."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import certain
from sync.world import INT, TEXT, Schema

REFERRALS: Schema = {"account_id": TEXT, "referrers": INT, "referral_bp": INT}
"""One row per deciding organisation that others refer to."""


def referrals(affiliations: Frame | None, holders: Frame, min_cell: int, engine: Engine) -> Frame:
    """REFERRALS. A referring organisation counts once per receiver; fewer than the smallest cell are not shown."""
    if affiliations is None:
        return engine.table([], REFERRALS)
    stated = affiliations.filter(nw.col("kind") == "REFERS_TO").rename({"account_id": "referrer"})
    to_holder = holders.select(nw.col("account_id").alias("with_account_id"), nw.col("holder_account_id"))
    pairs = stated.join(to_holder, on="with_account_id", how="inner").select("referrer", "holder_account_id").unique()
    counted = pairs.group_by("holder_account_id").agg(nw.len().cast(INT).alias("referrers"))
    shares = counted.with_columns(everywhere=nw.lit(1)).with_columns(all=nw.col("referrers").sum().over("everywhere"))
    enough = certain(nw.col("referrers") >= min_cell)
    return engine.materialize(
        shares.filter(enough).select(
            nw.col("holder_account_id").alias("account_id"),
            "referrers",
            ((nw.col("referrers") * 20_000 + nw.col("all")) // (nw.col("all") * 2)).cast(INT).alias("referral_bp"),
        )
    )
