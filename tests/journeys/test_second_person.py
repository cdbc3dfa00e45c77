"""A passed limit is let through by a second person, from the first registered person on; before, by anybody named."""

from __future__ import annotations

import pytest

from tests.journeys.conftest import Cli
from tests.journeys.test_persons import person, policy

LET_THROUGH = ("apply", "--accept-guard", "first_contact", "--reason", "reviewed with the regions")


@pytest.fixture
def admin(planned: Cli) -> str:
    return str(planned.ok("people", "add", "ana@acme.example", "--role", "admin", "--json").json["token"])


@pytest.fixture
def bea(planned: Cli, admin: str) -> str:
    return person(planned, admin, "bea@acme.example", "approver")


@pytest.fixture
def dee(planned: Cli, admin: str) -> str:
    return person(planned, admin, "dee@acme.example", "approver")


def audited(cli: Cli, kind: str, token: str | None = None) -> list[str]:
    entries = cli.ok("audit", "tail", "--limit", "500", "--json", TOKEN=token).json["entries"]
    return [entry["actor"] for entry in entries if entry["kind"] == kind]


def guard_mail(cli: Cli, plan: str) -> str:
    mails = [one.as_dict() for one in cli.sandbox.mails.messages]
    return next(str(one) for one in mails if plan in one["subject"] and "paused" in one["subject"])


def test_with_nobody_registered_one_unverified_word_is_enough_and_the_way_to_more_is_shown(planned: Cli) -> None:
    made = planned.run("plan", "--json").json
    shown = planned.ok("show").out
    assert "one named person is enough, unverified, as nobody is registered here" in shown
    assert "platbook people add" in shown
    mail = guard_mail(planned, made["plan"])
    assert "platbook people add" in mail
    assert "second person may" not in mail
    planned.approve_all()
    assert planned.run(*LET_THROUGH).code == 0
    assert planned.writes() > 0
    assert all("unverified" in actor for actor in audited(planned, "guard_accepted"))


def test_from_the_first_person_on_an_unverified_user_lets_nothing_through(planned: Cli, admin: str) -> None:
    planned.approve_all()
    refused = planned.run(*LET_THROUGH)
    assert refused.code == 7
    assert "is not a verified person" in refused.said
    assert "platbook login" in refused.said
    assert planned.run("plan", TOKEN=admin).code == 4  # nor of a plan that a person made
    assert planned.run(*LET_THROUGH).code == 7
    assert planned.writes() == 0
    assert audited(planned, "guard_accepted", admin) == []


def test_who_made_the_plan_does_not_let_its_limits_through(planned: Cli, admin: str, bea: str) -> None:
    made = planned.run("plan", "--json", TOKEN=admin)
    assert (made.code, made.json["author"], made.json["author_kind"]) == (4, "ana@acme.example", "person")
    assert made.json["guard_override"]["persons"] == 1
    assert "other than ana@acme.example, who made the plan" in planned.ok("show").out
    planned.approve_all()
    own = planned.run(*LET_THROUGH, TOKEN=admin)
    assert own.code == 7
    assert "Somebody else" in own.said
    low = planned.run(*LET_THROUGH, TOKEN=person(planned, admin, "vic@acme.example", "reviewer"))
    assert (low.code, "it takes approver" in low.said) == (7, True)
    assert planned.writes() == 0
    assert planned.run(*LET_THROUGH, TOKEN=bea).code == 0
    assert planned.writes() > 0


def test_a_plan_that_anybody_may_have_made_takes_two_persons(planned: Cli, bea: str, dee: str) -> None:
    planned.approve_all()
    assert "may be any of them" in planned.ok("show").out
    first = planned.run(*LET_THROUGH, TOKEN=bea)
    assert first.code == 4
    assert "first_contact was let through by bea@acme.example; still missing: one verified person" in first.said
    again = planned.run(*LET_THROUGH, TOKEN=bea)
    assert (again.code, planned.writes()) == (4, 0)
    made = planned.run("plan", "--json").json  # one word is not yet a first contact accepted
    assert "first_contact" in {one["guard"] for one in made["guards"] if one["breached"]}
    assert planned.run(*LET_THROUGH, TOKEN=dee).code == 0  # the same plan, made again: Bea's word stands for its digest
    assert planned.writes() > 0


@pytest.mark.parametrize(
    ("line", "code"),
    [("approvers: 0}", 0), ("approvers: 1, not_author: false}", 7), ("approvers: 3, not_author: false}", 7)],
    ids=["anybody", "one verified person", "three of them"],
)
def test_the_policy_may_say_otherwise(planned: Cli, bea: str, dee: str, line: str, code: int) -> None:
    policy(planned, "requires:", "  - {class: guard_override, " + line)
    assert planned.run("plan").code == 4
    planned.approve_all()
    assert planned.run(*LET_THROUGH).code == code
    if code:
        assert planned.run(*LET_THROUGH, TOKEN=bea).code == (0 if "1" in line else 4)
    assert (planned.writes() > 0) is ("3" not in line)


def test_the_limits_of_an_undo_are_let_through_by_somebody_else_too(planned: Cli, admin: str, bea: str) -> None:
    planned.run("plan", TOKEN=admin)
    planned.approve_all()
    planned.ok(*LET_THROUGH, TOKEN=bea)
    words = ("--reason", "taken back")
    assert planned.run("undo", "latest", *words, TOKEN=bea).code == 4
    clears = ("apply", "--accept-guard", "clears", *words)
    writes = planned.writes()
    assert [planned.run(*clears).code, planned.run(*clears, TOKEN=bea).code, planned.writes()] == [7, 7, writes]
    assert planned.run(*clears, TOKEN=admin).code == 0
    assert planned.writes() > writes


def test_a_plan_of_the_daemon_takes_one_person(planned: Cli, admin: str) -> None:
    running = planned.start("daemon", SCHEDULE__PULL="off", SCHEDULE__APPLY_SAFE="off", SCHEDULE__ALERT="off")
    before = planned.ok("show", "--json").json["plan"]
    try:
        for _ in range(40):
            made = planned.ok("show", "--json").json
            if made["plan"] != before:
                break
    finally:
        running.signal(15)
        running.wait()
    assert made["author_kind"] == "daemon"
    planned.approve_all()
    assert planned.run(*LET_THROUGH).code == 7
    assert planned.run(*LET_THROUGH, TOKEN=admin).code == 0
    assert planned.writes() > 0
