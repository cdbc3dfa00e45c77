"""Duplicates: CRM records that are one organisation, across CRMs or inside one. Reported, never merged by us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np

from mappings.identity_policy import MatchModel
from sync.engine import Engine, Frame
from sync.frames import text
from sync.identity.board import Board, lay_out, score_alone
from sync.identity.candidates import BLOCKED, candidates
from sync.identity.features import Columns
from sync.identity.model import chance, contributions_alone
from sync.identity.parties import FEED_RANK, make_parties
from sync.identity.sticky import decided
from sync.identity.traits import Places
from sync.world import World

SAME_FIRM = "linked to one account"
SAME_SYSTEM = "systems of one name in one city"
SAME_MODEL = "alike in name, place, contacts and identifiers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Two records of one organisation."""

    record: tuple[str, str]  # connection, record id; the smaller of the two
    other: tuple[str, str]
    name: str
    other_name: str
    score: int | None  # thousandths of a logit; None where the links alone say so
    because: str
    parts: Mapping[str, int] = field(default_factory=dict)  # theme -> thousandths of a logit; they sum to the score

    @property
    def is_in_one_crm(self) -> bool:
        """Whether both are in the same CRM, where somebody may merge them."""
        return self.record[0] == self.other[0]

    @property
    def chance(self) -> float:
        """The probability that they are one."""
        return 1.0 if self.score is None else chance(self.score)


def find_duplicates(
    world: World, links: Frame, places: Places, model: MatchModel, engine: Engine
) -> tuple[Duplicate, ...]:
    """Pairs of live records, sorted, without those that a person keeps apart. Read-only."""
    found = {(one.record, one.other): one for one in _linked(world, links, engine)}
    found = {(one.record, one.other): one for one in same_system(world, engine)} | found
    board = record_board(world, places, model, engine)
    scores = score_alone(board, model.same_record, engine)
    sure = likely(board, scores, model.duplicate)
    parts = contributions_alone(board.features(sure), model.same_record) if len(sure) else []
    for at, part in zip(sure.tolist(), parts, strict=True):
        left, right = board.left[at], board.right[at]
        pair = (board.keys[left], board.keys[right])
        found[pair] = Duplicate(
            record=pair[0],
            other=pair[1],
            name=board.names[left],
            other_name=board.names[right],
            score=int(scores[at]),
            because=found[pair].because if pair in found else SAME_MODEL,
            parts=part,
        )
    apart = decided(world, engine).apart
    return tuple(found[pair] for pair in sorted(found) if pair not in apart)


def likely(board: Board, scores: np.ndarray, threshold: int) -> np.ndarray:
    """Positions of the pairs at or above the threshold that no number says to be unlike kinds."""
    at = np.flatnonzero(scores >= threshold)
    return np.asarray(at[~clashing(board.features(at))], np.int64) if len(at) else at


def clashing(features: Columns) -> np.ndarray:
    """Where a number says that the two are unlike kinds of provider, and no equal NPI and phone say otherwise.

    A hospital's record with the number of its home health agency is still the hospital's.
    """
    waived = (features["npi_equal"] > 0) & (features["phone_equal"] > 0)
    return np.asarray((features["kind_clash_by_number"] > 0) & ~waived, bool)


def record_board(world: World, places: Places, model: MatchModel, engine: Engine) -> Board:
    """Every pair of live records that share a block, each once, the smaller key on the left."""
    parties = make_parties(world, engine)
    records = engine.materialize(parties.filter(nw.col("rank") != FEED_RANK))
    columns = records.select(*BLOCKED)
    pairs = candidates(columns, columns, places, model.largest_block, engine)
    kinds = records.select("source", "source_id", "kind_group", "kind_from")
    theirs = kinds.rename({name: f"{name}__other" for name in ("source", "source_id", "kind_group", "kind_from")})
    both = pairs.join(kinds, on=["source", "source_id"], how="inner").join(
        theirs, on=["source__other", "source_id__other"], how="inner"
    )
    by_number = (nw.col("kind_from") == "number") | (nw.col("kind_from__other") == "number")
    unlike = ((nw.col("kind_group") != nw.col("kind_group__other")) & ~by_number).fill_null(value=False)
    mine, other = (text(nw.col(f"source{end}"), "|", nw.col(f"source_id{end}")) for end in ("", "__other"))
    once = both.filter(mine < other, ~unlike).select("source", "source_id", "source__other", "source_id__other")
    alone = records.select("source", "source_id", nw.col("party").alias("cluster"))
    return lay_out(world, parties, alone, engine.materialize(once), places, model, engine)


def same_system(world: World, engine: Engine) -> list[Duplicate]:
    """Records that may be health systems and have the same name in the same city."""
    parties = make_parties(world, engine).filter(nw.col("rank") != FEED_RANK, ~nw.col("system_place").is_null())
    named = world.records.select(nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "name")
    mine = parties.select("source", "source_id", "system_place").join(named, on=["source", "source_id"], how="inner")
    return [_pair(row, None, SAME_SYSTEM) for row in engine.rows(_each_once(mine, "system_place"))]


def _each_once(mine: Frame, key: str) -> Frame:
    """Pairs of rows with the same key, the smaller record on the left."""
    theirs = mine.rename({name: f"{name}__other" for name in ("source", "source_id", "name")})
    left, right = (text(nw.col(f"source{end}"), "|", nw.col(f"source_id{end}")) for end in ("", "__other"))
    return mine.join(theirs, on=key, how="inner").filter(left < right)


def _pair(row: Mapping[str, Any], score: int | None, because: str) -> Duplicate:
    return Duplicate(
        record=(row["source"], row["source_id"]),
        other=(row["source__other"], row["source_id__other"]),
        name=row["name"] or "",
        other_name=row["name__other"] or "",
        score=score,
        because=because,
    )


def _linked(world: World, links: Frame, engine: Engine) -> list[Duplicate]:
    names = world.records.select(nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "name")
    mine = links.select("source", "source_id", "account_id").join(names, on=["source", "source_id"], how="inner")
    return [_pair(row, None, SAME_FIRM) for row in engine.rows(_each_once(mine, "account_id"))]
