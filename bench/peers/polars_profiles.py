"""Profiles by hand in Polars: what every account is, how it is sold to, its segment and its score."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from bench.peers.rules import (
    BANDS,
    CON,
    LINES,
    MIN_COVERAGE_BP,
    MIN_PEERS,
    MISSING_POINTS,
    NON_CON,
    POTENTIAL_USD,
    REGION,
    SCORE_POINTS,
    SCORE_WEIGHTS,
    SEGMENTS,
)

c = pl.col
_VENDORS = ("EPIC", "ORACLE", "MEDITECH", "OTHER")
_NOT_KNOWN = {
    **dict.fromkeys(("affiliation", "awarded_to", "motion", "history", "quadrant", "canada_law"), pl.String),
    **dict.fromkeys(("won_cents", "open_cents", "our_share_bp", "headroom_cents"), pl.Int64),
    "committee_missing": pl.String,
    "high_intent": pl.Boolean,
    "gpo_covered": pl.Boolean,
}
"""What nothing is known of in a generated world: it has no contracts, deals, contacts and signals."""


def profiles(golden: pl.DataFrame, tree: pl.DataFrame, facts: pl.DataFrame) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """PROFILES of every account, in its own place, with what its system is; and what every system is."""
    own = golden.select(c("account_id").alias("holder"), "annual_revenue_cents", "employees", "state")
    table = _described(facts.join(own, on="holder", how="left"))
    table = _scored(table).drop("state").rename({"holder": "holder_account_id", "tier": "account_tier"})
    of_tree = tree.lazy().select("account_id", c("system_account_id").alias("holder_account_id"))
    here = golden.lazy().select("account_id", "name", "state").join(of_tree, on="account_id", how="left")
    con = {**dict.fromkeys(NON_CON, "none"), **dict.fromkeys(CON, "CON")}
    placed = here.with_columns(
        region=c("state").replace_strict(REGION, default=None), site_con=c("state").replace_strict(con, default=None)
    )
    return placed.join(table.lazy(), on="holder_account_id", how="left"), table


def _settled(name: str) -> pl.Expr:
    return pl.when(c(f"{name}__lo") == c(f"{name}__hi")).then(c(f"{name}__lo"))


def _described(table: pl.DataFrame) -> pl.DataFrame:
    complete = (c("revenue_missing") == 0) & (c("hospitals") > 0)
    revenue = pl.coalesce("annual_revenue_cents", pl.when(complete).then(c("revenue_sum")))
    by_revenue = _size(revenue, 500_000_000_000, 50_000_000_000)
    by_people = _size(c("employees"), 10_000, 1000)
    beds = [c(f"beds_{vendor}") for vendor in _VENDORS]
    total, top = pl.sum_horizontal(beds), pl.max_horizontal(beds)
    vendor = pl.lit(None, dtype=pl.String)
    for name in reversed(_VENDORS):
        vendor = pl.when(c(f"beds_{name}") == top).then(pl.lit(name)).otherwise(vendor)
    gov, commercial = c("gov_bp__hi"), c("commercial_bp__hi")
    low, high = c("non_con_bp__lo"), c("non_con_bp__hi")
    share = pl.when(total > 0).then((top * 20_000 + total) // (total * 2))
    table = table.with_columns(
        own_type=c("own_kind"),
        org_type=_settled("org_type"),
        size_tier=pl.coalesce(by_revenue, by_people),
        size_disagrees=(by_revenue != by_people).fill_null(value=False),
        it_maturity=c("it_best").cast(pl.String),
        ehr_vendor=pl.when(total > 0).then(vendor),
        ehr_top_share_bp=share,
        ehr_mixed=share < 8000,
        payer_class=pl.when(c("gov_bp__lo") > 6000)
        .then(pl.lit("GOV_HEAVY"))
        .when(c("commercial_bp__lo") >= 5000)
        .then(pl.lit("COMMERCIAL_HEAVY"))
        .when((gov <= 6000) & (commercial < 5000))
        .then(pl.lit("MIXED")),
        roi_frame=pl.when(c("aco_hospitals") > 0).then(pl.lit("TOTAL_COST_OF_CARE")),
        reg_env=pl.when(low >= 10_000)
        .then(pl.lit("NON_CON"))
        .when(high <= 0)
        .then(pl.lit("CON"))
        .when((low > 0) & (high < 10_000))
        .then(pl.lit("MIXED")),
        beds=pl.when(c("beds_missing") == 0).then(c("beds_known")),
        status=pl.lit("ACTIVE"),
        is_lighthouse=pl.lit(value=False),
        **{f"{line}_strength": _settled(line) for line in LINES},
        **{name: pl.lit(None, dtype=dtype) for name, dtype in _NOT_KNOWN.items()},
    )
    return table.with_columns(icp_profile=_profile(), **_top_lines()).with_columns(_segments())


def _size(value: pl.Expr, enterprise: int, middle: int) -> pl.Expr:
    big = pl.when(value > enterprise).then(pl.lit("ENTERPRISE"))
    return big.when(value >= middle).then(pl.lit("MID")).when(value.is_not_null()).then(pl.lit("SMB"))


def _top_lines() -> dict[str, pl.Expr]:
    """The three lines with the largest known share, largest first; ties in the usual order."""
    shares = [c(f"{line}_bp") for line in LINES]
    ranks = []
    for mine, share in enumerate(shares):
        ahead = [
            (other > share if place > mine else other >= share).fill_null(value=False).cast(pl.Int64)
            for place, other in enumerate(shares)
            if place != mine
        ]
        ranks.append(pl.when(share.is_not_null()).then(pl.sum_horizontal(ahead)))
    made = {}
    for place in range(3):
        named = pl.lit(None, dtype=pl.String)
        for rank, line in zip(reversed(ranks), reversed(LINES), strict=True):
            named = pl.when(rank == place).then(pl.lit(line.upper())).otherwise(named)
        made[f"line_{place + 1}"] = named
    return made


def _profile() -> pl.Expr:
    """The first ideal customer profile that is known to hold; no budget is known."""
    kind, hospitals, beds = c("org_type"), c("hospitals"), c("beds")
    both_ends = c("org_type__lo").is_in(["IDN", "COMMUNITY_SYSTEM"]) & c("org_type__hi").is_in(
        ["IDN", "COMMUNITY_SYSTEM"]
    )
    small = kind.is_in(["INDEPENDENT_HOSPITAL", "COMMUNITY_SYSTEM", "CAH", "CAH_LIKELY"])
    return (
        pl.when((kind == "IDN") & (hospitals > 10))
        .then(pl.lit("enterprise_idn"))
        .when(both_ends & hospitals.is_between(3, 10) & beds.is_between(500, 2000))
        .then(pl.lit("mid_market_idn"))
        .when(small & beds.is_between(50, 500))
        .then(pl.lit("community_hospital"))
        .when(kind.is_in(["PHYSICIAN_GROUP", "ASC"]) & c("providers__lo").is_between(10, 500))
        .then(pl.lit("ambulatory"))
    )


def _segments() -> list[pl.Expr]:
    """The primary segment, the others, and the cohort of its record system."""
    strategic = (c("tier") == "T1") | (c("icp_profile") == "enterprise_idn").fill_null(value=False)
    low, high = (c(f"org_type__{end}").replace_strict(SEGMENTS, default=None) for end in ("lo", "hi"))
    by_type = pl.when(low == high).then(low)
    mod = ["STRONG", "MODERATE"]
    strong = c("oncology_strength__lo").is_in(mod) & c("oncology_strength__hi").is_in(mod)
    groups = c("org_type").is_in(["PHYSICIAN_GROUP", "ASC"])
    cohorts = {
        "epic-oncology@1": (c("ehr_vendor") == "EPIC") & strong,
        "expansion-government@1": (c("payer_class") == "GOV_HEAVY") & (c("expansion_bp") >= 5000),
        "nurse-led-groups@1": groups & (c("full_practice_bp") >= 5000),
    }
    listed = pl.concat_str(
        [pl.when(holds).then(pl.lit(f",{name}")) for name, holds in cohorts.items()], ignore_nulls=True
    )
    version = pl.when(strategic | by_type.is_not_null()).then(pl.lit(1, dtype=pl.Int64))
    potential = {kind: usd * 100 for kind, usd in POTENTIAL_USD.items()}
    return [
        pl.when(strategic).then(pl.lit("strategic-systems")).otherwise(by_type).alias("segment"),
        version.alias("segment_version"),
        pl.when(strategic).then(by_type + "@1").alias("other_segments"),
        pl.when(listed != "").then(listed.str.slice(1)).alias("cohorts"),
        c("org_type").replace_strict(potential, default=None, return_dtype=pl.Int64).alias("potential_cents"),
    ]


def _scored(table: pl.DataFrame) -> pl.DataFrame:
    """Points of what is known, the median of the peers for what is not, and tenths that add up to the score."""
    raw = table.select(
        "org_type",
        "beds",
        strength=c("oncology_strength"),
        payer="payer_class",
        ehr="ehr_vendor",
        it_maturity="it_maturity",
    )
    points = raw.with_columns(
        beds=pl.when(c("beds") <= 200)
        .then((2 * 40 * c("beds") + 200) // 400)
        .when(c("beds") <= 1000)
        .then((2 * (40 * 800 + 60 * (c("beds") - 200)) + 800) // 1600)
        .when(c("beds") > 1000)
        .then(100),
        **{name: c(name).replace_strict(given, default=None) for name, given in SCORE_POINTS.items()},
    )
    nothing = pl.lit(None, dtype=pl.Int64)
    points = points.with_columns(**{name: nothing for name in SCORE_WEIGHTS if name not in raw.columns})
    names = list(SCORE_WEIGHTS)
    peers = [
        pl.when(c(name).count().over("org_type") >= MIN_PEERS)
        .then(c(name).quantile(0.5, "lower").over("org_type"))
        .cast(pl.Int64)
        .alias(name)
        for name in names
    ]
    priors = points.with_columns(c("org_type").fill_null("UNKNOWN")).select(peers).fill_null(MISSING_POINTS)
    filled = np.array([points[name].fill_null(priors[name]).to_numpy() for name in names], np.int64)
    known = np.array([points[name].is_not_null().to_numpy() for name in names])
    weights = np.array(list(SCORE_WEIGHTS.values()), np.int64).reshape(-1, 1)
    parts, totals = _tenths(filled * weights)
    coverage = (known * weights).sum(axis=0) * 10
    band = [
        next(name for name, least in BANDS if total >= least) if covered >= MIN_COVERAGE_BP else "INSUFFICIENT"
        for total, covered in zip(totals.tolist(), coverage.tolist(), strict=True)
    ]
    rows = zip(filled.T.tolist(), parts.T.tolist(), known.T.tolist(), strict=True)
    told = [_json({name: list(cell) for name, *cell in zip(names, *row, strict=True)}) for row in rows]
    inputs = [
        _json({name: row[name] for name in names if row.get(name) is not None}) for row in raw.iter_rows(named=True)
    ]
    return table.with_columns(
        score_tenths=pl.Series(totals),
        coverage_bp=pl.Series(coverage),
        band=pl.Series(band),
        contributions=pl.Series(told),
        features=pl.Series(inputs),
    )


def _tenths(weighted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contributions and totals in tenths of a point, by largest remainder."""
    totals = (2 * weighted.sum(axis=0) + 100) // 200
    parts, rest = weighted // 100, weighted % 100
    ranks = np.argsort(np.argsort(-rest, axis=0, kind="stable"), axis=0, kind="stable")
    return parts + (ranks < totals - parts.sum(axis=0)), totals


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
