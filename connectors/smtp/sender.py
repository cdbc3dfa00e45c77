"""Sends one letter by SMTP: text with an HTML twin, attachments, and a Message-ID that the caller keeps stable."""

from __future__ import annotations

import ipaddress
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from enum import StrEnum

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable

SYSTEM = "smtp"

_UNSAFE_IN_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MESSAGE_ID = re.compile(r"<[^\s<>@\x00-\x1f\x7f-\uffff]+@[^\s<>@\x00-\x1f\x7f-\uffff]+>")
_ADDRESS = re.compile(r"[^\s<>@,;\x00-\x1f\x7f]+@[^\s<>@,;\x00-\x1f\x7f]+")


class Security(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"  # plain at first, then encrypted before anything is said; usual on port 587
    TLS = "tls"  # encrypted from the first byte; usual on port 465
    NONE = "none"  # plain; to this machine only


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """Plain values; the job reads them from its settings."""

    host: str
    sender: str  # address, or "Name <address>"
    port: int = 587
    security: Security = Security.STARTTLS
    username: str = ""  # "" = no login
    password: str = field(default="", repr=False)
    timeout_s: float = 30.0  # of each step

    def __post_init__(self) -> None:
        object.__setattr__(self, "security", Security(self.security))  # "none" as text must not pass for something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with a letter."""

    name: str
    content: bytes = field(repr=False)
    media_type: str = "text/csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is sent. Subject and file names may hold any text: what cannot stand in a header is taken out."""

    message_id: str  # <unique@host>; the same letter sent twice carries the same one
    to: tuple[str, ...]
    subject: str
    text: str = field(repr=False)
    html: str = field(default="", repr=False)
    attachments: tuple[Attachment, ...] = ()


class SmtpSender:
    """Sends letters through one mail server; every letter in a connection of its own."""

    def __init__(self, settings: SmtpSettings, *, tls: ssl.SSLContext | None = None) -> None:
        if settings.security is Security.NONE and not _is_loopback(settings.host):
            raise Fatal(
                f"Mail to {settings.host} would travel unencrypted; that is allowed to this machine only. "
                "Set PLATBOOK_SMTP__SECURITY to starttls or tls.",
                system=SYSTEM,
                code="PLAIN",
            )
        self._settings = settings
        self._tls = tls or ssl.create_default_context()

    def send(self, letter: Letter) -> Mapping[str, int]:
        """Refused recipients with the server's code, empty when the letter went to all.

        Raises Rejected when the letter or all recipients are refused for good, Retriable when it may work later, Fatal
        when the settings are wrong. After Retriable the letter may have arrived all the same: the Message-ID tells.
        """
        message = compose(letter, self._settings.sender)
        sender = parseaddr(self._settings.sender)[1]
        try:
            with self._connected() as server:
                refused = server.send_message(message, from_addr=sender, to_addrs=list(letter.to))
        except (smtplib.SMTPException, OSError, ValueError) as exc:
            raise _error(exc, self._settings) from exc
        return {address: code for address, (code, _) in refused.items()}

    def check(self) -> None:
        """Connect and log in, send nothing. Raises as `send` does."""
        try:
            with self._connected() as server:
                server.noop()
        except (smtplib.SMTPException, OSError, ValueError) as exc:
            raise _error(exc, self._settings) from exc

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """A connection that is encrypted and logged in as the settings say."""
        server = self._open()
        try:
            yield server
            with suppress(smtplib.SMTPException, OSError):  # the letter is taken: a failed goodbye is not a failed mail
                server.quit()
        finally:
            server.close()

    def _open(self) -> smtplib.SMTP:
        config = self._settings
        if config.security is Security.TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, timeout=config.timeout_s, context=self._tls
            )
        else:
            server = smtplib.SMTP(config.host, config.port, timeout=config.timeout_s)
        try:
            if config.security is Security.STARTTLS:
                server.starttls(context=self._tls)
            if config.username:
                server.login(config.username, config.password)
        except BaseException:
            server.close()
            raise
        return server


