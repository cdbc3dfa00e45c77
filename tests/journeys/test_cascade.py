"""What goes along with an owner change, as the policy says, and back again when it is undone."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from tests.journeys.conftest import Cli
from tests.journeys.test_limits import WORDS, give, limits
from tests.journeys.world import ANA, BEA, DEE, TEAMED, TOPEKA

ANAS, BEAS, WON = "006000000000aNaAAI", "006000000000bEaAAI", "006000000000wOnAAI"
"""Opportunities at Topeka: Ana's, Bea's, and one of Ana's that was won."""


def deal(key: str, owner: str, stage: str = "Prospecting") -> dict[str, Any]:
    stamp = "2026-01-05T08:00:00.000+0000"
    shown = {"Id": key, "Name": key, "AccountId": TOPEKA, "OwnerId": owner, "StageName": stage}
    closed = stage.startswith("Closed")
    return {**shown, "IsClosed": closed, "IsWon": closed, "CloseDate": "2026-12-01", "SystemModstamp": stamp}


def deals(cli: Cli) -> list[str]:
    world = cli.sandbox.world
    return [world.get("salesforce", "Opportunity", key)["OwnerId"] for key in (ANAS, BEAS, WON)]


def policy(cli: Cli, cascade: str, *, more: str = "") -> None:
    shipped = (files("mappings") / "policies" / "conflicts.yaml").read_text(encoding="utf-8")
    told = re.sub(r"(  owner:\n    \{)", rf"\1cascade: {cascade}, ", shipped)
    (cli.folder / "mappings" / "conflicts.yaml").write_text(told + more, encoding="utf-8")
    limits(cli, "named_accounts: {count: 9}")


@pytest.fixture
def dealing(settled: Cli) -> Cli:
    settled.sandbox.world.load(
        "salesforce", "Opportunity", [deal(ANAS, ANA), deal(BEAS, BEA), deal(WON, ANA, "Closed Won")]
    )
    return settled


def hand_over(cli: Cli) -> None:
    """Topeka goes from Ana to Dee."""
    give(cli, "902")
    cli.ok("approve", "--where", f"record={TOPEKA} and group=ownership", *WORDS)
    cli.ok("apply")
    assert cli.record("salesforce", TOPEKA)["OwnerId"] == DEE


def undo(cli: Cli) -> None:
    made = cli.run("undo", "latest", *WORDS)
    assert made.code in (0, 4), made.said
    cli.ok("apply")


def test_open_opportunities_go_along_and_come_back_as_far_as_they_are_where_they_were_put(dealing: Cli) -> None:
    policy(dealing, "{transfer_open_opportunities: true}")
    hand_over(dealing)
    assert deals(dealing) == [DEE, BEA, ANA]
    undo(dealing)
    assert (dealing.record("salesforce", TOPEKA)["OwnerId"], deals(dealing)) == (ANA, [ANA, BEA, ANA])
    undo(dealing)  # the undo is a run like any other
    assert (dealing.record("salesforce", TOPEKA)["OwnerId"], deals(dealing)) == (DEE, [DEE, BEA, ANA])
    dealing.sandbox.world.human_edit("salesforce", "Opportunity", ANAS, {"OwnerId": BEA}, by=BEA)
    undo(dealing)
    assert (dealing.record("salesforce", TOPEKA)["OwnerId"], deals(dealing)) == (ANA, [BEA, BEA, ANA])


def test_open_opportunities_stay_though_the_crm_takes_them_along(dealing: Cli) -> None:
    dealing.sandbox.world.settings.cascade_open_opportunities = True
    policy(dealing, "{transfer_open_opportunities: false}")
    hand_over(dealing)
    assert deals(dealing) == [ANA, BEA, ANA]


def test_what_the_crm_takes_along_by_itself_is_previewed_pictured_and_put_back(dealing: Cli) -> None:
    dealing.sandbox.world.settings.cascade_open_opportunities = True
    limits(dealing, "named_accounts: {count: 9}")
    dealing.ok("pull", "--full")
    made = give(dealing, "902")
    assert made["cascade"]["opportunities"] == {"as the CRM is set": 1}
    assert made["cascade"]["opportunities_of_others"] == 1
    (row,) = dealing.ok("show", "--where", f"record={TOPEKA} and group=ownership", "--json").json["items"]
    told = {"count": 1, "fate": "as the CRM is set", "ids": [ANAS], "of_others": 1}
    assert row["cascade"]["opportunities"] == told
    shown = dealing.ok("show").out
    assert "1 open opportunities of the old owners as the CRM is set · 1 of others stay" in shown
    dealing.ok("approve", "--where", f"record={TOPEKA} and group=ownership", *WORDS)
    dealing.ok("apply")
    assert deals(dealing) == [DEE, BEA, ANA]
    dees = "006000000000dEeAAI"  # Dee's own, opened after the account came to her
    dealing.sandbox.world.load("salesforce", "Opportunity", [deal(dees, DEE)])
    dealing.ok("pull", "--full")
    taken_back = dealing.run("undo", "latest", "--json", *WORDS)
    assert taken_back.json["cascade"] == {"opportunities": {"update": [ANAS]}, "team_members": 0}
    dealing.ok("apply")
    assert (dealing.record("salesforce", TOPEKA)["OwnerId"], deals(dealing)) == (ANA, [ANA, BEA, ANA])
    assert dealing.sandbox.world.get("salesforce", "Opportunity", dees)["OwnerId"] == DEE
    undo(dealing)
    assert deals(dealing) == [DEE, BEA, ANA]
    dealing.sandbox.world.human_edit("salesforce", "Opportunity", ANAS, {"OwnerId": BEA}, by=BEA)
    said = dealing.run("undo", "latest", *WORDS)
    assert f"1 opportunities that went along were given to somebody else since and stay there: {ANAS}" in said.out
    dealing.ok("apply")
    assert (dealing.record("salesforce", TOPEKA)["OwnerId"], deals(dealing)) == (ANA, [BEA, BEA, ANA])


def test_a_team_that_is_let_go_comes_back_with_the_undo(dealing: Cli) -> None:
    def team() -> set[str]:
        members = dealing.sandbox.world.table("salesforce", "AccountTeamMember").values()
        return {one["UserId"] for one in members if one["AccountId"] == TEAMED and not one["IsDeleted"]}

    before = team()
    policy(dealing, "{keep_account_team: false}")
    give(dealing, "903")
    dealing.ok("approve", "--where", f"record={TEAMED} and group=ownership", "--take-ours", *WORDS)
    dealing.ok("apply")
    assert (dealing.record("salesforce", TEAMED)["OwnerId"], team()) == (DEE, set())
    assert dealing.run("undo", "latest", *WORDS).code == 4  # values that were empty before are emptied
    dealing.ok("apply", "--accept-guard", "clears", *WORDS)
    assert (dealing.record("salesforce", TEAMED)["OwnerId"], team()) == (BEA, before)
