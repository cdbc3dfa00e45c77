"""What pulls and pushes cost in calls beside the least they could cost: real connectors over HTTP, growing sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.apply import apply_plan
from jobs.applying.cost import run_floor
from jobs.pull import ConnectionPull, pull
from jobs.settings import Settings
from jobs.wiring import Wired
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from tests.drills.lives import http_connections
from tests.drills.world import PERSON, Place, Wanted, save_plan, wire

ORGS = {"salesforce": "sf", "hubspot": "hs"}
USERS = [make_id("005", 900 + number) for number in range(12)]
OWNERS = [str(7_000 + number) for number in range(12)]
PUSHED = (100, 2_000, 10_000)
PULLED = (10_000, 100_000)
MOST = 1.1
"""Of the floor."""
WATCHED = frozenset({"owner", "parent"})  # of the shipped policy: a person's value may stand against ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way of writing: the field that is moved, and the lane its policy gives it."""

    name: str
    system: str
    field: str
    lane: str
    group: str


ROUTES = (
    Route(name="Salesforce owners", system="salesforce", field="owner", lane="conditional", group="ownership"),
    Route(name="Salesforce tiers", system="salesforce", field="account_tier", lane="batch", group="segmentation"),
    Route(name="HubSpot owners", system="hubspot", field="owner", lane="batch", group="ownership"),
    Route(name="HubSpot tiers", system="hubspot", field="account_tier", lane="batch", group="segmentation"),
    Route(name="HubSpot parents", system="hubspot", field="parent", lane="association", group="hierarchy"),
)


def records(system: str, count: int) -> list[str]:
    """Ids of `count` records."""
    return [make_id("001", 500 + n) if system == "salesforce" else str(9_000 + n) for n in range(count)]


def filled(count: int) -> World:
    """Both CRMs with so many records, all of one owner, and one record more: a parent for all."""
    world = World()
    world.settings.burst_limit = 1_000_000  # counted here is how many calls, not how fast
    people = [{"Id": user, "Name": user, "IsActive": True, "UserType": "Standard"} for user in USERS]
    world.load("salesforce", "User", [{**one, "Username": f"{one['Id']}@people.example"} for one in people])
    world.load("hubspot", "owners", [{"id": one, "email": f"{one}@people.example"} for one in OWNERS])
    accounts = [{"Id": one, "Name": one, "OwnerId": USERS[0]} for one in records("salesforce", count + 1)]
    world.load("salesforce", "Account", accounts)
    companies = [{"id": one, "name": one, "hubspot_owner_id": OWNERS[0]} for one in records("hubspot", count + 1)]
    world.load("hubspot", "companies", companies)
    return world


def push(place: Place, route: Route, count: int) -> tuple[int, int]:
    """(calls made, floor) of moving one field of `count` records."""
    with Sandbox(filled(count)) as sandbox:
        plan_id = save_plan(place, _moves(route, count), ORGS)
        database = place.database()
        connections = http_connections(sandbox.base_url, ORGS, chunk_rows={})
        given = wire(place, database, {route.system: connections[route.system]}, guards=_quiet, watched_fields=WATCHED)
        result = apply_plan(given, plan_id, person=PERSON)
        assert result.is_complete, result.halted
        calls = result.calls[route.system]
        floor = run_floor(database, result, route.system, watched=WATCHED)
        database.close()
    return calls["reads"] + calls["writes"], floor


def pulled(place: Place, count: int) -> tuple[ConnectionPull, ...]:
    """What a full pull of `count` records of each CRM cost."""
    with Sandbox(filled(count)) as sandbox:
        wired = Wired(settings=_settings(place.folder, place.database_url, sandbox.base_url))
        done = pull(wired, full=True)
        wired.database.close()
    return done


def _moves(route: Route, count: int) -> Sequence[Wanted]:
    ids = records(route.system, count + 1)
    users = {"salesforce": USERS, "hubspot": OWNERS}[route.system]
    about = {"connection": route.system, "field": route.field, "lane": route.lane, "group": route.group}
    before = users[0] if route.field == "owner" else None
    after = {"owner": users[1:], "account_tier": ["T1", "T2"], "parent": ids[-1:]}[route.field]
    return [
        Wanted(**about, record_id=one, before=before, after=after[n % len(after)]) for n, one in enumerate(ids[:-1])
    ]


def _settings(folder: Path, database_url: str, base_url: str) -> Settings:
    word = "sandbox"  # the only credential the sandbox knows
    salesforce: dict[str, Any] = {"login_url": base_url, "client_id": word, "client_secret": word}
    hubspot: dict[str, Any] = {"base_url": base_url, "access_token": word}
    return Settings(
        _env_file=None,
        database_url=database_url,
        snapshot_url=str(folder / "snapshots"),
        salesforce=salesforce,
        hubspot=hubspot,
    )


def _quiet(*_: object) -> tuple[()]:
    return ()
