"""The whole decision, from what is there to what should change.

1. identity      which CRM records and vendor firms are one organisation          -> links
2. enrichment    one golden row per organisation, every field with its source     -> accounts
3. hierarchy     dated edges to one forest: parent, system, depth, path           -> hierarchy
4. segmentation  facts with bounds, predicates true / false / unknown, tiers      -> tiers
5. triggers      organisations whose system changed since the delivery before
6. territory     one coverage unit, one owner; territory and queue                -> ownership
7. proposals     what every CRM record should say, with rule and facts
8. planning      agreed, CRM and desired values compared, grouped, guarded        -> plan

Read-only and pure: the same world, mappings and date give the same result byte for byte, in any order of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import narwhals as nw

from mappings.policy import Mappings
from sync.engine import Engine, Frame
from sync.enrichment import enrich
from sync.frames import conform, stack
from sync.hierarchy.edges import NODES, FeedEdges, feed_edges
from sync.hierarchy.tree import Tree, resolve
from sync.identity.keys import link
from sync.identity.parties import live
from sync.planning.plan import build_plan
from sync.problem import Problem, Severity
from sync.proposals import Findings, propose
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.holders import confirmed_facts, holders
from sync.segmentation.tiers import assign_tiers
from sync.territory.ownership import Book, assign_owners
from sync.triggers import ownership_events
from sync.world import Reconciliation, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What the stages could not decide."""

    tree: Tree
    feed: FeedEdges
    nodes: Frame  # NODES


def reconcile(world: World, mappings: Mappings, as_of: str, engine: Engine) -> Reconciliation:
    """Everything one run decides on an ISO date. Read-only."""
    found, doubts = find_out(world, mappings, as_of, engine)
    desired = propose(world, found, mappings.policies, engine)
    plan = build_plan(desired, world, mappings.policies, as_of, engine)
    return Reconciliation(
        links=found.links,
        accounts=found.accounts,
        hierarchy=found.hierarchy,
        tiers=found.tiers,
        ownership=found.ownership,
        plan=plan,
        problems=_problems(doubts, engine),
    )


def find_out(world: World, mappings: Mappings, as_of: str, engine: Engine) -> tuple[Findings, Doubts]:
    """Stages 1 to 6: what is known of every account, before any CRM value is looked at for change."""
    policies = mappings.policies
    links = link(world, policies.identity, engine)
    accounts = enrich(world, links, policies.survivorship, engine)
    feed = feed_edges(world, links, engine)
    nodes = engine.materialize(_nodes(world, links, accounts, feed.stubs))
    tree = resolve(feed.edges, nodes, policies.hierarchy, as_of, engine)
    confirmed = engine.materialize(confirmed_facts(world, links, as_of))
    deciding = engine.materialize(holders(tree.hierarchy, confirmed))
    evidence = Evidence(
        accounts=accounts, holders=deciding, facts=confirmed, regulation=mappings.regulation, as_of=as_of
    )
    facts = classify(evidence, policies.tiers, engine)
    tiers = assign_tiers(deciding, facts, policies.tiers, engine)
    book = Book(world=world, links=links, accounts=accounts, hierarchy=tree.hierarchy)
    findings = Findings(
        links=links,
        accounts=accounts,
        hierarchy=tree.hierarchy,
        tiers=tiers,
        facts=facts,
        ownership=assign_owners(book, policies.territories, policies.reps, engine),
        events=ownership_events(world, links, engine),
        roots=_named_roots(world, links),
        blanks=feed.blanks,
    )
    return findings, Doubts(tree=tree, feed=feed, nodes=nodes)


