"""Facts that tier and routing expressions may mention: name, type, unit, meaning and, where closed, the values.

`sync/segmentation` supplies a column per tier fact, `sync/territory` one per routing fact; unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ORG_TYPES: tuple[str, ...] = (
    "IDN",
    "COMMUNITY_SYSTEM",
    "INDEPENDENT_HOSPITAL",
    "CAH",
    "CAH_LIKELY",
    "ASC",
    "PHYSICIAN_GROUP",
    "POST_ACUTE",
    "PAYER",
    "PBM",
    "LIFE_SCIENCES",
    "PUBLIC_HEALTH",
    "MSO_PLATFORM",
    "INVESTOR",
    "GPO",
    "ACO",
    "CIN",
    "PHO",
    "OTHER",
)
STRENGTHS: tuple[str, ...] = ("STRONG", "MODERATE", "WEAK")
SERVICE_LINES: tuple[str, ...] = ("ONCOLOGY", "CARDIOLOGY", "ORTHOPEDICS", "PRIMARY_CARE", "BEHAVIORAL_HEALTH")
SIZES: tuple[str, ...] = ("ENTERPRISE", "MID", "SMB")
EHR_VENDORS: tuple[str, ...] = ("EPIC", "ORACLE", "MEDITECH", "OTHER")
PAYER_CLASSES: tuple[str, ...] = ("COMMERCIAL_HEAVY", "MIXED", "GOV_HEAVY")
MOTIONS: tuple[str, ...] = ("CONTRACT_ACTIVATION", "DISPLACEMENT", "NEW_BUSINESS", "STANDARDIZATION")
AFFILIATIONS: tuple[str, ...] = ("PE_BACKED", "HOSPITAL_AFFILIATED", "INDEPENDENT")
MARGINS: tuple[str, ...] = ("HIGH", "VOLUME", "EMERGING")
HISTORIES: tuple[str, ...] = ("CUSTOMER", "OPEN", "LOST", "NONE")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFact:
    """One fact an expression may compare."""

    name: str
    type: type  # str, int or bool
    unit: str = ""
    meaning: str
    values: tuple[str, ...] = ()  # empty = open


def _fact(name: str, type_: type, meaning: str, *, unit: str = "", values: tuple[str, ...] = ()) -> PolicyFact:
    return PolicyFact(name=name, type=type_, unit=unit, meaning=meaning, values=values)


TIER_FACTS: tuple[PolicyFact, ...] = (
    _fact("org_type", str, "Type of the organisation", values=ORG_TYPES),
    _fact("oncology_strength", str, "Strength of the target service line", values=STRENGTHS),
    _fact("commercial_bp", int, "Commercial share of revenue", unit="basis points"),
    _fact("gov_bp", int, "Medicare and Medicaid share of revenue", unit="basis points"),
    _fact("non_con_bp", int, "Share of sites in states without certificate of need", unit="basis points"),
    _fact("gpo_covered", bool, "A GPO contract covers the purchasing category"),
    _fact("providers", int, "Affiliated providers", unit="people"),
    _fact("hospitals", int, "Hospitals owned", unit="hospitals"),
    _fact("beds", int, "Staffed beds", unit="beds"),
)
"""Facts of tiers.yaml, one value per deciding organisation."""

ROUTING_FACTS: tuple[PolicyFact, ...] = (
    *TIER_FACTS,
    _fact("account_tier", str, "Tier of the account"),
    _fact("tier_status", str, "CONFIRMED, or what keeps the tier provisional"),
    _fact("state", str, "USPS state code of the account"),
    _fact("owner_role", str, "Role in which the owner holds the account; unknown without an owner"),
    _fact("motion", str, "How the account is sold to", values=MOTIONS),
)
"""Facts of routing.yaml, one value per account."""


SEGMENT_FACTS: tuple[PolicyFact, ...] = (
    *TIER_FACTS,
    _fact("account_tier", str, "Tier of the deciding organisation"),
    _fact("size_tier", str, "Company size by revenue", values=SIZES),
    _fact("it_maturity", str, "1 to 3; unknown without evidence", values=("1", "2", "3")),
    _fact("ehr_vendor", str, "Health record vendor of most beds", values=EHR_VENDORS),
    _fact("payer_class", str, "Class of the payer mix", values=PAYER_CLASSES),
    _fact("motion", str, "How the account is sold to", values=MOTIONS),
    _fact("expansion_bp", int, "Share of sites in states that expanded Medicaid", unit="basis points"),
    _fact("full_practice_bp", int, "Share of sites where nurse practitioners practise fully", unit="basis points"),
    _fact("product_strength", str, "Strongest line that the purchasing category is sold into", values=STRENGTHS),
    _fact("line_margin", str, "Margin class of the largest service line", values=MARGINS),
    _fact("intent_path", str, "Where recent signals lead", values=("SALES", "NURTURE")),
    _fact("referral_bp", int, "Share of all known referring organisations that refer to it", unit="basis points"),
    _fact("affiliation", str, "Backing of a physician group", values=AFFILIATIONS),
    _fact("icp_profile", str, "Ideal customer profile that holds"),
    _fact("region", str, "Census region, or CANADA"),
    _fact("history", str, "Deals with us so far", values=HISTORIES),
    _fact("status", str, "ACTIVE or CLOSED", values=("ACTIVE", "CLOSED")),
    _fact("opted_out", bool, "The organisation asked not to be contacted"),
    _fact("high_intent", bool, "Enough strong signals in a short time"),
)
"""Facts of segments.yaml and of the gates in scores.yaml, one value per deciding organisation."""


def vocabulary(facts: tuple[PolicyFact, ...]) -> Mapping[str, tuple[type, tuple[str, ...]]]:
    """The facts as `expressions.check` wants them: name to type and allowed values."""
    return {f.name: (f.type, f.values) for f in facts}
