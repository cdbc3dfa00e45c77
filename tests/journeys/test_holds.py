"""A person holds accounts until a day, sees them held in the plan, and lets them go again."""

from __future__ import annotations

from tests.journeys.conftest import Cli
from tests.journeys.world import TOPEKA


def state_of(cli: Cli, record: str) -> str:
    """State of the record's ownership in a new plan."""
    assert cli.run("plan").code in (0, 4)
    items = cli.ok("show", "--where", f"record={record} and group=ownership", "--json").json["items"]
    return str(items[0]["state"])


def test_a_hold_keeps_the_owner_until_it_is_released(planned: Cli) -> None:
    where = ("--where", 'city=topeka and owner="bea@people.example"')
    told = planned.ok("holds", "add", *where, "--until", "2099-12-31", "--reason", "renewal under way")
    assert "1 records held (ownership, lock) until 2099-12-31" in told.out
    assert state_of(planned, TOPEKA) == "held"
    [listed] = planned.ok("holds", "list", "--json").json["holds"]
    assert (listed["record"], listed["reason"], listed["status"]) == (TOPEKA, "renewal under way", "in force")
    lead = '{"organisation": "Mercy Hospital Topeka", "zip5": "66603"}'
    routed = planned.ok("route", "--lead", lead, "--json").json["decisions"][0]
    assert (routed["assignee"], routed["rule_id"]) == ("bea@people.example", "held")
    planned.ok("holds", "release", "--where", f"record={TOPEKA}", "--reason", "signed")
    assert state_of(planned, TOPEKA) != "held"
    assert planned.ok("holds", "list", "--all", "--json").json["holds"][0]["status"] == "released"


def test_a_hold_that_cannot_be_made_is_told_with_what_was_expected(planned: Cli) -> None:
    base = ("holds", "add", "--where", f"record={TOPEKA}", "--reason", "r")
    for words, says in (
        ((*base, "--until", "2001-01-01"), "is over"),
        ((*base, "--until", "2099-01-01", "--group", "owner"), "ownership"),
        (("holds", "add", "--where", "record=none", "--reason", "r", "--until", "2099-01-01"), "no record is meant"),
        (("holds", "release", "--where", "kind=lock", "--reason", "r"), "no hold in force"),
    ):
        result = planned.run(*words)
        assert (result.code, says in result.said) == (64, True), result.said
