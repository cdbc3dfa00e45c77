"""The hosted worker: pull, plan, apply-safe and alert, each when its slot comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event

import structlog

from jobs.alert import send_waiting
from jobs.apply import apply_plan
from jobs.applying.checks import OTHER_FEEDS
from jobs.applying.model import GuardStopped, PlanRefused
from jobs.applying.permission import OBSERVING
from jobs.applying.wired import apply_deps
from jobs.difflog import log_plan, require_folder
from jobs.persons import identify
from jobs.plan import make_plan
from jobs.pull import pull
from jobs.schedule import OFF, ScheduledJob, trigger
from jobs.settings import Settings
from jobs.terms import work_in_terms
from jobs.wiring import Wired
from store.plans import OPEN, PlanStatus

log = structlog.get_logger()


def run_daemon(settings: Settings, stop: Event) -> None:
    """Work until `stop` is set. Every slot wires its parts anew, so that no login or mapping grows stale."""
    schedule = settings.schedule
    wired = Wired(settings=settings)
    works: tuple[tuple[str, str, Work], ...] = (
        ("pull", schedule.pull, _pull),
        ("plan", schedule.plan, _plan),
        ("apply_safe", schedule.apply_safe, _apply_safe),
        ("alert", schedule.alert, _alert),
    )
    jobs = tuple(
        ScheduledJob(
            name=name, trigger=trigger(cron, setting=f"PLATBOOK_SCHEDULE__{name.upper()}"), run=_fresh(settings, work)
        )
        for name, cron, work in works
        if cron.strip().lower() != OFF
    )
    log.info("daemon_started", jobs=[job.name for job in jobs])
    work_in_terms(stop, jobs, wired.slots, wired.leases, wired.now)
    log.info("daemon_stopped")


Stop = Callable[[], bool]
Work = Callable[[Wired, Stop], None]


def _fresh(settings: Settings, work: Work) -> Callable[[Stop], None]:
    return lambda stop: work(_wired(settings), stop)


def _wired(settings: Settings) -> Wired:
    wired = Wired(settings=settings)
    found = identify(wired)
    wired.person = found if found.is_verified else replace(found, is_daemon=True)
    return wired


def _pull(wired: Wired, stop: Stop) -> None:
    for one in pull(wired):
        log.info("pulled", connection=one.connection, calls=one.calls, rows=sum(o.seen for o in one.objects))


def _plan(wired: Wired, stop: Stop) -> None:
    planned = make_plan(wired)
    log_plan(wired, planned.stored.id)
    log.info("planned", plan_id=planned.stored.id, status=planned.stored.status.value)


def _apply_safe(wired: Wired, stop: Stop) -> None:
    """Apply what the policy approves by itself and what persons approved, of the newest plan if it is still open."""
    newest = wired.plans.newest()
    if newest is None:
        return
    status = PlanStatus(wired.plans.list(limit=1)[0]["status"])
    if status not in (*OPEN, PlanStatus.APPLYING) or status is PlanStatus.PAUSED_BY_GUARD:
        log.info("apply_skipped", plan_id=newest, status=status.value)
        return
    require_folder(wired)
    try:
        result = apply_plan(apply_deps(wired, stop=stop), newest, person=wired.person)
    except GuardStopped as stopped:
        log.error("guard_stopped", plan_id=newest, guards=[guard.guard for guard in stopped.breached])
        return
    except PlanRefused as refused:
        if refused.reason not in (OBSERVING, OTHER_FEEDS, PlanStatus.SUPERSEDED):
            raise
        log.info("apply_skipped", plan_id=newest, status=refused.reason)
        return
    if result.run_id:
        log_plan(wired, newest, run_id=result.run_id)
    log.info("applied", plan_id=newest, run_id=result.run_id, totals=dict(result.totals))


def _alert(wired: Wired, stop: Stop) -> None:
    sent = send_waiting(wired)
    log.info("alerts", sent=sent.sent, waiting=sent.waiting)
    if sent.error:
        log.error("mail_settings_refused", message=sent.error)
