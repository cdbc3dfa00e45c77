"""Alert: the outbox to the mail server, at least once, each letter with the Message-ID it was promised under."""

from __future__ import annotations

import csv
import io
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import css_inline
import jinja2
import structlog
from markupsafe import Markup

from connectors.errors import ConnectorError, Fatal, Rejected
from connectors.smtp.sender import Attachment, Letter, Security, SmtpSender, SmtpSettings, compose
from jobs.applying.checks import GUARD_STOP
from jobs.applying.second_person import terms_of
from jobs.present import load_names
from jobs.report import safe_cell
from jobs.wiring import Wired
from store.outbox import Mail, MailStatus
from sync.alerting import OwnershipDigest, Person, ownership_digest
from sync.planning.limits import unit_of

log = structlog.get_logger()

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")

ACCOUNTS_SHOWN = 8
"""Accounts named under one move; the diff log has them all."""

GUARDS_SHOWN = 25
"""Passed limits in one letter; `platbook show` has them all."""

MAX_MAILS = 1_000
"""Mails of one call: a bound on the loop, not on the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the waiting mails."""

    sent: int
    waiting: int
    failed: int  # given up; a person is needed
    error: str = ""  # why sending ended early: the settings are wrong


def send_waiting(wired: Wired) -> Sent:
    """Send every waiting mail once. Without a mail server they wait, and are written to the report folder."""
    sent, failed, error = 0, 0, ""
    tried: set[str] = set()
    sender = _sender(wired)
    while sender is not None and len(tried) < MAX_MAILS:
        mail = wired.outbox.claim(by=platform.node())
        if mail is None:
            break
        if mail.id in tried:
            wired.outbox.failed(mail, mail.last_error)
            break
        tried.add(mail.id)
        try:
            outcome = _send(wired, sender, mail)
        except Fatal as fatal:
            error = str(fatal)
            break
        sent, failed = sent + (outcome == "sent"), failed + (outcome == "failed")
    waiting = len(wired.outbox.list(status=MailStatus.PENDING))
    return Sent(sent=sent, waiting=waiting, failed=failed, error=error)


def compose_letter(wired: Wired, mail: Mail) -> Letter:
    """The letter of a promised mail, by its kind."""
    return compose_guard_stop(wired, mail) if mail.kind == GUARD_STOP else compose_digest(wired, mail)


def compose_guard_stop(wired: Wired, mail: Mail) -> Letter:
    """The letter about limits that paused a plan; it names no account."""
    found = sorted(mail.payload["guards"], key=lambda one: (one["guard"], one["subject"]))
    stored = wired.plans.load(mail.plan_id)
    names = sorted({one["guard"] for one in found})
    subject = f"[Platbook] plan {mail.plan_id} is paused: {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"
    values: dict[str, Any] = {
        "subject": subject,
        "plan_id": mail.plan_id,
        "run_id": mail.run_id,
        "guards": [{**one, "unit": unit_of(one["guard"])} for one in found[:GUARDS_SHOWN]],
        "more": max(0, len(found) - GUARDS_SHOWN),
        "rules": stored.header.ruleset_digest[:12],
        "who": terms_of(wired.database, wired.mappings.policies.conflicts, stored.header).says,
    }
    html = templates().get_template("guard-stop.html.j2").render(values)
    return Letter(
        message_id=mail.message_id,
        to=(mail.recipient,),
        subject=subject,
        text=templates().get_template("guard-stop.txt.j2").render(values),
        html=css_inline.inline(html, keep_style_tags=False),
        attachments=(),
    )


