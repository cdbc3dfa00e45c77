"""Retry-After in seconds, and which addresses may be spoken to in clear text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.errors import Fatal
from connectors.http import checked_base_url, is_loopback, retry_after_s

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        (" 0.5 ", 0.5),
        ("Sat, 31 Jan 2026 12:01:30 GMT", 90.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now=NOON) == seconds


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "128.0.0.1", "127.0.0.1.example", "10.0.0.1"])
def test_other_names_are_not(host: str) -> None:
    assert not is_loopback(host)


def test_an_address_loses_its_trailing_slash() -> None:
    assert checked_base_url("https://a.example/x/", system="s", setting="s.url") == "https://a.example/x"
    assert checked_base_url("http://[::1]:80/", system="s", setting="s.url") == "http://[::1]:80"


@pytest.mark.parametrize("url", ["http://a.example", "ftp://a.example", "https://", "", "https://u:p@a.example"])
def test_an_unsafe_address_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(Fatal, match=r"^s\.url"):
        checked_base_url(url, system="s", setting="s.url")
