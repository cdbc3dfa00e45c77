"""The facts of a deciding organisation as bounds: what is the least and the most that can be true, and who says so."""

from __future__ import annotations

import narwhals as nw

from mappings.insight_policy import Contract, SegmentPolicy
from sync.frames import cases, certain, null, text
from sync.segmentation.holdings import people
from sync.world import INT, TEXT

DAYS = "days in the feed, not revenue"


def bounds(fact: str, low: nw.Expr, high: nw.Expr, source: nw.Expr) -> list[nw.Expr]:
    """The three columns of a fact."""
    return [low.alias(f"{fact}__lo"), high.alias(f"{fact}__hi"), source.alias(f"{fact}__from")]


def strength(line: str) -> list[nw.Expr]:
    """Strength of the target service line."""
    low, high = nw.col(f"{line}__lo"), nw.col(f"{line}__hi")
    said = ~nw.col(f"{line}_strength_text").is_null()
    by_volume = ~nw.col(f"{line}_percentile").is_null()
    source = cases(
        [
            (said, nw.col(f"{line}_strength_ref")),
            (by_volume, text(nw.col(f"{line}_volume_ref"), ", among ", nw.col(f"{line}_peers").cast(TEXT), " peers")),
            (~low.is_null(), f"{line} share of revenue in the feed"),
        ],
        null(TEXT),
    )
    return bounds("oncology_strength", low, high, source)


def payers(ma_counts_as: str, policy: SegmentPolicy) -> list[nw.Expr]:
    """Shares of revenue as confirmed; else the days of the feed, weighted by revenue, which is another basis."""
    said = _Stated(ma_counts_as, policy)
    complete = certain((nw.col("hospitals") > 0) & (nw.col("mix_missing") == 0))
    government = bounds(
        "gov_bp",
        nw.coalesce(said.government, nw.when(complete).then(_weighted("gov", "min"))),
        nw.coalesce(said.government, nw.when(complete).then(_weighted("gov", "max"))),
        cases([(~said.government.is_null(), nw.col("medicare_share_ref")), (complete, DAYS)], null(TEXT)),
    )
    upper = cases(
        [
            (~said.commercial.is_null(), said.commercial),
            (~said.bound.is_null(), said.bound),
            (complete, _weighted("private_hi", "max")),
        ],
        null(INT),
    )
    commercial = bounds(
        "commercial_bp",
        nw.coalesce(
            said.commercial,
            nw.when(~said.bound.is_null()).then(nw.lit(0)),
            nw.when(complete).then(_weighted("private_lo", "min")),
        ),
        upper,
        cases(
            [
                (~said.commercial.is_null(), nw.col("commercial_share_ref")),
                (~said.bound.is_null(), nw.col("other_share_ref")),
                (complete, "days in the feed, an upper bound of the commercial share"),
            ],
            null(TEXT),
        ),
    )
    note = cases(
        [
            (said.is_invalid, text("confirmed shares add up to ", said.total.cast(TEXT), " of 10000: not used")),
            (~said.government.is_null() | ~said.commercial.is_null(), "share of revenue, as confirmed"),
            (complete, f"basis: {DAYS}"),
        ],
        null(TEXT),
    )
    return [*government, *commercial, note.alias("payer_note")]


class _Stated:
    """What was confirmed of the payer mix; nothing where the shares do not make a whole."""

    def __init__(self, ma_counts_as: str, policy: SegmentPolicy) -> None:
        medicare, medicaid, private = (nw.col(f"{n}_share_bp") for n in ("medicare", "medicaid", "commercial"))
        advantage = nw.coalesce("medicare_advantage_share_bp", nw.lit(0))
        other = nw.col("other_share_bp")
        nothing = nw.lit(0)
        self.total = (
            nw.coalesce(medicare, nothing)
            + advantage
            + nw.coalesce(medicaid, nothing)
            + nw.coalesce(private, nothing)
            + nw.coalesce(other, nothing)
        )
        whole = ~medicare.is_null() & ~medicaid.is_null() & ~private.is_null()
        self.is_invalid = (whole & (self.total < policy.payers.sum_from_bp)) | (self.total > policy.payers.sum_to_bp)
        valid = ~certain(self.is_invalid)
        is_medicare = ma_counts_as == "medicare"
        self.government = nw.when(valid).then(medicare + medicaid + (advantage if is_medicare else nothing))
        self.commercial = nw.when(valid).then(private + (nothing if is_medicare else advantage))
        self.bound = nw.when(valid & private.is_null()).then(other + (nothing if is_medicare else advantage))


def _weighted(name: str, end: str) -> nw.Expr:
    """The revenue-weighted share where every hospital's revenue is known, else the least or most of any hospital."""
    whole = nw.when(certain(nw.col("revenue_sum") > 0)).then(nw.col("revenue_sum")).otherwise(nw.lit(1))
    mean = (nw.col(f"{name}_weight") * 2 + whole) // (whole * 2)
    weighable = certain((nw.col("revenue_missing") == 0) & (nw.col("revenue_sum") > 0))
    return nw.when(weighable).then(mean).otherwise(nw.col(f"{name}_{end}"))


