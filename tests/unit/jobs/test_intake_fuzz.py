"""Whatever a file holds, it gets a verdict and no exception. `make drill SECTION=feeds` does it for ten minutes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from connectors.csv_feed.contract import Verdict
from mappings.load import load
from tests.drills.fuzz import fuzz

MAPPINGS = load()


@pytest.mark.parametrize("seed", [1_118_077, 1_245_802, 1_420_683, 1_471_311, 1_842_222, 1_914_244])
def test_a_seed_that_once_failed_gets_a_verdict(tmp_path: Path, seed: int) -> None:
    assert fuzz(MAPPINGS, tmp_path, seed) in {Verdict.HOLD_FOR_REVIEW, Verdict.REJECT_FILE}


@pytest.mark.parametrize("first", [0, 1_000, 2_000])
def test_a_damaged_delivery_of_any_layout_gets_a_verdict(tmp_path: Path, first: int) -> None:
    verdicts = Counter(fuzz(MAPPINGS, tmp_path, seed) for seed in range(first, first + 150))
    assert verdicts.total() == 150
    assert {Verdict.HOLD_FOR_REVIEW, Verdict.REJECT_FILE} <= set(verdicts)
