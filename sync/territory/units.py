"""Coverage units: accounts that must share one primary owner.

ULTIMATE   a health system with all its members, or an organisation that stands alone
IDN        each division with what is below it; members outside any division stay with the system
AUTHORITY  each region that decides by record with what it decides for; everything else stays with the system

What is closed belongs to the unit of its successor, and to none where nobody took over.
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import TerritoryPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, null, stack
from sync.world import BOOL, TEXT, Schema

REGIONAL_ROLE = "REGIONAL_PRIMARY"
"""Role of the owner of a unit below a system; the system's own record has the national account manager as PRIMARY."""

UNITS: Schema = {
    "account_id": TEXT,
    "unit": TEXT,  # account of the unit's root; null = closed without a successor
    "unit_name": TEXT,
    "state": TEXT,
    "is_regional": BOOL,  # the unit is below a system
    "is_gone": BOOL,  # closed or merged: counts for nothing, owned as its successor is
}
"""One row per account."""

_DIVISION = "idn|health system|corporate parent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The hierarchy and what bends units away from it."""

    accounts: Frame  # ACCOUNTS
    hierarchy: Frame  # HIERARCHY
    recorded: Frame | None  # ANSWERS that rest on records
    gone: Frame | None  # account_id, successor_account_id


def coverage_units(tree: Tree, policy: TerritoryPolicy, engine: Engine) -> Frame:
    """UNITS of every account of the hierarchy."""
    base = _with_regions(tree, policy, engine)
    named = base.join(tree.accounts.select("account_id", "state"), on="account_id", how="left")
    if tree.gone is not None and engine.count(tree.gone.head(1)):
        named = _handed_over(named, tree.gone, base)
    else:
        named = named.with_columns(is_gone=nw.lit(value=False))
    return conform(named, UNITS)


def _with_regions(tree: Tree, policy: TerritoryPolicy, engine: Engine) -> Frame:
    """`account_id`, `unit`, `unit_name`, `is_regional` before anything closed."""
    plain = tree.hierarchy.select("account_id", nw.col("system_account_id").alias("system"), "system_name")
    regions = _regions(tree, policy, engine)
    if regions is None:
        return plain.select(
            "account_id",
            nw.col("system").alias("unit"),
            nw.col("system_name").alias("unit_name"),
            nw.lit(value=False).alias("is_regional"),
        )
    names = tree.accounts.select(nw.col("account_id").alias("region"), nw.col("name").alias("region_name"))
    joined = plain.join(regions, on="account_id", how="left").join(names, on="region", how="left")
    regional, name = certain(nw.col("region") != nw.col("system")), nw.coalesce("region_name", "region")
    return joined.select(
        "account_id",
        nw.when(regional).then(nw.col("region")).otherwise(nw.col("system")).alias("unit"),
        nw.when(regional).then(name).otherwise(nw.col("system_name")).alias("unit_name"),
        regional.alias("is_regional"),
    )


def _regions(tree: Tree, policy: TerritoryPolicy, engine: Engine) -> Frame | None:
    """`account_id`, `region` of accounts whose unit may be below their system; None = there are none."""
    if policy.coverage_level == "ULTIMATE":
        return None
    if policy.coverage_level == "IDN":
        return engine.materialize(_divisions(tree, engine))
    if tree.recorded is None:
        return None
    deciding = tree.recorded.filter(nw.col("level") == "REGION", ~nw.col("holder_account_id").is_null())
    first = first_by(deciding, ["account_id"], ["need"])
    regions = engine.materialize(first.select("account_id", nw.col("holder_account_id").alias("region")))
    return regions if engine.count(regions.head(1)) else None


def _divisions(tree: Tree, engine: Engine) -> Frame:
    """Each account's nearest division at or above it, level by level; none for members of the system itself."""
    kinds = tree.accounts.select(
        "account_id", certain(nw.col("firm_type").str.to_lowercase().str.contains(_DIVISION)).alias("is_division")
    )
    table = engine.materialize(
        tree.hierarchy.select("account_id", "parent_account_id", "depth").join(kinds, on="account_id", how="left")
    )
    level = engine.materialize(table.filter(nw.col("depth") == 0).select("account_id", null(TEXT).alias("region")))
    levels = [level]
    while engine.count(level.head(1)):
        above = level.select(nw.col("account_id").alias("parent_account_id"), nw.col("region").alias("above"))
        below = table.join(above, on="parent_account_id", how="inner")
        region = cases([(nw.col("is_division"), nw.col("account_id"))], nw.col("above"))
        level = engine.materialize(below.select("account_id", region.alias("region")))
        levels.append(level)
    return stack(levels)


def _handed_over(units: Frame, gone: Frame, base: Frame) -> Frame:
    """What is closed in the unit of its successor."""
    heirs = gone.with_columns(is_gone=nw.lit(value=True)).join(
        base.select(
            nw.col("account_id").alias("successor_account_id"),
            nw.col("unit").alias("heir_unit"),
            nw.col("unit_name").alias("heir_name"),
            nw.col("is_regional").alias("heir_regional"),
        ),
        on="successor_account_id",
        how="left",
    )
    joined = units.join(heirs, on="account_id", how="left")
    over = certain(nw.col("is_gone"))
    return joined.with_columns(
        unit=nw.when(over).then(nw.col("heir_unit")).otherwise(nw.col("unit")),
        unit_name=nw.when(over).then(nw.col("heir_name")).otherwise(nw.col("unit_name")),
        is_regional=certain(nw.when(over).then(nw.col("heir_regional")).otherwise(nw.col("is_regional"))),
        is_gone=over,
    )
