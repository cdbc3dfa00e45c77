"""Control edges between accounts, read from the vendor's flat columns `IDN` and `IDN Parent`.

The columns carry no percentage and no date, so an edge is SITE_OF with unknown control. Where the delivery before named
another parent, the old edge ended and the new one began on the date of the delivery that shows it: an inferred date,
later than the true one. A blank IDN is unknown: that edge is carried on and a person looks. Only a word that the layout
agreed on as "there is none" ends it without a new one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import narwhals as nw
import pyarrow as pa

from sync.engine import Engine, Frame
from sync.frames import certain, conform, first_by, lists, null, stack, text
from sync.hierarchy.climb import Deliveries, deliveries, silent
from sync.world import BOOL, INT, TEXT, Schema, World

EDGES: Schema = {
    "child": TEXT,
    "parent": TEXT,
    "kind": TEXT,  # OWNS, MANAGES, LEASES, SITE_OF; GPO_MEMBER and the like are affiliations and make no parent
    "pct_bp": INT,  # share held, basis points; null = unknown
    "control": TEXT,  # FULL, MAJORITY, JOINT, MINORITY, UNKNOWN
    "procurement": BOOL,  # the parent buys for the child; null = unknown
    "confidence_bp": INT,
    "source": TEXT,
    "source_ref": TEXT,
    "effective_from": TEXT,  # ISO date, null = always
    "effective_to": TEXT,  # first day it no longer holds, null = open
    "stated_to": TEXT,  # the end it had before a later statement ended it
    "ended_seen": TEXT,  # when that statement was first seen; null = its end is its own
    "first_seen": TEXT,  # ISO date the source first showed it; null = not said
    "is_override": BOOL,  # a steward's word that decides alone; one that names the child itself: it stands alone
    "state": TEXT,  # ACTIVE, ANNOUNCED, ENDED, REJECTED
}
"""Edges from child account to parent account. Several per child are allowed."""

NODES: Schema = {
    "account_id": TEXT,
    "name": TEXT,
    "kind": TEXT,  # upper-case type of organisation, compared with the policy's boundary types
    "incumbent": TEXT,  # account of the parent the CRM shows today, null = none or several, or it cannot matter
    "is_stub": BOOL,  # named as a parent by the vendor, without a row of its own
}
"""One row per account, and per organisation that only appears as somebody's parent."""

FEED_CONFIDENCE_BP = 8000
"""A flat vendor column: good, but below a steward's word. Source: the seed figure of the hierarchy policy's scale."""

