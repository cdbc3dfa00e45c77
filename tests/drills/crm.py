"""A CRM in one file: it survives the death of the process that talks to it, and keeps the history of every field.

A real implementation of the Target protocol over a database file of its own. It knows nothing of Platbook.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.protocol import CallMeter, Current, Lane, Org, Verdict, Write, WriteResult

ROWS_PER_CALL = 4
_SCHEMA = """
CREATE TABLE record (system TEXT, id TEXT, fields TEXT, version INTEGER, PRIMARY KEY (system, id));
CREATE TABLE history (seq INTEGER PRIMARY KEY, system TEXT, id TEXT, field TEXT, old TEXT, new TEXT, by TEXT);
CREATE TABLE request (seq INTEGER PRIMARY KEY, system TEXT, stamp TEXT, rows INTEGER);
CREATE TABLE touch (seq INTEGER PRIMARY KEY, system TEXT, id TEXT, kind TEXT);
"""
HUMAN = "human"
US = "us"
READ, SENT = "read", "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value a field has had."""

    property: str
    value: str
    timestamp: str
    user: str

    def marks(self) -> tuple[str, ...]:
        return (self.user,)


class CrmFile:
    """The file, seen from outside: what a test may look at and a person may edit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=20)
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=WAL")

    def close(self) -> None:
        self._db.close()

    def create(self, records: Mapping[tuple[str, str], Mapping[str, str | None]]) -> None:
        self._db.executescript(_SCHEMA)
        rows = [(system, record_id, json.dumps(dict(fields)), 1) for (system, record_id), fields in records.items()]
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", rows)

    def get(self, system: str, record_id: str) -> tuple[dict[str, Any], int] | None:
        query = "SELECT fields, version FROM record WHERE system = ? AND id = ?"
        row = self._db.execute(query, (system, record_id)).fetchone()
        return (json.loads(row[0]), row[1]) if row else None

    def delete(self, system: str, record_id: str) -> None:
        self._db.execute("DELETE FROM record WHERE system = ? AND id = ?", (system, record_id))

    def set(self, system: str, record_id: str, fields: Mapping[str, Any], *, by: str) -> None:
        """Change a record; only real changes leave history. Begin and commit are the caller's."""
        found = self.get(system, record_id)
        assert found is not None
        values, version = found
        for name, new in fields.items():
            if values.get(name) != new:
                row = (system, record_id, name, values.get(name), new, by)
                self._db.execute("INSERT INTO history (system, id, field, old, new, by) VALUES (?, ?, ?, ?, ?, ?)", row)
                values[name] = new
        update = "UPDATE record SET fields = ?, version = ? WHERE system = ? AND id = ?"
        self._db.execute(update, (json.dumps(values), version + 1, system, record_id))

    def edit(self, system: str, record_id: str, fields: Mapping[str, Any]) -> None:
        """A person's edit."""
        self._db.execute("BEGIN IMMEDIATE")
        self.set(system, record_id, fields, by=HUMAN)
        self._db.execute("COMMIT")

    def history(self) -> list[tuple[int, str, str, str, str | None, str | None, str]]:
        """(seq, system, id, field, old, new, by) in order."""
        return self._db.execute("SELECT seq, system, id, field, old, new, by FROM history ORDER BY seq").fetchall()

    def requests(self) -> list[tuple[str, str, int]]:
        """(system, stamp, rows) of every write request, in order."""
        return self._db.execute("SELECT system, stamp, rows FROM request ORDER BY seq").fetchall()

    def touches(self) -> list[tuple[str, str, str]]:
        """(system, id, READ or SENT) in order. Rows that the CRM has said it did not take are not SENT."""
        return self._db.execute("SELECT system, id, kind FROM touch ORDER BY seq").fetchall()

    def touch(self, system: str, record_ids: Iterable[str], kind: str) -> None:
        """Note that these records were read, or that a write of them came."""
        rows = [(system, record_id, kind) for record_id in record_ids]
        self._db.executemany("INSERT INTO touch (system, id, kind) VALUES (?, ?, ?)", rows)

    def apply(self, system: str, writes: Sequence[Write], *, stamp: str, is_conditional: bool) -> list[Verdict]:
        """One write request, atomically per row as CRMs do, answered per row."""
        self._db.execute("BEGIN IMMEDIATE")
        row = (system, stamp, len(writes))
        self._db.execute("INSERT INTO request (system, stamp, rows) VALUES (?, ?, ?)", row)
        self.touch(system, (write.record_id for write in writes), SENT)
        verdicts = []
        for write in writes:
            found = self.get(system, write.record_id)
            if found is None:
                verdicts.append(Verdict.REJECTED)
            elif is_conditional and str(found[1]) != write.version:
                verdicts.append(Verdict.STALE)
            else:
                self.set(system, write.record_id, write.fields, by=stamp)
                verdicts.append(Verdict.OK)
        self._db.execute("COMMIT")
        return verdicts


