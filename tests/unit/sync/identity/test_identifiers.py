"""Check digits and classes of provider numbers, against the published ranges."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sync.identity.identifiers import ccn_class, ccn_classes, group_of_class, group_of_kind, valid_npi


@pytest.mark.parametrize(
    ("ccn", "expected"),
    [
        ("050001", "acute"),
        ("050879", "acute"),
        ("171300", "cah"),
        ("171399", "cah"),
        ("171500", "hospice"),
        ("172000", "ltch"),
        ("172500", "dialysis"),
        ("173025", "rehab"),
        ("173300", "childrens"),
        ("173400", "rural_clinic"),
        ("174000", "psych"),
        ("175000", "snf"),
        ("177000", "home_health"),
        ("05S001", "psych_unit"),
        ("05T001", "rehab_unit"),
        ("05020F", "emergency"),
        ("50001", "malformed"),
        ("ABCDEF", "malformed"),
    ],
)
def test_the_class_follows_the_number(ccn: str, expected: str) -> None:
    assert ccn_class(ccn) == expected


def test_an_unknown_number_has_no_class() -> None:
    assert ccn_classes(pa.array([None, "171300"], pa.string())).to_pylist() == [None, "cah"]


def test_acute_and_critical_access_are_one_group_and_a_nursing_home_is_not() -> None:
    assert group_of_class("acute") == group_of_class("cah") != group_of_class("snf")
    assert group_of_class("malformed") is None


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("Hospital Short Term Acute Care Hospital", "hospital"),
        ("Home Health Agency", "home_health"),
        ("Health System", "system"),
        ("IDN", "system"),
        ("", None),
        (None, None),
    ],
)
def test_the_type_text_names_a_group(kind: str | None, group: str | None) -> None:
    assert group_of_kind(kind) == group


def test_only_npis_with_the_right_check_digit_pass() -> None:
    # 1234567893 is the example of the NPI standard: 80840 1234567893 sums to 70.
    npis = pa.array(["1234567893", "1234567890", "2234567893", "123", None, "abcdefghij"], pa.string())
    assert valid_npi(npis).to_pylist() == ["1234567893", None, None, None, None, None]


def test_a_batch_without_rows_is_allowed() -> None:
    assert len(valid_npi(pa.array([], pa.string()))) == 0
    assert len(ccn_classes(pa.array([], pa.string()))) == 0
