"""Links by keys: which CRM records and vendor firms are one organisation.

A key links two parties only when its value is held once on either side, something else agrees too, and nothing says
that they are two kinds of organisation. One organisation has at most one firm of a feed and one record of a connection
by keys; what earlier runs linked stays linked. An ambiguous key never links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, product
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc
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
_NAMED = ("source", "source_id")
_COUPLE = ["party", "party__other"]
_NAMES = ("name_key", "former_key")
_BOTH_NAMES = (*_NAMES, *(f"{name}__other" for name in _NAMES))
_SAME = ("name_key", "street_key", "phone", "domain", "city_key", "zip5", "npi", "ccn", "kind_group")
_TRAITS = ("same_street_key", "same_phone", "same_domain", "same_numbers", "sound", "by_domain", "by_contact", "bare")
_COMPARED_NAMES = pa.schema([*((name, pa.int64()) for name in (*_COUPLE, "similarity"))])
_MADE = pa.schema([("cluster", pa.int64()), ("made_id", pa.string())])
_RANKS = (FEED_RANK, SALESFORCE_RANK, HUBSPOT_RANK, OTHER_RANK)
_FEEDS_LAST = 99  # an account is called after its first CRM record, and after a firm only where it has none
_ROUNDS = 2  # of mutual best; what two rounds leave over contradicts itself and stays unlinked
_AGREEING = ("name", "street", "phone", "domain", "second number")
_TOGETHER = [",".join(compress(_AGREEING, bits)) for bits in product((0, 1), repeat=len(_AGREEING))]
_SUPPORT = sorted(_TOGETHER)  # what may agree besides the key; its place here is what pairs carry, "" being 0


def link(world: World, policy: IdentityPolicy, engine: Engine) -> Frame:
    """LINKS of a world by keys alone: one row per live CRM record and per firm."""
    clusters = link_by_keys(world, make_parties(world, engine), policy.keys, engine)
    return engine.materialize(name_accounts(clusters, engine))


def link_by_keys(world: World, parties: Frame, keys: tuple[str, ...], engine: Engine) -> Frame:
    """CLUSTERS of a world: what persons decided, then what earlier runs linked, then what keys link."""
    said = decided(world, engine)
    clusters = said.applied(engine.materialize(_start(parties, succeeded(world, engine))), engine)
    there = list(engine.rows(clusters.select("source", "rank", "is_kept").unique()))
    turns = [rank for rank in _RANKS if _has_turn(rank, there)]
    if not turns:
        return clusters
    sources = sorted({row["source"] for row in there})
    ranks = [frozenset(row["rank"] for row in there if row["source"] == source) for source in sources]
    matcher = _Matcher(
        parties=parties,
        held=engine.materialize(_held_values(parties, keys, sources)),
        ranks=tuple(ranks),
        is_plain=not any(row["is_kept"] for row in there) and all(len(of_source) == 1 for of_source in ranks),
        keys=keys,
        engine=engine,
    )
    shared = engine.materialize(stack([_shared(clusters, matcher, rank) for rank in turns]))
    compared = _compared(shared.select(*_COUPLE).unique(), matcher)
    chosen: list[Frame] = []
    for rank in turns:
        now = _moved(clusters, chosen)
        pairs = _candidates(shared.filter(nw.col("turn") == rank), _homes(now, matcher, rank))
        chosen += _one_to_one(_allowed(_corroborated(pairs, compared, matcher), now, said, matcher), matcher)
    return engine.materialize(_with_evidence(clusters, stack(chosen), matcher))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matcher:
    """The parties and the key values they hold. All that is joined here is joined by whole numbers."""

    parties: Frame  # PARTY
    held: Frame  # party, origin, code
    ranks: tuple[frozenset[int], ...]  # of each origin, which is the number of a source
    is_plain: bool  # nobody linked anything before, and no source has both firms and records: a rank tells who is free
    keys: tuple[str, ...]
    engine: Engine

    def is_of(self, *ranks: int) -> nw.Expr:
        """Whether a key value is held in a source of these ranks."""
        return nw.col("origin").is_in([origin for origin, own in enumerate(self.ranks) if not own.isdisjoint(ranks)])


def _has_turn(rank: int, there: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there are free parties of a rank, and clusters that they may join."""
    is_free = any(row["rank"] == rank and not row["is_kept"] for row in there)
    return is_free and any(row["rank"] < rank or row["is_kept"] for row in there)


