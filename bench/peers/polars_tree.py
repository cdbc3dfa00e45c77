"""Golden accounts and the tree of systems by hand in Polars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from bench.peers.polars_links import FIRM, HUBSPOT, SALESFORCE
from bench.peers.rules import AS_OF, COMPARED, CRM_FIRST, FIRM_OWN, SHARED, TTL_DAYS

c = pl.col
REF = pl.concat_str("feed", pl.lit(":"), "file", pl.lit(":row "), c("row").cast(pl.String))
_SUFFIXES = {FIRM: "_firm", SALESFORCE: "_sf", HUBSPOT: "_hs"}


def accounts(made: Mapping[str, pl.DataFrame], links: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """ACCOUNTS, each field from its best source and beside it the row; and how often sources differ, per field."""
    table = links.lazy().select("account_id").unique()
    for source, rows in _sources(made).items():
        mine = links.lazy().filter(c("source") == source).select("source_id", "account_id")
        joined = rows.join(mine, on="source_id").drop("source_id")
        renamed = joined.select("account_id", c("*").exclude("account_id").name.suffix(_SUFFIXES[source]))
        table = table.join(renamed, on="account_id", how="left")
    present = set(table.collect_schema().names())
    golden = [expression for name in SHARED for expression in _golden(name, present)]
    own = [_value(name, "_firm", present).alias(name) for name in FIRM_OWN]
    doubts = [_differ(name, present).sum().alias(name) for name in COMPARED]
    about = [c("firm_id_firm").alias("firm_id"), c("feed_firm").alias("firm_feed"), c("ref_firm").alias("firm_source")]
    chosen, counted = pl.collect_all([table.select("account_id", *golden, *own, *about), table.select(doubts)])
    return chosen, counted.row(0, named=True)


def _sources(made: Mapping[str, pl.DataFrame]) -> dict[str, pl.LazyFrame]:
    """Per source its rows with `source_id`, `ref` and `dated`."""
    firms = made["firms"].lazy()
    vendor = firms.select(
        *(c("firm_id").alias("source_id"), c("firm_id").alias("definitive_id"), REF.alias("ref"), "feed", "firm_id"),
        *(pl.coalesce("updated_on", "as_of").alias("dated"), *(n for n in SHARED if n in made["firms"].columns)),
        *FIRM_OWN,
    )
    live = made["records"].lazy().filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
    crms = {
        source: live.filter(c("connection") == source).select(
            *(c("record_id").alias("source_id"), (pl.lit(f"{source}:") + c("record_id")).alias("ref")),
            *(c("modified_at").str.slice(0, 10).alias("dated"), *SHARED),
        )
        for source in (SALESFORCE, HUBSPOT)
    }
    return {FIRM: vendor, **crms}


def _golden(name: str, present: set[str]) -> tuple[pl.Expr, pl.Expr]:
    """The value and the row it is from: fresh values in order of trust, then the expired ones."""
    suffixes = [s for s in _order(name) if name + s in present]
    found = [(_value(name, suffix, present), c(f"ref{suffix}")) for suffix in suffixes]
    if name in TTL_DAYS:
        found += [(c(name + suffix), c(f"ref{suffix}")) for suffix in suffixes]
    source = pl.lit(None, dtype=pl.String)
    for value, ref in reversed(found):
        source = pl.when(value.is_not_null()).then(ref).otherwise(source)
    return pl.coalesce(value for value, _ in found).alias(name), source.alias(f"{name}__source")


def _order(name: str) -> tuple[str, ...]:
    return ("_sf", "_hs", "_firm") if name in CRM_FIRST else ("_firm", "_sf", "_hs")


def _value(name: str, suffix: str, present: set[str]) -> pl.Expr:
    """The value of a source, as long as it has not expired."""
    value = c(name + suffix)
    if name not in TTL_DAYS or f"dated{suffix}" not in present:
        return value
    oldest = (date.fromisoformat(AS_OF) - timedelta(days=TTL_DAYS[name])).isoformat()
    fresh = pl.when(~(c(f"dated{suffix}") < oldest).fill_null(value=False)).then(value)
    return pl.coalesce(fresh, value) if name in FIRM_OWN else fresh


def _differ(name: str, present: set[str]) -> pl.Expr:
    """Where sources have a value and it is not the same; numbers may differ by a quarter."""
    values = [name + suffix for suffix in _order(name) if name + suffix in present]
    low, high = pl.min_horizontal(values), pl.max_horizontal(values)
    if name in ("employees", "annual_revenue_cents"):
        return (high - low) * 10_000 > high * 2500
    return low != high


def tree(made: Mapping[str, pl.DataFrame], links: pl.DataFrame, golden: pl.DataFrame) -> pl.DataFrame:
    """HIERARCHY: from the roots down, one level after the other. Two stated parents control nothing."""
    ids = links.filter(c("source") == FIRM).select(c("source_id").alias("vendor"), "account_id")
    edges = _edges(made, ids)
    contested = edges.filter(c("rivals") > 1).select("account_id").unique().with_columns(conflict=pl.lit("NO_CONTROL"))
    edges = edges.filter(c("rivals") == 1).drop("rivals")
    level = (
        golden.select("account_id")
        .join(edges, on="account_id", how="anti")
        .with_columns(
            parent_account_id=pl.lit(None, dtype=pl.String),
            system_account_id=c("account_id"),
            depth=pl.lit(0, dtype=pl.Int64),
            path=c("account_id"),
            basis=pl.lit("root"),
            source_ref=pl.lit(None, dtype=pl.String),
        )
    )
    levels = []
    while level.height:
        levels.append(level)
        above = level.select(
            c("account_id").alias("parent_account_id"), "system_account_id", c("depth") + 1, c("path").alias("above")
        )
        level = edges.join(above, on="parent_account_id").select(
            *("account_id", "parent_account_id", "system_account_id", "depth"),
            pl.concat_str("above", "account_id", separator="/").alias("path"),
            pl.lit("site_of").alias("basis"),
            "source_ref",
        )
    names = golden.select(c("account_id").alias("system_account_id"), c("name").alias("system_name"))
    flat = pl.concat(levels).join(contested, on="account_id", how="left")
    return flat.join(names, on="system_account_id", how="left")


def _edges(made: Mapping[str, pl.DataFrame], ids: pl.DataFrame) -> pl.DataFrame:
    """`account_id`, `parent_account_id`, `source_ref`, `rivals`: what the vendor's two columns state, once a pair."""
    firms = made["firms"].lazy().select("firm_id", "idn_id", "idn_parent_id", REF.alias("ref"))
    near = pl.coalesce("idn_id", "idn_parent_id")
    stated = pl.concat(
        [
            firms.select(c("firm_id").alias("child"), near.alias("parent"), "ref"),
            firms.select(c("idn_id").alias("child"), c("idn_parent_id").alias("parent"), "ref"),
        ]
    ).filter(c("child") != c("parent"))
    pairs = stated.group_by("child", "parent").agg(c("ref").min().alias("source_ref"))
    above = ids.lazy().rename({"account_id": "parent_account_id"})
    edges = pairs.join(ids.lazy(), left_on="child", right_on="vendor").join(above, left_on="parent", right_on="vendor")
    counted = edges.with_columns(pl.len().over("account_id").alias("rivals"))
    return counted.select("account_id", "parent_account_id", "source_ref", "rivals").collect()
