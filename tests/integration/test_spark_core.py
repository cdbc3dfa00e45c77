"""The whole core on Polars and on Spark: the same change tables, row for row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from bench.worlds import AS_OF, settled, tables, world_of
from jobs.engines import PolarsEngine, SparkEngine
from mappings.load import load
from sync.engine import Engine, Frame
from sync.reconcile import reconcile
from sync.world import World

ACCOUNTS = 10_000
pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def made() -> Mapping[str, pl.DataFrame]:
    return settled(tables(ACCOUNTS), load(), PolarsEngine())


def test_spark_and_polars_decide_the_same(made: Mapping[str, pl.DataFrame], spark: SparkEngine) -> None:
    mappings = load()
    ours = reconcile(world_of(made), mappings, AS_OF, PolarsEngine())
    theirs = reconcile(_on_spark(made, spark), mappings, AS_OF, spark)
    for name in ("changes", "items", "events"):
        expected = _rows(getattr(ours.plan, name), PolarsEngine())
        assert _rows(getattr(theirs.plan, name), spark) == expected, name
        assert expected, f"{name} is empty: the comparison proves nothing"
    for name in ("links", "hierarchy", "tiers", "ownership"):
        assert _rows(getattr(theirs, name), spark) == _rows(getattr(ours, name), PolarsEngine()), name
    assert theirs.plan.digest == ours.plan.digest
    assert theirs.problems == ours.problems


def _on_spark(made: Mapping[str, pl.DataFrame], engine: SparkEngine) -> World:
    frames: dict[str, Frame] = {name: engine.from_arrow(table.to_arrow()) for name, table in made.items()}
    return World(**frames)


def _rows(frame: Frame, engine: Engine) -> list[tuple[Any, ...]]:
    rows = [tuple(row.values()) for row in engine.rows(frame)]
    return sorted(rows, key=lambda row: tuple((value is None, str(value)) for value in row))
