"""People go on working in the CRMs while a plan waits; what they do is never written over."""

from __future__ import annotations

from typing import Any

from tests.journeys.conftest import Cli
from tests.journeys.world import ANA, BEA, CARL, HAYS, HS_BEA, HS_HAYS, write_mappings


def test_an_edit_between_plan_and_apply_is_left_alone_and_comes_back_as_a_question(planned: Cli) -> None:
    planned.approve_all()
    planned.edit("salesforce", HAYS, BEA, OwnerId=BEA)
    planned.edit("hubspot", HS_HAYS, "9072", hubspot_owner_id=HS_BEA)
    applied = planned.apply_first()
    assert applied.code == 5
    assert "owner moved since the plan; not written over, plan again" in applied.out
    assert planned.record("salesforce", HAYS)["OwnerId"] == BEA
    assert planned.record("hubspot", HS_HAYS)["hubspot_owner_id"] == HS_BEA
    planned.ok("pull")
    planned.run("plan")
    question = _owner_question(planned, "salesforce")
    assert (question["state"], question["action"]) == ("takeover", "review")
    assert question["actor"].startswith("Bea Busy, 20")  # who, and when
    assert _owner_question(planned, "hubspot")["actor"].startswith("Bea Test, 20")


def test_what_a_person_keeps_is_not_asked_again_until_the_proposal_changes(settled: Cli) -> None:
    settled.edit("salesforce", HAYS, BEA, OwnerId=BEA)
    settled.ok("pull")
    settled.ok("plan")
    assert _owner_question(settled, "salesforce")["state"] in ("drift", "conflict")
    kept = settled.ok("keep", "--where", f"record={HAYS} and group=ownership", "--reason", "Bea knows them")
    assert "keep: 1 items" in kept.out
    before = settled.writes()
    settled.ok("apply")
    assert settled.writes() == before
    settled.ok("pull")
    settled.ok("plan")
    assert _owner_questions(settled, "salesforce") == []
    write_mappings(settled.folder / "mappings", named=f"{{{HAYS}: dee@people.example}}")
    settled.run("plan")
    assert _owner_question(settled, "salesforce")["owner_to"] == "dee@people.example"


def test_a_rejected_proposal_is_not_asked_again(planned: Cli) -> None:
    planned.ok("reject", "--where", f"record={HAYS} and group=ownership", "--reason", "Carl comes back")
    planned.run("plan")
    assert _owner_question(planned, "salesforce")["decision"] == "reject"
    planned.approve_all()  # of what is still open
    assert planned.apply_first().code == 0
    assert planned.record("salesforce", HAYS)["OwnerId"] == CARL


def test_a_wide_approval_leaves_what_is_decided_unless_it_speaks_of_decisions(planned: Cli) -> None:
    planned.ok("reject", "--where", f"record={HAYS} and group=ownership", "--reason", "Carl comes back")
    planned.approve_all()
    assert _owner_question(planned, "salesforce")["decision"] == "reject"
    planned.ok("approve", "--where", f"record={HAYS} and decision=reject", "--take-ours", "--reason", "he does not")
    assert _owner_question(planned, "salesforce")["decision"] == "take_ours"


def test_a_strict_apply_writes_nothing_when_one_approved_item_moved(planned: Cli) -> None:
    planned.approve_all()
    planned.edit("salesforce", HAYS, BEA, OwnerId=BEA)
    refused = planned.run("apply", "--strict", "--accept-guard", "first_contact", "--reason", "reviewed")
    assert refused.code == 6
    assert "moved since it was made" in refused.said
    assert planned.writes() == 0


def test_an_approval_outlives_a_new_plan_of_the_same_values(planned: Cli) -> None:
    planned.approve_all()
    planned.run("plan")
    asked = _owner_question(planned, "salesforce")
    assert asked["decision"] == "take_ours"
    assert f"take_ours by {asked['decided_by']}, {asked['decided_at'][:10]}" in planned.ok("show").out
    assert planned.apply_first().code == 0
    assert planned.record("salesforce", HAYS)["OwnerId"] == ANA


def _owner_questions(cli: Cli, connection: str) -> list[dict[str, Any]]:
    where = f"group=ownership and connection={connection} and action=review and owner_to~@"
    items: list[dict[str, Any]] = cli.ok("show", "--where", where, "--json").json["items"]
    return [item for item in items if item["record"] in (HAYS, HS_HAYS)]


def _owner_question(cli: Cli, connection: str) -> dict[str, Any]:
    (found,) = _owner_questions(cli, connection)
    return found
