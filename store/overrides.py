"""Overrides: values that persons kept against a proposal, listed with their history, and taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from store import audit
from store.database import Database
from store.decisions import Person
from store.identifiers import new_id, next_number
from store.tables import override

_KEY = ("connection", "record_id", "field")


def newest(database: Database) -> list[dict[str, Any]]:
    """The newest override per field, lapsed ones included, the newest first."""
    last = sa.select(sa.func.max(override.c.position)).group_by(*(override.c[name] for name in _KEY))
    query = sa.select(override).where(override.c.position.in_(last)).order_by(override.c.position.desc())
    with database.read() as conn:
        return [dict(row) for row in conn.execute(query).mappings()]


def release(database: Database, rows: Sequence[Mapping[str, Any]], *, as_of: str, person: Person, reason: str) -> int:
    """End overrides the day before a date; audited. The next plan asks again, and shows what was refused."""
    if not rows:
        return 0
    at, last = database.now(), (date.fromisoformat(as_of) - timedelta(days=1)).isoformat()
    with database.state() as conn:
        first = next_number(conn, "override", count=len(rows))
        ended = [
            {
                **{name: row[name] for name in (*_KEY, "kept", "refused")},
                "id": new_id("V"),
                "position": first + place,
                "until": last,
                "reason": reason,
                "by": person.name,
                "at": at,
                "run_id": "",
            }
            for place, row in enumerate(rows)
        ]
        conn.execute(sa.insert(override), ended)
        body = {"overrides": [[row[name] for name in _KEY] for row in rows], "reason": reason}
        audit.append(conn, [audit.Entry(kind="override_released", actor=person.label, body=body)], at=at)
    return len(rows)
