"""How strong each service line of an organisation is: by its share of revenue, and its volume among its peers."""

from __future__ import annotations

from collections.abc import Sequence

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
        table = _with_strength(table, line, policy)
    return engine.materialize(table)


def strongest(lines: Sequence[str]) -> nw.Expr:
    """The strength of the strongest of some lines; null where what is not known could be stronger."""
    ends = [[nw.col(f"{line.lower()}__{end}") for line in lines] for end in ("lo", "hi")]
    some = {word: any_of([certain(one == word) for one in ends[0]]) for word in STRENGTHS}
    open_ = any_of([one.is_null() for one in ends[0]]) | any_of([certain(a != b) for a, b in zip(*ends, strict=True)])
    return cases([(some["STRONG"], "STRONG"), (open_, null(TEXT)), (some["MODERATE"], "MODERATE")], "WEAK")


def any_of(conditions: Sequence[nw.Expr]) -> nw.Expr:
    """Whether one of them holds."""
    found = conditions[0]
    for one in conditions[1:]:
        found = found | one
    return found


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


def _with_strength(table: Frame, line: str, policy: Strength) -> Frame:
    """The two ends of what the strength can be. Percentiles count only among enough peers, else the share alone."""
    said = nw.col(f"{line}_strength_text").str.to_uppercase()
    complete = (nw.col("hospitals") > 0) & (nw.col(f"{line}_missing") == 0) & (nw.col(f"{line}_whole") > 0)
    percentile, growth = nw.col(f"{line}_percentile"), nw.col(f"{line}_growth_bp")
    table = table.with_columns(
        _said=nw.when(certain(said.is_in(list(STRENGTHS)))).then(said),
        _whole=nw.when(certain(complete)).then(nw.col(f"{line}_whole")),
        _high=percentile >= policy.strong_percentile,
        _middle=percentile >= policy.moderate_percentile,
        _alone=percentile.is_null() & nw.col(f"{line}_volume_bp").is_null(),
        _grows=growth >= policy.min_growth_bp,
    )
    part, whole = nw.col(f"{line}_part"), nw.col("_whole")
    divisor = nw.coalesce("_whole", nw.lit(1))  # never divide by zero: the engines disagree on it
    table = table.with_columns(
        _large=nw.when(~whole.is_null()).then(part >= whole * policy.strong_share_bp),
        **{f"{line}_bp": nw.when(~whole.is_null()).then((part * 2 + divisor) // (divisor * 2))},
    )
    high, large = nw.col("_high"), nw.col("_large")
    table = table.with_columns(
        _big=certain(large) | certain(high),
        _small=certain(~large) & (certain(~high) | nw.col("_alone")),
        _low=cases([(nw.col("_middle"), "MODERATE")], "WEAK"),
        _top=cases([(~nw.col("_middle"), "WEAK")], "MODERATE"),
    )
    big, small, grows = nw.col("_big"), nw.col("_small"), nw.col("_grows")
    said = ~nw.col("_said").is_null()
    low = cases(
        [
            (said, nw.col("_said")),
            (big & grows, "STRONG"),
            (big & ~grows, nw.col("_low")),
            (big, "MODERATE"),
            (small | certain(~high), nw.col("_low")),
        ],
        null(TEXT),
    )
    top = cases(
        [
            (said, nw.col("_said")),
            (big & grows, "STRONG"),
            (big & ~grows, nw.col("_top")),
            (big, "STRONG"),
            (small & percentile.is_null(), "WEAK"),
            (small, nw.col("_top")),
            (~high, "STRONG"),
        ],
        null(TEXT),
    )
    return table.with_columns(low.alias(f"{line}__lo"), top.alias(f"{line}__hi"))
