"""What every CRM connector offers, in native words: native object names, native field names, native ids.

Translation to the canonical model is not here; see mappings/translate.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

NativeRecord = Mapping[str, Any]
"""One record as the CRM sent it: native field name to JSON value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """The CRM organisation behind the credentials."""

    org_id: str  # Salesforce organization id, HubSpot portal id
    name: str
    api_version: str
    user_id: str  # the user, or on HubSpot the app, that Platbook writes as; "" where the CRM does not say
    is_sandbox: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeField:
    """One field as the CRM describes it."""

    name: str
    type: str  # the CRM's own type name
    label: str = ""
    updateable: bool = True
    picklist: tuple[str, ...] = ()  # active API values; empty = open
    scale: int | None = None
    length: int | None = None
    history: bool | None = None  # field history is kept; None = unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Privilege:
    """Something the credentials allow and the work does not need."""

    kind: str  # system, object or field
    name: str  # the CRM's own name: ModifyAllData, Contact.Delete, Account.Phone
    why: str  # what it allows, or why it is not needed; for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records of one object."""

    records: tuple[NativeRecord, ...]
    complete: bool  # True on the last page only: everything asked for has been delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A record as it stands in the CRM at one moment."""

    record_id: str
    fields: NativeRecord
    version: str  # ETag where the CRM has one, else its modification stamp


class Lane(StrEnum):
    """How a write travels."""

    CONDITIONAL = "conditional"  # each row carries the version it was read at; a moved row is refused
    BATCH = "batch"  # many rows a call, no precondition: the caller reads, compares, writes, verifies
    ASSOCIATION = "association"  # HubSpot parent company, by associations v4
    TEAM = "team"  # Salesforce owner changes that keep the account team; no precondition, read back by the lane
    BULK = "bulk"  # Salesforce Bulk 2.0 job for thousands of rows; no precondition, resumable by its job id


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One record to change. Absolute values, never increments; a None clears the field."""

    key: str  # the caller's idempotency key, returned in the result
    record_id: str
    fields: Mapping[str, Any]  # native names
    version: str = ""  # required on the conditional lane
    previous: Mapping[str, Any] = field(default_factory=dict)  # values being replaced (association lane needs them)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMember:
    """One member of an account team, with everything needed to put it back."""

    record_id: str  # the account
    user_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)  # native names: role and access levels
    member_id: str = ""  # of the row as it was read; a member put back has another one


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedChild:
    """A record below an account that an owner change of the account may take along."""

    record_id: str  # the account
    child_id: str
    owner_id: str
    native_object: str = "Opportunity"


class Verdict(StrEnum):
    """What became of one row. Never inferred from a batch."""

    OK = "ok"  # the CRM says it was written
    STALE = "stale"  # refused: the record moved since `version`
    RETRIABLE = "retriable"  # not written; may work later (lock, throttle)
    REJECTED = "rejected"  # not written; will not work as it is
    UNKNOWN = "unknown"  # the answer was lost: it may or may not have been written


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """One row, one result."""

    key: str
    record_id: str
    verdict: Verdict
    code: str = ""  # the CRM's own code
    message: str = ""
    version: str = ""  # the new version where the CRM returned one


@dataclass(slots=True)
class CallMeter:
    """Counts HTTP requests, login apart."""

    reads: int = 0
    writes: int = 0
    logins: int = 0
    retries: int = 0
    by_route: dict[str, int] = field(default_factory=dict)
    day_limit: int = 0  # calls of a day that the CRM grants; 0 = it has not said
    day_left: int = 0  # of them, by its last word


class Source(Protocol):
    """Reads one CRM."""

    meter: CallMeter

    def org(self) -> Org:
        """Who we are talking to. Raises Fatal on bad credentials, Retriable when unreachable."""
        ...

    def describe(self, native_object: str) -> tuple[NativeField, ...]:
        """Fields of an object that the credentials may read."""
        ...

    def pull(self, native_object: str, fields: Sequence[str], *, since: str | None = None) -> Iterator[Page]:
        """All records, or those changed at or after `since` (ISO instant, overlap already subtracted).

        Deleted and merged records come too: Salesforce rows carry IsDeleted and MasterRecordId, HubSpot rows
        carry `archived`, and a survivor carries `hs_merged_object_ids`.
        """
        ...


@runtime_checkable
class IndexedSource(Source, Protocol):
    """A source whose deltas come from an index that shows a change some time after it was made."""

    def records(self, native_object: str, record_ids: Sequence[str], fields: Sequence[str]) -> tuple[NativeRecord, ...]:
        """Records as they stand, past the index; those that are gone are left out."""
        ...


class Target(Protocol):
    """Writes one CRM, and reads records just before and just after."""

    meter: CallMeter

    def read(self, record_ids: Sequence[str], fields: Sequence[str], *, versions: bool) -> Mapping[str, Current | None]:
        """Current state by record id; None = gone or not visible. `versions` asks for conditional-write versions."""
        ...

    def write(
        self, writes: Sequence[Write], *, lane: Lane, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Send the writes; one result per write, in the order given. Writes of one record travel as one row.

        `stamp` (run id and lease epoch) travels with each request. `before_send` is called immediately before every
        HTTP write request and raises to stop it (lost lease). Raises Fatal or Retriable only when nothing of the
        not yet answered rows can have been written; otherwise those rows come back UNKNOWN.
        """
        ...

    def team_sizes(self, record_ids: Sequence[str]) -> Mapping[str, int]:
        """Number of account-team members now; an account without one is absent. Empty where teams do not exist."""
        ...


@runtime_checkable
class TeamTarget(Target, Protocol):
    """A target whose accounts have teams that an owner change would end (lane TEAM keeps them)."""

    def team(self, record_ids: Sequence[str]) -> Mapping[str, tuple[TeamMember, ...]]:
        """Members now by account id, with everything needed to put them back; without a team: absent."""
        ...

    def open_opportunities(self, record_ids: Sequence[str]) -> Mapping[str, tuple[OwnedChild, ...]]:
        """Open opportunities now by account id: what an owner change may take along; none: absent."""
        ...

    def restore_team(
        self, members: Sequence[TeamMember], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Put back the members that are not there; one result per member in that order, PRESENT for the others."""
        ...


@runtime_checkable
class KnowsUsers(Target, Protocol):
    """A target whose CRM may take an owner who is not active. Others refuse such a row themselves."""

    def departed(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users who are not active. Read-only."""
        ...


@runtime_checkable
class HandsOver(Target, Protocol):
    """A target whose accounts have open opportunities with owners of their own."""

    def open_opportunities(self, record_ids: Sequence[str]) -> Mapping[str, tuple[OwnedChild, ...]]:
        """Open opportunities now by account id; none: absent."""
        ...

    def hand_over(
        self, children: Sequence[OwnedChild], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Give each opportunity to its `owner_id`; one result per child in that order, keyed by its id."""
        ...


@runtime_checkable
class JobTarget(Target, Protocol):
    """A target that can write thousands of rows as a job of its own (lane BULK)."""

    def write_job(
        self,
        writes: Sequence[Write],
        *,
        stamp: str,
        before_send: Callable[[], None],
        on_job: Callable[[str], None],
    ) -> tuple[WriteResult, ...]:
        """Like `write` on lane BULK; `on_job` gets each job's id before the job can write anything."""
        ...

    def resume_job(
        self, job_id: str, writes: Sequence[Write], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Results of a job made of these writes by an earlier run; waits for it, and never sends a row again."""
        ...
