"""Schema of the policies about leads and about holds: who gets a lead, who keeps an account, who settles a dispute."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from mappings.schema import Header, Strict

Stage = Literal["junk", "match", "successor", "hold", "gpo_activation", "overlay", "system_owner", "geo_rep", "queue"]
STAGES: tuple[str, ...] = get_args(Stage)

Assign = Literal[
    "reject", "record_owner", "activation_rep", "overlay_rep", "system_owner", "account_owner", "geo_rep", "queue"
]
"""Whom a rule names: reject = nobody; record_owner = the owner in the CRM now; account_owner = the owner by rule."""

TieBreaker = Literal["open_opportunity", "customer", "same_zip5", "most_recent_activity", "lowest_org_id"]


class MatchWeights(Strict):
    """What the parts of a comparison weigh; a part that is unknown on one side is left out."""

    name: int = Field(default=60, ge=1)
    zip5: int = Field(default=25, ge=0)
    state: int = Field(default=10, ge=0)  # only where a ZIP code is unknown
    phone: int = Field(default=15, ge=0)
    domain: int = Field(default=25, ge=0)  # counts where it agrees: an organisation may have many


class MatchPolicy(Strict):
    """When a lead is about an account that is known."""

    min_score_bp: int = Field(default=8500, ge=0, le=10_000)
    min_margin_bp: int = Field(default=1000, ge=0, le=10_000)  # to the next organisation that another person works
    name_only_max_bp: int = Field(default=9000, ge=0, le=10_000)  # where nothing but the name can be compared
    weights: MatchWeights = MatchWeights()
    tie_breakers: tuple[TieBreaker, ...] = get_args(TieBreaker)
    free_mail: tuple[str, ...] = ()  # domains that say nothing about the organisation


class JunkPolicy(Strict):
    """What is no lead."""

    domains: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # whole names, any case


class Overlay(Strict):
    """A specialist for a service line in some states."""

    id: str
    line: str
    rep: str  # e-mail
    states: tuple[str, ...] = ()  # empty = everywhere
    credit_split_bp: int = Field(default=0, ge=0, le=10_000)


class Queue(Strict):
    """Who works a queue, by name or by role; the one with the least open work for the capacity is next."""

    members: tuple[str, ...] = ()  # e-mails
    roles: tuple[str, ...] = ()


class LeadRule(Strict):
    """One step of the routing. Within a stage, the first rule that is known to hold and names somebody wins."""

    id: str
    stage: Stage
    when: Any  # closed grammar over the facts of mappings/leads.py
    assign: Assign
    add: tuple[Assign, ...] = ()  # collaborators


class LeadPolicy(Strict):
    """How leads are routed (HEALTHCARE_RULES 3.7)."""

    policy: Header
    precedence: tuple[Stage, ...] = ()
    junk: JunkPolicy = JunkPolicy()
    match: MatchPolicy = MatchPolicy()
    specialised_lines: tuple[str, ...] = ()
    product_lines: dict[str, str] = Field(default_factory=dict)  # product -> service line
    default_function: Literal["CLINICAL", "PROCUREMENT", "IT", "BUDGET"] = "PROCUREMENT"
    default_category: str = "ALL"
    overlays: tuple[Overlay, ...] = ()
    rules: tuple[LeadRule, ...] = ()
    queues: dict[str, Queue] = Field(default_factory=dict)
    unmatched_queue: str = ""
    ambiguous_queue: str = ""
    work_days: int = Field(default=30, ge=1)  # a lead routed so long ago still counts as open work


Winner = Literal["acquirer_owner", "open_pipeline", "tenure", "capacity"]


class ConflictRule(Strict):
    """Who wins where two claims meet, and who settles what no rule settles."""

    owns: str = ""  # who owns what, in words for people
    transfers: str = ""  # when it goes over, in words for people
    winner: tuple[Winner, ...] = ()
    keep: Literal["", "incumbent"] = ""
    escalate_to: str = Field(min_length=1)  # a role of the roster or an e-mail
    within_hours: int = Field(default=48, ge=1)


CONFLICTS: tuple[str, ...] = (
    *("two_primaries", "parent_no_control", "open_opportunity", "ambiguous_lead", "unassigned_lead"),
)
"""Conflicts that need a rule before anything is planned or routed (R60)."""


class Exempt(Strict):
    """Opportunities so late that the account stays with whoever works them until they close."""

    stage_gte: int = 5
    max_days: int = Field(default=365, ge=1)


class Eligible(Strict):
    """Opportunities for which the account may stay for a while."""

    stage_gte: int = 3
    amount: int | Literal["p50"] = "p50"  # US dollars; p50 = median of all open opportunities


class Grandfather(Strict):
    """Customers of some standing keep their owner until the next plan."""

    tenure_months_gte: int = Field(default=12, ge=0)
    next_plan: str = "01-01"  # month and day on which a new territory plan begins
    transition_tiers: tuple[str, ...] = ("T1",)  # of a system: a dated transition instead, one system has one owner
    transition_days: int = Field(default=30, ge=1)


class HoldPolicy(Strict):
    """Who keeps an account for a while, and the rules of conflict (HEALTHCARE_RULES 3.8, R60)."""

    policy: Header
    stages: dict[str, int] = Field(default_factory=dict)  # name of an opportunity's stage -> its number
    exempt: Exempt = Exempt()
    eligible: Eligible = Eligible()
    expires_days: int = Field(default=90, ge=1)
    max_per_rep: int = Field(default=10, ge=0)
    grandfather: Grandfather | None = None  # none = nobody is
    conflicts: dict[str, ConflictRule] = Field(default_factory=dict)
