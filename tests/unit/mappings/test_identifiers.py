"""Phone, ZIP, domain, NPI and CCN in one form each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.identifiers import ccn_6, email, is_npi, npi_10, padded_id, phone_10, state_code, web_domain, zip_5


@given(
    value=st.one_of(st.none(), st.integers(), st.text(max_size=40), st.from_regex(r"(https?://)?[a-z.@:/0-9-]{1,30}"))
)
@settings(max_examples=300, deadline=None)
def test_forms_never_raise_and_stay_as_they_are_the_second_time(value):
    for form in (phone_10, web_domain, state_code, ccn_6, npi_10, email, lambda v: zip_5(v, "MA")):
        once = form(value)
        assert form(once) == once
    is_npi(str(value))


@pytest.mark.parametrize(
    ("text", "state", "expected"),
    [
        ("02116", "MA", "02116"),
        ("2116", "MA", "02116"),
        ("2116", None, None),
        ("2116", "TX", None),
        ("602", "PR", "00602"),
        ("02116-1234", "MA", "02116"),
        ("021161234", "MA", "02116"),
        ("21161234", "MA", "02116"),
        ("2116.0", "MA", "02116"),
        ("K1A 0B1", "ON", None),
        ("77030", "TX", "77030"),
    ],
)
def test_lost_zeros_of_a_zip_come_back_only_where_the_state_proves_them(text, state, expected):
    assert zip_5(text, state) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(501) 278-3100", "5012783100"),
        ("+1 501.278.3100", "5012783100"),
        ("501-278-3100 ext. 12", "5012783100"),
        ("278-3100", None),
        ("", None),
    ],
)
def test_a_phone_number_is_ten_digits(text, expected):
    assert phone_10(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://www.lcmh.org", "lcmh.org"),
        ("HTTPS://User@WWW.Example.com:8443/Path?q#f", "example.com"),
        ("www.bhcva.com", "bhcva.com"),
        ("strosehospitals.org", "strosehospitals.org"),
        ("health.state.ny.us/hospital", "health.state.ny.us"),
        ("localhost", None),
        ("10.0.0.1", None),
        ("not a site", None),
        ("http://", None),
    ],
)
def test_a_web_address_becomes_its_host(text, expected):
    assert web_domain(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("50689", "050689"), ("050689", "050689"), ("5015f", "05015F"), ("05-0689", "050689"), ("7E+05", "7E+05")],
)
def test_a_ccn_gets_its_leading_zero_back_and_a_damaged_one_stays_visible(text, expected):
    assert ccn_6(text) == expected


# 1234567893 is the example of the CMS check digit paper; the others change one digit, swap two, or are too short.
@pytest.mark.parametrize(
    ("text", "valid"),
    [("1234567893", True), ("1295728491", True), ("1234567894", False), ("1243567893", False), ("123456789", False)],
)
def test_an_npi_proves_itself_by_its_check_digit(text, valid):
    assert is_npi(text) is valid


@pytest.mark.parametrize(
    ("text", "code"), [("Texas", "TX"), (" new  york ", "NY"), ("tx", "TX"), ("Bavaria", "BAVARIA")]
)
def test_state_names_become_codes(text, code):
    assert state_code(text) == code


def test_an_id_of_digits_is_padded_and_any_other_kept():
    assert padded_id("123", 6) == "000123"
    assert padded_id("123.0", 6) == "000123"
    assert padded_id("A-1", 6) == "A-1"
    assert padded_id("123", None) == "123"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("Nora@Example.com", "nora@example.com"),
        ("nora@example.com.invalid", "nora@example.com"),
        (" Nora@Example.COM.Invalid ", "nora@example.com"),
        (".invalid", None),
        ("", None),
    ],
)
def test_users_of_a_refreshed_sandbox_are_the_people_of_the_roster(told: str, meant: str | None) -> None:
    assert email(told) == meant
