"""What stays: links and separations that persons decided, and accounts whose CRM records were merged.

A person's word wins for ever, over keys, over the model and over what earlier runs linked. A record that was merged
into another hands its account to the survivor. Both are few, so they are worked out row by row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from sync.engine import Engine, Frame
from sync.identity.parties import FEED_RANK
from sync.world import CROSSWALK, INT, TEXT, Schema, World

Party = tuple[str, str]  # source, source id
LINK, NOT_LINK = "link", "not_link"
PERSON = "person"
MERGED = "merged"  # how: the account came from a record that was merged into this one
RENUMBERED = "renumbered"  # how: the account came from the id that the vendor gave the organisation before

_NAMED: Schema = {"source": TEXT, "source_id": TEXT}
_BARRED: Schema = {**_NAMED, "other_source": TEXT, "other_id": TEXT}
_MOVED: Schema = {**_NAMED, "to_cluster": INT, "to_how": TEXT, "to_evidence": TEXT, "to_known": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Pairs that persons put together, and pairs that they keep apart."""

    together: tuple[tuple[Party, Party], ...] = ()
    apart: frozenset[tuple[Party, Party]] = field(default_factory=frozenset)  # both ways round

    def applied(self, clusters: Frame, engine: Engine) -> Frame:
        """The clusters after the decisions: the named parties sit where a person put them."""
        if not self.together and not self.apart:
            return clusters
        names = {party for pair in (*self.together, *self.apart) for party in pair}
        members = _members(clusters, names, engine)
        moves = {**_separated(members, self.apart), **_joined(members, self.together)}
        return _moved(clusters, moves, engine)

    def barred(self, clusters: Frame, engine: Engine) -> Frame | None:
        """`source`, `source_id`, `cluster`: clusters a party may not join. None where nobody is kept apart."""
        if not self.apart:
            return None
        rows = [
            {"source": p[0], "source_id": p[1], "other_source": q[0], "other_id": q[1]} for p, q in sorted(self.apart)
        ]
        others = clusters.select(
            nw.col("source").alias("other_source"), nw.col("source_id").alias("other_id"), "cluster"
        )
        joined = engine.table(rows, _BARRED).join(others, on=["other_source", "other_id"], how="inner")
        return joined.select("source", "source_id", "cluster").unique()


def decided(world: World, engine: Engine) -> Decided:
    """The decisions of a world."""
    if world.link_decisions is None:
        return Decided()
    together, apart = set(), set()
    for row in engine.rows(world.link_decisions):
        pair = sorted(((row["source"], row["source_id"]), (row["other_source"], row["other_id"])))
        if row["verdict"] == LINK:
            together.add((pair[0], pair[1]))
        else:
            apart |= {(pair[0], pair[1]), (pair[1], pair[0])}
    return Decided(together=tuple(sorted(together)), apart=frozenset(apart))


def split_account(party: Party) -> str:
    """Account id of a party that a person took out of its account."""
    return hashlib.sha256(f"split|{party[0]}|{party[1]}".encode()).hexdigest()[:16]


def _members(clusters: Frame, names: Iterable[Party], engine: Engine) -> list[dict[str, Any]]:
    """All parties of the clusters that the named parties are in, in a fixed order."""
    named = engine.table([{"source": s, "source_id": i} for s, i in sorted(names)], _NAMED)
    touched = clusters.join(named, on=["source", "source_id"], how="semi").select("cluster").unique()
    rows = engine.rows(clusters.join(touched, on="cluster", how="semi"))
    return sorted(rows, key=lambda row: (row["rank"] == FEED_RANK, row["rank"], row["source"], row["source_id"]))


def _separated(members: list[dict[str, Any]], apart: frozenset[tuple[Party, Party]]) -> dict[Party, dict[str, Any]]:
    """Who leaves: of two that are kept apart in one cluster, the one with the weaker claim, firms before records."""
    moves: dict[Party, dict[str, Any]] = {}
    staying: dict[int, list[Party]] = {}
    for row in members:
        party = (row["source"], row["source_id"])
        if any((party, other) in apart for other in staying.get(row["cluster"], ())):
            moves[party] = _alone(row)
        else:
            staying.setdefault(row["cluster"], []).append(party)
    return moves


def _joined(members: list[dict[str, Any]], together: tuple[tuple[Party, Party], ...]) -> dict[Party, dict[str, Any]]:
    """Who moves where: all that persons put together sit in the cluster of their first record.

    Others of the same source leave that cluster, since one organisation has one record of a source.
    """
    rows = {(row["source"], row["source_id"]): row for row in members}
    moves: dict[Party, dict[str, Any]] = {}
    for group in _groups(together, rows):
        home = rows[group[0]]["cluster"]
        sources = {source for source, _ in group}
        for party, row in rows.items():
            if row["cluster"] == home and party not in group and party[0] in sources:
                moves[party] = _alone(row)
        for party in group:
            evidence = '{"key":"person","agrees":"decided by a person"}'
            moves[party] = {
                "to_cluster": home,
                "to_how": PERSON,
                "to_evidence": evidence,
                "to_known": rows[group[0]]["known_account"],
            }
    return moves


