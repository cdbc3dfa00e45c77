"""One local server process: both CRMs on one port, the oracle on a second, a mail sink on a third."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.gate import Gate, OpenConnection
from sandbox.oracle import oracle
from sandbox.salesforce.routes import routes as salesforce_routes
from sandbox.world import World

START_TIMEOUT_S = 10.0


class Sandbox:
    """The sandbox, started and stopped. A context manager.

    Port 0 takes a free port. `data` is "demo", or "empty" for bare CRMs.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        oracle_port: int = 0,
        smtp_port: int = 0,
        data: str = "empty",
    ) -> None:
        self.world = World() if world is None else world
        self.base_url = self.oracle_url = ""
        self.mails: Any = None  # sandbox.smtp.MailSink once started
        self._ports = port, oracle_port, smtp_port
        self._servers: list[_Server] = []
        self._crms, self._oracle = _Exchangeable(), _Exchangeable()
        if data == "demo":
            importlib.import_module("sandbox.data.demo").load_demo(self.world)

    @property
    def smtp_host(self) -> str:
        """Where the mail sink listens; "" when there is none."""
        return "" if self.mails is None else str(self.mails.host)

    @property
    def smtp_port(self) -> int:
        """Where the mail sink listens; 0 when there is none."""
        return 0 if self.mails is None else int(self.mails.port)

    def start(self) -> Self:
        """Listen on all ports; returns when they answer. OSError when a port is taken."""
        self.mails = _mail_sink(self._ports[2])
        self.use(self.world)
        try:
            self.base_url = self._serve(self._crms, self._ports[0])
            self.oracle_url = self._serve(self._oracle, self._ports[1])
        except OSError:
            self.stop()
            raise
        return self

    def use(self, world: World) -> None:
        """Serve another world from the next request on, at the same addresses; kept mails are forgotten."""
        self.world = world
        self._crms.app = Gate(crm_app(world), world)
        self._oracle.app = oracle(world, lambda: self.mails)
        if self.mails is not None:
            self.mails.clear()

    def stop(self) -> None:
        """Close everything. Harmless when it is closed already."""
        for server in self._servers:
            server.ask_to_stop()
        while self._servers:
            self._servers.pop().stop()
        if self.mails is not None:
            self.mails.stop()
            self.mails = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _serve(self, app: ASGIApp, port: int) -> str:
        server = _Server(app, port)
        self._servers.append(server)
        server.start()
        return server.url


def crm_app(world: World) -> Starlette:
    """The application of both CRMs; HubSpot's part joins when it is installed."""
    found: list[BaseRoute] = list(salesforce_routes(world))
    if importlib.util.find_spec("sandbox.hubspot.routes") is not None:
        found += importlib.import_module("sandbox.hubspot.routes").routes(world)
    return Starlette(routes=found)


def _mail_sink(port: int) -> Any:
    if importlib.util.find_spec("sandbox.smtp") is None:
        return None
    sink = importlib.import_module("sandbox.smtp").MailSink(port=port)
    sink.start()
    return sink


class _Exchangeable:
    """An application that can be replaced while it is served."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class _Server:
    """One uvicorn in a thread, on a socket bound beforehand so that the port is known and surely ours."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        # With the protocol named, asyncio turns off Nagle's algorithm; without, every answer waits 40 ms for an ACK.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=OpenConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],), daemon=True)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._uvicorn.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise OSError(f"the sandbox did not come up on {self.url} within {START_TIMEOUT_S:g} s")
            time.sleep(0.005)

    def ask_to_stop(self) -> None:
        self._uvicorn.should_exit = True

    def stop(self) -> None:
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(START_TIMEOUT_S)
        self._socket.close()
