"""Plans: saved once, never changed. Only their status moves, and what became of each item is noted beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError, instant
from store.files import ParquetFiles
from store.identifiers import new_id
from store.runs import RunStatus
from store.tables import outcome, plan, run


class PlanStatus(StrEnum):
    """Where a plan stands."""

    DRAFT = "draft"  # being saved
    READY = "ready"  # can be reviewed and applied
    PAUSED_BY_GUARD = "paused_by_guard"  # a limit was passed; nothing was written
    PARTIALLY_APPROVED = "partially_approved"  # some items were decided
    APPLYING = "applying"  # a run is at it, or died at it
    APPLIED = "applied"  # nothing is left to do
    PARTIALLY_APPLIED = "partially_applied"  # some items were written, others wait, failed or moved
    EXPIRED = "expired"  # too old to be applied
    SUPERSEDED = "superseded"  # a newer plan took its place


OPEN = (
    PlanStatus.READY,
    PlanStatus.PAUSED_BY_GUARD,
    PlanStatus.PARTIALLY_APPROVED,
    PlanStatus.PARTIALLY_APPLIED,
)
"""Statuses from which a run may start, and from which a newer plan supersedes."""


class PlanTampered(Exception):
    """The stored plan is not what was saved. Nothing of it may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHeader:
    """What is said about a plan as a whole."""

    digest: str  # sync.world.Plan.digest
    ruleset_digest: str
    as_of: str
    author: str
    tool_version: str
    org_ids: Mapping[str, str]  # connection -> organisation the plan was made for
    snapshot_ids: tuple[str, ...] = ()
    feed_hashes: Mapping[str, str] = field(default_factory=dict)
    schema_hashes: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Mapping[str, Any], ...] = ()  # sync.world.GuardResult as dicts
    author_kind: str | None = None  # sync.planning.approvals.Author; None = made before it was noted
    rules_digest: str | None = None  # of the ruleset without the data about people; None = not noted
    rule_files: Mapping[str, str] | None = None  # file of the ruleset -> digest of its content; None = not noted


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan as it was saved, with its status now."""

    id: str
    header: PlanHeader
    created_at: str
    expires_at: str
    status: PlanStatus
    items: pa.Table  # sync.world.ITEMS
    changes: pa.Table  # sync.world.CHANGES
    events: pa.Table  # sync.world.OWNERSHIP_EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one item."""

    item_id: str
    state: str
    message: str = ""


class Plans:
    """The register of plans and their files."""

    def __init__(self, database: Database, files: ParquetFiles) -> None:
        self._database = database
        self._files = files

    def save(
        self,
        header: PlanHeader,
        *,
        items: pa.Table,
        changes: pa.Table,
        events: pa.Table,
        ttl_hours: int = 24,
        status: PlanStatus = PlanStatus.READY,
    ) -> StoredPlan:
        """Store a new plan; open plans before it are superseded in the same transaction."""
        created = datetime.fromisoformat(self._database.now())
        row = {
            **_header_columns(header),
            "id": new_id("P"),
            "created_at": instant(created),
            "expires_at": instant(created.astimezone(UTC) + timedelta(hours=ttl_hours)),
            "items_sha256": self._files.write(items),
            "changes_sha256": self._files.write(changes),
            "events_sha256": self._files.write(events),
        }
        row["seal"] = _seal(row)
        with self._database.state() as conn:
            conn.execute(sa.update(plan).where(plan.c.status.in_(OPEN)).values(status=PlanStatus.SUPERSEDED))
            conn.execute(sa.insert(plan).values(**row, status=status))
            body = {"digest": header.digest, "seal": row["seal"], "counts": dict(header.counts)}
            entry = audit.Entry(kind="plan_saved", actor=header.author, plan_id=row["id"], body=body)
            audit.append(conn, [entry], at=row["created_at"])
        return self.load(row["id"])

    def load(self, plan_id: str) -> StoredPlan:
        """The plan, after its seal and the bytes of its files were checked. Raises PlanTampered."""
        try:
            with self._database.read() as conn:
                row = _row(conn, plan_id)
            is_sealed = _seal(row) == row["seal"]
        except ValueError:  # a column that holds JSON does not any more
            is_sealed = False
        if not is_sealed:
            raise PlanTampered(f"plan {plan_id}: its stored header was changed after it was saved. Plan again.")
        try:
            tables = {name: self._files.read(row[f"{name}_sha256"]) for name in ("items", "changes", "events")}
        except StoreError as exc:
            raise PlanTampered(f"plan {plan_id}: {exc.subject}: {exc.fact}. Plan again.") from exc
        return StoredPlan(
            id=plan_id,
            header=_header(row),
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            status=PlanStatus(row["status"]),
            **tables,
        )

    def status(self, plan_id: str) -> PlanStatus:
        """Its status now, without its items."""
        with self._database.read() as conn:
            return PlanStatus(_row(conn, plan_id)["status"])

    def list(self, *, limit: int = 50) -> tuple[Mapping[str, Any], ...]:
        """Rows of the register, newest first, without the files."""
        query = sa.select(plan).order_by(plan.c.created_at.desc(), plan.c.id.desc()).limit(limit)
        with self._database.read() as conn:
            return tuple(dict(row) for row in conn.execute(query).mappings())

    def newest(self) -> str | None:
        """Id of the newest plan."""
        return next(iter(self._ids()), None)

    def resolve(self, text: str) -> str:
        """The plan id that `text` names: a full id or an unambiguous beginning; 'latest' is the newest."""
        ids = self._ids()
        found = ids[:1] if text == "latest" else [found for found in ids if found.startswith(text)]
        if len(found) != 1:
            fact = "no plan has this id" if not found else f"{len(found)} plans begin so"
            raise StoreError(f"plan {text}", fact, "See `platbook plan --list` for the ids")
        return str(found[0])

    def _ids(self) -> tuple[str, ...]:
        """All ids, newest first, whatever else the rows hold."""
        query = sa.select(plan.c.id).order_by(plan.c.created_at.desc(), plan.c.id.desc())
        with self._database.read() as conn:
            return tuple(conn.scalars(query))

    def outcomes(self, plan_id: str) -> dict[str, Outcome]:
        """What became of its items so far, by item id."""
        query = sa.select(outcome).where(outcome.c.plan_id == plan_id)
        with self._database.read() as conn:
            rows = conn.execute(query).mappings().all()
        return {r["item_id"]: Outcome(item_id=r["item_id"], state=r["state"], message=r["message"]) for r in rows}


