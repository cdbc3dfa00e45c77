"""More than one process, and processes that are told to stop."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

from sandbox.faults import Fault, Verb
from tests.journeys.conftest import TIMEOUT_S, Cli, Command
from tests.journeys.world import BEA, HAYS

ACCEPTED = ("apply", "--accept-guard", "first_contact", "--reason", "reviewed")
ONCE_A_YEAR = "0 0 1 1 *"
"""A slot that has long passed, and does not come again while a test runs."""


def test_a_second_apply_at_the_same_time_is_told_who_is_at_it(planned: Cli) -> None:
    planned.approve_all()
    planned.sandbox.world.faults.add(Fault(verb=Verb.SLOW, system="hubspot", route="batch/read", seconds=2.0))
    first = planned.start(*ACCEPTED)
    _until(lambda: _holders(planned) == {"hubspot", "salesforce"})
    second = planned.run("apply")
    assert second.code == 8
    assert f"(process {first.pid}) for apply P-" in second.said
    assert first.wait().code == 0


def test_an_apply_that_is_told_to_stop_finishes_what_it_began_and_goes_on_next_time(planned: Cli) -> None:
    planned.approve_all()
    writing = threading.Event()
    planned.sandbox.world.on("before_write", lambda _: writing.set())
    planned.sandbox.world.faults.add(Fault(verb=Verb.SLOW, route="batch/update|composite", seconds=0.5))
    command = planned.start(*ACCEPTED, "--json")
    assert writing.wait(TIMEOUT_S)
    command.signal(signal.SIGTERM)
    stopped = command.wait()
    assert stopped.code == 5
    states = Counter(item["state"] for item in stopped.json["items"])
    assert set(states) == {"verified", "left"}
    assert stopped.json["halted"]
    again = planned.run(*ACCEPTED, "--json")
    assert again.code == 0
    assert Counter(item["state"] for item in again.json["items"])["verified"] == states["left"]
    planned.ok("pull")
    assert planned.run("plan", "--detailed-exitcode").code == 0


def test_a_run_that_is_told_to_stop_twice_ends_at_once_and_recovers(planned: Cli) -> None:
    planned.approve_all()
    faults = planned.sandbox.world.faults
    faults.add(Fault(verb=Verb.SLOW, route="composite", seconds=1.0, times=0))
    command = planned.start(*ACCEPTED)
    _until(lambda: _journal_rows(planned) > 0)
    command.signal(signal.SIGTERM)
    threading.Event().wait(0.2)  # two signals at the same moment would count as one
    command.signal(signal.SIGTERM)
    assert command.wait().code == 130
    faults.clear()
    assert planned.run(*ACCEPTED).code == 0
    planned.ok("pull")
    assert planned.run("plan", "--detailed-exitcode").code == 0


def test_the_daemon_pulls_plans_applies_and_alerts_until_it_is_told_to_stop(settled: Cli) -> None:
    settled.edit("salesforce", HAYS, BEA, Account_Tier__c="T9")
    daemon = settled.start("daemon", **_schedule(ONCE_A_YEAR))
    _until(lambda: "alerts" in _events(daemon))
    daemon.signal(signal.SIGTERM)
    ended = daemon.wait()
    assert ended.code == 0, ended.err
    events = [line["event"] for line in _lines(ended.err)]
    worked = ["pulled", "pulled", "planned", "plan_applied", "applied", "alerts"]
    assert [event for event in events if event in worked] == worked
    assert events[-1] == "daemon_stopped"
    assert settled.record("salesforce", HAYS)["Account_Tier__c"] == "UNTIERED"


def test_a_slot_that_one_daemon_ran_is_not_run_by_another(planned: Cli) -> None:
    both = [planned.start("daemon", **_schedule(ONCE_A_YEAR)) for _ in range(2)]
    _until(lambda: sum(_events(one).count("slot_finished") for one in both) == 4)
    for one in both:
        one.signal(signal.SIGTERM)
    ended = [one.wait() for one in both]
    assert [one.code for one in ended] == [0, 0]
    started = Counter(line["job"] for one in ended for line in _lines(one.err) if line["event"] == "slot_started")
    assert started == {"pull": 1, "plan": 1, "apply_safe": 1, "alert": 1}


def _schedule(cron: str) -> dict[str, str]:
    return {f"SCHEDULE__{job}": cron for job in ("PULL", "PLAN", "APPLY_SAFE", "ALERT")}


def _lines(err: str) -> list[dict[str, Any]]:
    """Log lines of a process."""
    found = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    return [line for line in found if "event" in line]


def _events(command: Command) -> list[str]:
    """Events logged so far; a line under way is left out."""
    text = command.stderr.read_text() if command.stderr.exists() else ""
    return [line["event"] for line in _lines(text[: text.rfind("\n") + 1])]


def _holders(cli: Cli) -> set[str]:
    """Connections that a run holds now."""
    with closing(_database(cli)) as database:
        return {name for (name,) in database.execute("SELECT name FROM lease WHERE holder <> ''") if ":" not in name}


def _journal_rows(cli: Cli) -> int:
    with closing(_database(cli)) as database:
        return int(database.execute("SELECT count(*) FROM journal").fetchone()[0])


def _database(cli: Cli) -> sqlite3.Connection:
    return sqlite3.connect(cli.folder / "state" / "platbook.db")


def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another process brings about."""
    pause, deadline = threading.Event(), time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        pause.wait(0.02)
