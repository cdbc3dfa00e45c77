"""The engines that set computations run on."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.engines import PolarsEngine, SparkEngine
from sync.engine import Engine

_SMALL = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""Compiling each stage costs more than running it over a few rows."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One Spark session for all tests of the core."""
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark is not here: install Java 17 and run `make spark`")
    folder: Path = tmp_path_factory.mktemp("spark")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyspark leaves sockets and temporary files to the collector
        engine = SparkEngine("local[2]", folder=folder, settings=_SMALL)
        yield engine
        engine.close()


@pytest.fixture
def engine() -> Engine:
    """Polars."""
    return PolarsEngine()
