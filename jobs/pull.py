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
from connectors.protocol import IndexedSource, NativeField, Org
from jobs.floors import pull_floor
from jobs.history import history_rows
from jobs.tables import OBJECT_KEYS, from_rows, merge, object_schema
from jobs.wiring import Connection, Wired
from mappings.canonical import MANAGED
from mappings.schema import ObjectMap
from mappings.transforms import instant as as_instant
from mappings.translate import Translate, deleted_ids, native_fields, translator
from store import journal
from store.database import instant
from store.snapshots import Snapshot

OVERLAP = timedelta(minutes=10)
"""How far behind the cursor a delta starts: longer than a transaction or a search index is expected to lag."""

WHOLE = frozenset({"user", "team_member"})
"""Always read whole: small, and a removal leaves no trace in a delta."""

WHOLE_EVERY = timedelta(hours=24)
"""How long records are read by deltas alone: what an index or a transaction showed later than the overlap, and what was
removed without a trace, comes with the next reading of everything."""

DELTAS_END = frozenset({"account", "opportunity"})
"""Read whole now and then; history only grows, and grows large."""

STAMPS = {"account": "modified_at", "opportunity": None, "field_change": "changed_at"}
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
        self._now = wired.now()
        self._cursor = instant(self._now)
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
            result, brought, before = self._object(name, object_map, described)
            if name == "account" and before is not None:
                moved = _moved(before, brought, is_delta=result.mode == "delta")
            yield result
        if self._keeps_history:
            yield self._history(moved)

    @property
    def _keeps_history(self) -> bool:
        """Tell whether the CRM keeps history with each record; else it is an object, pulled like others."""
        return "field_change" not in self._connection.map.objects

    def _describe(self, object_map: ObjectMap) -> tuple[NativeField, ...] | None:
        """The object's fields, or None where this org has no such object (account teams are a feature to switch on)."""
        try:
            return self._connection.source.describe(object_map.native)
        except Rejected:
            return None

    def _object(
        self, name: str, object_map: ObjectMap, described: Sequence[NativeField]
    ) -> tuple[ObjectPull, pa.Table, pa.Table | None]:
        """What it brought, the rows that came, and the rows that were there before."""
        last = self._wired.snapshots.current(self._connection.id, name)
        visible = frozenset(field.name for field in described)
        wanted, missing = native_fields(object_map, visible)
        fields_changed = last is not None and last.meta.get("fields") != sorted(wanted)
        if self._full or name in WHOLE or fields_changed or self._is_due(name, last):
            since = None
        else:
            since = None if last is None else _since(last)
        schema = object_schema(name, object_map)
        translate = self._translator(name, object_map, visible)
        delta = from_rows(self._pages(name, object_map, wanted, since, translate), schema)
        is_compared = since is not None or (name == "account" and self._keeps_history)
        before = self._wired.snapshots.read(last) if last is not None and is_compared else None
        current = before if since is not None else None
        table = merge(current, delta, OBJECT_KEYS[name], stamp=STAMPS.get(name), gone=self._gone)
        if name == "account":
            table = self._past_the_index(table, object_map, wanted, translate, last if since is not None else None)
            self._cursor = _earliest(self._cursor, table)
        whole_at = instant(self._now) if since is None or last is None else last.meta.get("whole_at", "")
        meta = {**self._meta(name, wanted, missing, described, object_map), "whole_at": whole_at}
        saved = self._wired.snapshots.save(
            self._connection.id, name, table, cursor=self._cursor, complete=since is None, meta=meta
        )
        return _result(name, since, delta.num_rows, table, saved), delta, before

    def _past_the_index(
        self, table: pa.Table, object_map: ObjectMap, wanted: Sequence[str], translate: Translate, last: Snapshot | None
    ) -> pa.Table:
        """The accounts of a delta; those whose index does not show yet what we wrote are read again, by their ids."""
        source = self._connection.source
        if last is None or not isinstance(source, IndexedSource):
            return table
        with self._wired.database.read() as conn:
            ended = journal.versions_ended(conn, self._connection.id, since=last.meta.get("whole_at", ""))
        shown = dict(zip(table["record_id"].to_pylist(), table["modified_at"].to_pylist(), strict=True))
        behind = [
            one for one, version in ended.items() if one in shown and (shown[one] or "") <= (as_instant(version) or "")
        ]
        if not behind:
            return table
        rows = translate(source.records(object_map.native, sorted(behind), wanted))
        return merge(table, from_rows([rows], table.schema), OBJECT_KEYS["account"], stamp=STAMPS["account"])

    def _is_due(self, name: str, last: Snapshot | None) -> bool:
        """Tell whether the last reading of everything is too long ago, or not known."""
        whole_at = last.meta.get("whole_at", "") if last is not None else ""
        return name in DELTAS_END and whole_at <= instant(self._now - WHOLE_EVERY)

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


def _moved(before: pa.Table, brought: pa.Table, *, is_delta: bool) -> list[str]:
    """Give the accounts that are to be looked at: all of a delta, of everything those with another version."""
    if is_delta:
        return list(brought["record_id"].to_pylist())
    known = dict(zip(before["record_id"].to_pylist(), before["version"].to_pylist(), strict=True))
    pairs = zip(brought["record_id"].to_pylist(), brought["version"].to_pylist(), strict=True)
    return [record_id for record_id, version in pairs if known.get(record_id) != version]


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
