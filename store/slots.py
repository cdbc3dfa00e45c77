"""Slots: the truth about which scheduled run has happened. The scheduler is only an alarm clock.

Only the holder of the daemons' lease claims and ends slots: each statement checks its epoch. A job's slots are claimed
forwards: once a slot is claimed, an older one of the same job is not run any more. A claim that a clock made which ran
far ahead does not count, or the job would stand still until that time has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from store.database import Database, insert_missing, instant
from store.leases import Lease, require_epoch
from store.tables import slot as slots

AHEAD = timedelta(minutes=5)
"""Clocks of two hosts may differ by this much and still agree on which slot is the newest."""
CLAIMED, DONE, FAILED = "claimed", "done", "failed"
DIED = "its daemon died, or slept longer than its lease"


class Slots:
    """Each (job, slot) is run by one process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job: str, slot: str, *, lease: Lease, by: str) -> bool:
        """True once per job and slot, and never for a slot older than one that was claimed. Raises LeaseLost."""
        with self._fenced(lease) as conn:
            newest = conn.scalar(sa.select(sa.func.max(slots.c.slot)).where(slots.c.job == job, self._is_believable()))
            if newest is not None and newest >= slot:
                return False
            row = {"job": job, "slot": slot, "status": CLAIMED, "claimed_by": by, "message": ""}
            return insert_missing(conn, slots, [{**row, "claimed_at": self._database.now()}]) == 1

    def inherit(self, lease: Lease, *, by: str) -> Mapping[str, str]:
        """Take over what an earlier holder of the lease claimed and did not end: job -> its newest such slot.

        Its older ones end as failed: a later slot does their work. Raises LeaseLost.
        """
        with self._fenced(lease) as conn:
            query = sa.select(slots.c.job, slots.c.slot).where(slots.c.status == CLAIMED).order_by(slots.c.slot)
            left = [(row.job, row.slot) for row in conn.execute(query)]
            newest = dict(left)
            for job, slot in left:
                is_newest = newest[job] == slot
                ours = {"claimed_by": by, "claimed_at": self._database.now(), "message": f"taken over: {DIED}"}
                over = {"status": FAILED, "message": DIED, "finished_at": self._database.now()}
                conn.execute(_of(job, slot).values(**(ours if is_newest else over)))
        return newest

    def finish(self, job: str, slot: str, *, lease: Lease, is_ok: bool, message: str = "") -> None:
        """Note how the slot's run ended. Raises LeaseLost where another daemon has taken it over."""
        values = {"status": DONE if is_ok else FAILED, "message": message, "finished_at": self._database.now()}
        with self._fenced(lease) as conn:
            conn.execute(_of(job, slot).values(**values))

    def last(self, job: str) -> Mapping[str, Any] | None:
        """The newest slot of a job."""
        query = sa.select(slots).where(slots.c.job == job).order_by(slots.c.slot.desc()).limit(1)
        with self._database.read() as conn:
            row = conn.execute(query).mappings().one_or_none()
        return dict(row) if row else None

    def of_job(self, job: str) -> tuple[Mapping[str, Any], ...]:
        """Every slot of a job, oldest first."""
        with self._database.read() as conn:
            rows = conn.execute(sa.select(slots).where(slots.c.job == job).order_by(slots.c.slot)).mappings().all()
        return tuple(dict(row) for row in rows)

    @contextmanager
    def _fenced(self, lease: Lease) -> Iterator[sa.Connection]:
        with self._database.state() as conn:
            require_epoch(conn, lease)
            yield conn

    def _is_believable(self) -> sa.ColumnElement[bool]:
        return slots.c.slot <= instant(datetime.fromisoformat(self._database.now()) + AHEAD)


def _of(job: str, slot: str) -> sa.Update:
    return sa.update(slots).where(slots.c.job == job, slots.c.slot == slot)
