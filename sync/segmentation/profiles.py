"""One row per account of what it is, how it is sold to, which segment it belongs to, and its score.

Everything is judged for the deciding organisation and inherited by its members; region and site rules are the account's
own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pyarrow as pa

from mappings.expressions import parse
from mappings.insight_policy import ScorePolicy, SegmentPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, null
from sync.segmentation import motions
from sync.segmentation.holdings import LINES
from sync.segmentation.predicates import holds
from sync.segmentation.referrals import referrals
from sync.segmentation.scores import FEATURES, SCORES, score
from sync.segmentation.segments import EXACT, MEMBERSHIP, with_segments
from sync.segmentation.signals import BEHAVIOR, DEALS, behavior, deals
from sync.world import BOOL, INT, TEXT, Schema, World

_OWN = ("region", "site_con", "site_expansion", "site_practice", "canada_law")
_PLACED = ("account_id", "name", "state", *_OWN)
"""What every account has of its own; all else is its holder's."""
PROFILES: Schema = {
    "account_id": TEXT,
    "holder_account_id": TEXT,
    "name": TEXT,
    "state": TEXT,
    **dict.fromkeys(_OWN, TEXT),
    "own_type": TEXT,
    "org_type": TEXT,  # settled type of the deciding organisation, null = open
    "account_tier": TEXT,
    "size_tier": TEXT,
    "size_disagrees": BOOL,
    "it_maturity": TEXT,
    "ehr_vendor": TEXT,
    "ehr_top_share_bp": INT,
    "ehr_mixed": BOOL,
    "payer_class": TEXT,
    "payer_note": TEXT,
    "roi_frame": TEXT,
    "reg_env": TEXT,
    "expansion_bp": INT,
    "full_practice_bp": INT,
    "own_subtype": TEXT,
    "affiliation": TEXT,
    "affiliations": TEXT,  # all that hold
    "gpo_covered": BOOL,
    "awarded_to": TEXT,
    "motion": TEXT,
    "icp_profile": TEXT,
    "icp_open": TEXT,  # its gates of which nothing is known
    **{f"{line}_strength": TEXT for line in LINES},
    **{f"line_{place}": TEXT for place in (1, 2, 3)},
    "product_strength": TEXT,
    "line_margin": TEXT,
    "hospitals": INT,
    "providers": INT,
    "beds": INT,
    "potential_cents": INT,
    "won_cents": INT,
    "open_cents": INT,
    "our_share_bp": INT,
    "headroom_cents": INT,
    "quadrant": TEXT,
    "history": TEXT,
    "high_intent": BOOL,
    "intent_path": TEXT,
    "topics": TEXT,  # what it read and asked for of late, strongest first
    "referrers": INT,  # organisations known to refer to it; null below the smallest cell
    "referral_bp": INT,
    "status": TEXT,
    "is_lighthouse": BOOL,
    **MEMBERSHIP,
    **{name: dtype for name, dtype in SCORES.items() if name != "account_id"},
}
"""One row per account. Shares are basis points, money is cents, scores are tenths of a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The tables that profiles are made from."""

    world: World
    links: Frame  # LINKS
    accounts: Frame  # ACCOUNTS
    holders: Frame  # account_id, holder_account_id
    facts: Frame  # per holder: FACT_BOUNDS and TRAITS
    tiers: Frame  # TIERS
    law: Frame  # STATE_LAW
    gone: Frame  # account_id of closed and merged organisations
    affiliations: Frame | None = None  # AFFILIATIONS, of which referrals count; None = none are stated


def profiles(book: Book, segments: SegmentPolicy, scoring: ScorePolicy, as_of: str, engine: Engine) -> Frame:
    """PROFILES of every account."""
    described = describe_holders(book, segments, scoring, as_of, engine)
    return engine.materialize(of_accounts(book, described, segments, engine))


def describe_holders(book: Book, segments: SegmentPolicy, scoring: ScorePolicy, as_of: str, engine: Engine) -> Frame:
    """What every deciding organisation is, per `holder_account_id`: its members say the same of themselves."""
    scoring = scoring.positioned(segments.product_position)
    table = _with_activity(_deciding(book, engine), book, scoring, as_of, engine)
    received = referrals(book.affiliations, book.holders, segments.referral_min_cell, engine)
    table = table.join(received, on="account_id", how="left")
    table = table.join(_regions(segments, engine), on="state", how="left")
    table = engine.materialize(_sold(_described(table, segments), segments))
    table = table.with_columns(motions.quadrant(motions.cuts(table, segments, engine)).alias("quadrant"))
    table = engine.materialize(with_segments(table, segments, has_titles=book.world.contacts is not None))
    return engine.materialize(_shared(_scored(table, scoring, engine)))


