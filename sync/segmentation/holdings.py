"""What the members of a deciding organisation hold together: service lines, payers, systems of record, people, places.

Sums only, never means of percentages: a share of the whole is the sum of its parts weighted by revenue.
"""

from __future__ import annotations

from functools import reduce

import narwhals as nw

from mappings.facts import EHR_VENDORS, SERVICE_LINES
from mappings.insight_policy import Contract, SegmentPolicy
from sync.engine import Frame
from sync.frames import cases, certain, count_where, null
from sync.world import INT, TEXT

LINES: tuple[str, ...] = tuple(line.lower() for line in SERVICE_LINES)
_VENDORS = (("epic", "EPIC"), ("cerner|oracle", "ORACLE"), ("meditech", "MEDITECH"))


OPEN_IT, SOME_IT, PAPER = r"fhir|data lake|\bapis?\b", r"hl7|report", r"paper|minimal"
"""Words of what its information technology can do: open interfaces or a data lake; reports or messages; little."""


def ehr_class(vendor: nw.Expr) -> nw.Expr:
    """EPIC, ORACLE, MEDITECH or OTHER; null where no vendor is known."""
    name = vendor.str.to_lowercase()
    return cases(
        [(vendor.is_null(), null(TEXT)), *((name.str.contains(pattern), word) for pattern, word in _VENDORS)], "OTHER"
    )


def with_holdings(traits: Frame, con: Frame, policy: SegmentPolicy, ma_counts_as: str) -> Frame:
    """Adds per account what is summed up: revenue in cents as the weight, and shares of it in basis points."""
    hospital = certain(nw.col("kind") == "HOSPITAL")
    revenue = nw.col("net_patient_revenue_cents")
    advantage = nw.coalesce("medicare_advantage_days_bp", nw.lit(0))
    commercial = nw.col("commercial_days_bp")
    total = nw.col("medicare_days_bp") + nw.col("medicaid_days_bp") + nw.col("other_days_bp") + advantage
    total = total + nw.coalesce(commercial, nw.lit(0))
    adds_up = hospital & certain((total >= policy.payers.sum_from_bp) & (total <= policy.payers.sum_to_bp))
    counted = advantage if ma_counts_as == "medicare" else nw.lit(0)
    bought = advantage if ma_counts_as == "commercial" else nw.lit(0)
    sited = traits.join(con, on="state", how="left")
    vendor = ehr_class(nw.col("ehr_vendor"))
    return sited.with_columns(
        h=hospital,
        revenue_i=nw.when(hospital & (revenue > 0)).then(revenue),
        gov_i=nw.when(adds_up).then(nw.col("medicare_days_bp") + nw.col("medicaid_days_bp") + counted),
        private_lo_i=nw.when(adds_up).then(nw.coalesce(commercial, nw.lit(0)) + bought),
        private_hi_i=nw.when(adds_up).then(nw.coalesce(commercial, nw.col("other_days_bp")) + bought),
        vendor_i=vendor,
        bed_weight=nw.when(hospital & ~vendor.is_null()).then(nw.coalesce("staffed_beds", nw.lit(1))),
        free_i=nw.col("con") == "none",
        ruled_i=~nw.col("con").is_null() & (nw.col("con") != "unknown"),
        it_i=_maturity(),
        gpo_i=nw.col("gpo").str.to_lowercase(),
    )


def _maturity() -> nw.Expr:
    """3: open interfaces or a data lake; 2: a record system that reports or exchanges; 1: paper; null: no evidence."""
    able = nw.col("it_capabilities").str.to_lowercase()
    return cases(
        [
            (able.str.contains(OPEN_IT), 3),
            (able.str.contains(SOME_IT) & ~nw.col("ehr_vendor").is_null(), 2),
            (able.str.contains(PAPER), 1),
        ],
        null(INT),
    )


def hold(members: Frame, line: str, contracts: tuple[Contract, ...], names: dict[str, tuple[str, ...]]) -> Frame:
    """One row per `account_id` (the holder) with the sums over its members."""
    return members.group_by("holder_account_id").agg(
        *_money(), *_payers(), *_line_sums(line), *_systems(), *_people(), *_purchasing(contracts, names)
    )


def _money() -> list[nw.Expr]:
    h = nw.col("h")
    return [
        count_where(h & nw.col("revenue_i").is_null()).alias("revenue_missing"),
        nw.col("revenue_i").sum().cast(INT).alias("revenue_sum"),
        count_where(~h & (nw.col("kind") != "SYSTEM")).alias("other_sites"),
        count_where(h & ~nw.col("aco").is_null()).alias("aco_hospitals"),
    ]


