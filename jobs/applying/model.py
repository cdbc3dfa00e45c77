"""What an apply run is given, what it works on, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from connectors.protocol import Lane, Org, Target
from mappings.guard_policy import ApiBudget
from mappings.policy import ConflictPolicy, Header
from store.database import Database
from store.decisions import Decision
from store.files import ParquetFiles
from store.journal import Values
from store.leases import Leases
from store.plans import StoredPlan
from sync.planning.decisions import Refusal
from sync.world import GuardResult


class ItemState(StrEnum):
    """What became of an item in this run."""

    VERIFIED = "verified"  # written and read back equal
    CONVERGED = "converged"  # the CRM already said so; nothing was written
    KEPT = "kept"  # the CRM's value was agreed to, as a person decided
    STALE = "stale"  # the record moved since the plan; not written, plan again
    GONE = "gone"  # the record is deleted, merged or not visible any more
    BLOCKED = "blocked"  # may not be written now; the message says why
    FAILED = "failed"  # the CRM refused it, or it could not be sent; may be tried again
    MISMATCH = "mismatch"  # written, but the CRM made something else of it
    OVERWROTE = "overwrote"  # written and verified, but a person's edit lay between our read and our write
    IN_DOUBT = "in_doubt"  # sent, and nobody could say what happened; the next run reads before anything else
    LEFT = "left"  # not reached: the run was stopped


DONE = frozenset({ItemState.VERIFIED, ItemState.CONVERGED, ItemState.KEPT, ItemState.OVERWROTE})
"""Nothing is left to do for these."""

CLOSED = DONE | {ItemState.STALE, ItemState.GONE, ItemState.MISMATCH}
"""Never tried again within the same plan."""


class PlanRefused(Exception):
    """The plan may not be applied; nothing was written. `reason` is a stable word, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        # expired, superseded, draft, tampered, ruleset, feeds, schema, org, connection, pending, moved, budget
        self.reason = reason


class GuardStopped(Exception):
    """A limit was passed; nothing was written."""

    def __init__(self, plan_id: str, breached: Sequence[GuardResult], *, who: str = "") -> None:
        super().__init__(f"plan {plan_id}: {' '.join(result.message for result in breached)}")
        self.breached = tuple(breached)
        self.who = who  # may let them through, in one sentence


class Translation(Protocol):
    """Canonical values of one connection's accounts in its own words, and back."""

    def native_name(self, field: str) -> str:
        """The native field."""
        ...

    def to_native(self, field: str, value: str | None) -> Any:
        """What to send for a canonical text; None clears."""
        ...

    def to_canonical(self, field: str, native: Any) -> str | None:
        """The canonical text of what the CRM sent; None = empty."""
        ...

    def actor_kind(self, marks: Sequence[str], *, our_user: str) -> str:
        """Who an entry of the CRM's history is by: us, human, workflow, integration, import or unknown."""
        ...


CHUNK_ROWS: Mapping[str, Mapping[Lane, int]] = {
    "salesforce": {Lane.CONDITIONAL: 500, Lane.BATCH: 2_000},
    "hubspot": {Lane.BATCH: 100, Lane.ASSOCIATION: 1_000},
}
"""Records between two checks, by kind of CRM: small where a person's edit could come between read and write.

A parent is read again by the request before its write; nobody but us decides the fields of Salesforce's batches.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """One connection, ready to be written."""

    id: str
    kind: str
    target: Target
    org: Callable[[], Org]
    translation: Translation
    chunk_rows: Mapping[Lane, int] = field(default_factory=dict)  # empty = CHUNK_ROWS of the kind

    def rows(self, lane: Lane) -> int:
        """Records of a chunk on a lane."""
        return self.chunk_rows.get(lane) or CHUNK_ROWS.get(self.kind, {}).get(lane, 100)


GuardCheck = Callable[
    [StoredPlan, "Collection[Work]", Collection[str], Collection[str], "ApplyDeps"], tuple[GuardResult, ...]
]
"""(plan, approved work, first contacts accepted for good, guard ids accepted for this plan, the rest of the run)
-> every limit measured."""


NO_RULES = ConflictPolicy(
    policy=Header(id="conflicts", version=1, owner="nobody", effective_from="1970-01-01"),
    fields={},
    propose_after_rule_change=False,
)
"""Nobody has to agree and nobody has to be verified."""


def _never() -> bool:
    return False


def _silent(event: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyDeps:
    """Everything an apply run touches."""

    database: Database
    files: ParquetFiles
    leases: Leases
    connections: Mapping[str, Connected]
    ruleset_digest: str
    guards: GuardCheck
    plan_digest: Callable[[StoredPlan], str]  # recomputed from the stored items and changes
    recipients: tuple[str, ...] = ()
    keeps_teams: bool = False  # owner changes of accounts with a team go by the lane that keeps it; else blocked
    bulk_from: int = 5_000  # records on an unguarded lane from which a job of the CRM's own is made
    rule_files: Mapping[str, str] = field(default_factory=dict)  # file of the ruleset -> digest of its content
    conflicts: ConflictPolicy = NO_RULES  # who has to agree, and what verified persons are needed for
    named_accounts: tuple[str, ...] = ()  # vendor and record ids of the accounts that the territories name
    audit_head_file: Path | None = None  # second place for the audit's last hash
    feeds: Mapping[str, str] = field(default_factory=dict)  # feed -> kind of its rows; deliveries looked at again
    budget: ApiBudget | None = None  # how much of a day's calls is ours; None = all of them
    watched_fields: frozenset[str] | None = None  # where a written-over edit is looked for in history; None = all
    stop: Callable[[], bool] = _never  # asked before every chunk
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[str, int, int], None] = _silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One item that is to be written."""

    item_id: str
    fingerprint: str
    connection: str
    record_id: str
    account_name: str
    group: str
    lane: Lane
    depth: int
    sequence: int
    caused_by: str | None
    before: Values  # what the plan saw in the CRM
    want: Values
    rules: Mapping[str, str]  # field -> rule that made the value
    states: Mapping[str, str] = field(default_factory=dict)  # field -> row of the decision table
    refusals: tuple[Refusal, ...] = ()  # proposals that a person replaced; they count once the item is verified
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """One item and what became of it."""

    item_id: str
    connection: str
    record_id: str
    account_name: str
    group: str
    state: ItemState
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What an apply run did."""

    plan_id: str
    run_id: str  # "" when there was nothing to run
    status: str  # of the plan, afterwards
    items: tuple[ItemResult, ...]  # plan order
    totals: Mapping[str, int]  # by ItemState, and pending, moves, owner_events, mails
    calls: Mapping[str, Mapping[str, int]]  # connection -> reads, writes
    halted: str = ""  # why it stopped early
    message: str = ""

    @property
    def is_complete(self) -> bool:
        """True when every item that was to be written is done."""
        return not self.halted and all(item.state in DONE for item in self.items)
