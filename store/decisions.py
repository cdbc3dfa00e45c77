"""What persons decided: verdicts by fingerprint, overrides, holds, accepted guards. Append-only; the newest counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from store import audit
from store.database import Database, insert_missing
from store.identifiers import new_id, next_number
from store.tables import decision, guard_acceptance, hold, override
from sync.planning.approvals import Author
from sync.planning.decisions import ONCE, Refusal
from sync.planning.decisions import Verdict as Verdict  # part of this module's interface

_OVERRIDES = ("connection", "record_id", "field", "kept", "refused", "until", "reason", "by")
_HOLDS = ("connection", "record_id", "group", "kind", "reason", "by", "until")
FIRST_CONTACT = "first_contact"
SPENT_BY = "platbook"
"""Who notes that a decision was carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who acts. An operating-system user is not a verified person; nor is the daemon, which acts for nobody."""

    name: str
    is_verified: bool = False
    role: str = ""  # of a verified person: viewer, reviewer, approver, admin
    is_daemon: bool = False

    @property
    def kind(self) -> Author:
        """What a plan of his is known to come from."""
        if self.is_verified:
            return Author.PERSON
        return Author.DAEMON if self.is_daemon else Author.USER

    @property
    def label(self) -> str:
        """As it stands in the audit."""
        if self.is_verified:
            return self.name
        return f"{self.name} (daemon)" if self.is_daemon else f"{self.name} (unverified operating-system user)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One verdict."""

    id: str
    fingerprint: str
    verdict: Verdict
    edited: Mapping[str, str | None]
    reason: str
    by: str
    by_verified: bool
    at: str
    expires_at: str | None
    supersedes: str | None
    plan_id: str | None
    item_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A named person lets one passed limit of one plan through."""

    guard: str
    subject: str
    reason: str
    by: Person = field(default_factory=lambda: Person(name="unknown"))


class Decisions:
    """The register of decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(
        self,
        fingerprints: Sequence[tuple[str, str]],
        verdict: Verdict,
        *,
        person: Person,
        reason: str,
        plan_id: str | None = None,
        edited: Mapping[str, str | None] | None = None,
        expires_at: str | None = None,
    ) -> tuple[Decision, ...]:
        """Record one verdict on items given as (fingerprint, item id); audited. Order is kept."""
        at = self._database.now()
        with self._database.state() as conn:
            before = _newest(conn, [fingerprint for fingerprint, _ in fingerprints])
            first = next_number(conn, "decision", count=max(len(fingerprints), 1))
            made = [
                Decision(
                    id=new_id("D"),
                    fingerprint=fingerprint,
                    verdict=verdict,
                    edited=dict(edited or {}),
                    reason=reason,
                    by=person.name,
                    by_verified=person.is_verified,
                    at=at,
                    expires_at=expires_at,
                    supersedes=before[fingerprint].id if fingerprint in before else None,
                    plan_id=plan_id,
                    item_id=item_id,
                )
                for fingerprint, item_id in fingerprints
            ]
            rows = [{**_columns(one), "position": first + place} for place, one in enumerate(made)]
            if rows:
                conn.execute(sa.insert(decision), rows)
            audit.append(conn, [_decision_entry(one, person) for one in made], at=at)
        return tuple(made)

    def current(self, fingerprints: Sequence[str] | None = None, *, now: str = "") -> dict[str, Decision]:
        """The newest decision by fingerprint that is neither expired nor spent; of all when none are named."""
        with self._database.read() as conn:
            found = _newest(conn, fingerprints)
        moment = now or self._database.now()
        return {key: one for key, one in found.items() if _counts(one, moment)}

    def of_plan(self, plan_id: str, fingerprints: Sequence[str]) -> dict[str, Decision]:
        """What `current` gives, and the decisions that this very plan spent: how readers of the plan see it."""
        moment = self._database.now()
        with self._database.read() as conn:
            found = _newest(conn, fingerprints)
            spent = {key: one for key, one in found.items() if one.verdict is Verdict.SPENT and one.plan_id == plan_id}
            used = _by_id(conn, [one.supersedes for one in spent.values() if one.supersedes])
        standing = {key: one for key, one in found.items() if _counts(one, moment)}
        return {**standing, **{key: used[one.supersedes] for key, one in spent.items() if one.supersedes in used}}

    def history(self, fingerprint: str) -> tuple[Decision, ...]:
        """All decisions on one fingerprint, oldest first."""
        query = sa.select(decision).where(decision.c.fingerprint == fingerprint).order_by(decision.c.position)
        with self._database.read() as conn:
            return tuple(_decision(row) for row in conn.execute(query).mappings())

    def overrides(self) -> pa.Table:
        """The newest override per field, lapsed ones included, in the shape of sync.world.OVERRIDES."""
        newest = sa.select(sa.func.max(override.c.position)).group_by(
            override.c.connection, override.c.record_id, override.c.field
        )
        query = sa.select(*(override.c[name] for name in _OVERRIDES)).where(override.c.position.in_(newest))
        return self._table(query, _OVERRIDES)

    def hold(
        self,
        records: Sequence[tuple[str, str]],
        *,
        group: str,
        kind: str,
        reason: str,
        person: Person,
        until: str | None = None,
    ) -> int:
        """Hold a field group of records given as (connection, record id); audited."""
        at = self._database.now()
        fixed = {"group": group, "kind": kind, "reason": reason, "by": person.name, "until": until}
        rows = [{"id": new_id("H"), "connection": c, "record_id": r, "at": at, **fixed} for c, r in records]
        with self._database.state() as conn:
            if rows:
                conn.execute(sa.insert(hold), rows)
            body = {**fixed, "records": [list(record) for record in records]}
            audit.append(conn, [audit.Entry(kind="held", actor=person.label, body=body)], at=at)
        return len(rows)

    def add_holds(self, rows: Sequence[Mapping[str, Any]], *, person: Person) -> int:
        """Add holds that rules made, in the shape of sync.world.HOLDS, where there is none of the kind yet; audited."""
        at, key = self._database.now(), ("connection", "record_id", "group", "kind", "until")
        with self._database.state() as conn:
            known = {tuple(row) for row in conn.execute(sa.select(*(hold.c[name] for name in key)))}
            new = [row for row in rows if tuple(row[name] for name in key) not in known]
            if new:
                made = [{name: row[name] for name in _HOLDS} for row in new]
                conn.execute(sa.insert(hold), [{**row, "id": new_id("H"), "at": at} for row in made])
                audit.append(conn, [audit.Entry(kind="held_by_rule", actor=person.label, body={"holds": made})], at=at)
        return len(new)

    def release(self, records: Sequence[tuple[str, str]], *, group: str, person: Person, reason: str = "") -> int:
        """End the holds on a field group of records; how many were active. Audited."""
        at, released = self._database.now(), 0
        with self._database.state() as conn:
            for connection, record_id in records:
                key = (hold.c.connection == connection) & (hold.c.record_id == record_id) & (hold.c.group == group)
                active = key & hold.c.released_at.is_(None)
                released += conn.execute(
                    sa.update(hold).where(active).values(released_at=at, released_by=person.name)
                ).rowcount
            body = {"group": group, "records": [list(record) for record in records], "reason": reason}
            audit.append(conn, [audit.Entry(kind="hold_released", actor=person.label, body=body)], at=at)
        return released

    def holds(self, as_of: str) -> pa.Table:
        """Active holds on a date, one per (connection, record, group), in the shape of sync.world.HOLDS."""
        active = hold.c.released_at.is_(None) & (hold.c.until.is_(None) | (hold.c.until >= as_of))
        key = (hold.c.connection, hold.c.record_id, hold.c.group)
        newest = sa.select(sa.func.max(hold.c.id)).where(active).group_by(*key)
        return self._table(sa.select(*(hold.c[name] for name in _HOLDS)).where(hold.c.id.in_(newest)), _HOLDS)

    def past_holds(self, as_of: str, *, since: str, by: str) -> pa.Table:
        """Holds by one maker that were released, or ended between two dates, in the shape of sync.world.HOLDS."""
        over = hold.c.released_at.is_not(None) | (hold.c.until < as_of)
        late = (hold.c.until >= since) & (hold.c.by == by)
        query = sa.select(*(hold.c[name] for name in _HOLDS)).where(over, late)
        return self._table(query, _HOLDS)

    def every_hold(self) -> list[dict[str, Any]]:
        """Every hold ever made, the newest first, with when it was made and released."""
        query = sa.select(hold).order_by(hold.c.at.desc(), hold.c.id.desc())
        with self._database.read() as conn:
            return [dict(row) for row in conn.execute(query).mappings()]

    def accept_guards(
        self,
        plan_digest: str,
        acceptances: Sequence[Acceptance],
        *,
        plan_id: str = "",
        suffices: Callable[[Sequence[Person]], bool] = bool,
    ) -> None:
        """Remember who lets which limits of this plan through; audited. `suffices`: whether these persons are enough.

        A first contact that enough persons let through is remembered for good.
        """
        at = self._database.now()
        with self._database.state() as conn:
            for one in acceptances:
                row = {
                    "plan_digest": plan_digest,
                    "guard": one.guard,
                    "subject": one.subject,
                    "reason": one.reason,
                    "by": one.by.name,
                    "by_verified": one.by.is_verified,
                    "at": at,
                    "let_through": False,
                }
                if insert_missing(conn, guard_acceptance, [row]):
                    body = {"guard": one.guard, "subject": one.subject, "reason": one.reason, "digest": plan_digest}
                    entry = audit.Entry(kind="guard_accepted", actor=one.by.label, plan_id=plan_id, body=body)
                    audit.append(conn, [entry], at=at)
            for guard, subject in dict.fromkeys((one.guard, one.subject) for one in acceptances):
                _let_through(conn, (plan_digest, guard, subject), suffices)

    def accepted_first_contacts(self) -> frozenset[str]:
        """'first_contact:<connection>:<field>' of everything let through so far: sync.world.World.accepted_guards."""
        through = (guard_acceptance.c.guard == FIRST_CONTACT) & guard_acceptance.c.let_through
        query = sa.select(guard_acceptance.c.subject).where(through)
        with self._database.read() as conn:
            return frozenset(f"{FIRST_CONTACT}:{subject}" for subject in conn.scalars(query))

    def _table(self, query: sa.Select[Any], names: Sequence[str]) -> pa.Table:
        with self._database.read() as conn:
            rows = sorted(conn.execute(query).all(), key=lambda row: tuple(row)[:3])
        return pa.table({name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)})