_STUB = pa.schema([("vendor_id", pa.string()), ("stub_id", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEdges:
    """What the vendor's columns say of who belongs to whom."""

    edges: Frame  # EDGES; lazy
    stubs: Frame  # account_id, name, feed, vendor_id of parents without a row of their own
    blanks: Frame  # firms whose system vanished: feed, firm_id, account_id, name, previous_idn, ref


def feed_edges(world: World, links: Frame, engine: Engine, told: Deliveries | None = None) -> FeedEdges:
    """Edges of the newest delivery, and those carried on from the one before for firms that went blank."""
    told = told or deliveries(world, engine)
    blanks = engine.materialize(_vanished(world, links))
    pairs = engine.materialize(_distinct_pairs(world, blanks, told, engine))
    ids = engine.materialize(_account_ids(pairs, world, links, engine))
    edges = pairs.join(
        ids.select("feed", nw.col("vendor_id").alias("child_vendor"), nw.col("account_id").alias("child")),
        on=["feed", "child_vendor"],
        how="inner",
    ).join(
        ids.select("feed", nw.col("vendor_id").alias("parent_vendor"), nw.col("account_id").alias("parent")),
        on=["feed", "parent_vendor"],
        how="inner",
    )
    apart = edges.filter(nw.col("child") != nw.col("parent")).select(
        *("child", "parent", "state", "effective_from", "effective_to"),
        nw.col("feed").alias("source"),
        nw.col("ref").alias("source_ref"),
    )
    # Kept is what differs from edge to edge; what all of them have in common is put beside it where it is read.
    described = engine.materialize(apart).with_columns(
        kind=nw.lit("SITE_OF"),
        control=nw.lit("UNKNOWN"),
        confidence_bp=nw.lit(FEED_CONFIDENCE_BP),
        first_seen=nw.col("effective_from"),
    )
    named = ids.filter(nw.col("is_stub")).join(_vendor_names(told), on=["feed", "vendor_id"], how="left")
    stubs = first_by(named, ["account_id"], ["feed", "vendor_id"]).select("account_id", "name", "feed", "vendor_id")
    return FeedEdges(edges=conform(described, EDGES), stubs=engine.materialize(stubs), blanks=blanks)


_PAIR = ("feed", "child_vendor", "parent_vendor")
_PAIRS: Schema = dict.fromkeys((*_PAIR, "ref", "effective_from", "effective_to", "state"), TEXT)


def _distinct_pairs(world: World, blanks: Frame, told: Deliveries, engine: Engine) -> Frame:
    """Distinct `feed`, `child_vendor`, `parent_vendor` with the first row that names them; self references left out.

    Pairs that the delivery before did not have begin with this one, and those it had instead ended then.
    """
    firm, blank = ["feed", "firm_id"], blanks.select("feed", "firm_id")
    kept = world.previous_firms.join(blank, on=firm, how="semi")
    rows = [_vendor_pairs(world.firms.join(blank, on=firm, how="anti")), _vendor_pairs(kept)]
    pairs = stack([*rows, _carried(world, told, engine)])
    apart = pairs.filter(nw.col("child_vendor") != nw.col("parent_vendor"))
    once = apart.group_by(*_PAIR).agg(nw.col("ref").min())
    quiet = blank.rename({"firm_id": "child_vendor"})
    moved = engine.materialize(_moved(world).join(quiet, on=["feed", "child_vendor"], how="anti"))
    began = moved.select(*_PAIR, nw.col("as_of").alias("effective_from"))
    running = once.join(began, on=list(_PAIR), how="left").with_columns(effective_to=null(TEXT), state=nw.lit("ACTIVE"))
    return stack([conform(frame, _PAIRS) for frame in (running, _ended(moved), _ended(_left(world)))])


def _carried(world: World, told: Deliveries, engine: Engine) -> Frame:
    """Pairs of systems that are named still, with nobody above them any more: a blank ends nothing."""
    said = engine.materialize(silent(told))
    before = world.previous_firms.filter(~nw.col("idn_parent_id").is_null())
    refs = [
        before.select(
            "feed", nw.col(child).alias("child_vendor"), nw.col(parent).alias("parent_vendor"), _ref().alias("ref")
        )
        for child, parent in (("idn_id", "idn_parent_id"), ("firm_id", "idn_parent_id"), ("firm_id", "idn_id"))
    ]
    once = stack(refs).join(said, on=list(_PAIR), how="semi").group_by(*_PAIR).agg(nw.col("ref").min())
    return once.select(*_PAIR, "ref")


def _moved(world: World) -> Frame:
    """Firms whose nearest system is another one than in the delivery before, both named, and the newer date."""
    before = world.previous_firms.select(
        "feed", nw.col("firm_id").alias("child_vendor"), _nearest().alias("left"), _ref().alias("left_ref")
    )
    now = world.firms.select(
        "feed", nw.col("firm_id").alias("child_vendor"), _nearest().alias("parent_vendor"), "as_of"
    )
    both = now.filter(~nw.col("parent_vendor").is_null()).join(before, on=["feed", "child_vendor"], how="inner")
    return both.filter(~certain(nw.col("left") == nw.col("parent_vendor")))


def _left(world: World) -> Frame:
    """Firms that the vendor took out of their system by a word: `feed`, `child_vendor`, `left`, `left_ref`, `as_of`."""
    before = world.previous_firms.select("feed", "firm_id", _nearest().alias("left"), _ref().alias("left_ref"))
    gone = released(world).join(before, on=["feed", "firm_id"], how="inner").rename({"firm_id": "child_vendor"})
    return gone.with_columns(parent_vendor=null(TEXT))


def released(world: World) -> Frame:
    """Firms of which the vendor says that they belong to no system: `feed`, `firm_id`, `as_of`, `ref`.

    Their system is empty by a word, not by a blank. Where only the parent of the system is emptied, that counts if no
    nearer system was named before: a blank beside it says nothing.
    """
    bare = world.firms.filter(
        ~nw.col("cleared").is_null(), nw.col("idn_id").is_null(), nw.col("idn_parent_id").is_null()
    )
    nearer = world.previous_firms.select("feed", "firm_id", nw.col("idn_id").alias("nearer"))
    known = bare.join(nearer, on=["feed", "firm_id"], how="left")
    by_parent = lists(nw.col("cleared"), "idn_parent_id") & nw.col("nearer").is_null()
    return known.filter(lists(nw.col("cleared"), "idn_id") | by_parent).select(
        "feed", "firm_id", "as_of", _ref().alias("ref")
    )


def _ended(moved: Frame) -> Frame:
    left = moved.filter(~nw.col("left").is_null(), nw.col("left") != nw.col("child_vendor"))
    return left.select(
        "feed",
        "child_vendor",
        nw.col("left").alias("parent_vendor"),
        nw.col("left_ref").alias("ref"),
        nw.col("as_of").alias("effective_to"),
        nw.lit("ENDED").alias("state"),
    )


def _vendor_names(told: Deliveries) -> Frame:
    """One name per vendor id that appears as a system, `feed`, `vendor_id`, `name`; newer deliveries first."""
    ages = [frame.filter(~nw.col("name").is_null()).select(*_KEY, "name") for frame in (told.now, told.before)]
    return stack([ages[0], ages[1].join(ages[0], on=_KEY, how="anti")])


_KEY = ["feed", "vendor_id"]


def _account_ids(pairs: Frame, world: World, links: Frame, engine: Engine) -> Frame:
    """Account of every vendor id of the pairs; an id without a row, now or ever, gets a stub: `is_stub`.

    A system whose own row is no longer delivered, while others still name it, keeps the account it was linked to.
    """
    ids = stack(
        [
            pairs.select("feed", nw.col("child_vendor").alias("vendor_id")),
            pairs.select("feed", nw.col("parent_vendor").alias("vendor_id")),
        ]
    ).unique()
    known = links.select(
        nw.col("source").alias("feed"), nw.col("source_id").alias("vendor_id"), nw.col("account_id").alias("linked")
    )
    there = world.crosswalk.join(links.select("account_id").unique(), on="account_id", how="semi")
    once_known = there.select(
        nw.col("source").alias("feed"), nw.col("source_id").alias("vendor_id"), nw.col("account_id").alias("was_linked")
    )
    joined = engine.materialize(
        ids.join(known, on=["feed", "vendor_id"], how="left")
        .join(once_known, on=["feed", "vendor_id"], how="left")
        .with_columns(linked=nw.coalesce("linked", "was_linked"))
    )
    missing = joined.filter(nw.col("linked").is_null()).select("feed", "vendor_id")
    stubs = engine.map_batches(missing, make_stub_ids, _STUB)
    return joined.join(stubs, on="vendor_id", how="left").select(
        "feed",
        "vendor_id",
        nw.coalesce("linked", "stub_id").alias("account_id"),
        nw.col("linked").is_null().alias("is_stub"),
    )


def make_stub_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Account ids of vendor ids without a row."""
    feeds, ids = batch.column("feed").to_pylist(), batch.column("vendor_id").to_pylist()
    made = [hashlib.sha256(f"{feed}|{id_}".encode()).hexdigest()[:16] for feed, id_ in zip(feeds, ids, strict=True)]
    return pa.RecordBatch.from_arrays(
        [batch.column("vendor_id").cast(pa.string()), pa.array(made, pa.string())], schema=_STUB
    )


def _vanished(world: World, links: Frame) -> Frame:
    """Firms whose system is blank now and was not in the delivery before; what a word emptied is not blank.

    Also those whose nearest system is blank while the one above it stays, which moves nobody up, and systems that name
    themselves, with nobody above them any more in any row.
    """
    before = world.previous_firms.filter(~_nearest().is_null()).select(
        "feed", "firm_id", _nearest().alias("previous_idn"), nw.col("idn_parent_id").alias("previous_parent")
    )
    alone = (
        (nw.col("idn_id") == nw.col("firm_id"))
        & nw.col("idn_parent_id").is_null()
        & ~lists(nw.col("cleared"), "idn_parent_id")
    )
    now = world.firms.filter(nw.col("idn_id").is_null() | certain(alone))
    spoken = world.firms.filter(~nw.col("idn_id").is_null(), ~nw.col("idn_parent_id").is_null())
    placed = spoken.select("feed", nw.col("idn_id").alias("firm_id")).unique()
    linked = links.select(
        nw.col("source").alias("feed"), nw.col("source_id").alias("firm_id"), nw.col("account_id").alias("account_id")
    )
    still_above = certain(nw.col("idn_parent_id") == nw.col("previous_parent"))
    skipped = still_above & (nw.col("idn_parent_id") != nw.col("previous_idn")) & ~lists(nw.col("cleared"), "idn_id")
    return (
        now.join(before, on=["feed", "firm_id"], how="inner")
        .filter(nw.col("idn_id").is_null() | certain(nw.col("previous_parent") != nw.col("firm_id")))
        .filter(nw.col("idn_parent_id").is_null() | skipped)
        .join(placed, on=["feed", "firm_id"], how="anti")
        .join(released(world), on=["feed", "firm_id"], how="anti")
        .join(linked, on=["feed", "firm_id"], how="inner")
        .select("feed", "firm_id", "account_id", "name", "previous_idn", _ref().alias("ref"))
    )


def _vendor_pairs(firms: Frame) -> Frame:
    """Vendor ids of child and parent, self references included."""
    first = firms.select(
        "feed",
        nw.col("firm_id").alias("child_vendor"),
        _nearest().alias("parent_vendor"),
        _ref().alias("ref"),
    )
    second = firms.filter(~nw.col("idn_id").is_null()).select(
        "feed",
        nw.col("idn_id").alias("child_vendor"),
        nw.col("idn_parent_id").alias("parent_vendor"),
        _ref().alias("ref"),
    )
    return stack([first, second])


def _nearest() -> nw.Expr:
    """Vendor id of the nearest system that a firm's row names."""
    return nw.coalesce("idn_id", "idn_parent_id")


def _ref() -> nw.Expr:
    return text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String()))