def compose_digest(wired: Wired, mail: Mail) -> Letter:
    """The letter of a promised ownership digest: HTML with a plain-text twin, made from what was really applied."""
    policy = wired.mappings.policies.alerts
    stored = wired.plans.load(mail.plan_id)
    outcomes = wired.plans.outcomes(mail.plan_id)
    digest = ownership_digest(
        wired.events.of_plan(mail.plan_id, part=mail.part),
        [row for row in stored.changes.to_pylist() if row["item_id"] not in outcomes],
        _people(wired, stored.header.org_ids),
        plan_id=mail.plan_id,
        redact=policy.redact_accounts,
    )
    values: dict[str, Any] = {
        "digest": digest,
        "books": _books(digest),
        "shown": ACCOUNTS_SHOWN,
        "halted": mail.payload.get("halted", ""),
        "run_id": mail.run_id,
        "audit": mail.payload.get("audit_head"),
        "rules": stored.header.ruleset_digest[:12],
    }
    html = templates().get_template("ownership-digest.html.j2").render(values)
    return Letter(
        message_id=mail.message_id,
        to=(mail.recipient,),
        subject=digest.subject,
        text=templates().get_template("ownership-digest.txt.j2").render(values),
        html=css_inline.inline(html, keep_style_tags=False),
        attachments=(_csv(digest),) if policy.attach_csv and not policy.redact_accounts else (),
    )


def _send(wired: Wired, sender: SmtpSender, mail: Mail) -> str:
    """sent, waiting or failed."""
    letter = compose_letter(wired, mail)
    _keep_copy(wired, mail, letter)
    try:
        refused = sender.send(letter)
    except ConnectorError as error:
        is_final = isinstance(error, Rejected)
        wired.outbox.failed(mail, str(error), is_final=is_final)
        log.error("mail_not_sent", mail_id=mail.id, code=error.code, final=is_final)
        if isinstance(error, Fatal):
            raise
        return "failed" if is_final else "waiting"
    if refused:
        wired.outbox.failed(mail, f"the server refused the recipient with {refused}", is_final=True)
        return "failed"
    wired.outbox.sent(mail)
    return "sent"


def _keep_copy(wired: Wired, mail: Mail, letter: Letter) -> None:
    """The letter as a file, so that an admin can read what was mailed without a mailbox. No copy stops no mail."""
    folder = wired.settings.report_dir
    message = compose(letter, wired.mappings.policies.alerts.sender)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"mail-{mail.id}.eml").write_bytes(message.as_bytes())
        (folder / f"mail-{mail.id}.html").write_text(letter.html, encoding="utf-8")
    except OSError as error:
        log.warning("mail_copy_not_kept", mail_id=mail.id, reason=error.strerror or str(error))


def _sender(wired: Wired) -> SmtpSender | None:
    part = wired.settings.smtp
    if not part.host:
        return None
    settings = SmtpSettings(
        host=part.host,
        port=part.port,
        sender=wired.mappings.policies.alerts.sender,
        security=Security(part.security),
        username=part.username,
        password=part.password.get_secret_value(),
    )
    return SmtpSender(settings)


def _people(wired: Wired, connections: Iterable[str]) -> Mapping[tuple[str, str], Person]:
    names = load_names(wired, sorted(connections), records=False)
    return {key: Person(name=name or email or key[1], email=email) for key, (name, email) in names.users.items()}


def _books(digest: OwnershipDigest) -> list[dict[str, Any]]:
    """Gained and lost per person, the busiest first."""
    found: dict[Person, dict[str, Any]] = {}
    for side, books in (("gained", digest.gained), ("lost", digest.lost)):
        for book in books:
            found.setdefault(book.rep, {"name": book.rep.name, "gained": 0, "lost": 0})[side] = book.accounts
    return sorted(found.values(), key=lambda row: (-(row["gained"] + row["lost"]), row["name"]))


def _csv(digest: OwnershipDigest) -> Attachment:
    stream = io.StringIO(newline="")
    lines = csv.writer(stream)
    lines.writerow(("from", "to", "account", "connection", "record id", "old system", "new system"))
    for move in digest.moves:
        for one in move.accounts:
            cells = (
                move.from_rep.name, move.to_rep.name, one.account, one.connection, one.record_id,
                one.old_system, one.new_system,
            )  # fmt: skip
            lines.writerow([safe_cell(cell) for cell in cells])
    return Attachment(name=f"owner-changes-{digest.plan_id}.csv", content=stream.getvalue().encode("utf-8-sig"))


def _on_one_line(value: Any) -> Any:
    """A name with line ends or control characters in it must not look like lines of the letter, or steer a reader."""
    return _CONTROL.sub(" ", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def templates() -> jinja2.Environment:
    """Templates of this folder; HTML is escaped, and a name that a template does not get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (files("jobs") / "templates" / name).read_text(encoding="utf-8")),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        finalize=_on_one_line,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment
