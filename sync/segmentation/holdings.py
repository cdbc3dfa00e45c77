"""What the members of a deciding organisation hold together: hospitals, lines, payers, systems, people, places.

Sums only, never means of percentages: a share of the whole is the sum of its parts weighted by revenue.
"""

from __future__ import annotations

from functools import reduce

import narwhals as nw

from mappings.facts import EHR_VENDORS, SERVICE_LINES
from mappings.insight_policy import Contract, SegmentPolicy
from sync.engine import Frame
from sync.frames import cases, certain, null
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


def with_holdings(sited: Frame, policy: SegmentPolicy, ma_counts_as: str) -> Frame:
    """Adds per account what is summed up: revenue in cents as the weight, and shares of it in basis points.

    `sited` are members with the law of their state. What is null for anything but a hospital counts for hospitals only.
    """
    nothing = nw.lit(0)
    h, revenue = nw.col("h"), nw.col("net_patient_revenue_cents")
    told = sited.with_columns(
        h=certain(nw.col("kind") == "HOSPITAL"),
        itself=nw.col("account_id") == nw.col("holder_account_id"),
        public=nw.col("medicare_days_bp") + nw.col("medicaid_days_bp"),
        advantage=nw.coalesce("medicare_advantage_days_bp", nothing),
        paid=nw.coalesce("commercial_days_bp", nothing),
        paid_at_most=nw.coalesce("commercial_days_bp", "other_days_bp"),
        vendor=ehr_class(nw.col("ehr_vendor")),
        it=_maturity(),
        gpo=nw.col("gpo").str.to_lowercase(),
    )
    total = nw.col("public") + nw.col("other_days_bp") + nw.col("advantage") + nw.col("paid")
    told = told.with_columns(
        revenue=nw.when(h & (revenue > 0)).then(revenue),
        adds_up=h & (total >= policy.payers.sum_from_bp) & (total <= policy.payers.sum_to_bp),
    )
    adds_up, advantage = nw.col("adds_up"), nw.col("advantage")
    counted = advantage if ma_counts_as == "medicare" else nothing
    bought = advantage if ma_counts_as == "commercial" else nothing
    weighted = nw.col(*(f"{line}_share_bp" for line in LINES)) * nw.col("revenue")
    return told.with_columns(
        weighted.name.map(_part_of),
        gov=nw.when(adds_up).then(nw.col("public") + counted),
        private_lo=nw.when(adds_up).then(nw.col("paid") + bought),
        private_hi=nw.when(adds_up).then(nw.col("paid_at_most") + bought),
        hospital_state=nw.when(h).then(nw.col("state")),
        hospital_beds=nw.when(h).then(nw.col("staffed_beds")),
        the_block=nw.when(h).then(nw.col("cah_block")),
        the_flag=nw.when(h).then(nw.col("cah_flag")),
        the_rural=nw.when(h).then(nw.col("is_rural")),
        providers_own=nw.when(nw.col("itself")).then(nw.col("providers")),
        bed_weight=nw.when(h).then(nw.coalesce("staffed_beds", nw.lit(1))),
    )


def _part_of(share: str) -> str:
    """Column of a line's revenue, by the column of its share."""
    return share.replace("_share_bp", "_part")


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


_PARTS = tuple(f"{line}_part" for line in LINES)
_ASKED = ("state", "staffed_beds", "revenue", "gov", "gpo", "expansion", "practice", *_PARTS)
"""`<name>_missing` counts hospitals where it is unknown: a sum with missing parts is a lower bound only."""
_SHARES = ("gov", "private_lo", "private_hi")


