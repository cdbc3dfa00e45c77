"""Access to HubSpot: a static bearer token, or a refresh token exchanged before each access token runs out."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from connectors.errors import Fatal
from connectors.hubspot.responses import SYSTEM

REFRESH_MARGIN_S = 60.0  # a token this close to its end is not used for a new request
USUAL_LIFE_S = 1800.0  # of an access token whose answer does not say


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A private app's, service key's or sandbox's token. It does not run out."""

    token: str = field(repr=False)

    @property
    def lasting(self) -> str:
        """What stays the same for as long as the installation does."""
        return self.token


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshGrant:
    """An OAuth app's installation in one portal."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)

    @property
    def lasting(self) -> str:
        """What stays the same for as long as the installation does."""
        return self.refresh_token


Credentials = StaticToken | RefreshGrant


class TokenSource(Protocol):
    """Gives the bearer token for the next request."""

    def bearer(self) -> str:
        """A token that is good now. Raises Fatal when the credentials are refused."""
        ...

    def renew(self, refused: str) -> bool:
        """True when there is another token than the refused one to try."""
        ...


class FixedBearer:
    """The static token, always."""

    def __init__(self, credentials: StaticToken) -> None:
        if not credentials.token.strip() or not credentials.token.isascii():
            raise Fatal(
                "The HubSpot access token is empty or has characters that no token has. "
                "Set it in PLATBOOK_HUBSPOT__ACCESS_TOKEN.",
                system=SYSTEM,
                code="NO_TOKEN",
            )
        self._token = credentials.token.strip()

    def bearer(self) -> str:
        return self._token

    def renew(self, refused: str) -> bool:
        return False


class RefreshedBearer:
    """Exchanges the refresh token when the access token nears its end; one exchange at a time for all threads."""

    def __init__(self, fetch: Callable[[], Mapping[str, Any]], *, clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._token = ""
        self._ends_at_s = 0.0

    def bearer(self) -> str:
        with self._lock:
            if not self._token or self._clock() >= self._ends_at_s:
                self._exchange()
            return self._token

    def renew(self, refused: str) -> bool:
        with self._lock:
            if self._token == refused:
                self._exchange()
            return self._token != refused

    def _exchange(self) -> None:
        answer = self._fetch()
        token, life_s = answer.get("access_token"), answer.get("expires_in", USUAL_LIFE_S)
        if not isinstance(token, str) or not token or not isinstance(life_s, int | float):
            raise Fatal("HubSpot's token answer has no access token. Install the app again.", system=SYSTEM)
        self._token = token
        self._ends_at_s = self._clock() + max(0.0, life_s - REFRESH_MARGIN_S)


def checked_base_url(url: str) -> str:
    """The base URL without a trailing slash. Raises Fatal unless it is https, or http to this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host and not parts.query:
        return url.rstrip("/")
    if parts.scheme == "http" and _is_loopback(host) and not parts.query:
        return url.rstrip("/")
    raise Fatal(
        f"The HubSpot base URL has scheme {parts.scheme or 'none'!r}; https is required, http only to this machine. "
        "Correct PLATBOOK_HUBSPOT__BASE_URL.",
        system=SYSTEM,
        code="BASE_URL",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
