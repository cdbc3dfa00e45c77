"""Organisations that are closed, merged or not open yet, and who takes over from them.

A closed organisation keeps its records and its place, counts for nothing, and hands its owner and its leads over to its
successor, or to that one's own successor.
"""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, one_of, stack
from sync.hierarchy.stated import SUCCESSIONS
from sync.world import TEXT, Schema

STATUS: Schema = {
    "account_id": TEXT,
    "status": TEXT,  # CLOSED, MERGED, PENDING_OPEN
    "since": TEXT,  # ISO date, null = not said
    "successor_account_id": TEXT,  # the last of the chain; null = nobody, or a circle
    "source_ref": TEXT,
}
"""One row per organisation that is not simply active on the date."""

GONE = ("CLOSED", "MERGED")
STATES = (*GONE, "PENDING_OPEN", "ACTIVE")
_MAX_CHAIN = 16


def statuses(confirmed: Frame, successions: Frame, engine: Engine) -> Frame:
    """STATUS from confirmed facts called `status` and from successions. A stated fact comes before what follows."""
    said = confirmed.filter(nw.col("fact") == "status", certain(nw.col("in_force")))
    newest = first_by(said, ["account_id"], ["valid_from", "fact_source"], descending=["valid_from"])
    facts = newest.select(
        "account_id",
        nw.col("value").str.to_uppercase().alias("status"),
        nw.when(nw.col("valid_from") != "").then(nw.col("valid_from")).alias("since"),
        nw.col("fact_source").alias("source_ref"),
    )
    stated, passed = facts.filter(one_of(nw.col("status"), STATES)), conform(successions, SUCCESSIONS)
    merged = passed.join(stated, on="account_id", how="anti").select(
        "account_id",
        nw.lit("MERGED").alias("status"),
        nw.when(nw.col("since") != "").then(nw.col("since")).alias("since"),
        "source_ref",
    )
    rows = engine.materialize(stack([stated, merged]).filter(nw.col("status") != "ACTIVE"))
    if not engine.count(rows.head(1)):
        return conform(rows, STATUS)
    gone = rows.filter(one_of(nw.col("status"), GONE)).select("account_id")
    heirs = _last_of_chain(passed.join(gone, on="account_id", how="semi"), engine)
    return engine.materialize(conform(rows.join(heirs, on="account_id", how="left"), STATUS))


def gone(status: Frame) -> Frame:
    """`account_id`, `successor_account_id` of closed and merged organisations."""
    return status.filter(one_of(nw.col("status"), GONE)).select("account_id", "successor_account_id")


def _last_of_chain(steps: Frame, engine: Engine) -> Frame:
    """Each organisation with the end of its chain of successors; a chain that runs in a circle has none."""
    step = engine.materialize(
        steps.select(nw.col("account_id").alias("at"), nw.col("successor_account_id").alias("next"))
    )
    walking = step.select(nw.col("at").alias("account_id"), nw.col("next").alias("at"))
    for _ in range(_MAX_CHAIN):
        walked = walking.join(step, on="at", how="left")
        moved = engine.materialize(walked.with_columns(moves=~nw.col("next").is_null()))
        if not engine.count(moved.filter(nw.col("moves")).head(1)):
            break
        walking = engine.materialize(moved.select("account_id", nw.coalesce("next", "at").alias("at")))
    ends = walking.join(step.select("at", nw.lit(value=True).alias("goes_on")), on="at", how="left")
    heir = cases([(nw.col("goes_on"), nw.lit(None, dtype=TEXT))], nw.col("at"))
    return ends.select("account_id", heir.alias("successor_account_id"))
