"""Writes HubSpot companies in batches of 100, one result a row; parents by association; property history after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import Fatal, Rejected, Retriable
from connectors.hubspot.associations import ParentChange, chunks, read_parents
from connectors.hubspot.records import PARENT, VERSION, flat, property_names
from connectors.hubspot.responses import SYSTEM, Lost, RowError, row_errors
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.transport import Call
from connectors.protocol import Current, Lane, Verdict, Write, WriteResult

BATCH = 100
HISTORY_BATCH = 50  # HubSpot refuses more inputs when property history is asked for
SPLIT_CALLS = 24  # extra calls spent on finding the rows that refuse a batch; two bad rows in a hundred need about that

_UPDATE_ROUTE = "POST /objects/companies/batch/update"
_READ_ROUTE = "POST /objects/companies/batch/read"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One value that a property has had."""

    record_id: str
    property: str
    value: str  # "" = empty
    timestamp: str  # ISO, UTC
    source_type: str  # CRM_UI, INTEGRATION, ...
    source_id: str
    user: str  # HubSpot user id; "" when no person is named

    def marks(self) -> tuple[str, ...]:
        """What tells who it was, the most telling first."""
        return (self.source_id, self.user, self.source_type)


class HubSpotTarget:
    """The Target protocol over the companies of one portal."""

    def __init__(self, session: HubSpotSession) -> None:
        self._session = session
        self.meter = session.meter

    def read(self, record_ids: Sequence[str], fields: Sequence[str], *, versions: bool) -> Mapping[str, Current | None]:
        """Current state by record id; None = gone, archived, or merged into another id.

        The version is hs_lastmodifieddate and comes always: HubSpot has no other. A parent among the fields is read
        from the associations, which are what a parent write changes.
        """
        ids = list(dict.fromkeys(record_ids))
        found: dict[str, Current | None] = dict.fromkeys(ids)
        for part in chunks(ids, BATCH):
            for record in self._batch_read(part, {"properties": property_names(fields, VERSION)}):
                values = flat(record)
                if values["id"] in found and not values["archived"]:
                    found[values["id"]] = _current(values)
        if PARENT in fields:
            self._set_parents(found)
        return found

    def write(
        self, writes: Sequence[Write], *, lane: Lane, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Send the writes; one result per row, in the order given. HubSpot has no conditional lane: ValueError."""
        if lane is Lane.CONDITIONAL:
            raise ValueError(
                "HubSpot has no conditional writes. Use lane batch, read before and look at history after."
            )
        keys = {write.key for write in writes}
        if len(keys) != len(writes):
            raise ValueError("two writes have the same key")
        if lane is Lane.ASSOCIATION:
            _check_fields(writes, only=PARENT)
            return tuple(ParentChange(self._session, stamp, before_send).apply(writes))
        _check_fields(writes, never=PARENT)
        return _BatchUpdate(self._session, stamp, before_send).apply(writes)

    def team_sizes(self, record_ids: Sequence[str]) -> Mapping[str, int]:
        """Nothing: HubSpot has no account teams."""
        return {}

    def history(self, record_ids: Sequence[str], properties: Sequence[str]) -> Mapping[str, tuple[HistoryEntry, ...]]:
        """Past and present values of the properties by record id, newest first within a property. Read-only.

        A record that is gone is absent. HubSpot keeps the last 20 values or so of a property.
        """
        return self.read_with_history(record_ids, (), properties)[1]

    def read_with_history(
        self, record_ids: Sequence[str], fields: Sequence[str], properties: Sequence[str]
    ) -> tuple[Mapping[str, Current | None], Mapping[str, tuple[HistoryEntry, ...]]]:
        """What `read` and `history` give, in one reading of 50 records a call. Read-only."""
        ids, names = list(dict.fromkeys(record_ids)), list(dict.fromkeys(properties))
        found: dict[str, Current | None] = dict.fromkeys(ids)
        entries: dict[str, tuple[HistoryEntry, ...]] = {}
        asked = {"properties": property_names(fields, VERSION), "propertiesWithHistory": names}
        for part in chunks(ids, HISTORY_BATCH):
            for record in self._batch_read(part, asked):
                values, versions = flat(record), record.get("propertiesWithHistory") or {}
                if values["id"] in found and not values["archived"]:
                    found[values["id"]] = _current(values)
                entries[values["id"]] = tuple(
                    _history_entry(values["id"], name, entry) for name in names for entry in versions.get(name) or ()
                )
        if PARENT in fields:
            self._set_parents(found)
        return found, entries

    def _batch_read(self, ids: Sequence[str], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The records that exist. Raises Retriable when HubSpot fails to read some: absent would mean gone."""
        body = {"inputs": [{"id": one} for one in ids], "properties": [], "propertiesWithHistory": [], **asked}
        batch = self._session.objects("companies").batch_api
        answer = self._session.read(_READ_ROUTE, batch.read, body)
        for error in row_errors(answer):
            if error.category != "OBJECT_NOT_FOUND":
                fact = f"HubSpot could not read {len(error.ids) or 'some'} of {len(ids)} companies ({error.code})"
                raise Retriable(f"{fact}. It may work later.", system=SYSTEM, code=error.code)
        return list(answer.get("results") or ())

    def _set_parents(self, found: dict[str, Current | None]) -> None:
        parents = read_parents(self._session, [one for one, current in found.items() if current is not None])
        for record_id, parent in parents.items():
            current = found[record_id]
            if current is not None:
                values = {**current.fields, PARENT: parent}
                found[record_id] = Current(record_id=record_id, fields=values, version=current.version)


class _BatchUpdate:
    """One call of `write` on the batch lane."""

    def __init__(self, session: HubSpotSession, stamp: str, before_send: Callable[[], None]) -> None:
        self._session, self._before_send = session, before_send
        self._call = Call(route=_UPDATE_ROUTE, write=True, stamp=stamp)
        self._results: dict[str, WriteResult] = {}  # by record id
        self._answered = False  # from here on nothing is raised, so that no result is lost

    def apply(self, writes: Sequence[Write]) -> tuple[WriteResult, ...]:
        rows, clashing = _one_row_a_record(writes)
        for part in chunks(list(rows), BATCH):
            self._splits = SPLIT_CALLS
            self._send({record_id: rows[record_id] for record_id in part})
        return tuple(self._result_of(write, clashing) for write in writes)

    def _send(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        """Update the rows and note what became of each."""
        body = {"inputs": [{"id": record_id, "properties": dict(values)} for record_id, values in rows.items()]}
        batch = self._session.objects("companies").batch_api
        try:
            answer = self._session.write(self._call, self._before_send, batch.update, body)
        except Rejected as exc:
            self._answered = True
            self._refused_whole(rows, exc)
        except (Fatal, Retriable) as exc:
            lost = isinstance(exc, Lost)
            if not self._answered and not lost:
                raise
            self._answered = True
            self._note(rows, Verdict.UNKNOWN if lost else Verdict.RETRIABLE, exc.code, str(exc))
        else:
            self._answered = True
            self._read_answer(rows, answer)

    def _read_answer(self, rows: Mapping[str, Mapping[str, str]], answer: Mapping[str, Any]) -> None:
        """Failed rows are the inputs without a result; `errors` groups them, and may not name them at all."""
        for record in answer.get("results") or ():
            values = flat(record)
            if values["id"] in rows:
                self._note([values["id"]], Verdict.OK, version=_version(values))
        errors = row_errors(answer)
        for error in errors:
            verdict = Verdict.RETRIABLE if error.retriable else Verdict.REJECTED
            named = [one for one in rows if one in error.ids and one not in self._results]
            self._note(named, verdict, error.code, error.message)
        unexplained = {one: values for one, values in rows.items() if one not in self._results}
        if not unexplained:
            return
        nameless = [error for error in errors if not error.ids]
        if not nameless:
            self._note(unexplained, Verdict.UNKNOWN, "ROW_MISSING", "HubSpot's answer leaves this row out")
        elif len(unexplained) == 1 or len(rows) == 1:
            self._blame(unexplained, nameless[0])
        else:
            self._halve(unexplained, nameless[0].code, nameless[0].message)

    def _refused_whole(self, rows: Mapping[str, Mapping[str, str]], error: Rejected) -> None:
        """HubSpot wrote nothing of the batch because of some row."""
        if len(rows) == 1:
            self._note(rows, Verdict.REJECTED, error.code, str(error))
        else:
            self._halve(rows, error.code, str(error))

    def _halve(self, rows: Mapping[str, Mapping[str, str]], code: str, message: str) -> None:
        """Send rows that were not written again in two halves, so that the bad ones end up alone."""
        if self._splits < 2:
            some = any(result.verdict is Verdict.OK for result in self._results.values())
            why = f"not tried alone after too many refusals: {message}"
            self._note(rows, Verdict.RETRIABLE if some else Verdict.REJECTED, code, why)
            return
        self._splits -= 2
        ids = list(rows)
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            self._send({record_id: rows[record_id] for record_id in half})

    def _blame(self, rows: Iterable[str], error: RowError) -> None:
        self._note(rows, Verdict.RETRIABLE if error.retriable else Verdict.REJECTED, error.code, error.message)

    def _note(
        self, ids: Iterable[str], verdict: Verdict, code: str = "", message: str = "", *, version: str = ""
    ) -> None:
        for record_id in ids:
            self._results[record_id] = WriteResult(
                key="", record_id=record_id, verdict=verdict, code=code, message=message, version=version
            )

    def _result_of(self, write: Write, clashing: set[str]) -> WriteResult:
        if write.key in clashing:
            message = "another write of the same call sets a field of this company to another value"
            return WriteResult(
                key=write.key, record_id=write.record_id, verdict=Verdict.REJECTED, code="CLASH", message=message
            )
        row = self._results[write.record_id]
        return WriteResult(
            key=write.key,
            record_id=write.record_id,
            verdict=row.verdict,
            code=row.code,
            message=row.message,
            version=row.version,
        )


def _one_row_a_record(writes: Sequence[Write]) -> tuple[dict[str, dict[str, str]], set[str]]:
    """Properties by record id, and the keys of writes that contradict an earlier one.

    HubSpot refuses a whole batch in which a record comes twice.
    """
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    clashing: set[str] = set()
    for write in writes:
        values = {name: _text(value) for name, value in write.fields.items()}
        row = rows[write.record_id]
        if any(name in row and row[name] != value for name, value in values.items()):
            clashing.add(write.key)
        else:
            row.update(values)
    return dict(rows), clashing


def _text(value: Any) -> str:
    """HubSpot's text of a value; an empty one clears the property (null is not in its contract)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _check_fields(writes: Sequence[Write], *, only: str = "", never: str = "") -> None:
    for write in writes:
        if (only and set(write.fields) != {only}) or (never and never in write.fields):
            raise ValueError(f"{PARENT} is written on the association lane, alone; other fields on the batch lane")


def _current(values: Mapping[str, Any]) -> Current:
    return Current(record_id=values["id"], fields=values, version=_version(values))


def _version(values: Mapping[str, Any]) -> str:
    return str(values.get(VERSION) or values.get("updatedAt") or "")


def _history_entry(record_id: str, name: str, entry: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        record_id=record_id,
        property=name,
        value=_text(entry.get("value")),
        timestamp=str(entry.get("timestamp", "")),
        source_type=str(entry.get("sourceType", "")),
        source_id=_text(entry.get("sourceId")),
        user=_text(entry.get("updatedByUserId")),
    )
