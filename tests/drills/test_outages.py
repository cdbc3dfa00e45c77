"""A full disk, a server that cuts connections, a clock that jumps: nothing lost, nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store.database import StoreError
from tests.drills.conftest import Places
from tests.drills.lives import Fate, live
from tests.drills.outages import OUTAGES, suffer
from tests.drills.world import make


@pytest.mark.parametrize("seed", range(4))
def test_a_full_disk_stops_a_run_and_loses_nothing(tmp_path: Path, seed: int) -> None:
    assert suffer(Places(tmp_path, None), seed, "disk full")["stopped"] > 0


def test_a_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    place = Places(tmp_path, None)()
    fate = Fate(seed=0, faults=False, humans=False)
    database = OUTAGES["disk full"](place, fate, random.Random(11))
    with pytest.raises(StoreError, match="disk is full"):
        live(place, make(place), fate, 0, database=database)


@pytest.mark.postgres
@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_cuts_the_connection_loses_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> None:
    suffer(Places(tmp_path, request.getfixturevalue("postgres")), seed, "cut off by the server")


@pytest.mark.parametrize("seed", range(2))
def test_a_clock_that_jumps_loses_nothing(new_place: Places, seed: int) -> None:
    assert suffer(new_place, seed, "clock jumps")["stopped"] == 0
