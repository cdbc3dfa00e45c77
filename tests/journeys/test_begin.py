"""The first hour of an installation: files to edit, a state that only observes, and the fields the CRMs lack."""

from __future__ import annotations

import stat
from pathlib import Path
from xml.etree import ElementTree

from mappings.load import load
from sandbox.hubspot.schema import definitions
from tests.journeys.conftest import Cli
from tests.journeys.world import write_feed

NS = "{http://soap.sforce.com/2006/04/metadata}"


def test_init_writes_what_an_admin_edits_and_nothing_twice(cli: Cli) -> None:
    folder = cli.folder / "acme"
    bare = dict.fromkeys(("DATABASE_URL", "SNAPSHOT_URL", "MAPPINGS_DIR"))
    cli.ok("init", str(folder), **bare)
    env = folder / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert load(folder / "mappings").digest == load().digest
    assert (folder / "var" / "platbook.db").exists()
    env.write_text("PLATBOOK_TIMEZONE=America/Chicago\n", encoding="utf-8")
    roster = folder / "mappings" / "policies" / "reps.yaml"
    roster.write_text("# mine\n", encoding="utf-8")
    again = cli.ok("init", str(folder), "--json", **bare).json
    assert (again["settings_written"], again["mappings_written"], again["observing"]) == (False, 0, [])
    assert roster.read_text(encoding="utf-8") == "# mine\n"


def test_a_new_installation_plans_and_does_not_write_until_an_admin_says_so(cli: Cli) -> None:
    cli.ok("init", ".")
    cli.ok("pull")
    cli.ok("feeds", "take", str(write_feed(cli.folder)), "--as-of", "2026-01-05")
    assert cli.run("plan").code == 4
    cli.approve_all()
    assert cli.apply_first().code == 6
    assert cli.writes() == 0
    for connection in ("salesforce", "hubspot"):
        cli.ok("mode", connection, "propose")
    assert cli.apply_first().code == 0
    assert cli.writes() > 0


def test_missing_properties_are_named_and_made_in_hubspot(cli: Cli) -> None:
    known = definitions(cli.sandbox.world, "companies")
    for name in ("definitive_id", "rescore_flag", "rescore_reason"):
        known.pop(name)
    found = cli.run("crm-fields", "plan", "--json")
    assert found.code == 7
    missing = {one["native"] for one in found.json["fields"] if one["status"] == "missing"}
    assert missing == {"definitive_id", "rescore_flag", "rescore_reason"}
    made = cli.ok("crm-fields", "create", "--json").json["made"]["hubspot"]
    assert set(made) == missing
    assert known["rescore_flag"]["fieldType"] == "booleancheckbox"
    assert cli.ok("crm-fields", "create", "--json").json["made"]["hubspot"] == []
    assert cli.ok("crm-fields", "plan").code == 0
    assert "crm_fields_created" in [one["kind"] for one in cli.ok("audit", "tail", "--json").json["entries"]]


def test_salesforce_gets_a_permission_set_for_the_pushed_fields_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    cli.run("crm-fields", "plan", "--salesforce-source", str(tmp_path / "source"))
    path = tmp_path / "source" / "permissionsets" / "Platbook.permissionset-meta.xml"
    root = ElementTree.parse(path).getroot()  # noqa: S314  # written by ourselves just now
    editable = {
        one.findtext(f"{NS}field")
        for one in root.iter(f"{NS}fieldPermissions")
        if one.findtext(f"{NS}editable") == "true"
    }
    assert editable == {
        f"Account.{name}__c"
        for name in (
            "Health_System", "Owner_Role", "Territory", "Routing_Queue",
            "Account_Tier", "Tier_Status", "Account_Score", "Rescore_Flag", "Rescore_Reason",
        )
    }  # fmt: skip
    assert root.findtext(f"{NS}objectPermissions/{NS}modifyAllRecords") == "false"