def transition(conn: sa.Connection, plan_id: str, expected: Collection[PlanStatus], to: PlanStatus) -> None:
    """Move a plan's status in the caller's transaction. Raises StoreError when it is not where it should be."""
    moved = conn.execute(sa.update(plan).where(plan.c.id == plan_id, plan.c.status.in_(expected)).values(status=to))
    if not moved.rowcount:
        found = conn.scalar(sa.select(plan.c.status).where(plan.c.id == plan_id))
        raise StoreError(
            f"plan {plan_id}",
            f"it is {found or 'unknown'}, expected {' or '.join(expected)}",
            "Plan again, or see `platbook show`",
        )


def note_outcomes(conn: sa.Connection, plan_id: str, run_id: str, outcomes: Iterable[Outcome], *, at: str) -> None:
    """Note what became of items, in the caller's transaction; the newest word replaces an older one."""
    for one in outcomes:
        key = (outcome.c.plan_id == plan_id) & (outcome.c.item_id == one.item_id)
        values = {"state": one.state, "message": one.message, "run_id": run_id, "at": at}
        if not conn.execute(sa.update(outcome).where(key).values(**values)).rowcount:
            conn.execute(sa.insert(outcome).values(plan_id=plan_id, item_id=one.item_id, **values))


def _row(conn: sa.Connection, plan_id: str) -> dict[str, Any]:
    row = conn.execute(sa.select(plan).where(plan.c.id == plan_id)).mappings().one_or_none()
    if row is None:
        raise StoreError(f"plan {plan_id}", "it does not exist", "See `platbook plan --list` for the ids")
    return dict(row)


_SEALED = tuple(column.name for column in plan.columns if column.name not in ("seal", "status"))


_LATER = ("author_kind", "rules_digest", "rule_files")
"""Columns that older plans were sealed without."""


def _seal(row: Mapping[str, Any]) -> str:
    sealed = {name: row[name] for name in _SEALED if name not in _LATER or row[name] is not None}
    text = json.dumps(sealed, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _header_columns(header: PlanHeader) -> dict[str, Any]:
    values = {name: getattr(header, name) for name in PlanHeader.__dataclass_fields__}
    for name in ("org_ids", "feed_hashes", "schema_hashes", "counts"):
        values[name] = dict(values[name])
    values["rule_files"] = None if header.rule_files is None else dict(header.rule_files)
    values["snapshot_ids"] = list(header.snapshot_ids)
    values["guards"] = [dict(guard) for guard in header.guards]
    return values


def _header(row: Mapping[str, Any]) -> PlanHeader:
    values = {name: row[name] for name in PlanHeader.__dataclass_fields__}
    values["snapshot_ids"] = tuple(row["snapshot_ids"])
    values["guards"] = tuple(row["guards"])
    return PlanHeader(**values)


def rules_applied_before(database: Database, plan_id: str) -> str:
    """Rules digest of the other plan that was applied last, as far as it went; "" = none yet, or not noted."""
    ended = (run.c.kind == "apply") & run.c.status.in_([RunStatus.DONE, RunStatus.PARTIAL])
    query = sa.select(plan.c.rules_digest).join(run, run.c.plan_id == plan.c.id).where(ended, plan.c.id != plan_id)
    with database.read() as conn:
        return str(conn.scalar(query.order_by(run.c.started_at.desc(), run.c.id.desc()).limit(1)) or "")
