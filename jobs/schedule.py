"""When a job is due. The slot table is the truth; APScheduler is only the alarm clock that wakes us.

A slot is the scheduled instant in UTC, and runs once whatever the number of daemons. A daemon that starts late, or
whose clock jumped, runs the newest slot that passed; those in between are reported as missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from store.database import StoreError
from store.leases import LeaseLost

log = structlog.get_logger()

OFF = "off"
LOOK_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))
"""Windows searched for the newest slot that passed, shortest first; no cron of five fields is rarer than a year."""


class ScheduleError(ValueError):
    """A cron expression cannot be read; the message names the setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """One thing the daemon does on a schedule."""

    name: str
    trigger: CronTrigger  # UTC
    run: Callable[[Callable[[], bool]], None]  # given a question: is it to stop?


class Register(Protocol):
    """Where slots are claimed. Every call may raise LeaseLost or StoreError."""

    @property
    def inherited(self) -> dict[str, datetime]:
        """Job -> slot that an earlier daemon began and did not end; now ours to run, or to end."""
        ...

    def claim(self, job: str, slot: datetime) -> bool:
        """True where the slot is ours to run."""
        ...

    def finish(self, job: str, slot: datetime, *, error: str = "") -> None:
        """The slot was run, or failed with these words."""
        ...

    def last(self, job: str) -> datetime | None:
        """The newest slot of the job that anybody claimed."""
        ...

    def is_over(self) -> bool:
        """True once no slot may be begun any more."""
        ...

    def wait(self) -> None:
        """Come back when it is over."""
        ...


MOST_COUNTED = 1_000
"""Missed slots are counted no further."""


def trigger(cron: str, *, setting: str) -> CronTrigger:
    """The trigger of a five-field cron expression in UTC. Raises ScheduleError."""
    try:
        made: CronTrigger = CronTrigger.from_crontab(cron, timezone=UTC)
    except ValueError as error:
        raise ScheduleError(
            f'{setting}: "{cron}" is not a cron expression ({error}); expected five fields such as "10 * * * *", or off'
        ) from error
    return made


def latest_slot(cron: CronTrigger, now: datetime) -> datetime | None:
    """The newest scheduled instant at or before `now`; None when there was none in a year."""
    for window in LOOK_BACK:
        slot: datetime | None = None
        candidate: datetime | None = cron.get_next_fire_time(None, now - window)
        while candidate is not None and candidate <= now:
            slot = candidate
            candidate = cron.get_next_fire_time(candidate, candidate + timedelta(microseconds=1))
        if slot is not None:
            return slot
    return None


def run_until_over(register: Register, jobs: tuple[ScheduledJob, ...], now: Callable[[], datetime]) -> None:
    """Run jobs as their slots come, until the register says that it is over. Jobs under way are finished first."""
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for job in jobs:
        scheduler.add_job(_tick, job.trigger, args=(job, register, now), name=job.name)
    scheduler.start()
    try:
        for job in jobs:
            _tick(job, register, now)
        register.wait()
    finally:
        scheduler.shutdown(wait=True)


def _tick(job: ScheduledJob, register: Register, now: Callable[[], datetime]) -> None:
    try:
        slot = None if register.is_over() else _claimed(job, register, now())
    except (LeaseLost, StoreError) as error:
        log.warning("slot_not_claimed", job=job.name, error=type(error).__name__, message=str(error))
        return
    if slot is None:
        return
    log.info("slot_started", job=job.name, slot=slot.isoformat())
    failure = ""
    try:
        job.run(register.is_over)
    except Exception as error:  # noqa: BLE001  # one failed job must not end the daemon; it is reported and the next slot comes
        failure = f"{type(error).__name__}: {error}"
        log.error("slot_failed", job=job.name, slot=slot.isoformat(), error=type(error).__name__, message=str(error))
    _finish(job, register, slot, failure)


def _claimed(job: ScheduledJob, register: Register, now: datetime) -> datetime | None:
    """The slot to run now: the newest that passed, else the one that a died daemon left."""
    slot, left = latest_slot(job.trigger, now), register.inherited.pop(job.name, None)
    before = register.last(job.name)
    if slot is None or not register.claim(job.name, slot):
        return left
    if left is not None:
        register.finish(job.name, left, error=f"its daemon died; slot {slot.isoformat()} does its work")
    missed = _between(job.trigger, before, slot) if before else 0
    if missed:
        log.warning("slots_missed", job=job.name, count=missed, slot=slot.isoformat())
    return slot


def _between(cron: CronTrigger, before: datetime, slot: datetime) -> int:
    """Scheduled instants between two, both left out."""
    missed, one = 0, cron.get_next_fire_time(before, before + timedelta(microseconds=1))
    while one is not None and one < slot and missed < MOST_COUNTED:
        missed += 1
        one = cron.get_next_fire_time(one, one + timedelta(microseconds=1))
    return missed


def _finish(job: ScheduledJob, register: Register, slot: datetime, failure: str) -> None:
    try:
        register.finish(job.name, slot, error=failure)
    except (LeaseLost, StoreError) as error:
        log.warning("slot_end_not_stored", job=job.name, slot=slot.isoformat(), message=str(error))
        return
    if not failure:
        log.info("slot_finished", job=job.name, slot=slot.isoformat())