def hold(members: Frame, line: str, contracts: tuple[Contract, ...], names: dict[str, tuple[str, ...]]) -> Frame:
    """One row per `holder_account_id` with sums, counts and bounds over its members.

    `the_*` is of its hospital: read only where it is the only one.
    """
    missing = (nw.col(*_ASKED).is_null() & nw.col("h")).name.suffix("_missing")
    counts = {**_counts(), **_purchasing(contracts, names)}
    sums = {**_beds(), **_providers(), "free_part": nw.when(nw.col("con") == "none").then(nw.col(f"{line}_part"))}
    counted = [*counts, *(f"{name}_missing" for name in _ASKED)]
    shares = nw.col(*_SHARES)
    return (
        members.with_columns(missing, **counts, **sums)
        .group_by("holder_account_id")
        .agg(
            nw.col(*counted).cast(INT).sum(),
            nw.col(*_PARTS, *sums).sum().cast(INT),
            (shares * nw.col("revenue")).sum().cast(INT).name.suffix("_weight"),
            shares.min().name.suffix("_min"),
            shares.max().name.suffix("_max"),
            nw.col("revenue").sum().cast(INT).alias("revenue_sum"),
            nw.col("hospital_beds").sum().cast(INT).alias("beds_known"),
            nw.col("hospital_beds").max().alias("the_beds"),
            nw.col("hospital_state").min().alias("first_state"),
            nw.col("hospital_state").max().alias("last_state"),
            nw.col("the_block", "the_flag", "the_rural", "providers_own").max(),
            nw.col("it").max().alias("it_best"),
        )
    )


def _counts() -> dict[str, nw.Expr]:
    h, con = nw.col("h"), nw.col("con")
    return {
        "hospitals": h,
        "free_sites": h & (con == "none"),
        "unruled_sites": h & (con.is_null() | (con == "unknown")),
        "expansion_sites": h & (nw.col("expansion") == "adopted"),
        "practice_sites": h & (nw.col("practice") == "full"),
        "other_sites": ~h & (nw.col("kind") != "SYSTEM"),
        "aco_hospitals": h & ~nw.col("aco").is_null(),
        "providers_stated": ~nw.col("providers").is_null(),
        "providers_missing": nw.col("providers").is_null() & ~nw.col("itself") & (nw.col("kind") != "SYSTEM"),
        "gpo_own_known": nw.col("itself") & ~nw.col("gpo").is_null(),
    }


def _beds() -> dict[str, nw.Expr]:
    """Beds by vendor of the record system."""
    vendor, weight = nw.col("vendor"), nw.col("bed_weight")
    return {f"beds_{name}": nw.when(vendor == name).then(weight) for name in EHR_VENDORS}


def _providers() -> dict[str, nw.Expr]:
    """Professionals of the members; the deciding organisation's own row speaks of all of them, and is not added."""
    return {"providers_sum": nw.when(~nw.col("itself")).then(nw.col("providers"))}


def with_people(table: Frame) -> Frame:
    """Adds `least` and `most` professionals of a deciding organisation; null = not known, or no upper bound.

    What its own row says is the whole; else the members' sum, a lower bound where one of them says nothing.
    """
    told = table.with_columns(
        said=nw.when(nw.col("providers_stated") > 0).then(nw.coalesce("providers_own", "providers_sum")),
        confirmed=nw.col("providers_bp") // 100,
        complete=(nw.col("providers_missing") == 0) | ~nw.col("providers_own").is_null(),
    )
    return told.with_columns(
        least=nw.coalesce("confirmed", "said"),
        most=nw.coalesce("confirmed", nw.when(nw.col("complete")).then(nw.col("said"))),
    ).drop("said", "confirmed", "complete")


def _purchasing(contracts: tuple[Contract, ...], names: dict[str, tuple[str, ...]]) -> dict[str, nw.Expr]:
    """Per contract the hospitals and the deciding organisation in its purchasing group."""
    counts: dict[str, nw.Expr] = {}
    for index, contract in enumerate(contracts):
        member = is_member(contract, names)
        counts |= {f"gpo_{index}_hospitals": nw.col("h") & member, f"gpo_{index}_own": nw.col("itself") & member}
    return counts


def is_member(contract: Contract, names: dict[str, tuple[str, ...]]) -> nw.Expr:
    """Whether `gpo`, in lower case, names the contract's group under any of its names; unknown where it is unknown."""
    words = sorted({word.lower() for word in (contract.gpo, *names.get(contract.gpo, ()))})
    return reduce(lambda a, b: a | b, [nw.col("gpo").str.contains(word, literal=True) for word in words])


def names_in_force(policy: SegmentPolicy, as_of: str) -> dict[str, tuple[str, ...]]:
    """Purchasing group -> names it is still written under on the date."""
    found: dict[str, list[str]] = {}
    for alias in policy.purchasing.aliases:
        if not alias.since or alias.since <= as_of:
            found.setdefault(alias.now, []).append(alias.name)
    return {group: tuple(sorted(names)) for group, names in found.items()}
