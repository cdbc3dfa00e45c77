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
from sync.frames import certain, conform, first_by, lists, null, one_of, stack, text
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

_STUB = pa.schema([(name, pa.string()) for name in ("feed", "vendor_id", "stub_id")])


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEdges:
    """What the vendor's columns say of who belongs to whom."""

    edges: Frame  # EDGES; lazy
    stubs: Frame  # account_id, name, feed, vendor_id of parents without a row of their own
    blanks: Frame  # firms whose system vanished: feed, firm_id, account_id, name, previous_idn, ref
    released: Frame  # firms that belong to no system by a word: feed, firm_id, as_of, ref


def feed_edges(world: World, links: Frame, engine: Engine, told: Deliveries | None = None) -> FeedEdges:
    """Edges of the newest delivery, and those carried on from the one before for firms that went blank."""
    told = told or deliveries(world, engine)
    out = engine.materialize(released(world))
    blanks = engine.materialize(_vanished(world, links, out))
    known = engine.materialize(_known_ids(world, links, told, engine))
    ends = [("child_vendor", "child"), ("parent_vendor", "parent")]
    pairs = _distinct_pairs(world, blanks, out, told, engine)
    for vendor, end in ends:
        pairs = pairs.join(known.rename({"vendor_id": vendor, "account_id": end}), on=["feed", vendor], how="left")
    pairs = engine.materialize(pairs)
    unknown = [pairs.filter(nw.col(end).is_null()).select("feed", vendor_id=nw.col(vendor)) for vendor, end in ends]
    stubs = engine.materialize(engine.map_batches(stack(unknown).unique(), make_stub_ids, _STUB))
    if engine.count(stubs.head(1)):
        for vendor, end in ends:
            made = stubs.rename({"vendor_id": vendor})
            pairs = (
                pairs.join(made, on=["feed", vendor], how="left")
                .with_columns(nw.coalesce(end, "stub_id").alias(end))
                .drop("stub_id")
            )
    apart = pairs.filter(nw.col("child") != nw.col("parent")).select(
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
    named = stubs.rename({"stub_id": "account_id"}).join(_vendor_names(told, stubs), on=_KEY, how="left")
    once = first_by(named, ["account_id"], _KEY).select("account_id", "name", "feed", "vendor_id")
    return FeedEdges(edges=conform(described, EDGES), stubs=engine.materialize(once), blanks=blanks, released=out)


_PAIR = ("feed", "child_vendor", "parent_vendor")
_PAIRS: Schema = dict.fromkeys((*_PAIR, "ref", "effective_from", "effective_to", "state"), TEXT)


def _distinct_pairs(world: World, blanks: Frame, out: Frame, told: Deliveries, engine: Engine) -> Frame:
    """Distinct `feed`, `child_vendor`, `parent_vendor` with the first row that names them; self references left out.

    Pairs that the delivery before did not have begin with this one, and those it had instead ended then.
    """
    rows, moved = [_vendor_pairs(world.firms)], _moved(world)
    if engine.count(blanks.head(1)):
        blank = blanks.select(*_FIRM)
        kept = world.previous_firms.join(blank, on=_FIRM, how="semi")
        rows = [_vendor_pairs(world.firms.join(blank, on=_FIRM, how="anti")), _vendor_pairs(kept)]
        moved = moved.join(blank.rename({"firm_id": "child_vendor"}), on=["feed", "child_vendor"], how="anti")
    moved = engine.materialize(moved)
    pairs = stack([*rows, *_carried(world, told, engine)])
    apart = pairs.filter(nw.col("child_vendor") != nw.col("parent_vendor"))
    once = apart.group_by(*_PAIR).agg(nw.col("ref").min())
    began = moved.select(*_PAIR, nw.col("as_of").alias("effective_from"))
    running = once.join(began, on=list(_PAIR), how="left").with_columns(effective_to=null(TEXT), state=nw.lit("ACTIVE"))
    return stack([conform(frame, _PAIRS) for frame in (running, _ended(moved), _ended(_left(world, out)))])


def _carried(world: World, told: Deliveries, engine: Engine) -> list[Frame]:
    """Pairs of systems that are named still, with nobody above them any more: a blank ends nothing."""
    said = engine.materialize(silent(told))
    if not engine.count(said.head(1)):
        return []
    before = world.previous_firms.filter(~nw.col("idn_parent_id").is_null())
    refs = [
        before.select(
            "feed", nw.col(child).alias("child_vendor"), nw.col(parent).alias("parent_vendor"), _ref().alias("ref")
        )
        for child, parent in (("idn_id", "idn_parent_id"), ("firm_id", "idn_parent_id"), ("firm_id", "idn_id"))
    ]
    return [stack(refs).join(said, on=list(_PAIR), how="semi").select(*_PAIR, "ref")]


def _moved(world: World) -> Frame:
    """Firms whose nearest system is another one than in the delivery before, both named, and the newer date."""
    before = _before(world)
    now = world.firms.select(*_FIRM, _nearest().alias("parent_vendor"), "as_of")
    both = now.filter(~nw.col("parent_vendor").is_null()).join(before, on=_FIRM, how="inner")
    return _was_below(both.filter(~certain(nw.col("left") == nw.col("parent_vendor"))))


def _left(world: World, out: Frame) -> Frame:
    """Firms that the vendor took out of their system by a word: `feed`, `child_vendor`, `left`, `left_ref`, `as_of`."""
    gone = out.select(*_FIRM, "as_of").join(_before(world), on=_FIRM, how="inner")
    return _was_below(gone.with_columns(parent_vendor=null(TEXT)))


def _before(world: World) -> Frame:
    return world.previous_firms.select(*_FIRM, _nearest().alias("left"), "file", "row")


def _was_below(firms: Frame) -> Frame:
    return firms.select(
        "feed", nw.col("firm_id").alias("child_vendor"), "parent_vendor", "as_of", "left", left_ref=_ref()
    )


def released(world: World) -> Frame:
    """Firms of which the vendor says that they belong to no system: `feed`, `firm_id`, `as_of`, `ref`.

    Their system is empty by a word, not by a blank. Where only the parent of the system is emptied, that counts if no
    nearer system was named before: a blank beside it says nothing.
    """
    bare = world.firms.filter(
        ~nw.col("cleared").is_null(), nw.col("idn_id").is_null(), nw.col("idn_parent_id").is_null()
    )
    nearer = world.previous_firms.select("feed", "firm_id", nw.col("idn_id").alias("nearer"))
    known = bare.join(nearer, on=_FIRM, how="left")
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


def _vendor_names(told: Deliveries, stubs: Frame) -> Frame:
    """One name per stub that appears as a system, `feed`, `vendor_id`, `name`; newer deliveries first."""
    ages = [
        frame.filter(~nw.col("name").is_null()).select(*_KEY, "name").join(stubs, on=_KEY, how="semi")
        for frame in (told.now, told.before)
    ]
    return stack([ages[0], ages[1].join(ages[0], on=_KEY, how="anti")])


_KEY, _FIRM = ["feed", "vendor_id"], ["feed", "firm_id"]


def _known_ids(world: World, links: Frame, told: Deliveries, engine: Engine) -> Frame:
    """`feed`, `vendor_id`, `account_id` of everything that a vendor has, or once had, a row for.

    A system whose own row is no longer delivered, while others still name it, keeps the account it was linked to.
    """
    feeds = engine.rows(stack([told.now.select("feed"), told.before.select("feed")]).unique())
    of_vendors = one_of(nw.col("source"), [row["feed"] for row in feeds])
    ids = (nw.col("source").alias("feed"), nw.col("source_id").alias("vendor_id"), "account_id")
    known = links.filter(of_vendors).select(*ids)
    there = world.crosswalk.filter(of_vendors).join(links.select("account_id"), on="account_id", how="semi")
    return stack([known, there.select(*ids).join(known, on=_KEY, how="anti")])


def make_stub_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Account ids of vendor ids without a row, now or ever."""
    feeds, ids = batch.column("feed").to_pylist(), batch.column("vendor_id").to_pylist()
    made = [hashlib.sha256(f"{feed}|{id_}".encode()).hexdigest()[:16] for feed, id_ in zip(feeds, ids, strict=True)]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in (feeds, ids, made)], schema=_STUB)


def _vanished(world: World, links: Frame, out: Frame) -> Frame:
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
        now.join(before, on=_FIRM, how="inner")
        .filter(nw.col("idn_id").is_null() | certain(nw.col("previous_parent") != nw.col("firm_id")))
        .filter(nw.col("idn_parent_id").is_null() | skipped)
        .join(placed, on=_FIRM, how="anti")
        .join(out, on=_FIRM, how="anti")
        .join(linked, on=_FIRM, how="inner")
        .select("feed", "firm_id", "account_id", "name", "previous_idn", _ref().alias("ref"))
    )


def _vendor_pairs(firms: Frame) -> Frame:
    """Vendor ids of child and parent, self references included."""
    rows = firms.select(*_FIRM, "idn_id", "idn_parent_id", _ref().alias("ref"))
    own = rows.select("feed", nw.col("firm_id").alias("child_vendor"), _nearest().alias("parent_vendor"), "ref")
    above = rows.filter(~nw.col("idn_id").is_null()).select(
        "feed", nw.col("idn_id").alias("child_vendor"), nw.col("idn_parent_id").alias("parent_vendor"), "ref"
    )
    return stack([own, above])


def _nearest() -> nw.Expr:
    """Vendor id of the nearest system that a firm's row names."""
    return nw.coalesce("idn_id", "idn_parent_id")


def _ref() -> nw.Expr:
    return text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String()))
