"""The whole decision, from what is there to what should change.

1. identity      which CRM records and vendor firms are one organisation          -> links
2. enrichment    one golden row per organisation, every field with its source     -> accounts
3. hierarchy     dated edges to one forest; who decides for whom                  -> hierarchy
4. segmentation  facts with bounds, predicates true / false / unknown, tiers      -> tiers
5. triggers      what happened, whom it touches, what is to be scored again
6. territory     one coverage unit, one owner; territory and queue                -> ownership
7. proposals     what every CRM record should say, with rule and facts; what stays with its owner for a while
8. planning      agreed, CRM and desired values compared, grouped, guarded        -> plan

Read-only and pure: the same world, mappings and date give the same result byte for byte, in any order of rows.
"""

from __future__ import annotations

from mappings.policy import Mappings
from sync.authority.decide import who_decides
from sync.crosscheck import field_problems, register_problems
from sync.engine import Engine, Frame
from sync.enrichment import ACCOUNTS, enrich_with_doubts
from sync.hierarchy.doubts import doubts
from sync.hierarchy.forest import Forest, Linked, grow, named_roots
from sync.hierarchy.status import gone
from sync.identity.judge import link
from sync.identity.judge import problems as open_links
from sync.identity.renumbered import renumbered
from sync.planning.adjusted import with_heirs
from sync.planning.fights import fights
from sync.planning.plan import build_plan
from sync.problem import Problem
from sync.proposals import Findings, propose
from sync.segmentation.classify import Evidence
from sync.segmentation.holders import confirmed_facts, holders
from sync.segmentation.members import state_law
from sync.segmentation.profiles import Book as About
from sync.segmentation.profiles import describe_holders, of_accounts
from sync.segmentation.standalone import Judged, judge
from sync.structure import lags, structure
from sync.territory.books import winner
from sync.territory.holds import Sides, stand, with_holds_of
from sync.territory.ownership import Book, assign_owners
from sync.triggers.find import find_events
from sync.triggers.gates import Stakes
from sync.world import Reconciliation, World


def reconcile(world: World, mappings: Mappings, as_of: str, engine: Engine) -> Reconciliation:
    """Everything one run decides on an ISO date. Read-only."""
    found, forest = find_out(world, mappings, as_of, engine)
    proposals = propose(world, found, mappings.policies, engine)
    desired = proposals.values
    worked = world.opportunities.select("connection", "record_id").unique()  # nobody else can have anything to keep
    sides = Sides(desired=proposals.named(worked), ownership=found.ownership, tiers=found.tiers)
    standing = stand(world, sides, mappings.policies, as_of, engine)
    held = with_holds_of(world, standing)
    plan = build_plan(desired, held, mappings.policies, as_of, engine, told=proposals.told)
    fighting = fights(world, mappings.policies.conflicts, as_of, engine)
    return Reconciliation(
        links=found.links,
        accounts=found.accounts,
        hierarchy=found.hierarchy,
        tiers=found.tiers,
        ownership=found.ownership,
        profiles=found.profiles,
        plan=plan,
        holds=standing.proposed,
        structure=found.structure,
        latency=lags(forest, desired, world, mappings.policies.hierarchy, as_of, engine),
        problems=tuple(
            sorted(
                (*doubts(forest, engine), *open_links(found.open_pairs), *fighting, *found.disagreements), key=_by_code
            )
        ),
    )


def _by_code(problem: Problem) -> tuple[str, str, tuple[str, ...]]:
    return problem.code, problem.subject, problem.refs


def find_out(world: World, mappings: Mappings, as_of: str, engine: Engine) -> tuple[Findings, Forest]:
    """Stages 1 to 6: what is known of every account, before any CRM value is looked at for change."""
    policies = mappings.policies
    world, told = renumbered(world, engine)
    identity = link(world, policies.identity, mappings.places, engine)
    links = identity.links
    enriched = enrich_with_doubts(world, links, policies.survivorship, engine, as_of)
    accounts = enriched.accounts
    confirmed = engine.materialize(confirmed_facts(world, links, as_of))
    linked = Linked(world=world, links=links, accounts=accounts, confirmed=confirmed, told=told)
    forest = grow(linked, policies.hierarchy, as_of, engine)
    tree = forest.tree
    recorded = who_decides(linked, forest, policies, as_of, engine)
    deciding = engine.materialize(holders(tree.hierarchy, recorded, policies.authority))
    left = gone(forest.status)
    judged = _judged(linked, deciding, left, mappings, as_of=as_of, engine=engine)
    about = About(
        world=world,
        links=links,
        accounts=accounts,
        holders=deciding,
        facts=judged.facts,
        tiers=judged.tiers,
        law=state_law(mappings.law, as_of, engine, str(policies.tiers.assumptions.get("category", ""))),
        gone=left,
        affiliations=forest.stated.affiliations if forest.stated else None,
    )
    heired = with_heirs(world, policies.conflicts, as_of, engine)
    book = Book(world=heired, links=links, accounts=accounts, hierarchy=tree.hierarchy, recorded=recorded, gone=left)
    described = describe_holders(about, policies.segments, policies.scores, as_of, engine)
    owned = assign_owners(book, policies.territories, policies.reps, engine, as_of=as_of, winner=winner(policies))
    first = policies.tiers.tiers[0].id if policies.tiers.tiers else ""
    stakes = Stakes(world=world, links=links, tiers=judged.tiers, ownership=owned, first_tier=first)
    happened = find_events(linked, forest, stakes, deciding, mappings=mappings, as_of=as_of, engine=engine)
    findings = Findings(
        links=links,
        accounts=accounts,
        hierarchy=tree.hierarchy,
        tiers=judged.tiers,
        verdicts=judged.verdicts,
        holders=deciding,
        facts=judged.facts,
        profiles=of_accounts(about, described, policies.segments, engine),
        described=described,
        ownership=owned,
        events=happened.moves,
        flags=happened.flags,
        structure=structure(linked, forest, recorded, happened, policies, engine),
        roots=named_roots(world, links),
        blanks=forest.feed.blanks,
        open_pairs=identity.open_pairs,
        disagreements=(
            *field_problems(enriched.doubts, engine),
            *register_problems(world, policies.survivorship, as_of, engine),
        ),
    )
    return findings, forest


_NO_FACTS = frozenset(
    [
        *(name for name in ACCOUNTS if name.endswith("__source")),
        *("street", "city", "zip5", "country", "phone", "domain", "definitive_id", "npi", "former_name"),
        *("firm_feed", "firm_id", "firm_source"),
    ]
)
"""Columns of accounts that no fact rests on: every account is copied once per organisation that it counts for."""


def _judged(linked: Linked, deciding: Frame, left: Frame, mappings: Mappings, *, as_of: str, engine: Engine) -> Judged:
    """Facts and tiers of the organisations that are still there, by what is known of them besides their address."""
    known = linked.accounts.select(*(name for name in ACCOUNTS if name not in _NO_FACTS))
    if engine.count(left.head(1)):
        known = known.join(left.select("account_id"), on="account_id", how="anti")
    policies = mappings.policies
    evidence = Evidence(
        accounts=known,  # read once, under whom they count for: a copy of a million would be memory for nothing
        holders=deciding,
        facts=linked.confirmed,
        law=mappings.law,
        as_of=as_of,
        segments=policies.segments,
    )
    return judge(evidence, policies.tiers, policies.authority.standalone_kinds, engine)
