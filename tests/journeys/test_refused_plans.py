"""A plan that is old, was made under other rules, or is not what was saved, is refused; nothing is written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.journeys.conftest import Cli, Result
from tests.journeys.world import ANA, BEA, write_feed

ACCEPTED = ("apply", "--accept-guard", "first_contact", "--reason", "reviewed")

OTHER_ORG = "00D000000000099EAA"


def test_other_rules_than_at_planning_refuse_the_plan(planned: Cli) -> None:
    roster = planned.folder / "mappings" / "reps.yaml"
    roster.write_text(roster.read_text().replace("states: [KS]", "states: [KS, MO]", 1))
    _refused(planned, planned.run(*ACCEPTED), "have changed since it was made (policies/reps.yaml; ")


def test_an_expired_plan_is_refused(planned: Cli) -> None:
    with closing(_database(planned)) as database:
        database.execute("UPDATE plan SET expires_at = '2020-01-01T00:00:00.000Z'")
        database.commit()
    result = planned.run(*ACCEPTED)
    assert result.code == 6
    assert planned.writes() == 0


def test_an_edited_plan_file_is_refused(planned: Cli) -> None:
    with closing(_database(planned)) as database:
        (sha256,) = database.execute("SELECT changes_sha256 FROM plan").fetchone()
    (stored,) = (planned.folder / "snapshots").rglob(f"{sha256}.parquet")
    changes = pq.read_table(stored)
    owners = pc.replace_substring(changes["desired"], ANA, BEA)
    stored.chmod(0o600)
    pq.write_table(changes.set_column(changes.schema.get_field_index("desired"), "desired", owners), stored)
    _refused(planned, planned.run(*ACCEPTED), "Plan again")


def test_a_plan_with_another_header_than_was_saved_is_refused(planned: Cli) -> None:
    with closing(_database(planned)) as database:
        database.execute("UPDATE plan SET ruleset_digest = 'somebody-else'")
        database.commit()
    _refused(planned, planned.run("apply"), "was changed after it was saved")


def test_another_delivery_accepted_since_the_plan_refuses_it(planned: Cli) -> None:
    planned.approve_all()
    newer = write_feed(planned.folder, name="definitive_day2.csv")
    newer.write_bytes(newer.read_bytes().replace(b"170001,120", b"170001,130"))
    planned.ok("feeds", "take", str(newer), "--as-of", "2026-02-05")
    refused = planned.run(*ACCEPTED)
    assert (refused.code, planned.writes()) == (6, 0)
    assert "feed definitive: since the plan was made, another delivery of it is accepted. Plan again." in refused.said


def test_a_plan_that_a_newer_one_replaced_is_refused(planned: Cli) -> None:
    first = planned.ok("plan", "--list", "--json").json["plans"][0]["id"]
    planned.run("plan")
    _refused(planned, planned.run("apply", "--plan", first), "a newer plan took its place")


def test_credentials_of_another_organisation_refuse_the_plan(planned: Cli) -> None:
    world = planned.sandbox.world
    ((_, organization),) = world.tables["salesforce", "Organization"].items()
    world.tables["salesforce", "Organization"] = {OTHER_ORG: {**organization, "Id": OTHER_ORG}}
    result = planned.run(*ACCEPTED)
    _refused(planned, result, f"the credentials now lead to {OTHER_ORG}")
    doctor = planned.run("doctor")
    assert doctor.code == 7
    assert "belongs to organisation 00D000000000001EAA" in doctor.out


def test_a_plan_that_is_applied_already_costs_no_write_and_is_no_error(planned: Cli) -> None:
    planned.approve_all()
    assert planned.apply_first().code == 0
    before = planned.writes()
    again = planned.run("apply")
    assert again.code == 0
    assert "is already applied; nothing was written" in again.out + again.said
    assert planned.writes() == before


def _refused(cli: Cli, result: Result, words: str) -> None:
    assert result.code == 6, result
    assert words in result.said
    assert "Traceback" not in result.err
    assert cli.writes() == 0


def _database(cli: Cli) -> sqlite3.Connection:
    return sqlite3.connect(Path(cli.folder) / "state" / "platbook.db")
