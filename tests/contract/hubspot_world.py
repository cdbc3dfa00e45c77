"""A small HubSpot and a client that holds every reply against the derived description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sandbox.gate import Gate
from sandbox.server import crm_app
from sandbox.world import World
from tests.contract import hubspot_contract

V3 = "/crm/v3/objects/companies"
ASSOCIATIONS = "/crm/v4/associations/companies/companies"
LOADED = "2026-01-05T08:00:00.000Z"

SYSTEM, HOSPITAL, CLINIC, LAKESIDE, CLOSED, DEAL = "101", "102", "103", "104", "105", "501"
"""Mercy Health (parent of the next two), Mercy Hospital, Mercy Clinic, Lakeside (alone), an archived one, a deal."""
ANA, BEA, CARL = "71", "72", "73"
"""Owners: two in use, one archived."""


@dataclass
class Clock:
    """A clock that stands still until it is moved; every look moves it by a millisecond, so that stamps differ."""

    moment: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Answer:
    """A reply."""

    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """Talks to the application in process. Replies that break the description fail the test."""

    def __init__(self, world: World, *, token: str = "sandbox") -> None:  # noqa: S107  # the sandbox's own
        self._app = Gate(crm_app(world), world)
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, form: Any = None, **query: Any) -> Answer:
        """Send a request and check its reply."""
        answer = asyncio.run(self._send(method, path, body, form, query))
        found = hubspot_contract.problems(method, path, answer.status, answer.body)
        assert not found, f"{method} {path} {answer.status}: {found}"
        return answer

    def batch(self, verb: str, inputs: Iterable[Any], path: str = V3, **more: Any) -> Answer:
        """A batch call."""
        return self("POST", f"{path}/batch/{verb}", {"inputs": list(inputs), **more})

    def search(self, *filters: dict[str, Any], **more: Any) -> Answer:
        """A search for companies with one group of filters."""
        groups = [{"filters": list(filters)}] if filters else []
        return self("POST", f"{V3}/search", {"filterGroups": groups, **more})

    def properties(self, record_id: str, *names: str) -> dict[str, Any]:
        """Values of some properties of a company."""
        return dict(self("GET", f"{V3}/{record_id}", properties=",".join(names)).body["properties"])

    async def _send(self, method: str, path: str, body: Any, form: Any, query: dict[str, Any]) -> Answer:
        raw = urlencode(form).encode() if form else b"" if body is None else body
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        kind = b"application/x-www-form-urlencoded" if form else b"application/json"
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "scheme": "http", "client": ("c", 1)}
        scope |= {
            "server": ("127.0.0.1", 80),
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "raw_path": path.encode(),
        }
        scope["query_string"] = urlencode(query, doseq=True).encode()
        scope["headers"] = [(b"content-type", kind), (b"authorization", f"Bearer {self.token}".encode())]
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        await self._app(scope, receive, send)
        content = b"".join(m.get("body", b"") for m in said)
        headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
        return Answer(said[0]["status"], headers, json.loads(content) if content else None)


def hubspot_world(clock: Clock | None = None) -> World:
    """Five companies, three owners and a deal."""
    world = World(now=clock or Clock())
    stamps = {"createdate": LOADED, "hs_lastmodifieddate": LOADED}
    names = {SYSTEM: "Mercy Health", HOSPITAL: "Mercy Hospital", CLINIC: "Mercy Clinic", LAKESIDE: "Lakeside"}
    companies = [{"hs_object_id": key, "name": name, "hubspot_owner_id": ANA, **stamps} for key, name in names.items()]
    companies[1] |= {"hs_parent_company_id": SYSTEM, "domain": "mercy.example", "ccn": "140001"}
    companies[2] |= {"hs_parent_company_id": SYSTEM}
    companies.append({"hs_object_id": CLOSED, "name": "Closed", "archived": True, **stamps})
    world.load("hubspot", "companies", companies)
    people = [(ANA, "Ana", False), (BEA, "Bea", False), (CARL, "Carl", True)]
    owners = [
        {"hs_object_id": key, "firstName": name, "lastName": "Test", "email": f"{name.lower()}@people.example"}
        | {"userId": int(key) + 9000, "archived": archived, **stamps}
        for key, name, archived in people
    ]
    world.load("hubspot", "owners", owners)
    deal = {"hs_object_id": DEAL, "dealname": "Beds", "dealstage": "closedwon", "amount": "1200", **stamps}
    world.load("hubspot", "deals", [deal])
    return world


def more_companies(world: World, count: int) -> list[str]:
    """Load so many plain companies and give their ids, in order."""
    ids = [str(1_000_000 + number) for number in range(count)]
    stamps = {"createdate": LOADED, "hs_lastmodifieddate": LOADED}
    world.load("hubspot", "companies", ({"hs_object_id": key, "name": f"Company {key}", **stamps} for key in ids))
    return ids


def where(name: str, operator: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    """A search filter."""
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}


def edge(start: str, end: str, *types: int) -> dict[str, Any]:
    """An input of an association batch."""
    specs = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id} for type_id in types]
    return {"from": {"id": start}, "to": {"id": end}, "types": specs}
