"""The `platbook` command: assembles the verbs, and turns every error into one paragraph and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import structlog
import typer
from typer.exceptions import Abort, TyperException

from connectors.errors import ConnectorError, Fatal, Rejected
from jobs.applying.model import GuardStopped, PlanRefused
from jobs.cli import (
    apply,
    audit,
    crm_fields,
    daemon,
    db,
    decide,
    demo,
    doctor,
    drift,
    feeds,
    holds,
    identity,
    init,
    insight,
    login,
    modes,
    overrides,
    people,
    plan,
    policy,
    pull,
    route,
    runs,
    undo,
)
from jobs.cli.exits import Exit, Stop
from jobs.cli.limits import stopped
from jobs.cli.output import err, flush, prepare_streams
from jobs.explain import UnknownAccount
from jobs.export import ExportError
from jobs.feeds import FeedError
from jobs.holds import HoldError
from jobs.persons import NotPermitted
from jobs.route import LeadError
from jobs.schedule import ScheduleError
from jobs.wiring import SettingsError
from jobs.world import NothingPulled
from mappings.load import MappingError
from store.database import StoreError
from store.leases import LeaseHeld, LeaseLost
from store.plans import PlanTampered
from store.tokens import TokenRefused
from sync.planning.selectors import SelectorError

app = typer.Typer(
    name="platbook",
    help="Keeps account ownership right: pull, plan, review, apply.",
    epilog="platbook --debug VERB ... shows debug log lines, and the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

VERBS: tuple[Callable[..., None], ...] = (
    init.init,
    doctor.doctor,
    pull.pull,
    plan.plan,
    plan.show,
    plan.explain,
    decide.approve,
    decide.reject,
    decide.keep,
    decide.import_decisions,
    apply.apply,
    apply.sync,
    undo.undo,
    undo.restore,
    route.route,
    runs.runs,
    runs.export,
    insight.kpis,
    insight.lint,
    insight.segments,
    insight.roadmap,
    drift.drift,
    login.login,
    modes.mode,
    daemon.daemon,
    demo.demo,
)
for _verb in VERBS:
    app.command(_verb.__name__.replace("_", "-"))(_verb)
app.add_typer(feeds.app, name="feeds")
app.add_typer(holds.app, name="holds")
app.add_typer(identity.app, name="identity")
app.add_typer(people.app, name="people")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(crm_fields.app, name="crm-fields")
app.add_typer(overrides.app, name="overrides")
app.add_typer(policy.app, name="policy")

CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (LeaseHeld, Exit.LEASE_HELD),
    (LeaseLost, Exit.ERROR),
    (GuardStopped, Exit.GUARD),
    (PlanRefused, Exit.REFUSED),
    (PlanTampered, Exit.REFUSED),
    (NotPermitted, Exit.NEEDS_PERSON),
    (TokenRefused, Exit.NEEDS_PERSON),
    (Fatal, Exit.NEEDS_PERSON),
    (MappingError, Exit.NEEDS_PERSON),
    (SettingsError, Exit.NEEDS_PERSON),
    (ScheduleError, Exit.NEEDS_PERSON),
    (SelectorError, Exit.USAGE),
    (FeedError, Exit.USAGE),
    (LeadError, Exit.USAGE),
    (HoldError, Exit.USAGE),
    (UnknownAccount, Exit.ERROR),
    (ExportError, Exit.ERROR),
    (ConnectorError, Exit.ERROR),
    (StoreError, Exit.ERROR),
    (NothingPulled, Exit.ERROR),
)
"""Errors a person can act on, and the exit code of each; the first that fits counts."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

PARTS = ("salesforce", "hubspot", "smtp")
"""Outside systems that have settings of their own."""

NOT_FOR_OTHERS = 0o007
"""What no file of ours may let other users of the machine do: state, reports and exports hold customers' data."""


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code. Prints errors; a traceback only with --debug before the verb."""
    words = list(arguments)
    is_debug = bool(words) and words[0] == "--debug"
    os.umask(os.umask(NOT_FOR_OTHERS) | NOT_FOR_OTHERS)
    prepare_streams()
    _configure_logs(is_debug)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code: Any = app(args=words[1:] if is_debug else words, standalone_mode=False)
    except Exception as error:  # noqa: BLE001  # the one place where an error becomes a message and a code
        if is_debug:
            traceback.print_exc()
        return _explained(error)
    except KeyboardInterrupt:
        err.print("interrupted; what was written is in the journal, run the same command to go on", markup=False)
        return Exit.INTERRUPTED
    return _heard(int(code or 0))


def _heard(code: int) -> int:
    """The code, or an error where the output found no place: a full disk must not pass for success."""
    try:
        flush()
    except OSError as error:
        err.print(f"standard output: it cannot be written ({error.strerror or error}). Free some space, and look again")
        return code or Exit.ERROR
    return code


class Terminated(KeyboardInterrupt):
    """SIGTERM: end as after an interrupt from the keyboard."""


def _terminated(signum: int, frame: object) -> None:
    raise Terminated


def _explained(error: Exception) -> int:
    if isinstance(error, Stop):
        if str(error):
            err.print(str(error), markup=False)
        return error.code
    if isinstance(error, Abort):
        err.print("stopped; nothing was written")
        return Exit.INTERRUPTED
    if isinstance(error, TyperException):
        err.print(f"{error.format_message()}\nSee `platbook --help`, or `platbook VERB --help`.", markup=False)
        return Exit.USAGE
    for kind, code in CODES:
        if isinstance(error, kind):
            err.print(_message(error), markup=False)
            return code
    if isinstance(error, OSError) and (error.filename or error.errno in _FULL):
        what = f"{error.filename or 'the output'}: it cannot be used ({error.strerror or error})"
        err.print(f"{what}. Check that it is there, its permissions and the disk's space", markup=False)
        return Exit.ERROR
    where = traceback.extract_tb(error.__traceback__)[-1]
    err.print(
        f"unexpected {type(error).__name__} in {where.name}: {error}\n"
        "Nothing that was promised is lost: the journal knows what was sent. Run `platbook --debug ...` for the "
        "traceback, and report it with that.",
        markup=False,
    )
    return Exit.ERROR


def _message(error: Exception) -> str:
    if isinstance(error, GuardStopped):
        return stopped(str(error).partition(":")[0], error.breached, who=error.who)
    if isinstance(error, ConnectorError) and not isinstance(error, Rejected) and error.system in PARTS:
        return f"{error}\nIts settings are PLATBOOK_{error.system.upper()}__*; `platbook doctor` looks at all of them."
    return str(error)


def _configure_logs(is_debug: bool) -> None:
    """Log lines as JSON on standard error; the least level comes from PLATBOOK_LOG_LEVEL once settings are read."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if is_debug else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
