"""Routing decisions, kept with everything it takes to decide again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError, insert_missing
from store.decisions import Person
from store.identifiers import new_id, next_number
from store.tables import routing_basis, routing_decision
from sync.territory.lead_records import digest

POSITION = "routing"  # name of the counter
_PART = 500  # rows of one insert


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision to keep."""

    lead_id: str
    as_of: str
    outcome: str
    assignee: str | None
    account_id: str | None
    rule_id: str
    inputs: str  # canonical JSON
    result: str  # canonical JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRouting:
    """One decision as it was kept."""

    id: str
    decided: Decided
    basis_digest: str
    ruleset_digest: str
    snapshot_ids: tuple[str, ...]
    by: str
    at: str


class Routings:
    """The register of routing decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        decisions: Sequence[Decided],
        *,
        basis: str,
        ruleset_digest: str,
        snapshot_ids: Sequence[str],
        person: Person,
    ) -> tuple[str, ...]:
        """Keep decisions that share a basis (canonical JSON); their ids in order. Audited as one batch."""
        at, named = self._database.now(), digest(basis)
        ids = tuple(new_id("L") for _ in decisions)
        fixed = {"basis_digest": named, "ruleset_digest": ruleset_digest, "snapshot_ids": list(snapshot_ids)}
        with self._database.state() as conn:
            insert_missing(conn, routing_basis, [{"digest": named, "content": basis, "at": at}])
            first = next_number(conn, POSITION, count=max(len(decisions), 1))
            rows = [
                {**_columns(one), **fixed, "id": id_, "position": first + place, "by": person.name, "at": at}
                for place, (id_, one) in enumerate(zip(ids, decisions, strict=True))
            ]
            for start in range(0, len(rows), _PART):
                conn.execute(sa.insert(routing_decision), rows[start : start + _PART])
            body = {"decisions": len(ids), "first": ids[0] if ids else "", "basis": named, "ruleset": ruleset_digest}
            audit.append(conn, [audit.Entry(kind="leads_routed", actor=person.label, body=body)], at=at)
        return ids

    def get(self, wanted: str) -> StoredRouting:
        """The decision whose id is, or alone begins with, `wanted`. Raises StoreError."""
        query = sa.select(routing_decision).where(routing_decision.c.id.startswith(wanted, autoescape=True)).limit(2)
        with self._database.read() as conn:
            rows = conn.execute(query).mappings().all()
        if len(rows) != 1:
            fact = "no routing decision has this id" if not rows else "several routing decisions begin with this"
            raise StoreError(f'routing decision "{wanted}"', fact, "Give the whole id, as `platbook route` printed it")
        return _stored(rows[0])

    def list(self, *, limit: int = 50) -> tuple[StoredRouting, ...]:
        """The newest decisions first."""
        query = sa.select(routing_decision).order_by(routing_decision.c.position.desc()).limit(limit)
        with self._database.read() as conn:
            return tuple(_stored(row) for row in conn.execute(query).mappings())

    def basis(self, named: str) -> str:
        """The basis with this digest, canonical JSON. Raises StoreError when it is not what was kept."""
        query = sa.select(routing_basis.c.content).where(routing_basis.c.digest == named)
        with self._database.read() as conn:
            content = conn.scalar(query)
        if content is None or digest(content) != named:
            fact = "is not there" if content is None else "is not what was kept"
            raise StoreError(f"routing basis {named[:12]}", fact, "Restore the database from a backup")
        return str(content)

    def work_since(self, day: str) -> dict[str, int]:
        """Leads assigned since an ISO date, by e-mail; one that was routed again counts once, where it is now."""
        key = sa.func.coalesce(sa.func.nullif(routing_decision.c.lead_id, ""), routing_decision.c.id)
        newest = sa.select(sa.func.max(routing_decision.c.position)).group_by(key)
        query = (
            sa.select(routing_decision.c.assignee, sa.func.count())
            .where(routing_decision.c.position.in_(newest), routing_decision.c.as_of >= day)
            .where(routing_decision.c.assignee.is_not(None))
            .group_by(routing_decision.c.assignee)
        )
        with self._database.read() as conn:
            return {str(email): int(count) for email, count in conn.execute(query)}


def _columns(one: Decided) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Decided.__dataclass_fields__}


def _stored(row: Mapping[Any, Any]) -> StoredRouting:
    return StoredRouting(
        id=row["id"],
        decided=Decided(**{name: row[name] for name in Decided.__dataclass_fields__}),
        basis_digest=row["basis_digest"],
        ruleset_digest=row["ruleset_digest"],
        snapshot_ids=tuple(row["snapshot_ids"]),
        by=row["by"],
        at=row["at"],
    )
