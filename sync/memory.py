"""The last that a vendor said of every firm, over all its earlier deliveries.

A blank system is unknown however often it is delivered, and a firm may be missing from one delivery and be back in the
next. What the newest delivery is compared with is therefore the last word on each firm, not just the delivery before.
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import certain, conform, lists, stack
from sync.world import FIRMS

_FIRM = ["feed", "firm_id"]
_IDN, _ABOVE = ("idn_id", "idn_name"), ("idn_parent_id", "idn_parent_name")
_SYSTEM = (*_IDN, *_ABOVE)


def remembered(deliveries: Sequence[Frame], engine: Engine) -> Frame:
    """FIRMS: the rows of the first delivery, the newest, where its blanks have the last word of the ones after it.

    Firms that it lacks keep the row that had them last. What a word emptied stays empty.
    """
    if not deliveries:
        return engine.table([], FIRMS)
    newest = conform(deliveries[0], FIRMS)
    for older in deliveries[1:]:
        newest = engine.materialize(_completed(newest, conform(older, FIRMS)))
    return newest


def _completed(newest: Frame, older: Frame) -> Frame:
    last = older.select(*_FIRM, *[nw.col(name).alias(f"last_{name}") for name in _SYSTEM])
    joined = newest.join(last, on=_FIRM, how="left")
    bare = nw.col("idn_id").is_null() & nw.col("idn_parent_id").is_null()
    silent = bare & ~lists(nw.col("cleared"), "idn_id") & ~lists(nw.col("cleared"), "idn_parent_id")
    same_above = certain(nw.col("idn_parent_id") == nw.col("last_idn_parent_id"))
    same_idn = certain(nw.col("idn_id") == nw.col("last_idn_id"))
    near = silent | (nw.col("idn_id").is_null() & same_above & ~lists(nw.col("cleared"), "idn_id"))
    high = silent | (nw.col("idn_parent_id").is_null() & same_idn & ~lists(nw.col("cleared"), "idn_parent_id"))
    filled = joined.with_columns(
        *[nw.when(near).then(nw.col(f"last_{name}")).otherwise(nw.col(name)).alias(name) for name in _IDN],
        *[nw.when(high).then(nw.col(f"last_{name}")).otherwise(nw.col(name)).alias(name) for name in _ABOVE],
    )
    return stack([conform(filled, FIRMS), older.join(newest, on=_FIRM, how="anti")])
