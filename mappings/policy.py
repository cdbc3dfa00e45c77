"""Schema of the policies: each rule's knobs with the seed figure as default. One model per file in `policies/`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mappings.guard_policy import GuardPolicy as GuardPolicy
from mappings.guard_policy import Limit as Limit
from mappings.identity_policy import IdentityPolicy as IdentityPolicy
from mappings.insight_policy import KpiPolicy, ScorePolicy, SegmentPolicy
from mappings.regulation import Expansion, Law, Practice
from mappings.regulation import Regulation as Regulation
from mappings.regulation import RegulationFile as RegulationFile
from mappings.routing_policy import HoldPolicy, LeadPolicy
from mappings.schema import CrmMap, FeedLayout, Strict
from mappings.schema import Header as Header
from mappings.structure_policy import AuthorityPolicy, TriggerPolicy
from mappings.successors import Successor


class SurvivorshipPolicy(Strict):
    """Which source wins a golden field: sources in order of trust, per field, with a default."""

    policy: Header
    default: tuple[str, ...]
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    protected: tuple[str, ...] = ()  # a CRM value that a person entered wins, whatever the order
    ttl_days: dict[str, int] = Field(default_factory=dict)  # field or source.field -> days after which it is expired
    expired: Literal["yield", "drop"] = "yield"  # to a fresher value of a less trusted source; drop = it is unknown
    compare: tuple[str, ...] = ()  # disagreement between sources is reported
    tolerance_bp: dict[str, int] = Field(default_factory=dict)  # numbers that differ by no more agree
    chow_days: int = Field(default=730, ge=1)  # changes of ownership older than this are not held against a vendor


class HierarchyPolicy(Strict):
    """How the parent is chosen (HEALTHCARE_RULES 3.2)."""

    policy: Header
    control_edges: tuple[str, ...]
    majority_bp: int = 5000  # strictly greater
    boundary_types: tuple[str, ...] = ()
    source_priority: tuple[str, ...]
    min_confidence_bp: int = 6000
    confidence_bp: dict[str, int] = Field(default_factory=dict)  # of a source whose rows say nothing
    update_sla_days: int = 30  # from the effective date to the CRM
    max_rounds: int = 64


class Assumptions(Strict):
    """What the tiers take for granted; shown with every report."""

    category: str  # purchasing category whose GPO contracts matter
    target_service_line: Literal["ONCOLOGY", "CARDIOLOGY", "ORTHOPEDICS", "PRIMARY_CARE", "BEHAVIORAL_HEALTH"]
    ma_counts_as: Literal["medicare", "commercial"] = "medicare"
    payer_basis: Literal["REVENUE", "CHARGES", "DAYS", "DISCHARGES"] = "REVENUE"


class CriticalAccess(Strict):
    """When a single hospital is a critical access hospital."""

    prefer: tuple[Literal["ccn_block", "feed_flag"], ...] = ("ccn_block", "feed_flag")
    max_beds: int = Field(ge=0)
    max_beds_operator: Literal["lte", "lt"] = "lte"
    require_rural: bool = True


class NetworkAlternative(Strict):
    """Fewer hospitals, but bought for centrally."""

    hospitals_between: tuple[int, int]
    centralized: bool = True
    min_affiliated_hcps: int = Field(default=0, ge=0)


class Network(Strict):
    """When a system is an integrated delivery network."""

    min_hospitals: int = Field(ge=2)
    alternative: NetworkAlternative | None = Field(default=None, alias="or")


class Classification(Strict):
    """Knobs of the organisation type."""

    cah: CriticalAccess
    idn: Network


class TierRule(Strict):
    """One tier and the expression that earns it."""

    id: str
    when: Any  # closed grammar: eq, in, gt, gte, lt, lte, all, any, not, at_least; a bare word is a predicate


class TierPolicy(Strict):
    """Classification, predicates and tiers, in the closed grammar of HEALTHCARE_RULES 3.12."""

    policy: Header
    assumptions: dict[str, Any]  # of the shape of Assumptions
    classify: dict[str, Any]  # of the shape of Classification
    predicates: dict[str, Any]
    tiers: tuple[TierRule, ...]  # best first
    untiered: str = "UNTIERED"


class Territory(Strict):
    """A geographic territory: states and the person who works it."""

    id: str
    name: str
    states: tuple[str, ...]
    owner: str = ""  # e-mail of the person; empty = the geographic representative of the state
    active: bool = True


class TerritoryPolicy(Strict):
    """Territories and the order in which an owner is looked for."""

    policy: Header
    owner_order: tuple[
        Literal["named", "root_owner", "merged_books", "majority_owner", "state_primary", "state_geo"], ...
    ]
    named_accounts: dict[str, str] = Field(default_factory=dict)  # vendor id or record id -> e-mail
    territories: tuple[Territory, ...] = ()
    coverage_level: Literal["ULTIMATE", "IDN", "AUTHORITY"] = "AUTHORITY"  # what shares one primary owner


class Rep(Strict):
    """One person who may own accounts."""

    email: str
    name: str
    role: Literal["PRIMARY", "GEO", "OVERLAY", "ACTIVATION", "INSIDE", "MANAGER"]
    states: tuple[str, ...] = ()
    service_lines: tuple[str, ...] = ()
    active: bool = True
    leave_from: str = ""
    leave_to: str = ""  # first day back
    delegate: str = ""  # e-mail of who stands in
    manager: str = ""  # e-mail
    capacity: int = Field(default=0, ge=0)  # open work carried at most, deals and leads; 0 = no limit
    since: str = ""  # ISO date the person began in this role
    ramp_until: str = ""  # ISO date, first day of full capacity; until then a part of it, and no comparison of quotas
    home_zip: str = ""  # ZIP code that travel begins at; empty = the middle of the territory
    quota_usd: int = Field(default=0, ge=0)  # of a year; 0 = none is known


class RepPolicy(Strict):
    """The roster. Empty = every active CRM user may own accounts, without a state."""

    policy: Header
    reps: tuple[Rep, ...] = ()
    ramp_capacity_bp: int = Field(default=5000, ge=0, le=10000)  # of a person's capacity, until ramp_until


class RoutingRule(Strict):
    """First rule that holds names the queue."""

    id: str
    when: Any
    queue: str


class RoutingPolicy(Strict):
    """Routing fields of an account."""

    policy: Header
    rules: tuple[RoutingRule, ...]
    default_queue: str


class Trust(Strict):
    """What a change by one kind of actor leads to, instead of on_drift and on_conflict."""

    actor: str  # human, integration, workflow, import, us; or one of them by id: integration:0055g00000ABCDEAA3
    verdict: Literal["review", "ours", "theirs", "converge"]  # converge: only what we wrote ourselves; it is agreed


class ApprovalRule(Strict):
    """Who has to agree, above a size (PLAN_AND_APPLY 3.5)."""

    of: str = Field(alias="class")  # a field group, * for every group, or guard_override
    accounts_over: int = Field(default=0, ge=0)  # the rule holds for more accounts than this in one apply
    named_accounts: bool = False  # it also holds for every named account, however few there are
    approvers: int = Field(default=2, ge=0, le=5)  # verified persons; 0, of guard_override only: any named person
    not_author: bool = True  # who made the plan does not count


class Cascade(Strict):
    """What goes along with a change of owner; not named = as the CRM's own settings have it."""

    keep_account_team: bool = True  # needs the lane that keeps teams; else such owner changes are blocked
    transfer_open_opportunities: bool = False  # of the account, owned by the old owner; false = they stay with him


