"""What the core reads (`World`) and what it gives (`Reconciliation`): tables with documented columns.

Every table is a narwhals lazy frame. Dates and instants are ISO text, money is integer cents, shares are integer basis
points, unknown is null. Managed fields are canonical text. Row order never matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from mappings.canonical import ACCOUNT, AUTHORITY, CONTACT, EDGE, FACT, FIRM, MANAGED, OWNERSHIP, SIGNAL, FieldType
from sync.engine import Frame
from sync.problem import Problem

Schema = Mapping[str, Any]  # column -> narwhals dtype

_DTYPES: dict[FieldType, Any] = {
    FieldType.INTEGER: nw.Int64(),
    FieldType.MONEY: nw.Int64(),
    FieldType.SHARE: nw.Int64(),
    FieldType.BOOLEAN: nw.Boolean(),
}
TEXT, INT, BOOL = nw.String(), nw.Int64(), nw.Boolean()

RECORDS: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    **{f.name: TEXT if f.managed else _DTYPES.get(f.type, TEXT) for f in ACCOUNT},
    "version": TEXT,
    "modified_at": TEXT,
    "modified_by": TEXT,
    "is_deleted": BOOL,
    "merged_into": TEXT,  # record id of the survivor, null unless merged
}
"""One row per CRM account record, the deleted included; unique on (connection, record_id). Custom fields follow."""

FIRMS: Schema = {
    "feed": TEXT,
    **{f.name: _DTYPES.get(f.type, TEXT) for f in FIRM},
    "cleared": TEXT,  # fields, comma-separated, of which the vendor says that there is no value; a blank says nothing
    "as_of": TEXT,
    "file": TEXT,
    "row": INT,
}
"""One row per firm of the newest accepted delivery of each firm feed; unique on (feed, firm_id)."""

FACTS: Schema = {"feed": TEXT, **{f.name: TEXT for f in FACT}, "file": TEXT, "row": INT}
"""Confirmed facts, long form; the newest accepted delivery of each fact feed."""

EDGE_FACTS: Schema = {
    "feed": TEXT,
    **{f.name: _DTYPES.get(f.type, TEXT) for f in EDGE},
    "as_of": TEXT,
    "file": TEXT,
    "row": INT,
}
"""Dated statements of who belongs to whom; the newest accepted delivery of each edge feed."""

OWNERSHIP_FACTS: Schema = {
    "feed": TEXT,
    **{f.name: _DTYPES.get(f.type, TEXT) for f in OWNERSHIP},
    "as_of": TEXT,
    "file": TEXT,
    "row": INT,
}
"""What public registers say of owners, to check vendors by; the newest accepted delivery of each such feed."""

AUTHORITY_FACTS: Schema = {
    "feed": TEXT,
    **{f.name: _DTYPES.get(f.type, TEXT) for f in AUTHORITY},
    "file": TEXT,
    "row": INT,
}
"""Records of who decides; the newest accepted delivery of each authority feed."""

SIGNALS: Schema = {"feed": TEXT, **{f.name: _DTYPES.get(f.type, TEXT) for f in SIGNAL}, "file": TEXT, "row": INT}
"""Activities of organisations; the newest accepted delivery of each signal feed."""

CONTACTS: Schema = {"feed": TEXT, **{f.name: _DTYPES.get(f.type, TEXT) for f in CONTACT}, "file": TEXT, "row": INT}
"""People at accounts, hashed; the newest accepted delivery of each contact feed."""

USERS: Schema = {
    "connection": TEXT,
    "user_id": TEXT,
    "email": TEXT,
    "name": TEXT,
    "is_active": BOOL,
    "actor_id": TEXT,  # id under which the CRM's field history names the person
}
OPPORTUNITIES: Schema = {
    "connection": TEXT,
    "opportunity_id": TEXT,
    "record_id": TEXT,
    "owner": TEXT,
    "stage": TEXT,
    "amount_cents": INT,
    "is_closed": BOOL,
    "is_won": BOOL,
    "close_date": TEXT,
    "created_on": TEXT,
}
TEAM_MEMBERS: Schema = {"connection": TEXT, "record_id": TEXT, "user_id": TEXT, "role": TEXT}
FIELD_CHANGES: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "field": TEXT,
    "changed_at": TEXT,
    "changed_by": TEXT,
    "actor_kind": TEXT,
    "old_value": TEXT,
    "new_value": TEXT,
}
CROSSWALK: Schema = {"source": TEXT, "source_id": TEXT, "account_id": TEXT, "how": TEXT}
"""Links kept from earlier runs. `source` is a connection id or a feed name."""

LINK_DECISIONS: Schema = {
    "source": TEXT,
    "source_id": TEXT,
    "other_source": TEXT,
    "other_id": TEXT,
    "verdict": TEXT,  # link, not_link
}
"""What persons said about two parties being one organisation; the newest word per pair. It wins for ever."""

AGREED: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    **{f"{name}{suffix}": TEXT for name in MANAGED for suffix in ("", "__kind")},
}
"""Last agreed values, wide. Kind: 'value', 'empty', 'released'; null = never agreed (NOBASE)."""

OVERRIDES: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "field": TEXT,
    "kept": TEXT,  # canonical text, null = empty
    "refused": TEXT,  # canonical text, null = clear
    "until": TEXT,  # ISO date, null = no end
    "reason": TEXT,
    "by": TEXT,
}
"""Newest override per field; unique on (connection, record_id, field)."""

HOLDS: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "group": TEXT,
    "kind": TEXT,
    "reason": TEXT,
    "by": TEXT,
    "until": TEXT,
}
"""Active holds, selectors already resolved to records; unique on (connection, record_id, group)."""

MOVES: Schema = {
    "plan_id": TEXT,
    "run_id": TEXT,
    "connection": TEXT,
    "record_id": TEXT,
    "field": TEXT,
    "old": TEXT,  # null = was empty
    "new": TEXT,  # null = was emptied
    "state": TEXT,  # row of the decision table that led to it; empty = not known
    "age_min": INT,  # whole minutes since it was verified
}
"""Values that apply runs wrote and verified, as far back as the longest window of the limits."""

LINKS: Schema = {"source": TEXT, "source_id": TEXT, "account_id": TEXT, "how": TEXT, "evidence": TEXT}
"""One row per CRM record and per feed firm. `how` is the key that linked it, 'crosswalk' or 'own' (nothing linked)."""

CHANGES: Schema = {
    "item_id": TEXT,
    "connection": TEXT,
    "record_id": TEXT,
    "account_id": TEXT,
    "account_name": TEXT,
    "group": TEXT,
    "field": TEXT,
    "base_kind": TEXT,  # value, empty, nobase, released
    "base": TEXT,
    "crm_kind": TEXT,  # value, empty, gone, hidden
    "crm": TEXT,
    "desired_kind": TEXT,  # value, clear, abstain
    "desired": TEXT,
    "state": TEXT,  # name of the decision-table row, see sync/planning/threeway.py
    "action": TEXT,  # none, agree, auto, approve, review, held, overridden, blocked
    "rule_id": TEXT,  # rule that made the desired value
    "evidence": TEXT,  # JSON: the facts behind it, each with its source
    "reason": TEXT,  # why it is blocked, held or kept; null otherwise
    "actor_kind": TEXT,  # who put the CRM value there: human, integration, workflow, import, us, unknown
    "actor": TEXT,
    "changed_at": TEXT,
}
"""One row per (connection, record, field) whose action is not 'none'. 'agree' rows move the agreed value unwritten."""

ITEMS: Schema = {
    "item_id": TEXT,  # first 16 digits of the fingerprint
    "fingerprint": TEXT,
    "connection": TEXT,
    "record_id": TEXT,
    "account_id": TEXT,
    "account_name": TEXT,
    "group": TEXT,
    "fields": TEXT,  # comma-separated, display order
    "state": TEXT,
    "action": TEXT,  # auto, approve, review, held, overridden, blocked
    "lane": TEXT,  # conditional, batch, association
    "depth": INT,  # wave: parents are written at the depth of the record in the tree, top down
    "sequence": INT,  # order in the plan, from 1
    "caused_by": TEXT,  # item_id of the parent change it follows from; null otherwise
    "reason": TEXT,
}
"""One row per (connection, record, group) that needs a write, a decision, or a word to a person."""

OWNERSHIP_EVENTS: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "account_id": TEXT,
    "account_name": TEXT,
    "kind": TEXT,  # moved_system, joined_system, left_system, owner_change
    "old_system": TEXT,
    "new_system": TEXT,
    "from_user": TEXT,
    "to_user": TEXT,
    "item_id": TEXT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything a reconciliation looks at, read once."""

    records: Frame  # RECORDS
    firms: Frame  # FIRMS
    previous_firms: Frame  # FIRMS of the delivery before, empty when there was none
    facts: Frame  # FACTS
    users: Frame  # USERS
    opportunities: Frame  # OPPORTUNITIES
    team_members: Frame  # TEAM_MEMBERS
    field_changes: Frame  # FIELD_CHANGES
    crosswalk: Frame  # CROSSWALK
    agreed: Frame  # AGREED
    overrides: Frame  # OVERRIDES
    holds: Frame  # HOLDS
    link_decisions: Frame | None = None  # LINK_DECISIONS; none made
    edge_facts: Frame | None = None  # EDGE_FACTS; none delivered
    authority_facts: Frame | None = None  # AUTHORITY_FACTS; none delivered
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)  # connection -> managed fields not readable
    unmapped: Mapping[str, frozenset[str]] = field(default_factory=dict)  # connection -> managed fields not in its map
    picklists: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)  # connection -> field -> values
    lanes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # connection -> field -> lane
    accepted_guards: frozenset[str] = frozenset()  # 'first_contact:<connection>:<field>' accepted for good
    our_users: Mapping[str, str] = field(default_factory=dict)  # connection -> user id Platbook writes as
    signals: Frame | None = None  # SIGNALS; None = no such feed
    contacts: Frame | None = None  # CONTACTS; None = no such feed
    ownership_facts: Frame | None = None  # OWNERSHIP_FACTS; None = no such feed
    past_holds: Frame | None = None  # HOLDS that a rule made and that ended not long ago; None = none
    moves: Frame | None = None  # MOVES; None = nothing was written lately
    local_time: str = ""  # now in the policy's zone, YYYY-MM-DDTHH:MM; empty = no freeze is looked at
    fixed: Mapping[str, frozenset[str]] = field(default_factory=dict)  # connection -> agreed fields not writable now


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """One limit, measured."""

    guard: str  # owner_changes, owner_lost_by_rep, first_contact, ...
    subject: str  # connection, rep or field it is about; 'first_contact' names connection:field
    measured: int
    population: int
    limit: int
    breached: bool
    message: str  # subject, numbers, limit, remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would change, why, and what stops it. A value: apply only executes it."""

    items: Frame  # ITEMS
    changes: Frame  # CHANGES
    events: Frame  # OWNERSHIP_EVENTS
    guards: tuple[GuardResult, ...]
    counts: Mapping[str, int]  # records, fields compared, items by state ("state:conflict") and action ("action:auto")
    digest: str  # sha256 over all items and changes in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Everything one run of the core decided."""

    links: Frame  # LINKS
    accounts: Frame  # golden rows: sync/enrichment.py ACCOUNTS
    hierarchy: Frame  # sync/hierarchy.py HIERARCHY
    tiers: Frame  # sync/segmentation/tiers.py TIERS
    ownership: Frame  # sync/territory/ownership.py OWNERSHIP
    plan: Plan
    problems: tuple[Problem, ...]  # sorted by (code, subject)
    profiles: Frame | None = None  # sync/segmentation/profiles.py PROFILES
    holds: Frame | None = None  # sync/territory/holds.py PROPOSED: holds that this run makes
    latency: Frame | None = None  # sync/hierarchy/latency.py LATENCY
    structure: Any = None  # sync/structure.py Structure; that module reads this one
