"""The two table engines: Polars on one machine, Spark where one machine is outgrown."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from itertools import islice
from operator import xor
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sync.engine import Engine, Frame

BATCH_ROWS = 65_536
PART_ROWS = 150_000
"""Records that are compared at once: what bounds the memory of a plan, while few parts mean few repeated joins."""

_POLARS: dict[type[nw.dtypes.DType], Any] = {
    nw.String: pl.String,
    nw.Int64: pl.Int64,
    nw.Boolean: pl.Boolean,
    nw.Float64: pl.Float64,
}
_SPARK: dict[type[nw.dtypes.DType], str] = {
    nw.String: "string",
    nw.Int64: "bigint",
    nw.Boolean: "boolean",
    nw.Float64: "double",
}
_NW_TO_ARROW: dict[type[nw.dtypes.DType], pa.DataType] = {
    nw.String: pa.large_string(),  # what Polars hands over as well
    nw.Int64: pa.int64(),
    nw.Boolean: pa.bool_(),
    nw.Float64: pa.float64(),
}
_ARROW_TO_SPARK: dict[pa.DataType, str] = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.float64(): "double",
}

BatchFunction = Callable[[pa.RecordBatch], pa.RecordBatch]


def open_engine(name: str = "polars", *, spark_master: str = "local[2]") -> Engine:
    """The engine called `polars` or `spark`. Raises ValueError for any other name."""
    if name == "polars":
        return PolarsEngine()
    if name == "spark":
        return SparkEngine(spark_master)
    raise ValueError(f"table engine {name!r}: not known, expected polars or spark; set PLATBOOK_ENGINE")


class PolarsEngine:
    """Polars in this process."""

    name = "polars"

    def table(self, rows: Sequence[Mapping[str, Any]], schema: Mapping[str, nw.dtypes.DType]) -> Frame:
        """A small frame from plain rows; missing keys become null. Column order is the schema's."""
        dtypes = {name: _POLARS[type(dtype)] for name, dtype in schema.items()}
        columns = {name: [row.get(name) for row in rows] for name in dtypes}
        return nw.from_native(pl.DataFrame(columns, schema=dtypes).lazy())

    def from_arrow(self, table: pa.Table) -> Frame:
        """A frame over an Arrow table, column types as they are."""
        return nw.from_native(pl.DataFrame(pl.from_arrow(table)).lazy())

    def to_arrow(self, frame: Frame) -> pa.Table:
        """The rows as an Arrow table, in the order of the frame."""
        return frame.collect("polars").to_native().to_arrow()

    def materialize(self, frame: Frame) -> Frame:
        """The same rows, computed once."""
        collected: pl.DataFrame = frame.collect("polars").to_native()
        return nw.from_native(collected.lazy())

    def rows(self, frame: Frame) -> Iterator[dict[str, Any]]:
        """The rows as plain dicts, in the order of the frame."""
        collected: pl.DataFrame = frame.collect("polars").to_native()
        return collected.iter_rows(named=True)

    def count(self, frame: Frame) -> int:
        """Number of rows."""
        return int(frame.select(nw.len()).collect("polars").item())

    def numbered(self, frame: Frame, name: str) -> Frame:
        """The same rows, computed once, each with its position."""
        collected: pl.DataFrame = frame.collect("polars").to_native()
        return nw.from_native(collected.with_row_index(name).cast({name: pl.Int64}).lazy())

    def parts(self, frames: Sequence[Frame], key: Sequence[str]) -> Iterator[tuple[Frame, ...]]:
        """The rows by a hash of their key, as many parts as the first frame needs; each is computed when it is used."""
        number = -(-self.count(frames[0]) // PART_ROWS)
        if number <= 1:
            yield tuple(frames)
            return
        part = reduce(xor, (pl.col(column).hash() for column in key)) % number
        for at in range(number):
            yield tuple(nw.from_native(frame.to_native().filter(part == at)) for frame in frames)

    def keep(self, frame: Frame) -> Frame:
        """Texts of a few rows hold on to the buffers of all rows they were chosen from; Arrow's are their own."""
        collected: pl.DataFrame = frame.collect("polars").to_native()
        if collected.height > BATCH_ROWS:
            return nw.from_native(collected.lazy())
        return self.from_arrow(collected.to_arrow(compat_level=pl.CompatLevel.oldest()))

    def in_order(self, frame: Frame, order_by: Sequence[str], function: BatchFunction) -> Iterator[pa.RecordBatch]:
        """Sorts positions only: a sorted copy of a large table would need its memory again."""
        collected: pl.DataFrame = frame.collect("polars").to_native()
        positions = collected.select(pl.arg_sort_by(list(order_by))).to_series()
        for piece in positions.to_frame("at").iter_slices(BATCH_ROWS):
            for batch in collected[piece["at"]].to_arrow().combine_chunks().to_batches():
                yield function(batch)

    def map_batches(self, frame: Frame, function: BatchFunction, schema: pa.Schema) -> Frame:
        """Apply a pure, module-level function to batches of rows of any size."""
        table = frame.collect("polars").to_native().to_arrow()
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # Arrow's kernels let go of the interpreter lock
            made = threads.map(function, table.to_batches(max_chunksize=BATCH_ROWS))
            batches = [batch.cast(schema) for batch in made]
        return nw.from_native(pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches, schema=schema))).lazy())