def compose(letter: Letter, sender: str) -> EmailMessage:
    """The letter as a message. Raises Rejected when an address or the Message-ID is malformed."""
    if not _MESSAGE_ID.fullmatch(letter.message_id):
        raise Rejected("The Message-ID of a mail is not of the form <unique@host>.", system=SYSTEM, code="MESSAGE_ID")
    for address in letter.to or ("",):
        if not _ADDRESS.fullmatch(address):
            fact = f"The mail address {header_text(address)!r} is not of the form name@host"
            raise Rejected(f"{fact}. Correct the recipients in policies/alerts.yaml.", system=SYSTEM, code="ADDRESS")
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = letter.message_id
    message["Date"] = formatdate(usegmt=True)
    message["Subject"] = header_text(letter.subject)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: keeps out-of-office replies away
    try:
        message["From"] = header_text(sender)
        message["To"] = ", ".join(letter.to)
        _add_content(message, letter)
    except (MessageError, ValueError, IndexError) as exc:
        fact = "The mail could not be put together: an address is malformed"
        raise Rejected(f"{fact}. Correct the sender or the recipients.", system=SYSTEM, code="COMPOSE") from exc
    return message


def header_text(text: str) -> str:
    """The text with everything taken out that could end a header line: nobody writes headers by naming an account."""
    return " ".join(_UNSAFE_IN_HEADER.sub(" ", _encodable(text)).split())


def _add_content(message: EmailMessage, letter: Letter) -> None:
    message.set_content(_encodable(letter.text))
    if letter.html:
        message.add_alternative(_encodable(letter.html), subtype="html")
    for attachment in letter.attachments:
        kind, _, subtype = attachment.media_type.partition("/")
        name = re.sub(r"[/\\]", "_", header_text(attachment.name)) or "attachment"
        params = {"charset": "utf-8"} if kind == "text" else {}
        message.add_attachment(attachment.content, maintype=kind, subtype=subtype, filename=name, params=params)


def _encodable(text: str) -> str:
    """Lone surrogates (undecodable bytes that travelled as text) become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _error(exc: Exception, config: SmtpSettings) -> ConnectorError:
    """The mail server's complaint as a connector error. Texts of servers are left out: they may quote addresses."""
    where = f"Mail server {config.host}:{config.port}"
    code = _code(exc)
    mark = str(code or "")
    if isinstance(exc, smtplib.SMTPAuthenticationError) and not 400 <= code < 500:
        return _fatal(f"{where} refused the login ({code}). Check PLATBOOK_SMTP__USERNAME and __PASSWORD.", code)
    if isinstance(exc, smtplib.SMTPNotSupportedError):
        remedy = "Check PLATBOOK_SMTP__SECURITY, and that the login is wanted there."
        return _fatal(f"{where} does not offer what is needed ({exc}). {remedy}", code)
    if isinstance(exc, ssl.SSLError):
        return _fatal(f"{where}: the TLS handshake failed ({exc.reason}). Check host, port and security.", code)
    if isinstance(exc, smtplib.SMTPSenderRefused) and code >= 500:
        return _fatal(f"{where} refused the sender ({code}). Check the sender's address and the login.", code)
    if code >= 500:
        return Rejected(
            f"{where} refused the mail for good ({code}). See the mail server's log.", system=SYSTEM, code=mark
        )
    if code or isinstance(exc, smtplib.SMTPException | OSError):
        kind = str(code or type(exc).__name__)
        return Retriable(
            f"{where} could not take the mail now ({kind}). It is sent again later.", system=SYSTEM, code=mark
        )
    return Rejected(f"{where}: the mail cannot be sent as it is ({type(exc).__name__}).", system=SYSTEM, code=mark)


def _fatal(message: str, code: int) -> Fatal:
    return Fatal(message, system=SYSTEM, code=str(code or ""))


def _code(exc: Exception) -> int:
    """The reply code; of refused recipients the mildest: one that may work later makes the letter worth another try."""
    if isinstance(exc, smtplib.SMTPResponseException):
        return int(exc.smtp_code)
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        return min(code for code, _ in exc.recipients.values())
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
