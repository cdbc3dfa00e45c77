"""The state of the sandbox CRMs: records, the history of every field, and the request log.

A record is a flat dict of native field name to JSON value, keyed by its native id. Salesforce instants are text as the
API shows them ("2026-01-31T09:30:00.000+0000"), one second fine; HubSpot properties are text, its instants
"2026-01-31T09:30:00.123Z". HubSpot records carry `archived` (bool) beside their properties.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.faults import FaultBook
from sandbox.moment import count_write, lag_s
from sandbox.rewind import rewound
from sandbox.salesforce import permissions
from sandbox.salesforce.ids import PREFIXES, id18, make_id
from sandbox.settings import Settings

Record = dict[str, Any]
Hook = Callable[[dict[str, Any]], None]

EVENTS = ("before_write", "after_write", "after_read")

STAMPS = frozenset(
    {"LastModifiedDate", "SystemModstamp", "LastModifiedById", "hs_lastmodifieddate", "lastmodifieddate", "updatedAt"}
)
"""Fields the CRM itself moves; they make no history."""


def utcnow() -> datetime:
    """The time of the machine, aware, in UTC."""
    return datetime.now(UTC)


def salesforce_time(moment: datetime) -> str:
    """An instant as Salesforce writes it, cut to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def hubspot_time(moment: datetime) -> str:
    """An instant as HubSpot writes it, cut to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of one field that became another one."""

    seq: int
    at: datetime
    system: str
    object: str
    record_id: str
    field: str
    old: Any
    new: Any
    by: str  # native user id
    source: str  # API, CRM_UI, ASSIGNMENT_RULE, FLOW, MERGE, ...
    client: str  # Sforce-Call-Options client or User-Agent; "" for people
    request: int  # Request.seq; 0 for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it arrived."""

    seq: int
    at: datetime
    system: str
    method: str
    path: str
    query: dict[str, Any]
    headers: dict[str, str]  # lower-case names, Authorization left out
    body: Any  # parsed JSON or form; None when empty; text otherwise
    status: int  # 0 = the connection was closed without an answer
    is_write: bool