Hook = Callable[[str, Sequence[str]], str]
"""(point, record ids) -> "" or a fault: reset (not written, answer lost), commit_then_reset, busy."""


def no_hook(point: str, ids: Sequence[str]) -> str:
    """Nothing happens."""
    return ""


class FileTarget:
    """The Target protocol over one system of the file."""

    def __init__(self, crm: CrmFile, system: str, hook: Hook = no_hook) -> None:
        self.meter = CallMeter()
        self.teams: dict[str, int] = {}
        self._crm, self._system, self._hook = crm, system, hook

    def org(self) -> Org:
        return Org(org_id=f"org-{self._system}", name=self._system, api_version="1", user_id=US)

    def read(self, record_ids: Sequence[str], fields: Sequence[str], *, versions: bool) -> Mapping[str, Current | None]:
        self._hook("before_read", record_ids)
        self.meter.reads += 1
        found = {record_id: self._crm.get(self._system, record_id) for record_id in record_ids}
        self._crm.touch(self._system, record_ids, READ)
        self._hook("after_read", record_ids)
        return {
            record_id: Current(record_id=record_id, fields={f: one[0].get(f) for f in fields}, version=str(one[1]))
            if one
            else None
            for record_id, one in found.items()
        }

    def write(
        self, writes: Sequence[Write], *, lane: Lane, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        rows: dict[str, Write] = {}
        for write in writes:
            known = rows.get(write.record_id)
            fields = {**(known.fields if known else {}), **write.fields}
            rows[write.record_id] = replace(write, fields=fields)
        verdicts: dict[str, Verdict] = {}
        for start in range(0, len(rows), ROWS_PER_CALL):
            part = list(rows.values())[start : start + ROWS_PER_CALL]
            answers = self._request(part, lane=lane, stamp=stamp, before_send=before_send)
            verdicts |= zip((write.record_id for write in part), answers, strict=True)
        return tuple(WriteResult(key=w.key, record_id=w.record_id, verdict=verdicts[w.record_id]) for w in writes)

    def team_sizes(self, record_ids: Sequence[str]) -> Mapping[str, int]:
        return {record_id: self.teams[record_id] for record_id in record_ids if record_id in self.teams}

    def _request(
        self, part: Sequence[Write], *, lane: Lane, stamp: str, before_send: Callable[[], None]
    ) -> list[Verdict]:
        ids = [write.record_id for write in part]
        self._hook("before_confirm", ids)
        before_send()
        fault = self._hook("before_write", ids)
        self.meter.writes += 1
        if fault == "reset":
            self._crm.touch(self._system, ids, SENT)  # for all that the sender knows
            return [Verdict.UNKNOWN] * len(part)
        if fault == "busy":
            return [Verdict.RETRIABLE] * len(part)
        verdicts = self._crm.apply(self._system, part, stamp=stamp, is_conditional=lane is Lane.CONDITIONAL)
        self._hook("after_write", ids)
        return [Verdict.UNKNOWN] * len(part) if fault == "commit_then_reset" else verdicts


class HistoryTarget(FileTarget):
    """A system that shows the history of its fields."""

    def history(self, record_ids: Sequence[str], properties: Sequence[str]) -> Mapping[str, Sequence[Entry]]:
        self.meter.reads += 1
        found: dict[str, list[Entry]] = {record_id: [] for record_id in record_ids}
        first: set[tuple[str, str]] = set()
        for seq, system, record_id, field, old, new, by in self._crm.history():
            if system != self._system or record_id not in found or field not in properties:
                continue
            if (record_id, field) not in first:
                first.add((record_id, field))
                found[record_id].insert(0, Entry(property=field, value=old or "", timestamp="0", user=HUMAN))
            found[record_id].insert(
                0, Entry(property=field, value=new or "", timestamp=str(seq), user=by if by == HUMAN else US)
            )
        return found


class TracedTarget(HistoryTarget):
    """A system that gives values and history in one reading."""

    def read_with_history(
        self, record_ids: Sequence[str], fields: Sequence[str], properties: Sequence[str]
    ) -> tuple[Mapping[str, Current | None], Mapping[str, Sequence[Entry]]]:
        return self.read(record_ids, fields, versions=False), self.history(record_ids, properties)