def _start(parties: Frame, crosswalk: Frame) -> Frame:
    """Parties with the cluster they start in: the account of the crosswalk where it links several, else their own.

    A cluster is a number: of the party itself, or below zero where an earlier run linked its members.
    """
    key = ["source", "source_id"]
    named = parties.select("party", *key, "rank")
    known = crosswalk.select(
        *key,
        nw.col("account_id").alias("known_account"),
        cases([(nw.col("how") == how, how) for how in (MERGED, RENUMBERED)], "crosswalk").alias("known_how"),
    )
    held = known.join(named, on=key, how="inner").group_by("known_account")
    shared = held.agg(nw.len().alias("members"), nw.col("party").min().alias("first"))
    shared = shared.filter(nw.col("members") > 1).select("known_account", (-1 - nw.col("first")).alias("kept"))
    is_kept = nw.col("is_kept")
    return (
        named.join(known, on=key, how="left")
        .join(shared, on="known_account", how="left")
        .with_columns((~nw.col("kept").is_null()).alias("is_kept"), nw.coalesce("kept", "party").alias("cluster"))
        .with_columns(
            nw.when(is_kept).then(nw.col("known_how")).otherwise(nw.lit("own")).alias("how"),
            nw.when(is_kept).then(nw.lit('{"key":"crosswalk"}')).alias("evidence"),
        )
        .drop("kept", "known_how")
    )


def _held_values(parties: Frame, keys: tuple[str, ...], sources: Sequence[str]) -> Frame:
    """Key values in long form: who holds one, the number of the source it is from (`origin`), and the value (`code`).

    A code is a number that key and value have in common wherever they come: two texts are slow to join by. Divided by
    the number of keys it leaves the priority of the key: 0 is the strongest.
    """
    origin = nw.col("source").replace_strict(sources, range(len(sources)), default=None, return_dtype=INT)
    numbered = parties.select("party", origin.alias("origin"), *keys)
    parts = [
        numbered.drop_nulls(key).select(
            "party", "origin", (nw.col("party").min().over(key) * len(keys) + priority).alias("code")
        )
        for priority, key in enumerate(keys)
    ]
    return stack(parts)


def _shared(clusters: Frame, matcher: _Matcher, rank: int) -> Frame:
    """`party`, `origin`, `code`, `party__other`: who else holds what a free party alone holds in its source.

    `turn` is the rank, whose turn it is then to be linked.
    """
    held = matcher.held
    mine = held.filter(matcher.is_of(rank)).with_columns(holders=nw.len().over("origin", "code"))
    mine = mine.filter(nw.col("holders") == 1).select("party", "origin", "code", nw.lit(rank).alias("turn"))
    if matcher.is_plain:
        held = held.filter(matcher.is_of(*range(rank)))
    else:
        free = clusters.filter(nw.col("rank") == rank, ~nw.col("is_kept")).select("party")
        mine = mine.join(free, on="party", how="semi")
    return mine.join(held.select("code", nw.col("party").alias("party__other")), on="code", how="inner")


def _homes(clusters: Frame, matcher: _Matcher, rank: int) -> Frame:
    """`party__other`, `cluster`: members of the clusters that parties of a rank may join, having none of it yet."""
    homes = clusters.filter((nw.col("rank") < rank) | nw.col("is_kept"))
    if not matcher.is_plain:
        taken = clusters.filter(nw.col("rank") == rank, nw.col("is_kept")).select("cluster").unique()
        homes = homes.join(taken, on="cluster", how="anti")
    return homes.select(nw.col("party").alias("party__other"), "cluster")


