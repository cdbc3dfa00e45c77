"""Runs: what was started, by whom, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from store.database import Database, StoreError
from store.identifiers import new_id
from store.tables import run


class RunStatus(StrEnum):
    """How a run stands or ended."""

    RUNNING = "running"  # or died without a word; `interrupt_others` finds those
    DONE = "done"  # everything was done
    PARTIAL = "partial"  # some rows failed, moved or were left
    STOPPED = "stopped"  # a guard or a person stopped it
    FAILED = "failed"  # an error ended it
    INTERRUPTED = "interrupted"  # it died; a later run took over


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run."""

    id: str
    kind: str  # pull, intake, plan, apply, alert
    plan_id: str | None
    by: str
    started_at: str
    finished_at: str | None
    status: RunStatus
    counts: Mapping[str, Any]
    message: str


class Runs:
    """The register of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, kind: str, *, by: str, plan_id: str | None = None) -> Run:
        """A new running run."""
        started = Run(
            id=new_id("R"),
            kind=kind,
            plan_id=plan_id,
            by=by,
            started_at=self._database.now(),
            finished_at=None,
            status=RunStatus.RUNNING,
            counts={},
            message="",
        )
        with self._database.state() as conn:
            conn.execute(sa.insert(run).values(**{name: getattr(started, name) for name in Run.__dataclass_fields__}))
        return started

    def finish(
        self, run_id: str, status: RunStatus, *, counts: Mapping[str, Any] | None = None, message: str = ""
    ) -> None:
        """End a running run; one that has ended stays as it is."""
        with self._database.state() as conn:
            finish(conn, run_id, status, counts=counts or {}, message=message, at=self._database.now())

    def get(self, run_id: str) -> Run:
        """One by id, or by an unambiguous beginning of it."""
        with self._database.read() as conn:
            query = sa.select(run).where(run.c.id.startswith(run_id, autoescape=True)).limit(2)
            rows = conn.execute(query).mappings().all()
        if len(rows) != 1:
            fact = "more than one run begins so" if rows else "no run has this id"
            raise StoreError(f"run {run_id}", fact, "See `platbook runs` for the ids")
        return _run(rows[0])

    def list(self, *, kind: str = "", plan_id: str = "", limit: int = 50) -> tuple[Run, ...]:
        """Newest first."""
        query = sa.select(run).order_by(run.c.started_at.desc(), run.c.id.desc()).limit(limit)
        if kind:
            query = query.where(run.c.kind == kind)
        if plan_id:
            query = query.where(run.c.plan_id == plan_id)
        with self._database.read() as conn:
            return tuple(_run(row) for row in conn.execute(query).mappings())


def finish(
    conn: sa.Connection, run_id: str, status: RunStatus, *, counts: Mapping[str, Any], message: str, at: str
) -> None:
    """End a running run in the caller's transaction."""
    running = (run.c.id == run_id) & (run.c.status == RunStatus.RUNNING)
    values = {"status": status, "counts": dict(counts), "message": message, "finished_at": at}
    conn.execute(sa.update(run).where(running).values(**values))


def interrupt_others(conn: sa.Connection, plan_id: str, by_run: str, *, at: str) -> None:
    """Mark runs of a plan that died without a word; the caller holds the leases, so none of them is alive."""
    died = (
        (run.c.plan_id == plan_id)
        & (run.c.kind == "apply")
        & (run.c.status == RunStatus.RUNNING)
        & (run.c.id != by_run)
    )
    values = {"status": RunStatus.INTERRUPTED, "finished_at": at, "message": f"it died; run {by_run} took over"}
    conn.execute(sa.update(run).where(died).values(**values))


def _run(row: Mapping[Any, Any]) -> Run:
    return Run(**{**row, "status": RunStatus(row["status"])})
