"""Persons and what they may do. A role can do all that the roles below it can."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError
from store.decisions import Person
from store.tables import person, token

_NAME = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,99}")


class Role(StrEnum):
    """What a person may do, least first."""

    VIEWER = "viewer"  # look
    REVIEWER = "reviewer"  # reject, keep, hold: what makes a run do less
    APPROVER = "approver"  # approve, let a guard through, apply: what makes a run do more
    ADMIN = "admin"  # persons, modes, backups


_RANK = {role: rank for rank, role in enumerate(Role)}


def reaches(role: str, needed: Role) -> bool:
    """True where a role can do what another one can; an unknown role can do nothing."""
    return role in _RANK and _RANK[Role(role)] >= _RANK[needed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A person in the register."""

    name: str
    role: Role
    active: bool
    by: str
    at: str


class Persons:
    """The register of persons."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def are_any(self) -> bool:
        """True from the first person on: nobody is ever taken out of the register."""
        with self._database.read() as conn:
            return conn.execute(sa.select(person.c.name).limit(1)).first() is not None

    def list(self) -> tuple[Registered, ...]:
        """Everybody, by name."""
        with self._database.read() as conn:
            return tuple(_registered(row) for row in conn.execute(sa.select(person).order_by(person.c.name)).mappings())

    def add(self, name: str, role: Role, *, by: Person, is_first: bool = False) -> Registered:
        """Register a person; audited. `is_first` adds an admin to an empty register only, whoever asks."""
        made = Registered(name=_checked(name), role=role, active=True, by=by.label, at=self._database.now())
        with self._database.state() as conn:
            if is_first and conn.scalar(sa.select(sa.func.count()).select_from(person)):
                raise StoreError("people", "there are persons already", "An admin among them adds the next one")
            if conn.scalar(sa.select(person.c.name).where(person.c.name == made.name)):
                raise StoreError(f"person {made.name}", "there already", "Change the role: `platbook people role`")
            conn.execute(sa.insert(person).values(**{name: getattr(made, name) for name in Registered.__slots__}))
            body = {"person": made.name, "role": role, "is_first": is_first}
            audit.append(conn, [audit.Entry(kind="person_added", actor=by.label, body=body)], at=made.at)
        return made

    def change(self, name: str, *, by: Person, role: Role | None = None, active: bool | None = None) -> None:
        """Change the role of a person, or let him go: all his tokens end. The last admin stays. Audited."""
        named, at = name.strip().lower(), self._database.now()
        values: dict[str, Any] = {"role": role} if role is not None else {}
        values |= {"active": active} if active is not None else {}
        with self._database.state() as conn:
            if not conn.execute(sa.update(person).where(person.c.name == named).values(**values)).rowcount:
                raise StoreError(f"person {named}", "not in the register", "See `platbook people list`")
            admins = sa.select(sa.func.count()).select_from(person).where(person.c.role == Role.ADMIN, person.c.active)
            if not conn.scalar(admins):
                raise StoreError(f"person {named}", "the last admin", "Make somebody else admin first")
            if active is False:
                ended = token.c.revoked_at.is_(None) & (token.c.person == named)
                conn.execute(sa.update(token).where(ended).values(revoked_at=at))
            audit.append(
                conn, [audit.Entry(kind="person_changed", actor=by.label, body={"person": named, **values})], at=at
            )

    def refuse_owner(self) -> str:
        """Why this operating-system user does not own the database: "" where he does. He adds the first admin."""
        if self._database.is_sqlite:
            path = Path(self._database.file)
            return "" if path.stat().st_uid == os.getuid() else f"{path} belongs to another user of this machine"
        query = sa.text("SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'person' LIMIT 1")
        with self._database.read() as conn:
            return "" if conn.scalar(query) else "the tables belong to another database role"


def _checked(name: str) -> str:
    named = name.strip().lower()
    if not _NAME.fullmatch(named):
        raise StoreError(
            f'person "{name}"', "not a name", "Give an e-mail address or a login, such as ana@acme.example"
        )
    return named


def _registered(row: Mapping[Any, Any]) -> Registered:
    return Registered(**{**row, "role": Role(row["role"])})
