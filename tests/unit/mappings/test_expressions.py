"""The closed grammar: what it reads, what it refuses, and that its logic is Kleene's."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.expressions import (
    All,
    Any_,
    AtLeast,
    Compare,
    ExpressionError,
    Not,
    Ref,
    check,
    evaluate,
    parse,
    references,
)
from mappings.facts import TIER_FACTS, vocabulary

FACTS = vocabulary(TIER_FACTS)


def fault(node, **names):
    (only,) = check(node, **names)
    return only


def test_every_word_of_the_grammar_becomes_its_node():
    node = {
        "all": [
            "is_idn",
            {"any": [{"eq": ["org_type", "IDN"]}, {"in": ["beds", [1, 2]]}]},
            {"not": {"gt": ["beds", 5]}},
            {"at_least": [1, [{"gte": ["beds", 1]}, {"lt": ["beds", 9]}, {"lte": ["beds", 8]}]]},
        ]
    }
    assert parse(node) == All(
        (
            Ref("is_idn"),
            Any_((Compare("eq", "org_type", "IDN"), Compare("in", "beds", (1, 2)))),
            Not(Compare("gt", "beds", 5)),
            AtLeast(1, (Compare("gte", "beds", 1), Compare("lt", "beds", 9), Compare("lte", "beds", 8))),
        )
    )
    assert references(parse(node)) == {"is_idn"}


@pytest.mark.parametrize(
    ("node", "path", "words", "suggestion"),
    [
        ({"eqq": ["beds", 1]}, ("eqq",), "unknown operator", "eq"),
        ({"atleast": [1, ["a"]]}, ("atleast",), "unknown operator", "at_least"),
        ({"eq": ["bed", 1]}, ("eq", 0), "unknown fact", "beds"),
        ({"eq": ["org_type", "IDNN"]}, ("eq", 1), "is never", "IDN"),
        ({"eq": ["beds", "many"]}, ("eq", 1), "expected a whole number", ""),
        ({"eq": ["gpo_covered", "no"]}, ("eq", 1), "expected true or false", ""),
        ({"gt": ["org_type", 1]}, ("gt", 1), "is not a number", ""),
        ({"gt": ["beds", True]}, ("gt", 1), "is not a whole number", ""),
        ({"eq": ["beds"]}, ("eq",), "needs [fact, value]", ""),
        ({"eq": ["beds", 1.5]}, ("eq", 1), "is not text, a whole number", ""),
        ({"in": ["beds", []]}, ("in", 1), "at least one value", ""),
        ({"in": ["org_type", ["IDN", "CHA"]]}, ("in", 1, 1), "is never", "CAH"),
        ({"all": []}, ("all",), "at least one expression", ""),
        ({"any": "big"}, ("any",), "at least one expression", ""),
        ({"at_least": [3, ["big", "big"]]}, ("at_least", 0), "from 1 to 2", ""),
        ({"at_least": ["big"]}, ("at_least",), "[number, [expressions]]", ""),
        ({"all": ["big", "bigg"]}, ("all", 1), "unknown predicate", "big"),
        ({"all": ["big"], "any": ["big"]}, (), "one operator", ""),
        (17, (), "is not an expression", ""),
        (None, (), "is not an expression", ""),
    ],
)
def test_a_fault_has_its_place_its_reason_and_a_near_miss(node, path, words, suggestion):
    found = fault(node, predicates=frozenset({"big"}), facts=FACTS)
    assert found.path == path
    assert words in found.message
    assert found.suggestion == suggestion


def test_all_faults_of_a_node_come_at_once():
    node = {"all": [{"eqq": [1]}, {"gt": ["bedz", 1]}, "nobody"]}
    assert len(check(node, predicates=frozenset(), facts=FACTS)) == 3
    with pytest.raises(ExpressionError) as refused:
        parse(node)
    assert len(refused.value.faults) == 1  # names are not looked at without a vocabulary


def test_deep_nesting_is_refused_and_does_not_overflow():
    node = "big"
    for _ in range(500):
        node = {"not": node}
    assert "nested deeper" in fault(node).message


KLEENE = (True, False, None)


@pytest.mark.parametrize(("a", "b", "c"), list(product(KLEENE, repeat=3)))
def test_logic_over_unknown_is_what_all_completions_agree_on_for_distinct_predicates(a, b, c):
    given_values = {"a": a, "b": b, "c": c}
    nodes = [{"all": ["a", "b", "c"]}, {"any": ["a", "b", "c"]}, {"at_least": [2, ["a", "b", "c"]]}, {"not": "a"}]
    for node in nodes:
        expr = parse(node)
        free = [name for name, value in given_values.items() if value is None]
        outcomes = {
            evaluate(expr, lambda _: None, (given_values | dict(zip(free, values, strict=True))).get)
            for values in product((True, False), repeat=len(free))
        }
        expected = outcomes.pop() if len(outcomes) == 1 else None
        assert evaluate(expr, lambda _: None, given_values.get) is expected


@pytest.mark.parametrize(
    ("node", "value", "expected"),
    [
        ({"gt": ["beds", 25]}, 25, False),
        ({"gte": ["beds", 25]}, 25, True),
        ({"lt": ["beds", 25]}, 25, False),
        ({"lte": ["beds", 25]}, 25, True),
        ({"in": ["beds", [1, 25]]}, 25, True),
        ({"eq": ["beds", 25]}, None, None),
        ({"gt": ["beds", 25]}, None, None),
    ],
)
def test_comparisons_at_the_limit_and_with_an_unknown_fact(node, value, expected):
    assert evaluate(parse(node), {"beds": value}.get, lambda _: None) is expected


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("beds")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["eq", "in", "all", "any", "not", "at_least", "gt", "x"]), inner, max_size=2),
    ),
    max_leaves=12,
)


@given(node=JUNK)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_the_file_is_parsed_or_refused_with_faults(node):
    faults = check(node)
    if faults:
        with pytest.raises(ExpressionError):
            parse(node)
    else:
        evaluate(parse(node), lambda _: None, lambda _: None)
