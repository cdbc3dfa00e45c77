"""The board: parties that may be one organisation, laid out so that a pair of them is two row numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import narwhals as nw
import numpy as np
import pyarrow as pa

from mappings.identity_policy import MatchModel, Weights
from sync.engine import Engine, Frame
from sync.frames import stack
from sync.identity.features import Columns
from sync.identity.model import FIRST, pair_features, rivals, score_first, score_second
from sync.identity.parties import live
from sync.identity.rivals import best_other
from sync.identity.traits import COUNTED, RAW, Places, Traits, make_traits
from sync.world import INT, TEXT, World

FLOOR = -8000
"""First score, in thousandths of a logit, under which a pair is not looked at again; it still counts as a rival."""

_KEYS = ("source", "source_id")
_OTHER = ("source__other", "source_id__other")
_FROM_PARTY = tuple(
    name for name in (*RAW, *COUNTED) if name not in ("name", "former_name", "street", "city", "parent_name", "kind")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Pairs in a fixed order. `left` and `right` are rows of `traits` and of `keys`."""

    traits: Traits
    keys: tuple[tuple[str, str], ...]  # source and source id per row
    clusters: tuple[int, ...]  # cluster per row
    names: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    firm_bound: np.ndarray  # the left party's cluster has records already
    record_bound: np.ndarray  # the right party's cluster has other members
    no_kind_record: np.ndarray  # the right party names no type

    def batch(self, at: np.ndarray, **more: np.ndarray) -> pa.RecordBatch:
        """The pairs at these positions, as the scorer wants them."""
        names = ("left", "right", "firm_bound", "record_bound", "no_kind_record")
        columns = {name: getattr(self, name)[at] for name in names} | more
        return pa.RecordBatch.from_arrays([pa.array(c, pa.int64()) for c in columns.values()], names=list(columns))

    def features(self, at: np.ndarray, **more: np.ndarray) -> Columns:
        """The features of the pairs at these positions; with `score` and the rivals' best among `more`, theirs too."""
        batch = self.batch(at, **more)
        made = pair_features(batch, self.traits)
        return made | rivals(batch) if more else made


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of the pairs of a board, in thousandths of a logit."""

    first: np.ndarray
    best_of_left: np.ndarray
    best_of_right: np.ndarray
    final: np.ndarray  # FLOOR where the first score is not above it

    def rivals_at(self, at: np.ndarray) -> dict[str, np.ndarray]:
        """What `Board.features` needs besides the pairs."""
        return {
            "score": self.first[at],
            "best_of_left": self.best_of_left[at],
            "best_of_right": self.best_of_right[at],
        }


def lay_out(
    world: World, parties: Frame, clusters: Frame, pairs: Frame, places: Places, model: MatchModel, engine: Engine
) -> Board:
    """A board of the pairs `source`, `source_id`, `source__other`, `source_id__other`."""
    named = stack(
        [pairs.select(*_KEYS), pairs.select(*(nw.col(o).alias(k) for o, k in zip(_OTHER, _KEYS, strict=True)))]
    )
    table = _table(world, parties, clusters, named.unique(), engine)
    numbers = pa.table({**{k: table[k] for k in _KEYS}, "number": pa.array(range(table.num_rows), pa.int64())})
    left, right = _numbered(pairs, engine.from_arrow(numbers), engine)
    keys = tuple(zip(table["source"].to_pylist(), table["source_id"].to_pylist(), strict=True))
    members = np.array(table["members"].to_pylist(), np.int64)
    kinds = np.array([not kind for kind in table["kind"].to_pylist()], np.int64)
    return Board(
        traits=make_traits(table, places, model.words),
        keys=keys,
        clusters=tuple(table["cluster"].to_pylist()),
        names=tuple(name or "" for name in table["name"].to_pylist()),
        left=left,
        right=right,
        firm_bound=(members[left] > 1).astype(np.int64),
        record_bound=(members[right] > 1).astype(np.int64),
        no_kind_record=kinds[right],
    )


def score_alone(board: Board, weights: Weights, engine: Engine) -> np.ndarray:
    """The score of every pair by itself, in the order of the board."""
    return _run(board, np.arange(len(board.left)), partial(score_first, traits=board.traits, weights=weights), engine)


def score_among_rivals(board: Board, model: MatchModel, engine: Engine) -> Scores:
    """Both scores of every pair. Rivals of the left party are those in the same source as the right one."""
    first = score_alone(board, model.first, engine)
    best_of_left, best_of_right = rival_scores(board, first)
    final = np.full(len(first), FLOOR, np.int64)
    at = np.flatnonzero(first > FLOOR)
    more = {"score": first[at], "best_of_left": best_of_left[at], "best_of_right": best_of_right[at]}
    scored = partial(score_second, traits=board.traits, weights=model.second)
    final[at] = _run(board, at, scored, engine, **more)
    return Scores(first=first, best_of_left=best_of_left, best_of_right=best_of_right, final=final)


def rival_scores(board: Board, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per pair the best first score of its left party with another right one of the same source, and the contrary."""
    sources = {source: at for at, source in enumerate(sorted({key[0] for key in board.keys}))}
    source = np.array([sources[key[0]] for key in board.keys], np.int64)
    return best_other(first, board.left * len(sources) + source[board.right]), best_other(first, board.right)


