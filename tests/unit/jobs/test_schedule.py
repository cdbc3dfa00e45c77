"""Slots: each scheduled instant is run once, whoever wakes up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schedule import ScheduledJob, ScheduleError, latest_slot, run_until, trigger

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


def test_two_workers_run_one_slot_once_and_a_failing_job_does_not_end_the_daemon() -> None:
    claimed: set[tuple[str, datetime]] = set()
    ran: list[str] = []
    lock = threading.Lock()

    def claim(job: str, slot: datetime) -> bool:
        with lock:
            fresh = (job, slot) not in claimed
            claimed.add((job, slot))
            return fresh

    def fail() -> None:
        ran.append("broken")
        raise RuntimeError("boom")

    jobs = (
        ScheduledJob(name="broken", cron="0 0 * * *", run=fail),
        ScheduledJob(name="pull", cron="0 0 * * *", run=lambda: ran.append("pull")),
        ScheduledJob(name="never", cron="off", run=lambda: ran.append("never")),
    )
    stop = threading.Event()
    stop.set()
    for _ in range(2):
        run_until(stop, jobs, claim, lambda: NOON)
    assert ran == ["broken", "pull"]
