"""A started sandbox with a small world of named records, and hands to talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from connectors.salesforce.auth import ClientCredentials, connect
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Session
from sandbox.server import Sandbox
from sandbox.world import World

API = "/services/data/v62.0"


@dataclass(frozen=True)
class People:
    """Users of the sandbox Salesforce by first name; each has a stated role."""

    ana: str = "005000000000aNaAAI"  # active, owns Mercy
    bea: str = "005000000000bEaAAI"  # active, owns Lakeside
    carl: str = "005000000000cARAAY"  # left the company
    rule: str = "005000000000rUlAAI"  # whom the assignment rule hands accounts to


@dataclass(frozen=True)
class Accounts:
    """Accounts of the sandbox Salesforce by short name."""

    system: str = "001000000000sYsAAI"  # Mercy Health System, parent of mercy and clinic
    mercy: str = "001000000000mErAAI"  # Mercy Hospital, owned by Ana, has an account team of two
    clinic: str = "001000000000cLiAAI"  # Mercy Clinic, owned by Ana, no team
    lakeside: str = "001000000000lAkAAI"  # Lakeside Medical Center, owned by Bea, no parent
    closed: str = "001000000000cLoAAI"  # Closed Hospital, deleted


PEOPLE = People()
ACCOUNTS = Accounts()


def small_world(world: World) -> World:
    """Four people, five accounts, two opportunities and one account team in Salesforce."""
    users = [
        ("ana", "Ana Active", True),
        ("bea", "Bea Busy", True),
        ("carl", "Carl Gone", False),
        ("rule", "Rule", True),
    ]
    world.load(
        "salesforce",
        "User",
        [
            {"Id": getattr(PEOPLE, key), "Name": name, "IsActive": active, "UserType": "Standard"}
            | {"Username": f"{key}@people.example", "Email": f"{key}@people.example"}
            for key, name, active in users
        ],
    )
    world.load("salesforce", "Account", _accounts())
    deals = [("006000000000oPnAAI", "Mercy imaging", "Prospecting"), ("006000000000wOnAAI", "Mercy beds", "Closed Won")]
    world.load(
        "salesforce",
        "Opportunity",
        [
            {"Id": key, "Name": name, "StageName": stage, "AccountId": ACCOUNTS.mercy, "OwnerId": PEOPLE.ana}
            | {"CloseDate": "2026-06-30", "Amount": 12500.5}
            for key, name, stage in deals
        ],
    )
    world.load(
        "salesforce",
        "AccountTeamMember",
        [
            {"Id": key, "AccountId": ACCOUNTS.mercy, "UserId": user, "TeamMemberRole": role}
            for key, user, role in [
                ("01M000000000oNeEAI", PEOPLE.ana, "Account Manager"),
                ("01M000000000tWoEAI", PEOPLE.bea, "Sales Rep"),
            ]
        ],
    )
    world.settings.assignment_rule_user = PEOPLE.rule
    return world


def _accounts() -> list[dict[str, Any]]:
    place = {"BillingCity": "Springfield", "BillingState": "IL", "BillingPostalCode": "62701"}
    return [
        {"Id": ACCOUNTS.system, "Name": "Mercy Health System", "OwnerId": PEOPLE.ana, **place},
        {"Id": ACCOUNTS.mercy, "Name": "Mercy Hospital", "OwnerId": PEOPLE.ana, "ParentId": ACCOUNTS.system}
        | {"CCN__c": "140001", "NumberOfEmployees": 900, **place},
        {"Id": ACCOUNTS.clinic, "Name": "Mercy Clinic", "OwnerId": PEOPLE.ana, "ParentId": ACCOUNTS.mercy},
        {
            "Id": ACCOUNTS.lakeside,
            "Name": "Lakeside Medical Center",
            "OwnerId": PEOPLE.bea,
            "Website": "lakeside.example",
        },
        {"Id": ACCOUNTS.closed, "Name": "Closed Hospital", "OwnerId": PEOPLE.bea, "IsDeleted": True},
    ]


class Loopback(HTTPAdapter):
    """Sends what is meant for a Salesforce host to the sandbox: simple-salesforce hard-wires https."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Rewrite the address and send."""
        path = "/" + (request.url or "").split("/", 3)[3]
        request.url = self._base_url + path
        return super().send(request, *args, **kwargs)


class SalesforceHttp:
    """A logged-in session of plain HTTP."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.session = requests.Session()
        self.base_url = sandbox.base_url
        self.login()

    def login(self) -> None:
        """Take a new token."""
        form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}
        answer = requests.post(f"{self.base_url}/services/oauth2/token", data=form, timeout=10)
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def __call__(
        self, method: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None, **params: str
    ) -> requests.Response:
        """Call a resource below /services/data/vNN.N, or an absolute path."""
        url = self.base_url + (path if path.startswith("/") else f"{API}/{path}")
        return self.session.request(method, url, json=json, headers=headers, params=params or None, timeout=10)

    def query(self, soql: str, resource: str = "query", headers: Mapping[str, str] | None = None) -> requests.Response:
        """The first page of a query."""
        return self("GET", resource, headers=headers, q=soql)


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(_running: Sandbox) -> Sandbox:
    """A started sandbox holding the small world, untouched by other tests. Its process-wide parts are shared."""
    _running.use(small_world(World(seed=7)))
    return _running


@pytest.fixture
def salesforce(sandbox: Sandbox) -> Iterator[SalesforceHttp]:
    """Plain HTTP to the sandbox Salesforce, logged in."""
    client = SalesforceHttp(sandbox)
    with client.session:
        yield client


@pytest.fixture
def loopback_session(sandbox: Sandbox) -> Iterator[requests.Session]:
    """A requests session for simple-salesforce that ends up at the sandbox."""
    with requests.Session() as session:
        session.mount("https://", Loopback(sandbox.base_url))
        yield session


class Waits:
    """A clock that moves only by sleeping, and what was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Remember."""
        self.slept.append(seconds)

    def clock(self) -> float:
        """The seconds slept so far."""
        return sum(self.slept)


@pytest.fixture
def waits() -> Waits:
    """What the session of the test waits for, without waiting."""
    return Waits()


@pytest.fixture
def salesforce_session(sandbox: Sandbox, waits: Waits) -> Iterator[Session]:
    """The connector's session at the sandbox Salesforce, with three tries and no real waiting."""
    policy = RetryPolicy(tries=3, sleep=waits.sleep, clock=waits.clock)
    login = ClientCredentials(client_id="sandbox", client_secret="sandbox", login_url=sandbox.base_url)
    with connect(login, timeout_s=5, policy=policy) as session:
        yield session


@pytest.fixture
def people() -> People:
    """Users by first name."""
    return PEOPLE


@pytest.fixture
def accounts() -> Accounts:
    """Accounts by short name."""
    return ACCOUNTS


@pytest.fixture
def many_accounts(sandbox: Sandbox) -> Callable[[int], list[str]]:
    """Adds so many plain accounts and gives their ids, in order."""

    def add(count: int) -> list[str]:
        world = sandbox.world
        ids = [world.new_id("salesforce", "Account") for _ in range(count)]
        names = (f"Hospital {number:05d}" for number in range(count))
        world.load(
            "salesforce",
            "Account",
            [{"Id": key, "Name": name, "OwnerId": PEOPLE.bea} for key, name in zip(ids, names, strict=True)],
        )
        return ids

    return add
