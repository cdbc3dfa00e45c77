"""A Salesforce behind the `responses` library, and a clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import responses

from connectors.salesforce.auth import ClientCredentials, connect
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Session

HOST = "https://acme.my.salesforce.com"
TOKEN_URL = f"{HOST}/services/oauth2/token"
USER_ID = "005000000000001AAA"


@dataclass
class FakeTime:
    """Time in seconds since the start of the test."""

    now_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def policy(fake_time: FakeTime) -> RetryPolicy:
    return RetryPolicy(tries=4, sleep=fake_time.sleep, clock=fake_time.clock)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """The organisation's host, answering logins with token-1, token-2, ... in turn."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for number in (1, 2, 3):
            mock.post(
                TOKEN_URL,
                json={
                    "access_token": f"token-{number}",
                    "instance_url": HOST,
                    "id": f"https://login.salesforce.com/id/00D000000000001AAA/{USER_ID}",
                },
            )
        yield mock


@pytest.fixture
def session(wire: responses.RequestsMock, policy: RetryPolicy) -> Session:
    """A session logged in with token-1; the login is call 0 on the wire."""
    return connect(ClientCredentials(client_id="id", client_secret="word", login_url=HOST), policy=policy)
