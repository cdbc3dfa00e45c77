"""The name of a change: what an approval holds on to, and what a re-plan recognises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from sync.engine import Engine, Frame
from sync.frames import Expr, length_prefixed
from sync.planning.threeway import KINDS

OBJECT = "account"
"""The CRM object that managed fields belong to."""

ITEM_ID_LENGTH = 16


def field_text() -> Expr:
    """One field of a fingerprint: its name and the three sides with their kinds, as unambiguous text."""
    return nw.concat_str([length_prefixed(nw.col(name)) for name in ("field", *KINDS)])


def head_text() -> Expr:
    """The record a fingerprint is about. The rule is left out: a reworded rule must not void an approval."""
    return nw.concat_str(
        [
            length_prefixed(nw.col("connection")),
            length_prefixed(nw.lit(OBJECT)),
            length_prefixed(nw.col("record_id")),
        ]
    )


def with_fingerprints(frame: Frame, engine: Engine) -> Frame:
    """Replaces the text column `fingerprint` by its sha256 and adds `item_id`, the first 16 digits of it."""
    schema = pa.schema([pa.field(name, _arrow(dtype)) for name, dtype in frame.collect_schema().items()])
    hashed = engine.map_batches(frame, hash_column, schema)
    return hashed.with_columns(item_id=nw.col("fingerprint").str.slice(0, ITEM_ID_LENGTH))


def hash_column(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the texts in `fingerprint` replaced by their sha256 in hexadecimal."""
    position = batch.schema.get_field_index("fingerprint")
    texts = batch.column(position).to_pylist()
    digests = pa.array([sha256_text(value) for value in texts], pa.large_string())
    return batch.set_column(position, pa.field("fingerprint", pa.large_string()), digests)


def sha256_text(value: str) -> str:
    """Hexadecimal sha256 of the UTF-8 form."""
    return hashlib.sha256(value.encode()).hexdigest()


def digest_of(parts: Iterable[str | pa.Array]) -> str:
    """sha256 over the parts in order, each length-prefixed so that no two sequences share a digest.

    A part is a text, or an array of texts that bring their prefix along (`prefixed`).
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            encoded = part.encode()
            total.update(b"%d:" % len(encoded))
            total.update(encoded)
        else:
            total.update(_bytes_of(part))
    return total.hexdigest()


def canonical_lines(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Column `line`: the cells of each row as unambiguous text, behind the number of its bytes."""
    cells = [_cell(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays([prefixed(_join(cells, ""))], names=["line"])


def prefixed(texts: pa.Array) -> pa.Array:
    """The texts behind the number of their bytes and a colon."""
    return _join([pc.cast(pc.binary_length(texts), pa.large_string()), texts], ":")


def _cell(column: pa.Array) -> pa.Array:
    """As `length_prefixed` of sync/frames.py, which works on tables: characters, a colon, the text; '~' for null."""
    texts = pc.cast(column, pa.large_string())
    return pc.fill_null(_join([pc.cast(pc.utf8_length(texts), pa.large_string()), texts], ":"), "~")


def _join(parts: list[pa.Array], separator: str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(separator, pa.large_string()))


def _bytes_of(texts: pa.Array) -> memoryview | bytes:
    """The texts one behind the other, without a copy. None of them is null."""
    _, offsets, data = texts.buffers()
    if data is None:
        return b""
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[texts.offset] : ends[texts.offset + len(texts)]]


def _arrow(dtype: nw.dtypes.DType) -> pa.DataType:
    types = {nw.String: pa.large_string(), nw.Int64: pa.int64(), nw.Boolean: pa.bool_()}
    return types[type(dtype)]
