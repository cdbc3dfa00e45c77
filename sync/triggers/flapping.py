"""There and back again: two changes of ownership that undo each other within a few days are one event to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import stack
from sync.triggers.events import RAW

Row = Mapping[str, Any]


def collapsed(raw: Frame, days: int, engine: Engine) -> Frame:
    """RAW with each pair of changes A to B, B to A within so many days as one row of detail `flapping`."""
    moves = raw.filter(nw.col("kind") == "OWNERSHIP_CHANGE", ~nw.col("effective_date").is_null())
    several = moves.with_columns(moves=nw.len().over("account_id")).filter(nw.col("moves") > 1).drop("moves")
    rows = list(engine.rows(several.select(*RAW)))
    if not rows:
        return raw
    accounts = sorted({row["account_id"] for row in rows})
    told = engine.table(_collapse(rows, days), RAW)
    rest = raw.filter(~((nw.col("kind") == "OWNERSHIP_CHANGE") & nw.col("account_id").is_in(accounts)))
    return stack([rest.select(*RAW), told])


def _collapse(rows: Iterable[Row], days: int) -> list[Row]:
    """The rows of a few accounts in order of time, pairs that undo each other made one."""
    left: list[Row] = []
    ordered = sorted(rows, key=lambda row: (row["account_id"], row["effective_date"], row["source_ref"] or ""))
    for row in ordered:
        if left and _undoes(left[-1], row, days):
            left[-1] = _pair(left[-1], row)
        else:
            left.append(row)
    return left


def _undoes(first: Row, second: Row, days: int) -> bool:
    if first["account_id"] != second["account_id"] or first["detail"] == "flapping":
        return False
    if (first["old_id"], first["new_id"]) != (second["new_id"], second["old_id"]):
        return False
    apart = date.fromisoformat(second["effective_date"]) - date.fromisoformat(first["effective_date"])
    return apart.days <= days


def _pair(first: Row, second: Row) -> Row:
    there = f"{first['new']} from {first['effective_date']} to {second['effective_date']}"
    back = f"{second['new']}, after {there}"
    return {**second, "detail": "flapping", "old": first["old"], "old_id": first["old_id"], "new": back}
