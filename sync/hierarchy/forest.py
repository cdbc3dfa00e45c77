"""The whole hierarchy of a world: vendor columns and stated edges together, resolved on a date, with who is gone."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import HierarchyPolicy
from sync.engine import Engine, Frame
from sync.frames import conform, null, stack
from sync.hierarchy.climb import Deliveries
from sync.hierarchy.edges import NODES, FeedEdges, feed_edges, released
from sync.hierarchy.stated import SUCCESSIONS, Stated, stated_edges
from sync.hierarchy.status import statuses
from sync.hierarchy.tree import Tree, resolve
from sync.identity.parties import live
from sync.world import TEXT, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Records and firms by account: what identity and enrichment found."""

    world: World
    links: Frame  # LINKS
    accounts: Frame  # ACCOUNTS
    confirmed: Frame  # CONFIRMED facts
    told: Deliveries | None = None  # systems of both deliveries; None = not looked up yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The resolved hierarchy, what it was made of, and what kept it from being plain."""

    edges: Frame  # EDGES of all sources, successions left out
    nodes: Frame  # NODES
    tree: Tree
    feed: FeedEdges
    stated: Stated | None  # None = no edge feed was delivered
    status: Frame  # STATUS


def grow(linked: Linked, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Forest:
    """The forest of a world on an ISO date."""
    feed = feed_edges(linked.world, linked.links, engine, linked.told)
    stated = stated_edges(linked.world, linked.links, feed, policy, as_of, engine)
    edges = feed.edges if stated is None else engine.materialize(stack([feed.edges, stated.edges]))
    contested = engine.materialize(_contested(edges))
    nodes = engine.materialize(_nodes(linked, feed, stated, contested, engine))
    successions = engine.table([], SUCCESSIONS) if stated is None else stated.successions
    return Forest(
        edges=edges,
        nodes=nodes,
        tree=resolve(edges, nodes, policy, as_of, engine),
        feed=feed,
        stated=stated,
        status=statuses(linked.confirmed, successions, engine),
    )


def named_roots(world: World, links: Frame, out: Frame | None = None) -> Frame:
    """Accounts that vendors say have nobody above them: `account_id`, `is_named_root`, `is_released`, `released_ref`.

    A named root is its own parent in its own row; of a released one the vendor says that it belongs to no system. `out`
    are those, where they were looked up before.
    """
    own = world.firms.filter(
        nw.col("idn_id") == nw.col("firm_id"), nw.coalesce("idn_parent_id", "idn_id") == nw.col("firm_id")
    )
    yes, no = nw.lit(value=True), nw.lit(value=False)
    said = [
        own.select(*_FIRM, yes.alias("is_named_root"), no.alias("is_released"), null(TEXT).alias("released_ref")),
        (released(world) if out is None else out).select(
            *_FIRM, no.alias("is_named_root"), yes.alias("is_released"), nw.col("ref").alias("released_ref")
        ),
    ]
    known = links.join(stack(said), on=["source", "source_id"], how="inner")
    return known.group_by("account_id").agg(
        nw.col("is_named_root").max(), nw.col("is_released").max(), nw.col("released_ref").min()
    )


_FIRM = (nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"))


def _contested(edges: Frame) -> Frame:
    """`account_id` of children with several edges, or with one that may not control: today's parent can matter."""
    counted = edges.select("child", "kind", nw.len().over("child").alias("edges"))
    plain = (nw.col("edges") == 1) & (nw.col("kind") == "SITE_OF")
    return counted.filter(~plain).select(nw.col("child").alias("account_id")).unique()


def _nodes(linked: Linked, feed: FeedEdges, stated: Stated | None, contested: Frame, engine: Engine) -> Frame:
    """NODES: every account, and every organisation that only appears as somebody's parent."""
    own = linked.accounts.select("account_id", "name", nw.col("firm_type").str.to_uppercase().alias("kind"))
    if engine.count(contested.head(1)):
        own = own.join(_incumbents(linked.world, linked.links, contested, engine), on="account_id", how="left")
    stubs = feed.stubs.with_columns(nw.lit(value=True).alias("is_stub"))
    parts = [conform(own, NODES), conform(stubs, NODES)]
    if stated is None:
        return stack(parts)
    nodes = stack([*parts, stated.nodes])
    typed = nodes.join(stated.kinds.rename({"kind": "stated_kind"}), on="account_id", how="left")
    return conform(typed.with_columns(kind=nw.coalesce("stated_kind", "kind")), NODES)


def _incumbents(world: World, links: Frame, contested: Frame, engine: Engine) -> Frame:
    """`account_id`, `incumbent` of the contested: the account of the parent the CRMs show today, if they show one."""
    linked = links.select(nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id")
    mine = engine.materialize(linked.join(contested, on="account_id", how="semi"))
    children = live(world.records).filter(~nw.col("parent").is_null()).select("connection", "record_id", "parent")
    above = linked.rename({"record_id": "parent", "account_id": "incumbent"})
    shown = children.join(mine, on=["connection", "record_id"], how="inner").join(
        above, on=["connection", "parent"], how="inner"
    )
    once = shown.select("account_id", "incumbent").unique()
    return once.with_columns(parents=nw.len().over("account_id")).filter(nw.col("parents") == 1).drop("parents")
