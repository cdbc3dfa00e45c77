"""What an answer may cost: a packed bomb or an endless page ends the request, not the process."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from connectors import http
from connectors.errors import Retriable
from connectors.hubspot.transport import CURRENT_CALL, Call, Transport, WireSettings
from connectors.protocol import CallMeter

LIMIT = 1 << 20


class _Bomb(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = gzip.compress(b" " * (8 * LIMIT))
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def _serving() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Bomb) as server:
        worker = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        worker.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        worker.join()


def test_a_packed_bomb_is_not_unpacked_by_a_session() -> None:
    with _serving() as url, requests.Session() as session:
        adapter = http.BoundedAdapter()
        session.mount("http://", adapter)
        assert len(session.get(url, timeout=10).content) == 8 * LIMIT
        adapter.max_bytes = LIMIT
        with pytest.raises(requests.exceptions.ContentDecodingError, match=r"larger than 1,048,576"):
            session.get(url, timeout=10)


def test_a_packed_bomb_is_not_unpacked_by_the_hubspot_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", LIMIT)
    CURRENT_CALL.set(Call(route="GET /x"))
    with _serving() as url:
        transport = Transport(WireSettings(base_url=url), CallMeter(), lambda: "token")
        with pytest.raises(Retriable, match="answer was lost"):
            transport.fetch("/x")
        transport.close()
