from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import narwhals as nw
import pytest

from jobs.engines import PolarsEngine
from sync import frames

ENGINE = PolarsEngine()
TEXT, INT, BOOL = nw.String(), nw.Int64(), nw.Boolean()


def rows(frame: Any) -> list[dict[str, Any]]:
    return list(ENGINE.rows(frame))


def column(frame: Any, name: str) -> list[Any]:
    return [row[name] for row in rows(frame.sort("id"))]


@pytest.fixture
def pairs() -> Any:
    values = [("1", "u", "u"), ("2", "u", "v"), ("3", None, None), ("4", "u", None), ("5", None, "v")]
    return ENGINE.table(
        [dict(zip(("id", "a", "b"), row, strict=True)) for row in values], {"id": TEXT, "a": TEXT, "b": TEXT}
    )


def test_null_equals_null_and_differs_from_every_value(pairs: Any) -> None:
    told = pairs.with_columns(d=frames.differs(nw.col("a"), nw.col("b")), s=frames.same(nw.col("a"), nw.col("b")))
    assert column(told, "d") == [False, True, False, True, True]
    assert column(told, "s") == [True, False, True, False, False]


def test_an_unknown_predicate_is_possible_but_not_certain(pairs: Any) -> None:
    unknown = nw.col("a") == "u"
    told = pairs.with_columns(c=frames.certain(unknown), p=frames.possible(unknown))
    assert column(told, "c") == [True, True, False, True, False]
    assert column(told, "p") == [True, True, True, True, True]


def test_a_list_has_whole_words_only_and_null_has_none() -> None:
    values = ["idn_id", "name,idn_id", "idn_id_2,x", None, ""]
    table = ENGINE.table([{"id": str(i), "a": one} for i, one in enumerate(values)], {"id": TEXT, "a": TEXT})
    assert column(table.with_columns(has=frames.lists(nw.col("a"), "idn_id")), "has") == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_nothing_is_one_of_no_values_and_null_is_one_of_none(pairs: Any) -> None:
    told = pairs.with_columns(none=frames.one_of(nw.col("a"), ()), some=frames.one_of(nw.col("a"), {"u"}))
    assert column(told, "none") == [False] * 5
    assert column(told, "some") == [True, True, False, True, False]


def test_the_first_case_that_holds_wins_and_an_unknown_condition_does_not_hold(pairs: Any) -> None:
    told = pairs.with_columns(
        v=frames.cases([(nw.col("a") == nw.col("b"), "equal"), (nw.col("a") == "u", "u")], nw.col("b"))
    )
    assert column(told, "v") == ["equal", "u", None, "u", "v"]


def test_length_prefixed_text_tells_null_from_empty_and_cannot_be_shifted(pairs: Any) -> None:
    table = ENGINE.table([{"id": "1", "a": ""}, {"id": "2", "a": "né:"}, {"id": "3"}], {"id": TEXT, "a": TEXT})
    assert column(table.with_columns(t=frames.length_prefixed(nw.col("a"))), "t") == ["0:", "3:né:", "~"]


def test_joined_text_leaves_nulls_out(pairs: Any) -> None:
    told = pairs.with_columns(t=frames.text(nw.col("a"), "/", nw.col("b")))
    assert column(told, "t") == ["u/u", "u/v", "/", "u/", "/v"]


def test_counting_a_condition_leaves_unknown_out(pairs: Any) -> None:
    (row,) = rows(pairs.select(frames.count_where(nw.col("a") == nw.col("b")).alias("n")))
    assert row["n"] == 1


def test_conforming_adds_missing_columns_as_null_and_drops_strangers(pairs: Any) -> None:
    schema = {"b": TEXT, "n": INT, "ok": BOOL}
    told = frames.conform(pairs, schema)
    assert list(told.collect_schema().names()) == ["b", "n", "ok"]
    assert all(row["n"] is None and row["ok"] is None for row in rows(told))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_first_row_per_key_does_not_depend_on_the_order_of_the_rows(order: Iterable[int]) -> None:
    data = [
        {"id": "1", "k": "a", "at": "2026-01-02", "by": "x"},
        {"id": "2", "k": "a", "at": "2026-01-02", "by": "b"},
        {"id": "3", "k": "a", "at": None, "by": "a"},
        {"id": "4", "k": None, "at": "2026-01-01", "by": "z"},
    ]
    table = ENGINE.table([data[i] for i in order], {"id": TEXT, "k": TEXT, "at": TEXT, "by": TEXT})
    newest = frames.first_by(table, ["k"], ["at", "by"], descending={"at"})
    assert column(newest, "id") == ["2", "4"]
    assert set(rows(newest)[0]) == {"id", "k", "at", "by"}


def test_row_numbers_run_from_one_with_nulls_last() -> None:
    table = ENGINE.table([{"id": "1", "n": None}, {"id": "2", "n": 7}, {"id": "3", "n": 3}], {"id": TEXT, "n": INT})
    assert column(frames.row_number(table, "i", ["n", "id"]), "i") == [3, 2, 1]


def test_the_lowest_row_per_key_is_the_first_row_by_that_column() -> None:
    data = [{"id": "2", "k": "a"}, {"id": "1", "k": "a"}, {"id": "3", "k": "b"}]
    table = ENGINE.table(data, {"id": TEXT, "k": TEXT})
    assert column(frames.lowest_by(table, ["k"], "id"), "id") == ["1", "3"]
    assert column(frames.first_by(table, ["k"], ["id"]), "id") == ["1", "3"]
