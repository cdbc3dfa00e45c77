"""What stewards and change-of-ownership lists state: dated edges, deals that are only announced, and successions.

An id in a statement is a vendor id, or `connection:record id`. A parent that nobody knows becomes a node of its own; a
statement about a child that nobody knows is set aside. A later statement of the same source about the same two
organisations ends the earlier one on its first day.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import narwhals as nw
import pyarrow as pa

from mappings.policy import HierarchyPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, one_of, stack, text
from sync.hierarchy.edges import EDGES, NODES, FeedEdges
from sync.world import BOOL, EDGE_FACTS, TEXT, Schema, World

WATCH: Schema = {
    "child": TEXT,
    "parent": TEXT,
    "kind": TEXT,
    "announced_on": TEXT,
    "effective_from": TEXT,  # planned; null = not said
    "is_overdue": BOOL,  # the planned day has come and nobody stated that it closed
    "source_ref": TEXT,
}
"""Announced deals: nothing changes before they are stated as closed."""

SUCCESSIONS: Schema = {"account_id": TEXT, "successor_account_id": TEXT, "since": TEXT, "source_ref": TEXT}
"""Organisations that another one takes over from, in force on the date."""

AFFILIATIONS: Schema = {"account_id": TEXT, "with_account_id": TEXT, "kind": TEXT, "source_ref": TEXT}
"""Memberships that make no parent: purchasing groups, care organisations, networks, sponsors, referrals."""

UNLINKED: Schema = {"ref": TEXT, "child_id": TEXT}
"""Statements about an organisation that no CRM and no vendor knows, or that an id names twice."""

_ANNOUNCED, _SUCCESSOR = "ANNOUNCED", "SUCCESSOR_OF"
_STUB = pa.schema([("id", pa.string()), ("stub_id", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Everything the edge feeds say, by account."""

    edges: Frame  # EDGES, of all kinds but successions; the announced and the ended included
    nodes: Frame  # NODES of parents that nobody else knows
    kinds: Frame  # account_id, kind: types of organisations that the statements name
    watch: Frame  # WATCH
    successions: Frame  # SUCCESSIONS
    affiliations: Frame  # AFFILIATIONS
    unlinked: Frame  # UNLINKED


def stated_edges(
    world: World, links: Frame, feed: FeedEdges, policy: HierarchyPolicy, as_of: str, engine: Engine
) -> Stated | None:
    """The statements as edges between accounts; None where no edge feed was delivered."""
    if world.edge_facts is None:
        return None
    facts = engine.materialize(conform(world.edge_facts, EDGE_FACTS).filter(certain(nw.col("state") != "REJECTED")))
    if not engine.count(facts.head(1)):
        return None
    known = engine.materialize(account_ids(_ids(facts), world, links, feed.stubs, engine))
    parents = engine.materialize(_with_stubs(facts, known, engine))
    about = engine.materialize(_linked(facts, known, parents))
    edges = engine.materialize(_as_edges(about.filter(~nw.col("child").is_null()), policy))
    started = nw.coalesce(nw.col("effective_from") <= as_of, nw.lit(value=True))
    running = nw.coalesce(nw.col("effective_to") > as_of, nw.lit(value=True))
    in_force = edges.filter((nw.col("state") == "ACTIVE") & started & running)
    return Stated(
        edges=edges.filter(nw.col("kind") != _SUCCESSOR),
        nodes=engine.materialize(_stub_nodes(facts, parents)),
        kinds=engine.materialize(_kinds(about)),
        watch=engine.materialize(_watch(about, as_of)),
        successions=engine.materialize(_successions(in_force, engine)),
        affiliations=engine.materialize(_affiliations(in_force, policy)),
        unlinked=engine.materialize(about.filter(nw.col("child").is_null()).select("ref", "child_id")),
    )


