"""CSV of Bulk jobs: written tables are read back, wrong ones are refused, cells become values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.salesforce.schema import Field
from sandbox.salesforce.tables import DELIMITERS, Dialect, UnreadableError, cell_of, read_table, value_of, write_table

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=6), st.sampled_from(sorted(DELIMITERS)), st.sampled_from(["LF", "CRLF"])
)
def test_a_table_is_read_back_as_it_was_written(rows: list[tuple[str, str]], delimiter: str, ending: str):
    dialect = Dialect(delimiter=delimiter, line_ending=ending)
    header, found = read_table(write_table(["A", "B"], rows, dialect), dialect)
    assert (header, found) == (["A", "B"], [list(row) for row in rows])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A,B\r\n1,2\r\n", "LineEnding"),
        ("A,B\n1\n", "columns"),
        ("", "header"),
    ],
)
def test_a_table_of_another_kind_is_refused(text: str, reason: str):
    with pytest.raises(UnreadableError, match=reason):
        read_table(text, Dialect())


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("string", "#N/A", None),
        ("string", "12", "12"),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("boolean", "maybe", "maybe"),
        ("int", "12", 12),
        ("double", "1.5", 1.5),
        ("int", "1.5", "1.5"),
    ],
)
def test_a_cell_is_the_value_its_field_wants(kind: str, cell: str, value: object):
    assert value_of(Field(name="F", type=kind), cell) == value


def test_values_are_shown_as_cells():
    assert [cell_of(value) for value in (None, True, False, 3, "x")] == ["", "true", "false", "3", "x"]
