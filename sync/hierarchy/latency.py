"""How long a change of ownership took to reach the CRM, by two clocks: since it took effect, and since it was known.

The deadline runs from the day the change took effect. What a source kept to itself is shown beside it, because nobody
here could have written it earlier.
"""

from __future__ import annotations

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from mappings.policy import HierarchyPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, text
from sync.world import BOOL, INT, TEXT, Schema

LATENCY: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "account_id": TEXT,
    "parent_account_id": TEXT,
    "effective_from": TEXT,
    "first_seen": TEXT,  # null = the source did not say; the effective date counts
    "applied_on": TEXT,  # when the CRM got this parent; null = it does not show it
    "latency_days": INT,  # from the effective date to the CRM, or to today
    "source_lag_days": INT,  # from the effective date until it was known
    "own_lag_days": INT,  # from then on
    "is_breached": BOOL,  # later than the policy's deadline
    "note": TEXT,
}
"""One row per CRM record whose parent rests on a dated edge."""

_LAGS = pa.schema(
    [
        *((name, pa.string()) for name in ("connection", "record_id", "account_id", "parent_account_id")),
        *((name, pa.string()) for name in ("effective_from", "first_seen", "applied_on")),
        *((name, pa.int64()) for name in ("latency_days", "source_lag_days", "own_lag_days")),
    ]
)
_INPUT = tuple(field.name for field in _LAGS if not field.name.endswith("_days"))


def latency(dated: Frame, shown: Frame, changes: Frame, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Frame:
    """LATENCY of `dated` (account_id, parent_account_id, effective_from, first_seen).

    `shown` has connection, record_id, account_id, native_parent (wanted) and crm_parent of live records; `changes` is
    FIELD_CHANGES. A parent that the CRM shows without a change on record was there in time.
    """
    rows = engine.materialize(dated.join(shown, on="account_id", how="inner"))
    if not engine.count(rows.head(1)):
        return engine.table([], LATENCY)
    moves = changes.filter(nw.col("field") == "parent").select(
        "connection",
        "record_id",
        nw.col("new_value").alias("native_parent"),
        nw.col("changed_at").str.slice(0, 10).alias("changed_on"),
    )
    written = rows.join(moves, on=["connection", "record_id", "native_parent"], how="left")
    last = first_by(written, ["connection", "record_id"], ["changed_on"], descending=["changed_on"])
    there = certain(nw.col("crm_parent") == nw.col("native_parent"))
    applied = cases(
        [(~there, nw.lit(None, dtype=TEXT)), (nw.col("changed_on") > nw.col("effective_from"), nw.col("changed_on"))],
        nw.col("effective_from"),
    )
    ready = last.with_columns(applied_on=applied).select(*_INPUT, nw.lit(as_of).alias("as_of"))
    counted = engine.map_batches(ready, count_days, _LAGS)
    late = nw.col("latency_days") > policy.update_sla_days
    note = text(
        "source lag ", nw.col("source_lag_days").cast(TEXT), " d, own lag ", nw.col("own_lag_days").cast(TEXT), " d"
    )
    return engine.materialize(conform(counted.with_columns(is_breached=late, note=note), LATENCY))


def count_days(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The three spans in days; an unknown day of first sight is the effective date, and never before it."""
    given = {name: batch.column(name) for name in batch.schema.names}
    start = given["effective_from"].cast(pa.date32())
    until = pc.coalesce(given["applied_on"], given["as_of"]).cast(pa.date32())
    seen = pc.coalesce(given["first_seen"], given["effective_from"]).cast(pa.date32())
    seen = pc.min_element_wise(pc.max_element_wise(seen, start), pc.max_element_wise(until, start))
    days = {
        "latency_days": pc.max_element_wise(pc.days_between(start, until), 0),
        "source_lag_days": pc.days_between(start, seen),
        "own_lag_days": pc.max_element_wise(pc.days_between(seen, until), 0),
    }
    columns = {**{name: given[name] for name in _INPUT}, **days}
    return pa.RecordBatch.from_arrays([columns[f.name].cast(f.type) for f in _LAGS], schema=_LAGS)
