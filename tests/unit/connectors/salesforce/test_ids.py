"""Ids in their 18-character form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.salesforce.ids import is_id, to_18

_STEMS = st.text(alphabet="abzABZ0189", min_size=15, max_size=15)

# The first by hand: a0BA0 has capitals at places 2 and 3 = 4 + 8 = 12 = M, 00000 none = A, 0L2ZC at 1, 3 and 4 =
# 2 + 8 + 16 = 26 = 0. The others are pairs published elsewhere.
VECTORS = {
    "a0BA0000000L2ZC": "MA0",
    "AaaAABbbBBCccCC": "ZZZ",
    "ABCDEFGHIJKLMNO": "555",
    "AAaAAbbBBBCcCCC": "123",
    "70130000001tcyI": "AAQ",
    "001550V000WOQZi": "ACP",
    "00558000001N0Ke": "AAK",
    "a0D30000001n7Pi": "EAI",
}


@pytest.mark.parametrize("short", VECTORS)
def test_fifteen_characters_get_the_published_suffix(short: str) -> None:
    assert to_18(short) == short + VECTORS[short]


@pytest.mark.parametrize("text", ["", "001", "001000000000001AAAA", "00100000000000'", "٠٠١٠٠٠٠٠٠٠٠٠٠٠١", "x" * 17])
def test_what_is_not_an_id_is_refused_without_repeating_it(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="expected 15 or 18"):
        to_18(text)


@given(_STEMS)
@settings(max_examples=60)
def test_converting_twice_changes_nothing_and_repairs_a_lower_cased_suffix(stem: str) -> None:
    full = to_18(stem)
    assert to_18(full) == full
    assert to_18(stem + full[15:].lower()) == full


@given(_STEMS, _STEMS)
@settings(max_examples=60)
def test_two_ids_stay_different_when_case_is_lost(one: str, other: str) -> None:
    assert (to_18(one).lower() == to_18(other).lower()) == (one == other)
