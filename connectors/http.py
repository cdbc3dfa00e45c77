"""What every connector asks of HTTP: safe addresses, bounded answers, Retry-After, proof that nothing was sent."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from connectors.errors import Fatal

MAX_ANSWER_BYTES = 256 << 20
"""Bytes of one answer after unpacking: many times what a page or an extract has, and what a machine can hold."""

_CHUNK_BYTES = 1 << 16
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


class BoundedAdapter(HTTPAdapter):
    """Reads an answer in pieces and stops where it is larger than any real one: a packed bomb, or no CRM at all."""

    max_bytes: int | None = None  # None = MAX_ANSWER_BYTES

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        response = super().send(request, *args, **options)
        if not options.get("stream"):
            try:
                response._content = bounded(response.iter_content(_CHUNK_BYTES), max_bytes=self.max_bytes)
            except BaseException:
                response.close()
                raise
        return response


def bounded(chunks: Iterable[bytes], *, max_bytes: int | None = None) -> bytes:
    """Give the whole answer. Raises requests' and urllib3's errors, ContentDecodingError for one that is too large."""
    limit = MAX_ANSWER_BYTES if max_bytes is None else max_bytes
    whole = bytearray()
    for chunk in chunks:
        whole += chunk
        if len(whole) > limit:
            raise requests.exceptions.ContentDecodingError(f"answer larger than {limit:,} bytes")
    return bytes(whole)


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
