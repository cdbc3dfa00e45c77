"""Identity on Polars and on Spark: the same links of 10,000 firms and records, byte for byte, scores and all."""

from __future__ import annotations

from typing import Any

import pytest

from bench.identity_scale import tables
from bench.worlds import world_of
from jobs.engines import PolarsEngine, SparkEngine
from mappings.load import load
from sync.engine import Engine, Frame
from sync.identity.judge import link
from sync.world import World

FIRMS = 5_000  # and as many records
pytestmark = pytest.mark.spark


def test_ten_thousand_rows_are_linked_the_same_on_spark(spark: SparkEngine) -> None:
    mappings, engine = load(), PolarsEngine()
    policy, places = mappings.policies.identity, mappings.places
    made = tables(FIRMS, places)
    ours = link(world_of(made), policy, places, engine)
    frames: dict[str, Frame] = {name: spark.from_arrow(table.to_arrow()) for name, table in made.items()}
    theirs = link(World(**frames), policy, places, spark)
    expected = _rows(ours.links, engine)
    assert sum(row[2] == "model" for row in expected) > FIRMS / 4, "the model linked too little to prove anything"
    assert _rows(theirs.links, spark) == expected
    assert theirs.open_pairs == ours.open_pairs


def _rows(frame: Frame, engine: Engine) -> list[tuple[Any, ...]]:
    columns = ("source", "source_id", "how", "account_id", "evidence")
    return sorted(tuple(row[name] for name in columns) for row in engine.rows(frame))