def _let_through(conn: sa.Connection, key: tuple[str, str, str], suffices: Callable[[Sequence[Person]], bool]) -> None:
    """Note on one limit of one plan (digest, guard, subject) that it is let through, once enough persons said so."""
    columns = (guard_acceptance.c.plan_digest, guard_acceptance.c.guard, guard_acceptance.c.subject)
    about = sa.and_(*(column == value for column, value in zip(columns, key, strict=True)))
    rows = conn.execute(sa.select(guard_acceptance.c.by, guard_acceptance.c.by_verified).where(about)).all()
    if suffices([Person(name=row.by, is_verified=row.by_verified) for row in rows]):
        conn.execute(sa.update(guard_acceptance).where(about).values(let_through=True))


def add_overrides(conn: sa.Connection, overrides: Sequence[Refusal], *, run_id: str, at: str) -> None:
    """Add overrides in the caller's transaction."""
    if not overrides:
        return
    first = next_number(conn, "override", count=len(overrides))
    rows = [
        {
            **{name: getattr(one, name) for name in _OVERRIDES},
            "id": new_id("V"),
            "position": first + place,
            "at": at,
            "run_id": run_id,
        }
        for place, one in enumerate(overrides)
    ]
    conn.execute(sa.insert(override), rows)


def spend(conn: sa.Connection, carried_out: Sequence[tuple[str, str]], *, plan_id: str, run_id: str, at: str) -> int:
    """Note that the decisions on these (fingerprint, item id) were carried out, in the caller's transaction; audited.

    They do not count again: the same difference coming back waits for a person. How many; rejections stay.
    """
    newest = _newest(conn, [fingerprint for fingerprint, _ in carried_out])
    used = [(newest[key], item_id) for key, item_id in dict(carried_out).items() if key in newest]
    used = [(one, item_id) for one, item_id in used if one.verdict in ONCE]
    if not used:
        return 0
    first = next_number(conn, "decision", count=len(used))
    made = [
        Decision(
            id=new_id("D"),
            fingerprint=one.fingerprint,
            verdict=Verdict.SPENT,
            edited={},
            reason=f"carried out by run {run_id}",
            by=SPENT_BY,
            by_verified=False,
            at=at,
            expires_at=None,
            supersedes=one.id,
            plan_id=plan_id,
            item_id=item_id,
        )
        for one, item_id in used
    ]
    conn.execute(sa.insert(decision), [{**_columns(one), "position": first + n} for n, one in enumerate(made)])
    audit.append(conn, [_spent_entry(one, run_id) for one in made], at=at)
    return len(made)