def _payers() -> list[nw.Expr]:
    weighted = [(nw.col(f"{n}_i") * nw.col("revenue_i")).sum().cast(INT).alias(f"{n}_weight") for n in _SHARES]
    low = [nw.col(f"{n}_i").min().alias(f"{n}_min") for n in _SHARES]
    high = [nw.col(f"{n}_i").max().alias(f"{n}_max") for n in _SHARES]
    unknown = count_where(nw.col("h") & nw.col("gov_i").is_null()).alias("mix_missing")
    return [*weighted, *low, *high, unknown]


_SHARES = ("gov", "private_lo", "private_hi")


def _line_sums(target: str) -> list[nw.Expr]:
    sums: list[nw.Expr] = []
    for line in LINES:
        share = nw.col(f"{line}_share_bp")
        sums += [
            (share * nw.col("revenue_i")).sum().cast(INT).alias(f"{line}_part"),
            nw.when(~share.is_null()).then(nw.col("revenue_i")).sum().cast(INT).alias(f"{line}_whole"),
            count_where(nw.col("h") & (share.is_null() | nw.col("revenue_i").is_null())).alias(f"{line}_missing"),
        ]
    part = nw.col(f"{target}_share_bp") * nw.col("revenue_i")
    return [
        *sums,
        nw.when(nw.col("free_i")).then(part).sum().cast(INT).alias("free_part"),
        count_where(nw.col("h") & ~certain(nw.col("ruled_i"))).alias("places_unruled"),
    ]


def _systems() -> list[nw.Expr]:
    weights = [
        nw.when(nw.col("vendor_i") == vendor).then(nw.col("bed_weight")).sum().cast(INT).alias(f"beds_{vendor}")
        for vendor in EHR_VENDORS
    ]
    return [*weights, nw.col("it_i").max().alias("it_best")]


def _people() -> list[nw.Expr]:
    """Professionals of the members, and of the deciding organisation's own row, which speaks of all of them."""
    itself, unsaid = nw.col("account_id") == nw.col("holder_account_id"), nw.col("providers").is_null()
    return [
        nw.when(itself).then(nw.col("providers")).max().cast(INT).alias("providers_own"),
        nw.when(~itself).then(nw.col("providers")).sum().cast(INT).alias("providers_sum"),
        count_where(~unsaid).alias("providers_stated"),
        count_where(unsaid & ~itself & (nw.col("kind") != "SYSTEM")).alias("providers_missing"),
    ]


def people() -> tuple[nw.Expr, nw.Expr]:
    """The least and the most professionals of a deciding organisation; null = not known, or no upper bound.

    What its own row says is the whole; else the members' sum, a lower bound where one of them says nothing.
    """
    said = nw.when(certain(nw.col("providers_stated") > 0)).then(nw.coalesce("providers_own", "providers_sum"))
    complete = certain((nw.col("providers_missing") == 0) | ~nw.col("providers_own").is_null())
    confirmed = nw.col("providers_bp") // 100
    return nw.coalesce(confirmed, said), nw.coalesce(confirmed, nw.when(complete).then(said))


def _purchasing(contracts: tuple[Contract, ...], names: dict[str, tuple[str, ...]]) -> list[nw.Expr]:
    """Per contract the hospitals and the deciding organisation in its purchasing group, and those unknown."""
    itself = nw.col("account_id") == nw.col("holder_account_id")
    counts: list[nw.Expr] = [
        count_where(nw.col("h") & nw.col("gpo_i").is_null()).alias("gpo_unknown"),
        count_where(itself & ~nw.col("gpo_i").is_null()).alias("gpo_own_known"),
    ]
    for index, contract in enumerate(contracts):
        member = is_member(contract, names)
        counts += [
            count_where(nw.col("h") & member).alias(f"gpo_{index}_hospitals"),
            count_where(itself & member).alias(f"gpo_{index}_own"),
        ]
    return counts


def is_member(contract: Contract, names: dict[str, tuple[str, ...]]) -> nw.Expr:
    """Whether `gpo_i` names the contract's group under any of its names."""
    words = sorted({word.lower() for word in (contract.gpo, *names.get(contract.gpo, ()))})
    return certain(reduce(lambda a, b: a | b, [nw.col("gpo_i").str.contains(word, literal=True) for word in words]))


def names_in_force(policy: SegmentPolicy, as_of: str) -> dict[str, tuple[str, ...]]:
    """Purchasing group -> names it is still written under on the date."""
    found: dict[str, list[str]] = {}
    for alias in policy.purchasing.aliases:
        if not alias.since or alias.since <= as_of:
            found.setdefault(alias.now, []).append(alias.name)
    return {group: tuple(sorted(names)) for group, names in found.items()}
