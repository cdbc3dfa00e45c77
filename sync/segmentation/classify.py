"""Facts of every deciding organisation, each as bounds with its source: what tier and routing expressions compare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import narwhals as nw
import pyarrow as pa

from mappings.facts import TIER_FACTS
from mappings.policy import Regulation, TierPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, first_by, null, stack, text
from sync.segmentation.members import certificate_of_need, roll_up, with_traits
from sync.world import BOOL, INT, TEXT, Schema

_DTYPES: dict[type, Any] = {str: TEXT, int: INT, bool: BOOL}
FACT_BOUNDS: Schema = {f"{fact.name}{end}": _DTYPES[fact.type] for fact in TIER_FACTS for end in ("__lo", "__hi")} | {
    f"{fact.name}__from": TEXT for fact in TIER_FACTS
}
"""Per fact: lower and upper bound (or two possible texts), null = unknown, and `__from`, where it was read."""

STRONG_SHARE_BP, STRONG_GROWTH_BP = 1500, -500
"""A service line is strong from 15 % of revenue if it does not shrink by more than 5 % a year. Source: seed figures."""

_PARSED = pa.schema(
    [
        *((n, pa.string()) for n in ("account_id", "fact", "category", "value", "valid_from", "fact_source")),
        ("in_force", pa.bool_()),
        ("value_bp", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The tables that facts are read from."""

    accounts: Frame  # ACCOUNTS
    holders: Frame  # account_id, system_account_id, holder_account_id
    facts: Frame  # CONFIRMED
    regulation: Iterable[Regulation]
    as_of: str


def classify(evidence: Evidence, policy: TierPolicy, engine: Engine) -> Frame:
    """One row per holder: `account_id` and FACT_BOUNDS."""
    line = str(policy.assumptions.get("target_service_line", "ONCOLOGY")).lower()
    traits = engine.materialize(_members(evidence))
    con = certificate_of_need(evidence.regulation, evidence.as_of, engine)
    sums = roll_up(traits, con, f"{line}_share_bp").rename({"holder_account_id": "account_id"})
    parsed = engine.materialize(engine.map_batches(evidence.facts, parse_shares, _PARSED))
    holders = evidence.holders.select(nw.col("holder_account_id").alias("account_id")).unique()
    table = holders.join(sums, on="account_id", how="left")
    table = table.join(_own(traits, con), on="account_id", how="left")
    table = table.join(_the_hospital(traits), on="account_id", how="left")
    for fact in ("procurement_centralized", "commercial_share", "non_con_share", f"{line}_strength", f"{line}_growth"):
        about_line = line if fact.startswith(line) or fact == "non_con_share" else None
        table = table.join(_in_force(parsed, fact, about_line), on="account_id", how="left")
    table = table.join(_gpo(parsed, str(policy.assumptions.get("category", ""))), on="account_id", how="left")
    bounds = [*_org_type(policy), *_strength(line), *_payers(), *_sites(), *_sizes(), *_coverage()]
    return engine.materialize(engine.materialize(table).select("account_id", *bounds))


