"""Death, lost answers and racing edits over real HTTP, with the product's connectors against the sandbox CRMs."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.apply import apply_plan
from sandbox.faults import Fault, Verb
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from store import audit
from store.plans import Plans
from tests.drills.conftest import Places
from tests.drills.lives import DISK_FULL, http_connections, killed, over_http, over_http_on_a_full_disk, processes
from tests.drills.world import PERSON, Place, Wanted, save_plan, wire

USERS = [make_id("005", 900 + number) for number in range(6)]
HUMAN = USERS[5]
ACCOUNTS = [make_id("001", 500 + number) for number in range(14)]
COMPANIES = [str(9_000 + number) for number in range(14)]
ORGS = {"salesforce": "sf", "hubspot": "hs"}
NATIVE = {"salesforce": "OwnerId", "hubspot": "routing_queue"}
OBJECT = {"salesforce": "Account", "hubspot": "companies"}


@pytest.fixture
def crms() -> Iterator[Sandbox]:
    world = World()
    people = [{"Id": user, "Name": user, "IsActive": True, "UserType": "Standard"} for user in USERS]
    world.load("salesforce", "User", [{**one, "Username": f"{one['Id']}@people.example"} for one in people])
    world.load("salesforce", "Account", [{"Id": one, "Name": one, "OwnerId": USERS[0]} for one in ACCOUNTS])
    world.load("hubspot", "owners", [{"hs_object_id": "77", "userId": 9077, "email": "h@people.example"}])
    world.load("hubspot", "companies", [{"id": one, "name": one, "routing_queue": "OLD"} for one in COMPANIES])
    with Sandbox(world) as sandbox:
        yield sandbox


def plan(place: Place) -> str:
    """Every account and company changes."""
    wanted = [
        Wanted(connection="salesforce", record_id=one, before=USERS[0], after=USERS[1 + number % 3])
        for number, one in enumerate(ACCOUNTS)
    ]
    wanted += [Wanted(connection="hubspot", record_id=one, before="OLD", after="NEW") for one in COMPANIES]
    return save_plan(place, wanted, ORGS)


def edits(world: World, rng: random.Random, share: float) -> None:
    """Persons who change a record exactly between our read and our write, each record once."""
    edited: set[str] = set()

    def hook(event: dict[str, Any]) -> None:
        system = event["system"]
        for one in event["ids"]:
            if one not in edited and rng.random() < share:
                edited.add(one)
                fields = {NATIVE[system]: HUMAN if system == "salesforce" else "HUMAN"}
                world.human_edit(system, OBJECT[system], one, fields, by=HUMAN)

    world.on("before_write", hook)


def finish(place: Place, crms: Sandbox, plan_id: str) -> None:
    """Quiet runs, until nothing is left to try."""
    database = place.database()
    try:
        for life in (100, 101):
            given = wire(place, database, http_connections(crms.base_url, ORGS), boot_id=f"boot-{life}")
            apply_plan(given, plan_id, person=PERSON)
    finally:
        database.close()


def judge(place: Place, crms: Sandbox, plan_id: str) -> Counter[str]:
    """The invariants, from the sandbox's history and the audit alone; how the items ended."""
    database = place.database()
    with database.read() as conn:
        entries = list(audit.entries(conn, plan_id=plan_id))
    assert audit.verify(database).is_intact
    outcomes = Plans(database, place.files()).outcomes(plan_id)
    database.close()

    changes = [one for one in crms.world.history if one.field in NATIVE.values()]
    ours = [one for one in changes if one.source != "CRM_UI"]
    written = Counter((one.system, one.record_id, one.new) for one in ours)
    assert max(written.values()) == 1
    audited = Counter(
        (entry["body"]["connection"], entry["body"]["record_id"], new)
        for entry in entries
        if entry["kind"] == "applied" and entry["body"]["how"] != "converged"
        for _, new in entry["body"]["fields"].values()
    )
    assert audited == written
    told = {entry["body"]["record_id"] for entry in entries if entry["body"].get("overwrote")}
    over = {one.record_id for one in ours if one.old not in (USERS[0], "OLD")}
    assert over == told
    assert not over & set(ACCOUNTS)
    assert len(outcomes) == len(ACCOUNTS) + len(COMPANIES)
    return Counter(outcome.state for outcome in outcomes.values())


def test_edits_between_read_and_write_are_never_lost_unseen(new_place: Places, crms: Sandbox) -> None:
    place = new_place()
    plan_id = plan(place)
    edits(crms.world, random.Random(1), share=0.3)
    finish(place, crms, plan_id)
    states = judge(place, crms, plan_id)
    assert states["stale"] > 0
    assert states["overwrote"] > 0
    owners = {one["Id"]: one["OwnerId"] for one in crms.world.rows("salesforce", "Account")}
    edited = {one.record_id for one in crms.world.history if one.source == "CRM_UI" and one.system == "salesforce"}
    assert {owners[one] for one in edited} == {HUMAN}


