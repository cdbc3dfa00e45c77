"""Links by keys: which CRM records and vendor firms are one organisation.

A key links two parties only when its value is held once on either side, something else agrees too, and nothing says
that they are two kinds of organisation. One organisation has at most one firm of a feed and one record of a connection
by keys; what earlier runs linked stays linked. An ambiguous key never links.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import narwhals as nw
import pyarrow as pa
from rapidfuzz import fuzz

from mappings.policy import IdentityPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, lowest_by, null, stack, text
from sync.identity.parties import FEED_RANK, HUBSPOT_RANK, OTHER_RANK, SALESFORCE_RANK, make_parties
from sync.identity.sticky import MERGED, RENUMBERED, Decided, decided, succeeded
from sync.world import INT, LINKS, TEXT, World

SIMILAR_NAME = 80
"""Lowest token-set ratio (0 to 100) at which two names corroborate an equal key."""

SAME_NAME = 95
"""Lowest token-set ratio at which a shared web domain needs no further support than the place."""

_COMPARED = (
    *("name_key", "former_key", "street_key", "city_key", "state", "zip5", "phone", "domain", "kind_group"),
    *("specialty", "npi", "ccn", "wrong_class"),
)
_PAIR = ("party", "code", "priority", "home")
"""A free party, the number and the strength of the key value, and the cluster by its lowest member."""

_COUPLE = ["party", "party__other"]
_NAMES = ("name_key", "former_key")
_BOTH_NAMES = (*_NAMES, *(f"{name}__other" for name in _NAMES))
_SAME = ("name_key", "street_key", "phone", "domain", "city_key", "zip5", "npi", "ccn", "kind_group")
_TRAITS = (*(f"same_{name}" for name in _SAME), "doubtful", "unlike", "bare")
_COMPARED_NAMES = pa.schema([*((name, pa.int64()) for name in (*_COUPLE, "similarity"))])
_MADE = pa.schema([("cluster", pa.string()), ("made_id", pa.string())])
_RANKS = (FEED_RANK, SALESFORCE_RANK, HUBSPOT_RANK, OTHER_RANK)
_FEEDS_LAST = 99  # an account is called after its first CRM record, and after a firm only where it has none
_ROUNDS = 2  # of mutual best; what two rounds leave over contradicts itself and stays unlinked


def link(world: World, policy: IdentityPolicy, engine: Engine) -> Frame:
    """LINKS of a world by keys alone: one row per live CRM record and per firm."""
    clusters = link_by_keys(world, make_parties(world, engine), policy.keys, engine)
    return engine.materialize(name_accounts(clusters, engine))


def link_by_keys(world: World, parties: Frame, keys: tuple[str, ...], engine: Engine) -> Frame:
    """CLUSTERS of a world: what persons decided, then what earlier runs linked, then what keys link."""
    said = decided(world, engine)
    clusters = said.applied(engine.materialize(_start(parties, succeeded(world, engine))), engine)
    matcher = _Matcher(
        parties=parties,
        origins=engine.materialize(parties.select("party", nw.col("party").min().over("source").alias("origin"))),
        held=engine.materialize(_held_values(parties, keys)),
        keys=keys,
        engine=engine,
    )
    for rank in _RANKS:
        clusters = _link_source(clusters, matcher, rank, said)
    return clusters


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matcher:
    """The parties and the key values they hold. All that is joined here is joined by whole numbers."""

    parties: Frame  # PARTY
    origins: Frame  # party, origin: a number that the parties of a source have in common
    held: Frame  # party, code, priority, holders
    keys: tuple[str, ...]
    engine: Engine

    def is_key(self, name: str) -> nw.Expr:
        """Whether a pair shares that key."""
        return nw.col("priority") == (self.keys.index(name) if name in self.keys else -1)


def _start(parties: Frame, crosswalk: Frame) -> Frame:
    """Parties with the cluster they start in: the account of the crosswalk where it links several, else their own."""
    known = crosswalk.select(
        "source",
        "source_id",
        nw.col("account_id").alias("known_account"),
        cases([(nw.col("how") == how, how) for how in (MERGED, RENUMBERED)], "crosswalk").alias("known_how"),
    )
    own = nw.concat_str([nw.lit("own"), nw.col("source"), nw.col("source_id")], separator="|")
    kept = nw.concat_str([nw.lit("kept"), nw.col("known_account")], separator="|")
    shared = known.join(parties.select("source", "source_id"), on=["source", "source_id"], how="semi")
    shared = shared.group_by("known_account").agg(nw.len().alias("members"))
    is_kept = (nw.col("members") > 1).fill_null(value=False)
    return (
        parties.select("party", "source", "source_id", "rank")
        .join(known, on=["source", "source_id"], how="left")
        .join(shared, on="known_account", how="left")
        .with_columns(
            is_kept.alias("is_kept"),
            nw.when(is_kept).then(kept).otherwise(own).alias("cluster"),
            nw.when(is_kept).then(nw.col("known_how")).otherwise(nw.lit("own")).alias("how"),
            nw.when(is_kept).then(nw.lit('{"key":"crosswalk"}')).alias("evidence"),
        )
        .drop("members", "known_how")
    )


def _held_values(parties: Frame, keys: tuple[str, ...]) -> Frame:
    """Key values in long form, strongest key first (`priority` 0), with how many parties of a source hold each.

    `code` is a number that key and value have in common wherever they come: two texts are slow to join by.
    """
    columns = ("party", nw.col("party").min().over("source").alias("origin"))
    numbered = parties.select(*columns, *keys)
    parts = [
        numbered.filter(~nw.col(key).is_null())
        .with_columns(first=nw.col("party").min().over(key))
        .select(
            *("party", "origin"),
            (nw.col("first") * len(keys) + index).alias("code"),
            nw.lit(index).cast(nw.Int64()).alias("priority"),
        )
        for index, key in enumerate(keys)
    ]
    coded = nw.concat(parts, how="vertical").with_columns(nw.len().over("origin", "code").alias("holders"))
    return coded.select("party", "code", "priority", "holders")


def _link_source(clusters: Frame, matcher: _Matcher, rank: int, said: Decided) -> Frame:
    """The clusters after the free parties of one source joined those that have no member of it yet."""
    engine = matcher.engine
    free = clusters.filter(nw.col("rank") == rank, ~nw.col("is_kept")).select("party")
    if not engine.count(free.head(1)):
        return clusters
    targets = clusters.filter((nw.col("rank") < rank) | nw.col("is_kept"))
    if not engine.count(targets.head(1)):
        return clusters
    taken = clusters.filter(nw.col("rank") == rank, nw.col("is_kept")).select("cluster").unique()
    open_ones = targets.join(taken, on="cluster", how="anti")
    homes = open_ones.select("party", "cluster", nw.col("party").min().over("cluster").alias("home"))
    homes = engine.materialize(homes)
    pairs = engine.materialize(_candidates(free, homes.select("party", "home"), matcher.held))
    pairs = engine.materialize(_corroborated(pairs, matcher))
    barred = said.barred(clusters, engine)
    if barred is not None:
        pairs = pairs.join(_barred(barred, homes, matcher.parties), on=["party", "home"], how="anti")
    chosen = _with_evidence(_one_to_one(pairs, matcher), pairs, homes, matcher)
    renamed = {name: f"{name}__new" for name in ("cluster", "how", "evidence")}
    joined = clusters.join(chosen.rename(renamed), on="party", how="left")
    renewed = [nw.coalesce(new, old).alias(old) for old, new in renamed.items()]
    return engine.materialize(joined.with_columns(*renewed).drop(*renamed.values()))


def _barred(barred: Frame, homes: Frame, parties: Frame) -> Frame:
    """`party`, `home` that persons keep apart."""
    named = barred.join(parties.select("party", "source", "source_id"), on=["source", "source_id"], how="inner")
    return named.join(homes.select("cluster", "home").unique(), on="cluster", how="inner").select("party", "home")


def _candidates(free: Frame, homes: Frame, held: Frame) -> Frame:
    """Pairs of a free party and a cluster that share a key value which only they hold, one row per cluster member."""
    mine = held.filter(nw.col("holders") == 1).join(free, on="party", how="semi")
    shared = held.select("party", "code").join(mine.select("code"), on="code", how="semi")
    on_target = shared.join(homes, on="party", how="inner")
    clusters = on_target.group_by("code").agg(
        nw.col("home").min().alias("lowest"), nw.col("home").max().alias("highest")
    )
    once = clusters.filter(nw.col("lowest") == nw.col("highest")).select("code")
    members = on_target.join(once, on="code", how="semi").rename({"party": "party__other"})
    return mine.join(members, on="code", how="inner").select(*_PAIR, "party__other")


def _corroborated(pairs: Frame, matcher: _Matcher) -> Frame:
    """_PAIR, `similarity` and `agrees` of the pairs that something besides the key supports and nothing contradicts."""
    compared = _compared(matcher.engine.materialize(pairs.select(*_COUPLE).unique()), matcher)
    supported = pairs.join(compared, on=_COUPLE, how="inner").filter(_is_enough(matcher))
    return supported.select(*_PAIR, "similarity", _support().alias("agrees"))


def _compared(couples: Frame, matcher: _Matcher) -> Frame:
    """Couples that do not contradict each other, with what they have in common; each is compared once for all keys."""
    engine = matcher.engine
    here = matcher.parties.select("party", *_COMPARED)
    there = here.rename({name: f"{name}__other" for name in ("party", *_COMPARED)})
    both = couples.join(here, on="party", how="inner").join(there, on="party__other", how="inner")
    both = both.filter(~_differ("state"), ~_differ("kind_group"))
    described = both.select(
        *_COUPLE,
        *(_agreement(name).alias(f"same_{name}") for name in _SAME),
        (nw.col("wrong_class") | nw.col("wrong_class__other")).alias("doubtful"),
        ((_differ("ccn") & _differ("npi")) | _differ("specialty")).alias("unlike"),
        (_unknown("street_key") & _unknown("phone")).alias("bare"),
    )
    described = engine.materialize(described)
    equal = described.filter(nw.col("same_name_key")).with_columns(similarity=nw.lit(100).cast(INT))
    unequal = described.filter(~nw.col("same_name_key"))
    names = here.select("party", *_NAMES)
    named = (
        unequal.select(*_COUPLE)
        .join(names, on="party", how="inner")
        .join(names.rename({name: f"{name}__other" for name in ("party", *_NAMES)}), on="party__other", how="inner")
    )
    alike = engine.map_batches(named, compare_names, _COMPARED_NAMES)
    others = unequal.join(alike, on=_COUPLE, how="inner")
    columns = (*_COUPLE, *_TRAITS, "similarity")
    return stack([equal.select(*columns), others.select(*columns)])


def _agreement(name: str) -> nw.Expr:
    """True where both sides have the value and it is the same, false otherwise."""
    return (nw.col(name) == nw.col(f"{name}__other")).fill_null(value=False)


def _differ(name: str) -> nw.Expr:
    """True where both sides have a value and they contradict each other; an unknown side contradicts nothing."""
    return (nw.col(name) != nw.col(f"{name}__other")).fill_null(value=False)


def _unknown(name: str) -> nw.Expr:
    """True where a side lacks the value, so that the two cannot be compared by it."""
    return nw.col(name).is_null() | nw.col(f"{name}__other").is_null()


def compare_names(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Couples with the best token-set ratio, 0 to 100, between any name of one side and any name of the other."""
    names = zip(*(batch.column(name).to_pylist() for name in _BOTH_NAMES), strict=True)
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["similarity"] = pa.array([_similarity(*row) for row in names], pa.int64())
    made = [columns[field.name].cast(field.type) for field in _COMPARED_NAMES]
    return pa.RecordBatch.from_arrays(made, schema=_COMPARED_NAMES)