def _allowed(fit: Frame, clusters: Frame, said: Decided, matcher: _Matcher) -> Frame:
    """Without the pairs that persons keep apart."""
    barred = said.barred(clusters, matcher.engine)
    if barred is None:
        return fit
    named = barred.join(matcher.parties.select("party", *_NAMED), on=[*_NAMED], how="inner")
    return fit.join(named.select("party", "cluster"), on=["party", "cluster"], how="anti")


def _moved(clusters: Frame, chosen: Sequence[Frame]) -> Frame:
    """The clusters after parties joined those that were chosen for them."""
    if not chosen:
        return clusters
    moves = stack([frame.select("party", nw.col("cluster").alias("to_cluster")) for frame in chosen])
    moved = clusters.join(moves, on="party", how="left")
    return moved.with_columns(nw.coalesce("to_cluster", "cluster").alias("cluster")).drop("to_cluster")


def _candidates(shared: Frame, homes: Frame) -> Frame:
    """What a free party shares with the members of one cluster only, one row per member."""
    looked = shared.join(homes, on="party__other", how="inner").with_columns(
        lowest=nw.col("cluster").min().over("code"), highest=nw.col("cluster").max().over("code")
    )
    return looked.filter(nw.col("lowest") == nw.col("highest")).drop("lowest", "highest")


def _corroborated(pairs: Frame, compared: Frame, matcher: _Matcher) -> Frame:
    """Pairs of a party and a cluster by key that something besides the key supports and nothing contradicts.

    `order` is what is best first: the strongest key, then the most similar name.
    """
    both = pairs.join(compared, on=_COUPLE, how="inner").with_columns(priority=nw.col("code") % len(matcher.keys))
    best = (
        both.filter(_is_enough(matcher.keys))
        .group_by("party", "origin", "code", "priority", "cluster")
        .agg(nw.col("similarity").max(), nw.col("agrees").max())
    )
    return best.with_columns((nw.col("priority") * 1000 + 100 - nw.col("similarity")).alias("order"))


def _compared(couples: Frame, matcher: _Matcher) -> Frame:
    """Couples that do not contradict each other, and what they would be enough for; compared once for all keys.

    A domain needs the place and a name that is similar or, with the same street or phone, likely. A name with its place
    needs no more, unless a number of the wrong class or another specialty makes it doubtful: then the phone or the NPI
    must agree. Name and phone together need the place, and nothing that speaks against it.
    """
    engine = matcher.engine
    described = engine.materialize(_described(couples, matcher.parties))
    equal = described.filter(nw.col("same_name_key")).with_columns(similarity=nw.lit(100).cast(INT))
    unequal = described.filter(~nw.col("same_name_key"))
    names = matcher.parties.select("party", *_NAMES)
    named = (
        unequal.select(*_COUPLE)
        .join(names, on="party", how="inner")
        .join(names.rename({name: f"{name}__other" for name in ("party", *_NAMES)}), on="party__other", how="inner")
    )
    alike = engine.map_batches(named, compare_names, _COMPARED_NAMES)
    columns = (*_COUPLE, *_TRAITS, "similarity")
    both = stack([equal.select(*columns), unequal.join(alike, on=_COUPLE, how="inner").select(*columns)])
    similar = nw.col("similarity") >= SIMILAR_NAME
    near = nw.col("same_street_key") | nw.col("same_phone") | (nw.col("similarity") >= SAME_NAME)
    return both.select(
        *(*_COUPLE, "similarity", "sound", "by_contact"),
        _support(similar).alias("agrees"),
        (nw.col("sound") & nw.col("bare")).alias("by_name"),
        (nw.col("by_domain") & similar & near).alias("by_domain"),
    )