def sites(line: str) -> list[nw.Expr]:
    """Confirmed share outside certificate of need; else of the target line's revenue, of sites, or its own state."""
    said, count = nw.col("non_con_share_bp"), nw.col("hospitals")
    has_sites = certain(count > 0)
    divisor = nw.when(has_sites).then(count).otherwise(nw.lit(1))  # never divide by zero: the engines disagree on it
    # In cents: cents times basis points, times the factor below, outgrow 64 bits for large systems.
    part, free_part = nw.col(f"{line}_part") // 10_000, nw.col("free_part") // 10_000
    known = certain((nw.col(f"{line}_missing") == 0) & (part > 0))
    earned = has_sites & known & certain(nw.col("places_unruled") == 0)
    whole = nw.when(earned).then(part).otherwise(nw.lit(1))
    by_revenue = (free_part * 20000 + whole) // (whole * 2)  # to the nearest: floors differ by engine
    own = cases([(nw.col("own_con") == "none", 10000), (nw.col("own_con") != "unknown", 0)], null(INT))
    low = cases([(earned, by_revenue), (has_sites, nw.col("free_sites") * 10000 // divisor)], own)
    high = cases(
        [(earned, by_revenue), (has_sites, (nw.col("free_sites") + nw.col("unruled_sites")) * 10000 // divisor)], own
    )
    source = cases(
        [
            (~said.is_null(), nw.col("non_con_share_ref")),
            (earned, f"{line} revenue at sites outside certificate of need"),
            (~low.is_null(), "certificate-of-need rules of the sites' states"),
        ],
        null(TEXT),
    )
    return bounds("non_con_bp", nw.coalesce(said, low), nw.coalesce(said, high), source)


def share_of_sites(program: str, word: str) -> nw.Expr:
    """Share of the hospitals whose state's law reads so; without a hospital its own state's; null where one is open."""
    count, known = nw.col("hospitals"), nw.col(f"{program}_missing") == 0
    has_sites = certain(count > 0)
    divisor = nw.when(has_sites).then(count).otherwise(nw.lit(1))
    own = cases([(nw.col(f"own_{program}") == word, 10000), (~nw.col(f"own_{program}").is_null(), 0)], null(INT))
    return cases(
        [(has_sites & certain(known), nw.col(f"{program}_sites") * 10000 // divisor), (has_sites, null(INT))], own
    )


def sizes() -> list[nw.Expr]:
    """Hospitals owned, their beds, and affiliated providers; a sum with unknown parts is a lower bound only."""
    counted = nw.when(nw.col("hospitals") > 0).then(nw.lit("hospitals in the feed"))
    complete = certain(nw.col("beds_missing") == 0)
    least, most = people()
    told = cases(
        [(~nw.col("providers_bp").is_null(), nw.col("providers_ref")), (~least.is_null(), "providers in the feed")],
        null(TEXT),
    )
    return [
        *bounds("hospitals", nw.col("hospitals"), nw.col("hospitals"), counted),
        *bounds("beds", nw.col("beds_known"), nw.when(complete).then(nw.col("beds_known")), counted),
        *bounds("providers", least, most, told),
    ]


def coverage(contracts: tuple[Contract, ...], *, has_contracts: bool) -> list[nw.Expr]:
    """Whether a contract covers the category: as confirmed of the organisation, else by its purchasing groups."""
    by_group = [(_belongs(index), True) for index in range(len(contracts))]
    groups_known = certain((nw.col("gpo_own_known") > 0) | (nw.col("gpo_unknown") == 0)) & has_any_group()
    outside = groups_known & _in_none(len(contracts)) if has_contracts else nw.lit(value=False)
    inferred = cases([*by_group, (outside, False)], nw.lit(None, dtype=nw.Boolean()))
    covered = nw.coalesce("gpo_known", inferred)
    award = cases([(_belongs(index), one.awarded_to) for index, one in enumerate(contracts)], null(TEXT))
    names = cases(
        [
            (_belongs(index), f"contract of {one.gpo} for {one.category} from {one.valid_from}")
            for index, one in enumerate(contracts)
        ],
        null(TEXT),
    )
    source = cases(
        [
            (~nw.col("gpo_known").is_null(), nw.col("gpo_ref")),
            (~names.is_null(), names),
            (~inferred.is_null(), "no contract of its purchasing groups is in force"),
        ],
        null(TEXT),
    )
    awarded = nw.when(certain(covered)).then(nw.coalesce("gpo_award", award))
    return [*bounds("gpo_covered", covered, covered, source), awarded.alias("awarded_to")]


def _belongs(index: int) -> nw.Expr:
    """A member of the group of that contract: the deciding organisation itself, or all of its hospitals."""
    all_hospitals = (nw.col("hospitals") > 0) & (nw.col(f"gpo_{index}_hospitals") == nw.col("hospitals"))
    return certain(nw.col(f"gpo_{index}_own") > 0) | certain(all_hospitals)


def has_any_group() -> nw.Expr:
    """Something is known of the purchasing groups."""
    return certain((nw.col("gpo_own_known") > 0) | (nw.col("hospitals") > nw.col("gpo_unknown")))


def _in_none(contracts: int) -> nw.Expr:
    outside = nw.lit(value=True)
    for index in range(contracts):
        outside = outside & certain((nw.col(f"gpo_{index}_own") == 0) & (nw.col(f"gpo_{index}_hospitals") == 0))
    return outside
