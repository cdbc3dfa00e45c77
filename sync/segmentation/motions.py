"""How an account is sold to: its backing, its size, its profile, its motion, and its place in the two matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import narwhals as nw

from mappings.expressions import parse
from mappings.facts import EHR_VENDORS
from mappings.insight_policy import Market, Priorities, Profile, SegmentPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, null, text
from sync.segmentation.holdings import LINES, OPEN_IT, PAPER, SOME_IT, ehr_class
from sync.segmentation.predicates import holds, joined
from sync.segmentation.statements import hundredths
from sync.world import INT, TEXT

_CENTS = 100


def with_backing(table: Frame) -> Frame:
    """Adds `affiliation` and `affiliations`, for physician groups and platforms only.

    PE_BACKED goes before HOSPITAL_AFFILIATED before INDEPENDENT; all that hold are listed, since a joint venture is
    backed and attached at once.
    """
    said = nw.col("affiliation_text").str.to_uppercase()
    table = table.with_columns(
        _group=certain(nw.col("own_type").is_in(["PHYSICIAN_GROUP", "MSO_PLATFORM"])),
        _backed=certain((nw.col("pe_backed_text") == "true") | said.str.contains("PE_BACKED")),
        _attached=certain(said.str.contains("HOSPITAL_AFFILIATED") | (nw.col("hospitals_count") > 0)),
    )
    group, backed, attached = nw.col("_group"), nw.col("_backed"), nw.col("_attached")
    ways = [
        (backed, "PE_BACKED"),
        (group & attached, "HOSPITAL_AFFILIATED"),
        (group & ~backed & ~attached, "INDEPENDENT"),
    ]
    return table.with_columns(
        affiliation=cases(ways, null(TEXT)), affiliations=nw.when(group | backed).then(joined(ways, ","))
    )


def line_margin(policy: SegmentPolicy) -> nw.Expr:
    """Margin class of the largest service line."""
    return looked_up("line_1", policy.margins, TEXT)


def looked_up(name: str, values: Mapping[str, Any], dtype: nw.dtypes.DType) -> nw.Expr:
    """What a column's words stand for; null for any other."""
    if not values:
        return null(dtype)
    words = sorted(values)
    made = [values[word] for word in words]
    return nw.col(name).replace_strict(words, made, default=null(dtype), return_dtype=dtype)


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


def with_size(table: Frame, policy: SegmentPolicy) -> Frame:
    """Adds `size_tier` by revenue, by employees where none is known, and `size_disagrees` where they say otherwise."""
    table = table.with_columns(
        _by_revenue=_sized("revenue_cents", policy, unit=_CENTS), _by_people=_sized("employees", policy, unit=1)
    )
    return table.with_columns(
        size_tier=nw.coalesce("_by_revenue", "_by_people"),
        size_disagrees=certain(nw.col("_by_revenue") != nw.col("_by_people")),
    )


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
    return nw.max_horizontal(stated, "it_best").cast(TEXT)


def with_ehr(table: Frame, policy: SegmentPolicy) -> Frame:
    """Adds `ehr_vendor` of most beds, its share of the beds whose vendor is known, and whether it is one of several."""
    beds = nw.col(*(f"beds_{vendor}" for vendor in EHR_VENDORS))
    table = table.with_columns(_beds=nw.sum_horizontal(beds), _most=nw.max_horizontal(beds))
    known = nw.col("_beds") > 0
    table = table.with_columns(
        _beds=nw.when(known).then(nw.col("_beds")),  # a divisor of 0 becomes null
        _most=nw.when(known).then(nw.col("_most")),
    )
    total, most = nw.col("_beds"), nw.col("_most")
    largest = [(nw.col(f"beds_{vendor}") == most, vendor) for vendor in EHR_VENDORS]
    table = table.with_columns(
        ehr_vendor=cases(largest, ehr_class(nw.col("own_ehr"))),
        ehr_top_share_bp=(most * 20000 + total) // (total * 2),
    )
    return table.with_columns(ehr_mixed=nw.col("ehr_top_share_bp") < policy.ehr_mixed_below_bp)


def payer_class(policy: SegmentPolicy) -> nw.Expr:
    """GOV_HEAVY, COMMERCIAL_HEAVY or MIXED where the bounds settle it, else null."""
    gov, commercial = policy.payers.gov_heavy_above_bp, policy.payers.commercial_heavy_from_bp
    neither = (nw.col("gov_bp__hi") <= gov) & (nw.col("commercial_bp__hi") < commercial)
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
            (nw.col("region") == "CANADA", "N/A"),
            (low >= 10000, "NON_CON"),
            (high <= 0, "CON"),
            ((low > 0) & (high < 10000), "MIXED"),
        ],
        null(TEXT),
    )


