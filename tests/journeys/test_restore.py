"""An old state that comes back writes nothing before it was compared with the CRMs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.journeys.conftest import Cli
from tests.journeys.world import ANA, HAYS, TOPEKA


def state(cli: Cli) -> Path:
    return Path(cli.environment["PLATBOOK_DATABASE_URL"].removeprefix("sqlite:///"))


def test_a_restored_state_asks_before_it_writes_where_the_crm_has_moved_on(settled: Cli) -> None:
    backup = str(settled.folder / "monday.backup")
    settled.ok("db", "backup", backup)
    settled.edit("salesforce", HAYS, ANA, Account_Tier__c="GROWTH", Territory__c="SOMEWHERE")
    settled.ok("pull")
    settled.ok("plan")
    settled.ok("db", "restore", backup, "--replace")
    settled.ok("pull")
    settled.run("plan")
    refused = settled.run("apply")
    assert refused.code == 6
    assert "platbook db rebaseline" in refused.said
    before = settled.writes()
    found = settled.ok("db", "rebaseline", "--json").json
    assert found["released"] == 2
    assert found["kept"] > found["released"]
    assert settled.writes() == before
    settled.run("plan")
    waiting = {row["group"]: row for row in settled.ok("show", "--where", f"record={HAYS}", "--json").json["items"]}
    assert waiting["ownership"]["state"] == "takeover"
    assert waiting["ownership"]["action"] == "review"
    assert settled.run("apply").code in (0, 4)
    assert settled.record("salesforce", HAYS)["Territory__c"] == "SOMEWHERE"


def test_a_file_copied_back_is_noticed_by_the_second_place_of_the_audit(settled: Cli) -> None:
    anchor = str(settled.folder / "elsewhere" / "audit-head.txt")
    old = settled.folder / "old.db"
    settled.ok("audit", "anchor", AUDIT_HEAD_FILE=anchor)
    shutil.copy(state(settled), old)
    settled.edit("salesforce", TOPEKA, ANA, Account_Tier__c="GROWTH")
    settled.ok("pull")
    settled.ok("plan")
    settled.ok("apply", AUDIT_HEAD_FILE=anchor)
    for ending in ("-wal", "-shm"):
        state(settled).with_name(state(settled).name + ending).unlink(missing_ok=True)
    shutil.copy(old, state(settled))
    settled.ok("plan")
    refused = settled.run("apply", AUDIT_HEAD_FILE=anchor)
    assert refused.code == 6
    assert "its audit" in refused.said
    assert settled.run("audit", "verify", AUDIT_HEAD_FILE=anchor).code == 1
    settled.ok("db", "rebaseline", AUDIT_HEAD_FILE=anchor)
    settled.run("plan", AUDIT_HEAD_FILE=anchor)
    assert settled.run("apply", AUDIT_HEAD_FILE=anchor).code in (0, 4)
    settled.ok("audit", "verify", AUDIT_HEAD_FILE=anchor)


def test_a_changed_audit_row_is_named_and_a_broken_page_is_found(settled: Cli) -> None:
    assert "intact" in settled.ok("audit", "verify").out
    with closing(sqlite3.connect(state(settled))) as raw:
        raw.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 3")
        raw.commit()
    told = settled.run("audit", "verify", "--json")
    assert (told.code, told.json["first_bad_row"]) == (1, 3)
    assert "row 3 was changed after it was written" in told.said
    assert settled.run("db", "check").code == 1
    refused = settled.run("db", "backup", str(settled.folder / "broken.backup"))
    assert refused.code == 1
    assert not (settled.folder / "broken.backup").exists()


def test_a_sync_of_an_observed_installation_ends_well_and_writes_nothing(settled: Cli) -> None:
    for connection in ("salesforce", "hubspot"):
        settled.ok("mode", connection, "observe")
    settled.edit("salesforce", HAYS, ANA, Account_Tier__c="GROWTH")
    before = settled.writes()
    assert settled.ok("sync", "--json").json["applied"] is None
    assert settled.writes() == before