def _with_activity(table: Frame, book: Book, scoring: ScorePolicy, as_of: str, engine: Engine) -> Frame:
    """Adds BEHAVIOR and the deals; where no feed tells of any, nothing is known and nobody is looked up."""
    world = book.world
    has_people = world.signals is not None or world.contacts is not None
    has_deals = bool(engine.count(world.opportunities.head(1)))
    linked = engine.materialize(_linked(book)) if has_people or has_deals else None
    if linked is None:
        unknown = {**BEHAVIOR, **DEALS}
        return table.with_columns(**{n: null(t) for n, t in unknown.items() if n != "holder_account_id"})
    acted = behavior(world, linked, scoring.behavior, as_of, engine).rename({"holder_account_id": "account_id"})
    dealt = deals(world, linked, engine).rename({"holder_account_id": "account_id"})
    return table.join(acted, on="account_id", how="left").join(dealt, on="account_id", how="left")


def _linked(book: Book) -> Frame:
    """Where records and firms lead: source, source_id, domain, holder."""
    to_holder = book.holders.select("account_id", "holder_account_id")
    domains = book.accounts.select("account_id", "domain")
    named = book.links.select("source", "source_id", "account_id").join(to_holder, on="account_id", how="inner")
    return named.join(domains, on="account_id", how="left")


def _deciding(book: Book, engine: Engine) -> Frame:
    """Holders with their facts, own row, confirmed numbers and tier."""
    own = book.accounts.select(
        "account_id",
        "name",
        "state",
        nw.col("ehr_vendor").alias("own_ehr"),
        nw.col("employees").alias("own_employees"),
        nw.col("annual_revenue_cents").alias("own_revenue_cents"),
    )
    mine = nw.col("account_id") == nw.col("holder_account_id")
    tiers = book.tiers.filter(mine).select("account_id", nw.col("tier").alias("account_tier"))
    facts = engine.materialize(engine.map_batches(_texts(book.facts), _numbers, _NUMBERS))
    table = book.facts.join(facts, on="account_id", how="left").join(own, on="account_id", how="left")
    gone = book.gone.select("account_id").unique().with_columns(is_gone=nw.lit(value=True))
    return table.join(tiers, on="account_id", how="left").join(gone, on="account_id", how="left")


_STATED = ("employees", "revenue_usd", "it_budget_usd", "covered_lives", "patients")
_NUMBERS = pa.schema([("account_id", pa.string()), *((f"{name}_said", pa.int64()) for name in _STATED)])


def _texts(facts: Frame) -> Frame:
    texts = [f"{name}_text" for name in _STATED]
    stated = nw.any_horizontal(~nw.col(*texts).is_null(), ignore_nulls=True)
    return facts.filter(stated).select("account_id", *texts)


