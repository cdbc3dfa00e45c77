"""Keys of a delivery: what repeats is found, in memory or spilled to files, with the same answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.csv_feed import keys
from connectors.csv_feed.keys import KeyTally
from connectors.csv_feed.rowset import RowSet

ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=60)


def _answers(rows: list[tuple[int, int]], held: int) -> tuple[set[tuple[tuple[int, ...], bool]], object, float]:
    tally = KeyTally(held=held)
    for number, (key, cells) in enumerate(rows, 1):
        tally.add(number, [str(key)], [str(cells)])
    found = {(tuple(map(int, repeat.numbers)), repeat.identical) for repeat in tally.repeats()}
    sample = tally.sample()
    covered = tally.coverage(sample[0])
    tally.close()
    return found, sample, covered


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_keys_in_files_give_the_same_answers_as_keys_in_memory(rows: list[tuple[int, int]]) -> None:
    in_memory, in_files = _answers(rows, 1_000), _answers(rows, 7)
    assert in_files == in_memory
    expected: dict[int, list[tuple[int, int]]] = {}
    for number, (key, cells) in enumerate(rows, 1):
        expected.setdefault(key, []).append((number, cells))
    assert in_memory[0] == {
        (tuple(number for number, _ in group), len({cells for _, cells in group}) == 1)
        for group in expected.values()
        if len(group) > 1
    }


def test_a_key_that_most_rows_share_is_told_and_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_PART", 50)
    tally = KeyTally(held=10)
    for number in range(200):
        tally.add(number, ["same"], [str(number)])
    assert sum(len(repeat.numbers) for repeat in tally.repeats()) == 50
    assert tally.is_skewed
    tally.close()


@settings(max_examples=40, deadline=None)
@given(numbers=st.lists(st.integers(0, 500)))
def test_a_row_set_is_a_set(numbers: list[int]) -> None:
    rows = RowSet(numbers)
    assert rows == set(numbers)
    assert (len(rows), list(rows)) == (len(set(numbers)), sorted(set(numbers)))
    assert all((number in rows) == (number in set(numbers)) for number in range(-1, 520))
    assert "1" not in rows
