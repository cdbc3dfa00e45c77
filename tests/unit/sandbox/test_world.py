"""The world keeps history, stamps, late versions and rollbacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.world import World, salesforce_time

ACME = "001000000000aCmAAI"
NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    made = World(now=clock)
    made.load("salesforce", "Account", [{"Id": ACME[:15], "Name": "Acme", "OwnerId": made.integration_user}])
    return made


def _edit(world: World, **fields: Any) -> Any:
    return world.human_edit("salesforce", "Account", ACME, fields, by="005000000000aNaAAI")


def test_loading_fills_in_system_fields_and_leaves_no_history(world):
    record = world.get("salesforce", "Account", ACME)
    assert record["Id"] == ACME
    assert record["SystemModstamp"] == record["CreatedDate"] == "2026-03-01T12:00:00.000+0000"
    assert world.history == []


def test_only_real_changes_are_history_but_every_write_moves_the_stamp(world, clock):
    clock.at += timedelta(seconds=5)
    (change,) = _edit(world, Name="Acme", Phone="5550100")
    assert (change.field, change.old, change.new, change.source) == ("Phone", None, "5550100", "CRM_UI")
    record = world.get("salesforce", "Account", ACME)
    assert record["LastModifiedDate"] == salesforce_time(clock.at)
    assert record["LastModifiedById"] == "005000000000aNaAAI"


def test_history_is_numbered_without_gaps(world):
    _edit(world, Phone="1", Fax="2")
    _edit(world, Phone="3")
    assert [change.seq for change in world.history] == [1, 2, 3]


def test_hubspot_records_get_their_own_stamps(world, clock):
    world.load("hubspot", "companies", [{"id": "77", "name": "Acme"}])
    clock.at += timedelta(milliseconds=7)
    world.set_fields("hubspot", "companies", "77", {"name": "Acme Inc"}, by="9", source="CRM_UI")
    record = world.get("hubspot", "companies", "77")
    assert record["hs_lastmodifieddate"] == "2026-03-01T12:00:00.257Z"
    assert record["archived"] is False


def test_a_rollback_takes_back_records_history_and_numbers(world):
    with world.transaction() as rollback:
        _edit(world, OwnerId="005000000000bEaAAI")
        made = world.insert("salesforce", "Account", {"Name": "New"}, by=world.integration_user)
        rollback()
    assert world.get("salesforce", "Account", ACME)["OwnerId"] == world.integration_user
    assert world.get("salesforce", "Account", made) is None
    assert world.rows("salesforce", "AccountHistory") == []
    _edit(world, Phone="1")
    assert [change.seq for change in world.history] == [1]


def test_an_inner_rollback_leaves_the_outer_writes_alone(world):
    with world.transaction():
        _edit(world, Phone="1")
        with world.transaction() as rollback:
            _edit(world, Phone="2")
            rollback()
    assert world.get("salesforce", "Account", ACME)["Phone"] == "1"
    assert len(world.history) == 1


def test_a_late_version_is_hidden_from_readers_until_its_time(world, clock):
    world.settings.late_commit_s = 10
    _edit(world, Phone="1")
    made = world.insert("salesforce", "Account", {"Name": "New"}, by=world.integration_user)
    assert world.get("salesforce", "Account", ACME).get("Phone") is None
    assert [row["Id"] for row in world.rows("salesforce", "Account")] == [ACME]
    assert world.pending_since("salesforce", "Account") == NOON
    clock.at += timedelta(seconds=10)
    assert world.get("salesforce", "Account", ACME)["Phone"] == "1"
    assert {row["Id"] for row in world.rows("salesforce", "Account")} == {ACME, made}
    assert world.pending_since("salesforce", "Account") is None


def test_a_reader_keeps_the_version_he_took(world):
    (before,) = world.rows("salesforce", "Account")
    _edit(world, Name="Renamed")
    assert before["Name"] == "Acme"


def test_a_merge_names_the_survivor_and_touches_it(world, clock):
    world.load("salesforce", "Account", [{"Id": "001000000000bEtAAI", "Name": "Beta", "ParentId": ACME}])
    clock.at += timedelta(seconds=2)
    world.merge_accounts("001000000000bEt", [ACME], by="005000000000aNaAAI")
    loser = world.get("salesforce", "Account", ACME)
    winner = world.get("salesforce", "Account", "001000000000bEt")
    assert (loser["IsDeleted"], loser["MasterRecordId"]) == (True, winner["Id"])
    assert winner["SystemModstamp"] == salesforce_time(clock.at)
    assert winner["ParentId"] is None  # it was a child of the loser, and never becomes its own parent


def test_hooks_see_what_happens_and_unknown_events_are_refused(world):
    seen: list[dict[str, Any]] = []
    world.on("after_read", seen.append)
    world.emit("after_read", "salesforce", "Account", [ACME])
    assert seen == [{"system": "salesforce", "object": "Account", "ids": [ACME], "fields": {}}]
    with pytest.raises(ValueError, match="before_write, after_write, after_read"):
        world.on("whenever", seen.append)


def test_new_ids_are_not_taken(world):
    ids = {world.new_id("salesforce", "Account") for _ in range(100)} | {world.new_id("hubspot", "companies")}
    assert len(ids) == 101
    assert ACME not in ids
