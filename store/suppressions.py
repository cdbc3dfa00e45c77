"""Lint findings that people muted, with reason and last day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from store import audit
from store.database import Database
from store.identifiers import next_number
from store.tables import lint_suppression


class Suppressions:
    """The register of muted findings; nothing is deleted, everything is audited."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Mapping[str, Any], ...]:
        """Suppressions that nobody lifted, ended ones included; oldest first."""
        query = sa.select(lint_suppression).where(lint_suppression.c.lifted_at.is_(None))
        with self._database.read() as conn:
            return tuple(dict(row) for row in conn.execute(query.order_by(lint_suppression.c.id)).mappings())

    def add(self, lint: str, subject: str, *, reason: str, until: str, by: str) -> int:
        """Mute a lint for a subject (* = all) until the end of a day; gives the number of the suppression."""
        at = self._database.now()
        with self._database.state() as conn:
            number = next_number(conn, "lint_suppression")
            row = {"lint": lint, "subject": subject, "reason": reason, "until": until, "by": by, "at": at}
            conn.execute(sa.insert(lint_suppression), [{"id": number, **row}])
            body = {"lint": lint, "subject": subject, "until": until, "reason": reason}
            audit.append(conn, [audit.Entry(kind="lint_suppressed", actor=by, body=body)], at=at)
        return number

    def lift(self, lint: str, subject: str, *, by: str) -> int:
        """Take back what was muted; how many suppressions that were standing."""
        at = self._database.now()
        standing = (lint_suppression.c.lint == lint) & (lint_suppression.c.subject == subject)
        standing = standing & lint_suppression.c.lifted_at.is_(None)
        with self._database.state() as conn:
            lifted = conn.execute(sa.update(lint_suppression).where(standing).values(lifted_at=at)).rowcount
            if lifted:
                body = {"lint": lint, "subject": subject}
                audit.append(conn, [audit.Entry(kind="lint_unsuppressed", actor=by, body=body)], at=at)
        return lifted
