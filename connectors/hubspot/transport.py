"""The wire below hubspot-api-client: one connection pool for all its packages, raw bodies, no hidden retries.

The generated client calls `rest_client.GET(...)` and so on; an object of this class stands in that place. So the token
is added at the last moment (held API objects otherwise keep an old one), statuses are read by us (the client's own
exceptions differ by package and lose TLS errors), and paths can name a dated API version.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import urllib3

from connectors.errors import Fatal, Retriable
from connectors.http import bounded
from connectors.hubspot.pool import open_pool
from connectors.hubspot.responses import SYSTEM, Answer, Lost
from connectors.hubspot.retry import UNREACHABLE
from connectors.protocol import CallMeter

_REWRITES = (
    (re.compile(r"^/crm/v3/objects/"), "/crm/objects/{version}/"),
    (re.compile(r"^/crm/v3/owners/?"), "/crm/owners/{version}/"),
    (re.compile(r"^/crm/v3/properties/"), "/crm/properties/{version}/"),
    (re.compile(r"^/crm/v4/associations/"), "/crm/associations/{version}/"),
    (re.compile(r"^/oauth/v1/token"), "/oauth/{version}/token"),
)
_CHUNK_BYTES = 1 << 16
_DATED = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the session says about the request that it is about to make."""

    route: str  # for the meter: method and path without ids
    write: bool = False
    login: bool = False  # counted apart
    bare: bool = False  # carries no access token: it asks for one
    stamp: str = ""  # run id and lease epoch


