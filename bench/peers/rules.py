"""What both peers share: the default policies as plain constants, and the shape of what a peer gives."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mappings.canonical import ACCOUNT, FIRM, MANAGED

AS_OF = "2026-01-15"
FIELDS = MANAGED
SHARED = tuple(field.name for field in ACCOUNT if not field.managed)
FIRM_OWN = tuple(f.name for f in FIRM if f.name not in (*SHARED, "firm_id") and not f.name.startswith("idn_"))
GROUPS = {
    **dict.fromkeys(("owner", "owner_role", "territory", "routing_queue"), "ownership"),
    "parent": "hierarchy",
    "health_system": "system",
    **dict.fromkeys(("account_tier", "tier_status"), "segmentation"),
    "score": "score",
    **dict.fromkeys(("rescore_flag", "rescore_reason"), "rescore"),
}
FOLLOWERS = ("ownership", "system", "segmentation", "rescore")
"""Groups that follow from a change of parent, of the record itself or of one above it."""

# --- identity ---------------------------------------------------------------------------------------------------------

KEYS = ("definitive_id", "npi", "ccn", "name_phone", "system_place", "domain", "name_zip")
LEGAL = ("inc", "llc", "corp", "corporation", "ltd", "lp", "pc", "co", "company", "the")
WORDS = {
    "st": "saint",
    "mt": "mount",
    "ctr": "center",
    "hosp": "hospital",
    "med": "medical",
    "mem": "memorial",
    "reg": "regional",
    "hlth": "health",
    "univ": "university",
    "gen": "general",
}
STREET_WORDS = {"street": "st", "avenue": "ave", "road": "rd", "drive": "dr", "lane": "ln", "north": "n", "south": "s"}
KIND_WORDS = (
    *(("home health", "home_health"), ("hospice", "hospice"), ("nursing", "snf"), ("dialysis", "dialysis")),
    *(("idn", "system"), ("health system", "system"), ("corporate parent", "system"), ("hospital", "hospital")),
    *(("acute", "hospital"), ("psychiatric", "hospital"), ("physician", "physicians"), ("surgery", "asc")),
)
SPECIALTY_WORDS = (
    *(("rehabilitation", "rehab"), ("psychiatric", "psych"), ("long term", "ltch"), ("short term", "general")),
    *(("critical access", "general"), ("children", "general"), ("acute care", "general")),
)
SIMILAR, SAME = 80, 95


def first_word(text: str | None, words: tuple[tuple[str, str], ...]) -> str | None:
    """What the first word that occurs in a text stands for."""
    lowered = (text or "").lower()
    return next((meaning for word, meaning in words if word in lowered), None)


# --- golden accounts --------------------------------------------------------------------------------------------------

CRM_FIRST = ("name", "phone", "domain", "employees", "annual_revenue_cents")
TTL_DAYS = {
    "phone": 1095,
    "employees": 730,
    "annual_revenue_cents": 730,
    "staffed_beds": 1095,
    "net_patient_revenue_cents": 1095,
    "ehr_vendor": 1095,
}
COMPARED = ("state", "zip5", "phone", "domain", "ccn", "npi", "employees", "annual_revenue_cents")

# --- segmentation -----------------------------------------------------------------------------------------------------

LINES = ("oncology", "cardiology", "orthopedics", "primary_care", "behavioral_health")
KIND_PATTERNS = (
    ("idn|health system|corporate parent", "SYSTEM"),
    ("surgery center|ambulatory surg", "ASC"),
    ("physician|medical group|group practice", "PHYSICIAN_GROUP"),
    ("home health|hospice|skilled nursing|nursing facility|rehabilitation|long term acute", "POST_ACUTE"),
    ("dialysis|laborator|pharmac|imaging", "OTHER"),
    ("hospital|acute|psychiatric|children|critical access|religious", "HOSPITAL"),
)
OWN_KINDS = ("POST_ACUTE", "ASC", "PHYSICIAN_GROUP", "OTHER")
STANDALONE_KINDS = ("HOSPITAL", "PHYSICIAN_GROUP", "ASC")
NON_CON, CON = ("KS", "TX", "CO"), ("IA", "NE", "MO", "OK", "AR")
EXPANDED, FULL_PRACTICE = ("IA", "NE", "MO", "OK", "CO", "AR"), ("KS", "IA", "NE", "CO")
"""States that expanded Medicaid; states where nurse practitioners practise fully."""
REGION = {"KS": "MIDWEST", "IA": "MIDWEST", "NE": "MIDWEST", "MO": "MIDWEST", "OK": "SOUTH", "TX": "SOUTH"} | {
    "CO": "WEST",
    "AR": "SOUTH",
}
DAYS = "days in the feed, not revenue"
STRONG_BP = 1500
WANTED = {
    "is_idn": "org_type is confirmed as IDN",
    "target_strong": "oncology_strength is confirmed as STRONG",
    "commercial": "commercial_bp is confirmed at least 5000",
    "non_con": "non_con_bp is confirmed at least 5000",
    "no_gpo": "gpo_covered is confirmed as false",
}
"""What makes each predicate of the first tier true, in the words of the tier status."""
PREDICATES = ("is_idn", "icp_type", "target_mod", "target_strong", "commercial", "gov_heavy", "non_con", "no_gpo")
POTENTIAL_USD = {
    "IDN": 1_125_000,
    "COMMUNITY_SYSTEM": 300_000,
    "INDEPENDENT_HOSPITAL": 200_000,
    "CAH": 75_000,
    "CAH_LIKELY": 75_000,
    "PHYSICIAN_GROUP": 125_000,
    "ASC": 62_500,
    "POST_ACUTE": 50_000,
}
SEGMENTS = {  # by organisation type, after the strategic systems
    **dict.fromkeys(("IDN", "COMMUNITY_SYSTEM"), "regional-systems"),
    **dict.fromkeys(("INDEPENDENT_HOSPITAL", "CAH", "CAH_LIKELY"), "community-hospitals"),
    **dict.fromkeys(("ASC", "PHYSICIAN_GROUP", "POST_ACUTE"), "ambulatory-and-post-acute"),
}
SCORE_WEIGHTS = {  # in thousandths of the whole
    "beds": 40,
    "strength": 240,
    "payer": 120,
    "engagement": 250,
    "ehr": 60,
    "it_maturity": 45,
    "intent": 45,
    "contacts": 80,
    "champion": 60,
    "history": 60,
}
SCORE_POINTS: dict[str, dict[str, int]] = {
    "strength": {"STRONG": 100, "MODERATE": 60, "WEAK": 20},
    "payer": {"COMMERCIAL_HEAVY": 100, "MIXED": 50, "GOV_HEAVY": 20},
    "ehr": {"EPIC": 100, "ORACLE": 80, "MEDITECH": 60, "OTHER": 30},
    "it_maturity": {"3": 100, "2": 60, "1": 20},
}
MISSING_POINTS, MIN_PEERS, MIN_COVERAGE_BP = 50, 5, 6000
BANDS = (("A", 700), ("B", 500), ("C", 300), ("D", 0))

# --- plan -------------------------------------------------------------------------------------------------------------

SEVERITY = ("conflict", "takeover", "drift", "clear", "update", "fill")
CAUTION = ("blocked", "review", "approve", "auto")
ACTIONS = {  # by group: fill, update, drift, conflict, takeover, clear
    "ownership": ("review", "approve", "review", "review", "review", "blocked"),
    "hierarchy": ("auto", "approve", "review", "review", "review", "review"),
    "system": ("auto", "auto", "auto", "auto", "review", "review"),
    "segmentation": ("auto", "auto", "auto", "auto", "auto", "blocked"),
    "score": ("auto", "auto", "auto", "auto", "auto", "blocked"),
    "rescore": ("auto", "auto", "agree", "auto", "auto", "auto"),
}
STATES = ("fill", "update", "drift", "conflict", "takeover", "clear")
LIMITS = {  # count, basis points of the population
    "owner_changes": (50, 200),
    "owner_moves": (50, 200),
    "owner_lost_by_rep": (20, 1500),
    "owner_gained_by_rep": (30, 2000),
    "accounts_to_one_owner": (200, 0),
    "parent_changes": (25, 200),
    "any_field": (50, 1000),
    "tier_downgrades": (25, 500),
    "clears": (0, 0),
    "first_contact": (0, 0),
}
TIER_ORDER = ("T1", "T2", "T3", "UNTIERED")
Guard = tuple[str, str, int, int, int, bool]  # guard, subject, measured, population, limit, breached


def limit(guard: str, population: int) -> int:
    """The larger of the count and the share of a guard."""
    count, share_bp = LIMITS[guard]
    return max(count, population * share_bp // 10_000)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything a peer decided, in the columns of the core's tables."""

    links: pl.DataFrame
    accounts: pl.DataFrame
    hierarchy: pl.DataFrame
    tiers: pl.LazyFrame  # as in the core: kept once per system, inherited when somebody asks
    profiles: pl.LazyFrame
    ownership: pl.DataFrame
    items: pl.DataFrame
    changes: pl.DataFrame
    events: pl.DataFrame
    guards: tuple[Guard, ...]
    digest: str
