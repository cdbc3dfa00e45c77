"""When a hospital alone needs no judging, and when it does."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.load import load
from mappings.policy import TierPolicy
from sync.segmentation.standalone import _is_closed_to_hospitals

MAPPINGS = load()
SEGMENTS = MAPPINGS.policies.segments


def _policy(**changes: Any) -> TierPolicy:
    return MAPPINGS.policies.tiers.model_copy(update=changes)


def _tiers(when: dict[str, Any]) -> tuple[Any, ...]:
    last = MAPPINGS.policies.tiers.tiers[-1]
    return (*MAPPINGS.policies.tiers.tiers, last.model_copy(update={"id": "T4", "when": when}))


def test_the_default_tiers_all_ask_for_a_network_so_a_hospital_alone_holds_none() -> None:
    assert _is_closed_to_hospitals(_policy(), SEGMENTS)


@pytest.mark.parametrize(
    "when",
    [
        {"eq": ["org_type", "CAH"]},  # its type is enough
        {"gte": ["beds", 100]},  # what else is known of it may be enough
        {"not": {"eq": ["org_type", "IDN"]}},
    ],
)
def test_a_tier_that_a_hospital_alone_may_hold_is_asked_for_each(when: dict[str, Any]) -> None:
    assert not _is_closed_to_hospitals(_policy(tiers=_tiers(when)), SEGMENTS)


def test_where_one_hospital_may_be_a_network_each_is_asked() -> None:
    few = {**MAPPINGS.policies.tiers.classify, "idn": {"min_hospitals": 1}}
    assert not _is_closed_to_hospitals(_policy(classify=few), SEGMENTS)
    by_people = SEGMENTS.model_copy(update={"idn_profile": "key_network"})
    assert not _is_closed_to_hospitals(_policy(), by_people)