class FieldPolicy(Strict):
    """What may happen to one managed field (PLAN_AND_APPLY 3.4)."""

    group: str = ""  # empty = a group of its own
    on_fill: Literal["auto", "review", "never"] = "auto"
    on_update: Literal["auto", "approve", "review"] = "approve"
    on_drift: Literal["review", "adopt", "enforce"] = "review"
    on_conflict: Literal["review", "ours", "theirs"] = "review"
    on_takeover: Literal["review", "ours", "adopt"] = "review"
    clear: Literal["forbid", "review", "auto"] = "forbid"
    min_delta: int = Field(default=0, ge=0)  # a number that moved less from the agreed value is no change; 0 = any
    successor_map: str = ""  # of the owner: CSV beside the policies, who takes over whose accounts; empty = none
    cascade: Cascade | None = None  # of the owner: what goes along
    override_until: str = ""  # ISO date on which values that the policy adopted are asked about again; empty = never
    trust: tuple[Trust, ...] = ()  # the first that fits who made the CRM's value; an unknown actor counts as human

    @property
    def always_wins(self) -> bool:
        """True where our value wins whoever moved the CRM's: only then may it be written without looking."""
        wins = all(one.verdict in ("ours", "converge") for one in self.trust)
        return self.on_drift == "enforce" and self.on_conflict == "ours" and wins


