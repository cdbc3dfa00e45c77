"""One exact form per value, and no value that breaks it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mappings.canonical import FieldType
from mappings.transforms import (
    basis_points,
    canonical_text,
    canonicaliser,
    instant,
    iso_date,
    money_cents,
    rural,
    salesforce_id_18,
    whole_number,
    yes_no,
)

ANY_JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2), st.just({})
)
TEXTISH = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[0-9]{1,15}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{15}", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{1,12}(Z|\+0000|\+02:00)?)?", fullmatch=True),
    st.from_regex(r"\(?-?\$?[0-9,]{1,12}(\.[0-9]{1,3})?%?\)?", fullmatch=True),
)


@given(value=st.one_of(TEXTISH, ANY_JSON), type_=st.sampled_from(FieldType))
@example(value="Cafe\u0301", type_=FieldType.TEXT)
@example(value="\u2000x", type_=FieldType.TEXT)
@settings(max_examples=300, deadline=None)
def test_canonical_text_of_canonical_text_is_itself(value, type_):
    once = canonical_text(value, type_)
    assert canonical_text(once, type_) == once
    assert once != ""


@given(value=st.one_of(TEXTISH, ANY_JSON))
@settings(max_examples=200, deadline=None)
def test_no_value_makes_a_parser_raise(value):
    for parse in (whole_number, money_cents, basis_points, yes_no, rural, iso_date, instant):
        parse(value)


@given(type_=st.sampled_from(FieldType), value=TEXTISH)
@settings(max_examples=100, deadline=None)
def test_a_canonicaliser_is_canonical_text_of_one_type(type_, value):
    assert canonicaliser(type_)(value) == canonical_text(value, type_)


@given(cents=st.integers(min_value=-(10**15), max_value=10**15))
def test_money_written_by_a_vendor_reads_back_to_the_cent(cents):
    dollars = f"${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
    assert money_cents(f"({dollars})" if cents < 0 else dollars) == cents


@given(points=st.integers(min_value=0, max_value=10_000))
def test_a_percentage_reads_back_to_the_basis_point(points):
    assert basis_points(f"{points // 100}.{points % 100:02d}%") == points
    assert basis_points(points / 100) == points


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("$1,400,000,000", 140_000_000_000),
        ("(1,200)", -120_000),
        ("-$3.5", -350),
        ("$-3.5", -350),
        ("0", 0),
        (1234.5, 123_450),
        (0.1, 10),
        ("1,40", None),
        ("12 beds", None),
        ("7E+05", None),
        ("", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ("9" * 30, None),
    ],
)
def test_money_is_integer_cents_or_unknown(text, cents):
    assert money_cents(text) == cents


@pytest.mark.parametrize(
    ("text", "points"),
    [("7.2%", 720), ("7.2", 720), ("100%", 10_000), ("100.01%", None), ("-1%", None), ("%", None), ("n/a", None)],
)
def test_a_share_lies_between_0_and_100_percent_or_is_unknown(text, points):
    assert basis_points(text) == points


# The checksum characters of published Salesforce id pairs.
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
def test_a_15_character_salesforce_id_gains_its_checksum(short, suffix):
    assert salesforce_id_18(short) == short + suffix
    assert canonical_text(short, FieldType.ACCOUNT_REF) == short + suffix


def test_ids_that_differ_by_letter_case_only_stay_apart():
    assert salesforce_id_18("001Hs00000fxZf5").lower() != salesforce_id_18("001Hs00000fxZF5").lower()


def test_a_decimal_id_of_15_digits_is_left_alone():
    assert canonical_text("285433107412345", FieldType.ACCOUNT_REF) == "285433107412345"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2017-09-05T05:11:33.000+0000", "2017-09-05T05:11:33.000Z"),
        ("2018-08-23T04:03:09Z", "2018-08-23T04:03:09.000Z"),
        ("2018-08-23T04:03:09.123456Z", "2018-08-23T04:03:09.123Z"),
        ("2018-08-23T06:03:09.5+02:00", "2018-08-23T04:03:09.500Z"),
        ("1534996989000", "2018-08-23T04:03:09.000Z"),
        ("2018-08-23T04:03:09", None),
        ("2018-02-30T04:03:09Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
    ],
)
def test_instants_are_utc_with_milliseconds(value, expected):
    assert instant(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2022-07-15", "2022-07-15"),
        ("7/5/2022", "2022-07-05"),
        ("2022/7/5", "2022-07-05"),
        ("20220715", "2022-07-15"),
        ("2019-03-22T00:00:00Z", "2019-03-22"),
        ("15/7/2022", None),
        ("2022-02-30", None),
        ("７/5/2022", None),
    ],
)
def test_dates_are_iso_or_unknown(value, expected):
    assert iso_date(value) == expected


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        ("  Café ", FieldType.TEXT, "Café"),
        ("Cafe\u0301", FieldType.TEXT, "Café"),
        ("Sunrise \ud83d", FieldType.TEXT, "Sunrise \ufffd"),  # an emoji cut in half by somebody's length limit
        ("", FieldType.PICKLIST, None),
        ("   ", FieldType.TEXT, None),
        (True, FieldType.BOOLEAN, "true"),
        ("False", FieldType.BOOLEAN, "false"),
        ("maybe", FieldType.BOOLEAN, "maybe"),
        (17.0, FieldType.INTEGER, "17"),
        ("0017", FieldType.INTEGER, "17"),
        ("-0", FieldType.INTEGER, "0"),
        ("T1", FieldType.PICKLIST, "T1"),
        ("t1", FieldType.PICKLIST, "t1"),
    ],
)
def test_managed_values_have_one_exact_text(value, type_, expected):
    assert canonical_text(value, type_) == expected
