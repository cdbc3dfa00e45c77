"""Fitting: refuses too few decisions, holds whole states out, writes a file that loads, and draws what it knows."""

from __future__ import annotations

import pytest

from jobs.engines import PolarsEngine
from jobs.identity import pair_id, waterfall
from jobs.identity_file import as_yaml
from jobs.identity_fit import TooFewDecisions, fit, held_out_folds
from mappings.evidence import PAIR_FEATURES, RECORD_FEATURES, SECOND_FEATURES
from mappings.identity_policy import IdentityPolicy
from mappings.load import load
from mappings.located import read
from mappings.models import validate
from tests.fixtures.small_world import account, firm, world


def test_too_few_decisions_are_refused_with_what_is_needed() -> None:
    mappings = load()
    made = world(firms=[firm("100", "Hays Hospital", street="1 A St")], records=[account("A", "Hays", street="1 A St")])
    with pytest.raises(TooFewDecisions, match="1 pairs are known to be the same organisation and 0 not"):
        fit(
            made,
            mappings.policies.identity,
            mappings.places,
            lambda a, b: True,
            PolarsEngine(),
            version="own-1",
            fitted_on="a test",
        )


def test_a_state_is_held_out_whole_and_folds_are_about_equal() -> None:
    groups = ["KS"] * 40 + ["IA"] * 30 + ["MO"] * 20 + ["NE"] * 10
    folds = held_out_folds(groups, 2)
    assert {group: set(folds[[g == group for g in groups]].tolist()) for group in set(groups)} == {
        "KS": {0}, "IA": {1}, "MO": {1}, "NE": {0},
    }  # fmt: skip


def test_the_shipped_policy_written_and_read_again_is_the_same() -> None:
    policy = load().policies.identity
    document = read(as_yaml(policy), "policies/identity.yaml")
    value, problems = validate(document, IdentityPolicy)
    assert not problems
    assert value == policy


def test_the_shipped_model_weighs_known_features_only() -> None:
    model = load().policies.identity.model
    assert model is not None
    assert set(model.first.coefficients) == set(PAIR_FEATURES)
    assert set(model.second.coefficients) == set(SECOND_FEATURES)
    assert set(model.same_record.coefficients) == set(RECORD_FEATURES)
    assert model.review < model.auto


def test_a_waterfall_ends_at_the_score() -> None:
    lines = waterfall({"to begin with": -4000, "name": 5000, "phone": -250})
    assert [line.split("  ")[0].strip() for line in lines] == ["to begin with", "name", "phone", "weight"]
    assert lines[-1].endswith("+0.75")


def test_a_pair_has_one_id_whichever_party_comes_first() -> None:
    one, other = ("definitive", "100"), ("salesforce", "A")
    assert pair_id(one, other) == pair_id(other, one)
