"""Confirmed statements side by side: per organisation the newest one in force of each fact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import narwhals as nw
import pyarrow as pa

from sync.engine import Engine, Frame
from sync.frames import first_by, null
from sync.world import INT, TEXT

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


def side_by_side(statements: Frame, facts: Mapping[str, str | None], engine: Engine) -> Frame:
    """One row per account with `<fact>_text`, `<fact>_bp` and `<fact>_ref` of the newest statement in force.

    `facts` leads from the name to the category it must be about; None = any. Without a category it is about all.
    """
    category = nw.coalesce("category", nw.lit(""))
    about = [_about(category, fact, bound) for fact, bound in facts.items()]
    rows = statements.filter(nw.col("in_force"), nw.any_horizontal(*about, ignore_nulls=True))
    newest = first_by(rows, ["account_id", "fact"], ["valid_from", "fact_source", "value"], descending=["valid_from"])
    kept = engine.materialize(newest.select("account_id", "fact", *_ENDS))
    stated = {row["fact"] for row in engine.rows(kept.select("fact").unique())}
    told = [column for fact in facts if fact in stated for column in _columns(fact)]
    silent = [
        null(type_).alias(f"{fact}_{end}") for fact in facts for end, type_ in _ENDS.values() if fact not in stated
    ]
    beside = kept.group_by("account_id").agg(*told) if told else kept.select("account_id")
    return beside.with_columns(*silent)


_ENDS = {"value": ("text", TEXT), "value_bp": ("bp", INT), "fact_source": ("ref", TEXT)}
"""Column of a statement -> how the column beside the account ends, and its type."""


def _about(category: nw.Expr, fact: str, bound: str | None) -> nw.Expr:
    named = nw.col("fact") == fact
    return named if bound is None else named & ((category == bound) | (category == ""))


def _columns(fact: str) -> list[nw.Expr]:
    mine = nw.col("fact") == fact
    return [nw.when(mine).then(nw.col(name)).max().alias(f"{fact}_{end}") for name, (end, _) in _ENDS.items()]
