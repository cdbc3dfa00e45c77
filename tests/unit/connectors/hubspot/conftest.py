"""A loopback HTTP server that answers from a script, and a session that never sleeps."""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors.hubspot.auth import Credentials, StaticToken
from connectors.hubspot.session import HubSpotSession, HubSpotSettings, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted answer. A status of 0 closes the connection without one."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    compressed: bool = False
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any
    peer: tuple[str, int]


class Script:
    """Answers in turn; a function answers from what was asked. The last one serves for ever."""

    def __init__(self) -> None:
        self.base_url = ""
        self.seen: list[Seen] = []
        self._replies: deque[Reply | Callable[[Seen], Reply]] = deque()
        self._lock = threading.Lock()

    def say(self, *replies: Reply | Callable[[Seen], Reply]) -> None:
        self._replies = deque(replies)

    def answer(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
        return reply(seen) if callable(reply) else reply


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            is_json = "json" in (self.headers.get("content-type") or "")
            body = json.loads(raw) if raw and is_json else raw.decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, parts.path, parse_qsl(parts.query), headers, body, self.client_address)
            reply = script.answer(seen)
            if reply.status == 0:
                self.close_connection = True
                return
            out = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            if reply.status == 204:
                out = b""
            if reply.compressed:
                out = gzip.compress(out)
            self.send_response(reply.status)
            extra = {"Content-Encoding": "gzip"} if reply.compressed else {}
            length = {"Transfer-Encoding": "chunked"} if reply.chunked else {"Content-Length": str(len(out))}
            for name, value in {**length, **extra, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.chunked:
                parts = (out[start : start + 7] for start in range(0, len(out), 7))
                out = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
            self.wfile.write(out)

        def log_message(self, format: str, *args: Any) -> None:
            return

    for verb in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler._serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    script.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


Connect = Callable[..., HubSpotSession]


@pytest.fixture
def connect(script: Script, clock: Clock) -> Iterator[Connect]:
    opened: list[HubSpotSession] = []

    def connect(credentials: Credentials | None = None, **settings: Any) -> HubSpotSession:
        around = Surroundings(sleep=clock.sleep, clock=clock, chance=lambda: 0.0)
        values = {"base_url": script.base_url, "requests_per_10s": 0, "searches_per_s": 0, **settings}
        session = HubSpotSession(HubSpotSettings(**values), credentials or StaticToken("pat"), surroundings=around)
        opened.append(session)
        return session

    yield connect
    for session in opened:
        session.close()


@pytest.fixture
def session(connect: Connect) -> HubSpotSession:
    return connect()
