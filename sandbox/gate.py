"""What every request to the sandbox CRMs passes through: faults strike here, and the request log is written here."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.faults import Fault, Verb
from sandbox.moment import Cut, Moment, holding
from sandbox.pages import body_of, changed, following, records_of
from sandbox.strikes import strike
from sandbox.world import Request, World

_MAINTENANCE = b"<html><head><title>Maintenance</title></head><body><h1>We are down for maintenance</h1></body></html>"
_READS_BY_POST = re.compile(r"/(search|batch/read|jobs/query(/\w+)?|oauth2?/.*|oauth/.*token.*)$")
_RETRIEVE = re.compile(r"/composite/sobjects/\w+/?$")

_SESSION = re.compile(r"(<(?:\w+:)?sessionId>)[^<]*")

_log = logging.getLogger(__name__)
_transports: dict[tuple[str, int], asyncio.Transport] = {}


class OpenConnection(H11Protocol):
    """uvicorn's connection, with its transport within reach: a fault must be able to cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower than asyncio's
        """Remember the transport under the address of the peer, which is what ASGI shows of it."""
        super().connection_made(transport)
        _transports[transport.get_extra_info("peername")[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _transports.pop(self.transport.get_extra_info("peername")[:2], None)
        super().connection_lost(exc)


class Gate:
    """ASGI wrapper: draws faults, numbers and logs the request. Handlers find its number in `state.request_seq`."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._before: dict[str, list[Any]] = {}  # records of the page answered last, by system

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw = await _body(receive)
        seq, at = self._world.next_request(), self._world.now()
        faults = self._world.faults.draw(system_of(scope["path"]), scope["method"], scope["path"])
        scope.setdefault("state", {}).update(request_seq=seq, faults=faults)
        answer = await self._answer(scope, raw, faults)
        status = 0 if answer is None else answer[0]["status"]
        self._world.log_request(_logged(scope, raw, seq, at, status))
        if answer is None:
            await _cut(scope, receive)
            return
        for message in answer:
            await send(message)

    async def _answer(self, scope: Scope, raw: bytes, faults: Sequence[Fault]) -> list[Message] | None:
        """The messages to send; None = close the connection instead."""
        by_verb = {fault.verb: fault for fault in reversed(faults)}
        if slow := by_verb.get(Verb.SLOW):
            await asyncio.sleep(slow.seconds)
        if Verb.RESET_BEFORE in by_verb:
            return None
        if refused := by_verb.get(Verb.STATUS):
            return _failure(scope, refused, default=503)
        if Verb.STATUS_200_HTML in by_verb:
            return _messages(200, _MAINTENANCE, "text/html; charset=utf-8")
        answer = await self._served(scope, raw, by_verb)
        if answer is None or Verb.COMMIT_THEN_RESET in by_verb:
            return None
        if failed := by_verb.get(Verb.COMMIT_THEN_500):
            return _failure(scope, failed, default=500)
        return self._paged(scope, answer, by_verb)

    async def _served(self, scope: Scope, raw: bytes, by_verb: Mapping[Verb, Fault]) -> list[Message] | None:
        """What the application answers under the conditions the faults set; None when it was cut off."""
        request = f"{scope['path']} {raw.decode('utf-8', 'replace')}"
        for fault in by_verb.values():
            strike(self._world, fault, system_of(scope["path"]), request)
        stale, partly = by_verb.get(Verb.STALE_READ), by_verb.get(Verb.COMMIT_PARTIAL_THEN_RESET)
        moment = Moment(lag_s=stale.seconds if stale else 0.0, writes_left=partly.rows if partly else None)
        with holding(moment):
            answer = await _collect(self._app, scope, raw)
            if answer is not None and Verb.SKIP_PAGE in by_verb:
                after = following(scope, body_of(answer))
                answer = answer if after is None else await _collect(self._app, after, raw)
        return None if partly else answer

    def _paged(self, scope: Scope, answer: list[Message], by_verb: Mapping[Verb, Fault]) -> list[Message]:
        """The answer as faults of pages leave it. What a page held is kept only while a fault may want it."""
        system = system_of(scope["path"])
        spoiled = changed(answer, by_verb, self._before.get(system, ()))
        if self._world.faults.knows(Verb.DUP_PAGE) and (records := records_of(body_of(answer))):
            self._before[system] = records
        return spoiled


def system_of(path: str) -> str:
    """Which CRM a path belongs to."""
    return "salesforce" if path.startswith(("/services", "/id/")) else "hubspot"


def is_write(method: str, path: str, body: Any) -> bool:
    """True for a request that is meant to change records."""
    if method in ("GET", "HEAD", "OPTIONS") or _READS_BY_POST.search(path):
        return False
    if not isinstance(body, dict):
        return True
    if _RETRIEVE.search(path) and "ids" in body:
        return False
    if path.rstrip("/").endswith("/composite") and isinstance(body.get("compositeRequest"), list):
        parts = [part for part in body["compositeRequest"] if isinstance(part, dict)]
        return any(is_write(str(p.get("method", "")).upper(), str(p.get("url", "")), p.get("body")) for p in parts)
    return True


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _collect(app: ASGIApp, scope: Scope, raw: bytes) -> list[Message] | None:
    """Run the application to its end and keep what it says; None when it was cut off.

    A defect of the sandbox is logged and answered with 500.
    """
    said: list[Message] = []
    pending = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    try:
        await app(scope, receive, send)
    except Cut:
        return None
    except Exception:  # noqa: BLE001  # every request gets an answer; the defect is in the log
        _log.exception("sandbox_defect: %s %s", scope["method"], scope["path"])
        if not said:
            return _messages(500, b"the sandbox has a defect", "text/plain")
    return said


async def _cut(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer, and wait until it is closed."""
    transport = _transports.get(tuple(scope["client"]))
    if transport is not None:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _failure(scope: Scope, fault: Fault, *, default: int) -> list[Message]:
    status = fault.status or default
    if system_of(scope["path"]) == "salesforce":
        code = {429: "REQUEST_LIMIT_EXCEEDED", 503: "SERVER_UNAVAILABLE"}.get(status, "UNKNOWN_EXCEPTION")
        body: Any = [{"message": f"The sandbox was told to fail with {status}.", "errorCode": code}]
    else:
        text = f"The sandbox was told to fail with {status}."
        category = "RATE_LIMITS" if status == 429 else "INTERNAL_ERROR"
        body = {"status": "error", "message": text, "category": category, "correlationId": "sandbox-fault"}
        if status == 429:
            body |= {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
    extra = [] if fault.retry_after is None else [(b"retry-after", f"{fault.retry_after:g}".encode())]
    return _messages(status, json.dumps(body).encode(), "application/json;charset=UTF-8", extra)


def _messages(status: int, body: bytes, content_type: str, extra: Sequence[tuple[bytes, bytes]] = ()) -> list[Message]:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *extra]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    return [start, {"type": "http.response.body", "body": body}]


def _logged(scope: Scope, raw: bytes, seq: int, at: datetime, status: int) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    headers.pop("authorization", None)
    body = parsed_body(raw, headers.get("content-type", ""))
    return Request(
        seq=seq,
        at=at,
        system=system_of(scope["path"]),
        method=scope["method"],
        path=scope["path"],
        query={k: v[0] if len(v) == 1 else v for k, v in parse_qs(scope["query_string"].decode()).items()},
        headers=headers,
        body=_without_secrets(body) if "oauth" in scope["path"] else _without_session(body),
        status=status,
        is_write=is_write(scope["method"], scope["path"], body),
    )


def parsed_body(raw: bytes, content_type: str) -> Any:
    """JSON or form as values, other text as text, nothing as None."""
    if not raw:
        return None
    text = raw.decode("utf-8", "replace")
    if content_type.startswith(("text/", "multipart/")):
        return text
    if "x-www-form-urlencoded" in content_type:
        return dict(parse_qsl(text))
    try:
        return json.loads(text)
    except ValueError:
        return text


def _without_secrets(body: Any) -> Any:
    secret = {"client_secret", "assertion", "refresh_token", "password", "token", "tokenKey", "code"}
    return {k: v for k, v in body.items() if k not in secret} if isinstance(body, dict) else None


def _without_session(body: Any) -> Any:
    """A SOAP envelope without the access token in it; anything else as it is."""
    return _SESSION.sub(r"\1", body) if isinstance(body, str) else body
