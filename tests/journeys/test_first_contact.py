"""The first day: look, pull, take the vendor's file, plan, be stopped, agree, write, and find nothing left to do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.journeys.conftest import Cli
from tests.journeys.world import ANA, BEA, CARL, HAYS, HS_ANA, HS_HAYS, MERCY, TEAMED, TOPEKA, write_feed


def test_from_an_empty_installation_to_nothing_left_to_write(cli: Cli) -> None:
    _look_pull_and_take(cli)
    _be_stopped(cli)
    _agree_and_write(cli)
    _find_nothing_left(cli)


def _look_pull_and_take(cli: Cli) -> None:
    doctor = cli.ok("doctor", "--json").json
    assert [check["name"] for check in doctor["checks"] if not check["is_ok"]] == []
    pulled = cli.ok("pull", "--json").json
    rows = {(one["connection"], o["object"]): o["total"] for one in pulled["connections"] for o in one["objects"]}
    assert rows["salesforce", "account"] == 4
    assert rows["hubspot", "account"] == 2
    taken = cli.ok("feeds", "take", str(write_feed(cli.folder)), "--as-of", "2026-01-05", "--json").json
    assert (taken["verdict"], taken["rows_seen"], taken["rows_set_aside"]) == ("ACCEPT", 4, 0)


def _be_stopped(cli: Cli) -> None:
    plan = cli.run("plan", "--json")
    assert plan.code == 4
    assert plan.json["status"] == "paused_by_guard"
    assert {guard["guard"] for guard in plan.json["guards"] if guard["breached"]} == {"first_contact"}
    refused = cli.run("apply")
    assert refused.code == 4
    assert "first_contact" in refused.said
    assert "platbook apply --accept-guard first_contact" in refused.said
    assert cli.writes() == 0


def _agree_and_write(cli: Cli) -> None:
    approved = cli.ok("approve", "--where", 'item!=""', "--take-ours", "--reason", "reviewed", "--json").json
    assert len(approved["items"]) == 5
    applied = cli.run("apply", "--accept-guard", "first_contact", "--reason", "looked at all of them", "--json")
    assert applied.code == 0
    assert {item["state"] for item in applied.json["items"]} == {"verified"}
    assert applied.json["mails_sent"] == 1
    assert cli.record("salesforce", HAYS)["OwnerId"] == ANA
    assert cli.record("salesforce", HAYS)["ParentId"] == MERCY
    assert cli.record("salesforce", TOPEKA)["OwnerId"] == ANA
    assert cli.record("hubspot", HS_HAYS)["hubspot_owner_id"] == HS_ANA
    _read_the_diff_log(applied.json["files"])
    _read_the_mail(cli)


def _read_the_diff_log(files: dict[str, str]) -> None:
    changes = json.loads(Path(files["json"]).read_text(encoding="utf-8"))["changes"]
    owner = next(c for c in changes if c["field"] == "owner" and c["record_id"] == HAYS)
    assert owner["crm_now"] == f"Carl Gone ({CARL})"
    assert owner["proposed"] == f"Ana Active ({ANA})"
    assert owner["rule"] == "territory.root_owner"
    assert (owner["decision"], owner["result"]) == ("take_ours", "verified")
    assert owner["decided_by"]
    assert owner["decided_at"]
    with Path(files["csv"]).open(encoding="utf-8-sig", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(changes)
    assert Path(files["xlsx"]).read_bytes().startswith(b"PK")


def _read_the_mail(cli: Cli) -> None:
    stop, mail = (one.as_dict() for one in cli.sandbox.mails.messages)
    assert (stop["recipients"], "is paused: first_contact" in stop["subject"]) == (mail["recipients"], True)
    assert "values are set where nothing was ever agreed, limit 0" in stop["text"]
    assert "Mercy" not in stop["text"] + stop["html"]  # it names no account
    assert mail["recipients"] == ["sales-operations@example.com"]
    assert mail["subject"].startswith("[Platbook] 3 owner changes applied")
    for part in ("text", "html"):
        assert "Mercy Hospital Hays" in mail[part]
        assert "Ana Active" in mail[part]
    assert "<table" in mail["html"]
    assert "<" not in mail["text"].replace("->", "")


def _find_nothing_left(cli: Cli) -> None:
    cli.ok("pull")
    plan = cli.ok("plan", "--json").json
    left = {key: n for key, n in plan["counts"].items() if key in ("action:auto", "action:approve", "action:review")}
    assert not any(left.values())
    written = cli.writes()
    again = cli.ok("apply", "--json").json
    assert again["items"] == []
    assert cli.writes() == written
    assert cli.ok("plan", "--detailed-exitcode").code == 0


def test_every_verb_speaks_json_with_a_schema_version(settled: Cli) -> None:
    plan = settled.ok("plan", "--json").json
    run = settled.ok("runs", "--json").json["runs"][0]["id"]
    target = settled.folder / "links.csv"
    said = {
        "plan": plan,
        "plan list": settled.ok("plan", "--list", "--json").json,
        "show": settled.ok("show", "--json").json,
        "explain": settled.ok("explain", "Mercy Hospital Hays", "--json").json,
        "runs": settled.ok("runs", run, "--json").json,
        "feeds list": settled.ok("feeds", "list", "--json").json,
        "export": settled.ok("export", "links", "-o", str(target), "--json").json,
        "sync": settled.ok("sync", "--json").json,
    }
    for verb, document in said.items():
        assert document["schema_version"] == 1, verb
        assert document["verb"].split()[0] == verb.split()[0]
    assert target.read_text(encoding="utf-8-sig").startswith("source,source_id,account_id,")


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet"])
def test_what_a_plan_found_can_be_taken_along_as_a_file(planned: Cli, ending: str) -> None:
    for what in ("accounts", "hierarchy", "tiers", "assignments", "changes", "audit"):
        target = planned.folder / f"{what}.{ending}"
        result = planned.ok("export", what, "-o", str(target))
        assert what in result.out
        assert target.stat().st_size > 0


def test_explain_names_rule_facts_and_where_each_came_from(planned: Cli) -> None:
    told = planned.ok("explain", HAYS, "--field", "owner").out
    assert 'in the CRM now "Carl Gone"; proposed "Ana Active"' in told
    assert "Rule territory.root_owner" in told
    assert "the unit's own record" in told
    whole = planned.ok("explain", "901").out
    assert "[definitive:definitive_day1.csv:row " in whole


def test_a_script_learns_from_the_exit_code_whether_a_person_is_needed(settled: Cli) -> None:
    assert settled.run("plan", "--detailed-exitcode").code == 0
    settled.edit("salesforce", HAYS, BEA, Account_Tier__c="T9")  # a field the policy puts back by itself
    settled.ok("pull")
    assert settled.run("plan", "--detailed-exitcode").code == 2
    settled.edit("salesforce", HAYS, BEA, OwnerId=BEA)
    settled.ok("pull")
    assert settled.run("plan", "--detailed-exitcode").code == 3


def test_an_account_with_a_team_keeps_its_owner_and_the_plan_says_why(planned: Cli) -> None:
    shown = planned.ok("show", "--where", f"record={TEAMED} and group=ownership").out
    assert "blocked" in shown
    assert "account team has 2 members; an owner change by REST would drop it" in shown
    planned.approve_all()
    assert planned.apply_first().code == 0
    assert planned.record("salesforce", TEAMED)["OwnerId"] == BEA
    told = planned.ok("explain", TEAMED, "--field", "owner").out
    assert "account team has 2 members" in told


def test_who_left_is_never_proposed_as_an_owner(planned: Cli) -> None:
    items = planned.ok("show", "--json").json["items"]
    owners = {item["owner_to"] for item in items if item["owner_to"]}
    assert owners == {"ana@people.example"}
