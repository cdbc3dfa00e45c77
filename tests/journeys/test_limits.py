"""Limits over days, parts of a plan and hours: measured when a plan is made, and again before it is written."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from tests.journeys.conftest import Cli
from tests.journeys.world import DEE, HAYS, TOPEKA, write_mappings

WORDS = ("--reason", "checked with the regions")


def limits(cli: Cli, *lines: str) -> None:
    """Limits of the installation: the shipped ones, with these lines in place of theirs."""
    shipped = (files("mappings") / "policies" / "guards.yaml").read_text(encoding="utf-8")
    for line in lines:
        name = line.split(":")[0]
        shipped = re.sub(rf"^{name}:.*$", line, shipped, flags=re.MULTILINE)
    (cli.folder / "mappings" / "guards.yaml").write_text(shipped, encoding="utf-8")


def give(cli: Cli, *vendor_ids: str) -> Any:
    """Dee gets these hospitals by name; the plan that says so."""
    named = ", ".join(f'"{one}": dee@people.example' for one in vendor_ids)
    write_mappings(cli.folder / "mappings", named="{" + named + "}")
    cli.ok("pull")
    made = cli.run("plan", "--json")
    assert made.code in (0, 4), made.err
    return made.json


def owners(cli: Cli) -> list[bool]:
    return [cli.record("salesforce", one)["OwnerId"] == DEE for one in (TOPEKA, HAYS)]


def passed(made: Any) -> set[str]:
    return {f"{one['guard']}:{one['subject']}" for one in made["guards"] if one["breached"]}


@pytest.fixture
def narrow(settled: Cli) -> Cli:
    """Two owners a day and CRM, named accounts like any other."""
    limits(settled, "owner_changes: {count: 2}", "named_accounts: {count: 9}")
    return settled


def test_the_second_plan_of_a_day_is_measured_with_the_first(narrow: Cli) -> None:
    give(narrow, "902")  # and with it the system and its other hospital
    narrow.ok("approve", "--where", f"record={TOPEKA}", *WORDS)
    narrow.ok("apply")  # the approved part alone is within the limit
    assert owners(narrow) == [True, False]
    made = give(narrow, "902")
    assert "owner_changes:salesforce" not in passed(made)
    assert "owner_changes_24h:salesforce" in passed(made)
    narrow.approve_all()
    stopped = narrow.run("apply")
    assert (stopped.code, owners(narrow)) == (4, [True, False])
    assert "owner_changes_24h: accounts change owner within 24h, limit 2" in stopped.said
    assert narrow.run("apply").code == 4
    subjects = [one.as_dict()["subject"] for one in narrow.sandbox.mails.messages]
    assert [made["plan"] in one for one in subjects].count(True) == 1  # mailed when it was made, and not again
    assert narrow.run("apply", "--accept-guard", "owner_changes_24h", *WORDS).code == 0
    assert owners(narrow) == [True, True]


def test_the_parts_of_one_plan_are_measured_together_when_they_are_written(narrow: Cli) -> None:
    assert "owner_changes:salesforce" in passed(give(narrow, "902"))
    narrow.ok("approve", "--where", f"record={TOPEKA}", *WORDS)
    narrow.ok("apply")
    narrow.approve_all()
    stopped = narrow.run("apply")
    assert (stopped.code, owners(narrow)) == (4, [True, False])
    assert narrow.run("apply", "--accept-guard", "owner_changes:salesforce", *WORDS).code == 0
    assert owners(narrow) == [True, True]


def test_the_owner_of_a_named_account_is_a_second_look(settled: Cli) -> None:
    made = give(settled, "902")
    named = [one["measured"] for one in made["guards"] if one["guard"] == "named_accounts"]
    assert named == [1]  # the account of the list, not all that follow it
    settled.approve_all()
    stopped = settled.run("apply")
    assert (stopped.code, owners(settled)) == (4, [False, False])
    assert settled.run("apply", "--accept-guard", "named_accounts", *WORDS).code == 0
    assert owners(settled) == [True, True]


def test_nothing_is_written_in_a_freeze_unless_somebody_accepts_it(settled: Cli) -> None:
    limits(settled, "named_accounts: {count: 9}", "freeze: [{id: quarter-end, from: 2000-01-01}]")
    assert "freeze:quarter-end" in passed(give(settled, "902"))
    settled.approve_all()
    writes = settled.writes()
    stopped = settled.run("apply")
    assert (stopped.code, settled.writes()) == (4, writes)
    assert settled.run("apply", "--accept-guard", "freeze", *WORDS).code == 0


def test_a_canary_that_cannot_be_read_any_more_stops_the_apply(settled: Cli) -> None:
    limits(settled, "named_accounts: {count: 9}", f"canaries: {{salesforce: [{HAYS}]}}")
    assert passed(give(settled, "902")) == set()
    settled.approve_all()
    table = settled.sandbox.world.tables["salesforce", "Account"]
    hidden = table.pop(HAYS)
    writes = settled.writes()
    stopped = settled.run("apply")
    assert (stopped.code, settled.writes()) == (4, writes)
    assert "canary: records that must always be there are not" in stopped.said
    table[HAYS] = hidden
    assert settled.run("apply").code == 0