def _similarity(name: str | None, former: str | None, other: str | None, other_former: str | None) -> int:
    pairs = [(a, b) for a in (name, former) if a for b in (other, other_former) if b]
    return int(max((fuzz.token_set_ratio(a, b) for a, b in pairs), default=0))


def _is_enough(matcher: _Matcher) -> nw.Expr:
    """Whether a pair may be linked by its key.

    An identifier needs one more agreement. A domain needs the place and a name that is similar or, with the same street
    or phone, likely. A name with its place needs no more, unless a number of the wrong class or another specialty makes
    it doubtful: then the phone or the NPI must agree. Name with ZIP code, and domain, decide only where neither street
    nor phone can be compared: where they can, the model weighs them, since units share their hospital's name. Name and
    phone together need the place, and nothing that speaks against it.
    """
    similar = nw.col("similarity") >= SIMILAR_NAME
    here = nw.col("same_city_key") | nw.col("same_zip5")
    near = nw.col("same_street_key") | nw.col("same_phone") | (nw.col("similarity") >= SAME_NAME)
    sure = nw.col("same_phone") | nw.col("same_npi")
    weak = nw.col("unlike") | (nw.col("doubtful") & ~nw.col("same_kind_group"))
    both_numbers = nw.col("same_npi") & nw.col("same_ccn")
    agrees = similar | nw.col("same_street_key") | nw.col("same_phone") | nw.col("same_domain") | both_numbers
    bare, is_place, is_domain = nw.col("bare"), matcher.is_key("system_place"), matcher.is_key("domain")
    is_name = is_place | matcher.is_key("name_zip")
    by_name = is_name & (is_place | bare) & (sure | ~weak)
    by_domain = is_domain & bare & similar & here & near & ~nw.col("unlike")
    is_contact = matcher.is_key("name_phone")
    by_contact = is_contact & here & ~nw.col("unlike") & (~nw.col("doubtful") | nw.col("same_kind_group"))
    return by_name | by_domain | by_contact | (~is_name & ~is_domain & ~is_contact & agrees)


