"""Slots: each scheduled instant is run once, whoever wakes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schedule import ScheduledJob, ScheduleError, latest_slot, run_until_over, trigger

NOON = datetime(2027, 3, 14, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "slot"),
    [
        ("0 * * * *", datetime(2027, 3, 14, 12, 0, tzinfo=UTC)),
        ("30 4 * * *", datetime(2027, 3, 14, 4, 30, tzinfo=UTC)),
        ("0 13 * * *", datetime(2027, 3, 13, 13, 0, tzinfo=UTC)),
        ("0 0 1 * *", datetime(2027, 3, 1, 0, 0, tzinfo=UTC)),
        ("0 0 29 2 *", None),
    ],
)
def test_the_newest_slot_that_passed_is_found(cron: str, slot: datetime | None) -> None:
    assert latest_slot(trigger(cron, setting="X"), NOON) == slot


def test_a_bad_cron_expression_names_its_setting() -> None:
    with pytest.raises(ScheduleError, match=r"PLATBOOK_SCHEDULE__PULL.*five fields"):
        trigger("every hour", setting="PLATBOOK_SCHEDULE__PULL")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60 * 24 * 800), st.sampled_from(["*/5 * * * *", "15 3 * * *", "0 6 * * 1"]))
def test_no_slot_is_skipped_or_doubled_over_the_days(minutes: int, cron: str) -> None:
    schedule, now = trigger(cron, setting="X"), NOON + timedelta(minutes=minutes)
    slot = latest_slot(schedule, now)
    assert slot is not None
    following = schedule.get_next_fire_time(slot, slot + timedelta(microseconds=1))
    assert slot <= now < following


DAILY = trigger("0 0 * * *", setting="X")
MIDNIGHT = datetime(2027, 3, 14, tzinfo=UTC)


@dataclass(kw_only=True)
class Notebook:
    """A register in a dict that several daemons may share."""

    slots: dict[tuple[str, datetime], str] = field(default_factory=dict)
    inherited: dict[str, datetime] = field(default_factory=dict)
    over: bool = False

    def claim(self, job: str, slot: datetime) -> bool:
        last = self.last(job)
        if last is not None and last >= slot:
            return False
        self.slots[job, slot] = "claimed"
        return True

    def finish(self, job: str, slot: datetime, *, error: str = "") -> None:
        self.slots[job, slot] = error or "done"

    def last(self, job: str) -> datetime | None:
        return max((slot for name, slot in self.slots if name == job), default=None)

    def is_over(self) -> bool:
        return self.over

    def wait(self) -> None:
        self.over = True


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as entries:
        yield entries  # type: ignore[misc]  # structlog's entries are mutable mappings


def job(name: str, ran: list[str], *, fails: bool = False) -> ScheduledJob:
    def run(stop: Callable[[], bool]) -> None:
        ran.append(name)
        if fails:
            raise RuntimeError("boom")

    return ScheduledJob(name=name, trigger=DAILY, run=run)


def work(notebook: Notebook, *jobs: ScheduledJob, now: datetime = NOON) -> None:
    """One daemon that starts, does what is due and ends."""
    notebook.over = False
    run_until_over(notebook, jobs, lambda: now)


def test_two_daemons_run_one_slot_once_and_a_failing_job_does_not_end_the_daemon() -> None:
    ran: list[str] = []
    notebook = Notebook()
    for _ in range(2):
        work(notebook, job("broken", ran, fails=True), job("pull", ran))
    assert ran == ["broken", "pull"]
    assert notebook.slots == {("broken", MIDNIGHT): "RuntimeError: boom", ("pull", MIDNIGHT): "done"}


def test_a_daemon_whose_clock_is_behind_does_not_run_an_older_slot() -> None:
    ran: list[str] = []
    notebook = Notebook()
    work(notebook, job("pull", ran))
    work(notebook, job("pull", ran), now=NOON - timedelta(days=1))
    assert ran == ["pull"]


def test_slots_that_nobody_ran_are_counted_in_the_log(logged: list[dict[str, object]]) -> None:
    notebook = Notebook()
    work(notebook, job("pull", []))
    work(notebook, job("pull", []), now=NOON + timedelta(days=4))
    missed = [entry for entry in logged if entry["event"] == "slots_missed"]
    assert [(entry["job"], entry["count"], entry["log_level"]) for entry in missed] == [("pull", 3, "warning")]


def test_a_slot_that_a_died_daemon_left_is_run_once_more() -> None:
    ran: list[str] = []
    notebook = Notebook(slots={("pull", MIDNIGHT): "claimed"}, inherited={"pull": MIDNIGHT})
    work(notebook, job("pull", ran))
    work(notebook, job("pull", ran))
    assert ran == ["pull"]
    assert notebook.slots == {("pull", MIDNIGHT): "done"}


def test_a_later_slot_does_the_work_of_one_that_was_left() -> None:
    ran: list[str] = []
    notebook = Notebook(slots={("pull", MIDNIGHT): "claimed"}, inherited={"pull": MIDNIGHT})
    work(notebook, job("pull", ran), now=NOON + timedelta(days=1))
    assert ran == ["pull"]
    assert notebook.slots[("pull", MIDNIGHT + timedelta(days=1))] == "done"
    assert "does its work" in notebook.slots[("pull", MIDNIGHT)]
