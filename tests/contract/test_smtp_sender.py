"""The sender against a real SMTP server on this machine: delivery, encryption, login, and every kind of refusal."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.errors import Fatal, Rejected, Retriable
from connectors.smtp.sender import Letter, Security, SmtpSender, SmtpSettings


class Handler:
    """Keeps mails; refuses as told."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.data_reply = "250 kept"
        self.sender_reply = ""
        self.recipient_replies: dict[str, str] = {}

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.sender_reply:
            return self.sender_reply
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if reply := self.recipient_replies.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_reply == "hang up":
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            return ""
        self.mails.append(envelope)
        return self.data_reply


Serve = Callable[..., tuple[Handler, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: each has a handler and a port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []

    def serve(*, tls: ssl.SSLContext | None = None, implicit: bool = False, **options: Any) -> tuple[Handler, int]:
        handler = Handler()
        starttls = None if implicit else tls

        async def start() -> asyncio.Server:
            def protocol() -> SMTP:
                return SMTP(handler, loop=loop, hostname="test", tls_context=starttls, **options)

            return await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
        servers.append(server)
        return handler, server.sockets[0].getsockname()[1]

    async def stop() -> None:
        for server in servers:
            server.close()
        here = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not here]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    yield serve
    asyncio.run_coroutine_threadsafe(stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


def sender(port: int, *, tls: ssl.SSLContext | None = None, **settings: Any) -> SmtpSender:
    values = {"host": "127.0.0.1", "sender": "Platbook <p@house.example>", "security": Security.NONE, "timeout_s": 5.0}
    return SmtpSender(SmtpSettings(port=port, **{**values, **settings}), tls=tls)


def letter(*to: str, subject: str = "Owners changed") -> Letter:
    return Letter(message_id="<a@b.example>", to=to or ("ana@people.example",), subject=subject, text="Hello\n.\nBye\n")


def test_a_letter_arrives_with_its_message_id(serve: Serve) -> None:
    handler, port = serve()
    assert sender(port).send(letter("ana@people.example", "bea@people.example", subject="Zoë\r\nBcc: x@y")) == {}
    (mail,) = handler.mails
    assert mail.rcpt_tos == ["ana@people.example", "bea@people.example"]
    assert mail.mail_from == "p@house.example"
    assert isinstance(mail.content, bytes)
    assert b"Message-ID: <a@b.example>\r\n" in mail.content
    assert b"\r\nBcc:" not in mail.content
    assert b"\r\n.\r\nBye" in mail.content


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_an_encrypted_letter_arrives(
    serve: Serve, server_tls: ssl.SSLContext, trusting: ssl.SSLContext, security: Security
) -> None:
    handler, port = serve(tls=server_tls, implicit=security is Security.TLS)
    sender(port, tls=trusting, security=security).send(letter())
    assert len(handler.mails) == 1


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_certificate_nobody_vouches_for_is_fatal(
    serve: Serve, server_tls: ssl.SSLContext, security: Security
) -> None:
    handler, port = serve(tls=server_tls, implicit=security is Security.TLS)
    with pytest.raises(Fatal, match="TLS handshake"):
        sender(port, security=security).send(letter())
    assert handler.mails == []


def test_encryption_that_is_not_offered_is_fatal_and_nothing_is_said_in_the_open(serve: Serve) -> None:
    handler, port = serve()
    with pytest.raises(Fatal, match="SECURITY"):
        sender(port, security=Security.STARTTLS, username="u", password="hush").send(letter())
    assert handler.mails == []


def test_login_works_and_a_wrong_password_is_fatal(
    serve: Serve, server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and data.password == b"right"
        return AuthResult(success=good, handled=False)

    handler, port = serve(tls=server_tls, authenticator=authenticate, auth_required=True)
    options = {"tls": trusting, "security": Security.STARTTLS, "username": "platbook"}
    sender(port, password="right", **options).check()
    sender(port, password="right", **options).send(letter())
    with pytest.raises(Fatal, match="refused the login") as caught:
        sender(port, password="wrong", **options).send(letter())
    assert "wrong" not in str(caught.value)
    assert len(handler.mails) == 1


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"data_reply": "451 later"}, Retriable),
        ({"data_reply": "554 never"}, Rejected),
        ({"sender_reply": "550 not you"}, Fatal),
        ({"sender_reply": "451 later"}, Retriable),
        ({"data_reply": "hang up"}, Retriable),
    ],
    ids=str,
)
def test_each_refusal_has_its_meaning(serve: Serve, replies: dict[str, str], error: type[Exception]) -> None:
    handler, port = serve()
    for name, reply in replies.items():
        setattr(handler, name, reply)
    with pytest.raises(error) as caught:
        sender(port).send(letter())
    assert type(caught.value) is error


def test_some_refused_recipients_are_named_and_the_others_served(serve: Serve) -> None:
    handler, port = serve()
    handler.recipient_replies = {"gone@people.example": "550 unknown"}
    assert sender(port).send(letter("ana@people.example", "gone@people.example")) == {"gone@people.example": 550}
    assert handler.mails[0].rcpt_tos == ["ana@people.example"]


@pytest.mark.parametrize(("reply", "error"), [("550 unknown", Rejected), ("450 busy", Retriable)])
def test_when_all_recipients_are_refused_the_letter_is(serve: Serve, reply: str, error: type[Exception]) -> None:
    handler, port = serve()
    handler.recipient_replies = {"gone@people.example": reply}
    with pytest.raises(error):
        sender(port).send(letter("gone@people.example"))


def test_nobody_listening_is_retriable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Retriable, match="sent again later"):
        sender(port).send(letter())


def test_a_silent_server_does_not_hold_the_sender() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Retriable):
        sender(silent.getsockname()[1], timeout_s=0.2).send(letter())
