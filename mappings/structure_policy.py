"""Schema of the policies about structure: who decides (authority), and which events ask for a new look (triggers)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mappings.schema import Header, Strict

Function = Literal["CLINICAL", "PROCUREMENT", "IT", "BUDGET", "ALL"]
Level = Literal["SITE", "REGION", "SYSTEM", "MSO", "PLATFORM", "GPO"]
Archetype = Literal[
    "INDEPENDENT",
    "IDN",
    "COMMUNITY_SYSTEM",
    "CAH_MEMBER",
    "HOSPITAL_GROUP",
    "PE_PLATFORM",
    "ASC_JOINT_VENTURE",
]


class AuthorityDefault(Strict):
    """Who decides in one archetype where nobody recorded it. The first line that fits counts."""

    archetype: Archetype
    function: Function = "ALL"
    level: Level


class AuthorityNeed(Strict):
    """One question that is answered for every account."""

    function: Function
    service_line: str = "ALL"  # TARGET = the target service line of tiers.yaml
    category: str = "ALL"  # TARGET = the purchasing category of tiers.yaml


class AuthorityPolicy(Strict):
    """Who decides (HEALTHCARE_RULES 3.3)."""

    policy: Header
    needs: tuple[AuthorityNeed, ...]
    tier_need: int = 0  # place in `needs` of the question whose answer carries the tier
    source_priority: tuple[Literal["STEWARD", "REP", "FEED"], ...] = ("STEWARD", "REP", "FEED")
    expires_days: dict[str, int] = Field(default_factory=dict)  # source -> days from valid_from where no end is given
    defaults: tuple[AuthorityDefault, ...]
    inherit_tier_from: tuple[Level, ...] = ("REGION", "SYSTEM", "MSO", "PLATFORM", "GPO")
    standalone_kinds: tuple[Literal["HOSPITAL", "PHYSICIAN_GROUP", "ASC", "POST_ACUTE", "OTHER"], ...] = ()


EventKind = Literal[
    "OWNERSHIP_CHANGE",
    "SERVICE_LINE_CHANGE",
    "PAYER_CONTRACT",
    "TECH_CHANGE",
    "REGULATORY",
    "CLOSURE",
    "SUCCESSION",
    "REP_CHANGE",
]


class TriggerRule(Strict):
    """What one kind of event asks for."""

    sla_days: int = Field(ge=0)
    gate: Literal["auto", "approval"]
    approve_if: tuple[Literal["tier_1", "open_opportunity"], ...] = ()  # approval only then; empty = always
    flags: tuple[str, ...]  # relations of the affected accounts that get the re-score flag
    recompute: tuple[str, ...]


class TriggerPolicy(Strict):
    """Events that ask for a new score (HEALTHCARE_RULES 3.6)."""

    policy: Header
    window_days: int = 30  # dated facts that began or ended, or became known, within so many days
    flapping_days: int = 14  # there and back again within so many days is one event to look at
    service_line_delta_bp: int = 2000  # change of a line's revenue that counts, relative to before
    rules: dict[EventKind, TriggerRule]
