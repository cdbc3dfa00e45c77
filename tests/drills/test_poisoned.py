"""What goes wrong upstream stops before anything is written, and an ordinary day is not stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.drills.market import Market, opened
from tests.drills.poisoned import POISONS, ordinary_day, poisoned_day


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with Sandbox() as sandbox:
        yield opened(tmp_path_factory.mktemp("market") / "installed", sandbox, systems=16)


def test_ordinary_days_are_not_stopped(market: Market) -> None:
    days = [ordinary_day(market, seed) for seed in range(2)]
    assert [day.stop.at for day in days] == ["", ""]
    assert all(day.writes for day in days)


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_day_is_stopped_before_anything_is_written(market: Market, poison: str, tmp_path: Path) -> None:
    home = market.world
    day = poisoned_day(market.copied(tmp_path / "copy"), poison, seed=1)
    market.sandbox.use(home)
    assert (day.stop.at, day.writes) == (POISONS[poison][1], 0), day.stop
