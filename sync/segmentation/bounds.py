"""The facts of a deciding organisation as bounds: what is the least and the most that can be true, and who says so.

Each function adds the columns of its facts, and what they are made of: columns whose names begin with `_`.
"""

from __future__ import annotations

import narwhals as nw

from mappings.insight_policy import Contract, SegmentPolicy
from sync.engine import Frame
from sync.frames import cases, null, text
from sync.world import BOOL, INT, TEXT

DAYS = "days in the feed, not revenue"


def bounds(fact: str, low: nw.Expr, high: nw.Expr, source: nw.Expr) -> dict[str, nw.Expr]:
    """The three columns of a fact."""
    return {f"{fact}__lo": low, f"{fact}__hi": high, f"{fact}__from": source}


def with_strength(table: Frame, line: str) -> Frame:
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
    return table.with_columns(**bounds("oncology_strength", low, high, source))


def with_payers(table: Frame, ma_counts_as: str, policy: SegmentPolicy) -> Frame:
    """Shares of revenue as confirmed; else the days of the feed, weighted by revenue, which is another basis."""
    table = _with_feed_shares(_with_stated_shares(table, ma_counts_as, policy))
    government, commercial, rest = nw.col("_government"), nw.col("_commercial"), nw.col("_rest")
    by_days = nw.col("_by_days")
    government_source = cases([(~government.is_null(), nw.col("medicare_share_ref")), (by_days, DAYS)], null(TEXT))
    commercial_source = cases(
        [
            (~commercial.is_null(), nw.col("commercial_share_ref")),
            (~rest.is_null(), nw.col("other_share_ref")),
            (by_days, "days in the feed, an upper bound of the commercial share"),
        ],
        null(TEXT),
    )
    note = cases(
        [
            (
                nw.col("_invalid"),
                text("confirmed shares add up to ", nw.col("_total").cast(TEXT), " of 10000: not used"),
            ),
            (~government.is_null() | ~commercial.is_null(), "share of revenue, as confirmed"),
            (by_days, f"basis: {DAYS}"),
        ],
        null(TEXT),
    )
    least = nw.coalesce(commercial, nw.when(~rest.is_null()).then(nw.lit(0)), _weighted("private_lo", "min"))
    return table.with_columns(
        **bounds(
            "gov_bp",
            nw.coalesce(government, _weighted("gov", "min")),
            nw.coalesce(government, _weighted("gov", "max")),
            government_source,
        ),
        **bounds(
            "commercial_bp", least, nw.coalesce(commercial, rest, _weighted("private_hi", "max")), commercial_source
        ),
        payer_note=note,
    )


_PAYERS = tuple(f"{name}_share_bp" for name in ("medicare", "medicare_advantage", "medicaid", "commercial", "other"))


def _with_stated_shares(table: Frame, ma_counts_as: str, policy: SegmentPolicy) -> Frame:
    """What was confirmed of the payer mix; nothing where the shares do not make a whole."""
    medicare, _, medicaid, private, other = (nw.col(name) for name in _PAYERS)
    table = table.with_columns(
        _total=nw.sum_horizontal(*_PAYERS),  # unknown as nothing
        _advantage=nw.coalesce("medicare_advantage_share_bp", nw.lit(0)),
        _public=medicare + medicaid,
    )
    total, public = nw.col("_total"), nw.col("_public")
    is_whole = ~(public + private).is_null()
    table = table.with_columns(
        _invalid=(is_whole & (total < policy.payers.sum_from_bp)) | (total > policy.payers.sum_to_bp)
    )
    valid, advantage = ~nw.col("_invalid"), nw.col("_advantage")
    if ma_counts_as == "medicare":
        public = public + advantage
    else:
        private, other = private + advantage, other + advantage
    return table.with_columns(
        _government=nw.when(valid).then(public),
        _commercial=nw.when(valid).then(private),
        _rest=nw.when(valid & nw.col("commercial_share_bp").is_null()).then(other),
    )


