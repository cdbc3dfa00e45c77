"""Better tiers must imply the next ones; each must be within reach."""

import pytest

from mappings.expressions import parse
from mappings.monotone import TooManyCases, violations

BIG, RICH = {"gte": ["beds", 200]}, {"gt": ["commercial_bp", 5000]}


def found(*tiers, predicates=None):
    parsed = [(name, parse(node)) for name, node in tiers]
    named = {name: parse(node) for name, node in (predicates or {}).items()}
    return [(index, what.split(":")[0]) for index, what in violations(parsed, named)]


def test_a_stricter_tier_above_a_looser_one_is_fine():
    assert found(("T1", {"all": [BIG, RICH]}), ("T2", {"any": [BIG, RICH]})) == []


def test_limits_are_compared_and_not_only_names():
    assert found(("T1", {"gte": ["beds", 300]}), ("T2", {"gte": ["beds", 200]})) == []
    assert found(("T1", {"gte": ["beds", 200]}), ("T2", {"gte": ["beds", 300]}))[0] == (0, "T1 does not imply T2")


def test_one_bed_of_difference_is_seen():
    assert found(("T1", {"gte": ["beds", 201]}), ("T2", {"gt": ["beds", 200]})) == [(1, "T2 can never be given")]
    assert found(("T1", {"gte": ["beds", 200]}), ("T2", {"gt": ["beds", 200]}))[0] == (0, "T1 does not imply T2")


def test_a_predicate_is_looked_into():
    predicates = {
        "strong": {"eq": ["oncology_strength", "STRONG"]},
        "some": {"in": ["oncology_strength", ["STRONG", "X"]]},
    }
    assert found(("T1", "strong"), ("T2", "some"), predicates=predicates) == []
    assert found(("T1", "some"), ("T2", "strong"), predicates=predicates)[0][0] == 0


def test_a_tier_that_a_better_one_always_takes_is_named():
    assert found(("T1", BIG), ("T2", BIG)) == [(1, "T2 can never be given")]


def test_a_tier_that_contradicts_itself_is_named():
    assert found(("T1", {"all": [BIG, {"not": BIG}]}), ("T2", BIG)) == [(0, "T1 can never be given")]


def test_too_many_combinations_are_refused_rather_than_skipped():
    many = {"any": [{"eq": [f"fact{i}", True]} for i in range(20)]}
    with pytest.raises(TooManyCases, match="1048576 combinations of facts, limit 60000"):
        found(("T1", many), ("T2", many))
