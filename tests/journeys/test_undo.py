"""A run is taken back: what nobody touched since returns, what somebody touched is theirs to decide."""

from __future__ import annotations

from typing import Any

from tests.journeys.conftest import Cli
from tests.journeys.world import ANA, BEA, DEE, HS_DEE, HS_HAYS, MERCY, TOPEKA

CLEARS = ("--accept-guard", "clears", "--reason", "first contact is taken back")


def undo(cli: Cli, *words: str) -> Any:
    """Plan the undo of the newest apply run; 4 where a guard wants a word first."""
    made = cli.run("undo", "latest", "--reason", "too early", "--json", *words)
    assert made.code in (0, 4), made.said
    return made.json


def tiers(cli: Cli) -> list[Any]:
    return [cli.record("salesforce", one)["Account_Tier__c"] for one in (MERCY, TOPEKA)]


def test_an_undo_puts_back_what_nobody_touched_and_asks_about_the_rest(settled: Cli) -> None:
    assert settled.record("salesforce", TOPEKA)["OwnerId"] == ANA
    settled.edit("salesforce", MERCY, DEE, Account_Tier__c="T3")
    settled.edit("hubspot", HS_HAYS, "9074", account_tier="T3")
    before = tiers(settled)
    made = undo(settled)
    assert made["conflicts"] == 2  # the tiers that somebody set
    assert settled.run("apply", *CLEARS).code == 0
    assert settled.record("salesforce", TOPEKA)["OwnerId"] == BEA
    assert settled.record("salesforce", MERCY)["Account_Tier__c"] == "T3"
    assert settled.record("hubspot", HS_HAYS)["account_tier"] == "T3"
    assert tiers(settled) == ["T3", None] != before
    # what is known of the accounts comes from the last plan that looked at all of them
    assert "Topeka" in settled.ok("explain", TOPEKA).out
    until = ("--reason", "as agreed", "--until", "2099-01-01")
    settled.ok("holds", "add", "--where", 'system="Mercy Health"', *until)
    for verb in (("kpis",), ("lint",), ("export", "accounts", "-o", str(settled.folder / "accounts.csv"))):
        settled.ok(*verb)


def test_what_was_undone_is_not_proposed_again_and_an_undo_can_be_undone(settled: Cli) -> None:
    before = settled.record("salesforce", TOPEKA)
    undo(settled, "--where", f"record={TOPEKA}")
    assert settled.run("apply", *CLEARS).code == 0
    assert settled.record("salesforce", TOPEKA)["OwnerId"] == BEA
    settled.ok("pull")
    settled.ok("plan")
    rows = settled.ok("show", "--where", f"record={TOPEKA}", "--json").json["items"]
    assert {row["action"] for row in rows} == {"overridden"}
    undo(settled)
    settled.ok("apply")
    after = settled.record("salesforce", TOPEKA)
    names = ("OwnerId", "Territory__c", "Account_Tier__c", "Health_System__c", "ParentId")
    assert [after[name] for name in names] == [before[name] for name in names]


def test_a_value_written_over_is_given_back_while_ours_still_stands(planned: Cli) -> None:
    """Dee takes a company exactly between our read and our write."""
    planned.approve_all()
    taken: list[str] = []

    def take(event: dict[str, Any]) -> None:
        if not taken and HS_HAYS in event["ids"] and "hubspot_owner_id" in event["fields"]:
            taken.append(HS_HAYS)
            planned.edit("hubspot", HS_HAYS, "9074", hubspot_owner_id=HS_DEE)

    planned.sandbox.world.on("before_write", take)
    assert planned.apply_first().code == 0
    (item,) = planned.ok("show", "--where", "result=overwrote", "--json").json["items"]
    assert planned.record("hubspot", HS_HAYS)["hubspot_owner_id"] != HS_DEE
    planned.ok("restore", item["item"], "--reason", "Dee was there first")
    assert planned.record("hubspot", HS_HAYS)["hubspot_owner_id"] == HS_DEE
    again = planned.run("restore", item["item"], "--reason", "once more")
    assert (again.code, "not restored" in again.said) == (5, True)


def test_an_undo_needs_a_reason_and_something_to_take_back(planned: Cli) -> None:
    assert planned.run("undo", "latest").code == 64
    assert planned.run("undo", "latest", "--reason", "too early").code == 1
    assert planned.run("restore", "0123456789abcdef", "--reason", "hers").code == 1
