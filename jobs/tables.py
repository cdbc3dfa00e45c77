"""Arrow tables between connectors, store and core: the world's column lists as Arrow schemas, and merging a delta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from mappings.canonical import FieldType
from mappings.schema import ObjectMap
from sync.world import FIELD_CHANGES, OPPORTUNITIES, RECORDS, TEAM_MEMBERS, USERS, Schema

OBJECT_SCHEMAS: Mapping[str, Schema] = {
    "account": RECORDS,
    "user": USERS,
    "opportunity": OPPORTUNITIES,
    "team_member": TEAM_MEMBERS,
    "field_change": FIELD_CHANGES,
}
"""Columns of each pulled object."""

OBJECT_KEYS: Mapping[str, tuple[str, ...]] = {
    "account": ("record_id",),
    "user": ("user_id",),
    "opportunity": ("opportunity_id",),
    "team_member": ("record_id", "user_id"),
    "field_change": ("record_id", "field", "changed_at", "new_value"),
}
"""What makes a row of a pulled object one row; a newer row with the same key replaces the older."""

_ARROW: dict[type[nw.dtypes.DType], pa.DataType] = {
    nw.String: pa.large_string(),
    nw.Int64: pa.int64(),
    nw.Boolean: pa.bool_(),
}
_CUSTOM: dict[FieldType, pa.DataType] = {
    FieldType.INTEGER: pa.int64(),
    FieldType.MONEY: pa.int64(),
    FieldType.SHARE: pa.int64(),
    FieldType.BOOLEAN: pa.bool_(),
}


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow form of a column list."""
    return pa.schema([(name, _ARROW[type(dtype)]) for name, dtype in schema.items()])


def object_schema(name: str, object_map: ObjectMap) -> pa.Schema:
    """Columns of a pulled object: the world's, then the map's custom fields by name."""
    known = OBJECT_SCHEMAS[name]
    custom = [
        (field, _CUSTOM.get(spec.type or FieldType.TEXT, pa.large_string()))
        for field, spec in sorted(object_map.fields.items())
        if field not in known and spec.type is not None
    ]
    return pa.schema([*arrow_schema(known), *(pa.field(field, type_) for field, type_ in custom)])


def from_rows(pages: Iterable[Sequence[Mapping[str, Any]]], schema: pa.Schema) -> pa.Table:
    """One table from pages of plain rows; missing keys become null, keys the schema does not name are left out."""
    batches = [pa.RecordBatch.from_pylist([dict(row) for row in page], schema=schema) for page in pages]
    return pa.Table.from_batches(batches, schema=schema)


def merge(
    current: pa.Table | None,
    delta: pa.Table,
    key: Sequence[str],
    *,
    stamp: str | None = None,
    gone: Sequence[str] = (),
) -> pa.Table:
    """`current` with the rows of `delta` in place of those with the same key; sorted by the key, one row a key.

    A key that comes twice in `delta` (an overlapping page, a merged record) keeps the row that says where it was
    merged into, then the one with the greatest `stamp`, else the last. Rows of `current` whose first key is `gone` go.
    A row of `current` with a greater `stamp` stays: an index that lags behind still shows the record as it was.
    """
    fresh = pl.DataFrame(pl.from_arrow(delta))
    order = [name for name in ("merged_into", stamp) if name is not None and name in fresh.columns]
    if order:
        ranks = [pl.col(name).is_not_null() if name == "merged_into" else pl.col(name) for name in order]
        fresh = fresh.sort(ranks, nulls_last=False, maintain_order=True)
    fresh = fresh.unique(list(key), keep="last", maintain_order=True)
    if current is not None:
        kept = pl.DataFrame(pl.from_arrow(_aligned(current, delta.schema)))
        kept = kept.filter(~pl.col(key[0]).is_in(list(gone)))
        fresh = _not_older(fresh, kept, key, stamp)
        fresh = pl.concat([kept.join(fresh, on=list(key), how="anti", nulls_equal=True), fresh])
    return fresh.sort(list(key)).to_arrow().cast(delta.schema)


def overlaid(table: pa.Table, seen: Mapping[tuple[str, ...], Mapping[str, str | None]], key: Sequence[str]) -> pa.Table:
    """`table` with the values that `seen` gives for its keys, column by column; other rows and columns as they were."""
    frame = pl.DataFrame(pl.from_arrow(table))
    for name in sorted({name for values in seen.values() for name in values} & set(frame.columns)):
        told = [(*one, values[name], True) for one, values in seen.items() if name in values]
        columns = dict.fromkeys((*key, "told"), pl.String)
        values = pl.DataFrame(told, schema={**columns, "is_told": pl.Boolean}, orient="row")
        joined = frame.join(values, on=list(key), how="left", maintain_order="left")
        frame = joined.with_columns(pl.when("is_told").then("told").otherwise(name).alias(name)).drop("told", "is_told")
    return frame.to_arrow().cast(table.schema)


def _not_older(fresh: pl.DataFrame, kept: pl.DataFrame, key: Sequence[str], stamp: str | None) -> pl.DataFrame:
    if stamp is None or stamp not in fresh.columns or stamp in key:
        return fresh
    held = kept.select(*key, pl.col(stamp).alias("held"))
    joined = fresh.join(held, on=list(key), how="left", nulls_equal=True)
    return joined.filter((pl.col(stamp) >= pl.col("held")).fill_null(True)).drop("held")


def _aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns of the schema: a column the map gained is null, one it lost is dropped."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def empty(schema: Schema) -> pa.Table:
    """No rows, the right columns."""
    return arrow_schema(schema).empty_table()


def widened(tables: Sequence[pa.Table], schema: Schema) -> pa.Table:
    """Several tables under one another: the columns of `schema` first, then any further ones, nulls where missing."""
    if not tables:
        return empty(schema)
    merged = pa.unify_schemas([arrow_schema(schema), *(table.schema for table in tables)], promote_options="permissive")
    return pa.concat_tables([_aligned(table, merged) for table in tables])