def _described(couples: Frame, parties: Frame) -> Frame:
    """Couples of one state and kind, and what they have in common besides the similarity of their names."""
    here = parties.select("party", *_COMPARED)
    there = here.rename({name: f"{name}__other" for name in ("party", *_COMPARED)})
    both = couples.join(here, on="party", how="inner").join(there, on="party__other", how="inner")
    both = both.filter(~_differ("state"), ~_differ("kind_group"))
    wrong = nw.col("wrong_class") | nw.col("wrong_class__other")
    same = both.select(
        *_COUPLE,
        *(_agreement(name).alias(f"same_{name}") for name in _SAME),
        wrong.alias("wrong"),
        ((_differ("ccn") & _differ("npi")) | _differ("specialty")).alias("unlike"),
        (_unknown("street_key") & _unknown("phone")).alias("bare"),
    ).with_columns(
        (nw.col("unlike") | (nw.col("wrong") & ~nw.col("same_kind_group"))).alias("weak"),
        (nw.col("same_city_key") | nw.col("same_zip5")).alias("same_place"),
    )
    return same.select(
        *(*_COUPLE, "same_name_key", "same_street_key", "same_phone", "same_domain", "bare"),
        (nw.col("same_npi") & nw.col("same_ccn")).alias("same_numbers"),
        (nw.col("same_phone") | nw.col("same_npi") | ~nw.col("weak")).alias("sound"),
        (nw.col("bare") & nw.col("same_place") & ~nw.col("unlike")).alias("by_domain"),
        (nw.col("same_place") & ~nw.col("weak")).alias("by_contact"),
    )


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


def _is_enough(keys: tuple[str, ...]) -> nw.Expr:
    """Whether a pair may be linked by its key. An identifier needs one more agreement.

    Name with ZIP code, and domain, decide only where neither street nor phone can be compared: where they can, the
    model weighs them, since units share their hospital's name.
    """
    needs = {"system_place": "sound", "name_zip": "by_name", "domain": "by_domain", "name_phone": "by_contact"}
    numbers = [priority for priority, key in enumerate(keys) if key not in needs]
    enough = nw.col("priority").is_in(numbers) & (nw.col("agrees") > 0)
    for priority, key in enumerate(keys):
        if key in needs:
            enough = enough | ((nw.col("priority") == priority) & nw.col(needs[key]))
    return enough


def _support(similar: nw.Expr) -> nw.Expr:
    """What agrees besides the key, as the place in _SUPPORT."""
    agreeing = (similar, *(nw.col(f"same_{name}") for name in ("street_key", "phone", "domain", "numbers")))
    bits = [holds.cast(INT) * 2 ** (len(agreeing) - 1 - at) for at, holds in enumerate(agreeing)]
    places = [_SUPPORT.index(words) for words in _TOGETHER]
    return nw.sum_horizontal(*bits).replace_strict(range(len(places)), places, default=None, return_dtype=INT)


def _one_to_one(fit: Frame, matcher: _Matcher) -> list[Frame]:
    """Per source at most one cluster per party and one party per cluster, by rounds of mutual best.

    A party holds a key once, so its own pairs are never alike; of two parties that a cluster likes as much the one with
    the lower id in its source comes first.
    """
    engine = matcher.engine
    rest, rounds = engine.materialize(fit), []
    for _ in range(_ROUNDS):
        liked = rest.with_columns(
            mine=nw.col("order").min().over("party"), theirs=nw.col("order").min().over("origin", "cluster")
        ).filter(nw.col("order") == nw.col("theirs"))
        mutual = _first_of_cluster(liked, matcher.parties).filter(nw.col("order") == nw.col("mine"))
        rounds.append(engine.materialize(mutual.select("party", "origin", "cluster", "priority", "agrees")))
        rest = rest.join(rounds[-1].select("party"), on="party", how="anti")
        rest = rest.join(rounds[-1].select("origin", "cluster"), on=["origin", "cluster"], how="anti")
        if not engine.count(rest.head(1)):
            break
    return rounds


