"""Confirmed statements side by side: per organisation the newest one in force of each fact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import reduce

import narwhals as nw
import pyarrow as pa

from sync.engine import Engine, Frame
from sync.frames import certain, first_by

PARSED = pa.schema(
    [
        *((n, pa.string()) for n in ("account_id", "fact", "category", "value", "valid_from", "fact_source")),
        ("in_force", pa.bool_()),
        ("value_bp", pa.int64()),
    ]
)
"""Confirmed facts with `value_bp`: the number in hundredths, so a percent in basis points; null where it is none."""


def parsed(facts: Frame, engine: Engine) -> Frame:
    """CONFIRMED with `value_bp`."""
    return engine.materialize(engine.map_batches(facts, parse_numbers, PARSED))


def parse_numbers(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds `value_bp` to a batch of CONFIRMED."""
    numbers = pa.array([hundredths(value) for value in batch.column("value").to_pylist()], pa.int64())
    columns = {name: batch.column(name) for name in batch.schema.names} | {"value_bp": numbers}
    return pa.RecordBatch.from_arrays([columns[f.name].cast(f.type) for f in PARSED], schema=PARSED)


def hundredths(value: str | None) -> int | None:
    """A number or percent in hundredths; None where the text is no number."""
    try:
        return None if value is None else int((Decimal(value.rstrip("%")) * 100).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return None


def side_by_side(statements: Frame, facts: Mapping[str, str | None]) -> Frame:
    """One row per account with `<fact>_text`, `<fact>_bp` and `<fact>_ref` of the newest statement in force.

    `facts` leads from the name to the category it must be about; None = any. Without a category it is about all.
    """
    category = nw.coalesce("category", nw.lit(""))
    wanted = reduce(lambda a, b: a | b, [_about(category, fact, bound) for fact, bound in facts.items()])
    rows = statements.filter(certain(nw.col("in_force")), certain(wanted))
    newest = first_by(rows, ["account_id", "fact"], ["valid_from", "fact_source", "value"], descending=["valid_from"])
    kept = newest.select("account_id", "fact", "value", "value_bp", "fact_source")
    columns = [column for fact in facts for column in _columns(fact)]
    return kept.group_by("account_id").agg(*columns)


def _about(category: nw.Expr, fact: str, bound: str | None) -> nw.Expr:
    named = nw.col("fact") == fact
    return named if bound is None else named & ((category == bound) | (category == ""))


def _columns(fact: str) -> list[nw.Expr]:
    mine = nw.col("fact") == fact
    return [
        nw.when(mine).then(nw.col("value")).max().alias(f"{fact}_text"),
        nw.when(mine).then(nw.col("value_bp")).max().alias(f"{fact}_bp"),
        nw.when(mine).then(nw.col("fact_source")).max().alias(f"{fact}_ref"),
    ]
