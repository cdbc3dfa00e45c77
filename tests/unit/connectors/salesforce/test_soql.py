"""SOQL says what was meant, whatever the text in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.salesforce import soql

_MEANINGS = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _read_literal(literal: str) -> str:
    """Read a SOQL string literal by its published escapes; fail on anything that would end it early."""
    assert literal[0] == literal[-1] == "'"
    rest = iter(literal[1:-1])
    text = ""
    for char in rest:
        assert char != "'", "an unescaped quote ends the literal"
        text += _MEANINGS[next(rest)] if char == "\\" else char
    return text


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\\'\"\n\r\t\b\f")), max_size=40))
@settings(max_examples=200)
def test_a_quoted_text_reads_back_as_itself(text: str) -> None:
    assert _read_literal(soql.quote(text)) == text


def test_fields_are_asked_for_once_and_in_order() -> None:
    query = soql.select("Account", ("Id", "Name", "Id", "LastModifiedBy.Name"), where="Name = 'x'", limit=5)
    assert query == "SELECT Id, Name, LastModifiedBy.Name FROM Account WHERE Name = 'x' LIMIT 5"


@pytest.mark.parametrize("name", ["", "Na me", "Name--", "1Name", "Name'", "N" * 81, "Nämé", "A.B", "(SELECT"])
def test_what_is_not_an_api_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a Salesforce API name"):
        soql.identifier(name)


@pytest.mark.parametrize("path", ["A..B", ".A", "A.", "A.B OR C"])
def test_a_field_path_is_made_of_api_names(path: str) -> None:
    with pytest.raises(ValueError, match="not a Salesforce API name"):
        soql.field_path(path)


def test_a_field_path_follows_at_most_five_parents() -> None:
    assert soql.field_path("A.B.C.D.E.F") == "A.B.C.D.E.F"
    with pytest.raises(ValueError, match="follows 6 parents"):
        soql.field_path("A.B.C.D.E.F.G")


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("2026-01-31T08:00:00.000Z", "2026-01-31T08:00:00Z"),
        ("2026-01-31T08:00:00.999Z", "2026-01-31T08:00:00Z"),  # rows changed at .5 carry .0
        ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00Z"),
    ],
)
def test_an_instant_is_utc_rounded_down_to_the_second(text: str, literal: str) -> None:
    assert soql.at_or_after("SystemModstamp", text) == f"SystemModstamp >= {literal}"


@pytest.mark.parametrize("text", ["2026-01-31T08:00:00", "yesterday", "2026-01-31T08:00:00Z OR Name != ''"])
def test_what_is_not_an_instant_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        soql.instant(text)


def test_an_id_list_holds_ids_only() -> None:
    assert soql.id_in("AccountId", ["001000000000001"]) == "AccountId IN ('001000000000001AAA')"
    for wrong in ([], ["001') OR (Name != '"]):
        with pytest.raises(ValueError):
            soql.id_in("AccountId", wrong)


def test_equality_escapes_its_text() -> None:
    assert soql.equals("Name", "St. Mary's") == r"Name = 'St. Mary\'s'"
