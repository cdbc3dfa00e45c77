"""Every version of a policy that was used: what it said, so that a change without a new version is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from store.database import Database, insert_missing
from store.tables import policy_version


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One policy, or one segment of it, at one version."""

    policy: str
    version: int
    digest: str
    content: str  # canonical JSON
    by: str = ""
    at: str = ""


class PolicyVersions:
    """The register of used policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, versions: Sequence[PolicyVersion], *, by: str) -> int:
        """Remember versions that are new; how many."""
        at = self._database.now()
        rows = [
            {"policy": v.policy, "version": v.version, "digest": v.digest, "content": v.content, "by": by, "at": at}
            for v in versions
        ]
        with self._database.state() as conn:
            return insert_missing(conn, policy_version, rows)

    def used(self, policy: str) -> tuple[PolicyVersion, ...]:
        """What was used of a policy, newest last."""
        query = sa.select(policy_version).where(policy_version.c.policy == policy)
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(policy_version.c.at, policy_version.c.version)).mappings()
            return tuple(PolicyVersion(**row) for row in rows)

    def first(self) -> Mapping[tuple[str, int], PolicyVersion]:
        """What every policy said when a version of it was used for the first time."""
        order = (policy_version.c.at, policy_version.c.digest)
        found: dict[tuple[str, int], PolicyVersion] = {}
        with self._database.read() as conn:
            for row in conn.execute(sa.select(policy_version).order_by(*order)).mappings():
                found.setdefault((row["policy"], row["version"]), PolicyVersion(**row))
        return found
