"""Which candidate parent controls a child: operator, else majority by ultimate parent, else the only one there is."""

from __future__ import annotations

import narwhals as nw

from mappings.policy import HierarchyPolicy
from sync.engine import Frame
from sync.frames import cases, certain, conform, first_by, null, one_of, stack
from sync.world import TEXT, Schema

DECIDED: Schema = {"child": TEXT, "parent": TEXT, "basis": TEXT, "source_ref": TEXT, "conflict": TEXT}
"""One row per child; `parent` is null where nobody controls it and today's parent is no candidate."""

NO_CONTROL = "NO_CONTROL"
_OPERATING = ("MANAGES", "LEASES")


def decide_single(edges: Frame, incumbents: Frame, policy: HierarchyPolicy) -> Frame:
    """DECIDED for children with one candidate edge."""
    override = certain(nw.col("is_override"))
    basis = cases(
        [
            (override, "steward_override"),
            (_operates(), "operator"),
            (one_of(nw.col("kind"), _OPERATING), "no_control"),
            (nw.col("kind") != "OWNS", "site_of"),
            (nw.col("pct_bp").is_null(), "owns_pct_unknown"),
            (nw.col("pct_bp") > policy.majority_bp, "owns_majority"),
        ],
        "no_control",
    )
    alone = override & (nw.col("parent") == nw.col("child"))  # it stands alone, whatever else is known
    judged = edges.with_columns(basis=basis, parent=nw.when(~alone).then(nw.col("parent")))
    lost = _keep_incumbent(judged.filter(nw.col("basis") == "no_control"), incumbents)
    return stack([conform(judged.filter(nw.col("basis") != "no_control"), DECIDED), lost])


def decide_between(edges: Frame, resolved: Frame, incumbents: Frame, policy: HierarchyPolicy) -> Frame:
    """DECIDED for those children with several candidate edges whose candidate parents are all resolved."""
    systems = resolved.select(nw.col("account_id").alias("parent"), nw.col("system_account_id").alias("ultimate"))
    joined = edges.join(systems, on="parent", how="left")
    waiting = joined.filter(nw.col("ultimate").is_null()).select("child").unique()
    ready = joined.join(waiting, on="child", how="anti")
    options = stack(
        [
            _option(_only_parent(ready.filter(_operates())), "operator", 1),
            _option(_majority(ready, policy.majority_bp), "owns_majority", 2),
            _option(_only_owner_of_unknown_share(ready), "owns_pct_unknown", 3),
            _option(_only_site(ready), "site_of", 4),
        ]
    )
    won = first_by(options, ["child"], ["rank"])
    lost = _keep_incumbent(ready.join(won.select("child"), on="child", how="anti"), incumbents)
    return stack([conform(won, DECIDED), lost])


def edge_id() -> nw.Expr:
    """What makes an edge itself, in one text; made only for the few edges that are told apart by it."""
    parts = [nw.coalesce(nw.col(name), nw.lit("")) for name in ("child", "parent", "kind", "source", "source_ref")]
    return nw.concat_str(parts, separator="|")


def _operates() -> nw.Expr:
    """An operator that buys for the child beats owners and landlords."""
    return one_of(nw.col("kind"), _OPERATING) & certain(nw.col("procurement"))


def _majority(ready: Frame, majority_bp: int) -> Frame:
    """The largest edge of the ultimate parent that holds strictly more than the majority, all its edges summed."""
    owns = ready.filter(nw.col("kind") == "OWNS", ~nw.col("pct_bp").is_null())
    held = owns.group_by("child", "ultimate").agg(nw.col("pct_bp").sum().alias("held_bp"))
    controlling = owns.join(held.filter(nw.col("held_bp") > majority_bp), on=["child", "ultimate"], how="inner")
    ranked = controlling.with_columns(
        held_down=-nw.col("held_bp"), share_down=-nw.col("pct_bp")
    )  # above 50 % there can be one such ultimate parent; a lower policy value may let in more
    return first_by(ranked, ["child"], ["held_down", "ultimate", "share_down", "trust", "parent"])


def _only_owner_of_unknown_share(ready: Frame) -> Frame:
    owns = ready.filter(nw.col("kind") == "OWNS").with_columns(owners=nw.len().over("child"))
    return owns.filter(nw.col("owners") == 1, nw.col("pct_bp").is_null())


def _only_site(ready: Frame) -> Frame:
    """The one parent of which it is a site; not asked where somebody owns it."""
    owned = ready.filter(nw.col("kind") == "OWNS").select("child").unique()
    sites = ready.filter(~one_of(nw.col("kind"), ("OWNS", *_OPERATING)))
    return _only_parent(sites.join(owned, on="child", how="anti"))


def _only_parent(edges: Frame) -> Frame:
    """Edges of the most trusted source, where that source names one parent. Never a choice by name."""
    best = edges.with_columns(best=nw.col("trust").min().over("child")).filter(nw.col("trust") == nw.col("best"))
    parents = best.select("child", "parent").unique().with_columns(parents=nw.len().over("child"))
    single = parents.filter(nw.col("parents") == 1).select("child")
    told_apart = best.join(single, on="child", how="semi").with_columns(edge_id=edge_id())
    return first_by(told_apart, ["child"], ["edge_id"])


def _option(edges: Frame, basis: str, rank: int) -> Frame:
    return edges.select(
        "child",
        "parent",
        nw.lit(basis).alias("basis"),
        "source_ref",
        null(TEXT).alias("conflict"),
        nw.lit(rank).alias("rank"),
    )


def _keep_incumbent(edges: Frame, incumbents: Frame) -> Frame:
    """Children nobody controls: today's parent if it is a candidate, else none; a conflict either way."""
    kept = edges.join(incumbents, on="child", how="left").with_columns(
        is_incumbent=certain(nw.col("incumbent") == nw.col("parent")), edge_id=edge_id()
    )
    first = first_by(
        kept.with_columns(order=nw.when(nw.col("is_incumbent")).then(nw.lit(0)).otherwise(nw.lit(1))),
        ["child"],
        ["order", "edge_id"],
    )
    return conform(
        first.select(
            "child",
            nw.when(nw.col("is_incumbent")).then(nw.col("parent")).alias("parent"),
            nw.lit("no_control").alias("basis"),
            nw.when(nw.col("is_incumbent")).then(nw.col("source_ref")).alias("source_ref"),
            nw.lit(NO_CONTROL).alias("conflict"),
        ),
        DECIDED,
    )
