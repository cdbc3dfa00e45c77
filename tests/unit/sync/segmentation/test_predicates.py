"""Compiled predicates agree with the row-wise reading of the grammar, and say what unknown means."""

from __future__ import annotations

from itertools import product
from typing import Any

import narwhals as nw
import pytest

from jobs.engines import PolarsEngine
from mappings.expressions import evaluate, parse
from sync.segmentation.predicates import (
    at_least,
    column,
    facts_of,
    is_false,
    is_true,
    is_unknown,
    letter,
    parse_rules,
    wanted,
)

ENGINE = PolarsEngine()
TEXT, INT, BOOL = nw.String(), nw.Int64(), nw.Boolean()


def value_of(node: Any, low: Any, high: Any, dtype: Any) -> bool | None:
    frame = ENGINE.table([{"f__lo": low, "f__hi": high}], {"f__lo": dtype, "f__hi": dtype})
    return next(iter(ENGINE.rows(frame.select(column(parse(node)).alias("x")))))["x"]


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte", "eq"])
@pytest.mark.parametrize("actual", [None, 4999, 5000, 5001])
def test_a_known_number_compares_as_the_grammar_says(op: str, actual: int | None) -> None:
    node = {op: ["f", 5000]}
    assert value_of(node, actual, actual, INT) == evaluate(parse(node), lambda _: actual, lambda _: None)


@pytest.mark.parametrize(
    ("node", "low", "high", "expected"),
    [
        ({"gte": ["f", 5000]}, 0, 5500, None),  # a bound of 55 % leaves 50 % or more open
        ({"gte": ["f", 5000]}, 0, 4500, False),  # a bound of 45 % does not
        ({"gte": ["f", 5000]}, 5000, None, True),
        ({"gt": ["f", 6000]}, 6000, 6000, False),  # 38.0 + 22.0 = 60.0 is not above 60
        ({"gt": ["f", 6000]}, 6010, 6010, True),  # 38.1 + 22.0 = 60.1 is
        ({"gt": ["f", 6000]}, 5000, 7000, None),
        ({"lte": ["f", 25]}, 26, None, False),
        ({"lt": ["f", 25]}, None, 24, True),
        ({"eq": ["f", 5]}, 6, None, False),
        ({"eq": ["f", 5]}, 4, 6, None),
        ({"in": ["f", [5, 9]]}, 6, 8, False),
    ],
)
def test_bounds_settle_what_they_can(node: Any, low: Any, high: Any, expected: bool | None) -> None:
    assert value_of(node, low, high, INT) is expected


@pytest.mark.parametrize(
    ("node", "low", "high", "expected"),
    [
        ({"eq": ["f", "IDN"]}, "COMMUNITY_SYSTEM", "IDN", None),
        ({"in": ["f", ["IDN", "COMMUNITY_SYSTEM"]]}, "COMMUNITY_SYSTEM", "IDN", True),
        ({"in": ["f", ["CAH", "ASC"]]}, "COMMUNITY_SYSTEM", "IDN", False),
        ({"eq": ["f", "IDN"]}, None, None, None),
    ],
)
def test_one_of_two_texts_is_known_where_both_agree(node: Any, low: Any, high: Any, expected: bool | None) -> None:
    assert value_of(node, low, high, TEXT) is expected


@pytest.mark.parametrize("actual", [True, False, None])
@pytest.mark.parametrize("against", [True, False])
def test_booleans_compare(actual: bool | None, against: bool) -> None:
    node = {"eq": ["f", against]}
    expected = None if actual is None else actual == against
    assert value_of(node, actual, actual, BOOL) is expected


def test_connectives_follow_kleene_for_every_combination() -> None:
    nodes = [{"all": ["a", "b", "c"]}, {"any": ["a", "b", "c"]}, {"not": "a"}]
    nodes += [{"at_least": [k, ["a", "b", "c"]]} for k in (1, 2, 3)]
    rows = [
        dict(zip(("p__a", "p__b", "p__c"), values, strict=True)) for values in product([True, False, None], repeat=3)
    ]
    frame = ENGINE.table(rows, dict.fromkeys(("p__a", "p__b", "p__c"), BOOL))
    for node in nodes:
        expr = parse(node)
        found = [row["x"] for row in ENGINE.rows(frame.select(column(expr).alias("x")))]
        expected = [evaluate(expr, lambda _: None, lambda name, r=row: r[f"p__{name}"]) for row in rows]
        assert found == expected, node


def test_the_helpers_say_what_unknown_means() -> None:
    frame = ENGINE.table([{"x": True}, {"x": False}, {"x": None}], {"x": BOOL})
    x = nw.col("x")
    made = frame.select(t=is_true(x), f=is_false(x), u=is_unknown(x), letter=letter(x), one=at_least(1, [x]))
    assert [tuple(row.values()) for row in ENGINE.rows(made)] == [
        (True, False, False, "T", True),
        (False, True, False, "F", False),
        (False, False, True, "U", None),
    ]


def test_predicates_come_after_those_they_mention() -> None:
    rules = parse_rules({"b": {"not": "a"}, "a": {"eq": ["f", "x"]}})
    assert [rule.name for rule in rules] == ["a", "b"]
    with pytest.raises(ValueError, match="a, b: each waits"):
        parse_rules({"a": {"not": "b"}, "b": {"not": "a"}})


def test_a_predicate_says_what_would_make_it_true() -> None:
    rules = {r.name: r for r in parse_rules({"no_gpo": {"eq": ["gpo_covered", False]}, "big": {"gte": ["beds", 200]}})}
    assert wanted(rules["no_gpo"]) == "gpo_covered is confirmed as false"
    assert wanted(rules["big"]) == "beds is confirmed at least 200"


def test_the_facts_behind_an_expression_are_found_through_names() -> None:
    exprs = {
        rule.name: rule.expr for rule in parse_rules({"a": {"eq": ["x", "1"]}, "b": {"any": ["a", {"gt": ["y", 2]}]}})
    }
    assert facts_of(parse({"not": "b"}), exprs) == ("x", "y")
