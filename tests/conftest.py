"""What every test relies on: a skipped test that this machine promised to run is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

REQUIRED = set(os.environ.get("PLATBOOK_TESTS_REQUIRE", "").split())


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