def _groups(together: tuple[tuple[Party, Party], ...], rows: Mapping[Party, Any]) -> list[list[Party]]:
    """Connected groups of parties that exist, each in the order of `rows`."""
    group_of: dict[Party, set[Party]] = {}
    for a, b in together:
        if a in rows and b in rows:
            merged = group_of.get(a, {a}) | group_of.get(b, {b})
            group_of |= dict.fromkeys(merged, merged)
    order = {party: at for at, party in enumerate(rows)}
    distinct = {min(order[p] for p in group): sorted(group, key=order.__getitem__) for group in group_of.values()}
    return [distinct[at] for at in sorted(distinct)]


def _alone(row: Mapping[str, Any]) -> dict[str, Any]:
    known = split_account((row["source"], row["source_id"]))
    return {"to_cluster": row["party"], "to_how": "own", "to_evidence": None, "to_known": known}


def _moved(clusters: Frame, moves: Mapping[Party, Mapping[str, Any]], engine: Engine) -> Frame:
    table = engine.table([{"source": s, "source_id": i, **to} for (s, i), to in sorted(moves.items())], _MOVED)
    joined = clusters.join(table, on=["source", "source_id"], how="left")
    is_moved = ~nw.col("to_cluster").is_null()
    return engine.materialize(
        joined.with_columns(
            nw.when(is_moved).then(nw.col("to_how") == PERSON).otherwise(nw.col("is_kept")).alias("is_kept"),
            nw.coalesce("to_cluster", "cluster").alias("cluster"),
            nw.coalesce("to_how", "how").alias("how"),
            nw.when(is_moved).then(nw.col("to_evidence")).otherwise(nw.col("evidence")).alias("evidence"),
            nw.when(is_moved).then(nw.col("to_known")).otherwise(nw.col("known_account")).alias("known_account"),
        ).drop("to_cluster", "to_how", "to_evidence", "to_known")
    )


def succeeded(world: World, engine: Engine) -> Frame:
    """CROSSWALK in which records that were merged away have handed their account to the survivor.

    Where the survivor has an account of its own, what was linked to the merged one comes to that account; a party whose
    source is there already gets an account of its own instead.
    """
    merged = world.records.filter(~nw.col("merged_into").is_null()).select(
        nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "merged_into"
    )
    lost = list(engine.rows(world.crosswalk.join(merged, on=["source", "source_id"], how="inner")))
    if not lost:
        return world.crosswalk
    heirs = {(row["source"], row["source_id"]): str(row["merged_into"]) for row in lost}
    accounts = {str(row["account_id"]) for row in lost}
    survivors = {(source, _last(source, heir, heirs)) for (source, _), heir in heirs.items()}
    known = _accounts_of(world.crosswalk, survivors, engine)
    becomes: dict[str, str] = {}
    added: list[dict[str, Any]] = []
    for row in sorted(lost, key=lambda r: (r["source"], r["source_id"])):
        survivor = (str(row["source"]), _last(str(row["source"]), str(row["merged_into"]), heirs))
        if survivor not in known:
            known[survivor] = str(row["account_id"])
            added.append(
                {"source": survivor[0], "source_id": survivor[1], "account_id": row["account_id"], "how": MERGED}
            )
        elif known[survivor] != row["account_id"]:
            becomes[str(row["account_id"])] = known[survivor]
    return _handed_over(world.crosswalk, accounts, becomes, added, set(heirs), engine)


def _last(source: str, record_id: str, heirs: Mapping[Party, str]) -> str:
    """The end of a chain of merges."""
    seen = set()
    while (source, record_id) in heirs and record_id not in seen:
        seen.add(record_id)
        record_id = heirs[source, record_id]
    return record_id


def _accounts_of(crosswalk: Frame, parties: set[Party], engine: Engine) -> dict[Party, str]:
    named = engine.table([{"source": s, "source_id": i} for s, i in sorted(parties)], _NAMED)
    rows = engine.rows(crosswalk.join(named, on=["source", "source_id"], how="semi"))
    return {(row["source"], row["source_id"]): str(row["account_id"]) for row in rows}


def _handed_over(
    crosswalk: Frame,
    accounts: set[str],
    becomes: Mapping[str, str],
    added: list[dict[str, Any]],
    gone: set[Party],
    engine: Engine,
) -> Frame:
    """The crosswalk with the rows of the touched accounts written anew."""
    touched = sorted({*accounts, *becomes.values()})
    rows = list(engine.rows(crosswalk.filter(nw.col("account_id").is_in(touched))))
    rows = [row for row in rows if (row["source"], row["source_id"]) not in gone]
    held = {(row["account_id"], row["source"]) for row in rows if row["account_id"] not in becomes}
    written = []
    for row in sorted(rows, key=lambda r: (r["source"], r["source_id"])):
        account = becomes.get(row["account_id"])
        if account is not None and (account, row["source"]) in held:
            account = split_account((row["source"], row["source_id"]))
        elif account is not None:
            held.add((account, row["source"]))
        written.append({**row, "account_id": account, "how": MERGED} if account else row)
    others = crosswalk.filter(~nw.col("account_id").is_in(touched)).select(*CROSSWALK)
    table = engine.table([*written, *added], CROSSWALK)
    return engine.materialize(nw.concat([others, table.select(*CROSSWALK)], how="vertical"))
