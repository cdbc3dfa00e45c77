"""The archetype of every organisation: what decides by default where nobody recorded who does."""

from __future__ import annotations

import narwhals as nw

from sync.engine import Frame
from sync.frames import cases, count_where, one_of, stack
from sync.hierarchy.forest import Forest
from sync.hierarchy.status import gone
from sync.segmentation.members import with_traits
from sync.world import TEXT, Schema

ARCHETYPES: Schema = {"account_id": TEXT, "system_account_id": TEXT, "archetype": TEXT}
"""One row per account; the archetypes are those of mappings/structure_policy.py."""

_PLATFORMS = ("MSO_PLATFORM", "PE_PLATFORM")


def archetypes(forest: Forest, accounts: Frame, min_hospitals: int) -> Frame:
    """ARCHETYPES. A system is an IDN from `min_hospitals` hospitals on; closed ones do not count."""
    traits = with_traits(accounts).select("account_id", nw.col("kind").alias("trait"), "cah")
    tree = forest.tree.hierarchy.select("account_id", "system_account_id", "basis").join(
        traits, on="account_id", how="left"
    )
    open_ones = tree.join(gone(forest.status).select("account_id"), on="account_id", how="anti")
    sums = open_ones.group_by("system_account_id").agg(
        count_where(nw.col("trait") == "HOSPITAL").alias("hospitals"), nw.len().alias("members")
    )
    table = tree.join(sums, on="system_account_id", how="left")
    table = table.join(_platforms(forest), on="system_account_id", how="left")
    table = table.join(_shared(forest), on="account_id", how="left")
    found = cases(
        [
            (nw.coalesce("members", nw.lit(1)) <= 1, "INDEPENDENT"),
            ((nw.col("trait") == "ASC") & (nw.col("owners") > 1), "ASC_JOINT_VENTURE"),
            (~nw.col("is_platform").is_null(), "PE_PLATFORM"),
            ((nw.col("trait") == "PHYSICIAN_GROUP") & (nw.col("hospitals") > 0), "HOSPITAL_GROUP"),
            (nw.col("cah") == "CAH", "CAH_MEMBER"),
            (nw.col("hospitals") >= min_hospitals, "IDN"),
        ],
        "COMMUNITY_SYSTEM",
    )
    return table.select("account_id", "system_account_id", found.alias("archetype"))


def _platforms(forest: Forest) -> Frame:
    """`system_account_id`, `is_platform`: management companies, and roots that a financial sponsor stands behind."""
    roots = [forest.nodes.filter(one_of(nw.col("kind"), _PLATFORMS)).select("account_id")]
    if forest.stated is not None:
        kind = nw.col("kind")
        roots.append(forest.stated.affiliations.filter(kind == "FINANCIAL_SPONSOR").select("account_id"))
    named = stack(roots).unique().rename({"account_id": "system_account_id"})
    return named.with_columns(is_platform=nw.lit(value=True))


def _shared(forest: Forest) -> Frame:
    """`account_id`, `owners`: how many organisations own each one of which that is known."""
    owns = forest.tree.candidates.filter(nw.col("kind") == "OWNS", nw.col("rivals") > 1)
    return owns.group_by(nw.col("child").alias("account_id")).agg(nw.len().alias("owners"))