def _support() -> nw.Expr:
    """What agrees besides the key, as words."""
    words = [
        (nw.col("similarity") >= SIMILAR_NAME, "name"),
        (nw.col("same_street_key"), "street"),
        (nw.col("same_phone"), "phone"),
        (nw.col("same_domain"), "domain"),
        (nw.col("same_npi") & nw.col("same_ccn"), "second number"),
    ]
    pieces = [nw.when(condition).then(nw.lit(f",{word}")) for condition, word in words]
    return text(*pieces).str.slice(1)


def _one_to_one(pairs: Frame, matcher: _Matcher) -> Frame:
    """_PAIR: per source at most one cluster per party and one party per cluster, by rounds of mutual best.

    Best is the strongest key, then the most similar name. A party holds a key once, so its own pairs are never alike;
    of two parties that a cluster likes as much the one with the lower id in its source comes first.
    """
    engine = matcher.engine
    best = pairs.group_by("party", "code", "priority", "home").agg(nw.col("similarity").max())
    order = (nw.col("priority") * 1000 + 100 - nw.col("similarity")).alias("order")
    rest = engine.materialize(best.with_columns(order).join(matcher.origins, on="party", how="inner"))
    rounds = []
    for _ in range(_ROUNDS):
        mine = lowest_by(rest, ["party"], "order")
        theirs = _first_of_cluster(lowest_by(rest, ["origin", "home"], "order"), matcher)
        pair = ["party", "home"]
        chosen = engine.materialize(mine.join(theirs.select(*pair), on=pair, how="semi"))
        rounds.append(chosen.select(*_PAIR))
        rest = rest.join(chosen.select("party"), on="party", how="anti")
        rest = engine.materialize(rest.join(chosen.select("origin", "home"), on=["origin", "home"], how="anti"))
        if not engine.count(rest.head(1)):
            break
    return stack(rounds)