def _named_roots(world: World, links: Frame) -> Frame:
    """`account_id` of organisations whose own vendor row names them as their own parent."""
    firms = world.firms.filter(
        nw.col("idn_id") == nw.col("firm_id"), nw.coalesce("idn_parent_id", "idn_id") == nw.col("firm_id")
    ).select(nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"))
    return links.join(firms, on=["source", "source_id"], how="semi").select("account_id").unique()


def _nodes(world: World, links: Frame, accounts: Frame, stubs: Frame) -> Frame:
    """NODES: every account, and every organisation that only appears as somebody's parent."""
    kind = nw.col("firm_type").str.to_uppercase().alias("kind")
    own = accounts.select("account_id", "name", kind).join(_incumbents(world, links), on="account_id", how="left")
    return stack([conform(own, NODES), conform(stubs.with_columns(nw.lit(value=True).alias("is_stub")), NODES)])


def _incumbents(world: World, links: Frame) -> Frame:
    """`account_id`, `incumbent`: the account of the parent the CRMs show today, where they show one."""
    linked = links.select(nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id")
    children = live(world.records).filter(~nw.col("parent").is_null()).select("connection", "record_id", "parent")
    above = linked.rename({"record_id": "parent", "account_id": "incumbent"})
    shown = children.join(linked, on=["connection", "record_id"], how="inner").join(
        above, on=["connection", "parent"], how="inner"
    )
    once = shown.select("account_id", "incumbent").unique()
    return once.with_columns(parents=nw.len().over("account_id")).filter(nw.col("parents") == 1).drop("parents")


def _problems(doubts: Doubts, engine: Engine) -> tuple[Problem, ...]:
    """Problems of all stages, sorted by (code, subject)."""
    found = [
        *_cycles(doubts.tree, doubts.nodes, engine),
        *_conflicts(doubts.tree, doubts.feed.edges, engine),
        *_vanished(doubts.feed.blanks, engine),
    ]
    return tuple(sorted(found, key=lambda problem: (problem.code, problem.subject, problem.refs)))


def _cycles(tree: Tree, nodes: Frame, engine: Engine) -> Iterator[Problem]:
    members = sorted({member for cycle in tree.cycles for member in cycle.members})
    if not members:
        return
    named = nodes.filter(nw.col("account_id").is_in(members)).select("account_id", "name")
    names = {row["account_id"]: row["name"] or row["account_id"] for row in engine.rows(named)}
    for cycle in tree.cycles:
        yield Problem(
            code="PARENT-CYCLE",
            severity=Severity.REVIEW,
            subject=" / ".join(names[member] for member in cycle.members),
            fact=f"{len(cycle.members)} organisations are each other's parents; one edge was left out to go on",
            remedy="Correct the parents at the source. Until then no parent of a member is written.",
            refs=cycle.members,
        )


def _conflicts(tree: Tree, edges: Frame, engine: Engine) -> Iterator[Problem]:
    contested = tree.hierarchy.filter(nw.col("conflict").is_in(["NO_CONTROL", "DEPTH"]))
    rows = list(engine.rows(contested.select("account_id", "system_name", "conflict", "parent_account_id", "path")))
    if not rows:
        return
    ids = [row["account_id"] for row in rows]
    candidates: dict[str, list[str]] = {}
    for edge in engine.rows(edges.filter(nw.col("child").is_in(ids)).select("child", "parent", "kind", "pct_bp")):
        share = "unknown share" if edge["pct_bp"] is None else f"{edge['pct_bp'] / 100:g} %"
        candidates.setdefault(edge["child"], []).append(f"{edge['parent']} ({edge['kind']}, {share})")
    for row in rows:
        listed = ", ".join(sorted(candidates.get(row["account_id"], [])))
        deep = row["conflict"] == "DEPTH"
        yield Problem(
            code="HIERARCHY-DEPTH" if deep else "NO-CONTROL",
            severity=Severity.REVIEW,
            subject=row["account_id"],
            fact="the chain of parents is longer than max_rounds" if deep else f"no candidate controls it: {listed}",
            remedy="Confirm the controlling parent. Until then the parent is left as it is.",
            refs=(row["account_id"],),
        )


def _vanished(blanks: Frame, engine: Engine) -> Iterator[Problem]:
    for row in engine.rows(blanks):
        yield Problem(
            code="SYSTEM-BLANK",
            severity=Severity.REVIEW,
            subject=row["name"] or row["firm_id"],
            fact=f"the delivery before put it under {row['previous_idn']}, the newest one leaves its system blank",
            remedy="Confirm whether it left its system. Until then its parent is left as it is.",
            refs=(row["account_id"], row["ref"]),
        )
