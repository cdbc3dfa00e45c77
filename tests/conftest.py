"""What every test relies on: a skip of what this machine promised to run is a failure; one Spark session for all.

What tests would wait for again and again is done once: no disk is waited for, and no shipped file is parsed twice.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from xdist.scheduler import LoadScopeScheduling

from jobs.engines import SparkEngine

REQUIRED = set(os.environ.get("PLATBOOK_TESTS_REQUIRE", "").split())

MEMORY, ROOM_BYTES = Path("/dev/shm"), 2 << 30
"""A folder in memory, where tests keep their files if it has room: what a killed process wrote is in it still."""

TOGETHER = {
    "tests/drills/test_poisoned.py": "market",
    "tests/integration/test_identity_shared.py": "labelled hospitals",
    "tests/integration/test_identity_spark.py": "spark",
    "tests/integration/test_spark_core.py": "spark",
    "tests/journeys/test_demo.py": "demo",
    "tests/unit/sync/insight/test_labelled.py": "labelled insight",
    "tests/unit/sync/segmentation/test_engines.py": "spark",
    "tests/unit/sync/test_on_spark.py": "spark",
}
"""Files whose tests stay in one process, where several share the tests: what they need is dear to make twice."""

_SMALL = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""Compiling each stage, and optimising Spark itself, costs more than running it over a few thousand rows."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where PLATBOOK_TESTS_REQUIRE names the test's marker."""
    report = yield
    missing = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and missing and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but PLATBOOK_TESTS_REQUIRE names {', '.join(sorted(missing))}: {report.longrepr}"
    return report


def pytest_configure() -> None:
    """Take away the page width that pytest-xdist gives its processes: tables are as wide as in a pipe."""
    os.environ.pop("COLUMNS", None)
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # look again
    yaml.compose = lru_cache(200)(yaml.compose)  # the tree of a text, which nobody changes


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM_BYTES


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


class _Whole(LoadScopeScheduling):
    """One test after the other to whoever is free; those of TOGETHER to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share by file: pytest 9.2 no longer lets `--dist loadgroup` hand its groups over (pytest-xdist issue 1386)."""
    return _Whole(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that needs Spark outside the files that stay in one process: a second session would cost more."""
    for item in items:
        if item.get_closest_marker("spark") and TOGETHER.get(item.nodeid.partition("::")[0]) != "spark":
            raise pytest.UsageError(f"{item.nodeid} needs Spark: name its file in TOGETHER of tests/conftest.py")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """One Spark session for all tests."""
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark is not here: install Java 17 and run `make spark`")
    folder: Path = tmp_path_factory.mktemp("spark")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyspark leaves sockets and temporary files to the collector
        engine = SparkEngine("local[2]", folder=folder, settings=_SMALL)
        yield engine
        engine.close()
