"""The name of a change: what an approval holds on to, and what a re-plan recognises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import narwhals as nw
import pyarrow as pa

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


def digest_of(parts: Iterable[str]) -> str:
    """sha256 over the parts in order, each length-prefixed so that no two sequences share a digest."""
    total = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        total.update(b"%d:" % len(encoded))
        total.update(encoded)
    return total.hexdigest()


def _arrow(dtype: nw.dtypes.DType) -> pa.DataType:
    types = {nw.String: pa.large_string(), nw.Int64: pa.int64(), nw.Boolean: pa.bool_()}
    return types[type(dtype)]
