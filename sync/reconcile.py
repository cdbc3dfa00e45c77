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

from mappings.policy import Mappings
from sync.engine import Engine
from sync.enrichment import enrich
from sync.hierarchy.doubts import doubts
from sync.hierarchy.forest import Forest, Linked, grow, named_roots
from sync.identity.keys import link
from sync.planning.plan import build_plan
from sync.proposals import Findings, propose
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.holders import confirmed_facts, holders
from sync.segmentation.tiers import assign_tiers
from sync.territory.ownership import Book, assign_owners
from sync.triggers import ownership_events
from sync.world import Reconciliation, World


def reconcile(world: World, mappings: Mappings, as_of: str, engine: Engine) -> Reconciliation:
    """Everything one run decides on an ISO date. Read-only."""
    found, forest = find_out(world, mappings, as_of, engine)
    desired = propose(world, found, mappings.policies, engine)
    plan = build_plan(desired, world, mappings.policies, as_of, engine)
    return Reconciliation(
        links=found.links,
        accounts=found.accounts,
        hierarchy=found.hierarchy,
        tiers=found.tiers,
        ownership=found.ownership,
        plan=plan,
        problems=doubts(forest, engine),
    )


def find_out(world: World, mappings: Mappings, as_of: str, engine: Engine) -> tuple[Findings, Forest]:
    """Stages 1 to 6: what is known of every account, before any CRM value is looked at for change."""
    policies = mappings.policies
    links = link(world, policies.identity, engine)
    accounts = enrich(world, links, policies.survivorship, engine)
    confirmed = engine.materialize(confirmed_facts(world, links, as_of))
    linked = Linked(world=world, links=links, accounts=accounts, confirmed=confirmed)
    forest = grow(linked, policies.hierarchy, as_of, engine)
    tree = forest.tree
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
        roots=named_roots(world, links),
        blanks=forest.feed.blanks,
    )
    return findings, forest