def _numbers(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Confirmed numbers as whole ones."""
    columns: list[Any] = [batch.column("account_id").to_pylist()]
    columns += [motions.number_rows(batch.column(f"{name}_text").to_pylist()) for name in _STATED]
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, _NUMBERS, strict=True)], schema=_NUMBERS
    )


def _regions(policy: SegmentPolicy, engine: Engine) -> Frame:
    """`state`, `region`, `canada_law`."""
    rows: list[dict[str, Any]] = [
        {"state": s, "region": region, "canada_law": None} for region, states in policy.regions.items() for s in states
    ]
    rows += [{"state": p, "region": "CANADA", "canada_law": law or None} for p, law in policy.canada.items()]
    return engine.table(rows, {"state": TEXT, "region": TEXT, "canada_law": TEXT})


def _described(table: Frame, policy: SegmentPolicy) -> Frame:
    """What it is."""
    complete = certain(nw.col("revenue_missing") == 0) & certain(nw.col("hospitals_count") > 0)
    revenue = nw.coalesce(
        nw.col("revenue_usd_said") * 100,
        nw.col("own_revenue_cents"),
        nw.when(complete).then(nw.col("revenue_sum")),
    )
    table = motions.with_backing(table).with_columns(
        revenue_cents=revenue,
        employees=nw.coalesce("employees_said", "own_employees"),
        it_budget_usd=nw.col("it_budget_usd_said"),
    )
    table = motions.with_top_lines(motions.with_ehr(motions.with_size(table, policy), policy))
    at_risk = (nw.col("capitated_text") == "true") | (nw.col("aco_hospitals") > 0)
    closed = nw.col("status_text").str.to_uppercase().is_in(["CLOSED", "MERGED"])
    return table.with_columns(
        it_maturity=motions.it_maturity(),
        payer_class=motions.payer_class(policy),
        roi_frame=cases([(at_risk, "TOTAL_COST_OF_CARE")], null(TEXT)),
        reg_env=motions.reg_env(),
        motion=motions.motion(),
        line_margin=motions.line_margin(policy),
        org_type=_settled("org_type"),
        status=cases([(closed | nw.col("is_gone"), "CLOSED")], "ACTIVE"),
        opted_out=nw.coalesce(nw.when(nw.col("opt_out_text") == "true").then(nw.lit(value=True)), nw.col("opted_out")),
        is_lighthouse=motions.is_lighthouse(),
        **{f"{line}_strength": _settled(line) for line in LINES},
    )


def _settled(fact: str) -> nw.Expr:
    """The value where both bounds are there and equal, else null."""
    low = nw.col(f"{fact}__lo")
    return nw.when(low == nw.col(f"{fact}__hi")).then(low)


def _sold(table: Frame, policy: SegmentPolicy) -> Frame:
    """What it could spend, what it spends with us, and the profile it fits."""
    potential = {kind: usd * 100 for kind, usd in policy.quadrants.potential_usd.items()}
    table = motions.with_profile(table, policy.profiles).with_columns(
        potential_cents=motions.looked_up("org_type", potential, INT)
    )
    some, won = nw.col("potential_cents"), nw.col("won_cents")
    table = table.with_columns(_some=nw.when(some > 0).then(some), _left=some - won)  # a divisor of 0 becomes null
    divisor, left = nw.col("_some"), nw.col("_left")
    return table.with_columns(
        our_share_bp=(won * 20000 + divisor) // (divisor * 2),
        headroom_cents=nw.when(left < 0).then(nw.lit(0)).otherwise(left),
    )


def _scored(table: Frame, policy: ScorePolicy, engine: Engine) -> Frame:
    """Adds SCORES; the gate of the policy that holds first goes with them."""
    if not policy.dimensions:
        return table
    gates = [(holds(parse(node), EXACT), name) for name, node in policy.gates.items()]
    features = table.select(
        "account_id",
        nw.col("org_type").alias("segment"),
        cases(gates, null(TEXT)).alias("gate"),
        _settled("beds").alias("beds"),
        nw.col("product_strength").alias("strength"),
        nw.col("payer_class").alias("payer"),
        "engagement",
        nw.col("ehr_vendor").alias("ehr"),
        "it_maturity",
        "intent",
        "contacts",
        "champion",
        "history",
    )
    return table.join(score(conform(features, FEATURES), policy, engine), on="account_id", how="left")


def _shared(table: Frame) -> Frame:
    """What members have in common with the organisation that decides for them."""
    shared = table.rename({"account_id": "holder_account_id"}).with_columns(
        gpo_covered=nw.col("gpo_covered__lo"),
        hospitals=nw.col("hospitals__lo"),
        providers=nw.col("providers__lo"),
        beds=_settled("beds"),
    )
    present = set(shared.collect_schema().names())
    return shared.select(*(name for name in PROFILES if name in present and name not in _PLACED))


def of_accounts(book: Book, described: Frame, policy: SegmentPolicy, engine: Engine) -> Frame:
    """PROFILES: every account with what its deciding organisation is, in its own place. Lazy."""
    own = book.accounts.select("account_id", "name", "state").join(book.holders, on="account_id", how="left")
    placed = own.select("account_id", "holder_account_id", "name", "state").join(
        _regions(policy, engine), on="state", how="left"
    )
    law = book.law.select(
        "state",
        nw.col("con").alias("site_con"),
        nw.col("expansion").alias("site_expansion"),
        nw.col("practice").alias("site_practice"),
    )
    placed = placed.join(law, on="state", how="left").with_columns(
        site_con=cases([(nw.col("region") == "CANADA", "N/A")], nw.col("site_con"))
    )
    return conform(placed.join(described, on="holder_account_id", how="left"), PROFILES)
