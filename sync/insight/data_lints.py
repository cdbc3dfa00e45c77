"""Lints of the data that everything rests on."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Engine
from sync.frames import certain
from sync.identity.parties import live
from sync.insight.lint import Level, Lint, Looked, evidence
from sync.insight.standing import days_between
from sync.segmentation.members import with_traits
from sync.world import INT

# --- data -------------------------------------------------------------------------------------------------------------


def cah_limit(looked: Looked, engine: Engine) -> Lint:
    """Hospitals whose class hangs on whether the limit of beds is included."""
    rule = looked.mappings.policies.tiers.classify.get("cah", {})
    limit = int(rule.get("max_beds", 25))
    traits = with_traits(looked.found.accounts)
    rural = certain(nw.col("is_rural")) if rule.get("require_rural", True) else nw.col("kind") == "HOSPITAL"
    exact = traits.filter(
        certain(nw.col("kind") == "HOSPITAL"), nw.col("cah").is_null(), nw.col("staffed_beds") == limit, rural
    )
    return Lint(
        id="CAH-25",
        level=Level.INFO,
        title=f"Hospitals with exactly {limit} beds and no certificate",
        rows=evidence(exact, ("name", "state", "staffed_beds"), engine),
        fix="confirm the certificate (CCN or feed flag); max_beds_operator in tiers.yaml decides until then",
    )


def payer_sum(looked: Looked, engine: Engine) -> Lint:
    """Payer shares that do not make a whole; they are not used."""
    knobs = looked.mappings.policies.segments.payers
    parts = ("medicare_days_bp", "medicaid_days_bp", "other_days_bp")
    known = ~nw.col(parts[0]).is_null() & ~nw.col(parts[1]).is_null() & ~nw.col(parts[2]).is_null()
    rest = nw.coalesce("medicare_advantage_days_bp", nw.lit(0)) + nw.coalesce("commercial_days_bp", nw.lit(0))
    total = nw.col(parts[0]) + nw.col(parts[1]) + nw.col(parts[2]) + rest
    wrong = looked.found.accounts.with_columns(total_bp=total).filter(
        known, (nw.col("total_bp") < knobs.sum_from_bp) | (nw.col("total_bp") > knobs.sum_to_bp)
    )
    return Lint(
        id="PAYER-SUM",
        level=Level.WARN,
        title="Payer shares that do not add up to 98 to 102 %",
        rows=evidence(wrong, ("name", *parts, "total_bp", "firm_source"), engine),
        fix="correct the delivery at the vendor",
    )


def expired_holds(looked: Looked, engine: Engine) -> Lint:
    """Holds whose last day has passed."""
    rows = tuple({"subject": row["record_id"], **row} for row in looked.expired_holds)
    return Lint(
        id="HOLD-EXPIRED",
        level=Level.WARN,
        title="Holds past their last day",
        rows=rows,
        fix="platbook plan: what the hold kept back is decided again",
    )


def inactive_owners(looked: Looked, engine: Engine) -> Lint:
    """Records that somebody owns who is no longer active."""
    users = looked.found.world.users.filter(~certain(nw.col("is_active"))).select(
        "connection", nw.col("user_id").alias("owner"), "email"
    )
    records = live(looked.found.world.records).select("connection", "record_id", "name", "owner")
    counted = (
        records.join(users, on=["connection", "owner"], how="inner")
        .group_by("connection", "email")
        .agg(nw.len().cast(INT).alias("records"))
    )
    rows = sorted(engine.rows(counted), key=lambda row: (row["connection"], row["email"] or ""))
    return Lint(
        id="OWNER-INACTIVE",
        level=Level.ERROR,
        title="Records owned by people who are not active",
        rows=tuple({"subject": row["email"] or "?", **row} for row in rows),
        fix="platbook plan && platbook show --where 'group=ownership', then platbook approve",
    )


def regulation(looked: Looked, engine: Engine) -> Lint:
    """Rules of law that nobody compared with the law for a year."""
    limit = looked.mappings.policies.kpis.regulation_stale_days
    lists = {"states": looked.mappings.regulation_checked_on, **looked.mappings.law_checked}
    rows = []
    for name, checked in sorted(lists.items()):
        age = days_between(checked, looked.found.as_of)
        if age is None or age > limit:
            rows.append({"subject": name, "checked_on": checked or "never", "age_days": age, "at_most": limit})
    return Lint(
        id="REG-STALE",
        level=Level.WARN,
        title="Regulation not compared with the law for a year",
        rows=tuple(rows),
        fix="compare the list in regulation.yaml with its citations and set checked_on or checked",
    )


def size_disagrees(looked: Looked, engine: Engine) -> Lint:
    """Organisations whose revenue and employees say different sizes."""
    odd = looked.found.profiles.filter(
        nw.col("account_id") == nw.col("holder_account_id"), certain(nw.col("size_disagrees"))
    )
    return Lint(
        id="SIZE-DISAGREES",
        level=Level.INFO,
        title="Revenue and employees say different sizes",
        rows=evidence(odd, ("name", "size_tier"), engine),
        fix="correct the employees in the CRM; revenue decides",
    )


def lighthouses(looked: Looked, engine: Engine) -> Lint:
    """Segments with fewer or more reference accounts than meant."""
    told = next((one for one in looked.kpis if one.id == "R42"), None)
    rows = tuple({"subject": row["segment"], **row} for row in (told.rows if told else ()) if row["reading"])
    return Lint(
        id="LIGHTHOUSE-COUNT",
        level=Level.INFO,
        title="Segments outside their number of lighthouse accounts",
        rows=rows,
        fix="confirm lighthouse_brand, lighthouse_outcome, lighthouse_reference",
    )
