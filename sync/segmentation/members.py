"""What is known of an account before members are added up: its kind, its certificate, the law of its state."""

from __future__ import annotations

import narwhals as nw

from mappings.regulation import UNKNOWN, Law, law_on
from sync.engine import Engine, Frame
from sync.frames import cases, null
from sync.world import TEXT, Schema

_POST_ACUTE = "home health|hospice|skilled nursing|nursing facility|rehabilitation|long term acute"
_KINDS: tuple[tuple[str, str], ...] = (
    ("idn|health system|corporate parent", "SYSTEM"),
    ("surgery center|ambulatory surg", "ASC"),
    ("physician|medical group|group practice", "PHYSICIAN_GROUP"),
    (_POST_ACUTE, "POST_ACUTE"),
    ("dialysis|laborator|pharmac|imaging", "OTHER"),
    ("hospital|acute|psychiatric|children|critical access|religious", "HOSPITAL"),
)


def named_kind() -> nw.Expr:
    """What an organisation calls itself: its types, else the type of its account."""
    hospital = nw.coalesce("hospital_type", nw.lit(""))
    return nw.coalesce(nw.concat_str([nw.col("firm_type"), hospital], separator=" "), "account_type")


def kind_of(words: nw.Expr) -> nw.Expr:
    """Kind of care, or SYSTEM, by what an organisation calls itself in lower case; null for all others."""
    return cases([(words.str.contains(pattern), name) for pattern, name in _KINDS], null(TEXT))


def with_kind(accounts: Frame) -> Frame:
    """Adds `kind`. There are few types, and each is looked through once."""
    typed = accounts.with_columns(_type=named_kind())
    types = typed.select("_type").unique().with_columns(_words=nw.col("_type").str.to_lowercase())
    kinds = types.select("_type", kind_of(nw.col("_words")).alias("kind"))
    return typed.join(kinds, on="_type", how="left").drop("_type")


def with_traits(accounts: Frame) -> Frame:
    """Adds what roll-ups and classes rest on: `kind`, and `cah` with what its number and its flag say.

    `cah` is `NOT` where a certificate number or flag says it is none, unknown where neither is there.
    """
    flag = nw.col("is_critical_access")
    numbered = nw.col("ccn").str.slice(2, 2) == "13"
    told = with_kind(accounts).with_columns(
        cah_block=cases([(numbered, "CAH"), (~nw.col("ccn").is_null(), "NOT")], null(TEXT)),
        cah_flag=cases([(flag, "CAH"), (~flag, "NOT")], null(TEXT)),
    )
    certified = (nw.col("cah_block") == "CAH") | (nw.col("cah_flag") == "CAH")
    return told.with_columns(cah=cases([(certified, "CAH")], nw.coalesce("cah_block", "cah_flag")))


STATE_LAW: Schema = {
    "state": TEXT,
    "con": TEXT,  # certificate of need for hospitals: CON, none, quasi, unknown
    "con_asc": TEXT,
    "con_post_acute": TEXT,
    "expansion": TEXT,  # of Medicaid: adopted, not_adopted; null = unknown
    "practice": TEXT,  # of nurse practitioners: full, reduced, restricted; null = unknown
}


def state_law(law: Law, as_of: str, engine: Engine, category: str = "") -> Frame:
    """STATE_LAW on the date, for a purchasing category."""
    rows = [
        {
            "state": one.state,
            "con": one.con["HOSPITAL"],
            "con_asc": one.con["ASC"],
            "con_post_acute": one.con["POST_ACUTE"],
            "expansion": None if one.expansion == UNKNOWN else one.expansion,
            "practice": None if one.practice == UNKNOWN else one.practice,
        }
        for one in law_on(law, as_of, category)
    ]
    return engine.table(rows, STATE_LAW)
