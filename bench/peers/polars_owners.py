"""Owners and events by hand in Polars: who owns a system, and which firms moved between two deliveries."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from bench.peers.polars_links import FIRM
from bench.peers.polars_tree import REF
from bench.peers.rules import LINES

c = pl.col


def owners(
    made: Mapping[str, pl.DataFrame], links: pl.DataFrame, golden: pl.DataFrame, tree: pl.DataFrame
) -> pl.DataFrame:
    """OWNERSHIP: the owner of the root's record, else of the merged books, else of most records."""
    held = _held(made, links, tree)
    roots = held.filter(c("account_id") == c("unit")).sort("trust", "connection", "record_id")
    root = roots.unique("unit", keep="first", maintain_order=True).select(
        "unit",
        "email",
        because=pl.concat_str(
            *(pl.lit("owns "), "connection", pl.lit(":"), "record_id", pl.lit(", the unit's own record"))
        ),
        rule=pl.lit("root_owner"),
        step=0,
    )
    at_root = (c("account_id") == c("unit")).max().alias("at_root")
    books = held.group_by("unit", "email").agg(pl.len().cast(pl.Int64).alias("records"), c("open_cents").sum(), at_root)
    chosen = pl.concat([root, _merged(books), _majority(books)]).sort("step").unique("unit", keep="first")
    named = tree.select("account_id", c("system_account_id").alias("unit"), "system_name").join(
        golden.select("account_id", "state"), on="account_id", how="left"
    )
    joined = named.join(chosen, on="unit", how="left")
    name = c("system_name").str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    told = pl.concat_str(
        *(pl.lit('{"unit":"'), name, pl.lit('","owner":"'), "email", pl.lit('","because":"'), "because", pl.lit('"}'))
    )
    nobody = pl.concat_str(
        pl.lit('{"unit":"'), name, pl.lit('","owner":"no step of the policy names an active person"}')
    )
    return joined.select(
        "account_id",
        c("unit").alias("unit_account_id"),
        c("email").alias("owner_email"),
        pl.when(c("email").is_not_null()).then(pl.lit("PRIMARY")).alias("owner_role"),
        pl.lit(None, dtype=pl.String).alias("territory"),
        "state",
        "rule",
        pl.when(c("email").is_null()).then(nobody).otherwise(told).alias("evidence"),
    )


def _held(made: Mapping[str, pl.DataFrame], links: pl.DataFrame, tree: pl.DataFrame) -> pl.DataFrame:
    """Live records with an active owner: the person, the unit and the open pipeline."""
    users = made["users"].lazy().filter("is_active").select("connection", c("user_id").alias("owner"), "email")
    pipeline = made["opportunities"].lazy().filter(~c("is_closed").fill_null(value=False))
    pipeline = pipeline.group_by("connection", "record_id").agg(c("amount_cents").sum().alias("open_cents"))
    mine = links.lazy().select(c("source").alias("connection"), c("source_id").alias("record_id"), "account_id")
    live = made["records"].lazy().filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
    units = tree.lazy().select("account_id", c("system_account_id").alias("unit"))
    trust = c("connection").replace_strict({"salesforce": 0, "hubspot": 1}, default=2, return_dtype=pl.UInt8)
    return (
        live.select("connection", "record_id", "owner")
        .join(users, on=["connection", "owner"])
        .join(mine, on=["connection", "record_id"])
        .join(units, on="account_id")
        .join(pipeline, on=["connection", "record_id"], how="left")
        .with_columns(c("open_cents").fill_null(0), trust=trust)
        .collect()
    )


def _merged(books: pl.DataFrame) -> pl.DataFrame:
    """Of several owners in one unit whoever owns the root, then has the larger pipeline; a tie is nobody's."""
    contested = books.filter(pl.len().over("unit") > 1)
    ranked = contested.with_columns(alike=pl.len().over("unit", "at_root", "open_cents"))
    best = ranked.sort("at_root", "open_cents", "email", descending=[True, True, False]).unique("unit", keep="first")
    words = "wins the merged books: owns the acquiring system, then larger open pipeline"
    return best.filter(c("alike") == 1).select(
        "unit", "email", because=pl.lit(words), rule=pl.lit("merged_books"), step=1
    )


def _majority(books: pl.DataFrame) -> pl.DataFrame:
    ordered = books.sort("records", "open_cents", "email", descending=[True, True, False])
    first = ordered.unique("unit", keep="first", maintain_order=True)
    because = pl.lit("owns most records of the unit: ") + c("records").cast(pl.String)
    return first.select("unit", "email", because=because, rule=pl.lit("majority_owner"), step=2)


def moves(made: Mapping[str, pl.DataFrame], links: pl.DataFrame) -> pl.DataFrame:
    """Accounts whose vendor-stated system changed: `old_system`, `reason`, `ref`. Nothing else may be restated."""
    own = ["ehr_vendor", "aco", "net_patient_revenue_cents", "medicare_days_bp", "medicaid_days_bp"]
    own += [f"{line}_share_bp" for line in LINES]
    firms = _topped(made["firms"]).select(
        "feed", "firm_id", "as_of", "root", c("root_name").alias("new"), REF.alias("ref"), *own
    )
    before = _topped(made["previous_firms"]).select(
        "feed", "firm_id", c("root").alias("was"), c("root_name").alias("old"), *(c(n).alias(f"was_{n}") for n in own)
    )
    both = firms.join(before, on=["feed", "firm_id"])
    restated = pl.any_horizontal((c(n) != c(f"was_{n}")).fill_null(value=False) for n in own)
    moved = c("root").is_not_null() & c("root").ne_missing(c("was"))
    changed = both.filter(moved | restated).with_columns(restated=restated).collect()
    if changed["restated"].any():
        raise ValueError("bench: a generated world restates nothing but systems; the script has no words for the rest")
    joined = c("was").is_null() | (c("was") == c("firm_id"))
    words = pl.when(joined).then(pl.format("Joined {}", "new"))
    words = words.otherwise(pl.format("Moved from {} to {}", "old", "new"))
    ids = links.filter(c("source") == FIRM).select(c("source_id").alias("firm_id"), "account_id")
    return changed.join(ids, on="firm_id").select(
        "account_id",
        pl.when(c("was") != c("firm_id")).then(c("old")).alias("old_system"),
        pl.format("Ownership change: {} (as of {})", words, "as_of").alias("reason"),
        "ref",
    )


def _topped(firms: pl.DataFrame) -> pl.LazyFrame:
    """Firms with `root` and `root_name`: the system of their own row, climbed by the systems' own rows to the top."""
    climbing = firms.lazy().with_columns(
        root=pl.coalesce("idn_parent_id", "idn_id"), root_name=pl.coalesce("idn_parent_name", "idn_name")
    )
    is_below = c("idn_id") != c("firm_id")
    up = pl.when(is_below).then(c("idn_id")).otherwise(c("idn_parent_id"))
    up_name = pl.when(is_below).then(c("idn_name")).otherwise(c("idn_parent_name"))
    above = firms.lazy().select("feed", c("firm_id").alias("root"), up=up, up_name=up_name)
    for _ in range(_LEVELS):
        climbing = (
            climbing.join(above, on=["feed", "root"], how="left")
            .with_columns(root=pl.coalesce("up", "root"), root_name=pl.coalesce("up_name", "root_name"))
            .drop("up", "up_name")
        )
    return climbing


_LEVELS = 4
"""Levels above a firm's own row that a generated world can have."""
