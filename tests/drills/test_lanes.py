"""Lanes without a precondition on Salesforce: account teams stay, jobs are taken up again, nobody goes unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.apply import apply_plan
from jobs.applying.model import ApplyDeps, ApplyResult
from sandbox.faults import Fault, Verb
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from store import audit, journal
from tests.drills.conftest import Places
from tests.drills.lives import http_connections
from tests.drills.world import PERSON, Place, Wanted, save_plan, wire

USERS = [make_id("005", 900 + number) for number in range(6)]
HUMAN = USERS[5]
ACCOUNTS = [make_id("001", 500 + number) for number in range(12)]
TEAMED = ACCOUNTS[:5]
ORGS = {"salesforce": "sf"}


class Org:
    """A Salesforce with twelve accounts, five of which have a team, and a place to apply from."""

    def __init__(self, sandbox: Sandbox, place: Place) -> None:
        self.sandbox, self.world, self.place = sandbox, sandbox.world, place
        self.database = place.database()

    def deps(self, **more: Any) -> ApplyDeps:
        connections = {"salesforce": http_connections(self.sandbox.base_url, {**ORGS, "hubspot": "hs"})["salesforce"]}
        given = wire(self.place, self.database, connections, guards=lambda *_: (), keeps_teams=True)
        return replace(given, **more)

    def owners(self) -> str:
        """A plan that gives every account to another user."""
        wanted = [Wanted(connection="salesforce", record_id=one, before=USERS[0], after=USERS[1]) for one in ACCOUNTS]
        return save_plan(self.place, wanted, ORGS)

    def systems(self) -> str:
        """A plan that names the system of every account, on the unguarded lane."""
        about = {"connection": "salesforce", "field": "health_system", "group": "system", "lane": "batch"}
        wanted = [Wanted(**about, record_id=one, before=None, after="Mercy") for one in ACCOUNTS]
        return save_plan(self.place, wanted, ORGS)

    def apply(self, plan_id: str, **more: Any) -> ApplyResult:
        return apply_plan(self.deps(**more), plan_id, person=PERSON)

    def values(self, name: str) -> dict[str, Any]:
        return {one["Id"]: one.get(name) for one in self.world.rows("salesforce", "Account")}

    def team(self, account: str) -> set[str]:
        members = self.world.rows("salesforce", "AccountTeamMember")
        return {one["UserId"] for one in members if one["AccountId"] == account}

    def journal(self, plan_id: str) -> dict[str, journal.JournalRow]:
        with self.database.read() as conn:
            return {row.record_id: row for row in journal.of_plan(conn, plan_id)}


@pytest.fixture
def org(tmp_path: Path) -> Iterator[Org]:
    world = World(seed=3)
    people = [{"Id": user, "Name": user, "IsActive": True, "UserType": "Standard"} for user in USERS]
    world.load("salesforce", "User", [{**one, "Username": f"{one['Id']}@people.example"} for one in people])
    world.load("salesforce", "Account", [{"Id": one, "Name": one, "OwnerId": USERS[0]} for one in ACCOUNTS])
    members = [
        {"Id": make_id("01M", 10 * n + m), "AccountId": one, "UserId": USERS[2 + m], "TeamMemberRole": "Sales Rep"}
        for n, one in enumerate(TEAMED)
        for m in range(2)
    ]
    world.load("salesforce", "AccountTeamMember", members)
    with Sandbox(world) as sandbox:
        made = Org(sandbox, Places(tmp_path, None)())
        yield made
        made.database.close()


def states(result: ApplyResult) -> set[str]:
    return {str(item.state) for item in result.items}


def test_an_account_team_stays_and_is_pictured_before_its_owner_changes(org: Org) -> None:
    plan_id = org.owners()
    result = org.apply(plan_id)
    assert states(result) == {"verified"}
    assert set(org.values("OwnerId").values()) == {USERS[1]}
    assert all(org.team(one) == set(USERS[2:4]) for one in TEAMED)
    rows = org.journal(plan_id)
    assert {one for one, row in rows.items() if row.lane == "team"} == set(TEAMED)
    pictured = {member["user_id"] for member in rows[TEAMED[0]].response["team"]}
    assert pictured == set(USERS[2:4])


def test_without_the_lane_the_owner_stays_with_the_reason(org: Org) -> None:
    result = org.apply(org.owners(), keeps_teams=False)
    assert {item.record_id for item in result.items if item.state == "blocked"} == set(TEAMED)
    assert {org.values("OwnerId")[one] for one in TEAMED} == {USERS[0]}


def test_members_that_go_all_the_same_are_put_back(org: Org) -> None:
    org.world.settings.team_drop_probability = 1.0
    result = org.apply(org.owners())
    assert states(result) == {"verified"}
    assert all(org.team(one) == set(USERS[2:4]) for one in TEAMED)
    assert any("put back" in item.message for item in result.items)


def test_a_lost_answer_of_an_owner_change_is_read_and_the_team_completed(org: Org) -> None:
    org.world.settings.team_drop_probability = 1.0
    org.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="/services/Soap", probability=1.0, times=1))
    plan_id = org.owners()
    org.apply(plan_id)
    org.apply(plan_id)
    assert set(org.values("OwnerId").values()) == {USERS[1]}
    assert all(org.team(one) == set(USERS[2:4]) for one in TEAMED)
    changes = [one for one in org.world.history if one.field == "OwnerId"]
    assert len(changes) == len(ACCOUNTS)  # once each
    assert audit.verify(org.database).is_intact


def test_a_persons_edit_between_read_and_owner_change_shows(org: Org) -> None:
    edited: list[str] = []

    def hook(event: dict[str, Any]) -> None:
        for one in event["ids"]:
            if one in TEAMED[:2] and one not in edited:
                edited.append(one)
                org.world.human_edit("salesforce", "Account", one, {"OwnerId": HUMAN}, by=HUMAN)

    org.world.on("before_write", hook)
    result = org.apply(org.owners())
    over = {item.record_id for item in result.items if item.state == "overwrote"}
    assert over == {one for one in edited if org.values("OwnerId")[one] == USERS[1]} == set(TEAMED[:2])


def test_thousands_of_values_go_as_one_job_whose_id_is_in_the_journal(org: Org) -> None:
    plan_id = org.systems()
    result = org.apply(plan_id, bulk_from=5)
    assert states(result) == {"verified"}
    assert set(org.values("Health_System__c").values()) == {"Mercy"}
    rows = org.journal(plan_id).values()
    assert {row.lane for row in rows} == {"bulk"}
    assert len({tuple(row.response["jobs"]) for row in rows}) == 1


@pytest.mark.parametrize("moment", ["before_write", "after_write"])
def test_a_job_of_a_died_run_is_taken_up_and_nothing_is_sent_again(org: Org, moment: str) -> None:
    """The process dies around the job's own write; the next run waits for the job and reads."""
    plan_id, deps = org.systems(), org.deps(bulk_from=5)
    target = deps.connections["salesforce"].target

    class Died(BaseException):
        pass

    settle = target.bulk._outcomes if moment == "after_write" else target.bulk._close  # type: ignore[attr-defined]  # where it dies

    def die(*args: Any, **more: Any) -> Any:
        if moment == "after_write":
            settle(*args, **more)
        raise Died

    name = "_outcomes" if moment == "after_write" else "_close"
    setattr(target.bulk, name, die)  # type: ignore[attr-defined]  # the lane of this one target
    with pytest.raises(Died):
        apply_plan(deps, plan_id, person=PERSON)
    org.world.history.clear()
    result = org.apply(plan_id, bulk_from=5)
    assert set(org.values("Health_System__c").values()) == {"Mercy"}
    again = [one for one in org.world.history if one.field == "Health_System__c"]
    assert len(again) == (0 if moment == "after_write" else len(ACCOUNTS))
    assert result.status == "applied"
