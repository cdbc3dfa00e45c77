"""What the core needs of a table engine; `jobs/engines.py` implements it for Polars and for Spark.

The core builds narwhals lazy frames and does no I/O. Where it must cut a plan, look at a few rows, hash text or run
a pure function over batches of rows, it asks the engine that was passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import narwhals as nw
import pyarrow as pa

Frame = nw.LazyFrame[Any]


class Engine(Protocol):
    """The table engine under the core."""

    @property
    def name(self) -> str:
        """`polars` or `spark`."""
        ...

    def table(self, rows: Sequence[Mapping[str, Any]], schema: Mapping[str, nw.dtypes.DType]) -> Frame:
        """A small frame from plain rows; missing keys become null. Column order is the schema's."""
        ...

    def from_arrow(self, table: pa.Table) -> Frame:
        """A frame over an Arrow table, column types as they are."""
        ...

    def to_arrow(self, frame: Frame) -> pa.Table:
        """The rows as an Arrow table, in the order of the frame."""
        ...

    def materialize(self, frame: Frame) -> Frame:
        """The same rows, computed once; cuts the lineage of loops."""
        ...

    def rows(self, frame: Frame) -> Iterator[dict[str, Any]]:
        """The rows as plain dicts, for parts that are small by construction."""
        ...

    def count(self, frame: Frame) -> int:
        """Number of rows."""
        ...

    def numbered(self, frame: Frame, name: str) -> Frame:
        """The same rows, computed once, with a whole number each that no other row has: to join by, never to sort by.

        Which row gets which number differs by engine.
        """
        ...

    def parts(self, frames: Sequence[Frame], key: Sequence[str]) -> Iterator[tuple[Frame, ...]]:
        """All frames in parts that are small enough to work on one after the other, in no order; at least one part.

        Rows of one key are in the same part of every frame, so parts can be joined by it.
        """
        ...

    def keep(self, frame: Frame) -> Frame:
        """The same rows, computed once, without the memory of the part they are few of."""
        ...

    def in_order(
        self, frame: Frame, order_by: Sequence[str], function: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """What a pure, module-level function makes of batches of the rows in an order, which must be total."""
        ...

    def map_batches(
        self, frame: Frame, function: Callable[[pa.RecordBatch], pa.RecordBatch], schema: pa.Schema
    ) -> Frame:
        """Apply a pure, module-level function to batches of rows of any size."""
        ...
