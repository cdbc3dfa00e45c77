"""The shipped model on the labelled hospitals beside a checkout: the goals, and what must never be bound."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

from bench.identity import GROUPS, forbidden, tally, unlike
from bench.labelled import Key, Truth, load_truth, load_world
from jobs.engines import PolarsEngine
from mappings.load import load
from sync.identity.duplicates import find_duplicates
from sync.identity.judge import Identity, link
from sync.world import World

DATA = Path(os.environ.get("PLATBOOK_LABELLED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (DATA / "truth").is_dir(), reason="the labelled hospitals are not beside this checkout"),
]
Bonds = dict[str, dict[Key, str]]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return load_truth(DATA)


@pytest.fixture(scope="module")
def judged() -> tuple[World, Identity]:
    mappings = load()
    world = load_world(DATA, mappings)
    return world, link(world, mappings.policies.identity, mappings.places, PolarsEngine())


@pytest.fixture(scope="module")
def bound(judged: tuple[World, Identity]) -> Bonds:
    accounts: dict[str, list[Key]] = defaultdict(list)
    how: dict[Key, str] = {}
    for row in PolarsEngine().rows(judged[1].links):
        key = (row["source"], row["source_id"])
        accounts[row["account_id"]].append(key)
        how[key] = row["how"]
    return {
        key[1]: {one: how[one] for one in members if one[0] != "definitive"}
        for members in accounts.values()
        for key in members
        if key[0] == "definitive"
    }


@pytest.mark.parametrize(
    ("group", "precision", "recall"),
    [("facilities", 0.997, 0.980), ("no identifier path", 0.995, 0.955), ("hard", 0.99, 0.88), ("systems", 1.0, 0.99)],
)
def test_the_shipped_threshold_reaches_the_goals(
    bound: Bonds, truth: Truth, group: str, precision: float, recall: float
) -> None:
    found = tally(bound, truth, GROUPS[group])
    assert found.right / found.bound >= precision
    assert found.right / found.possible >= recall


def test_links_with_unlike_names_are_right(bound: Bonds, truth: Truth) -> None:
    found = unlike(bound, truth)
    assert found.right / found.bound >= 0.99


def test_no_record_that_must_not_match_is_ever_bound(bound: Bonds, truth: Truth) -> None:
    assert truth.forbidden
    assert forbidden(bound, truth) == []


def test_the_review_band_is_small(judged: tuple[World, Identity], bound: Bonds) -> None:
    assert len({one.party for one in judged[1].open_pairs}) <= 0.03 * len(bound)


def test_planted_duplicates_are_found(judged: tuple[World, Identity], truth: Truth) -> None:
    mappings, engine = load(), PolarsEngine()
    model = mappings.policies.identity.model
    assert model is not None
    found = find_duplicates(judged[0], judged[1].links, mappings.places, model, engine)
    pairs = {(one.record, one.other) for one in found if truth.entity[one.record] and truth.entity[one.other]}
    right = len(pairs & truth.duplicates)
    assert right / len(pairs) >= 0.985
    assert right / len(truth.duplicates) >= 0.985
