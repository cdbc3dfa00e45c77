"""Personal tokens: 256 random bits, shown once; only their sha256 is kept, so the database gives none away."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError, instant
from store.decisions import Person
from store.identifiers import new_id
from store.tables import person, token

PREFIX = "platbook_"
"""Begins every token, so that scanners for leaked secrets know one."""

UNKNOWN = "somebody without a valid token"
"""Actor of a refused attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token. The token itself is not."""

    id: str
    person: str
    label: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None


class TokenRefused(Exception):
    """The token gives no access; the message says why and what to do, and holds nothing of it."""


class Tokens:
    """The register of tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, name: str, *, by: Person, label: str = "", days: int = 90) -> tuple[Token, str]:
        """A new token of an active person: what is kept of it, and the secret, which nobody can read again. Audited."""
        secret, at = PREFIX + secrets.token_urlsafe(32), self._database.now()
        made = Token(
            id=new_id("T"),
            person=name.strip().lower(),
            label=label,
            created_at=at,
            expires_at=instant(datetime.fromisoformat(at) + timedelta(days=days)),
            revoked_at=None,
            last_used_at=None,
        )
        with self._database.state() as conn:
            if not conn.scalar(sa.select(person.c.active).where(person.c.name == made.person)):
                raise StoreError(f"person {made.person}", "no active person of this name", "`platbook people add`")
            row = {name: getattr(made, name) for name in Token.__slots__}
            conn.execute(sa.insert(token).values(**row, sha256=_digest(secret)))
            body = {"person": made.person, "token": made.id, "expires_at": made.expires_at}
            audit.append(conn, [audit.Entry(kind="token_issued", actor=by.label, body=body)], at=at)
        return made, secret

    def revoke(self, which: str, *, by: Person) -> int:
        """End a token by id, or all of a person by name; how many were valid. Audited."""
        at, named = self._database.now(), which.strip()
        with self._database.state() as conn:
            meant = (token.c.id == named) | (token.c.person == named.lower())
            if not conn.scalar(sa.select(sa.func.count()).select_from(token).where(meant)):
                raise StoreError(f"token {named}", "no token and no person of this name", "See `platbook people list`")
            valid = meant & token.c.revoked_at.is_(None)
            ended = conn.execute(sa.update(token).where(valid).values(revoked_at=at)).rowcount
            body = {"which": named, "tokens": ended}
            audit.append(conn, [audit.Entry(kind="token_revoked", actor=by.label, body=body)], at=at)
        return ended

    def list(self) -> tuple[Token, ...]:
        """Every token, newest first."""
        columns = [token.c[name] for name in Token.__slots__]
        query = sa.select(*columns).order_by(token.c.created_at.desc(), token.c.id.desc())
        with self._database.read() as conn:
            return tuple(Token(**row) for row in conn.execute(query).mappings())

    def verify(self, secret: str, *, purpose: str) -> Person:
        """The person a token belongs to. Raises TokenRefused. A refusal is audited, success once a day."""
        at = self._database.now()
        query = sa.select(token, person.c.role, person.c.active).join(person, person.c.name == token.c.person)
        with self._database.read() as conn:
            row = conn.execute(query.where(token.c.sha256 == _digest(secret))).mappings().one_or_none()
        why = _refusal(row, at)
        if row is None or why:
            body = {"why": why, "token": row["id"] if row else "", "purpose": purpose}
            self._note(audit.Entry(kind="login_refused", actor=UNKNOWN, body=body), at)
            raise TokenRefused(f"token refused: {why}. Ask an admin for a new one, then `platbook login`")
        found = Person(name=row["person"], is_verified=True, role=row["role"])
        if (row["last_used_at"] or "")[:10] != at[:10]:
            with self._database.state() as conn:
                conn.execute(sa.update(token).where(token.c.id == row["id"]).values(last_used_at=at))
                body = {"token": row["id"], "purpose": purpose}
                audit.append(conn, [audit.Entry(kind="login", actor=found.label, body=body)], at=at)
        return found

    def note_refusal(self, who: Person, *, what: str, needed: str) -> None:
        """Remember that somebody asked for what his role does not allow."""
        body = {"what": what, "role": who.role, "needed": needed}
        self._note(audit.Entry(kind="permission_refused", actor=who.label, body=body), self._database.now())

    def _note(self, entry: audit.Entry, at: str) -> None:
        with self._database.state() as conn:
            audit.append(conn, [entry], at=at)


def _refusal(row: Mapping[Any, Any] | None, now: str) -> str:
    if row is None:
        return "it is not known here"
    if row["revoked_at"] is not None:
        return f"it was revoked at {row['revoked_at'][:16]}"
    if row["expires_at"] <= now:
        return f"it expired at {row['expires_at'][:16]}"
    return "" if row["active"] else "its person has left"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.strip().encode()).hexdigest()
