"""Logging in to Salesforce: client credentials or JWT bearer, and a local sandbox in the place of salesforce.com."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from connectors.errors import Fatal
from connectors.http import BoundedAdapter, checked_base_url, is_loopback
from connectors.protocol import CallMeter
from connectors.salesforce.responses import SYSTEM
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Http, Session

API_VERSION = "62.0"

_VERSION = re.compile(r"\d{2,3}\.0", re.ASCII)
_SUFFIX = ".salesforce.com"
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.salesforce\.com", re.ASCII)
_LOCAL_DOMAIN = "platbook-sandbox.my"  # never leaves this machine: the loopback adapter rewrites it
_LOCAL_AUDIENCE = "login"  # what a JWT is addressed to there, as for every organisation without a domain of its own
_SHARED_DOMAINS = ("login", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """An OAuth connected app that acts as its own integration user."""

    client_id: str
    client_secret: str = field(repr=False)
    login_url: str  # https://<my domain>.my.salesforce.com, or http://127.0.0.1:<port>
    api_version: str = API_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtBearer:
    """A connected app with a certificate, acting as a named user. The key comes as text or as a file."""

    client_id: str
    username: str
    private_key: str = field(default="", repr=False)  # PEM text
    private_key_file: Path | None = None
    login_url: str = "https://login.salesforce.com"  # https://test.salesforce.com for a sandbox organisation
    api_version: str = API_VERSION


def connect(
    config: ClientCredentials | JwtBearer,
    *,
    timeout_s: float = 60.0,
    policy: RetryPolicy | None = None,
    meter: CallMeter | None = None,
) -> Session:
    """Log in and give the session. Raises Fatal naming what to check, Retriable when Salesforce cannot be reached."""
    domain, loopback = _domain(config.login_url)
    if loopback and isinstance(config, JwtBearer):
        domain = _LOCAL_AUDIENCE
    login = _client(config, domain) if isinstance(config, ClientCredentials) else _bearer(config)
    http = Http(timeout_s=timeout_s)
    http.mount("https://", _Loopback(loopback) if loopback else _Pinned())
    if loopback:
        http.trust_env = False  # a proxy has no business between two ends of one machine
    return Session(
        http=http,
        login={**login, "domain": domain},
        api_version=_version(config.api_version),
        policy=policy or RetryPolicy(),
        meter=meter or CallMeter(),
    )


class _Pinned(BoundedAdapter):
    """Sends to hosts of Salesforce only: where the instance is, the login's answer says, and a token goes there."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        host = urlsplit(request.url or "").hostname or ""
        if not _HOST.fullmatch(host):
            raise Fatal(
                "the Salesforce login names an instance outside salesforce.com; nothing was sent there. "
                "Check salesforce.login_url, and the proxy between it and us",
                system=SYSTEM,
                code="INSTANCE",
            )
        return super().send(request, *args, **kwargs)


class _Loopback(BoundedAdapter):
    """Keeps a session on this machine: the library hard-wires https and the host of the login.

    The address of the instance, which the login tells, may be another port than the login's.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        asked = urlsplit(request.url or "")
        is_instance = is_loopback(asked.hostname or "")
        base = f"{urlsplit(self._base_url).scheme}://{asked.netloc}" if is_instance else self._base_url
        request.url = f"{base}{request.path_url}"
        return super().send(request, *args, **kwargs)


def _domain(login_url: str) -> tuple[str, str]:
    """Give the library's domain word, and the base address of a loopback server or ""."""
    base = checked_base_url(login_url, system=SYSTEM, setting="salesforce.login_url")
    host = (urlsplit(base).hostname or "").lower()
    if is_loopback(host):
        return _LOCAL_DOMAIN, base
    if not host.endswith(_SUFFIX) or urlsplit(base).path:
        raise Fatal(
            f"salesforce.login_url names {host}; expected https://<my domain>.my.salesforce.com "
            "(Setup > My Domain), or a loopback address for a local sandbox",
            system=SYSTEM,
        )
    return host.removesuffix(_SUFFIX), ""


def _version(text: str) -> str:
    version = text.removeprefix("v")
    if not _VERSION.fullmatch(version):
        raise Fatal(f"salesforce.api_version is {text!r}; expected a release such as {API_VERSION}", system=SYSTEM)
    return version


def _client(config: ClientCredentials, domain: str) -> dict[str, str]:
    _present("client id", config.client_id)
    _present("client secret", config.client_secret)
    if domain in _SHARED_DOMAINS:
        raise Fatal(
            f"salesforce.login_url is https://{domain}.salesforce.com; client credentials log in at the organisation's "
            "own address. Use https://<my domain>.my.salesforce.com (Setup > My Domain)",
            system=SYSTEM,
        )
    return {"consumer_key": config.client_id, "consumer_secret": config.client_secret}


def _bearer(config: JwtBearer) -> dict[str, str]:
    _present("client id", config.client_id)
    _present("user name", config.username)
    key = config.private_key or _key_text(config.private_key_file)
    if "PRIVATE KEY" not in key:
        raise Fatal("salesforce private key is not PEM text; expected -----BEGIN PRIVATE KEY-----", system=SYSTEM)
    if "ENCRYPTED" in key:
        raise Fatal(
            "salesforce private key has a password; store it without one, readable by Platbook only", system=SYSTEM
        )
    return {"username": config.username, "consumer_key": config.client_id, "privatekey": key}


def _key_text(path: Path | None) -> str:
    if path is None:
        raise Fatal("salesforce private key is missing; set the key or the path of its file", system=SYSTEM)
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Fatal(f"salesforce private key file {path} cannot be read: {reason}", system=SYSTEM) from None


def _present(name: str, value: str) -> None:
    if not value.strip():
        raise Fatal(f"salesforce {name} is missing; set it in the settings", system=SYSTEM)
