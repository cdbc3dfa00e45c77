"""What a push costs in calls: every group of 250 records in each CRM, over HTTP, beside the least it could cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.apply import apply_plan
from jobs.applying.cost import run_floor
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from tests.drills.conftest import Places
from tests.drills.lives import http_connections
from tests.drills.world import PERSON, Wanted, save_plan, wire

COUNT, MOVED = 250, 20
USERS = [make_id("005", 900 + number) for number in range(12)]
ACCOUNTS = [make_id("001", 500 + number) for number in range(COUNT + 1)]
OWNERS = [str(7_000 + number) for number in range(12)]
COMPANIES = [str(9_000 + number) for number in range(COUNT + 1)]
ORGS = {"salesforce": "sf", "hubspot": "hs"}
MOST = 1.1
WATCHED = frozenset({"owner", "parent"})  # of the shipped policy: a person's value may stand against ours


@pytest.fixture
def crms() -> Iterator[Sandbox]:
    world = World()
    people = [{"Id": user, "Name": user, "IsActive": True, "UserType": "Standard"} for user in USERS]
    world.load("salesforce", "User", [{**one, "Username": f"{one['Id']}@people.example"} for one in people])
    world.load("salesforce", "Account", [{"Id": one, "Name": one, "OwnerId": USERS[0]} for one in ACCOUNTS])
    world.load("hubspot", "owners", [{"id": one, "email": f"{one}@people.example"} for one in OWNERS])
    world.load("hubspot", "companies", [{"id": one, "name": one, "hubspot_owner_id": OWNERS[0]} for one in COMPANIES])
    with Sandbox(world) as sandbox:
        yield sandbox


def every_group() -> list[Wanted]:
    """Owner, system and tier of every record, a parent for the first ones; the last record is the parent."""
    wanted = []
    parts = (("salesforce", ACCOUNTS, USERS, "conditional"), ("hubspot", COMPANIES, OWNERS, "association"))
    for connection, records, users, parents in parts:
        owners = {"before": users[0], "field": "owner"}
        for number, record in enumerate(records[:COUNT]):
            about = {"connection": connection, "record_id": record}
            if number < MOVED:
                parent = {"field": "parent", "group": "hierarchy", "lane": parents}
                wanted.append(Wanted(**about, **parent, before=None, after=records[-1], depth=1))
            wanted.append(Wanted(**about, **owners, after=users[1 + number % 11]))
            others = {"lane": "batch", "before": None}
            wanted.append(Wanted(**about, **others, field="health_system", group="system", after="Mercy"))
            wanted.append(Wanted(**about, **others, field="account_tier", group="segmentation", after="T1"))
    return wanted


def test_a_push_costs_little_more_than_the_safe_least(crms: Sandbox, tmp_path: Path) -> None:
    place = Places(tmp_path, None)()
    plan_id = save_plan(place, every_group(), ORGS)
    database = place.database()
    connections = http_connections(crms.base_url, ORGS, chunk_rows={})
    given = wire(place, database, connections, guards=lambda *_: (), watched_fields=WATCHED)
    result = apply_plan(given, plan_id, person=PERSON)
    assert result.is_complete, result.halted
    for connection, calls in result.calls.items():
        floor = run_floor(database, result, connection, watched=WATCHED)
        made = calls["reads"] + calls["writes"]
        assert floor <= made <= MOST * floor, (connection, made, floor)
    database.close()
