"""Through a proxy, by the environment, as hospitals' networks have it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.errors import Retriable
from connectors.hubspot.transport import CURRENT_CALL, Call, Transport, WireSettings
from connectors.protocol import CallMeter

SEEN: list[tuple[str, str | None]] = []


class _Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        SEEN.append((self.path, self.headers.get("Proxy-Authorization")))
        body = json.dumps({"results": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        SEEN.append((self.path, self.headers.get("Proxy-Authorization")))
        self.send_error(407)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    SEEN.clear()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        for one in (name, name.lower()):
            monkeypatch.delenv(one, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch(base_url: str) -> int:
    CURRENT_CALL.set(Call(route="GET /x"))
    transport = Transport(WireSettings(base_url=base_url), CallMeter(), lambda: "t")
    try:
        return transport.fetch("/x").status
    finally:
        transport.close()


def test_calls_go_through_the_proxy_that_the_environment_names(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://ann%40x:s%3At@{proxy}")
    assert fetch("http://crm.example") == 200
    told = "Basic " + base64.b64encode(b"ann@x:s:t").decode()
    ((path, login),) = SEEN
    assert (path, login) == ("http://crm.example/x", told)


def test_a_proxy_that_refuses_is_named_and_nothing_was_sent(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(Retriable, match=r"proxy before HubSpot .*Check HTTPS_PROXY"):
        fetch("https://crm.example")
    assert [path for path, _ in SEEN] == ["crm.example:443"]


def test_an_address_that_needs_no_proxy_and_one_of_this_machine_are_reached_directly(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch(f"http://{proxy}") == 200
    assert SEEN == [("/x", None)]
    monkeypatch.setenv("no_proxy", "crm.invalid")
    with pytest.raises(Retriable, match="is not reachable"):
        fetch("http://crm.invalid")
