"""The outbox: mails that a transaction promised. Sent at least once, each with a Message-ID that never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from store.database import Database, insert_missing, instant
from store.identifiers import new_id
from store.tables import outbox

MAX_ATTEMPTS = 10


class MailStatus(StrEnum):
    """Where a mail stands."""

    PENDING = "pending"  # to be sent
    CLAIMED = "claimed"  # a sender is at it, or died at it
    SENT = "sent"  # the server took it
    FAILED = "failed"  # given up; a person is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One promised mail; its text is made when it is sent."""

    id: str
    kind: str  # ownership_digest, ...
    plan_id: str
    part: int  # from 1; the owner events with this digest_part are told
    run_id: str
    recipient: str
    payload: Mapping[str, Any]
    message_id: str
    status: MailStatus
    attempts: int
    created_at: str
    claimed_by: str | None
    claimed_at: str | None
    sent_at: str | None
    last_error: str


class Outbox:
    """The queue of promised mails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, *, by: str, stuck_after_s: float = 300.0) -> Mail | None:
        """The next mail to send, now claimed; one whose sender died comes again after a while. None = empty."""
        now = self._database.now()
        stuck = instant(datetime.fromisoformat(now) - timedelta(seconds=stuck_after_s))
        waiting = (outbox.c.status == MailStatus.PENDING) | (
            (outbox.c.status == MailStatus.CLAIMED) & (outbox.c.claimed_at < stuck)
        )
        query = sa.select(outbox).where(waiting).order_by(outbox.c.attempts, outbox.c.created_at, outbox.c.id).limit(1)
        with self._database.state() as conn:
            row = conn.execute(query.with_for_update(skip_locked=True)).mappings().one_or_none()
            if row is None:
                return None
            values = {
                "status": MailStatus.CLAIMED,
                "claimed_by": by,
                "claimed_at": now,
                "attempts": row["attempts"] + 1,
            }
            conn.execute(sa.update(outbox).where(outbox.c.id == row["id"]).values(**values))
        return _mail({**row, **values})

    def sent(self, mail: Mail) -> None:
        """The server took it."""
        self._settle(mail, {"status": MailStatus.SENT, "sent_at": self._database.now(), "last_error": ""})

    def failed(self, mail: Mail, error: str, *, is_final: bool = False) -> None:
        """It did not go; it waits for the next try, unless it will never go."""
        given_up = is_final or mail.attempts >= MAX_ATTEMPTS
        self._settle(mail, {"status": MailStatus.FAILED if given_up else MailStatus.PENDING, "last_error": error})

    def list(self, *, plan_id: str = "", status: MailStatus | None = None) -> tuple[Mail, ...]:
        """Oldest first."""
        query = sa.select(outbox).order_by(outbox.c.created_at, outbox.c.id)
        if plan_id:
            query = query.where(outbox.c.plan_id == plan_id)
        if status:
            query = query.where(outbox.c.status == status)
        with self._database.read() as conn:
            return tuple(_mail(row) for row in conn.execute(query).mappings())

    def _settle(self, mail: Mail, values: Mapping[str, Any]) -> None:
        ours = (outbox.c.id == mail.id) & (outbox.c.status == MailStatus.CLAIMED) & (outbox.c.attempts == mail.attempts)
        with self._database.state() as conn:
            conn.execute(sa.update(outbox).where(ours).values(**values))


def promise(
    conn: sa.Connection,
    kind: str,
    recipients: Sequence[str],
    *,
    plan_id: str,
    part: int,
    run_id: str,
    payload: Mapping[str, Any],
    at: str,
) -> int:
    """Promise one mail per recipient in the caller's transaction; how many are new. Once per plan, part, recipient."""
    rows = [
        {
            "id": new_id("M"),
            "kind": kind,
            "plan_id": plan_id,
            "part": part,
            "run_id": run_id,
            "recipient": recipient,
            "payload": dict(payload),
            "message_id": message_id(kind, plan_id, recipient, part=part),
            "status": MailStatus.PENDING,
            "attempts": 0,
            "created_at": at,
            "last_error": "",
        }
        for recipient in dict.fromkeys(recipients)
    ]
    return insert_missing(conn, outbox, rows)


def message_id(kind: str, plan_id: str, recipient: str, *, part: int = 1) -> str:
    """The Message-ID: the same for every attempt, so that a mail server or reader can drop a double."""
    digest = hashlib.sha256("\n".join((kind, plan_id, recipient, str(part))).encode()).hexdigest()
    return f"<{digest[:32]}@platbook.invalid>"


def _mail(row: Mapping[Any, Any]) -> Mail:
    return Mail(**{**row, "status": MailStatus(row["status"])})
