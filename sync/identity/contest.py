"""The contest: firms and records that no key linked, scored against each other and matched one to one.

What keys bound has left the game: exclusion says more than similarity. A firm takes at most one record of a CRM. What
is linked here carries its evidence: what each theme added to the score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import narwhals as nw
import numpy as np

from mappings.identity_policy import IdentityPolicy, MatchModel
from sync.engine import Engine, Frame
from sync.frames import stack
from sync.identity.board import FLOOR, Board, Scores, lay_out, score_alone, score_among_rivals
from sync.identity.candidates import BLOCKED, candidates
from sync.identity.companions import Apart, meetings, pair_table, unlike
from sync.identity.features import Columns
from sync.identity.model import chance, contributions, contributions_alone
from sync.identity.parties import FEED_RANK
from sync.identity.sticky import Decided
from sync.identity.traits import Places
from sync.world import INT, TEXT, Schema, World

MODEL = "model"
FIRM_AND_RECORD, TWO_RECORDS = "a firm and a record", "two records"  # what a link by the model weighed
GONE = "(gone)"  # a cluster that went over to another
_MOVES: Schema = {"cluster": INT, "to_cluster": INT, "to_evidence": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPair:
    """Two parties that may be one organisation: for a person to decide."""

    party: tuple[str, str]  # source, source id
    other: tuple[str, str]
    name: str
    other_name: str
    score: int  # thousandths of a logit
    reason: str  # why it is not linked by itself
    parts: dict[str, int]  # theme -> thousandths of a logit

    @property
    def chance(self) -> float:
        """The probability that they are one."""
        return chance(self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Everything the rounds look at."""

    world: World
    parties: Frame  # PARTY
    places: Places
    policy: IdentityPolicy
    model: MatchModel
    said: Decided
    engine: Engine

    def firms_and_records(self, clusters: Frame) -> tuple[Frame, tuple[OpenPair, ...]]:
        """The clusters after firms took records, and the pairs left for a person."""
        board = self.firm_board(clusters)
        if board is None or not len(board.left):
            return clusters, ()
        scores = score_among_rivals(board, self.model, self.engine)
        columns = _guard_columns(board, scores)
        sure = np.flatnonzero((scores.final >= self.model.auto) & (doubts(columns) == 0))
        apart = self._apart(board, sure, clusters)
        chosen, taken = choose(board, scores.final, sure, _held(board, clusters, self.engine), apart)
        open_pairs = self._for_review(board, scores, columns, taken, apart)
        return self._joined(clusters, board, scores, chosen), open_pairs

    def _apart(self, board: Board, sure: np.ndarray, clusters: Frame) -> Apart:
        """Clusters that a firm may not bring together, because their records are unlike each other."""
        met = meetings(board, sure, clusters, self.engine)
        beside = self._board(clusters, pair_table(met, self.engine)) if met else None
        if beside is None:
            return frozenset()
        return unlike(beside, score_alone(beside, self.model.same_record, self.engine), met)

    def firm_board(self, clusters: Frame) -> Board | None:
        """Firms and records that may meet; None where nobody is left."""
        return self._board(clusters, self._firm_pairs(clusters))

    def records_and_records(self, clusters: Frame) -> Frame:
        """The clusters after records of different CRMs that are one organisation came together."""
        board = self._board(clusters, self._record_pairs(clusters))
        if board is None or not len(board.left):
            return clusters
        final = score_alone(board, self.model.same_record, self.engine)
        features = board.features(np.arange(len(final)))
        sure = (final >= self.model.duplicate) & (features["kind_clash_by_number"] == 0)
        chosen, _ = choose(board, final, np.flatnonzero(sure), _held(board, clusters, self.engine))
        return self._merged(clusters, board, final, chosen)

    def _board(self, clusters: Frame, pairs: Frame | None) -> Board | None:
        if pairs is None:
            return None
        return lay_out(self.world, self.parties, clusters, pairs, self.places, self.model, self.engine)

    def _firm_pairs(self, clusters: Frame) -> Frame | None:
        """Firms and records without one, that share a block and of which no known kind speaks against it."""
        firms = clusters.filter(nw.col("rank") == FEED_RANK)
        records = clusters.filter(nw.col("rank") != FEED_RANK).join(
            firms.select("cluster").unique(), on="cluster", how="anti"
        )
        return self._pairs(clusters, firms, self.engine.materialize(records))

    def _record_pairs(self, clusters: Frame) -> Frame | None:
        """Records of different CRMs whose clusters lack a record of the other's CRM."""
        records = clusters.filter(nw.col("rank") != FEED_RANK)
        crms = records.select("cluster", "source").unique().group_by("cluster").agg(nw.len().alias("crms"))
        alone = records.join(crms.filter(nw.col("crms") == 1), on="cluster", how="semi")
        ranks = sorted({row["rank"] for row in self.engine.rows(alone.select("rank").unique())})
        if len(ranks) < 2:
            return None
        alone = self.engine.materialize(alone)
        parts = [
            self._pairs(clusters, alone.filter(nw.col("rank") == low), alone.filter(nw.col("rank") == high))
            for at, low in enumerate(ranks)
            for high in ranks[at + 1 :]
        ]
        found = [part for part in parts if part is not None]
        return stack(found) if found else None

    def _pairs(self, clusters: Frame, lefts: Frame, rights: Frame) -> Frame | None:
        engine = self.engine
        if not engine.count(rights.head(1)) or not engine.count(lefts.head(1)):
            return None
        columns = self.parties.select(*BLOCKED, "kind_group", "kind_from")
        key = ["source", "source_id"]
        mine, theirs = (columns.join(side.select(*key), on=key, how="semi") for side in (lefts, rights))
        pairs = candidates(mine, theirs, self.places, self.model.largest_block, engine)
        return engine.materialize(self._possible(clusters, pairs))

    def _possible(self, clusters: Frame, pairs: Frame) -> Frame:
        """Without pairs of unlike kinds, of a CRM that the cluster has a record of, or that persons keep apart."""
        kinds = self.parties.select("source", "source_id", "kind_group", "kind_from")
        theirs = kinds.rename({name: f"{name}__other" for name in kinds.collect_schema().names()})
        both = pairs.join(kinds, on=["source", "source_id"], how="inner").join(
            theirs, on=["source__other", "source_id__other"], how="inner"
        )
        by_number = (nw.col("kind_from") == "number") | (nw.col("kind_from__other") == "number")
        unlike = (nw.col("kind_group") != nw.col("kind_group__other")) & ~by_number
        mine = clusters.select("source", "source_id", "cluster")
        members = clusters.select("cluster", nw.col("source").alias("source__other")).unique()
        found = both.filter(~unlike.fill_null(value=False)).join(mine, on=["source", "source_id"], how="inner")
        found = found.join(members, on=["cluster", "source__other"], how="anti")
        barred = self.said.barred(clusters, self.engine)
        if barred is not None:
            there = barred.rename({"source": "source__other", "source_id": "source_id__other"})
            found = found.join(there, on=["source__other", "source_id__other", "cluster"], how="anti")
        return found.select("source", "source_id", "source__other", "source_id__other")

    def _joined(self, clusters: Frame, board: Board, scores: Scores, chosen: np.ndarray) -> Frame:
        features = board.features(chosen, **scores.rivals_at(chosen)) if len(chosen) else {}
        parts = contributions(features, self.model) if len(chosen) else []
        return self._move(clusters, board, chosen, scores.final, parts, FIRM_AND_RECORD)

    def _merged(self, clusters: Frame, board: Board, final: np.ndarray, chosen: np.ndarray) -> Frame:
        parts = contributions_alone(board.features(chosen), self.model.same_record) if len(chosen) else []
        return self._move(clusters, board, chosen, final, parts, TWO_RECORDS)

    def _move(
        self,
        clusters: Frame,
        board: Board,
        chosen: np.ndarray,
        final: np.ndarray,
        parts: list[dict[str, int]],
        compared: str,
    ) -> Frame:
        """The clusters after the right party's cluster of each chosen pair went over to the left one's."""
        homes: dict[int, int] = {}
        rows = []
        for at, part in zip(chosen.tolist(), parts, strict=True):
            old, new = board.clusters[board.right[at]], board.clusters[board.left[at]]
            homes[old] = homes.get(new, new)
            text = evidence(self.model, board.keys[board.left[at]], int(final[at]), part, compared)
            rows.append({"cluster": old, "to_cluster": homes[old], "to_evidence": text})
        if not rows:
            return clusters
        moved = clusters.join(self.engine.table(rows, _MOVES), on="cluster", how="left")
        is_moved = ~nw.col("to_cluster").is_null()
        is_alone = is_moved & (nw.col("how") == "own")
        return self.engine.materialize(
            moved.with_columns(
                nw.when(is_alone).then(nw.lit(MODEL)).otherwise(nw.col("how")).alias("how"),
                nw.when(is_alone).then(nw.col("to_evidence")).otherwise(nw.col("evidence")).alias("evidence"),
                nw.coalesce("to_cluster", "cluster").alias("cluster"),
            ).drop("to_cluster", "to_evidence")
        )

    def _for_review(
        self, board: Board, scores: Scores, columns: Columns, taken: Mapping[int, frozenset[str]], apart: Apart
    ) -> tuple[OpenPair, ...]:
        """One pair per firm and record at most, most likely first: what a person should look at."""
        numbers = (columns["ccn_equal"] > 0) | (columns["npi_equal"] > 0)
        chosen = show(board, scores.final, scores.first, numbers, self.model.review, taken)
        if not len(chosen):
            return ()
        parts = contributions(board.features(chosen, **scores.rivals_at(chosen)), self.model)
        unlike_records = {guest for _, guest in apart}
        is_unlike = np.array([board.clusters[at] in unlike_records for at in board.right], bool)
        doubted = np.where((doubts(columns) == 0) & is_unlike & (scores.final >= self.model.auto), 3, doubts(columns))
        return tuple(
            OpenPair(
                party=board.keys[board.left[at]],
                other=board.keys[board.right[at]],
                name=board.names[board.left[at]],
                other_name=board.names[board.right[at]],
                score=int(scores.final[at]),
                reason=_reason(int(doubted[at]), bool(numbers[at]), GONE in taken[board.clusters[board.right[at]]]),
                parts=part,
            )
            for at, part in zip(chosen.tolist(), parts, strict=True)
        )


def choose(
    board: Board, scores: np.ndarray, at: np.ndarray, held: Mapping[int, frozenset[str]], apart: Apart = frozenset()
) -> tuple[np.ndarray, dict[int, frozenset[str]]]:
    """Positions of the pairs chosen one to one, best first, ties by left and right; and what each cluster holds then.

    The same as rounds of mutual best under this order. `held` names the sources each cluster has a member of: two
    clusters come together only if they share none, and nothing of them is kept `apart`. A cluster that went over to
    another holds everything.
    """
    sources = dict(held)
    joined: dict[int, tuple[int, ...]] = {}
    chosen = []
    for pair in at[np.lexsort((board.right[at], board.left[at], -scores[at]))].tolist():
        home, guest = board.clusters[board.left[pair]], board.clusters[board.right[pair]]
        if home == guest or GONE in sources[home] | sources[guest] or sources[home] & sources[guest]:
            continue
        if apart and not apart.isdisjoint((one, guest) for one in joined.get(home, (home,))):
            continue
        joined[home] = (*joined.get(home, (home,)), guest)
        sources[home] |= sources[guest]
        sources[guest] = frozenset((GONE,))
        chosen.append(pair)
    return np.array(chosen, np.int64), sources


def show(
    board: Board,
    final: np.ndarray,
    first: np.ndarray,
    numbers: np.ndarray,
    review: int,
    sources: Mapping[int, frozenset[str]],
) -> np.ndarray:
    """Positions of the pairs a person should look at, most likely first, one per firm and source.

    Those from the review threshold on, those with an equal identifier, and those that are likely by themselves but lost
    to a rival. For a firm that has a record elsewhere, only what is more likely than not. `sources` is what clusters
    hold once everything sure is linked.
    """
    seen: set[tuple[int, str]] = set()
    guests: set[int] = set()
    chosen = []
    worth = np.flatnonzero(((final >= review) | numbers | (first >= 0)) & (first > FLOOR))
    for pair in worth[np.lexsort((board.right[worth], board.left[worth], -final[worth]))].tolist():
        home, guest = board.clusters[board.left[pair]], board.clusters[board.right[pair]]
        source = board.keys[board.right[pair]][0]
        is_gone, has_other = GONE in sources[guest], len(sources[home]) > 1
        if source in sources[home] or (home, source) in seen or (is_gone and (first[pair] < 0 or has_other)):
            continue
        if (has_other and final[pair] < 0 and not numbers[pair]) or guest in guests:
            continue
        seen.add((home, source))
        if not is_gone:
            guests.add(guest)
        chosen.append(pair)
    return np.array(chosen, np.int64)


def evidence(model: MatchModel, other: tuple[str, str], score: int, parts: dict[str, int], compared: str) -> str:
    """The evidence of a link by the model, as JSON: the other side, score, probability, and what each theme added."""
    body = {
        "key": MODEL,
        "value": f"{other[0]} {other[1]}",
        "agrees": ", ".join(theme for theme, part in sorted(parts.items(), key=lambda p: -p[1])[:3] if part > 0),
        "model": model.version,
        "compared": compared,
        "score": score,
        "chance": f"{chance(score):.4f}",
        "parts": parts,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


_REASONS = {
    1: "a certification number says that it is another kind of provider",
    2: "one side prints a number of the wrong kind of provider, and neither kind, phone nor NPI agrees",
    3: "the firm's record in the other CRM and this one are unlike each other",
    4: "each side prints an NPI of its own, and neither name nor phone agrees",
    5: "the names tell two campuses apart, and so do the street numbers",
}


_GUARDING = (
    *("kind_clash_by_number", "wrong_class", "group_equal", "phone_equal", "npi_equal", "ccn_equal"),
    *("npi_differs", "core_equal", "sides_differ", "number_differs"),
)


def _guard_columns(board: Board, scores: Scores) -> Columns:
    made = {name: np.zeros(len(scores.first), np.int64) for name in _GUARDING}
    at = np.flatnonzero(scores.first > FLOOR)
    if len(at):
        features = board.features(at)
        for name in _GUARDING:
            made[name][at] = features[name]
    return made


def doubts(columns: Columns) -> np.ndarray:
    """Which guard keeps a pair from being linked by itself; 0 = none. Numbers of _REASONS."""
    sure = (columns["group_equal"] > 0) | (columns["phone_equal"] > 0) | (columns["npi_equal"] > 0)
    wrong = (columns["wrong_class"] > 0) & ~sure
    two_npis = (columns["npi_differs"] > 0) & (columns["core_equal"] == 0) & (columns["phone_equal"] == 0)
    two_sites = (columns["sides_differ"] > 0) & (columns["number_differs"] > 0)
    found = [columns["kind_clash_by_number"] > 0, wrong, two_npis, two_sites]
    return np.select(found, [1, 2, 4, 5], 0)


def _reason(doubt: int, has_number: bool, is_gone: bool) -> str:
    if doubt:
        return _REASONS[doubt]
    if is_gone:
        return "another firm is linked to this record, or the record to another firm"
    return "an identifier is equal, but name and place are not" if has_number else "likely, but not sure enough"


def _held(board: Board, clusters: Frame, engine: Engine) -> dict[int, frozenset[str]]:
    """Sources of the members of every cluster on the board."""
    there = engine.table([{"cluster": one} for one in sorted(set(board.clusters))], {"cluster": INT})
    made: dict[int, frozenset[str]] = dict.fromkeys(board.clusters, frozenset())
    for row in engine.rows(clusters.select("cluster", "source").join(there, on="cluster", how="semi")):
        made[row["cluster"]] |= {row["source"]}
    return made
