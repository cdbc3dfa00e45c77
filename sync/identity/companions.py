"""Companions: records of two CRMs that one firm would bring together, though beside each other they are not alike.

A firm may fit a record in either CRM well enough by itself. Where the two records, compared with each other, are
almost certainly two organisations, one of the links is wrong: the weaker one waits for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product

import narwhals as nw
import numpy as np

from sync.engine import Engine, Frame
from sync.identity.board import Board
from sync.identity.parties import FEED_RANK
from sync.world import INT, TEXT, Schema

UNLIKE = -3000
"""Score of two records, in thousandths of a logit, up to which they are two organisations: one chance in twenty."""

PAIRS: Schema = dict.fromkeys(("source", "source_id", "source__other", "source_id__other"), TEXT)
Party = tuple[str, str]
Apart = frozenset[tuple[int, int]]
"""Pairs of clusters, both ways round."""


def meetings(board: Board, at: np.ndarray, clusters: Frame, engine: Engine) -> dict[tuple[Party, Party], set[int]]:
    """Pairs of records that the board's pairs at these positions would bring together, and the clusters they are in.

    The smaller record comes first. Empty where no firm has a choice of more than one record.
    """
    guests: dict[int, set[int]] = defaultdict(set)
    for pair in at.tolist():
        guests[board.clusters[board.left[pair]]].add(board.clusters[board.right[pair]])
    bound = {board.clusters[board.left[pair]] for pair in at[board.firm_bound[at] > 0].tolist()}
    shared = {home: theirs for home, theirs in guests.items() if len(theirs) > 1 or home in bound}
    if not shared:
        return {}
    members = _records(clusters, {*shared, *(one for theirs in shared.values() for one in theirs)}, engine)
    met: dict[tuple[Party, Party], set[int]] = {}
    for home, theirs in shared.items():
        for mine, other in combinations((home, *sorted(theirs)), 2):
            met |= {pair: {mine, other} for pair in _of_two_crms(members.get(mine, ()), members.get(other, ()))}
    return met


def pair_table(met: Iterable[tuple[Party, Party]], engine: Engine) -> Frame:
    """The pairs as PAIRS rows."""
    return engine.table([dict(zip(PAIRS, (*one, *other), strict=True)) for one, other in sorted(met)], PAIRS)


def unlike(board: Board, scores: np.ndarray, met: Mapping[tuple[Party, Party], set[int]]) -> Apart:
    """Pairs of clusters with records that are two organisations by their score."""
    found = set()
    for pair in np.flatnonzero(scores <= UNLIKE).tolist():
        one, other = sorted(met[board.keys[board.left[pair]], board.keys[board.right[pair]]])
        found |= {(one, other), (other, one)}
    return frozenset(found)


def _of_two_crms(mine: Iterable[Party], theirs: Iterable[Party]) -> Iterator[tuple[Party, Party]]:
    for one, other in product(mine, theirs):
        if one[0] != other[0]:
            yield (one, other) if one < other else (other, one)


def _records(clusters: Frame, wanted: set[int], engine: Engine) -> dict[int, list[Party]]:
    """The CRM records of each cluster."""
    there = engine.table([{"cluster": one} for one in sorted(wanted)], {"cluster": INT})
    records = clusters.filter(nw.col("rank") != FEED_RANK).join(there, on="cluster", how="semi")
    made: dict[int, list[Party]] = defaultdict(list)
    for row in engine.rows(records.select("cluster", "source", "source_id")):
        made[row["cluster"]].append((row["source"], row["source_id"]))
    return made