class MultiCrm(Strict):
    """Where an organisation is in several CRMs: which one is written, and which wait for its native sync."""

    master: str  # connection
    mirror: tuple[str, ...]  # connections that the master's sync writes to
    wait_for_echo: str = "20m"  # after our write to the master; minutes or hours: 20m, 2h

    @property
    def minutes(self) -> int:
        """How long a mirror waits; 0 for a text that says no time."""
        number, unit = self.wait_for_echo[:-1], self.wait_for_echo[-1:]
        return int(number) * {"m": 1, "h": 60}[unit] if number.isdecimal() and unit in ("m", "h") else 0


class ConflictPolicy(Strict):
    """Per managed field, what a difference leads to."""

    policy: Header
    fields: dict[str, FieldPolicy]
    plan_ttl_hours: int = 24
    block_owner_change_with_team: bool = True
    require_verified_person: bool = False  # decisions need a personal token and the role
    requires: tuple[ApprovalRule, ...] = ()
    fight_flips: int = Field(default=3, ge=0)  # changes between two values that make a fight; 0 = never
    fight_days: int = Field(default=14, ge=1)
    multi_crm: dict[str, MultiCrm] = Field(default_factory=dict)  # managed field -> who is written first
    successors: tuple[Successor, ...] = ()  # rows of the successor map; they stand in their own file
    propose_after_rule_change: bool = True  # the first apply of new rules writes only what a person approved

    @property
    def blocks_teams(self) -> bool:
        """True where an owner change that would end an account team is not made."""
        owner = self.fields.get("owner")
        lets_go = owner is not None and owner.cascade is not None and not owner.cascade.keep_account_team
        return self.block_owner_change_with_team and not lets_go


class AlertPolicy(Strict):
    """Who gets the ownership digest."""

    policy: Header
    recipients: tuple[str, ...]
    sender: str
    redact_accounts: bool = False
    attach_csv: bool = False


def _unset(name: str) -> Header:
    """Header of a policy that nobody wrote: it decides nothing."""
    return Header(id=name, version=1, owner="nobody", effective_from="1970-01-01")


class Policies(Strict):
    """All policies of one installation."""

    identity: IdentityPolicy
    survivorship: SurvivorshipPolicy
    hierarchy: HierarchyPolicy
    tiers: TierPolicy
    territories: TerritoryPolicy
    reps: RepPolicy
    routing: RoutingPolicy
    guards: GuardPolicy
    conflicts: ConflictPolicy
    alerts: AlertPolicy
    authority: AuthorityPolicy = AuthorityPolicy(policy=_unset("authority"), needs=(), defaults=())
    triggers: TriggerPolicy = TriggerPolicy(policy=_unset("triggers"), rules={})
    scores: ScorePolicy = ScorePolicy(policy=_unset("scores"))
    segments: SegmentPolicy = SegmentPolicy(policy=_unset("segments"))
    kpis: KpiPolicy = KpiPolicy(policy=_unset("kpis"))
    leads: LeadPolicy = LeadPolicy(policy=_unset("leads"))
    holds: HoldPolicy = HoldPolicy(policy=_unset("holds"))


class Mappings(Strict):
    """Everything `mappings/load.py` reads: maps, layouts, policies; the digest names this exact content."""

    crms: dict[str, CrmMap]  # by kind: salesforce, hubspot
    feeds: dict[str, FeedLayout]  # by feed name
    policies: Policies
    regulation: tuple[Regulation, ...]
    medicaid_expansion: tuple[Expansion, ...] = ()
    nurse_practice: tuple[Practice, ...] = ()
    con_by_facility: bool = False
    regulation_checked_on: str = ""  # ISO date, empty = never
    law_checked: dict[str, str] = Field(default_factory=dict)  # of the other two lists; ISO dates
    places: dict[str, tuple[int, int]] = Field(default_factory=dict)  # ZIP -> latitude, longitude in 1/10,000 degree
    digest: str  # sha256 over the canonical JSON of all of the above
    rules_digest: str = ""  # the same without the lists of people and places (mappings.versions.LISTS)
    file_digests: dict[str, str] = Field(default_factory=dict)  # file -> first digits of the sha256 over its content

    @property
    def law(self) -> Law:
        """What the law of each state asks, by date."""
        return Law(
            con=self.regulation,
            expansion=self.medicaid_expansion,
            practice=self.nurse_practice,
            by_facility=self.con_by_facility,
        )