def account_ids(ids: Frame, world: World, links: Frame, stubs: Frame, engine: Engine) -> Frame:
    """`id`, `account_id` for those of `id` that name one account: by `source:id`, by vendor id, by record id.

    `stubs` has account_id, feed, vendor_id of vendors' systems without a row. An id that names two accounts names none.
    """
    feeds = world.firms.select(nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"))
    vendors = links.join(feeds, on=["source", "source_id"], how="semi")
    records = links.join(feeds, on=["source", "source_id"], how="anti")
    full = text(nw.col("source"), ":", nw.col("source_id"))
    theirs = text(nw.col("feed"), ":", nw.col("vendor_id"))
    options = stack(
        [
            links.select(full.alias("id"), "account_id", nw.lit(0).alias("rank")),
            stubs.select(theirs.alias("id"), "account_id", nw.lit(1).alias("rank")),
            vendors.select(nw.col("source_id").alias("id"), "account_id", nw.lit(2).alias("rank")),
            records.select(nw.col("source_id").alias("id"), "account_id", nw.lit(3).alias("rank")),
            stubs.select(nw.col("vendor_id").alias("id"), "account_id", nw.lit(4).alias("rank")),
        ]
    )
    asked = engine.materialize(options.join(ids, on="id", how="semi").unique())
    best = asked.with_columns(best=nw.col("rank").min().over("id")).filter(nw.col("rank") == nw.col("best"))
    once = best.select("id", "account_id").unique().with_columns(accounts=nw.len().over("id"))
    return once.filter(nw.col("accounts") == 1).select("id", "account_id")


def _ids(facts: Frame) -> Frame:
    return stack([facts.select(nw.col(name).alias("id")) for name in ("child_id", "parent_id")]).unique()


def _with_stubs(facts: Frame, known: Frame, engine: Engine) -> Frame:
    """`parent_id`, `parent`, `is_stub` for every parent that the statements name."""
    named = facts.select(nw.col("parent_id").alias("id")).unique().join(known, on="id", how="left")
    named = engine.materialize(named)
    missing = named.filter(nw.col("account_id").is_null()).select("id")
    stubs = engine.map_batches(missing, make_stub_ids, _STUB)
    return named.join(stubs, on="id", how="left").select(
        nw.col("id").alias("parent_id"),
        nw.coalesce("account_id", "stub_id").alias("parent"),
        nw.col("account_id").is_null().alias("is_stub"),
    )


def make_stub_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Account ids of organisations that only a statement names."""
    ids = batch.column("id").to_pylist()
    made = [hashlib.sha256(f"edges|{id_}".encode()).hexdigest()[:16] for id_ in ids]
    return pa.RecordBatch.from_arrays([pa.array(ids, pa.string()), pa.array(made, pa.string())], schema=_STUB)


def _linked(facts: Frame, known: Frame, parents: Frame) -> Frame:
    children = known.select(nw.col("id").alias("child_id"), nw.col("account_id").alias("child"))
    ref = text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(TEXT))
    return (
        facts.with_columns(ref=ref)
        .join(children, on="child_id", how="left")
        .join(parents.drop("is_stub"), on="parent_id", how="left")
    )


def _as_edges(about: Frame, policy: HierarchyPolicy) -> Frame:
    """EDGES; a later statement of the same source about the same pair ends the earlier one."""
    given = [(nw.col("source") == source, share) for source, share in sorted(policy.confidence_bp.items())]
    pair = ["child", "parent", "kind", "source", "is_announced"]
    dated = about.with_columns(
        is_announced=nw.col("state") == _ANNOUNCED,
        begins=nw.coalesce("effective_from", nw.lit("")),
        confidence_bp=nw.coalesce(nw.col("confidence_bp"), cases(given, 0)),
        source_ref=nw.col("ref"),
    )
    newest = first_by(dated, [*pair, "begins"], ["first_seen", "ref"], descending=["first_seen"])
    after, after_seen = (nw.col(name).shift(-1).over(*pair, order_by=["begins"]) for name in ("begins", "first_seen"))
    own_end, is_last = nw.col("effective_to"), nw.col("after").is_null()
    keeps = is_last | certain(own_end < nw.col("after"))
    ended = newest.with_columns(after=after, after_seen=after_seen, stated_to=own_end).with_columns(
        effective_to=cases([(keeps, own_end)], nw.col("after")),
        ended_seen=nw.when(~keeps).then(nw.col("after_seen")),
    )
    return conform(ended, EDGES)


def _stub_nodes(facts: Frame, parents: Frame) -> Frame:
    stubs = parents.filter(nw.col("is_stub")).join(
        facts.select("parent_id", "parent_name", "parent_type"), on="parent_id", how="inner"
    )
    named = stubs.select(
        nw.col("parent").alias("account_id"),
        nw.coalesce("parent_name", "parent_id").alias("name"),
        nw.col("parent_type").alias("kind"),
        nw.lit(value=True).alias("is_stub"),
    )
    once = named.group_by("account_id", "is_stub").agg(nw.col("name").min(), nw.col("kind").min())
    return conform(once, NODES)


def _kinds(about: Frame) -> Frame:
    """One type per organisation that a statement gives a type; two types give none."""
    typed = about.filter(~nw.col("parent_type").is_null(), ~nw.col("parent").is_null())
    once = typed.select(nw.col("parent").alias("account_id"), nw.col("parent_type").alias("kind")).unique()
    return once.with_columns(kinds=nw.len().over("account_id")).filter(nw.col("kinds") == 1).drop("kinds")


def _watch(about: Frame, as_of: str) -> Frame:
    announced = about.filter(nw.col("state") == _ANNOUNCED, ~nw.col("child").is_null())
    overdue = certain(nw.col("effective_from") <= as_of)
    return conform(announced.with_columns(is_overdue=overdue, source_ref=nw.col("ref")), WATCH)


def _successions(in_force: Frame, engine: Engine) -> Frame:
    """The child takes over from the parent. Two successors of one organisation are none."""
    rows = in_force.filter(nw.col("kind") == _SUCCESSOR, nw.col("child") != nw.col("parent")).select(
        nw.col("parent").alias("account_id"),
        nw.col("child").alias("successor_account_id"),
        nw.coalesce("effective_from", nw.lit("")).alias("since"),
        "source_ref",
    )
    if not engine.count(rows.head(1)):
        return engine.table([], SUCCESSIONS)
    several = rows.select("account_id", "successor_account_id").unique()
    single = several.with_columns(n=nw.len().over("account_id")).filter(nw.col("n") == 1).select("account_id")
    plain = rows.join(single, on="account_id", how="semi")
    return conform(first_by(plain, ["account_id"], ["since", "source_ref"]), SUCCESSIONS)


def _affiliations(in_force: Frame, policy: HierarchyPolicy) -> Frame:
    loose = in_force.filter(~one_of(nw.col("kind"), (*policy.control_edges, _SUCCESSOR)))
    named = loose.select(
        nw.col("child").alias("account_id"), nw.col("parent").alias("with_account_id"), "kind", "source_ref"
    )
    return conform(
        named.group_by("account_id", "with_account_id", "kind").agg(nw.col("source_ref").min()), AFFILIATIONS
    )
