"""Circles of parents: none in a CRM after all writes, and none on the way there.

After all writes: a change of parent that would close a circle with parents that nothing changes is blocked.
On the way: parents are written top down by their place in the new tree, so that everything above a record is in its
final place when the record moves. A change that would close a circle with today's parents names the change that must
come first as its cause; where that one fails, it is not sent.
"""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import certain, one_of, stack
from sync.planning.groups import WRITABLE
from sync.planning.threeway import Action, State

_KEY = ["connection", "record_id"]
_MAX_LEVELS = 64
REASON = "it would close a circle of parents in this CRM; correct the parent of what is above it first"


def untangled(differences: Frame, records: Frame, engine: Engine) -> tuple[Frame, Frame]:
    """DIFFERENCES with the changes of parent blocked that would leave a circle behind, all other writes done.

    And `connection`, `record_id`, `first`: changes that today's parents make a circle of, and who moves first.
    The differences given and returned are materialized.
    """
    moves = engine.materialize(moves_of(differences))
    if not engine.count(moves.head(1)):
        return differences, moves.select(*_KEY, nw.col("to").alias("first"))
    met = _climb(moves, _after(moves, records), engine)
    closing = met.filter(nw.col("at") == nw.col("record_id")).select(*_KEY).unique()
    if not engine.count(closing.head(1)):
        return differences, _awaited(moves, records, engine)
    blocked = engine.materialize(_blocked(differences, closing))
    return blocked, _awaited(moves.join(closing, on=_KEY, how="anti"), records, engine)


def _blocked(differences: Frame, closing: Frame) -> Frame:
    """DIFFERENCES in which the parents of these records are not written."""
    marked = differences.join(closing.with_columns(closes=nw.lit(value=True)), on=_KEY, how="left")
    hit = certain(nw.col("closes")) & (nw.col("field") == "parent")
    changed = {"action": Action.BLOCKED.value, "state": State.INVALID.value, "reason": REASON}
    return marked.with_columns(
        **{name: nw.when(hit).then(nw.lit(value)).otherwise(nw.col(name)) for name, value in changed.items()}
    ).drop("closes")


def _awaited(moves: Frame, records: Frame, engine: Engine) -> Frame:
    """`connection`, `record_id`, `first` of the changes that are left."""
    steps = _climb(moves, _today(records), engine)
    caught = steps.filter(nw.col("at") == nw.col("record_id")).select(*_KEY)
    movers = moves.select("connection", nw.col("record_id").alias("at"), nw.col("record_id").alias("first"))
    met = steps.join(caught, on=_KEY, how="semi").join(movers, on=["connection", "at"], how="inner")
    others = met.filter(nw.col("first") != nw.col("record_id"))
    nearest = others.with_columns(nearest=nw.col("step").min().over(*_KEY)).filter(nw.col("step") == nw.col("nearest"))
    return nearest.select(*_KEY, "first")


def moves_of(differences: Frame) -> Frame:
    """`connection`, `record_id`, `to` of the changes of parent that may be written."""
    parents = differences.filter(
        nw.col("field") == "parent", one_of(nw.col("action"), WRITABLE), nw.col("desired_kind") != "abstain"
    )
    return parents.select(*_KEY, nw.when(nw.col("desired_kind") == "value").then(nw.col("desired")).alias("to"))


def _today(records: Frame) -> Frame:
    live = ~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null() & ~nw.col("parent").is_null()
    return records.filter(live).select("connection", nw.col("record_id").alias("at"), nw.col("parent").alias("above"))


def _after(moves: Frame, records: Frame) -> Frame:
    """Parents once every change is written."""
    moved = moves.select("connection", nw.col("record_id").alias("at"), nw.col("to").alias("above"))
    kept = _today(records).join(moved.select("connection", "at"), on=["connection", "at"], how="anti")
    return stack([kept, moved.filter(~nw.col("above").is_null())])


def _climb(moves: Frame, parents: Frame, engine: Engine) -> Frame:
    """Every record met on the way up from each change's new parent: `connection`, `record_id`, `at`, `step`.

    A change that meets its own record ends there. A circle that it only runs into ends with the limit of levels.
    """
    start = moves.filter(~nw.col("to").is_null()).select(*_KEY, nw.col("to").alias("at"))
    climbing = start.with_columns(step=nw.lit(0).cast(nw.Int64()))
    levels = [climbing]
    for _ in range(_MAX_LEVELS):
        going = climbing.filter(nw.col("at") != nw.col("record_id"))
        up = going.join(parents, on=["connection", "at"], how="inner")
        climbing = engine.materialize(up.select(*_KEY, nw.col("above").alias("at"), (nw.col("step") + 1).alias("step")))
        if not engine.count(climbing.head(1)):
            break
        levels.append(climbing)
    return stack(levels)
