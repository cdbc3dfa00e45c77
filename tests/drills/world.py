"""A plan over a CRM file: some owners of Salesforce records and some tiers of HubSpot records change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.protocol import Lane
from jobs.applying.checks import digest_check, guard_check
from jobs.applying.model import ApplyDeps, Connected
from jobs.engines import open_engine
from jobs.tables import arrow_schema
from mappings.load import load
from store.database import Database
from store.decisions import Decisions, Person, Verdict
from store.files import ParquetFiles
from store.leases import Leases
from store.plans import PlanHeader, Plans
from sync.planning.plan import plan_digest
from sync.world import CHANGES, ITEMS, OWNERSHIP_EVENTS
from tests.drills.crm import CrmFile, FileTarget, HistoryTarget, Hook, TracedTarget, no_hook

PERSON = Person(name="maria")
FIELD = {"salesforce": "owner", "hubspot": "routing_queue"}
LANE = {"salesforce": "conditional", "hubspot": "batch"}
RECORDS = {"salesforce": 16, "hubspot": 12}
RECIPIENTS = ("ops@example.com", "lead@example.com")
MAPPINGS = load(None)
"""What ships: the same in every trial."""
ENGINE = open_engine("polars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a drill keeps its state; may be sent to another process."""

    database_url: str
    folder: Path

    def database(self) -> Database:
        return Database(self.database_url)

    def files(self) -> ParquetFiles:
        return ParquetFiles(self.folder / "snapshots")

    def crm(self) -> CrmFile:
        return CrmFile(self.folder / "crm.db")


class SameWords:
    """A CRM whose words are the canonical ones."""

    def native_name(self, field: str) -> str:
        return field

    def to_native(self, field: str, value: str | None) -> Any:
        return value

    def to_canonical(self, field: str, native: Any) -> str | None:
        return native or None

    def actor_kind(self, marks: Sequence[str], *, our_user: str) -> str:
        return "us" if our_user in marks else "human"


def values(system: str, number: int) -> tuple[str, str]:
    """(before, wanted) of a record."""
    return f"{system}-old-{number % 5}", f"{system}-new-{number % 4}"


def record_id(system: str, number: int) -> str:
    return f"{system}-{number:03d}"


def make(place: Place, *, records: Mapping[str, int] = RECORDS) -> str:
    """Fill the CRM, save a plan over all of it, approve it; the plan's id."""
    crm = place.crm()
    crm.create(
        {
            (s, record_id(s, n)): {FIELD[s]: values(s, n)[0], "phone": "1"}
            for s, count in records.items()
            for n in range(count)
        }
    )
    crm.close()
    moves = [
        Wanted(connection=s, record_id=record_id(s, n), before=values(s, n)[0], after=values(s, n)[1])
        for s, count in sorted(records.items())
        for n in range(count)
    ]
    return save_plan(place, moves, {system: f"org-{system}" for system in records})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One value that is to change."""

    connection: str
    record_id: str
    before: str | None
    after: str
    field: str = ""  # "" = the connection's usual one
    lane: str = ""  # "" = the connection's usual one
    group: str = "ownership"
    depth: int = 0
    caused_by: int | None = None  # place in the list of the change it follows from


def save_plan(place: Place, wanted: Sequence[Wanted], org_ids: Mapping[str, str], *, is_approved: bool = True) -> str:
    """Save a plan that makes these changes, approved unless told otherwise; its id."""
    items, changes, events = _rows(wanted)
    tables = {
        "items": pa.Table.from_pylist(items, arrow_schema(ITEMS)),
        "changes": pa.Table.from_pylist(changes, arrow_schema(CHANGES)),
        "events": pa.Table.from_pylist(events, arrow_schema(OWNERSHIP_EVENTS)),
    }
    header = PlanHeader(
        digest=plan_digest(ENGINE.table(items, ITEMS), ENGINE.table(changes, CHANGES), ENGINE),
        ruleset_digest="rules",
        as_of="2026-01-01",
        author="maria",
        tool_version="0",
        org_ids=org_ids,
    )
    database = place.database()
    plan = Plans(database, place.files()).save(header, **tables)
    chosen = [(item["fingerprint"], item["item_id"]) for item in items if is_approved]
    Decisions(database).decide(chosen, Verdict.APPROVE, person=PERSON, reason="drill", plan_id=plan.id)
    database.close()
    return plan.id


def deps(
    place: Place,
    database: Database,
    crm: CrmFile,
    *,
    hook: Hook = no_hook,
    boot_id: str = "",
    rows: int = 6,
    **more: Any,
) -> ApplyDeps:
    """What an apply run needs, over the CRM file. Another `boot_id` finds the leases of a dead process free."""
    kinds: Mapping[str, Callable[..., FileTarget]] = {"salesforce": HistoryTarget, "hubspot": TracedTarget}
    targets = {system: kinds[system](crm, system, hook) for system in FIELD}
    connections = {
        system: Connected(
            id=system, kind=system, target=target, org=target.org, translation=SameWords(), **_sized(rows)
        )
        for system, target in targets.items()
    }
    return wire(place, database, connections, boot_id=boot_id, **more)


def wire(
    place: Place, database: Database, connections: Mapping[str, Connected], *, boot_id: str = "", **more: Any
) -> ApplyDeps:
    """What an apply run needs, over any connections."""
    leases = more.pop("leases", None) or Leases(database, boot_id=boot_id)
    given: dict[str, Any] = {
        "ruleset_digest": "rules",
        "guards": guard_check(MAPPINGS.policies, ENGINE),
        "plan_digest": digest_check(ENGINE),
        "recipients": RECIPIENTS,
        "sleep": lambda seconds: None,
        **more,
    }
    return ApplyDeps(database=database, files=place.files(), leases=leases, connections=connections, **given)


def _sized(rows: int) -> dict[str, Any]:
    return {"chunk_rows": {Lane.CONDITIONAL: rows, Lane.BATCH: rows}}


def _item_id(system: str, number: int) -> str:
    return f"{system[:2]}{number:014d}"


def _rows(wanted: Sequence[Wanted]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    items, changes, events = [], [], []
    for number, one in enumerate(wanted):
        system, field = one.connection, one.field or FIELD[one.connection]
        about = {
            "item_id": _item_id(system, number),
            "connection": system,
            "record_id": one.record_id,
            "account_id": f"a{number}",
            "account_name": f"Hospital {number}",
        }
        group = {"group": one.group, "state": "update", "action": "approve"}
        items.append(
            {
                **about,
                **group,
                "fingerprint": hashlib.sha256(f"{one.record_id}:{field}:{one.before}:{one.after}".encode()).hexdigest(),
                "fields": field,
                "lane": one.lane or LANE[system],
                "depth": one.depth,
                "caused_by": None if one.caused_by is None else _item_id(system, one.caused_by),
                "sequence": number + 1,
            }
        )
        sides = {"base": one.before, "crm": one.before, "desired": one.after}
        kinds = {"base_kind": "value", "crm_kind": "value", "desired_kind": "value"}
        changes.append({**about, **group, **sides, **kinds, "field": field, "rule_id": "territories:named"})
        if field == "owner":
            events.append({**about, "kind": "owner_change", "from_user": one.before, "to_user": one.after})
    return items, changes, events
