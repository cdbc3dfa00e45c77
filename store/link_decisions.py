"""What persons said about two parties being one organisation. Append-only; the newest word on a pair counts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from store import audit
from store.database import Database
from store.decisions import Person
from store.identifiers import new_id
from store.tables import link_decision

SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "source_id", "other_source", "other_id", "verdict")])
Party = tuple[str, str]  # source, source id


class LinkVerdict(StrEnum):
    """What a person said about a pair."""

    LINK = "link"
    NOT_LINK = "not_link"


class LinkDecisions:
    """The register of links and separations by persons."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(self, pairs: Sequence[tuple[Party, Party]], verdict: LinkVerdict, *, person: Person, reason: str) -> int:
        """Record one verdict on pairs, in any order of their members; audited. How many were recorded."""
        at = self._database.now()
        rows = [_row(pair, verdict, person, reason, at) for pair in pairs]
        with self._database.state() as conn:
            if rows:
                newest = conn.execute(
                    sa.select(sa.func.coalesce(sa.func.max(link_decision.c.position), 0))
                ).scalar_one()
                conn.execute(
                    sa.insert(link_decision), [{**row, "position": newest + n} for n, row in enumerate(rows, 1)]
                )
                entries = [_entry(row, person) for row in rows]
                audit.append(conn, entries, at=at)
        return len(rows)

    def table(self) -> pa.Table:
        """The newest verdict per pair, in the shape of sync.world.LINK_DECISIONS, sorted."""
        key = (
            link_decision.c.source,
            link_decision.c.source_id,
            link_decision.c.other_source,
            link_decision.c.other_id,
        )
        newest = sa.select(sa.func.max(link_decision.c.position)).group_by(*key)
        query = sa.select(*(link_decision.c[name] for name in SCHEMA.names)).where(link_decision.c.position.in_(newest))
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(*key)).all()
        columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
        return pa.table([pa.array(list(column), pa.string()) for column in columns], schema=SCHEMA)

    def history(self, party: Party) -> tuple[dict[str, Any], ...]:
        """Everything said about a party, oldest first: the row as recorded, with who, when and why."""
        one, other = link_decision.c, party
        mine = (one.source == other[0]) & (one.source_id == other[1])
        theirs = (one.other_source == other[0]) & (one.other_id == other[1])
        query = sa.select(link_decision).where(mine | theirs).order_by(link_decision.c.position)
        with self._database.read() as conn:
            return tuple(dict(row) for row in conn.execute(query).mappings())


def _row(pair: tuple[Party, Party], verdict: LinkVerdict, person: Person, reason: str, at: str) -> dict[str, Any]:
    first, second = sorted(pair)
    if first == second:
        raise ValueError(f"{first[0]} {first[1]} cannot be linked to itself; name two parties")
    return {
        "id": new_id("L"),
        "source": first[0],
        "source_id": first[1],
        "other_source": second[0],
        "other_id": second[1],
        "verdict": verdict.value,
        "reason": reason,
        "by": person.name,
        "by_verified": person.is_verified,
        "at": at,
    }


def _entry(row: dict[str, Any], person: Person) -> audit.Entry:
    body = {name: row[name] for name in (*SCHEMA.names, "reason")}
    return audit.Entry(kind="link_decided", actor=person.label, body=body)