def _first_of_cluster(liked: Frame, matcher: _Matcher) -> Frame:
    """Of several parties of a source that a cluster likes best, the one with the lowest id there."""
    keys = ["origin", "home"]
    counted = matcher.engine.materialize(liked.with_columns(rivals=nw.len().over(*keys)))
    tied = counted.filter(nw.col("rivals") > 1)
    if not matcher.engine.count(tied.head(1)):
        return counted
    named = tied.join(matcher.parties.select("party", "source_id"), on="party", how="inner")
    return stack([counted.filter(nw.col("rivals") == 1), lowest_by(named, keys, "source_id").drop("source_id")])


def _with_evidence(chosen: Frame, pairs: Frame, homes: Frame, matcher: _Matcher) -> Frame:
    """`party`, `cluster`, `how`, `evidence` of what was chosen."""
    agreed = pairs.join(chosen.select("party", "code"), on=["party", "code"], how="semi")
    agreed = agreed.group_by("party", "code").agg(nw.col("agrees").max())
    names = homes.filter(nw.col("party") == nw.col("home")).select("home", "cluster")
    held = matcher.parties.select("party", *matcher.keys)
    table = (
        chosen.join(agreed, on=["party", "code"], how="inner")
        .join(names, on="home", how="inner")
        .join(held, on="party", how="inner")
    )
    keys = list(enumerate(matcher.keys))
    key = cases([(nw.col("priority") == place, name) for place, name in keys], null(TEXT))
    value = cases([(nw.col("priority") == place, nw.col(name)) for place, name in keys], null(TEXT))
    evidence = text('{"key":"', key, '","value":"', value, '","agrees":"', nw.col("agrees"), '"}')
    return table.select("party", "cluster", key.alias("how"), evidence.alias("evidence"))


def name_accounts(clusters: Frame, engine: Engine) -> Frame:
    """LINKS with the account of each cluster: the crosswalk's where a member has one, else made of its first member."""
    own_rank = nw.when(nw.col("rank") == FEED_RANK).then(nw.lit(_FEEDS_LAST)).otherwise(nw.col("rank"))
    ranked = clusters.with_columns(
        order=text(own_rank.cast(INT).cast(TEXT), "|", nw.col("source"), "|", nw.col("source_id"))
    )
    known = lowest_by(ranked.filter(~nw.col("known_account").is_null()), ["cluster"], "order")
    firsts = lowest_by(ranked, ["cluster"], "order").select("source", "source_id", "cluster")
    made = engine.map_batches(firsts, make_account_ids, _MADE)
    return (
        ranked.join(known.select("cluster", nw.col("known_account").alias("kept_id")), on="cluster", how="left")
        .join(made, on="cluster", how="left")
        .with_columns(nw.coalesce("kept_id", "made_id").alias("account_id"))
        .select(*LINKS)
    )


def make_account_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Account ids of clusters, from the source key of their first member."""
    sources, ids = batch.column("source").to_pylist(), batch.column("source_id").to_pylist()
    made = [account_id(source, source_id) for source, source_id in zip(sources, ids, strict=True)]
    columns = [batch.column("cluster").cast(pa.string()), pa.array(made, pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=_MADE)


def account_id(source: str, source_id: str) -> str:
    """The id of an account first seen as this source's record: 16 hexadecimal digits."""
    return hashlib.sha256(f"{source}|{source_id}".encode()).hexdigest()[:16]