def _first_of_cluster(liked: Frame, parties: Frame) -> Frame:
    """Of several parties of a source that a cluster likes best, the one with the lowest id there."""
    keys = ["origin", "cluster"]
    counted = liked.with_columns(rivals=nw.len().over(*keys))
    named = counted.filter(nw.col("rivals") > 1).join(parties.select("party", "source_id"), on="party", how="inner")
    return stack([counted.filter(nw.col("rivals") == 1), lowest_by(named, keys, "source_id").drop("source_id")])


def _with_evidence(clusters: Frame, chosen: Frame, matcher: _Matcher) -> Frame:
    """The clusters after parties joined those that were chosen for them, and by which key."""
    keys = matcher.keys
    held = chosen.join(matcher.parties.select("party", *keys), on="party", how="inner")
    key = nw.col("priority").replace_strict(range(len(keys)), keys, default=None, return_dtype=TEXT)
    value = cases([(nw.col("priority") == place, nw.col(name)) for place, name in enumerate(keys)], null(TEXT))
    words = nw.col("agrees").replace_strict(range(len(_SUPPORT)), _SUPPORT, default=None, return_dtype=TEXT)
    told = held.select(
        "party",
        nw.col("cluster").alias("cluster__new"),
        key.alias("how__new"),
        text('{"key":"', key, '","value":"', value, '","agrees":"', words, '"}').alias("evidence__new"),
    )
    renamed = {name: f"{name}__new" for name in ("cluster", "how", "evidence")}
    joined = clusters.join(told, on="party", how="left")
    return joined.with_columns(*(nw.coalesce(new, old).alias(old) for old, new in renamed.items())).drop(
        *renamed.values()
    )


def name_accounts(clusters: Frame, engine: Engine) -> Frame:
    """LINKS with the account of each cluster: the crosswalk's where a member has one, else made of its first member."""
    own_rank = nw.when(nw.col("rank") == FEED_RANK).then(nw.lit(_FEEDS_LAST)).otherwise(nw.col("rank"))
    ranked = clusters.select("cluster", *_NAMED, "known_account", own_rank.alias("order"))
    known = _firsts(ranked.filter(~nw.col("known_account").is_null()))
    known = known.select("cluster", nw.col("known_account").alias("kept_id"))
    firsts = _firsts(ranked.join(known, on="cluster", how="anti")).select("cluster", *_NAMED)
    made = engine.map_batches(firsts, make_account_ids, _MADE)
    return (
        clusters.join(known, on="cluster", how="left")
        .join(made, on="cluster", how="left")
        .with_columns(nw.coalesce("kept_id", "made_id").alias("account_id"))
        .select(*LINKS)
    )


def _firsts(ranked: Frame) -> Frame:
    """The member of each cluster that comes first: the lowest rank, then the lowest source and id."""
    lowest = ranked.with_columns(lowest=nw.col("order").min().over("cluster"))
    first = lowest.filter(nw.col("order") == nw.col("lowest")).with_columns(rivals=nw.len().over("cluster"))
    tied = first.filter(nw.col("rivals") > 1).with_columns(key=text(nw.col("source"), "|", nw.col("source_id")))
    return stack([first.filter(nw.col("rivals") == 1), lowest_by(tied, ["cluster"], "key").drop("key")])


def make_account_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Account ids of clusters, from the source key of their first member."""
    sources, ids = (batch.column(name).cast(pa.string()) for name in _NAMED)
    keys = pc.binary_join_element_wise(sources, ids, "|").cast(pa.binary())
    made = [_id_of(key) for key in keys.to_pylist()]
    columns = [batch.column("cluster").cast(pa.int64()), pa.array(made, pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=_MADE)


def account_id(source: str, source_id: str) -> str:
    """The id of an account first seen as this source's record: 16 hexadecimal digits."""
    return _id_of(f"{source}|{source_id}".encode())


def _id_of(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]
