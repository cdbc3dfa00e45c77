"""Connections: the organisation each was first seen with. A refreshed sandbox must not be taken for production."""

from __future__ import annotations

import sqlalchemy as sa

from store.database import Database, StoreError, insert_missing
from store.tables import connection as connections


class Connections:
    """The pinned organisation per connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, connection: str, *, kind: str, org_id: str) -> None:
        """Remember the organisation at first contact; raise StoreError where it is another one later."""
        row = {"id": connection, "kind": kind, "org_id": org_id, "pinned_at": self._database.now()}
        with self._database.state() as conn:
            insert_missing(conn, connections, [row])
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
            return {row.id: row.org_id for row in conn.execute(sa.select(connections.c.id, connections.c.org_id))}
