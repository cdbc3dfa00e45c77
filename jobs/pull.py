"""Pull: every object of every connection into a snapshot, whole or as a delta over the last one.

A delta reads again what changed within the overlap, since records may become visible after their stamp; rows with the
same key replace one another, so reading twice changes nothing. Cursor and snapshot move in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import Rejected
from connectors.protocol import NativeField, Org
from jobs.floors import pull_floor
from jobs.history import history_rows
from jobs.tables import OBJECT_KEYS, from_rows, merge, object_schema
from jobs.wiring import Connection, Wired
from mappings.canonical import MANAGED
from mappings.schema import ObjectMap
from mappings.translate import Translate, deleted_ids, native_fields, translator
from store.database import instant
from store.snapshots import Snapshot

OVERLAP = timedelta(minutes=10)
"""How far behind the cursor a delta starts: longer than a transaction or a search index is expected to lag."""

WHOLE = frozenset({"user", "team_member"})
"""Always read whole: small, and a removal leaves no trace in a delta."""

STAMPS = {"account": "version", "opportunity": None, "field_change": "changed_at"}
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPull:
    """What one object brought."""

    object: str
    mode: str  # full, delta, absent
    seen: int  # rows that came over the wire
    total: int  # rows in the new snapshot
    deleted: int  # of them, deleted or merged away in the CRM
    snapshot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPull:
    """What one connection brought, and what it cost."""

    connection: str
    org: Org
    objects: tuple[ObjectPull, ...]
    missing: tuple[str, ...]  # managed fields that the CRM does not show to us
    calls: int  # HTTP requests, login apart
    floor: int  # the least this pull could have cost


def pull(
    wired: Wired, *, full: bool = False, progress: Progress = lambda step, done, total: None
) -> tuple[ConnectionPull, ...]:
    """Read every connection. One lease per connection keeps two pulls apart."""
    return tuple(_pull_connection(wired, connection, full, progress) for connection in wired.connections)


def _pull_connection(wired: Wired, connection: Connection, full: bool, progress: Progress) -> ConnectionPull:
    before = connection.meter.reads
    org = connection.source.org()
    wired.pins.pin(connection.id, kind=connection.kind, org_id=org.org_id)
    lease = wired.leases.acquire(f"pull:{connection.id}", op="pull", who=wired.person.name)
    with wired.leases.keeping(lease):
        puller = _Puller(wired, connection, org, full=full, progress=progress)
        objects = tuple(puller.objects())
    return ConnectionPull(
        connection=connection.id,
        org=org,
        objects=objects,
        missing=puller.missing,
        calls=connection.meter.reads - before,
        floor=pull_floor(connection.kind, objects),
    )


class _Puller:
    """One connection, object by object."""

    def __init__(self, wired: Wired, connection: Connection, org: Org, *, full: bool, progress: Progress) -> None:
        self._wired = wired
        self._connection = connection
        self._org = org
        self._full = full
        self._progress = progress
        self._cursor = instant(wired.now())
        self._gone: list[str] = []
        self.missing: tuple[str, ...] = ()

    def objects(self) -> Iterator[ObjectPull]:
        """Accounts first: their stamps set the cursor, and HubSpot's field history is read for those that moved."""
        moved: list[str] = []
        for name, object_map in sorted(self._connection.map.objects.items(), key=lambda entry: entry[0] != "account"):
            described = self._describe(object_map)
            if described is None:
                yield ObjectPull(object=name, mode="absent", seen=0, total=0, deleted=0, snapshot_id="")
                continue
            result, delta = self._object(name, object_map, described)
            if name == "account" and result.mode == "delta":
                moved = delta["record_id"].to_pylist()
            yield result
        if "field_change" not in self._connection.map.objects:
            yield self._history(moved)

    def _describe(self, object_map: ObjectMap) -> tuple[NativeField, ...] | None:
        """The object's fields, or None where this org has no such object (account teams are a feature to switch on)."""
        try:
            return self._connection.source.describe(object_map.native)
        except Rejected:
            return None

    def _object(
        self, name: str, object_map: ObjectMap, described: Sequence[NativeField]
    ) -> tuple[ObjectPull, pa.Table]:
        last = self._wired.snapshots.current(self._connection.id, name)
        visible = frozenset(field.name for field in described)
        wanted, missing = native_fields(object_map, visible)
        fields_changed = last is not None and last.meta.get("fields") != sorted(wanted)
        since = None if self._full or name in WHOLE or last is None or fields_changed else _since(last)
        schema = object_schema(name, object_map)
        translate = self._translator(name, object_map, visible)
        delta = from_rows(self._pages(name, object_map, wanted, since, translate), schema)
        current = self._wired.snapshots.read(last) if last is not None and since is not None else None
        table = merge(current, delta, OBJECT_KEYS[name], stamp=STAMPS.get(name), gone=self._gone)
        if name == "account":
            self._cursor = _earliest(self._cursor, table)
        meta = self._meta(name, wanted, missing, described, object_map)
        saved = self._wired.snapshots.save(
            self._connection.id, name, table, cursor=self._cursor, complete=since is None, meta=meta
        )
        return _result(name, since, delta.num_rows, table, saved), delta

    def _translator(self, name: str, object_map: ObjectMap, visible: frozenset[str]) -> Translate:
        crm_map = self._connection.map
        return translator(
            name,
            object_map,
            self._connection.id,
            visible,
            account_map=crm_map.objects["account"],
            actor_kinds=crm_map.actor_kinds,
            our_user=self._org.user_id,
        )

    def _pages(
        self,
        name: str,
        object_map: ObjectMap,
        wanted: Sequence[str],
        since: str | None,
        translate: Translate,
    ) -> Iterator[list[dict[str, Any]]]:
        done, self._gone = 0, []
        for page in self._connection.source.pull(object_map.native, wanted, since=since):
            done += len(page.records)
            if name != "account":  # deleted accounts stay in the snapshot, marked
                self._gone += deleted_ids(page.records, object_map)
            self._progress(f"pull {self._connection.id} {name}", done, None)
            yield translate(page.records)

    def _meta(
        self,
        name: str,
        wanted: Sequence[str],
        missing: Sequence[str],
        described: Sequence[NativeField],
        object_map: ObjectMap,
    ) -> dict[str, Any]:
        meta: dict[str, Any] = {"fields": sorted(wanted), "org_id": self._org.org_id, "our_user": self._org.user_id}
        if name != "account":
            return meta
        meter = self._connection.meter
        meta["day"] = {"limit": meter.day_limit, "left": meter.day_left}
        by_name = {field.name: field for field in described}
        managed = {field: spec.native for field, spec in object_map.fields.items() if field in MANAGED}
        self.missing = tuple(field for field in managed if field in missing)
        meta["missing"] = list(self.missing)
        pushed = [name for name, native in managed.items() if native in by_name and object_map.fields[name].push]
        meta["fixed"] = [
            name
            for name in pushed
            if not by_name[managed[name]].updateable and object_map.fields[name].lane != "association"
        ]
        meta["picklists"] = {
            field: list(by_name[native].picklist)
            for field, native in managed.items()
            if native in by_name and by_name[native].picklist
        }
        return meta

    def _history(self, moved: Sequence[str]) -> ObjectPull:
        """Property history of the accounts in this delta, where the CRM keeps it per record and not as an object."""
        protected = self._wired.mappings.policies.survivorship.protected
        rows = history_rows(self._connection, moved, our_user=self._org.user_id, protected=protected)
        last = self._wired.snapshots.current(self._connection.id, "field_change")
        delta = from_rows([rows], object_schema("field_change", self._connection.map.objects["account"]))
        current = self._wired.snapshots.read(last) if last is not None else None
        table = merge(current, delta, OBJECT_KEYS["field_change"], stamp="changed_at")
        saved = self._wired.snapshots.save(self._connection.id, "field_change", table, cursor=self._cursor)
        return _result("field_change", "delta", delta.num_rows, table, saved)


def _since(last: Snapshot) -> str:
    """The cursor of the last snapshot less the overlap."""
    return instant(datetime.fromisoformat(last.cursor or "1970-01-01T00:00:00Z") - OVERLAP)


def _earliest(ours: str, accounts: pa.Table) -> str:
    """The newest stamp the CRM itself has given, where that is before our clock: the two clocks need not agree."""
    newest = pc.max(accounts["modified_at"]).as_py()
    return min(ours, newest) if newest else ours


def _result(name: str, since: str | None, seen: int, table: pa.Table, saved: Snapshot) -> ObjectPull:
    deleted = 0
    if "is_deleted" in table.column_names:
        deleted = int(pc.sum(pc.fill_null(table["is_deleted"], False).cast(pa.int64())).as_py() or 0)
    return ObjectPull(
        object=name,
        mode="full" if since is None else "delta",
        seen=seen,
        total=table.num_rows,
        deleted=deleted,
        snapshot_id=saved.id,
    )
