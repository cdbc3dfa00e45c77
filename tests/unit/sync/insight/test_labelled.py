"""Two CRMs with planted faults: every system with several owners is listed, and nothing else without a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.multi_rep import Compared, compare

DATA = Path(os.environ.get("PLATBOOK_LABELLED_DATA", str(Path(__file__).parents[5] / "shared" / "data")))

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(
        not (DATA / "truth/crm_seed_defects.csv").is_file(),
        reason="the labelled hospitals are not beside this checkout; set PLATBOOK_LABELLED_DATA to their folder",
    ),
]


@pytest.fixture(scope="module")
def compared() -> Compared:
    return compare(DATA)


def test_FM1_every_planted_system_with_several_owners_is_listed(compared: Compared) -> None:
    assert compared.planted == 30
    assert compared.missed == ()


def test_FM1_whatever_else_is_listed_has_an_owner_who_left_as_planted(compared: Compared) -> None:
    others = [one for one in compared.listed if not one.planted]
    reasons = {one.reason(record).partition(";")[0] for one in others for record in one.odd}
    assert reasons == {"its owner left, which was planted (owner_inactive)"}
    assert all(one.odd for one in others)
