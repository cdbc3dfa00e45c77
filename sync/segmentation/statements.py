"""Confirmed statements side by side: per organisation the newest one in force of each fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import narwhals as nw
import pyarrow as pa

from sync.engine import Engine, Frame
from sync.frames import first_by
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a fact."""

    ends: tuple[str, ...]  # of _ENDS
    category: str | None = None  # it must be about, or about all; None = whatever it is about


_ENDS = {"text": ("value", TEXT), "bp": ("value_bp", INT), "ref": ("fact_source", TEXT)}
"""How a column beside the account ends -> the column of a statement, and its type."""


def side_by_side(statements: Frame, facts: Mapping[str, Asked], engine: Engine) -> Frame:
    """One row per account with `<fact>_text`, `<fact>_bp` and `<fact>_ref`, as asked, of the newest in force.

    A statement without a category is about all.
    """
    rows = [{"fact": fact, "about": one.category} for fact, one in facts.items()]
    category, about = nw.coalesce("category", nw.lit("")), nw.col("about")
    wanted = statements.filter(nw.col("in_force")).join(
        engine.table(rows, {"fact": TEXT, "about": TEXT}), on="fact", how="inner"
    )
    fitting = wanted.filter(about.is_null() | (category == about) | (category == ""))
    newest = first_by(
        fitting, ["account_id", "fact"], ["valid_from", "fact_source", "value"], descending=["valid_from"]
    )
    kept = engine.materialize(newest.select("account_id", "fact", *(name for name, _ in _ENDS.values())))
    stated = {row["fact"] for row in engine.rows(kept.select("fact").unique())}
    schema = {f"{fact}_{end}": _ENDS[end][1] for fact, one in facts.items() for end in one.ends}
    silent = engine.table([], {"account_id": TEXT, **schema})
    told = [_beside(fact, end) for fact, one in facts.items() if fact in stated for end in one.ends]
    return nw.concat([silent, kept.group_by("account_id").agg(*told)], how="diagonal") if told else silent


def _beside(fact: str, end: str) -> nw.Expr:
    return nw.when(nw.col("fact") == fact).then(nw.col(_ENDS[end][0])).max().alias(f"{fact}_{end}")
