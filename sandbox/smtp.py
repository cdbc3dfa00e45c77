"""A mail server for one machine: keeps what it gets, and refuses or hangs up when told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

START_TIMEOUT_S = 10.0


class Refusal(StrEnum):
    """What the sink does with a mail instead of keeping it."""

    LATER = "later"  # 451: try again later
    NEVER = "never"  # 554: refused for good
    HANG_UP = "hang_up"  # the connection is closed without a reply; the mail is not kept
    KEEP_THEN_HANG_UP = "keep_then_hang_up"  # kept, but the sender never learns of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail as it arrived."""

    sender: str  # of the envelope
    recipients: tuple[str, ...]  # of the envelope
    message: EmailMessage

    def as_dict(self) -> dict[str, Any]:
        """The mail as JSON values: envelope, headers, plain and HTML text, names of attachments."""
        plain, html = (self.message.get_body(preferencelist=(kind,)) for kind in ("plain", "html"))
        return {
            "sender": self.sender,
            "recipients": list(self.recipients),
            "subject": self.message["subject"],
            "message_id": self.message["message-id"],
            "headers": {name: str(value) for name, value in self.message.items()},
            "text": plain.get_content() if plain else "",
            "html": html.get_content() if html else "",
            "attachments": [part.get_filename() for part in self.message.iter_attachments()],
        }


@dataclass(slots=True)
class _Handler:
    """aiosmtpd's hooks. It runs on the server's thread; the lists are read by others."""

    messages: list[Mail]
    refusals: list[Refusal]
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd names it
        """Keep or refuse one mail."""
        with self.lock:
            refusal = self.refusals.pop(0) if self.refusals else None
            if refusal in (None, Refusal.KEEP_THEN_HANG_UP):
                self.messages.append(_mail(envelope))
        if refusal in (Refusal.HANG_UP, Refusal.KEEP_THEN_HANG_UP):
            if isinstance(server.transport, asyncio.WriteTransport):
                server.transport.abort()
            return ""
        replies = {Refusal.LATER: "451 4.3.0 try again later", Refusal.NEVER: "554 5.7.1 refused"}
        return replies[refusal] if refusal else "250 2.0.0 kept"


class MailSink:
    """The server. Port 0 takes a free one; `host` and `port` are known after `start`."""

    def __init__(self, *, port: int = 0) -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.messages: list[Mail] = []
        self._refusals: list[Refusal] = []
        self._handler = _Handler(self.messages, self._refusals)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    def refuse(self, refusal: Refusal, times: int = 1) -> None:
        """Treat the next `times` mails so; calls queue up."""
        with self._handler.lock:
            self._refusals.extend([refusal] * times)

    def clear(self) -> None:
        """Forget the mails kept and the refusals still to come."""
        with self._handler.lock:
            self.messages.clear()
            self._refusals.clear()

    def start(self) -> Self:
        """Listen; returns when the port is open. OSError when it is taken."""
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(loop,), name="mail-sink", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._listen(loop, listener), loop)
        self._server = starting.result(START_TIMEOUT_S)
        return self

    def stop(self) -> None:
        """Close the port and end the thread. Harmless when it is closed already."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop = self._thread = self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    async def _listen(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(self._handler, loop=loop, hostname="sandbox"), sock=listener)

    async def _close(self) -> None:
        """Stop listening and cancel the connections that are still open."""
        if self._server is not None:
            self._server.close()
        here = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not here]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _mail(envelope: Envelope) -> Mail:
    content = envelope.content or b""
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return Mail(sender=envelope.mail_from or "", recipients=tuple(envelope.rcpt_tos), message=message)
