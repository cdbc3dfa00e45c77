"""Identity by hand in Polars: parties are rows of one table, so a pair is two row numbers and joins are gathers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import polars as pl
from rapidfuzz import fuzz

from bench.peers.rules import KEYS, KIND_WORDS, LEGAL, SAME, SIMILAR, SPECIALTY_WORDS, STREET_WORDS, WORDS, first_word

c = pl.col
FIRM, SALESFORCE, HUBSPOT = "definitive", "salesforce", "hubspot"
_PLAIN = ("state", "zip5", "phone", "domain", "ccn", "npi")
_COMPARED = ("name_key", "street_key", "city_key", *_PLAIN, "kind", "specialty")


def link(made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """LINKS of a world, and `party`, its row number."""
    parties = _parties(made)
    held = _held(parties)
    clusters = pl.DataFrame({"cluster": parties["party"], "how": pl.repeat("own", parties.height, eager=True)})
    clusters = clusters.with_columns(evidence=pl.lit(None, dtype=pl.String))
    for source, earlier in ((SALESFORCE, [FIRM]), (HUBSPOT, [FIRM, SALESFORCE])):
        chosen = _chosen(_pairs(parties, held, clusters, source, earlier))
        clusters = (
            clusters.with_row_index("party")
            .join(chosen, on="party", how="left", maintain_order="left")
            .select(
                cluster=pl.coalesce("cluster_right", "cluster"),
                how=pl.coalesce("how_right", "how"),
                evidence=pl.coalesce("evidence_right", "evidence"),
            )
        )
    return _named(parties, clusters)


def _key(column: str, words: Mapping[str, str]) -> pl.Expr:
    text = c(column).str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.replace_all("&", " and ", literal=True)
    text = text.str.replace_all("['’‘`´.]", "").str.to_lowercase().str.replace_all("[^a-z0-9]+", "  ")
    meant = {f" {word} ": f" {meaning} " for word, meaning in words.items()} | {f" {word} ": "" for word in LEGAL}
    padded = (pl.lit(" ") + text + pl.lit(" ")).str.replace_many(meant)
    return padded.str.replace_all(" +", " ").str.strip_chars()


def _parties(made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    columns = ("name", "street", "city", *_PLAIN)
    kind = pl.concat_str("firm_type", "hospital_type", separator=" ", ignore_nulls=True)
    firms = made["firms"].select(
        *(c("feed").alias("source"), c("firm_id").alias("source_id"), *columns),
        *(c("firm_id").alias("definitive_id"), kind.alias("type")),
    )
    live = made["records"].filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
    records = live.select(
        *(c("connection").alias("source"), c("record_id").alias("source_id"), *columns),
        *("definitive_id", c("account_type").alias("type")),
    )
    both = pl.concat([firms, records]).with_row_index("party")
    types = both["type"].unique().to_list()
    kinds = {one: first_word(one, KIND_WORDS) for one in types}
    specialties = {one: first_word(one, SPECIALTY_WORDS) for one in types}
    keyed = both.with_columns(
        name_key=_key("name", WORDS), street_key=_key("street", STREET_WORDS), city_key=_key("city", WORDS)
    ).with_columns(
        *(pl.when(c(name) != "").then(c(name)).alias(name) for name in ("name_key", "street_key", "city_key")),
        kind=c("type").replace_strict(kinds, return_dtype=pl.String),
        specialty=c("type").replace_strict(specialties, return_dtype=pl.String),
        npi=pl.when(c("npi").str.contains(r"^[12]\d{9}$")).then(c("npi")),
    )
    with_city = pl.concat_str("name_key", "city_key", "state", separator="|")
    with_zip = pl.concat_str("name_key", "zip5", separator="|")
    may_be_system = (c("kind") == "system") | (c("kind").is_null() & c("street").is_null() & c("zip5").is_null())
    return keyed.with_columns(
        name_zip=pl.when(c("zip5").is_not_null()).then(with_zip).otherwise(with_city),
        name_phone=pl.concat_str("name_key", "phone", separator="|"),
        system_place=pl.when(may_be_system).then(with_city),
    )


def _held(parties: pl.DataFrame) -> pl.DataFrame:
    """Key values in long form, strongest key first, with how many parties of the source hold each."""
    long = pl.concat(
        parties.lazy()
        .filter(c(key).is_not_null())
        .select("party", "source", c(key).alias("value"), pl.lit(priority, dtype=pl.UInt8).alias("priority"))
        for priority, key in enumerate(KEYS)
    )
    return long.with_columns(pl.len().over("source", "priority", "value").alias("holders")).collect()


def _pairs(
    parties: pl.DataFrame, held: pl.DataFrame, clusters: pl.DataFrame, source: str, earlier: list[str]
) -> pl.DataFrame:
    """Pairs of a party of the source and a member of a cluster that share a key only they hold, and agree."""
    theirs = held.filter(c("source").is_in(earlier)).select("party", "priority", "value")
    theirs = theirs.with_columns(cluster=clusters["cluster"].gather(theirs["party"]))
    mine = held.filter(c("source") == source, c("holders") == 1).select("party", "priority", "value")
    shared = mine.join(theirs, on=["priority", "value"], suffix="_other")
    lone = c("cluster").min().over("party", "priority") == c("cluster").max().over("party", "priority")
    pairs = shared.filter(lone)
    left = parties.select(_COMPARED)[pairs["party"]]
    right = parties.select(c(name).alias(f"{name}_other") for name in _COMPARED)[pairs["party_other"]]
    both = pl.concat([pairs, left, right], how="horizontal")
    differ = {name: (c(name) != c(f"{name}_other")).fill_null(value=False) for name in _COMPARED}
    both = both.filter(~differ["state"], ~differ["kind"])
    same = [(c(name) == c(f"{name}_other")).fill_null(value=False).alias(f"same_{name}") for name in _COMPARED]
    unlike = (differ["ccn"] & differ["npi"]) | differ["specialty"]
    bare = pl.all_horizontal(c(name).is_null() | c(f"{name}_other").is_null() for name in ("street_key", "phone"))
    described = both.select(
        *("party", "priority", "value", "cluster", *same),
        unlike.alias("unlike"),
        bare.alias("bare"),
        _similarity(both).alias("similarity"),
    )
    return described.filter(_is_enough())


def _similarity(both: pl.DataFrame) -> pl.Series:
    """100 where the names are equal; else the token-set ratio, for the few that are left."""
    alike = both.select((c("name_key") == c("name_key_other")).fill_null(value=False)).to_series()
    if alike.all():
        return pl.repeat(100, both.height, eager=True)
    pairs = zip(alike, both["name_key"], both["name_key_other"], strict=True)
    return pl.Series([100 if equal else int(fuzz.token_set_ratio(a or "", b or "")) for equal, a, b in pairs])


def _is_enough() -> pl.Expr:
    """Whether what agrees besides the key is enough to link by it."""
    name, place, phone, domain = (c("priority") == KEYS.index(key) for key in (
        "name_zip", "system_place", "name_phone", "domain"
    ))  # fmt: skip
    similar, here = c("similarity") >= SIMILAR, c("same_city_key") | c("same_zip5")
    near = c("same_street_key") | c("same_phone") | (c("similarity") >= SAME)
    sure = c("same_phone") | c("same_npi")
    numbers = c("same_npi") & c("same_ccn")
    agrees = similar | c("same_street_key") | c("same_phone") | c("same_domain") | numbers
    by_name = (place | (name & c("bare"))) & (sure | ~c("unlike"))
    by_domain = domain & c("bare") & similar & here & near & ~c("unlike")
    by_phone = phone & here & ~c("unlike")
    return by_name | by_domain | by_phone | (~name & ~place & ~phone & ~domain & agrees)


def _chosen(pairs: pl.DataFrame) -> pl.DataFrame:
    """`party`, `cluster`, `how`, `evidence`: at most one cluster per party and one party per cluster."""
    agreed = {
        "name": c("similarity") >= SIMILAR,
        "street": c("same_street_key"),
        "phone": c("same_phone"),
        "domain": c("same_domain"),
        "second number": c("same_npi") & c("same_ccn"),
    }
    words = [pl.when(holds).then(pl.lit(f",{word}")).otherwise(pl.lit("")) for word, holds in agreed.items()]
    best = pairs.with_columns(agrees=pl.concat_str(words).str.slice(1))
    best = best.group_by("party", "priority").agg(
        c("cluster").min(), c("value").min(), c("agrees").max(), c("similarity").max()
    )
    ordered = best.sort("priority", 100 - c("similarity"), "cluster", "party")
    once = ordered.unique("party", keep="first", maintain_order=True)
    once = once.unique("cluster", keep="first", maintain_order=True)
    how = c("priority").replace_strict(dict(enumerate(KEYS)), return_dtype=pl.String)
    told = pl.concat_str(
        *(pl.lit('{"key":"'), how, pl.lit('","value":"'), "value", pl.lit('","agrees":"'), "agrees", pl.lit('"}'))
    )
    return once.select("party", "cluster", how=how, evidence=told)


def _named(parties: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """LINKS: an account is called after its first CRM record, and after a firm only where it has none."""
    table = pl.concat([parties.select("party", "source", "source_id"), clusters], how="horizontal")
    rank = c("source").replace_strict({SALESFORCE: 0, HUBSPOT: 1}, default=2, return_dtype=pl.UInt8)
    firsts = table.with_columns(rank=rank).sort("rank", "source_id").unique("cluster", keep="first")
    ids = [
        hashlib.sha256(f"{source}|{source_id}".encode()).hexdigest()[:16]
        for source, source_id in zip(firsts["source"], firsts["source_id"], strict=True)
    ]
    named = pl.DataFrame({"cluster": firsts["cluster"], "account_id": ids})
    return table.join(named, on="cluster", how="left", maintain_order="left").select(
        "party", "source", "source_id", "account_id", "how", "evidence"
    )
