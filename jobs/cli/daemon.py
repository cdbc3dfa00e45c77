"""platbook daemon."""

from __future__ import annotations

import logging

import structlog

from jobs.cli.apply import stopping
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say
from jobs.daemon import run_daemon
from jobs.schedule import OFF, trigger


def daemon(json_: JsonFlag = False) -> None:
    """Work on a schedule until SIGTERM: pull, plan, apply-safe, alert (PLATBOOK_SCHEDULE__*, UTC)."""
    wired = opened()
    schedule = wired.settings.schedule.model_dump()
    for job, cron in schedule.items():
        if cron.strip().lower() != OFF:
            trigger(cron, setting=f"PLATBOOK_SCHEDULE__{job.upper()}")
    if not wired.kinds:
        raise Stop("no CRM is configured; run `platbook doctor`", Exit.NEEDS_PERSON)
    if json_:
        emit_json("daemon", {"schedule": schedule})
    else:
        say("schedule (UTC): " + " · ".join(f"{job} {cron}" for job, cron in schedule.items()))
    level = getattr(logging, wired.settings.log_level.upper())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(min(level, logging.INFO)))
    with stopping() as stop:
        run_daemon(wired.settings, stop)
