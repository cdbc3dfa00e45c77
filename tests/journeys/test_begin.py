"""The first hour of an installation: files to edit, a state that only observes, and the fields the CRMs lack."""

from __future__ import annotations

import stat
from pathlib import Path
from xml.etree import ElementTree

from mappings.load import load
from sandbox.hubspot.schema import definitions
from sandbox.salesforce.permissions import field_permission, object_permission
from tests.journeys.conftest import Cli
from tests.journeys.world import TOPEKA, write_feed

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


def test_doctor_proves_conditional_writes_on_a_record_to_throw_away_and_the_lane_follows(cli: Cli) -> None:
    cli.ok("pull")
    told = {check["name"]: check["found"] for check in cli.ok("doctor", "--json").json["checks"]}
    assert "--prove-conditions RECORD proves it" in told["salesforce conditions"]
    assert told["salesforce privileges"] == "nothing beyond the work"
    before = dict(cli.record("salesforce", TOPEKA))
    assert "proven: a stale write inside composite is refused" in cli.ok("doctor", "--prove-conditions", TOPEKA).out
    assert cli.record("salesforce", TOPEKA) == before
    cli.sandbox.world.settings.conditional_in_composite = False
    assert "one record a call from now on" in cli.ok("doctor", "--prove-conditions", TOPEKA).out
    told = {check["name"]: check["found"] for check in cli.ok("doctor", "--json").json["checks"]}
    assert told["salesforce conditions"] == "proven not to hold inside composite: one record a call"
    assert "capability_proven" in [one["kind"] for one in cli.ok("audit", "tail", "--json").json["entries"]]
    assert cli.run("doctor", "--prove-conditions", "001000000000nOnAAI").code == 64


def test_every_privilege_beyond_the_work_is_a_line_to_do(cli: Cli) -> None:
    world = cli.sandbox.world
    world.load("salesforce", "ObjectPermissions", [object_permission("Contact", ("Read", "Delete"))])
    world.load("salesforce", "FieldPermissions", [field_permission("Account", "Phone")])
    found = cli.run("doctor", "--json")
    todo = [check["found"] for check in found.json["checks"] if check["name"] == "salesforce privilege"]
    assert found.code == 7
    assert [one.split(":")[0] for one in todo] == ["Account.Phone", "Contact.Delete"], todo
