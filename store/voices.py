"""Whose word counts on a proposal: every verified person's newest one since it was last carried out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from store.database import Database
from store.decisions import Acceptance, Person
from store.tables import decision, guard_acceptance
from sync.planning.approvals import outvoted
from sync.planning.decisions import WRITING, Verdict


def voices(database: Database, fingerprints: Sequence[str]) -> dict[str, frozenset[str]]:
    """Fingerprint -> verified persons who say yes; nobody where anybody says no. Read-only."""
    now = database.now()
    rows: list[sa.RowMapping] = []
    with database.read() as conn:
        for start in range(0, len(fingerprints), 500):
            wanted = decision.c.fingerprint.in_(list(fingerprints[start : start + 500]))
            rows += conn.execute(sa.select(decision).where(wanted).order_by(decision.c.position)).mappings().all()
    return {fingerprint: outvoted(latest) for fingerprint, latest in _newest_words(rows, now).items()}


def acceptances(database: Database, plan_digest: str) -> tuple[Acceptance, ...]:
    """Every limit of a plan that was let through, with who did it. Read-only."""
    query = sa.select(guard_acceptance).where(guard_acceptance.c.plan_digest == plan_digest)
    with database.read() as conn:
        rows = conn.execute(query.order_by(guard_acceptance.c.guard, guard_acceptance.c.subject)).mappings().all()
    return tuple(
        Acceptance(
            guard=row["guard"],
            subject=row["subject"],
            reason=row["reason"],
            by=Person(name=row["by"], is_verified=row["by_verified"]),
        )
        for row in rows
    )


def _newest_words(rows: Iterable[Mapping[Any, Any]], now: str) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        said = found[row["fingerprint"]]
        if row["verdict"] == Verdict.SPENT:
            said.clear()
            continue
        said.pop(row["by"], None)
        stands = row["expires_at"] is None or row["expires_at"] > now
        is_yes = row["verdict"] in WRITING
        if stands and (row["by_verified"] or not is_yes):
            said[row["by"]] = is_yes
    return found
