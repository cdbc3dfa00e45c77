"""The --where language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.planning.selectors import SelectorError, parse

FIELDS = ("state", "group", "depth", "name")
ROW = {"state": "conflict", "group": "ownership", "depth": 3, "name": "St. Vincent Evansville"}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("state=conflict", True),
        ("state=CONFLICT", True),
        ("state!=conflict", False),
        ("depth>=2 and depth<10", True),
        ("depth > 3", False),
        ('name~"vincent ev"', True),
        ("not state=drift", True),
        ("state=drift or group=ownership", True),
        ("state=drift or group=ownership and depth=4", False),
        ("(state=drift or group=ownership) and depth=3", True),
    ],
)
def test_a_selector_selects_what_it_says(selector: str, selected: bool) -> None:
    assert parse(selector, FIELDS)(ROW) is selected


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("stat=conflict", 'did you mean "state"'),
        ("state", "ends where one of"),
        ("state=", "ends where a value"),
        ("state=conflict depth=3", "not expected here"),
        ("(state=conflict", "closing parenthesis"),
        ('name="St', "close the quotes"),
        ("state conflict x", "expected ="),
    ],
)
def test_a_selector_that_cannot_be_read_is_refused_with_the_reason(selector: str, message: str) -> None:
    with pytest.raises(SelectorError, match=message):
        parse(selector, FIELDS)


def test_a_missing_value_compares_as_empty() -> None:
    assert parse('name=""', FIELDS)({"name": None})


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text_gives_a_predicate_or_a_selector_error(text: str) -> None:
    try:
        predicate = parse(text, FIELDS)
    except SelectorError:
        return
    assert predicate(ROW) in (True, False)
