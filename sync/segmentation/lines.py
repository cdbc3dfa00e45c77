"""How strong each service line of an organisation is: by its share of revenue, and its volume among its peers."""

from __future__ import annotations

import narwhals as nw

from mappings.facts import STRENGTHS
from mappings.insight_policy import Strength
from sync.engine import Engine, Frame
from sync.frames import cases, certain, count_where, null
from sync.segmentation.holdings import LINES
from sync.world import INT, TEXT


def with_line_strengths(table: Frame, policy: Strength, engine: Engine) -> Frame:
    """Adds `<line>__lo`, `<line>__hi` (both null = unknown) and `<line>_bp`, the line's share of revenue."""
    counts = [count_where(~nw.col(f"{line}_volume_bp").is_null()).alias(line) for line in LINES]
    stated = next(iter(engine.rows(table.select(*counts))), {})
    for line in LINES:
        if stated.get(line, 0) >= policy.min_peers:
            table = table.join(_percentiles(table, line, policy), on="account_id", how="left")
        else:
            table = table.with_columns(null(INT).alias(f"{line}_percentile"), null(INT).alias(f"{line}_peers"))
        table = engine.materialize(table.with_columns(*_strength(line, policy)))
    return table


def _percentiles(table: Frame, line: str, policy: Strength) -> Frame:
    """`account_id`, percentile and number of peers; only where there are enough of the same type."""
    volume = f"{line}_volume_bp"
    settled = certain(nw.col("org_type__lo") == nw.col("org_type__hi"))
    known = table.filter(settled, ~nw.col(volume).is_null()).select("account_id", "org_type__lo", volume)
    ranked = known.with_columns(
        nw.len().over("org_type__lo").cast(INT).alias(f"{line}_peers"),
        nw.col(volume).rank("max").over("org_type__lo").cast(INT).alias("_rank"),
    ).filter(nw.col(f"{line}_peers") >= policy.min_peers)
    percentile = (nw.col("_rank") * 100 // nw.col(f"{line}_peers")).alias(f"{line}_percentile")
    return ranked.select("account_id", percentile, f"{line}_peers")


def _strength(line: str, policy: Strength) -> list[nw.Expr]:
    """The two ends of what the strength can be. Percentiles count only among enough peers, else the share alone."""
    said = nw.col(f"{line}_strength_text").str.to_uppercase()
    said = nw.when(nw.col(f"{line}_strength_text").str.to_uppercase().is_in(list(STRENGTHS))).then(said)
    complete = (nw.col("hospitals") > 0) & (nw.col(f"{line}_missing") == 0) & (nw.col(f"{line}_whole") > 0)
    whole = nw.when(certain(nw.col(f"{line}_whole") > 0)).then(nw.col(f"{line}_whole")).otherwise(nw.lit(1))
    share = nw.when(certain(complete)).then((nw.col(f"{line}_part") * 2 + whole) // (whole * 2))
    large = nw.when(certain(complete)).then(nw.col(f"{line}_part") >= whole * policy.strong_share_bp)
    percentile = nw.col(f"{line}_percentile")
    high, middle = percentile >= policy.strong_percentile, percentile >= policy.moderate_percentile
    by_share_alone = percentile.is_null() & nw.col(f"{line}_volume_bp").is_null()
    growth = nw.col(f"{line}_growth_bp")
    grows, shrinks = growth >= policy.min_growth_bp, growth < policy.min_growth_bp
    big, small = certain(large) | certain(high), certain(~large) & (certain(~high) | by_share_alone)
    rest_low = cases([(middle, "MODERATE")], "WEAK")
    low = cases(
        [
            (~said.is_null(), said),
            (big & grows, "STRONG"),
            (big & shrinks, rest_low),
            (big, "MODERATE"),
            (small | certain(~high), rest_low),
        ],
        null(TEXT),
    )
    rest_high = cases([(~middle, "WEAK")], "MODERATE")
    high_end = cases(
        [
            (~said.is_null(), said),
            (big & grows, "STRONG"),
            (big & shrinks, rest_high),
            (big, "STRONG"),
            (small & percentile.is_null(), "WEAK"),
            (small, rest_high),
            (certain(~high), "STRONG"),
        ],
        null(TEXT),
    )
    return [low.alias(f"{line}__lo"), high_end.alias(f"{line}__hi"), share.alias(f"{line}_bp")]
