"""What the members of a deciding organisation add up to: hospitals, beds, states, payer bounds, line revenue."""

from __future__ import annotations

import narwhals as nw

from mappings.regulation import UNKNOWN, Law, law_on
from sync.engine import Engine, Frame
from sync.frames import cases, count_where, null
from sync.world import INT, TEXT, Schema

_POST_ACUTE = "home health|hospice|skilled nursing|nursing facility|rehabilitation|long term acute"
_KINDS: tuple[tuple[str, str], ...] = (
    ("idn|health system|corporate parent", "SYSTEM"),
    ("surgery center|ambulatory surg", "ASC"),
    ("physician|medical group|group practice", "PHYSICIAN_GROUP"),
    (_POST_ACUTE, "POST_ACUTE"),
    ("dialysis|laborator|pharmac|imaging", "OTHER"),
    ("hospital|acute|psychiatric|children|critical access|religious", "HOSPITAL"),
)


def with_traits(accounts: Frame) -> Frame:
    """Adds what roll-ups and classes rest on: `kind`, and `cah` with what its number and its flag say.

    Accounts that have them already are given back as they are: the words of a type are looked through once.
    """
    if "kind" in accounts.collect_schema().names():
        return accounts
    words = nw.coalesce(
        nw.concat_str([nw.col("firm_type"), nw.coalesce("hospital_type", nw.lit(""))], separator=" "), "account_type"
    ).str.to_lowercase()
    typed = accounts.with_columns(_words=words)
    looked = nw.col("_words").str.contains
    kind = cases([(looked(pattern), name) for pattern, name in _KINDS], nw.lit(None, dtype=TEXT))
    kinds = typed.select("_words").unique().with_columns(kind=kind)  # there are few types: each is looked at once
    numbered = nw.col("ccn").str.slice(2, 2) == "13"
    return (
        typed.join(kinds, on="_words", how="left")
        .with_columns(
            cah=cases([(numbered, "CAH"), (nw.col("is_critical_access"), "CAH")], _no_certificate()),
            cah_block=cases([(numbered, "CAH"), (~nw.col("ccn").is_null(), "NOT")], null(TEXT)),
            cah_flag=cases([(nw.col("is_critical_access"), "CAH"), (~nw.col("is_critical_access"), "NOT")], null(TEXT)),
        )
        .drop("_words")
    )


def _no_certificate() -> nw.Expr:
    """`NOT` where a certificate number or flag says it is none, unknown where neither is there."""
    return cases([(~nw.col("ccn").is_null(), "NOT"), (~nw.col("is_critical_access"), "NOT")], nw.lit(None, dtype=TEXT))


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


def roll_up(traits: Frame, con: Frame) -> Frame:
    """One row per `holder_account_id` with sums, counts and bounds over its member hospitals.

    `*_missing` counts hospitals where the value is unknown: a sum with missing parts is a lower bound only.
    """
    hospital = nw.col("kind") == "HOSPITAL"
    state = nw.when(hospital).then(nw.col("state"))
    sited = traits.join(con, on="state", how="left").with_columns(
        hospital_state=state,
        hospital_beds=nw.when(hospital).then(nw.col("staffed_beds")),
        free=hospital & (nw.col("con") == "none"),
        unruled=hospital & (nw.col("con").is_null() | (nw.col("con") == "unknown")),
        is_hospital=hospital,
        expanded=hospital & (nw.col("expansion") == "adopted"),
        unexpanded=hospital & nw.col("expansion").is_null(),
        autonomous=hospital & (nw.col("practice") == "full"),
        unpractised=hospital & nw.col("practice").is_null(),
    )
    return sited.group_by("holder_account_id").agg(
        count_where(nw.col("is_hospital")).alias("hospitals"),
        count_where(nw.col("is_hospital") & nw.col("hospital_beds").is_null()).alias("beds_missing"),
        count_where(nw.col("free")).alias("free_sites"),
        count_where(nw.col("unruled")).alias("unruled_sites"),
        count_where(nw.col("expanded")).alias("expansion_sites"),
        count_where(nw.col("unexpanded")).alias("expansion_missing"),
        count_where(nw.col("autonomous")).alias("practice_sites"),
        count_where(nw.col("unpractised")).alias("practice_missing"),
        nw.col("hospital_beds").sum().cast(INT).alias("beds_known"),
        count_where(nw.col("is_hospital") & nw.col("hospital_state").is_null()).alias("states_missing"),
        nw.col("hospital_state").min().alias("first_state"),
        nw.col("hospital_state").max().alias("last_state"),
    )