class SparkEngine:
    """PySpark; `materialize` writes Parquet to a temporary folder and reads it back, which cuts the lineage.

    Close it (or use it as a context manager): it owns a Spark session and a folder.
    """

    name = "spark"

    def __init__(
        self, master: str = "local[2]", *, folder: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        # Workers are forked from the JVM: they must be this interpreter and find the same packages.
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        from pyspark.sql import SparkSession  # an extra: most installations have no Java

        self._folder = Path(tempfile.mkdtemp(prefix="platbook-spark-", dir=folder))
        self._cuts = 0
        builder = SparkSession.builder.master(master).appName("platbook")
        for key, value in {**_spark_settings(master, self._folder), **(settings or {})}.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the session and remove the temporary folder."""
        self.session.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def table(self, rows: Sequence[Mapping[str, Any]], schema: Mapping[str, nw.dtypes.DType]) -> Frame:
        """A small frame from plain rows; missing keys become null. Column order is the schema's."""
        ddl = ", ".join(f"`{name}` {_SPARK[type(dtype)]}" for name, dtype in schema.items())
        tuples = [tuple(row.get(name) for name in schema) for row in rows]
        return self._lazy(self.session.createDataFrame(tuples, ddl))

    def from_arrow(self, table: pa.Table) -> Frame:
        """A frame from an Arrow table, by way of a Parquet file."""
        path = self._next_path()
        path.mkdir()
        pq.write_table(table, path / "part-0.parquet")
        return self._lazy(self.session.read.parquet(str(path)))

    def to_arrow(self, frame: Frame) -> pa.Table:
        """The rows as an Arrow table, by way of a Parquet file."""
        path = self._next_path()
        frame.to_native().write.parquet(str(path))
        return pq.read_table(path)

    def materialize(self, frame: Frame) -> Frame:
        """The same rows, computed once."""
        path = self._next_path()
        frame.to_native().write.parquet(str(path))
        return self._lazy(self.session.read.parquet(str(path)))

    def rows(self, frame: Frame) -> Iterator[dict[str, Any]]:
        """The rows as plain dicts."""
        return (row.asDict() for row in frame.to_native().collect())

    def count(self, frame: Frame) -> int:
        """Number of rows."""
        return int(frame.to_native().count())

    def numbered(self, frame: Frame, name: str) -> Frame:
        """The same rows, computed once, each with a number; the cut keeps a second look from numbering them anew."""
        from pyspark.sql import functions

        return self.materialize(self._lazy(frame.to_native().withColumn(name, functions.monotonically_increasing_id())))

    def parts(self, frames: Sequence[Frame], key: Sequence[str]) -> Iterator[tuple[Frame, ...]]:
        """All rows at once: Spark has its own partitions."""
        yield tuple(frames)

    def keep(self, frame: Frame) -> Frame:
        """As `materialize`: the rows are in a file of their own."""
        return self.materialize(frame)

    def in_order(self, frame: Frame, order_by: Sequence[str], function: BatchFunction) -> Iterator[pa.RecordBatch]:
        """The sorted rows by way of a Parquet file, whose parts are named in their order."""
        for batch in self.to_arrow(frame.sort(*order_by)).to_batches(max_chunksize=BATCH_ROWS):
            yield function(batch)

    def map_batches(self, frame: Frame, function: BatchFunction, schema: pa.Schema) -> Frame:
        """Apply a pure, module-level function to batches of rows of any size."""
        ddl = ", ".join(f"`{field.name}` {_ARROW_TO_SPARK[field.type]}" for field in schema)
        arrow_in = pa.schema({name: _NW_TO_ARROW[type(dtype)] for name, dtype in frame.collect_schema().items()})
        # Partitions of rows, not mapInArrow: that one asks for pandas, which nothing else here needs.
        each = partial(_apply_to_partition, function=function, arrow_in=arrow_in)
        rows = frame.to_native().rdd.mapPartitions(each)
        return self._lazy(self.session.createDataFrame(rows, ddl, verifySchema=False))

    def _next_path(self) -> Path:
        self._cuts += 1
        return self._folder / f"cut-{self._cuts}"

    @staticmethod
    def _lazy(native: Any) -> Frame:  # pyspark has no types for its dynamic DataFrame classes
        frame: Frame = nw.from_native(native)
        return frame


def _apply_to_partition(
    rows: Iterable[tuple[Any, ...]], *, function: BatchFunction, arrow_in: pa.Schema
) -> Iterator[tuple[Any, ...]]:
    """The rows a batch function makes of one partition. Runs in Spark's workers."""
    stream = iter(rows)
    while chunk := list(islice(stream, BATCH_ROWS)):
        columns = [
            pa.array(values, field.type) for values, field in zip(zip(*chunk, strict=True), arrow_in, strict=True)
        ]
        made = function(pa.RecordBatch.from_arrays(columns, schema=arrow_in))
        yield from zip(*(column.to_pylist() for column in made.columns), strict=True)


def _spark_settings(master: str, folder: Path) -> dict[str, str]:
    """Settings of the session; a local master gets few partitions, since each costs more than its rows."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    if master.startswith("local"):
        settings |= {
            "spark.sql.shuffle.partitions": "2",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
        }
    return settings
