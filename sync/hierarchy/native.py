"""The parent of an account inside one CRM: its nearest ancestor that has a record there."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import stack

ONE, SEVERAL = "one", "several"


def native_parents(hierarchy: Frame, records: Frame, max_depth: int, engine: Engine) -> Frame:
    """Per `connection` and `parent_account_id`: `native_parent`, `parent_records` ('one' or 'several'), `found_at`.

    `records` has connection, record_id, account_id of live records. An ancestor with several records in a CRM stops the
    climb and gives no id: which of the duplicates is meant is not for us to guess. No row = nobody up there.
    """
    parents = hierarchy.filter(~nw.col("parent_account_id").is_null()).select("parent_account_id").unique()
    counted = records.group_by("connection", "account_id").agg(
        nw.len().alias("holders"), nw.col("record_id").min().alias("native_parent")
    )
    is_single = nw.col("holders") == 1
    single = engine.materialize(
        counted.join(parents.rename({"parent_account_id": "account_id"}), on="account_id", how="semi").select(
            "connection",
            nw.col("account_id").alias("found_at"),
            nw.when(is_single).then(nw.col("native_parent")).alias("native_parent"),
            nw.when(is_single).then(nw.lit(ONE)).otherwise(nw.lit(SEVERAL)).alias("parent_records"),
        )
    )
    connections = records.select("connection").unique()
    climbing = engine.materialize(
        parents.join(connections, how="cross").with_columns(nw.col("parent_account_id").alias("found_at"))
    )
    ups = engine.materialize(
        hierarchy.filter(~nw.col("parent_account_id").is_null())
        .select(nw.col("account_id").alias("found_at"), nw.col("parent_account_id").alias("next"))
        .join(climbing.select("found_at").unique(), on="found_at", how="semi")
    )
    found = []
    for _ in range(max_depth):
        here = climbing.join(single, on=["connection", "found_at"], how="inner")
        found.append(engine.materialize(here))
        missing = climbing.join(here.select("connection", "found_at"), on=["connection", "found_at"], how="anti")
        climbing = engine.materialize(
            missing.join(ups, on="found_at", how="inner").select(
                "parent_account_id", "connection", nw.col("next").alias("found_at")
            )
        )
        if not engine.count(climbing.head(1)):
            break
    return stack(found).select("connection", "parent_account_id", "native_parent", "parent_records", "found_at")