class World:
    """Everything both CRMs know. Hold `lock` around reads of more than one record."""

    def __init__(self, *, now: Callable[[], datetime] = utcnow, seed: int = 0) -> None:
        self.now = now
        self.seed = seed
        self.lock = threading.RLock()
        self.tables: dict[tuple[str, str], dict[str, Record]] = {}
        self.history: list[Change] = []
        self.requests: list[Request] = []
        self.settings = Settings()
        self.faults = FaultBook(seed)
        self.clients: dict[str, str] = {"sandbox": "sandbox"}  # OAuth client id -> secret
        self.hubspot_tokens: set[str] = {"sandbox"}
        self.jwt_public_key = ""  # PEM; "" = signatures of JWT logins are not checked
        self.salesforce_tokens: dict[str, int] = {}  # access token -> calls made
        self.salesforce_calls = 0  # API calls counted against the daily limit
        self.salesforce_batches = 0  # Bulk batches counted against theirs
        self.refused_logins: set[str] = set()  # systems where nobody can log in any more
        self.instance_moves = 0  # how often the address of the Salesforce instance has changed
        self.schema_changes: list[tuple[str, str, str]] = []  # Account: drop, rename or retype; field; new name or type
        self.integration_user = make_id(PREFIXES["User"], 1)
        self.organization_id = make_id(PREFIXES["Organization"], 1)
        self._counters: dict[str, int] = {}
        self._hooks: dict[str, list[Hook]] = {event: [] for event in EVENTS}
        self._hidden: dict[tuple[str, str, str], tuple[datetime, Record | None]] = {}
        self._versions: dict[tuple[str, str, str], int] = {}
        self._undo: list[tuple[tuple[str, str], str, Record | None]] | None = None
        self._change_seq = 0
        self._request_seq = 0
        self._seed_salesforce()

    # -- reading

    def table(self, system: str, object: str) -> dict[str, Record]:
        """The records of an object by id, made empty on first use."""
        return self.tables.setdefault((system, object), {})

    def get(self, system: str, object: str, record_id: str) -> Record | None:
        """The record as readers see it now; None when there is none. A copy."""
        with self.lock:
            key = _key(system, record_id)
            hidden = self._hidden.get((system, object, key))
            record = self.table(system, object).get(key)
            if hidden is not None and hidden[0] > self.now():
                record = hidden[1]
            if record is not None and lag_s():
                return self._past(system, object, {key: record}).get(key)
            return None if record is None else dict(record)

    def rows(self, system: str, object: str) -> list[Record]:
        """All records readers see now, deleted ones too, in id order. Do not change them."""
        with self.lock:
            table, moment = self.table(system, object), self.now()
            held = {
                key[2]: old
                for key, (visible_at, old) in self._hidden.items()
                if key[:2] == (system, object) and visible_at > moment
            }
            seen = {key: record for key, record in {**table, **held}.items() if record is not None} if held else table
            if lag_s():
                seen = self._past(system, object, seen)
            return [seen[key] for key in sorted(seen)]

    def version(self, system: str, object: str, record_id: str) -> int:
        """How often a record was written; tells two states of one second apart."""
        return self._versions.get((system, object, _key(system, record_id)), 0)

    def pending_since(self, system: str, object: str) -> datetime | None:
        """The stamp of the oldest write readers do not see yet; None when they see everything."""
        with self.lock:
            delay, moment = timedelta(seconds=self.settings.late_commit_s), self.now()
            found = [at for key, (at, _) in self._hidden.items() if key[:2] == (system, object) and at > moment]
            return min(found) - delay if found else None

    # -- writing

    def load(self, system: str, object: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Put records in place as they are, without history. System fields that are missing are filled in."""
        with self.lock:
            table = self.table(system, object)
            for given in records:
                record = self._completed(system, object, dict(given))
                table[record["Id"] if system == "salesforce" else record["hs_object_id"]] = record

    def insert(
        self,
        system: str,
        object: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        source: str = "API",
        client: str = "",
        request: int = 0,
    ) -> str:
        """Make a new record and return its id."""
        with self.lock:
            count_write(source)
            record = self._completed(system, object, {**fields, **_author(system, by)})
            record_id: str = record["Id"] if system == "salesforce" else record["hs_object_id"]
            self._remember(system, object, record_id)
            self.table(system, object)[record_id] = record
            for name, value in fields.items():
                self._note(
                    system, object, record_id, name, (None, value), by=by, source=source, client=client, request=request
                )
            return record_id

    def set_fields(
        self,
        system: str,
        object: str,
        record_id: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        source: str,
        client: str = "",
        request: int = 0,
    ) -> list[Change]:
        """Write values and move the stamps; history holds real changes only. KeyError when there is no such record.

        The stamps move on every write, as they do in both CRMs, even when no value changed.
        """
        with self.lock:
            count_write(source)
            key = _key(system, record_id)
            record = dict(self.table(system, object)[key])  # readers may hold the version before
            self._remember(system, object, key)
            self.table(system, object)[key] = record
            changes = []
            for name, value in fields.items():
                old = record.get(name)
                record[name] = value
                if old != value and name not in STAMPS:
                    change = self._note(
                        system, object, key, name, (old, value), by=by, source=source, client=client, request=request
                    )
                    changes.append(change)
                    self._keep_account_history(change)
            record.update(self._stamps(system, by))
            return changes

    def human_edit(
        self,
        system: str,
        object: str,
        record_id: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        source: str = "CRM_UI",
    ) -> list[Change]:
        """What a person does on the screen: written at once, no rule, no lock, no fault."""
        return self.set_fields(system, object, record_id, fields, by=by, source=source)

    def delete(self, system: str, object: str, record_id: str, *, by: str, source: str = "CRM_UI") -> None:
        """Move a record to the recycle bin (Salesforce) or the archive (HubSpot)."""
        flag = "IsDeleted" if system == "salesforce" else "archived"
        self.set_fields(system, object, record_id, {flag: True}, by=by, source=source)

    def merge_accounts(self, winner: str, losers: Iterable[str], *, by: str) -> None:
        """Merge Salesforce accounts: losers are deleted and name the winner; their children move over silently."""
        with self.lock:
            survivor = id18(winner)
            for loser in map(id18, losers):
                fields = {"IsDeleted": True, "MasterRecordId": survivor}
                self.set_fields("salesforce", "Account", loser, fields, by=by, source="MERGE")
                self._move_children(loser, survivor, by=by)
            self.set_fields("salesforce", "Account", survivor, {}, by=by, source="MERGE")

    def _move_children(self, loser: str, survivor: str, *, by: str) -> None:
        references = (("Account", "ParentId"), ("Opportunity", "AccountId"), ("AccountTeamMember", "AccountId"))
        for object_name, name in references:
            for record in list(self.table("salesforce", object_name).values()):
                if record.get(name) == loser and not record["IsDeleted"]:
                    fields = {name: None if record["Id"] == survivor else survivor}  # never its own parent
                    self.set_fields("salesforce", object_name, record["Id"], fields, by=by, source="MERGE")

    @contextmanager
    def transaction(self) -> Iterator[Callable[[], None]]:
        """Yield a function that takes back every write made inside the block. Holds the lock; may be nested."""
        with self.lock:
            outermost = self._undo is None
            undo = self._undo = [] if self._undo is None else self._undo
            marks = len(undo), len(self.history), self._change_seq

            def rollback() -> None:
                while len(undo) > marks[0]:
                    self._restore(*undo.pop())
                del self.history[marks[1] :]
                self._change_seq = marks[2]

            try:
                yield rollback
            finally:
                if outermost:
                    self._undo = None

    def _restore(self, table_key: tuple[str, str], record_id: str, before: Record | None) -> None:
        self._hidden.pop((*table_key, record_id), None)
        if before is None:
            self.tables[table_key].pop(record_id, None)
        else:
            self.tables[table_key][record_id] = before

    # -- events and traffic

    def on(self, event: str, hook: Callable[[dict[str, Any]], None]) -> None:
        """Call `hook` with {"system", "object", "ids", "fields"} at an event. It may edit the world, not use HTTP.

        Events: before_write (a row write arrived, nothing is checked yet), after_write (written, not yet answered),
        after_read (the answer is made up, not yet sent).
        """
        if event not in self._hooks:
            raise ValueError(f"event {event!r} is unknown to the sandbox; it is one of {', '.join(EVENTS)}")
        self._hooks[event].append(hook)

    def emit(
        self, event: str, system: str, object: str, ids: Iterable[str], fields: Mapping[str, Any] | None = None
    ) -> None:
        """Run the hooks of an event."""
        hooks = list(self._hooks[event])
        if hooks:
            payload = {"system": system, "object": object, "ids": list(ids), "fields": dict(fields or {})}
            for hook in hooks:
                hook(payload)

    def next_request(self) -> int:
        """A new request number."""
        with self.lock:
            self._request_seq += 1
            return self._request_seq

    def log_request(self, request: Request) -> None:
        """Keep an answered request."""
        with self.lock:
            self.requests.append(request)

    def new_id(self, system: str, object: str) -> str:
        """An id no record of the object has."""
        with self.lock:
            while True:
                number = self._counters[object] = self._counters.get(object, 100_000) + 1
                made = (
                    make_id(PREFIXES.get(object, "a00"), number)
                    if system == "salesforce"
                    else str(9_000_000_000 + number)
                )
                if made not in self.table(system, object):
                    return made

    # -- private, in order of use

    def _past(self, system: str, object_name: str, records: Mapping[str, Record]) -> dict[str, Record]:
        """The records as they were when the reads of this request look back to."""
        cutoff = self.now() - timedelta(seconds=lag_s())
        stamps = self._stamps_at(system, cutoff)
        changes = (c for c in reversed(self.history) if (c.system, c.object) == (system, object_name))
        return rewound(records, changes, cutoff, stamps)

    def _seed_salesforce(self) -> None:
        user = {"Id": self.integration_user, "Name": "Platbook Integration", "IsActive": True, "UserType": "Standard"}
        user |= {"Username": "integration@sandbox.example", "Email": "integration@sandbox.example"}
        self.load("salesforce", "User", [user])
        org = {"Id": self.organization_id, "Name": "Sandbox Org", "IsSandbox": True, "InstanceName": "LOCAL1"}
        self.load("salesforce", "Organization", [org])
        for object_name, records in permissions.seed(self.integration_user):
            self.load("salesforce", object_name, records)

    def _completed(self, system: str, object_name: str, record: Record) -> Record:
        moment = self.now()
        if system == "salesforce":
            record["Id"] = id18(record.get("Id") or self.new_id(system, object_name))
            stamp = salesforce_time(moment)
            stamps = {"CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}
            author = {"CreatedById": self.integration_user, "LastModifiedById": self.integration_user}
            return {**stamps, **author, "IsDeleted": False, **record}
        record_id = str(record.pop("id", None) or record.get("hs_object_id") or self.new_id(system, object_name))
        stamp = hubspot_time(moment)
        return {
            "createdate": stamp,
            "hs_lastmodifieddate": stamp,
            "archived": False,
            **record,
            "hs_object_id": record_id,
        }

    def _remember(self, system: str, object_name: str, record_id: str) -> None:
        """Keep the record as it was before a write: for rollback, and for readers while the commit is late."""
        key = (system, object_name, record_id)
        self._versions[key] = self._versions.get(key, 0) + 1
        before = self.table(system, object_name).get(record_id)
        if self._undo is not None:
            self._undo.append(((system, object_name), record_id, before))
        if self.settings.late_commit_s > 0:
            visible_at = self.now() + timedelta(seconds=self.settings.late_commit_s)
            self._hidden[key] = (visible_at, before)

    def _note(
        self,
        system: str,
        object_name: str,
        record_id: str,
        name: str,
        values: tuple[Any, Any],
        *,
        by: str,
        source: str,
        client: str = "",
        request: int = 0,
    ) -> Change:
        self._change_seq += 1
        change = Change(
            seq=self._change_seq,
            at=self.now(),
            system=system,
            object=object_name,
            record_id=record_id,
            field=name,
            old=values[0],
            new=values[1],
            by=by,
            source=source,
            client=client,
            request=request,
        )
        self.history.append(change)
        return change

    def _keep_account_history(self, change: Change) -> None:
        tracked = change.field in self.settings.tracked_fields
        if (change.system, change.object) != ("salesforce", "Account") or not tracked:
            return
        name, kind = change.field, "EntityId" if change.field in ("OwnerId", "ParentId") else "Text"
        values = [(kind, change.old, change.new)]
        if self.settings.history_labels and kind == "EntityId":
            name = name.removesuffix("Id")
            values.append(("Text", self._name_of(change.old), self._name_of(change.new)))
        for data_type, old, new in values:
            row = {"AccountId": change.record_id, "Field": name, "DataType": data_type}
            row |= {"OldValue": old, "NewValue": new, "CreatedById": change.by}
            record = self._completed("salesforce", "AccountHistory", row)
            self._remember("salesforce", "AccountHistory", record["Id"])
            self.table("salesforce", "AccountHistory")[record["Id"]] = record

    def _name_of(self, record_id: str | None) -> str | None:
        object_name = "User" if str(record_id).startswith(PREFIXES["User"]) else "Account"
        return self.table("salesforce", object_name).get(str(record_id), {}).get("Name")

    def _stamps(self, system: str, by: str) -> Record:
        author = {"LastModifiedById": by} if system == "salesforce" else {}
        return {**self._stamps_at(system, self.now()), **author}

    def _stamps_at(self, system: str, moment: datetime) -> Record:
        if system == "salesforce":
            stamp = salesforce_time(moment)
            return {"LastModifiedDate": stamp, "SystemModstamp": stamp}
        return {"hs_lastmodifieddate": hubspot_time(moment)}


def _key(system: str, record_id: str) -> str:
    return id18(record_id) if system == "salesforce" else str(record_id)


def _author(system: str, by: str) -> Record:
    return {"CreatedById": by, "LastModifiedById": by} if system == "salesforce" else {}
