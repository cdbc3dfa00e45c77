"""How an account is sold to: its backing, its size, its profile, its motion, and its place in the two matrices."""

from __future__ import annotations

from collections.abc import Iterable

import narwhals as nw

from mappings.expressions import parse
from mappings.facts import EHR_VENDORS
from mappings.insight_policy import Market, Priorities, Profile, SegmentPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, null
from sync.segmentation.holdings import LINES, OPEN_IT, PAPER, SOME_IT, ehr_class
from sync.segmentation.predicates import column, joined
from sync.segmentation.statements import hundredths
from sync.world import BOOL, INT, TEXT

_CENTS = 100


def affiliation() -> nw.Expr:
    """PE_BACKED before HOSPITAL_AFFILIATED before INDEPENDENT; for physician groups and platforms only."""
    group, backed, attached = _backing()
    return cases([(backed, "PE_BACKED"), (group & attached, "HOSPITAL_AFFILIATED"), (group, "INDEPENDENT")], null(TEXT))


def affiliations() -> nw.Expr:
    """All of them that hold, comma-separated: a joint venture is backed and attached at once."""
    group, backed, attached = _backing()
    words = joined(
        [
            (backed, "PE_BACKED"),
            (group & attached, "HOSPITAL_AFFILIATED"),
            (group & ~backed & ~attached, "INDEPENDENT"),
        ],
        ",",
    )
    return nw.when(words != "").then(words)


def _backing() -> tuple[nw.Expr, nw.Expr, nw.Expr]:
    """Whether it is a group, is backed by investors, is attached to a hospital."""
    said = nw.col("affiliation_text").str.to_uppercase()
    group = certain(nw.col("own_type").is_in(["PHYSICIAN_GROUP", "MSO_PLATFORM"]))
    backed = (nw.col("pe_backed_text") == "true") | said.str.contains("PE_BACKED")
    attached = said.str.contains("HOSPITAL_AFFILIATED") | (nw.col("hospitals_count") > 0)
    return group, certain(backed), certain(attached)


def line_margin(policy: SegmentPolicy) -> nw.Expr:
    """Margin class of the largest service line."""
    pairs = [(nw.col("line_1") == line, margin) for line, margin in sorted(policy.margins.items())]
    return cases(pairs, null(TEXT)) if pairs else null(TEXT)


def motion() -> nw.Expr:
    """STANDARDIZATION of a backed platform; else what the purchasing contract asks for; null where that is unknown."""
    covered = nw.col("gpo_covered__lo")
    awarded = nw.col("awarded_to")
    return cases(
        [
            (nw.col("affiliation") == "PE_BACKED", "STANDARDIZATION"),
            (covered & awarded.is_in(["US", "MULTI"]), "CONTRACT_ACTIVATION"),
            (covered & (awarded == "COMPETITOR"), "DISPLACEMENT"),
            (~covered, "NEW_BUSINESS"),
        ],
        null(TEXT),
    )


def size_tier(policy: SegmentPolicy) -> tuple[nw.Expr, nw.Expr]:
    """Size by revenue, by employees where no revenue is known; and true where the two say different things."""
    by_revenue, by_people = _sized("revenue_cents", policy, unit=_CENTS), _sized("employees", policy, unit=1)
    return nw.coalesce(by_revenue, by_people), certain(by_revenue != by_people)


def _sized(name: str, policy: SegmentPolicy, *, unit: int) -> nw.Expr:
    knob = "revenue_usd" if name == "revenue_cents" else "employees"
    limits = {size.id: getattr(size, knob) * unit for size in policy.size_tiers}
    if len(limits) < 3:
        return null(TEXT)
    value = nw.col(name)
    return cases(
        [
            (value > limits["ENTERPRISE"], "ENTERPRISE"),
            (value >= limits["MID"], "MID"),
            (~value.is_null(), "SMB"),
        ],
        null(TEXT),
    )


def it_maturity() -> nw.Expr:
    """1 to 3 as text; a confirmed capability counts like one of the feed; null without evidence."""
    said = nw.col("it_capability_text").str.to_lowercase()
    stated = cases(
        [(said.str.contains(OPEN_IT), 3), (said.str.contains(SOME_IT), 2), (said.str.contains(PAPER), 1)],
        null(INT),
    )
    best = nw.col("it_best")
    return cases(
        [
            (stated.is_null(), best.cast(TEXT)),
            (best.is_null(), stated.cast(TEXT)),
            (stated > best, stated.cast(TEXT)),
        ],
        best.cast(TEXT),
    )


