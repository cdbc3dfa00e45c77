"""Salesforce ids: the suffix carries the case, and numbers keep their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.salesforce.ids import id18, is_id, make_id


@pytest.mark.parametrize(
    ("short", "suffix"),
    [
        ("a0BA0000000L2ZC", "MA0"),
        ("AaaAABbbBBCccCC", "ZZZ"),
        ("ABCDEFGHIJKLMNO", "555"),
        ("AAaAAbbBBBCcCCC", "123"),
        ("70130000001tcyI", "AAQ"),
        ("001550V000WOQZi", "ACP"),
        ("00558000001N0Ke", "AAK"),
    ],
)
def test_the_suffix_is_the_bitmap_of_upper_case(short, suffix):
    assert id18(short) == short + suffix
    assert id18(short + suffix) == short + suffix


@pytest.mark.parametrize("text", ["", "Ana", "001-00000000-abc", "0010000000000äb"])
def test_text_that_is_no_id_stays_as_it_is(text):
    assert id18(text) == text
    assert not is_id(text)


@given(st.integers(min_value=0, max_value=62**9))
def test_made_ids_are_ids_of_their_object(number):
    made = make_id("001", number)
    assert len(made) == 18
    assert is_id(made)
    assert made.startswith("001")
    assert id18(made[:15]) == made