CURRENT_CALL: ContextVar[Call] = ContextVar("hubspot_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSettings:
    """Plain values of the connection."""

    base_url: str
    api_version: str = "v3"  # or a dated one such as 2026-09
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    pool_size: int = 8

    def __post_init__(self) -> None:
        if self.api_version != "v3" and not _DATED.fullmatch(self.api_version):
            raise Fatal(
                f"The HubSpot API version {self.api_version!r} is neither v3 nor a date such as 2026-09. "
                "Correct PLATBOOK_HUBSPOT__API_VERSION.",
                system=SYSTEM,
                code="API_VERSION",
            )


class Transport:
    """Sends one request and gives its Answer, whatever its status. Thread-safe."""

    def __init__(self, settings: WireSettings, meter: CallMeter, bearer: Callable[[], str]) -> None:
        self._settings, self._meter, self._bearer = settings, meter, bearer
        self._lock = threading.Lock()
        timeout = urllib3.Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s)
        self._pool = open_pool(settings.base_url, timeout=timeout, size=settings.pool_size)

    # The names, arguments and order below are those that the generated ApiClient.request calls.

    def GET(self, url: str, **sent: Any) -> Answer:  # noqa: N802 # the generated client's name
        return self._send("GET", url, **sent)

    def POST(self, url: str, **sent: Any) -> Answer:  # noqa: N802 # the generated client's name
        return self._send("POST", url, **sent)

    def PATCH(self, url: str, **sent: Any) -> Answer:  # noqa: N802 # the generated client's name
        return self._send("PATCH", url, **sent)

    def PUT(self, url: str, **sent: Any) -> Answer:  # noqa: N802 # the generated client's name
        return self._send("PUT", url, **sent)

    def DELETE(self, url: str, **sent: Any) -> Answer:  # noqa: N802 # the generated client's name
        return self._send("DELETE", url, **sent)

    def fetch(self, path: str) -> Answer:
        """GET of a path that the client library has no package for."""
        return self._send("GET", self._settings.base_url + path, headers={"Accept": "application/json"})

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """POST of a path that the client library has no package for."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self._send("POST", self._settings.base_url + path, headers=headers, body=body)

    def close(self) -> None:
        self._pool.clear()

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query_params: Sequence[tuple[str, Any]] | None = None,
        post_params: Sequence[tuple[str, Any]] | None = None,
        body: Any = None,
        **_: Any,
    ) -> Answer:
        call = CURRENT_CALL.get()
        out = self._headers(headers or {}, call)
        payload = urlencode(_texts(post_params)) if post_params else None if body is None else json.dumps(body)
        target = self._versioned(url)
        if query_params:
            target += "?" + urlencode(_texts(query_params))
        self._count(call)
        try:
            response = self._pool.request(
                method, target, body=payload, headers=out, redirect=False, preload_content=False
            )
            data = _read(response)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as exc:
            raise Retriable(
                f"HubSpot at {urlsplit(target).netloc} is not reachable: {_why(exc)}. "
                "Check the network and PLATBOOK_HUBSPOT__BASE_URL; nothing was sent.",
                system=SYSTEM,
                code=UNREACHABLE,
            ) from exc
        except urllib3.exceptions.ProxyError as exc:
            raise Retriable(
                f"The proxy before HubSpot does not let us through: {_why(exc.original_error)}. "
                "Check HTTPS_PROXY and NO_PROXY, and what the proxy allows; nothing was sent.",
                system=SYSTEM,
                code=UNREACHABLE,
            ) from exc
        except urllib3.exceptions.SSLError as exc:
            raise Fatal(
                f"The TLS connection to HubSpot failed ({_why(exc)}). Check the machine's certificates and proxy.",
                system=SYSTEM,
                code="TLS",
            ) from exc
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise Lost(f"HubSpot's answer was lost: {_why(exc)}.", system=SYSTEM, code="ANSWER_LOST") from exc
        answer = Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, data)
        self._note_usage(answer.headers)
        return answer

    def _note_usage(self, headers: Mapping[str, str]) -> None:
        """Keep what is left of the day's calls, where the portal says it: private apps are told, OAuth apps are not."""
        limit, left = (headers.get(f"x-hubspot-ratelimit-daily{end}", "") for end in ("", "-remaining"))
        if limit.isdecimal() and left.isdecimal():
            with self._lock:
                self._meter.day_limit, self._meter.day_left = int(limit), int(left)

    def _headers(self, given: Mapping[str, str], call: Call) -> dict[str, str]:
        headers = {name: str(text) for name, text in given.items() if name.lower() != "authorization"}
        headers["User-Agent"] = _agent(call.stamp)
        headers["Accept-Encoding"] = "gzip"
        if not call.bare:
            headers["Authorization"] = f"Bearer {self._bearer()}"
        return headers

    def _versioned(self, url: str) -> str:
        if self._settings.api_version == "v3" or not url.startswith(self._settings.base_url):
            return url
        path = url[len(self._settings.base_url) :]
        for pattern, replacement in _REWRITES:
            path, changed = pattern.subn(replacement.format(version=self._settings.api_version), path)
            if changed:
                break
        return self._settings.base_url + path.rstrip("/")

    def _count(self, call: Call) -> None:
        with self._lock:
            if call.login:
                self._meter.logins += 1
                return
            if call.write:
                self._meter.writes += 1
            else:
                self._meter.reads += 1
            self._meter.by_route[call.route] = self._meter.by_route.get(call.route, 0) + 1


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The whole answer, unpacked; the connection goes back to the pool, or is closed where the answer was not read."""
    try:
        data = bounded(response.stream(_CHUNK_BYTES, decode_content=True))  # else chunked answers stay packed
    except requests.exceptions.ContentDecodingError as exc:
        response.close()
        raise urllib3.exceptions.DecodeError(str(exc)) from exc
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return data


def _texts(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Booleans as JSON writes them; the generated client would send Python's."""
    return [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in pairs]


def _agent(stamp: str) -> str:
    clean = "".join(c if c.isascii() and c.isprintable() and c not in "()" else "_" for c in stamp)
    return f"platbook ({clean})" if clean else "platbook"


def _why(exc: BaseException) -> str:
    """The kind of failure; the library's text repeats the URL with its query."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(exc).__name__).lower()
