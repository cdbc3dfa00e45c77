"""The parent of an account inside one CRM: its nearest ancestor that has a record there."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import stack

ONE, SEVERAL = "one", "several"

_FOUND = ("connection", "parent_account_id", "native_parent", "parent_records", "found_at")


def native_parents(hierarchy: Frame, records: Frame, max_depth: int, engine: Engine) -> Frame:
    """Per `connection` and `parent_account_id`: `native_parent`, `parent_records` ('one' or 'several'), `found_at`.

    `records` has connection, record_id, account_id of live records. An ancestor with several records in a CRM stops the
    climb and gives no id: which of the duplicates is meant is not for us to guess. No row = nobody up there.
    """
    edges = hierarchy.filter(~nw.col("parent_account_id").is_null())
    above = edges.select(nw.col("parent_account_id").alias("account_id"))
    holders = records.join(above, on="account_id", how="semi")  # of nobody's parent nothing is asked
    counted = holders.group_by("connection", "account_id").agg(
        nw.len().alias("holders"), nw.col("record_id").min().alias("native_parent")
    )
    is_single = nw.col("holders") == 1
    single = engine.materialize(
        counted.select(
            "connection",
            nw.col("account_id").alias("found_at"),
            nw.when(is_single).then(nw.col("native_parent")).alias("native_parent"),
            nw.when(is_single).then(nw.lit(ONE)).otherwise(nw.lit(SEVERAL)).alias("parent_records"),
        )
    )
    ups = edges.select(nw.col("account_id").alias("found_at"), nw.col("parent_account_id").alias("next"))
    parents = edges.select("parent_account_id").unique().with_columns(found_at=nw.col("parent_account_id"))
    climbing = parents.join(records.select("connection").unique(), how="cross")
    found = []
    for _ in range(max_depth):
        looked = engine.materialize(climbing.join(single, on=["connection", "found_at"], how="left"))
        found.append(looked.filter(~nw.col("parent_records").is_null()).select(*_FOUND))
        missing = looked.filter(nw.col("parent_records").is_null())
        up = missing.join(ups, on="found_at", how="inner")
        climbing = up.select("parent_account_id", "connection", nw.col("next").alias("found_at"))
        if not engine.count(climbing.head(1)):
            break
    return stack(found)