@pytest.mark.parametrize("verb", [Verb.COMMIT_THEN_RESET, Verb.COMMIT_THEN_500, Verb.RESET_BEFORE])
def test_a_lost_answer_is_read_and_not_sent_blindly(new_place: Places, crms: Sandbox, verb: Verb) -> None:
    place = new_place()
    plan_id = plan(place)
    for route in ("composite", "batch/update"):
        crms.world.faults.add(Fault(verb=verb, route=route, probability=0.5, times=3))
    finish(place, crms, plan_id)
    assert judge(place, crms, plan_id) == {"verified": len(ACCOUNTS) + len(COMPANIES)}


def test_nobody_who_has_left_since_the_plan_becomes_an_owner(tmp_path: Path, crms: Sandbox) -> None:
    place = Places(tmp_path, None)()
    plan_id = plan(place)
    crms.world.settings.allow_inactive_owner = True
    crms.world.human_edit("salesforce", "User", USERS[2], {"IsActive": False}, by=HUMAN)
    finish(place, crms, plan_id)
    states = judge(place, crms, plan_id)
    assert states == {"verified": len(ACCOUNTS) + len(COMPANIES) - 5, "blocked": 5}
    assert USERS[2] not in {one["OwnerId"] for one in crms.world.rows("salesforce", "Account")}
    crms.world.human_edit("salesforce", "User", USERS[2], {"IsActive": True}, by=HUMAN)
    finish(place, crms, plan_id)
    assert judge(place, crms, plan_id) == {"verified": len(ACCOUNTS) + len(COMPANIES)}


@pytest.mark.parametrize("is_lost", [True, False])
def test_edits_just_after_our_write_stand_and_our_write_is_in_the_audit(
    new_place: Places, crms: Sandbox, is_lost: bool
) -> None:
    place = new_place()
    plan_id = plan(place)
    if is_lost:
        crms.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="batch/update", times=0))
        crms.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="composite/?$", nth=2))  # the first one reads
    edited = {ACCOUNTS[3], COMPANIES[2], COMPANIES[12]}
    waiting = set(edited)

    def hook(event: dict[str, Any]) -> None:
        for one in waiting & set(event["ids"]):
            waiting.discard(one)
            system = event["system"]
            fields = {NATIVE[system]: HUMAN if system == "salesforce" else "HUMAN"}
            crms.world.human_edit(system, OBJECT[system], one, fields, by=HUMAN if system == "salesforce" else "77")

    crms.world.on("after_write", hook)
    finish(place, crms, plan_id)
    assert judge(place, crms, plan_id) == {"verified": len(ACCOUNTS) + len(COMPANIES)}
    rows = [*crms.world.rows("salesforce", "Account"), *crms.world.rows("hubspot", "companies")]
    assert {
        one.get("Id") or one["hs_object_id"] for one in rows if HUMAN in one.values() or "HUMAN" in one.values()
    } == edited


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("moment", ["before_write", "after_write"])
def test_sigkill_around_the_commit_of_a_write(new_place: Places, crms: Sandbox, moment: str, seed: int) -> None:
    """The CRM kills the caller: just before it commits, so that the write lands after the death, or just after."""
    place, rng = new_place(), random.Random(seed)
    plan_id = plan(place)
    victim: list[int] = []

    def hook(event: dict[str, Any]) -> None:
        if victim and rng.random() < 0.5:
            os.kill(victim.pop(), signal.SIGKILL)

    crms.world.on(moment, hook)
    kills = 0
    for life in range(6):
        process = processes().Process(target=over_http, args=(place, plan_id, crms.base_url, ORGS, life))
        process.start()
        assert process.pid
        victim[:] = [process.pid]
        kills += killed(process)
        process.close()
        if kills == 2:
            break
    victim.clear()
    finish(place, crms, plan_id)
    assert judge(place, crms, plan_id) == {"verified": len(ACCOUNTS) + len(COMPANIES)}
    assert kills > 0


@pytest.mark.parametrize("room", [150_000, 250_000, 400_000])
def test_files_that_may_not_grow_stop_the_run_before_what_it_could_not_remember(
    tmp_path: Path, crms: Sandbox, room: int
) -> None:
    place = Places(tmp_path, None)()
    plan_id = plan(place)
    arguments = (place, plan_id, crms.base_url, ORGS, 0, room)
    process = processes().Process(target=over_http_on_a_full_disk, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode in (0, DISK_FULL)
    finish(place, crms, plan_id)
    assert judge(place, crms, plan_id) == {"verified": len(ACCOUNTS) + len(COMPANIES)}
