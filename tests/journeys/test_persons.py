"""Who decides: verified persons, their roles, the second person, and how far Platbook goes on a connection."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.journeys.conftest import Cli
from tests.journeys.world import write_mappings

ALL = 'item!=""'


def policy(cli: Cli, *lines: str) -> None:
    """The packaged conflict policy with some lines more."""
    packaged = (files("mappings") / "policies" / "conflicts.yaml").read_text(encoding="utf-8")
    text = packaged.replace("\nfields:", "\n" + "\n".join(lines) + "\nfields:", 1)
    (Path(cli.environment["PLATBOOK_MAPPINGS_DIR"]) / "conflicts.yaml").write_text(text, encoding="utf-8")


def person(cli: Cli, admin: str, name: str, role: str) -> str:
    """Register a person; the token."""
    cli.ok("people", "add", name, "--role", role, TOKEN=admin)
    return str(cli.ok("people", "token", name, "--json", TOKEN=admin).json["token"])


@pytest.fixture
def admin(planned: Cli) -> str:
    return str(planned.ok("people", "add", "ana@acme.example", "--role", "admin", "--json").json["token"])


def test_only_verified_persons_decide_where_the_policy_says_so(planned: Cli, admin: str) -> None:
    policy(planned, "require_verified_person: true")
    assert planned.run("plan", TOKEN=admin).code == 4
    words = ("approve", "--where", ALL, "--take-ours", "--reason", "reviewed")
    refused = planned.run(*words)
    assert refused.code == 7
    assert "platbook login" in refused.said
    viewer = person(planned, admin, "vic@acme.example", "viewer")
    low = planned.run(*words, TOKEN=viewer)
    assert low.code == 7
    assert "it takes approver" in low.said
    approver = person(planned, admin, "bea@acme.example", "approver")
    assert "by bea@acme.example." in planned.ok(*words, TOKEN=approver).out
    unnamed = planned.run("apply", "--accept-guard", "first_contact", "--reason", "r")
    assert unnamed.code == 7
    assert planned.writes() == 0
    assert planned.run("apply", "--accept-guard", "first_contact", "--reason", "r", TOKEN=approver).code == 0
    assert planned.writes() > 0


def test_a_reviewer_may_hold_and_an_approver_may_release(planned: Cli, admin: str) -> None:
    reviewer, approver = (person(planned, admin, f"{role}@acme.example", role) for role in ("reviewer", "approver"))
    held = ("holds", "add", "--where", "state=KS", "--until", "2099-12-31", "--reason", "merger")
    planned.ok(*held, TOKEN=reviewer)
    released = ("holds", "release", "--where", "kind=lock", "--reason", "signed")
    low = planned.run(*released, TOKEN=reviewer)
    assert (low.code, "it takes approver" in low.said) == (7, True)
    planned.ok(*released, TOKEN=approver)


def test_a_wrong_token_gives_nothing_not_even_the_rights_of_the_user(planned: Cli, admin: str) -> None:
    wrong = planned.run("show", TOKEN="platbook_guess")
    assert wrong.code == 7
    assert "not known here" in wrong.said
    assert "guess" not in wrong.said
    assert planned.ok("people", "revoke", "ana@acme.example", TOKEN=admin)
    assert "revoked" in planned.run("show", TOKEN=admin).said
    kinds = [entry["kind"] for entry in planned.ok("audit", "tail", "--limit", "20", "--json").json["entries"]]
    assert kinds.count("login_refused") == 2


def test_nobody_makes_himself_admin_once_there_is_one(planned: Cli, admin: str) -> None:
    refused = planned.run("people", "add", "mallory@acme.example", "--role", "admin")
    assert refused.code == 7
    assert planned.run("people", "add", "b@acme.example", TOKEN=person(planned, admin, "c", "approver")).code == 7


def test_the_head_of_the_audit_stands_in_the_ownership_mail(settled: Cli) -> None:
    entries = settled.ok("audit", "export", "-o", "audit.jsonl").out
    assert "rows written" in entries
    hashes = {json.loads(line)["hash"] for line in (settled.folder / "audit.jsonl").read_text().splitlines()}
    mails = [path.read_text(encoding="utf-8") for path in (settled.folder / "reports").rglob("*.html")]
    assert any(f"<code>{one}" in mail or f">{one}</code>" in mail for mail in mails for one in hashes)


def test_two_persons_have_to_agree_to_owner_changes(planned: Cli, admin: str) -> None:
    policy(
        planned,
        "requires:",
        "  - {class: ownership, accounts_over: 0, approvers: 2, not_author: true}",
        "  - {class: guard_override, approvers: 1, not_author: true}",
    )
    bea, dee = (person(planned, admin, f"{name}@acme.example", "approver") for name in ("bea", "dee"))
    assert planned.run("plan", TOKEN=admin).code == 4
    words = ("approve", "--where", ALL, "--take-ours", "--reason", "reviewed")
    planned.ok(*words, TOKEN=bea)
    let_through = ("apply", "--accept-guard", "first_contact", "--reason", "r", "--json")
    own = planned.run(*let_through, TOKEN=admin)
    assert own.code == 7
    assert "Somebody else" in own.said
    first = planned.run(*let_through, TOKEN=bea)
    assert {item["group"] for item in first.json["items"]} == {"hierarchy", "segmentation", "system"}
    waiting = first.json["totals"]["pending"]
    assert waiting > 0
    planned.ok(*words, TOKEN=dee)
    second = planned.run("apply", "--json", TOKEN=dee)
    assert {item["group"] for item in second.json["items"]} == {"ownership"}
    assert len(second.json["items"]) == waiting


def test_a_connection_that_is_observed_is_never_written(planned: Cli, admin: str) -> None:
    for connection in ("salesforce", "hubspot"):
        planned.ok("mode", connection, "observe", TOKEN=admin)
    planned.approve_all()
    refused = planned.apply_first()
    assert refused.code == 6
    assert "mode observe" in refused.said
    assert planned.run("apply", "--baseline-only").code == 0
    assert planned.writes() == 0


def test_a_connection_in_propose_is_written_item_by_item_as_approved(planned: Cli, admin: str) -> None:
    for connection in ("salesforce", "hubspot"):
        planned.ok("mode", connection, "propose", TOKEN=admin)
    assert planned.run("mode", "salesforce", "auto").code == 7
    bea = person(planned, admin, "bea@acme.example", "approver")
    assert planned.run("plan", TOKEN=admin).code == 4
    let_through = ("apply", "--accept-guard", "first_contact", "--reason", "reviewed")
    assert planned.run(*let_through, TOKEN=bea).code == 0
    assert planned.writes() == 0
    planned.approve_all()
    assert planned.run(*let_through, TOKEN=bea).code == 0
    assert planned.writes() > 0


def test_new_rules_are_only_proposed_once_unless_the_policy_says_otherwise(settled: Cli) -> None:
    policy(settled, "fight_days: 13")
    settled.edit("hubspot", "102", "9071", account_tier="GROWTH")
    settled.ok("pull")
    assert "the rules are new since the last applied plan" in settled.run("plan").out
    before = settled.writes()
    assert "the rules are new" in settled.ok("apply").out
    assert settled.writes() == before
    assert settled.ok("plan", "--json").json["new_rules"] is False  # once
    settled.ok("apply")
    assert settled.writes() > before
    policy(settled, "propose_after_rule_change: false")
    settled.edit("hubspot", "102", "9071", account_tier="GROWTH")
    settled.ok("pull")
    before = settled.writes()
    assert settled.ok("plan", "--json").json["new_rules"] is False
    settled.ok("apply")
    assert settled.writes() > before


def test_another_roster_is_no_other_rule(settled: Cli) -> None:
    write_mappings(settled.folder / "mappings", named='{"902": dee@people.example}')
    settled.ok("pull")
    assert settled.run("plan", "--json").json["new_rules"] is False