def parse_shares(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds `value_bp`: a percent text in basis points; null where the value is no number."""
    parsed = pa.array([_basis_points(value) for value in batch.column("value").to_pylist()], pa.int64())
    columns = {name: batch.column(name) for name in batch.schema.names} | {"value_bp": parsed}
    return pa.RecordBatch.from_arrays([columns[f.name].cast(f.type) for f in _PARSED], schema=_PARSED)


def _basis_points(value: str | None) -> int | None:
    try:
        return None if value is None else int((Decimal(value.rstrip("%")) * 100).to_integral_value())
    except InvalidOperation:
        return None


def _members(evidence: Evidence) -> Frame:
    """Accounts with their traits, under every organisation they count for: their system, and themselves as a site."""
    of_system = evidence.holders.select("account_id", nw.col("system_account_id").alias("holder_account_id"))
    sites = evidence.holders.filter(nw.col("holder_account_id") != nw.col("system_account_id"))
    both = stack([of_system, sites.select("account_id", "holder_account_id")])
    return with_traits(evidence.accounts).join(both, on="account_id", how="inner")


def _own(traits: Frame, con: Frame) -> Frame:
    """What the deciding organisation is by itself."""
    deciding = traits.filter(nw.col("account_id") == nw.col("holder_account_id"))
    return deciding.join(con, on="state", how="left").select(
        "account_id", nw.col("kind").alias("own_kind"), nw.col("con").alias("own_con")
    )


def _the_hospital(traits: Frame) -> Frame:
    """The hospital of a holder; read only where it is the only one."""
    hospitals = traits.filter(certain(nw.col("kind") == "HOSPITAL"))
    first = first_by(hospitals, ["holder_account_id"], ["account_id"])
    return first.select(
        nw.col("holder_account_id").alias("account_id"),
        nw.col("cah").alias("the_cah"),
        nw.col("staffed_beds").alias("the_beds"),
        nw.col("is_rural").alias("the_rural"),
    )


def _in_force(parsed: Frame, fact: str, category: str | None) -> Frame:
    """The newest statement in force of one fact, as `<fact>_text`, `<fact>_bp`, `<fact>_ref`."""
    rows = parsed.filter(nw.col("fact") == fact, certain(nw.col("in_force")))
    if category is not None:
        rows = rows.filter((nw.col("category") == category) | (nw.col("category") == ""))
    newest = first_by(rows, ["account_id"], ["valid_from", "fact_source", "value"], descending=["valid_from"])
    return newest.select(
        "account_id",
        nw.col("value").alias(f"{fact}_text"),
        nw.col("value_bp").alias(f"{fact}_bp"),
        nw.col("fact_source").alias(f"{fact}_ref"),
    )


def _gpo(parsed: Frame, category: str) -> Frame:
    """Whether a contract for the category is in force. A contract known for other dates only means: not covered."""
    rows = parsed.filter(nw.col("fact") == "gpo_contract", nw.col("category") == category)
    covers = certain(nw.col("in_force")) & (nw.col("value").str.to_lowercase() != "none")
    order = cases([(covers, 0), (nw.col("in_force"), 1)], 2)
    first = first_by(rows.with_columns(covers=covers, order=order), ["account_id"], ["order", "fact_source", "value"])
    return first.select("account_id", nw.col("covers").alias("gpo_known"), nw.col("fact_source").alias("gpo_ref"))


def _bounds(fact: str, low: nw.Expr, high: nw.Expr, source: nw.Expr) -> list[nw.Expr]:
    return [low.alias(f"{fact}__lo"), high.alias(f"{fact}__hi"), source.alias(f"{fact}__from")]


def _org_type(policy: TierPolicy) -> list[nw.Expr]:
    """IDN by number of hospitals, or by central procurement across states; one hospital is what that hospital is."""
    idn, alternative = policy.classify["idn"], policy.classify["idn"].get("or", {})
    fewest, most = alternative.get("hospitals_between", [2, int(idn["min_hospitals"]) - 1])
    many = nw.col("hospitals") >= int(idn["min_hospitals"])
    several = (nw.col("hospitals") >= fewest) & (nw.col("hospitals") <= most)
    central = nw.col("procurement_centralized_text") == str(alternative.get("centralized", True)).lower()
    multi_state = nw.col("first_state") != nw.col("last_state")
    between = (nw.col("hospitals") > most) & ~many
    alone, likely = _lone_hospital(policy.classify["cah"])
    own = cases([(nw.col("own_kind") == k, k) for k in ("POST_ACUTE", "ASC", "PHYSICIAN_GROUP", "OTHER")], null(TEXT))
    shared = [(many, "IDN"), (several & central & multi_state, "IDN"), (several & ~central, "COMMUNITY_SYSTEM")]
    shared.append((between, "COMMUNITY_SYSTEM"))
    low = cases([*shared, (several, "COMMUNITY_SYSTEM"), (nw.col("hospitals") == 1, alone)], own)
    high = cases([*shared, (several, "IDN"), (nw.col("hospitals") == 1, likely)], own)
    count = nw.coalesce("hospitals", nw.lit(0)).cast(TEXT)
    counted = text(count, " hospitals of the system; central procurement: ")
    known = nw.coalesce(
        text("confirmed in ", nw.when(~central.is_null()).then(nw.col("procurement_centralized_ref"))),
        nw.lit("not confirmed"),
    )
    procurement = nw.when(central.is_null()).then(nw.lit("not confirmed")).otherwise(known)
    return _bounds("org_type", low, high, text(counted, procurement))


def _lone_hospital(rule: dict[str, Any]) -> tuple[nw.Expr, nw.Expr]:
    """Lowest and highest reading of a single hospital: certificate first, then beds and place where there is none."""
    limit = int(rule["max_beds"])
    small = nw.col("the_beds") <= limit if rule.get("max_beds_operator") == "lte" else nw.col("the_beds") < limit
    fits = small & nw.col("the_rural") if rule.get("require_rural", True) else small
    certified = nw.col("the_cah")
    known = [(certified == "CAH", "CAH"), (certified == "NOT", "INDEPENDENT_HOSPITAL"), (fits, "CAH_LIKELY")]
    low = cases([*known, (~fits, "INDEPENDENT_HOSPITAL")], "INDEPENDENT_HOSPITAL")
    high = cases([*known, (~fits, "INDEPENDENT_HOSPITAL")], "CAH_LIKELY")
    return low, high


def _strength(line: str) -> list[nw.Expr]:
    """Confirmed strength; else by the line's share of revenue, where every hospital's is known."""
    said, reference = nw.col(f"{line}_strength_text"), nw.col(f"{line}_strength_ref")
    complete = (nw.col("hospitals") > 0) & (nw.col("line_missing") == 0) & (nw.col("known_revenue") > 0)
    large = complete & (nw.col("line_revenue") >= nw.col("known_revenue") * STRONG_SHARE_BP)
    growth = nw.col(f"{line}_growth_bp")
    grows, shrinks = growth >= STRONG_GROWTH_BP, growth < STRONG_GROWTH_BP
    low = cases(
        [(~said.is_null(), said), (large & grows, "STRONG"), (large & shrinks, "WEAK"), (large, "MODERATE")], null(TEXT)
    )
    high = cases(
        [(~said.is_null(), said), (large & grows, "STRONG"), (large & shrinks, "MODERATE"), (large, "STRONG")],
        null(TEXT),
    )
    source = cases([(~said.is_null(), reference), (large, f"{line} share of revenue in the feed")], null(TEXT))
    return _bounds("oncology_strength", low, high, source)


def _payers() -> list[nw.Expr]:
    """Confirmed commercial share; else the days column, which holds private, self-pay and other: an upper bound."""
    said, reference = nw.col("commercial_share_bp"), nw.col("commercial_share_ref")
    complete = (nw.col("hospitals") > 0) & (nw.col("payer_missing") == 0)
    days = nw.lit("days in the feed, an upper bound of the commercial share")
    commercial = _bounds(
        "commercial_bp",
        nw.coalesce(said, nw.when(certain(complete)).then(nw.lit(0))),
        nw.coalesce(said, nw.when(certain(complete)).then(nw.col("other_max"))),
        cases([(~said.is_null(), reference), (complete, days)], null(TEXT)),
    )
    government = _bounds(
        "gov_bp",
        nw.when(certain(complete)).then(nw.col("gov_min")),
        nw.when(certain(complete)).then(nw.col("gov_max")),
        nw.when(certain(complete)).then(nw.lit("days in the feed, not revenue")),
    )
    return [*commercial, *government]


def _sites() -> list[nw.Expr]:
    """Confirmed share outside certificate of need; else the share of hospital sites, or its own state without any."""
    said, sites = nw.col("non_con_share_bp"), nw.col("hospitals")
    has_sites = certain(sites > 0)
    count = nw.when(has_sites).then(sites).otherwise(nw.lit(1))  # never divide by zero: the engines disagree on it
    own = cases([(nw.col("own_con") == "none", 10000), (nw.col("own_con") != "unknown", 0)], null(INT))
    by_sites_low = nw.col("free_sites") * 10000 // count
    by_sites_high = (nw.col("free_sites") + nw.col("unruled_sites")) * 10000 // count
    low = nw.coalesce(said, nw.when(has_sites).then(by_sites_low).otherwise(own))
    high = nw.coalesce(said, nw.when(has_sites).then(by_sites_high).otherwise(own))
    by_state = nw.when(~low.is_null()).then(nw.lit("certificate-of-need rules of the sites' states"))
    return _bounds("non_con_bp", low, high, nw.coalesce(nw.col("non_con_share_ref"), by_state))


def _sizes() -> list[nw.Expr]:
    """Hospitals owned, their beds (a lower bound where some are unknown), providers (no source carries them yet)."""
    counted = nw.when(nw.col("hospitals") > 0).then(nw.lit("hospitals in the feed"))
    complete = certain(nw.col("beds_missing") == 0)
    return [
        *_bounds("hospitals", nw.col("hospitals"), nw.col("hospitals"), counted),
        *_bounds("beds", nw.col("beds_known"), nw.when(complete).then(nw.col("beds_known")), counted),
        *_bounds("providers", null(INT), null(INT), null(TEXT)),
    ]


def _coverage() -> list[nw.Expr]:
    return _bounds("gpo_covered", nw.col("gpo_known"), nw.col("gpo_known"), nw.col("gpo_ref"))
