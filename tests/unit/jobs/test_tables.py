"""Arrow tables: a delta merged over the last snapshot."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.tables import arrow_schema, from_rows, merge, object_schema, overlaid, widened
from mappings.canonical import FieldType
from mappings.schema import FieldMap, ObjectMap
from sync.world import USERS

SCHEMA = pa.schema([("record_id", pa.large_string()), ("name", pa.large_string()), ("modified_at", pa.large_string())])
MERGED = pa.schema([*SCHEMA, ("merged_into", pa.large_string())])


def _table(*rows: tuple[str, str, str]) -> pa.Table:
    return from_rows([[dict(zip(SCHEMA.names, row, strict=True)) for row in rows]], SCHEMA)


def test_a_changed_row_replaces_the_old_one_and_others_stay() -> None:
    merged = merge(_table(("1", "old", "a"), ("2", "same", "a")), _table(("1", "new", "b")), ["record_id"])
    assert merged.to_pylist() == _table(("1", "new", "b"), ("2", "same", "a")).to_pylist()


def test_a_row_that_comes_twice_keeps_its_newest_version() -> None:
    merged = merge(None, _table(("1", "newer", "b"), ("1", "older", "a")), ["record_id"], stamp="modified_at")
    assert merged["name"].to_pylist() == ["newer"]


def test_a_row_that_says_where_it_was_merged_into_wins() -> None:
    rows = [
        {"record_id": "1", "name": None, "modified_at": None, "merged_into": "2"},
        {"record_id": "1", "name": "still listed", "modified_at": "z", "merged_into": None},
    ]
    merged = merge(None, from_rows([rows], MERGED), ["record_id"], stamp="modified_at")
    assert merged["merged_into"].to_pylist() == ["2"]


def test_deleted_rows_leave() -> None:
    merged = merge(_table(("1", "a", "a"), ("2", "b", "a")), SCHEMA.empty_table(), ["record_id"], gone=["1"])
    assert merged["record_id"].to_pylist() == ["2"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=3), st.sampled_from("123456"))))
def test_reading_a_delta_twice_changes_nothing(rows: list[tuple[str, str, str]]) -> None:
    once = merge(_table(("a", "x", "0")), _table(*rows), ["record_id"], stamp="modified_at")
    assert merge(once, _table(*rows), ["record_id"], stamp="modified_at").equals(once)


def test_custom_fields_follow_the_known_columns_with_their_type() -> None:
    fields = {
        "email": FieldMap(native="Email"),
        "x_quota": FieldMap(native="Quota__c", type=FieldType.MONEY, meaning="Yearly quota"),
    }
    schema = object_schema("user", ObjectMap(native="User", id="Id", fields=fields))
    assert schema.names == [*USERS, "x_quota"]
    assert schema.field("x_quota").type == pa.int64()


def test_tables_of_two_sources_stand_under_one_another_with_nulls_where_a_column_is_missing() -> None:
    one = pa.table({"connection": ["salesforce"], "x_only": ["1"]})
    both = widened([one, arrow_schema(USERS).empty_table()], USERS)
    assert both.column_names == [*USERS, "x_only"]
    assert both.to_pylist()[0]["email"] is None


def test_a_row_that_an_index_shows_as_it_was_before_changes_nothing() -> None:
    known = _table(("1", "now", "b"), ("2", "same", "b"))
    merged = merge(known, _table(("1", "before", "a"), ("2", "moved", "b")), ["record_id"], stamp="modified_at")
    assert merged["name"].to_pylist() == ["now", "moved"]


def test_what_was_seen_later_lies_over_a_table_field_by_field() -> None:
    table = _table(("2", "b", "1"), ("1", "a", "1"), ("3", "c", "1"))
    seen = {("1",): {"name": None}, ("3",): {"name": "now", "unknown": "x"}, ("4",): {"name": "not here"}}
    assert overlaid(table, seen, ["record_id"]).to_pylist() == [
        {"record_id": "2", "name": "b", "modified_at": "1"},
        {"record_id": "1", "name": None, "modified_at": "1"},
        {"record_id": "3", "name": "now", "modified_at": "1"},
    ]
