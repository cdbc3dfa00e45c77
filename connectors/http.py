"""What every connector asks of HTTP: a safe base address, Retry-After in seconds, and proof that nothing was sent."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import urllib3

from connectors.errors import Fatal

_NOTHING_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
)


def checked_base_url(url: str, *, system: str, setting: str) -> str:
    """Give the address without its trailing slash; plain http is for loopback only.

    Raises Fatal naming `setting` for an address without a host, with credentials in it, or in clear text.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Fatal(
            f"{setting} is not a web address; expected https://host, or http://127.0.0.1:port for a local sandbox",
            system=system,
        )
    if parts.username or parts.password:
        raise Fatal(f"{setting} carries credentials; keep them in their own settings", system=system)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Fatal(
            f"{setting} uses http to {parts.hostname}; credentials travel in clear text there. "
            "Use https (plain http is accepted for loopback addresses only)",
            system=system,
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after_s(header: str | None, *, now: datetime | None = None) -> float | None:
    """Give the seconds a Retry-After header asks for (number or HTTP date), never negative; None without one."""
    if not header:
        return None
    text = header.strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def never_sent(error: requests.RequestException) -> bool:
    """Tell whether the failure proves that no byte of the request left: no connection was ever made."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, _NOTHING_SENT)
