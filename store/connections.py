"""Connections: the organisation each was first seen with. A refreshed sandbox must not be taken for production."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError, insert_missing
from store.decisions import Person
from store.tables import connection as connections


class Mode(StrEnum):
    """How far Platbook may go on a connection by itself."""

    OBSERVE = "observe"  # plans only, never writes
    PROPOSE = "propose"  # writes what a person approved, item by item
    AUTO = "auto"  # also writes what the policy approves by itself


UNPINNED = ""
"""Organisation of a connection that has a mode and was never pulled."""


class Connections:
    """The pinned organisation per connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, connection: str, *, kind: str, org_id: str) -> None:
        """Remember the organisation at first contact; raise StoreError where it is another one later."""
        row = {"id": connection, "kind": kind, "org_id": org_id, "pinned_at": self._database.now()}
        with self._database.state() as conn:
            insert_missing(conn, connections, [row])
            unseen = (connections.c.id == connection) & (connections.c.org_id == UNPINNED)
            conn.execute(sa.update(connections).where(unseen).values(org_id=org_id, pinned_at=row["pinned_at"]))
            known = conn.scalar(sa.select(connections.c.org_id).where(connections.c.id == connection))
        if known != org_id:
            raise StoreError(
                f"connection {connection}",
                f"the credentials lead to organisation {org_id}, this database belongs to {known}",
                "Use the credentials of that organisation, or another PLATBOOK_DATABASE_URL for this one",
            )

    def org_ids(self) -> dict[str, str]:
        """Pinned organisation by connection."""
        with self._database.read() as conn:
            query = sa.select(connections.c.id, connections.c.org_id).where(connections.c.org_id != UNPINNED)
            return {row.id: row.org_id for row in conn.execute(query)}

    def modes(self) -> dict[str, Mode]:
        """Mode by connection, of those that were ever seen."""
        with self._database.read() as conn:
            return {row.id: Mode(row.mode) for row in conn.execute(sa.select(connections.c.id, connections.c.mode))}

    def capabilities(self, connection: str) -> dict[str, object]:
        """What was proven on a connection, by name; empty where nothing was."""
        with self._database.read() as conn:
            found = conn.scalar(sa.select(connections.c.capabilities).where(connections.c.id == connection))
        return dict(found or {})

    def prove(self, connection: str, name: str, *, holds: bool, by: Person, how: str = "") -> None:
        """Remember that something does or does not hold on a connection that was pulled before; audited."""
        at = self._database.now()
        with self._database.state() as conn:
            query = sa.select(connections.c.capabilities).where(connections.c.id == connection)
            row = conn.execute(query.with_for_update()).one_or_none()
            if row is None:
                raise StoreError(f"connection {connection}", "it was never pulled", "Run `platbook pull` first")
            known = {**(row.capabilities or {}), name: holds, f"{name}_at": at}
            conn.execute(sa.update(connections).where(connections.c.id == connection).values(capabilities=known))
            body = {"connection": connection, "capability": name, "holds": holds, "how": how}
            audit.append(conn, [audit.Entry(kind="capability_proven", actor=by.label, body=body)], at=at)

    def set_mode(self, connection: str, mode: Mode, *, kind: str, by: Person) -> None:
        """Change how far Platbook may go on a connection, also before its first contact; audited."""
        at = self._database.now()
        with self._database.state() as conn:
            before = conn.scalar(sa.select(connections.c.mode).where(connections.c.id == connection))
            if before is None:
                row = {"id": connection, "kind": kind, "org_id": UNPINNED, "pinned_at": at, "mode": mode}
                conn.execute(sa.insert(connections).values(**row))
            conn.execute(sa.update(connections).where(connections.c.id == connection).values(mode=mode))
            body = {"connection": connection, "from": before or "", "to": mode}
            audit.append(conn, [audit.Entry(kind="mode_changed", actor=by.label, body=body)], at=at)
