"""A run over two thousand records is undone after persons have changed a hundred of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.apply import apply_plan
from jobs.applying.wired import apply_deps
from jobs.undo import undo_run
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from store.decisions import Acceptance
from tests.drills.market import FIRST, HUBSPOT_REPS, MARIA, REPS, Market, account_id, fill, write_mappings
from tests.drills.sent import unasked

WITH_TEAM = 10  # every tenth account has a team
OWNERSHIP = ("OwnerId", "Owner_Role__c", "Territory__c", "Routing_Queue__c")
OWNED_COMPANY = ("hubspot_owner_id", "owner_role", "territory", "routing_queue")
FIELDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "salesforce": (OWNERSHIP, ("ParentId",), ("Account_Tier__c", "Tier_Status__c"), ("Health_System__c",)),
    "hubspot": (OWNED_COMPANY, ("account_tier", "tier_status"), ("health_system",)),
}
"""Fields that Platbook writes, in the groups that move together."""
PLANNED = {name for groups in FIELDS.values() for group in groups for name in group}
TABLES = {"salesforce": "Account", "hubspot": "companies"}
Values = dict[tuple[str, str], dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Undone:
    """What an undo came to, read from the CRMs."""

    records: int = 0  # that the run wrote
    restored: int = 0  # of them as they were before the run, in every field
    owners: int = 0  # restored owners among them
    parents: int = 0
    teams: int = 0  # accounts with a team whose owner went there and back, the team as it was
    conflicts: int = 0  # records left to a person, because somebody had changed them
    overwritten: int = 0  # persons' values that the undo wrote over
    other: int = 0  # records that are neither as before nor as a person left them


def undo_trial(folder: Path, sandbox: Sandbox, *, systems: int, edits: int, seed: int) -> Undone:
    """First contact gives every record another owner, a parent, a tier; persons edit; the run is undone."""
    market = _before(folder, sandbox, systems, seed)
    before, team = _values(market.world), _teams(market.world)
    stop = market.work(market.deliver(), accept=FIRST)
    assert not stop.at, stop
    written = _values(market.world)
    assert _teams(market.world) == team
    wrong = unasked(market.world.requests, fields=PLANNED)
    assert not wrong, wrong[:5]
    market.calendar.tomorrow()
    edited = _edit(market.world, random.Random(seed), edits, before)
    _undo(market)
    wrong = unasked(market.world.requests, fields=PLANNED, nulls=True)  # what was empty before is emptied again
    assert not wrong, wrong[:5]
    return _judged(market.world, before, written, edited, team)


def _before(folder: Path, sandbox: Sandbox, systems: int, seed: int) -> Market:
    market = Market(folder=folder, sandbox=sandbox, systems=systems)
    world = World(seed=seed, now=market.calendar.now)
    fill(market, world, random.Random(seed), moved=1)
    accounts = [one["Id"] for one in world.rows("salesforce", "Account")][::WITH_TEAM]
    members = [
        {"Id": make_id("01M", 2 * n + m), "AccountId": one, "UserId": user, "TeamMemberRole": "Sales Rep"}
        for n, one in enumerate(accounts)
        for m, user in enumerate((REPS["CO"], REPS["UT"]))
    ]
    world.load("salesforce", "AccountTeamMember", members)
    sandbox.use(world)
    folder.mkdir(parents=True)
    write_mappings(folder / "mappings")
    market.wired().database.migrate()
    return market


def _edit(world: World, dice: random.Random, count: int, before: Values) -> dict[tuple[str, str], dict[str, Any]]:
    """Persons change owners, parents and tiers of so many records, none back to what it was; what they wrote."""
    made: dict[tuple[str, str], dict[str, Any]] = {}
    accounts = dice.sample(world.rows("salesforce", "Account"), count - count // 5)
    companies = dice.sample(world.rows("hubspot", "companies"), count // 5)
    for number, one in enumerate(accounts):
        known = {one["OwnerId"], before["salesforce", one["Id"]]["OwnerId"]}
        kinds = [{"OwnerId": dice.choice(sorted(set(REPS.values()) - known))}, {"Account_Tier__c": "T2"}]
        if one.get("ParentId"):
            kinds.append({"ParentId": account_id(0, 1) if one["Id"] != account_id(0, 1) else account_id(1, 0)})
        made["salesforce", one["Id"]] = kinds[number % len(kinds)]
    for company in companies:
        company_id = company["hs_object_id"]
        known = {company["hubspot_owner_id"], before["hubspot", company_id]["hubspot_owner_id"]}
        made["hubspot", company_id] = {"hubspot_owner_id": dice.choice(sorted(set(HUBSPOT_REPS.values()) - known))}
    for (system, record_id), fields in made.items():
        by = REPS["KS"] if system == "salesforce" else HUBSPOT_REPS["KS"]
        assert world.human_edit(system, TABLES[system], record_id, fields, by=by)
    return made


def _undo(market: Market) -> None:
    wired = market.wired()
    deps = apply_deps(wired)
    run = next(one.id for one in wired.runs.list() if one.kind == "apply")
    plan = undo_run(wired, deps, run, reason="too early").stored
    given = [
        Acceptance(guard=one["guard"], subject=one["subject"], reason="taken back", by=MARIA)
        for one in plan.header.guards
        if one["breached"]
    ]
    result = apply_plan(deps, plan.id, person=MARIA, accept=given)
    assert not result.halted, result.halted
    wired.database.close()


def _values(world: World) -> Values:
    return {
        (system, record.get("Id") or record["hs_object_id"]): {
            name: record.get(name) or None for group in FIELDS[system] for name in group
        }
        for system, table in TABLES.items()
        for record in world.rows(system, table)
    }


def _teams(world: World) -> set[tuple[str, str]]:
    return {(one["AccountId"], one["UserId"]) for one in world.rows("salesforce", "AccountTeamMember")}


def _judged(
    world: World, before: Values, written: Values, edited: Mapping[tuple[str, str], Mapping[str, Any]], team: Any
) -> Undone:
    after, teams, found = _values(world), _teams(world), Undone()
    for key, was in before.items():
        if was == written[key]:
            continue
        found.records += 1
        edit = edited.get(key, {})
        expected = copy.copy(was)
        for group in FIELDS[key[0]]:
            if edit.keys() & set(group):  # the whole group waits for a person
                expected |= {name: edit.get(name, written[key][name]) for name in group}
        found.overwritten += any(after[key][name] != value for name, value in edit.items())
        is_right = after[key] == expected
        found.other += not is_right
        found.conflicts += is_right and bool(edit)
        if is_right and not edit:
            found.restored += 1
            found.owners += was.get("OwnerId") != written[key].get("OwnerId")
            found.parents += was.get("ParentId") != written[key].get("ParentId")
            members = {one for one in team if one[0] == key[1]}
            found.teams += bool(members) and members <= teams
    return found
