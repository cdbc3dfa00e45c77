"""The Polars engine keeps the promises of the protocol; Spark is compared with it in tests/integration."""

from __future__ import annotations

import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest

from jobs import engines
from jobs.engines import PolarsEngine, open_engine

SCHEMA = {"name": nw.String(), "beds": nw.Int64(), "open": nw.Boolean()}


def double_beds(batch: pa.RecordBatch) -> pa.RecordBatch:
    beds = [None if value is None else value * 2 for value in batch.column("beds").to_pylist()]
    return pa.record_batch({"name": batch.column("name"), "beds": pa.array(beds, pa.int64())})


def test_missing_keys_become_null_and_columns_follow_the_schema() -> None:
    engine = PolarsEngine()
    frame = engine.table([{"beds": 5}, {"name": "B", "open": True}], SCHEMA)
    assert list(engine.rows(frame)) == [
        {"name": None, "beds": 5, "open": None},
        {"name": "B", "beds": None, "open": True},
    ]


def test_an_empty_table_keeps_its_schema() -> None:
    engine = PolarsEngine()
    frame = engine.materialize(engine.table([], SCHEMA))
    assert engine.count(frame) == 0
    assert dict(frame.collect_schema()) == SCHEMA


def test_a_batch_function_sees_every_row_once() -> None:
    engine = PolarsEngine()
    frame = engine.table([{"name": str(i), "beds": i} for i in range(10)], SCHEMA)
    schema = pa.schema({"name": pa.string(), "beds": pa.int64()})
    doubled = engine.map_batches(frame, double_beds, schema)
    assert [row["beds"] for row in engine.rows(doubled)] == [2 * i for i in range(10)]


def test_a_batch_function_over_no_rows_gives_no_rows() -> None:
    engine = PolarsEngine()
    schema = pa.schema({"name": pa.string(), "beds": pa.int64()})
    assert engine.count(engine.map_batches(engine.table([], SCHEMA), double_beds, schema)) == 0


def test_rows_are_numbered_each_with_a_number_of_its_own() -> None:
    engine = PolarsEngine()
    numbered = engine.numbered(engine.table([{"name": "A"}] * 3, SCHEMA), "number")
    assert len({row["number"] for row in engine.rows(numbered)}) == 3


@pytest.mark.parametrize("rows", [0, 3, 4, 9, 40])
def test_the_parts_hold_every_row_once_and_rows_of_one_key_are_in_the_same_part_of_all_frames(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PART_ROWS", 4)
    engine = PolarsEngine()
    first, second = (
        engine.table([{"name": f"{i % 7}", "beds": i} for i in range(start, rows)], SCHEMA) for start in (0, 2)
    )
    parts = [tuple(list(engine.rows(frame)) for frame in part) for part in engine.parts((first, second), ("name",))]
    assert sorted(row["beds"] for part in parts for row in part[0]) == list(range(rows))
    assert sorted(row["beds"] for part in parts for row in part[1]) == list(range(2, rows))
    assert len(parts) == max(1, -(-rows // 4))
    places: dict[str, set[int]] = {}
    for at, part in enumerate(parts):
        for row in (*part[0], *part[1]):
            places.setdefault(row["name"], set()).add(at)
    assert all(len(at) == 1 for at in places.values())


def test_a_few_rows_that_are_kept_have_texts_of_their_own_and_the_same_values() -> None:
    engine = PolarsEngine()
    long = [{"name": f"a name too long to stand in the view itself {i}", "beds": i} for i in range(3000)]
    few = engine.table(long, SCHEMA).filter(nw.col("beds") < 3)
    kept = engine.keep(few)
    assert [(row["name"], row["beds"]) for row in engine.rows(kept)] == [(row["name"], row["beds"]) for row in long[:3]]
    assert kept.collect_schema() == few.collect_schema()
    held = [
        frame.collect("polars").to_native().to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()
        for frame in (engine.materialize(few), kept)
    ]
    assert held[1] < 1000 < 100_000 < held[0]


def test_batches_come_in_the_order_asked_for_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BATCH_ROWS", 2)
    engine = PolarsEngine()
    frame = engine.table(
        [{"name": n, "beds": b} for n, b in (("B", 1), ("A", 2), ("B", 0), ("A", 1), ("C", 7))], SCHEMA
    )
    batches = list(engine.in_order(frame, ["name", "beds"], double_beds))
    assert [row["beds"] for batch in batches for row in batch.to_pylist()] == [2, 4, 0, 2, 14]


def test_an_unknown_engine_is_refused_with_the_known_names() -> None:
    with pytest.raises(ValueError, match="expected polars or spark"):
        open_engine("duckdb")
