"""Table idioms that the engines do not share, and the only place that knows why.

Everything here gives the same rows on Polars and on Spark. What both lack or do differently (non-strict casts, list
aggregation, ordered aggregates, sums of booleans) has one spelling here and none elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import narwhals as nw

from sync.engine import Frame
from sync.world import Schema

Expr = nw.Expr


def differs(a: Expr, b: Expr) -> Expr:
    """True where the two differ; null equals null. Never null itself."""
    return nw.coalesce(a != b, a.is_null() != b.is_null())


def same(a: Expr, b: Expr) -> Expr:
    """True where the two are equal; null equals null. Never null itself."""
    return ~differs(a, b)


def certain(predicate: Expr) -> Expr:
    """True only where a three-valued predicate is known to hold: unknown counts as false."""
    return nw.coalesce(predicate, nw.lit(False))


def possible(predicate: Expr) -> Expr:
    """True where a three-valued predicate is not known to fail: unknown counts as true."""
    return nw.coalesce(predicate, nw.lit(True))


def one_of(column: Expr, values: Collection[str]) -> Expr:
    """True where the column is one of the values; null and an empty collection give false."""
    if not values:
        return column.is_null() & ~column.is_null()
    return certain(column.is_in(sorted(str(value) for value in values)))


def lists(column: Expr, word: str) -> Expr:
    """True where a comma-separated text has the word; null has none."""
    return text(",", column, ",").str.contains(f",{word},", literal=True)


def cases(pairs: Sequence[tuple[Expr, Any]], otherwise: Any) -> Expr:
    """The value of the first pair whose condition holds; an unknown condition holds on neither engine.

    Texts and numbers are literals, never column names.
    """
    result = _literal(otherwise)
    for condition, value in reversed(pairs):
        result = nw.when(condition).then(_literal(value)).otherwise(result)
    return result


def null(dtype: nw.dtypes.DType) -> Expr:
    """A typed null: an untyped one has no type that both engines agree on."""
    return nw.lit(None, dtype=dtype)


def text(*parts: Expr | str | None) -> Expr:
    """The parts joined into one text, null as nothing; a plain string is a literal."""
    return nw.concat_str([_text_part(part) for part in parts], ignore_nulls=True)


def length_prefixed(column: Expr) -> Expr:
    """Unambiguous form of a text: its number of characters, a colon, the text; '~' for null."""
    return nw.coalesce(nw.concat_str([column.str.len_chars().cast(nw.String()), nw.lit(":"), column]), nw.lit("~"))


def count_where(condition: Expr) -> Expr:
    """Aggregation: how many rows the condition is known to hold for. Spark cannot add up booleans."""
    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)).sum().cast(nw.Int64())


def conform(frame: Frame, schema: Schema) -> Frame:
    """Exactly the schema's columns in its order and types; what the frame lacks becomes null."""
    present = frame.collect_schema()
    lacking = {name: null(dtype) for name, dtype in schema.items() if name not in present}
    other = {name: nw.col(name).cast(dtype) for name, dtype in schema.items() if present.get(name, dtype) != dtype}
    made = frame.with_columns(**lacking, **other) if lacking or other else frame
    return made.select(*schema)  # columns that are right already cost no expression


def stack(frames: Sequence[Frame]) -> Frame:
    """The rows of all frames, which have the same columns; at least one frame."""
    return frames[0] if len(frames) == 1 else nw.concat(list(frames), how="vertical")


def row_number(frame: Frame, name: str, order_by: Sequence[str], *, per: Sequence[str] = ()) -> Frame:
    """Adds 1, 2, 3, ... in the given order, within each `per`. The order must be total to be deterministic.

    Nulls come last. Text sorts by its UTF-8 bytes on both engines.
    """
    flags = {f"__null_{i}": nw.col(column).is_null() for i, column in enumerate(order_by)}
    order = [column for pair in zip(flags, order_by, strict=True) for column in pair]
    numbered = frame.with_columns(nw.lit(1).alias("__one"), **flags)
    count = nw.col("__one").cum_count()
    number = (count.over(*per, order_by=order) if per else count.over(order_by=order)).cast(nw.Int64())
    return numbered.with_columns(number.alias(name)).drop("__one", *flags)


def first_by(frame: Frame, keys: Sequence[str], order_by: Sequence[str], *, descending: Collection[str] = ()) -> Frame:
    """One row per key: the first in an explicit, total order. Nulls come last, also in descending columns."""
    ranks = {
        f"__rank_{i}": nw.col(column).rank("min", descending=True).over(*keys).cast(nw.Int64())
        for i, column in enumerate(order_by)
        if column in descending
    }
    order = [f"__rank_{i}" if column in descending else column for i, column in enumerate(order_by)]
    ranked = frame.with_columns(**ranks) if ranks else frame
    numbered = row_number(ranked, "__number", order, per=keys)
    return numbered.filter(nw.col("__number") == 1).drop("__number", *ranks)


def lowest_by(frame: Frame, keys: Sequence[str], column: str) -> Frame:
    """One row per key: the one with the lowest text, which is unique within the key and never null.

    The same row as `first_by` with one column, at a fifth of its cost: an aggregate needs no sorted window.
    """
    lowest = frame.group_by(*keys).agg(nw.col(column).min())
    return frame.join(lowest, on=[*keys, column], how="semi")


def _literal(value: Any) -> Expr:
    return value if isinstance(value, nw.Expr) else nw.lit(value)


def _text_part(part: Expr | str | None) -> Expr:
    return part if isinstance(part, nw.Expr) else nw.lit(part or "")
