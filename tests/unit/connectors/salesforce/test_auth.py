"""Logging in: two ways, a local sandbox, and messages that say what to check and no secret."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import ConnectorError, Fatal, Retriable
from connectors.salesforce.auth import ClientCredentials, JwtBearer, connect
from connectors.salesforce.retry import RetryPolicy

HOST = "https://acme.my.salesforce.com"
SECRET = "a-word-nobody-may-see"


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()


def _client(**changes: str) -> ClientCredentials:
    return ClientCredentials(**{"client_id": "id", "client_secret": SECRET, "login_url": HOST, **changes})


def test_client_credentials_log_in_at_the_my_domain(wire: responses.RequestsMock, policy: RetryPolicy) -> None:
    session = connect(_client(), policy=policy)

    sent = wire.calls[0].request
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(f"id:{SECRET}".encode()).decode()
    assert parse_qs(str(sent.body)) == {"grant_type": ["client_credentials"]}
    assert session.identify() == "005000000000001AAA"
    assert session.meter.logins == 1


@pytest.mark.parametrize("from_file", [True, False])
def test_a_jwt_names_the_app_and_the_user(pem: str, policy: RetryPolicy, tmp_path: Path, from_file: bool) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem, encoding="ascii")
    with responses.RequestsMock() as wire:
        wire.post(
            "https://login.salesforce.com/services/oauth2/token", json={"access_token": "t", "instance_url": HOST}
        )
        key: Any = {"private_key_file": file} if from_file else {"private_key": pem}
        connect(JwtBearer(client_id="id", username="o'neil@acme.example", **key), policy=policy)

        form = parse_qs(str(wire.calls[0].request.body))
    claims = json.loads(base64.urlsafe_b64decode(form["assertion"][0].split(".")[1] + "=="))
    assert (claims["iss"], claims["sub"]) == ("id", "o'neil@acme.example")
    assert claims["aud"] == "https://login.salesforce.com"


def test_a_loopback_address_takes_the_place_of_every_salesforce_host(policy: RetryPolicy) -> None:
    with responses.RequestsMock() as wire:
        wire.post(
            "http://127.0.0.1:4010/services/oauth2/token",
            json={"access_token": "t", "instance_url": "https://na1.salesforce.com"},
        )
        wire.get("http://127.0.0.1:4010/services/data/v62.0/limits", json={"Max": 1})
        session = connect(_client(login_url="http://127.0.0.1:4010/"), policy=policy)
        assert session.call("GET", "limits", route="limits", is_write=False).body == {"Max": 1}


def test_an_instance_at_another_port_of_this_machine_is_where_requests_go(policy: RetryPolicy) -> None:
    with responses.RequestsMock() as wire:
        wire.post(
            "http://127.0.0.1:4010/services/oauth2/token",
            json={"access_token": "t", "instance_url": "http://localhost:4011/"},
        )
        wire.get("http://localhost:4011/services/data/v62.0/limits", json={"Max": 1})
        session = connect(_client(login_url="http://127.0.0.1:4010"), policy=policy)
        assert session.call("GET", "limits", route="limits", is_write=False).body == {"Max": 1}


@pytest.mark.parametrize(
    "instance",
    [
        "https://evil.example",
        "https://salesforce.com.evil.example",
        "https://evil.example/?.salesforce.com",
        "https://acme.my.salesforce.com@evil.example",
        "https://evilsalesforce.com",
        "http://169.254.169.254",
    ],
)
def test_a_token_goes_to_hosts_of_salesforce_alone(instance: str, policy: RetryPolicy) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.post(f"{HOST}/services/oauth2/token", json={"access_token": SECRET, "instance_url": instance})
        session = connect(_client(), policy=policy)
        with pytest.raises(Fatal, match=r"outside salesforce\.com"):
            session.call("GET", "limits", route="limits", is_write=False)
        assert len(wire.calls) == 1


def test_a_jwt_to_this_machine_is_addressed_as_to_salesforce(pem: str, policy: RetryPolicy) -> None:
    with responses.RequestsMock() as wire:
        wire.post(
            "http://127.0.0.1:4010/services/oauth2/token",
            json={"access_token": "t", "instance_url": "http://127.0.0.1:4010"},
        )
        login = JwtBearer(client_id="id", username="u@acme.example", private_key=pem, login_url="http://127.0.0.1:4010")
        connect(login, policy=policy)
        form = parse_qs(str(wire.calls[0].request.body))
    claims = json.loads(base64.urlsafe_b64decode(form["assertion"][0].split(".")[1] + "=="))
    assert claims["aud"] == "https://login.salesforce.com"


BAD_SETTINGS: dict[str, tuple[ClientCredentials | JwtBearer, str]] = {
    "clear text to another machine": (_client(login_url="http://acme.my.salesforce.com"), "clear text"),
    "not an address": (_client(login_url="acme"), "not a web address"),
    "a word in the address": (_client(login_url=f"https://me:{SECRET}@acme.my.salesforce.com"), "carries credentials"),
    "another vendor": (_client(login_url="https://acme.example"), "My Domain"),
    "the shared login host": (_client(login_url="https://login.salesforce.com"), "own address"),
    "a version that is none": (_client(api_version="sixty"), "expected a release such as 62.0"),
    "no client id": (_client(client_id=" "), "client id is missing"),
    "no client secret": (_client(client_secret=""), "client secret is missing"),
    "no key": (JwtBearer(client_id="id", username="u"), "private key is missing"),
    "no user name": (JwtBearer(client_id="id", username="", private_key="PRIVATE KEY"), "user name is missing"),
    "a key that is none": (JwtBearer(client_id="id", username="u", private_key=SECRET), "not PEM"),
    "a key with a password": (
        JwtBearer(client_id="id", username="u", private_key="-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "has a password",
    ),
    "a key that is broken": (
        JwtBearer(client_id="id", username="u", private_key=f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"),
        "cannot sign",
    ),
    "a key file that is absent": (
        JwtBearer(client_id="id", username="u", private_key_file=Path("/nonexistent/key.pem")),
        "/nonexistent/key.pem cannot be read",
    ),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_wrong_setting_stops_before_anything_is_sent(case: str, policy: RetryPolicy) -> None:
    config, text = BAD_SETTINGS[case]
    with responses.RequestsMock(), pytest.raises(Fatal, match=text) as stopped:
        connect(config, policy=policy)
    assert SECRET not in str(stopped.value)


@pytest.mark.parametrize(
    ("status", "body", "kind", "tries"),
    [
        (400, {"error": "invalid_client_id", "error_description": "client identifier invalid"}, Fatal, 1),
        (401, {"error": "invalid_client", "error_description": "invalid client credentials"}, Fatal, 1),
        (400, {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}, Fatal, 1),
        (400, {"error": "invalid_grant"}, Fatal, 1),
        (400, {"error": "unknown_error", "error_description": "retry your request"}, Retriable, 3),
        (503, "<html>down</html>", Retriable, 3),
        (429, "slow down", Retriable, 3),
        (302, "<html>moved</html>", Fatal, 1),
        (200, {"no": "token"}, Retriable, 3),
        (200, [], Retriable, 3),
        (200, "<html>maintenance</html>", Retriable, 3),
    ],
)
def test_a_refused_login_is_fatal_and_a_failing_server_is_not(
    status: int, body: object, kind: type[ConnectorError], tries: int, policy: RetryPolicy
) -> None:
    with responses.RequestsMock() as wire:
        text = body if isinstance(body, str) else json.dumps(body)
        wire.post(f"{HOST}/services/oauth2/token", status=status, body=text)
        with pytest.raises(kind) as stopped:
            connect(_client(), policy=policy)
        assert len(wire.calls) == tries
    assert SECRET not in str(stopped.value)
    assert stopped.value.__cause__ is None


def test_a_login_waits_as_long_as_salesforce_asks() -> None:
    waits: list[float] = []
    patient = RetryPolicy(sleep=waits.append, clock=lambda: 0.0, jitter=lambda least, most: least)
    with responses.RequestsMock() as wire:
        wire.post(f"{HOST}/services/oauth2/token", status=503, headers={"Retry-After": "7"})
        with pytest.raises(Retriable):
            connect(_client(), policy=patient)
    assert waits == [7.0, 7.0]


def test_an_address_where_nobody_listens_is_retriable_and_says_nothing_was_sent(policy: RetryPolicy) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Retriable, match="nothing was sent") as unreachable:
        connect(_client(login_url=f"http://127.0.0.1:{port}"), policy=policy)
    assert unreachable.value.code == "UNREACHABLE"


def test_a_lost_login_is_retriable_and_nothing_more(policy: RetryPolicy) -> None:
    with responses.RequestsMock() as wire:
        wire.post(f"{HOST}/services/oauth2/token", body=requests.exceptions.ReadTimeout("slow"))
        with pytest.raises(Retriable) as lost:
            connect(_client(), policy=policy)
    assert type(lost.value) is Retriable


def test_a_configuration_never_shows_its_secret(pem: str) -> None:
    assert SECRET not in repr(_client())
    assert pem not in repr(JwtBearer(client_id="id", username="u", private_key=pem))
