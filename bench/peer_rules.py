"""What both peers share: the default policy as plain constants, and the shape of the generated world."""

from __future__ import annotations

from mappings.canonical import ACCOUNT, MANAGED

FIELDS = MANAGED
SHARED = tuple(field.name for field in ACCOUNT if not field.managed)
NON_CON = ["KS", "TX", "CO"]
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
ABBREVIATIONS = {f" {short} ": f" {full} " for short, full in WORDS.items()}
STATUS_T1_HINTS = {
    "idn": "org_type is confirmed as IDN",
    "strong": "oncology_strength is confirmed as STRONG",
    "commercial": "commercial_bp is confirmed at least 5000",
    "free": "non_con_bp is confirmed at least 5000",
    "no_gpo": "gpo_covered is confirmed as false",
}
"""What makes each of the five first-tier predicates true, in the words of the tier status."""