def _counts(one: Decision, moment: str) -> bool:
    return one.verdict is not Verdict.SPENT and (one.expires_at is None or one.expires_at > moment)


def _by_id(conn: sa.Connection, ids: Sequence[str]) -> dict[str | None, Decision]:
    found: dict[str | None, Decision] = {}
    for start in range(0, len(ids), 500):
        query = sa.select(decision).where(decision.c.id.in_(list(ids[start : start + 500])))
        found.update({row["id"]: _decision(row) for row in conn.execute(query).mappings()})
    return found


def _newest(conn: sa.Connection, fingerprints: Sequence[str] | None) -> dict[str, Decision]:
    if fingerprints is None:
        rows = conn.execute(sa.select(decision).order_by(decision.c.position)).mappings().all()
        return {row["fingerprint"]: _decision(row) for row in rows}
    found: dict[str, Decision] = {}
    for start in range(0, len(fingerprints), 500):
        wanted = decision.c.fingerprint.in_(list(fingerprints[start : start + 500]))
        rows = conn.execute(sa.select(decision).where(wanted).order_by(decision.c.position)).mappings().all()
        found.update({row["fingerprint"]: _decision(row) for row in rows})
    return found


def _decision(row: Mapping[Any, Any]) -> Decision:
    values = {name: row[name] for name in Decision.__dataclass_fields__}
    return Decision(**{**values, "verdict": Verdict(row["verdict"])})


def _columns(one: Decision) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Decision.__dataclass_fields__}


def _decision_entry(one: Decision, person: Person) -> audit.Entry:
    body = {"fingerprint": one.fingerprint, "verdict": one.verdict, "reason": one.reason, "edited": dict(one.edited)}
    return audit.Entry(
        kind="decision", actor=person.label, plan_id=one.plan_id or "", item_id=one.item_id or "", body=body
    )


def _spent_entry(one: Decision, run_id: str) -> audit.Entry:
    body = {"fingerprint": one.fingerprint, "decision": one.supersedes}
    return audit.Entry(
        kind="decision_spent",
        actor=SPENT_BY,
        run_id=run_id,
        plan_id=one.plan_id or "",
        item_id=one.item_id or "",
        body=body,
    )
