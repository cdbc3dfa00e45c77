"""When a job is due. The slot table is the truth; APScheduler is only the alarm clock that wakes us.

A slot is the scheduled instant in UTC. Whoever claims (job, slot) first runs it; a worker that starts late, or whose
clock jumped, claims the newest slot that passed and reports nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

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
    cron: str  # five fields, UTC
    run: Callable[[], None]


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


def run_until(
    stop: Event, jobs: tuple[ScheduledJob, ...], claim: Callable[[str, datetime], bool], now: Callable[[], datetime]
) -> None:
    """Run jobs as their slots come, until `stop` is set. The jobs under way are finished first."""
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    triggers = _triggers(jobs)
    for job in jobs:
        if job.name in triggers:
            scheduler.add_job(_tick, triggers[job.name], args=(job, triggers[job.name], claim, now), name=job.name)
    scheduler.start()
    try:
        for job in jobs:
            if job.name in triggers:
                _tick(job, triggers[job.name], claim, now)
        stop.wait()
    finally:
        scheduler.shutdown(wait=True)


def _triggers(jobs: tuple[ScheduledJob, ...]) -> Mapping[str, CronTrigger]:
    return {
        job.name: trigger(job.cron, setting=f"PLATBOOK_SCHEDULE__{job.name.upper()}")
        for job in jobs
        if job.cron.strip().lower() != OFF
    }


def _tick(
    job: ScheduledJob, cron: CronTrigger, claim: Callable[[str, datetime], bool], now: Callable[[], datetime]
) -> None:
    slot = latest_slot(cron, now())
    if slot is None or not claim(job.name, slot):
        return
    log.info("slot_started", job=job.name, slot=slot.isoformat())
    try:
        job.run()
    except Exception as error:  # noqa: BLE001  # one failed job must not end the daemon; it is reported and the next slot comes
        log.error("slot_failed", job=job.name, slot=slot.isoformat(), error=type(error).__name__, message=str(error))
    else:
        log.info("slot_finished", job=job.name, slot=slot.isoformat())
