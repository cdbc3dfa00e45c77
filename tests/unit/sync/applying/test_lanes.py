from __future__ import annotations

import narwhals as nw
import pytest

from jobs.engines import PolarsEngine
from sync.applying.lanes import lane_name, lane_rank

LANES = {"salesforce": {"account_tier": "batch"}, "hubspot": {"owner": "batch", "parent": "association"}}


@pytest.mark.parametrize(
    ("connection", "fields", "lane"),
    [
        ("salesforce", ["account_tier"], "batch"),
        ("salesforce", ["account_tier", "owner"], "conditional"),
        ("salesforce", ["unheard_of"], "conditional"),
        ("hubspot", ["owner"], "batch"),
        ("hubspot", ["parent"], "association"),
        ("hubspot", ["owner", "parent"], "association"),
    ],
)
def test_an_item_goes_by_the_most_careful_lane_of_its_fields(connection: str, fields: list[str], lane: str) -> None:
    engine = PolarsEngine()
    text = nw.String()
    table = engine.table(
        [{"connection": connection, "field": field} for field in fields], {"connection": text, "field": text}
    )
    (row,) = engine.rows(table.select(rank=lane_rank(LANES).min()).select(lane=lane_name(nw.col("rank"))))
    assert row["lane"] == lane