def ehr() -> tuple[nw.Expr, nw.Expr]:
    """Vendor of most beds, and its share of the beds whose vendor is known, in basis points."""
    beds = {vendor: nw.coalesce(f"beds_{vendor}", nw.lit(0)) for vendor in EHR_VENDORS}
    total = beds["EPIC"] + beds["ORACLE"] + beds["MEDITECH"] + beds["OTHER"]
    known = total > 0
    most: list[tuple[nw.Expr, object]] = []
    top = nw.max_horizontal(*beds.values())
    for vendor in EHR_VENDORS:
        most.append((known & (beds[vendor] == top), vendor))
    own = ehr_class(nw.col("own_ehr"))
    divisor = nw.when(known).then(total).otherwise(nw.lit(1))
    share = nw.when(known).then((top * 20000 + divisor) // (divisor * 2))
    return nw.coalesce(cases(most, null(TEXT)), own), share


def payer_class(policy: SegmentPolicy) -> nw.Expr:
    """GOV_HEAVY, COMMERCIAL_HEAVY or MIXED where the bounds settle it, else null."""
    gov, commercial = policy.payers.gov_heavy_above_bp, policy.payers.commercial_heavy_from_bp
    neither = certain(nw.col("gov_bp__hi") <= gov) & certain(nw.col("commercial_bp__hi") < commercial)
    return cases(
        [
            (nw.col("gov_bp__lo") > gov, "GOV_HEAVY"),
            (nw.col("commercial_bp__lo") >= commercial, "COMMERCIAL_HEAVY"),
            (neither, "MIXED"),
        ],
        null(TEXT),
    )


def reg_env() -> nw.Expr:
    """NON_CON, CON, or MIXED where sites stand on both sides; null where the bounds do not settle it."""
    low, high = nw.col("non_con_bp__lo"), nw.col("non_con_bp__hi")
    return cases(
        [
            (certain(nw.col("region") == "CANADA"), "N/A"),
            (low >= 10000, "NON_CON"),
            (high <= 0, "CON"),
            ((low > 0) & (high < 10000), "MIXED"),
        ],
        null(TEXT),
    )


def top_lines() -> list[nw.Expr]:
    """`line_1`, `line_2`, `line_3`: the lines with the largest known share, largest first; ties in the usual order."""
    shares = [nw.col(f"{line}_bp") for line in LINES]
    ranks = []
    for mine, share in enumerate(shares):
        rank = nw.lit(0)
        for other, another in enumerate(shares):
            if other != mine:
                ahead = another > share if other > mine else another >= share
                rank = rank + nw.when(certain(ahead)).then(nw.lit(1)).otherwise(nw.lit(0))
        ranks.append(nw.when(~share.is_null()).then(rank))
    return [
        cases([(rank == place, line.upper()) for rank, line in zip(ranks, LINES, strict=True)], null(TEXT)).alias(
            f"line_{place + 1}"
        )
        for place in range(3)
    ]


def focus(average_usd: int, policy: SegmentPolicy) -> str:
    """LARGE (systems), SMALL (groups and surgery centers), or MIXED between the two limits, both included."""
    knobs = policy.deal_size
    if average_usd > knobs.large_above_usd:
        return "LARGE"
    return "SMALL" if average_usd < knobs.small_below_usd else "MIXED"


def icp_profile(profiles: Iterable[Profile]) -> nw.Expr:
    """First profile that is known to hold, its own budget gate included; an unknown budget keeps nobody out."""
    pairs = []
    for profile in profiles:
        fits = certain(column(parse(profile.when)))
        budget = nw.col("it_budget_usd")
        if profile.min_it_budget_usd is not None:
            fits = fits & ~certain(budget < profile.min_it_budget_usd)
        if profile.max_it_budget_usd is not None:
            fits = fits & ~certain(budget > profile.max_it_budget_usd)
        for name, (low, high) in profile.numbers.items():
            fits = fits & ~certain((nw.col(f"{name}_said") < low) | (nw.col(f"{name}_said") > high))
        for gate in profile.gates:
            fits = fits & ~certain(nw.col(f"{gate}_text").str.to_lowercase().is_in(["false", "no"]))
        pairs.append((fits, profile.id))
    return cases(pairs, null(TEXT)) if pairs else null(TEXT)


def icp_open(profiles: Iterable[Profile]) -> nw.Expr:
    """Gates of the profile that holds of which nothing is known, comma-separated; null where none is open."""
    pairs: list[tuple[nw.Expr, object]] = []
    for profile in profiles:
        asked = [(nw.col(f"{gate}_text").is_null(), str(gate)) for gate in profile.gates]
        asked += [(nw.col(f"{name}_said").is_null(), str(name)) for name in profile.numbers]
        if profile.min_it_budget_usd is not None or profile.max_it_budget_usd is not None:
            asked.append((nw.col("it_budget_usd").is_null(), "it_budget_usd"))
        words: object = joined(asked, ",") if asked else ""
        pairs.append((nw.col("icp_profile") == profile.id, words))
    found = cases(pairs, null(TEXT)) if pairs else null(TEXT)
    return nw.when(found != "").then(found)


def quadrant(policy: SegmentPolicy, cuts: tuple[int, int]) -> nw.Expr:
    """The opportunity matrix: our share across, what is left to win up. Above the cut is high."""
    share, headroom = nw.col("our_share_bp") > cuts[0], nw.col("headroom_cents") > cuts[1]
    return cases(
        [
            (share & headroom, "EXPANSION"),
            (share & ~headroom, "MAINTAIN_MONITOR"),
            (~share & headroom, "GROWTH"),
            (~share & ~headroom, "LOW_PRIORITY"),
        ],
        null(TEXT),
    )


def cuts(table: Frame, policy: SegmentPolicy, engine: Engine) -> tuple[int, int]:
    """Where share and headroom count as high: the median of all that are known, or the fixed figures."""
    knobs = policy.quadrants
    if knobs.cut == "fixed":
        return knobs.share_bp, knobs.headroom_usd * _CENTS
    return median(table, "our_share_bp", engine), median(table, "headroom_cents", engine)


def median(table: Frame, name: str, engine: Engine) -> int:
    """The lower median of a column of whole numbers with few distinct values; 0 of nothing."""
    known = table.filter(~nw.col(name).is_null()).group_by(name).agg(nw.len().cast(INT).alias("n"))
    counts = sorted((row[name], row["n"]) for row in engine.rows(known))
    return weighted_median(counts)


def weighted_median(counts: Iterable[tuple[int, int]]) -> int:
    """The lower median of (value, how often), sorted by value; 0 of nothing."""
    pairs = list(counts)
    half, seen = (sum(n for _, n in pairs) + 1) // 2, 0
    for value, n in pairs:
        seen += n
        if seen >= half:
            return value
    return 0


def priority(market: Market, policy: Priorities) -> str:
    """HIGH, LOW, else MEDIUM: one row of the prioritisation matrix."""
    if (
        market.size_usd >= policy.high_size_usd
        and market.win_rate_bp >= policy.high_win_bp
        and market.complexity in ("Low", "Medium")
    ):
        return "HIGH"
    small = market.size_usd <= policy.low_size_usd or market.win_rate_bp < policy.low_win_bp
    return "LOW" if small or market.complexity == "Very High" else "MEDIUM"


def whole(name: str) -> str:
    """Column that `with_numbers` adds for a confirmed number."""
    return f"{name}_number"


def number_rows(values: Iterable[str | None]) -> list[int | None]:
    """Confirmed numbers as whole ones; None where the text is none."""
    return [None if (n := hundredths(value)) is None else n // 100 for value in values]


def is_lighthouse() -> nw.Expr:
    """Brand, measurable outcome and consent are all confirmed."""
    names = ("lighthouse_brand_text", "lighthouse_outcome_text", "lighthouse_reference_text")
    confirmed = [certain(nw.col(name).str.to_lowercase().is_in(["true", "yes"])) for name in names]
    return (confirmed[0] & confirmed[1] & confirmed[2]).cast(BOOL)
