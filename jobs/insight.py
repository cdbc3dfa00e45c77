"""Insight: the newest plan's findings and the world it was made of, measured, linted and held against the roadmap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import pyarrow as pa

from jobs.export import ExportError, described_plan, findings_source
from jobs.wiring import Wired
from jobs.world import load_world
from mappings.assumptions import Assumption, assumptions
from store.evidence import done, expired_holds
from sync.engine import Frame
from sync.insight.kpi import Kpi, Numbers
from sync.insight.kpis import kpis
from sync.insight.lint import Lint, Looked, Suppression, suppressed
from sync.insight.lints import lints
from sync.insight.roadmap import Evidence, Item, roadmap
from sync.insight.standing import Found, deals, standing, wins
from sync.problem import Problem, Severity

_LEADS = 10_000
"""Newest decisions on leads that lints look at."""

_PLANS, _DAYS = 1000, 24
"""Plans that are looked through for earlier payer classes, and days of them that are read."""

_TABLES = ("links", "accounts", "hierarchy", "tiers", "ownership", "profiles")


@dataclass
class Insight:
    """One plan looked at; parts are computed when first asked for."""

    wired: Wired
    plan_id: str
    as_of: str
    window_days: int = 0  # of deals that count; 0 = the policy's

    @cached_property
    def found(self) -> Found:
        """The plan's findings beside the world as it was pulled last."""
        tables = {name: self._frame(name) for name in _TABLES}
        world = load_world(self.wired, self.as_of).world
        policies = self.wired.mappings.policies
        if self.window_days:
            narrowed = policies.kpis.model_copy(update={"window_days": self.window_days})
            policies = policies.model_copy(update={"kpis": narrowed})
        return Found(world=world, policies=policies, as_of=self.as_of, payer_history=self._payer_history(), **tables)

    @cached_property
    def standing(self) -> Frame:
        """STANDING."""
        return standing(self.found, self.wired.engine)

    @cached_property
    def kpis(self) -> tuple[Kpi, ...]:
        """Every KPI."""
        users = {
            (row["connection"], row["user_id"]): (row["email"] or "").lower()
            for row in self.wired.engine.rows(self.found.world.users.select("connection", "user_id", "email"))
        }
        sold = deals(self.found, self.standing, self.wired.engine)
        numbers = Numbers(
            standing=self.standing,
            deals=sold,
            wins=wins(self.found),
            users=users,
            policies=self.found.policies,
            as_of=self.as_of,
        )
        return kpis(numbers, self.wired.engine)

    @cached_property
    def lints(self) -> tuple[Lint, ...]:
        """Every lint, with what people muted set aside."""
        looked = Looked(
            found=self.found,
            standing=self.standing,
            kpis=self.kpis,
            problems=tuple(self._problems()),
            mappings=self.wired.mappings,
            expired_holds=expired_holds(self.wired.database, self.as_of),
            unknown_authority=tuple(self._assumed_deciders()),
            late=tuple(row for row in self._kept("latency") if row["is_breached"]),
            moves=self._moves(),
            leads=tuple(self._leads()),
            past_owners=self._past_owners(),
        )
        muted = [
            Suppression(lint=r["lint"], subject=r["subject"], reason=r["reason"], by=r["by"], until=r["until"])
            for r in self.wired.suppressions.all()
        ]
        return suppressed(lints(looked, self.wired.engine), muted, self.as_of)

    @cached_property
    def roadmap(self) -> tuple[Item, ...]:
        """The 90-day roadmap with its evidence."""
        policies, shown = self.found.policies, done(self.wired.database)
        maps = [crm_map.objects["account"].fields for crm_map in self.wired.mappings.crms.values()]
        given = Evidence(
            standing=self.standing,
            profiles=self.found.profiles,
            kpis=self.kpis,
            lints=self.lints,
            records=self._records(),
            feeds=self._feeds(),
            segments=sum(one.status == "active" for one in policies.segments.segments),
            profiles_defined=len(policies.segments.profiles),
            territories=sum(one.active for one in policies.territories.territories),
            conflict_rules=len(policies.conflicts.fields),
            applied_plans=shown.applied_plans,
            pushed_fields=sum(field.push for fields in maps for field in fields.values()),
            routed_leads=shown.routed_leads,
            mails=shown.mails,
            trigger_events=self._flagged(),
            audits=shown.audit_entries,
            authority_rules=len(policies.authority.defaults) + len(policies.authority.needs),
        )
        return roadmap(given, self.wired.engine)

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the rules take for granted."""
        return assumptions(self.wired.mappings)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of one kept table, such as `profiles`."""
        return list(self.wired.engine.rows(self._frame(name)))

    def _frame(self, name: str) -> Frame:
        table = self._table(name)
        if table is None:
            raise ExportError(f"plan {self.plan_id} was made before {name} were kept; run `platbook plan` again")
        return self.wired.engine.from_arrow(table)

    def _table(self, name: str) -> pa.Table | None:
        kept = self.wired.snapshots.current(findings_source(self.plan_id), name)
        return None if kept is None else self.wired.snapshots.read(kept)

    def _kept(self, name: str) -> list[dict[str, Any]]:
        """Rows of a small table; none where the plan has no such table."""
        table = self._table(name)
        rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
        return rows

    def _problems(self) -> Iterator[Problem]:
        for row in self._kept("problems"):
            refs = tuple(row["refs"].split("\n")) if row["refs"] else ()
            yield Problem(
                code=row["code"],
                severity=Severity(row["severity"]),
                subject=row["subject"],
                fact=row["fact"],
                remedy=row["remedy"],
                refs=refs,
            )

    def _assumed_deciders(self) -> Iterator[dict[str, Any]]:
        """First-tier organisations that no authority record speaks of."""
        recorded = {row["account_id"] for row in self._kept("recorded")}
        first = self.found.policies.tiers.tiers[0].id
        for row in self.rows("profiles"):
            decides = row["account_id"] == row["holder_account_id"]
            if decides and row["account_tier"] == first and row["account_id"] not in recorded:
                yield {"account_id": row["account_id"], "name": row["name"], "basis": "DEFAULT"}

    def _payer_history(self) -> Frame | None:
        """Payer classes as earlier plans knew them: the newest plan of each of the last days that had one."""
        days: dict[str, str] = {}
        for plan in self.wired.plans.list(limit=_PLANS):
            days.setdefault(plan["as_of"], plan["id"])
        parts = []
        for day, plan_id in sorted(days.items())[-_DAYS:]:
            kept = self.wired.snapshots.current(findings_source(plan_id), "profiles")
            if kept is not None and day <= self.as_of:
                table = self.wired.snapshots.read(kept).select(["account_id", "payer_class"])
                parts.append(table.append_column("as_of", pa.array([day] * table.num_rows, pa.string())))
        return self.wired.engine.from_arrow(pa.concat_tables(parts)) if parts else None

    def _moves(self) -> tuple[dict[str, Any], ...]:
        """Changes of ownership of the plan's window, for the organisation and all below it."""
        events = {row["event_id"]: row for row in self._kept("events") if row["kind"] == "OWNERSHIP_CHANGE"}
        return tuple(
            {**events[row["event_id"]], "account_id": row["account_id"]}
            for row in self._kept("affected")
            if row["event_id"] in events and row["relation"] in ("self", "descendant")
        )

    def _leads(self) -> Iterator[dict[str, Any]]:
        """The newest decision on every lead."""
        seen: set[str] = set()
        for one in self.wired.routings.list(limit=_LEADS):
            key = one.decided.lead_id or one.id
            if key not in seen:
                seen.add(key)
                said = one.decided
                yield {"id": one.id, "lead_id": said.lead_id, "as_of": said.as_of, "assignee": said.assignee,
                       "account_id": said.account_id}  # fmt: skip

    def _past_owners(self) -> dict[str, tuple[str, ...]]:
        """E-mails of those who owned a record of an account, by the field history."""
        world, found = self.found.world, defaultdict(set)
        users = world.users.select("connection", nw.col("user_id").alias("old_value"), "email")
        linked = self.found.links.select(
            nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
        )
        changes = world.field_changes.filter(nw.col("field") == "owner").join(
            users, on=["connection", "old_value"], how="inner"
        )
        rows = changes.join(linked, on=["connection", "record_id"], how="inner").select("account_id", "email").unique()
        for row in self.wired.engine.rows(rows):
            found[row["account_id"]].add((row["email"] or "").lower())
        return {account: tuple(sorted(emails)) for account, emails in sorted(found.items())}

    def _records(self) -> dict[str, int]:
        found = {kind: self.wired.snapshots.current(kind, "account") for kind in self.wired.kinds}
        return {kind: one.row_count for kind, one in found.items() if one is not None}

    def _feeds(self) -> list[str]:
        layouts = self.wired.mappings.feeds
        return sorted(n for n, one in layouts.items() if self.wired.snapshots.current(n, one.rows) is not None)

    def _flagged(self) -> int:
        return self.wired.engine.count(self.found.world.records.filter(nw.col("rescore_flag") == "true"))


def look(wired: Wired, plan: str = "latest", *, window_days: int = 0) -> Insight:
    """The plan of that id, or the newest. Raises StoreError where there is none."""
    stored = wired.plans.load(described_plan(wired, plan))
    return Insight(wired=wired, plan_id=stored.id, as_of=stored.header.as_of, window_days=window_days)
