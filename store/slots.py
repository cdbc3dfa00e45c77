"""Slots: the truth about which scheduled run has happened. The scheduler is only an alarm clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from store.database import Database, insert_missing
from store.tables import slot as slots


class Slots:
    """Each (job, slot) is run by one process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job: str, slot: str, *, by: str) -> bool:
        """True for exactly one caller per job and slot."""
        row = {
            "job": job,
            "slot": slot,
            "status": "claimed",
            "claimed_by": by,
            "claimed_at": self._database.now(),
            "message": "",
        }
        with self._database.state() as conn:
            return insert_missing(conn, slots, [row]) == 1

    def finish(self, job: str, slot: str, *, is_ok: bool, message: str = "") -> None:
        """Note how the slot's run ended."""
        values = {"status": "done" if is_ok else "failed", "message": message, "finished_at": self._database.now()}
        with self._database.state() as conn:
            conn.execute(sa.update(slots).where(slots.c.job == job, slots.c.slot == slot).values(**values))

    def last(self, job: str) -> Mapping[str, Any] | None:
        """The newest slot of a job."""
        query = sa.select(slots).where(slots.c.job == job).order_by(slots.c.slot.desc()).limit(1)
        with self._database.read() as conn:
            row = conn.execute(query).mappings().one_or_none()
        return dict(row) if row else None
