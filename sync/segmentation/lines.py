"""How strong each service line of an organisation is: by its share of revenue, and its volume among its peers."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw

from mappings.facts import STRENGTHS
from mappings.insight_policy import Strength
from sync.engine import Engine, Frame
from sync.frames import cases, certain, null, stack
from sync.segmentation.holdings import LINES
from sync.world import INT, TEXT


def with_line_strengths(table: Frame, policy: Strength, engine: Engine) -> Frame:
    """Adds `<line>__lo`, `<line>__hi` (both null = unknown) and `<line>_bp`, the line's share of revenue.

    And `<line>_percentile` and `<line>_peers`, where there are enough of the same type.
    """
    long = stack([_rows_of(table, line) for line in LINES])
    judged = engine.materialize(_judged(_with_percentiles(long, policy), policy))
    for line in LINES:
        mine = judged.filter(nw.col("line") == line).select("account_id", *_MADE)
        named = mine.rename({name: f"{line}{_MADE[name]}" for name in _MADE})
        table = table.join(named, on="account_id", how="left")
    return table


_MADE = {"low": "__lo", "high": "__hi", "bp": "_bp", "percentile": "_percentile", "peers": "_peers"}
"""What is found of a line -> how its column beside the account ends."""
_OF_ALL = ("account_id", "org_type__lo", "org_type__hi", "hospitals", "revenue_sum")
_OF_LINE = ("strength_text", "growth_bp", "volume_bp", "part", "part_missing")


def _rows_of(table: Frame, line: str) -> Frame:
    """What is known of a line, one row per organisation."""
    of_line = {f"{line}_{name}": name for name in _OF_LINE}
    return table.select(*_OF_ALL, *of_line).rename(of_line).with_columns(line=nw.lit(line))


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


def _with_percentiles(rows: Frame, policy: Strength) -> Frame:
    """Adds `percentile` and `peers` where enough organisations of the same type have a volume of the line."""
    peers = ("line", "org_type__lo")
    settled = nw.col("org_type__lo") == nw.col("org_type__hi")
    ranked = rows.filter(settled, ~nw.col("volume_bp").is_null()).with_columns(
        peers=nw.len().over(*peers).cast(INT), _rank=nw.col("volume_bp").rank("max").over(*peers).cast(INT)
    )
    enough = ranked.filter(nw.col("peers") >= policy.min_peers)
    percentile = (nw.col("_rank") * 100 // nw.col("peers")).alias("percentile")
    return rows.join(enough.select("account_id", "line", percentile, "peers"), on=["account_id", "line"], how="left")


def _judged(rows: Frame, policy: Strength) -> Frame:
    """The two ends of what the strength can be. Percentiles count only among enough peers, else the share alone."""
    percentile, whole = nw.col("percentile"), nw.col("revenue_sum")
    said = nw.col("strength_text").str.to_uppercase()
    complete = (nw.col("hospitals") > 0) & (nw.col("part_missing") == 0) & (whole > 0)
    rows = rows.with_columns(
        said=nw.when(said.is_in(list(STRENGTHS))).then(said),
        whole=nw.when(complete).then(whole),  # never divide by zero: the engines disagree on it
        large_volume=percentile >= policy.strong_percentile,
        middle=percentile >= policy.moderate_percentile,
        alone=percentile.is_null() & nw.col("volume_bp").is_null(),
        grows=nw.col("growth_bp") >= policy.min_growth_bp,
    )
    part, whole = nw.col("part"), nw.col("whole")
    rows = rows.with_columns(large=part >= whole * policy.strong_share_bp, bp=(part * 2 + whole) // (whole * 2))
    high, large, middle = nw.col("large_volume"), nw.col("large"), nw.col("middle")
    rows = rows.with_columns(
        big=large | high,
        small=~large & (~high | nw.col("alone")),
        least=cases([(middle, "MODERATE")], "WEAK"),
        most=cases([(~middle, "WEAK")], "MODERATE"),
    )
    big, small, grows, least = nw.col("big"), nw.col("small"), nw.col("grows"), nw.col("least")
    low = cases(
        [(big & grows, "STRONG"), (big & ~grows, least), (big, "MODERATE"), (small | ~high, least)],
        null(TEXT),
    )
    top = cases(
        [
            (big & grows, "STRONG"),
            (big & ~grows, nw.col("most")),
            (big, "STRONG"),
            (small & percentile.is_null(), "WEAK"),
            (small, nw.col("most")),
            (~high, "STRONG"),
        ],
        null(TEXT),
    )
    found = rows.with_columns(low=nw.coalesce("said", low), high=nw.coalesce("said", top))
    return found.select("account_id", "line", *_MADE)
