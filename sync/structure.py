"""What is known of structure besides the tree: who is gone, announced, affiliated, who decides, what happened."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import HierarchyPolicy, Policies
from sync.authority.archetypes import archetypes
from sync.authority.decide import questions
from sync.authority.resolve import answers
from sync.engine import Engine, Frame
from sync.hierarchy.forest import Forest, Linked
from sync.hierarchy.latency import latency
from sync.hierarchy.stated import AFFILIATIONS, WATCH
from sync.triggers.find import Happened
from sync.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Tables that insight, routing and explanations read."""

    edges: Frame  # EDGES of all sources
    status: Frame  # STATUS: closed, merged, not open yet
    watch: Frame  # WATCH: announced deals
    affiliations: Frame  # AFFILIATIONS
    recorded: Frame  # ANSWERS that rest on records
    authority: Frame  # ANSWERS for every account and question; lazy, computed where it is asked for
    events: Frame  # TRIGGERS
    affected: Frame  # AFFECTED
    corrections: Frame  # BELIEVED


def structure(
    linked: Linked, forest: Forest, recorded: Frame, happened: Happened, policies: Policies, engine: Engine
) -> Structure:
    """The tables of one run, side by side."""
    fewest = int(policies.tiers.classify.get("idn", {}).get("min_hospitals", 6))
    kinds = archetypes(forest, linked.accounts, fewest)
    stated = forest.stated
    return Structure(
        edges=forest.edges,
        status=forest.status,
        watch=engine.table([], WATCH) if stated is None else stated.watch,
        affiliations=engine.table([], AFFILIATIONS) if stated is None else stated.affiliations,
        recorded=recorded,
        authority=answers(recorded, kinds, questions(policies, engine), policies.authority),
        events=happened.events,
        affected=happened.affected,
        corrections=happened.corrections,
    )


def lags(forest: Forest, desired: Frame, world: World, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Frame:
    """LATENCY of every record whose wanted parent rests on a dated edge."""
    edges = forest.tree.candidates.filter(~nw.col("effective_from").is_null()).select(
        nw.col("child").alias("account_id"),
        nw.col("parent").alias("parent_account_id"),
        "source_ref",
        "effective_from",
        "first_seen",
    )
    chosen = forest.tree.hierarchy.filter(nw.col("conflict").is_null())
    # The few dated edges on the left: a semi join would look up every account of the tree.
    dated = engine.materialize(
        edges.join(
            chosen.select("account_id", "parent_account_id", "source_ref"),
            on=["account_id", "parent_account_id", "source_ref"],
            how="inner",
        ).drop("source_ref")
    )
    shown = world.records.select("connection", "record_id", nw.col("parent").alias("crm_parent"))
    wanted = (
        desired.filter(nw.col("parent__kind") == "value")
        .join(dated.select("account_id").unique(), on="account_id", how="semi")
        .select("connection", "record_id", "account_id", nw.col("parent").alias("native_parent"))
        .join(shown, on=["connection", "record_id"], how="inner")
    )
    return latency(dated, wanted, world.field_changes, policy, as_of, engine)
