"""Persons against an apply run, lane by lane: each record is edited once, before our read or between read and write."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.apply import apply_plan
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from store import audit
from tests.drills.lives import http_connections
from tests.drills.world import PERSON, Place, Wanted, save_plan, wire

ORGS = {"salesforce": "sf", "hubspot": "hs"}
USERS = [make_id("005", 900 + number) for number in range(4)]
COUNT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneUnderTest:
    """A lane, the field that both sides want, and the three values of it."""

    name: str
    system: str
    field: str
    native: str
    lane: str
    values: tuple[str | None, str, str]  # before, ours, a person's
    has_team: bool = False


LANES: Mapping[str, LaneUnderTest] = {
    one.name: one
    for one in (
        LaneUnderTest(
            name="Salesforce conditional",
            system="salesforce",
            field="owner",
            native="OwnerId",
            lane="conditional",
            values=(USERS[0], USERS[1], USERS[2]),
        ),
        LaneUnderTest(
            name="Salesforce team (SOAP)",
            system="salesforce",
            field="owner",
            native="OwnerId",
            lane="conditional",
            values=(USERS[0], USERS[1], USERS[2]),
            has_team=True,
        ),
        LaneUnderTest(
            name="HubSpot batch",
            system="hubspot",
            field="routing_queue",
            native="routing_queue",
            lane="batch",
            values=("OLD", "NEW", "HUMAN"),
        ),
        LaneUnderTest(
            name="HubSpot parents",
            system="hubspot",
            field="parent",
            native="hs_parent_company_id",
            lane="association",
            values=("8001", "8002", "8003"),
        ),
    )
}


@dataclass(slots=True, kw_only=True)
class Score:
    """What became of the edits."""

    edits: int = 0
    in_gap: int = 0  # of them between our read and our write
    written: int = 0  # values of ours that were written
    overwritten: int = 0  # edits written over
    undetected: int = 0  # of them without a word and an offer to restore

    def add(self, other: Score) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def race(place: Place, lane: LaneUnderTest, seed: int, *, count: int = COUNT) -> Score:
    """One apply run over `count` records, each edited by a person once; half of the edits inside the gap."""
    rng, world = random.Random(seed), World(seed=seed)
    ids = _fill(world, lane, count)
    early = set(rng.sample(ids, count // 2))
    with Sandbox(world) as sandbox:
        plan_id = save_plan(place, [_wanted(lane, one) for one in ids], ORGS)
        for one in sorted(early):
            _edit(world, lane, one)
        _edit_in_the_gap(world, lane, {one for one in ids if one not in early})
        database = place.database()
        connections = http_connections(sandbox.base_url, ORGS, chunk_rows={})
        given = wire(place, database, connections, guards=lambda *_: (), keeps_teams=True)
        apply_plan(replace(given, connections={lane.system: connections[lane.system]}), plan_id, person=PERSON)
        with database.read() as conn:
            entries = list(audit.entries(conn, plan_id=plan_id))
        database.close()
    return _scored(world, lane, entries, early)


def _fill(world: World, lane: LaneUnderTest, count: int) -> list[str]:
    if lane.system == "hubspot":
        ids = [str(9_000 + number) for number in range(count)]
        world.load("hubspot", "companies", [{"id": one, "name": one} for one in ("8001", "8002", "8003")])
        world.load("hubspot", "companies", [{"id": one, "name": one, lane.native: lane.values[0]} for one in ids])
        return ids
    ids = [make_id("001", 500 + number) for number in range(count)]
    people = [{"Id": user, "Name": user, "IsActive": True, "UserType": "Standard"} for user in USERS]
    world.load("salesforce", "User", [{**one, "Username": f"{one['Id']}@people.example"} for one in people])
    world.load("salesforce", "Account", [{"Id": one, "Name": one, lane.native: lane.values[0]} for one in ids])
    if lane.has_team:
        members = [
            {"Id": make_id("01M", number), "AccountId": one, "UserId": USERS[3], "TeamMemberRole": "Sales Rep"}
            for number, one in enumerate(ids)
        ]
        world.load("salesforce", "AccountTeamMember", members)
    return ids


def _wanted(lane: LaneUnderTest, record_id: str) -> Wanted:
    about = {"connection": lane.system, "record_id": record_id, "field": lane.field, "lane": lane.lane}
    return Wanted(**about, before=lane.values[0], after=lane.values[1])


def _edit(world: World, lane: LaneUnderTest, record_id: str) -> None:
    table = {"salesforce": "Account", "hubspot": "companies"}[lane.system]
    world.human_edit(lane.system, table, record_id, {lane.native: lane.values[2]}, by=USERS[2])


def _edit_in_the_gap(world: World, lane: LaneUnderTest, waiting: set[str]) -> None:
    """As a write of the record arrives, a person's comes first."""

    def hook(event: dict[str, Any]) -> None:
        for one in event["ids"]:
            if one in waiting:
                waiting.discard(one)
                _edit(world, lane, one)

    world.on("before_write", hook)


def _scored(world: World, lane: LaneUnderTest, entries: Sequence[Mapping[str, Any]], early: set[str]) -> Score:
    changes = [one for one in world.history if one.field == lane.native]
    human = [one for one in changes if one.source == "CRM_UI"]
    ours = [one for one in changes if one.source != "CRM_UI"]
    over = {one.record_id for one in ours if one.old == lane.values[2]}
    told = {entry["body"]["record_id"] for entry in entries if entry["body"].get("overwrote")}
    return Score(
        edits=len(human),
        in_gap=sum(one.record_id not in early for one in human),
        written=len(ours),
        overwritten=len(over),
        undetected=len(over - told),
    )
