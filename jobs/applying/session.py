"""The state of one apply run: its leases, what it has done so far, and whether it must stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog

from jobs.applying.budget import below_reserve
from jobs.applying.model import ApplyDeps, Connected, ItemResult, ItemState, Work
from store import audit, events, journal
from store.decisions import spend
from store.journal import JournalRow, JournalState, Values
from store.leases import Lease, LeaseLost, require_epoch
from store.plans import Outcome, StoredPlan, note_outcomes

log = structlog.get_logger()

MAX_ERROR_SHARE = 0.05
_ERRORS_TO_HALT = 2  # one bad row is a bad row; two in a small run are a rate
_CARRIED_OUT = (JournalState.VERIFIED, JournalState.MISMATCH)
STOPPED = "stopped on request; what was under way was finished"
_ERRORS = frozenset({ItemState.FAILED})
LOST = "lost"
"""How a row ended whose answer was lost and whose record somebody changed: only history tells whether it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The fate of one journal row, ready to be stored."""

    work: Work
    row: JournalRow
    state: ItemState
    message: str = ""
    how: str = "ours"  # ours, in_doubt (the answer was lost, it is written), LOST, converged (refused, yet as wanted)
    overwrote: Values = field(default_factory=dict)  # what a person had put there between our read and our write


@dataclass(slots=True, kw_only=True)
class ApplyRun:
    """One run at one plan."""

    deps: ApplyDeps
    plan: StoredPlan
    run_id: str
    actor: str
    leases: Mapping[str, Lease]
    owner_events: Mapping[str, list[dict[str, object]]]  # item id -> sync.world.OWNERSHIP_EVENTS rows
    results: dict[str, ItemResult] = field(default_factory=dict)
    converged: list[Work] = field(default_factory=list)
    applied_edits: list[Work] = field(default_factory=list)
    pooled: set[str] = field(default_factory=set)  # items to be tried again in this run: no errors yet
    locked: Counter[str] = field(default_factory=Counter)  # item -> how often the CRM refused it as locked
    dealt: dict[str, frozenset[str]] = field(default_factory=dict)  # connection -> records with open opportunities
    halted: str = ""

    def connected(self, connection: str) -> Connected:
        """The connection by id."""
        return self.deps.connections[connection]

    def stamp(self, connection: str) -> str:
        """What travels with every write: run and epoch."""
        return f"{self.run_id}/{self.leases[connection].epoch}"

    def is_watched(self, field: str) -> bool:
        """True where a person's value may stand against ours: an edit written over there must show."""
        watched = self.deps.watched_fields
        return watched is None or field in watched

    def confirm(self, connection: str) -> None:
        """Check the epoch just before a request goes out, and put the lease's expiry off. Raises LeaseLost."""
        self.deps.leases.renew(self.leases[connection])

    def note(self, work: Work, state: ItemState, message: str = "") -> None:
        """Remember what became of an item."""
        self.results[work.item_id] = ItemResult(
            item_id=work.item_id,
            connection=work.connection,
            record_id=work.record_id,
            account_name=work.account_name,
            group=work.group,
            state=state,
            message=message,
        )

    def commit_unsent(self, connection: str, noted: Iterable[tuple[Work, ItemState, str]]) -> None:
        """Store the fate of items that are not sent. Converged ones are stored with their moves, at the closing."""
        listed = list(noted)
        for work, state, message in listed:
            self.note(work, state, message)
            if state is ItemState.CONVERGED:
                self.converged.append(work)
        lasting = [one for one in listed if one[1] is not ItemState.CONVERGED]
        if not lasting:
            return
        with self.deps.database.state() as conn:
            require_epoch(conn, self.leases[connection])
            self._note_outcomes(conn, lasting)

    def commit_intents(self, connection: str, rows: Iterable[JournalRow]) -> list[JournalRow]:
        """Store what is about to be sent, in the transaction that checks the epoch."""
        with self.deps.database.state() as conn:
            require_epoch(conn, self.leases[connection])
            return list(journal.write_intents(conn, list(rows), at=self.deps.database.now()))

    def commit_answers(self, connection: str, rows: Iterable[JournalRow]) -> None:
        """Store what the CRM answered, before anything is read back. Raises LeaseLost."""
        listed = list(rows)
        if not listed:
            return
        try:
            with self.deps.database.state() as conn:
                require_epoch(conn, self.leases[connection])
                journal.settle(conn, listed, at=self.deps.database.now())
        except LeaseLost:
            self.tell_of_late(connection, {one.record_id: one.want for one in listed if one.state is JournalState.SENT})
            raise

    def commit_settled(self, connection: str, settled: Iterable[Settled]) -> None:
        """Store verified rows, their audit rows and owner events: one transaction per chunk."""
        listed = list(settled)
        if not listed:
            return
        try:
            with self.deps.database.state() as conn:
                require_epoch(conn, self.leases[connection])
                self._store_settled(conn, listed)
        except LeaseLost:
            unheard = [one.row for one in listed if one.how in ("in_doubt", LOST)]
            self.tell_of_late(connection, {row.record_id: row.want for row in unheard})
            raise
        for one in listed:
            self.note(one.work, one.state, one.message)
            if one.row.state is JournalState.VERIFIED and one.work.refusals:
                self.applied_edits.append(one.work)

    def _store_settled(self, conn: sa.Connection, listed: Sequence[Settled]) -> None:
        at = self.deps.database.now()
        journal.settle(conn, [one.row for one in listed], at=at)
        audit.append(conn, [self._entry(one) for one in listed], at=at)
        written = [one for one in listed if one.row.state is JournalState.VERIFIED and one.how != "converged"]
        told = [event for one in written for event in self._events(one.work)]
        events.add(conn, told, plan_id=self.plan.id, run_id=self.run_id, at=at)
        done = [(one.work.fingerprint, one.work.item_id) for one in listed if one.row.state in _CARRIED_OUT]
        spend(conn, done, plan_id=self.plan.id, run_id=self.run_id, at=at)
        self._note_outcomes(conn, [(one.work, one.state, one.message) for one in listed])

    def tell_of_late(self, connection: str, written: Mapping[str, Mapping[str, object]]) -> None:
        """Another run took over while these values (by record) may have been on the wire: the audit names them.

        No check can hold back a request that left before the process was paused, and no state of theirs is ours.
        """
        if not written:
            return
        epoch = self.leases[connection].epoch
        fields = {record_id: dict(values) for record_id, values in written.items()}
        body = {"connection": connection, "epoch": epoch, "fields": fields}
        entry = audit.Entry(kind="written_late", actor=self.actor, run_id=self.run_id, plan_id=self.plan.id, body=body)
        with self.deps.database.state() as conn:
            audit.append(conn, [entry], at=self.deps.database.now())
        log.error("written_late", run_id=self.run_id, connection=connection, epoch=epoch, rows=len(fields))

    def judge(self) -> None:
        """Halt after a chunk that shows a mismatch, or when too much was refused."""
        states = [result.state for result in self.results.values()]
        mismatches = states.count(ItemState.MISMATCH)
        errors = sum(one.state in _ERRORS for one in self.results.values() if one.item_id not in self.pooled)
        if mismatches:
            self.halted = f"{mismatches} written values read back as something else; see the items, then plan again"
        elif errors >= _ERRORS_TO_HALT and errors > MAX_ERROR_SHARE * len(states):
            self.halted = f"{errors} of {len(states)} items failed, more than {MAX_ERROR_SHARE:.0%}; see their messages"

    def must_stop(self) -> bool:
        """True once nothing more may be begun: the run was halted, or a person asked."""
        if not self.halted and self.deps.stop():
            self.halted = STOPPED
        if not self.halted and self.deps.budget is not None:
            meters = {name: self.connected(name).target.meter for name in self.leases}
            self.halted = next(below_reserve(meters, self.deps.budget), "")
        return bool(self.halted)

    def _note_outcomes(self, conn: sa.Connection, noted: Iterable[tuple[Work, ItemState, str]]) -> None:
        outcomes = [Outcome(item_id=work.item_id, state=state, message=message) for work, state, message in noted]
        note_outcomes(conn, self.plan.id, self.run_id, outcomes, at=self.deps.database.now())

    def _entry(self, one: Settled) -> audit.Entry:
        verified, before = one.row.state is JournalState.VERIFIED, one.row.pre_image
        body: dict[str, Any] = {
            "connection": one.row.connection,
            "record_id": one.row.record_id,
            "fields": {
                name: [before.get(name), value] for name, value in one.row.want.items() if before.get(name) != value
            },
            "rules": {name: one.work.rules.get(name, "") for name in one.row.want},
            "fingerprint": one.work.fingerprint,
            "decision": one.work.decision.id if one.work.decision else "",
            "epoch": one.row.epoch,
            "attempt": one.row.attempt,
            "how": one.how,
            "message": one.message,
        }
        if one.state is ItemState.MISMATCH:
            body["became"] = dict(one.row.verified_value)
        if one.overwrote:
            body["overwrote"] = dict(one.overwrote)
        return audit.Entry(
            kind="applied" if verified else str(one.state),
            actor=self.actor,
            run_id=self.run_id,
            plan_id=self.plan.id,
            item_id=one.work.item_id,
            body=body,
        )

    def _events(self, work: Work) -> Iterable[dict[str, object]]:
        if "owner" not in work.want:
            return
        for event in self.owner_events.get(work.item_id, []):
            yield {**event, "to_user": work.want["owner"]}
