"""Which life of the state this is. A restore begins another one, which writes nothing before it was re-baselined."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from store import audit
from store.database import Database
from store.decisions import Person
from store.tables import generation


def current(database: Database) -> str:
    """Id of this life."""
    with database.read() as conn:
        return str(conn.scalar(sa.select(generation.c.generation)))


def restored_from(database: Database) -> str:
    """The backup this state was restored from and not re-baselined since; "" = none."""
    with database.read() as conn:
        return str(conn.scalar(sa.select(generation.c.restored_from)) or "")


def begin(database: Database, *, source: str, by: Person) -> str:
    """Begin another life after a restore; its id. Audited."""
    return _next(database, source, by, "state_restored")


def settle(database: Database, *, by: Person) -> str:
    """The agreed values were compared with the CRMs: writing is allowed again, in a life of its own. Audited."""
    return _next(database, "", by, "state_rebaselined")


def _next(database: Database, source: str, by: Person, kind: str) -> str:
    made, at = secrets.token_hex(8), database.now()
    with database.state() as conn:
        before = conn.scalar(sa.select(generation.c.generation))
        conn.execute(sa.update(generation).values(generation=made, restored_from=source, at=at))
        body = {"before": before, "generation": made, "source": source}
        audit.append(conn, [audit.Entry(kind=kind, actor=by.label, body=body)], at=at)
    return made
