"""The engine that set computations run on; `spark` is the other one, for all tests."""

from __future__ import annotations

import pytest

from jobs.engines import PolarsEngine
from sync.engine import Engine


@pytest.fixture
def engine() -> Engine:
    """Polars."""
    return PolarsEngine()
