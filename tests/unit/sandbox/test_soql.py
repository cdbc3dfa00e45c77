"""The SOQL parser reads what it should and refuses the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql import Comparison, Junction, Not, parse

_ESCAPED = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def test_conditions_nest_as_the_parentheses_say():
    where = parse("SELECT Id FROM Account WHERE A = 1 AND (B = true OR NOT C IN ('x', 'y'))").where
    assert isinstance(where, Junction)
    assert where.op == "AND"
    inner = where.parts[1]
    assert isinstance(inner, Junction)
    assert inner.op == "OR"
    assert isinstance(inner.parts[1], Not)


def test_order_limit_and_offset_are_read():
    query = parse("select Id from Account order by Name desc nulls last, Id limit 5 offset 2")
    assert [(term.column.path, term.descending, term.nulls_last) for term in query.order_by] == [
        ("Name", True, True),
        ("Id", False, False),
    ]
    assert (query.limit, query.offset) == (5, 2)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2026-01-31T09:30:00Z", "datetime"),
        ("2026-01-31T09:30:00.000+0000", "datetime"),
        ("2026-01-31T09:30:00-05:00", "datetime"),
        ("2026-01-31", "date"),
        ("-5.25", "number"),
        ("TRUE", "boolean"),
        ("null", "null"),
        ("'2026-01-31'", "string"),
    ],
)
def test_literals_have_kinds(text, kind):
    where = parse(f"SELECT Id FROM Account WHERE X = {text}").where  # noqa: S608  # the parser under test gets text
    assert isinstance(where, Comparison)
    assert where.values[0].kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT FROM Account",
        "SELECT Id Account",
        "SELECT Id FROM Account WHERE",
        "SELECT Id FROM Account WHERE A",
        "SELECT Id FROM Account WHERE A = b",
        "SELECT Id FROM Account WHERE A IN ()",
        "SELECT Id FROM Account WHERE A = 1 B = 2",
        "SELECT Id FROM Account WHERE (A = 1",
        "SELECT Id FROM Account LIMIT many",
        "SELECT Id FROM Account; DROP TABLE Account",
        "SELECT Id FROM Account WHERE A = 'it's'",
        "SELECT Id FROM Account WHERE A = '\\x'",
        "SELECT MAX() FROM Account",
    ],
)
def test_nonsense_is_malformed(text):
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert caught.value.code == "MALFORMED_QUERY"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_text_survives_escaping_and_parsing(value):
    escaped = "".join(_ESCAPED.get(char, char) for char in value)
    where = parse(f"SELECT Id FROM Account WHERE Name = '{escaped}' AND X = 1").where  # noqa: S608  # as above
    assert isinstance(where, Junction)
    first = where.parts[0]
    assert isinstance(first, Comparison)
    assert first.values[0].text == value


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="SELECTidfromAcount '\\()=,<>!01.-:TZ%_\n", max_size=60))
def test_no_text_breaks_the_parser_in_another_way(text):
    assert _refusal(text) in ("", "MALFORMED_QUERY")


def _refusal(text: str) -> str:
    try:
        parse(text)
    except ApiError as error:
        return error.code
    return ""