def _with_feed_shares(table: Frame) -> Frame:
    """Whether the days of all hospitals are known, and means by revenue where theirs is as well."""
    weights = nw.col("gov_weight", "private_lo_weight", "private_hi_weight")
    weighable, whole = nw.col("revenue_missing") == 0, nw.col("_revenue")
    table = table.with_columns(
        _by_days=(nw.col("hospitals") > 0) & (nw.col("gov_missing") == 0),
        _revenue=nw.when(weighable & (nw.col("revenue_sum") > 0)).then(nw.col("revenue_sum")),
    )
    return table.with_columns(((weights * 2 + whole) // (whole * 2)).name.suffix("_mean"))


def _weighted(name: str, end: str) -> nw.Expr:
    """The revenue-weighted share where every hospital's revenue is known, else the least or most of any hospital."""
    return nw.when(nw.col("_by_days")).then(nw.coalesce(f"{name}_weight_mean", f"{name}_{end}"))


def with_sites(table: Frame, line: str) -> Frame:
    """Confirmed share outside certificate of need; else of the target line's revenue, of sites, or its own state.

    And the shares of hospitals in states that expanded Medicaid, and with full practice of nurse practitioners.
    """
    # In cents: cents times basis points, times the factor below, outgrow 64 bits for large systems.
    table = table.with_columns(
        _count=nw.when(nw.col("hospitals") > 0).then(nw.col("hospitals")),  # a divisor of 0 becomes null
        _part=nw.col(f"{line}_part") // 10_000,
    )
    known = (nw.col(f"{line}_part_missing") == 0) & (nw.col("_part") > 0) & (nw.col("unruled_sites") == 0)
    table = table.with_columns(_whole=nw.when(known & (nw.col("hospitals") > 0)).then(nw.col("_part")))
    said, count, whole = nw.col("non_con_share_bp"), nw.col("_count"), nw.col("_whole")
    by_revenue = (nw.col("free_part") // 10_000 * 20000 + whole) // (whole * 2)  # to the nearest: floors differ
    own = cases([(nw.col("own_con") == "none", 10000), (nw.col("own_con") != "unknown", 0)], null(INT))
    table = table.with_columns(_share=nw.coalesce(said, by_revenue), _own=own)
    low = nw.coalesce("_share", nw.col("free_sites") * 10000 // count, "_own")
    high = nw.coalesce("_share", (nw.col("free_sites") + nw.col("unruled_sites")) * 10000 // count, "_own")
    table = table.with_columns(non_con_bp__lo=low, non_con_bp__hi=high)
    source = cases(
        [
            (~said.is_null(), nw.col("non_con_share_ref")),
            (~whole.is_null(), f"{line} revenue at sites outside certificate of need"),
            (~nw.col("non_con_bp__lo").is_null(), "certificate-of-need rules of the sites' states"),
        ],
        null(TEXT),
    )
    return table.with_columns(
        non_con_bp__from=source,
        expansion_bp=_share_of_sites("expansion", "adopted"),
        full_practice_bp=_share_of_sites("practice", "full"),
    )


def _share_of_sites(program: str, word: str) -> nw.Expr:
    """Share of the hospitals whose state's law reads so; without a hospital its own state's; null where one is open."""
    own, count = nw.col(f"own_{program}"), nw.col("_count")
    of_sites = nw.when(nw.col(f"{program}_missing") == 0).then(nw.col(f"{program}_sites") * 10000 // count)
    alone = cases([(own == word, 10000), (~own.is_null(), 0)], null(INT))
    return nw.when(~count.is_null()).then(of_sites).otherwise(alone)


def with_sizes(table: Frame) -> Frame:
    """Hospitals owned, their beds, and affiliated providers; a sum with unknown parts is a lower bound only."""
    hospitals, beds, least = nw.col("hospitals"), nw.col("beds_known"), nw.col("least")
    table = table.with_columns(_counted=nw.when(hospitals > 0).then(nw.lit("hospitals in the feed")))
    told = cases(
        [(~nw.col("providers_bp").is_null(), nw.col("providers_ref")), (~least.is_null(), "providers in the feed")],
        null(TEXT),
    )
    at_most = nw.when(nw.col("staffed_beds_missing") == 0).then(beds)
    return table.with_columns(
        **bounds("hospitals", hospitals, hospitals, nw.col("_counted")),
        **bounds("beds", beds, at_most, nw.col("_counted")),
        **bounds("providers", least, nw.col("most"), told),
    )


def with_coverage(table: Frame, contracts: tuple[Contract, ...], *, has_contracts: bool) -> Frame:
    """Whether a contract covers the category: as confirmed of the organisation, else by its purchasing groups."""
    if contracts:
        table = table.with_columns(**{f"_in_{index}": _belongs(index) for index in range(len(contracts))})
    members = [nw.col(f"_in_{index}") for index in range(len(contracts))]
    groups_known = (nw.col("gpo_own_known") > 0) | ((nw.col("gpo_missing") == 0) & (nw.col("hospitals") > 0))
    outside = groups_known & _in_none(len(contracts)) if has_contracts else nw.lit(value=False)
    names = [f"contract of {one.gpo} for {one.category} from {one.valid_from}" for one in contracts]
    table = table.with_columns(
        _inferred=cases([*((one, True) for one in members), (outside, False)], null(BOOL)),
        _award=cases([(one, of.awarded_to) for one, of in zip(members, contracts, strict=True)], null(TEXT)),
        _named=cases(list(zip(members, names, strict=True)), null(TEXT)),
    )
    known, named, inferred = nw.col("gpo_known"), nw.col("_named"), nw.col("_inferred")
    source = cases(
        [
            (~known.is_null(), nw.col("gpo_ref")),
            (~named.is_null(), named),
            (~inferred.is_null(), "no contract of its purchasing groups is in force"),
        ],
        null(TEXT),
    )
    table = table.with_columns(_covered=nw.coalesce(known, inferred))
    covered = nw.col("_covered")
    awarded = nw.when(covered).then(nw.coalesce("gpo_award", "_award"))
    return table.with_columns(**bounds("gpo_covered", covered, covered, source), awarded_to=awarded)


def _belongs(index: int) -> nw.Expr:
    """A member of the group of that contract: the deciding organisation itself, or all of its hospitals."""
    hospitals = nw.col("hospitals")
    return (nw.col(f"gpo_{index}_own") > 0) | ((hospitals > 0) & (nw.col(f"gpo_{index}_hospitals") == hospitals))


def _in_none(contracts: int) -> nw.Expr:
    outside = nw.lit(value=True)
    for index in range(contracts):
        outside = outside & (nw.col(f"gpo_{index}_own") == 0) & (nw.col(f"gpo_{index}_hospitals") == 0)
    return outside