def _run(
    board: Board, at: np.ndarray, function: partial[pa.RecordBatch], engine: Engine, **more: np.ndarray
) -> np.ndarray:
    if not len(at):
        return np.zeros(0, np.int64)
    batch = board.batch(at, **more)
    frame = engine.from_arrow(pa.Table.from_batches([batch]))
    made = engine.to_arrow(engine.map_batches(frame, function, FIRST))
    columns = {name: np.asarray(made[name].to_numpy(), np.int64) for name in FIRST.names}
    order = np.lexsort((columns["right"], columns["left"]))  # the order of a board; engines may change it
    return columns["score"][order]


def _table(world: World, parties: Frame, clusters: Frame, named: Frame, engine: Engine) -> pa.Table:
    counted = parties.with_columns(
        nw.len().over("source", "phone").alias("phone_holders"),
        nw.len().over("source", "domain").alias("domain_holders"),
    ).select(*_FROM_PARTY_COLUMNS)
    sizes = clusters.with_columns(nw.len().over("cluster").alias("members")).select(*_KEYS, "cluster", "members")
    wanted = counted.join(named, on=list(_KEYS), how="semi").join(sizes, on=list(_KEYS), how="inner")
    table = engine.to_arrow(wanted.join(_raw(world), on=list(_KEYS), how="inner"))
    return table.sort_by([(key, "ascending") for key in _KEYS])


_FROM_PARTY_COLUMNS = tuple(
    nw.col("definitive_id").alias("vendor_id") if name == "vendor_id" else nw.col(name) for name in _FROM_PARTY
)


def _raw(world: World) -> Frame:
    """The texts of firms and live records that parties do not carry; a record's parent by its name."""
    texts = ("name", "former_name", "street", "city", "parent_name", "kind")
    firms = world.firms.select(
        nw.col("feed").alias("source"),
        nw.col("firm_id").alias("source_id"),
        *texts[:4],
        nw.coalesce("idn_parent_name", "idn_name").alias("parent_name"),
        nw.concat_str([nw.col("firm_type"), nw.col("hospital_type")], separator=" ", ignore_nulls=True).alias("kind"),
    )
    records = live(world.records)
    above = records.select("connection", nw.col("record_id").alias("parent"), nw.col("name").alias("parent_name"))
    shown = records.join(above, on=["connection", "parent"], how="left").select(
        nw.col("connection").alias("source"),
        nw.col("record_id").alias("source_id"),
        "name",
        nw.lit(None, dtype=TEXT).alias("former_name"),
        *("street", "city", "parent_name"),
        nw.col("account_type").alias("kind"),
    )
    return nw.concat([firms, shown], how="vertical")


def _numbered(pairs: Frame, numbers: Frame, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """The pairs as row numbers, sorted by left, then right."""
    theirs = numbers.rename({"source": _OTHER[0], "source_id": _OTHER[1], "number": "right"})
    joined = pairs.join(numbers.rename({"number": "left"}), on=list(_KEYS), how="inner")
    joined = joined.join(theirs, on=list(_OTHER), how="inner").select(
        nw.col("left").cast(INT), nw.col("right").cast(INT)
    )
    made = engine.to_arrow(joined)
    left, right = (np.asarray(made[name].to_numpy(), np.int64) for name in ("left", "right"))
    order = np.lexsort((right, left))
    return left[order], right[order]