def with_top_lines(table: Frame) -> Frame:
    """Adds `line_1`, `line_2`, `line_3`: the lines with the largest known share, largest first; ties in usual order."""
    count = len(LINES)
    places = ("line_1", "line_2", "line_3")
    keys = [nw.col(f"_{line}") for line in LINES]  # share and line in one number: no two are alike
    table = table.with_columns(
        **{f"_{line}": nw.col(f"{line}_bp") * count + (count - 1 - index) for index, line in enumerate(LINES)}
    ).with_columns(line_1=nw.max_horizontal(*keys))
    for last, place in pairwise(places):
        left = [nw.when(key < nw.col(last)).then(key) for key in keys]
        table = table.with_columns(nw.max_horizontal(*left).alias(place))
    names = [line.upper() for line in reversed(LINES)]
    return table.with_columns(
        (nw.col(*places) % count).replace_strict(list(range(count)), names, default=null(TEXT), return_dtype=TEXT)
    )


def focus(average_usd: int, policy: SegmentPolicy) -> str:
    """LARGE (systems), SMALL (groups and surgery centers), or MIXED between the two limits, both included."""
    knobs = policy.deal_size
    if average_usd > knobs.large_above_usd:
        return "LARGE"
    return "SMALL" if average_usd < knobs.small_below_usd else "MIXED"


def with_profile(table: Frame, profiles: Sequence[Profile]) -> Frame:
    """Adds `icp_profile`, the first that is known to hold, and `icp_open`, its gates of which nothing is known.

    A profile's own gates, numbers and budget keep out what is known not to fit; what is unknown keeps nobody out.
    """
    gates = sorted({gate for profile in profiles for gate in profile.gates})
    asked = {name: column for profile in profiles for name, column in _asked(profile).items()}
    if gates:
        refused = nw.col(*(f"{gate}_text" for gate in gates)).str.to_lowercase().is_in(["false", "no"])
        table = table.with_columns(refused.name.prefix("_no_"))
    if asked:
        table = table.with_columns(
            **{f"_open_{name}": nw.when(nw.col(one).is_null()).then(nw.lit(f",{name}")) for name, one in asked.items()}
        )
    table = table.with_columns(icp_profile=cases([(_fits(one), one.id) for one in profiles], null(TEXT)))
    words = [
        (nw.col("icp_profile") == one.id, text(*(nw.col(f"_open_{name}") for name in _asked(one))).str.slice(1))
        for one in profiles
        if _asked(one)
    ]
    table = table.with_columns(icp_open=cases(words, null(TEXT)))
    return table.with_columns(icp_open=nw.when(nw.col("icp_open") != "").then(nw.col("icp_open")))


def _asked(profile: Profile) -> Mapping[str, str]:
    """What a profile asks for besides its expression, and the column that says it."""
    budget = profile.min_it_budget_usd is not None or profile.max_it_budget_usd is not None
    return {
        **{str(gate): f"{gate}_text" for gate in profile.gates},
        **{str(name): f"{name}_said" for name in profile.numbers},
        **({"it_budget_usd": "it_budget_usd"} if budget else {}),
    }


def _fits(profile: Profile) -> nw.Expr:
    fits = holds(parse(profile.when))
    least, most = profile.min_it_budget_usd, profile.max_it_budget_usd
    for name, low, high in (
        ("it_budget_usd", least, most),
        *((f"{name}_said", low, high) for name, (low, high) in profile.numbers.items()),
    ):
        if low is not None:
            fits = fits & ~certain(nw.col(name) < low)
        if high is not None:
            fits = fits & ~certain(nw.col(name) > high)
    if profile.gates:
        refused = nw.col(*(f"_no_{gate}_text" for gate in profile.gates))
        fits = fits & ~nw.any_horizontal(refused, ignore_nulls=True)
    return fits


_QUADRANTS = ("LOW_PRIORITY", "GROWTH", "MAINTAIN_MONITOR", "EXPANSION")
"""By our share, low before high, then by what is left to win."""


def quadrant(cuts: tuple[int, int]) -> nw.Expr:
    """The opportunity matrix: our share across, what is left to win up. Above the cut is high."""
    share, headroom = nw.col("our_share_bp") > cuts[0], nw.col("headroom_cents") > cuts[1]
    place = share.cast(INT) * 2 + headroom.cast(INT)
    return place.replace_strict(list(range(4)), list(_QUADRANTS), default=null(TEXT), return_dtype=TEXT)


def cuts(table: Frame, policy: SegmentPolicy, engine: Engine) -> tuple[int, int]:
    """Where share and headroom count as high: the median of all that are known, or the fixed figures."""
    knobs = policy.quadrants
    if knobs.cut == "fixed":
        return knobs.share_bp, knobs.headroom_usd * _CENTS
    share, headroom = medians(table, ("our_share_bp", "headroom_cents"), engine)
    return share, headroom


def medians(table: Frame, names: Sequence[str], engine: Engine) -> list[int]:
    """The lower median of columns of whole numbers with few distinct values; 0 of nothing."""
    long = table.select(*names).unpivot(list(names), variable_name="name", value_name="value")
    known = long.filter(~nw.col("value").is_null()).group_by("name", "value").agg(nw.len().cast(INT).alias("n"))
    counts = sorted((row["name"], row["value"], row["n"]) for row in engine.rows(known))
    return [weighted_median((value, n) for of, value, n in counts if of == name) for name in names]


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
    said = nw.col("lighthouse_brand_text", "lighthouse_outcome_text", "lighthouse_reference_text")
    return certain(nw.all_horizontal(said.str.to_lowercase().is_in(["true", "yes"]), ignore_nulls=False))
