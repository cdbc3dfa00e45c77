"""Schema of the policies behind scores, segments and KPIs; the figures they ship with are the seed's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mappings.schema import Header, Strict

Position = Literal["COST_CONTAINMENT", "INNOVATION_PREMIUM"]
MotionWord = Literal["CONTRACT_ACTIVATION", "DISPLACEMENT", "NEW_BUSINESS", "STANDARDIZATION"]


class Feature(Strict):
    """One input of a score: a number on a scale, or a word with points. Points run from 0 to 100."""

    weight: int = Field(ge=0)
    knots: tuple[tuple[int, int], ...] = ()  # (value, points), joined by straight lines, flat beyond the ends
    map: dict[str, int] = Field(default_factory=dict)  # word -> points
    by_position: dict[Position, dict[str, int]] = Field(default_factory=dict)  # instead of map, by product position


class Dimension(Strict):
    """A group of features; the weights of all dimensions sum to 100."""

    weight: int = Field(ge=0, le=100)
    features: dict[str, Feature]


class Behavior(Strict):
    """How signals become points: each halves with age, a kind is capped, and the sum saturates."""

    half_life_days: int = Field(default=30, ge=1)
    saturation: int = Field(default=40, ge=1)  # points at which about 63 of 100 are reached
    points: dict[str, int] = Field(default_factory=dict)  # kind -> points of one signal
    caps: dict[str, int] = Field(default_factory=dict)  # kind -> most points of that kind after decay
    max_age_days: int = Field(default=365, ge=1)
    high_intent_signals: int = 2
    high_intent_days: int = 14
    high_intent_points: int = 4  # a signal of at least so many points counts, but none of the nurture kinds
    nurture_kinds: tuple[str, ...] = ("content",)  # without high intent these lead to nurture, however many


class Missing(Strict):
    """What stands in for a feature nothing is known of."""

    method: Literal["segment_median"] = "segment_median"
    default: int = Field(default=50, ge=0, le=100)
    min_coverage_bp: int = 6000  # below, the band is INSUFFICIENT
    min_peers: int = 5  # fewer known peers: the default


class Band(Strict):
    """A word for scores from a figure up."""

    id: str
    at_least: int = Field(ge=0, le=100)


class ScorePolicy(Strict):
    """The composite score: weights are a starting hypothesis until win and loss data say otherwise."""

    policy: Header
    dimensions: dict[str, Dimension] = Field(default_factory=dict)
    missing: Missing = Missing()
    behavior: Behavior = Behavior()
    gates: dict[str, Any] = Field(default_factory=dict)  # name -> expression; a gate excludes, it takes no points
    bands: tuple[Band, ...] = ()  # best first

    def positioned(self, position: Position) -> ScorePolicy:
        """The policy for a product of that position: its maps in place of the usual ones."""
        found = {
            name: one.model_copy(
                update={
                    "features": {
                        key: feature.model_copy(update={"map": feature.by_position.get(position, feature.map)})
                        for key, feature in one.features.items()
                    }
                }
            )
            for name, one in self.dimensions.items()
        }
        return self.model_copy(update={"dimensions": found})


class SizeTier(Strict):
    """Bounds of a size; revenue decides, employees check."""

    id: Literal["ENTERPRISE", "MID", "SMB"]
    revenue_usd: int  # ENTERPRISE: above; MID: from
    employees: int


class DealSize(Strict):
    """Which types a deal size suits."""

    average_usd: int
    large_above_usd: int = 100_000
    small_below_usd: int = 50_000


class Alias(Strict):
    """A former name of a purchasing organisation."""

    name: str
    now: str
    since: str = ""  # ISO date


class Contract(Strict):
    """A contract of a purchasing organisation for a category."""

    gpo: str
    category: str
    awarded_to: Literal["US", "COMPETITOR", "MULTI"]
    valid_from: str  # ISO date, first day
    valid_to: str = ""  # ISO date, first day it no longer holds


class Purchasing(Strict):
    """GPO names and contracts."""

    aliases: tuple[Alias, ...] = ()
    contracts: tuple[Contract, ...] = ()


class Strength(Strict):
    """When a service line is strong."""

    strong_share_bp: int = 1500
    strong_percentile: int = 75
    moderate_percentile: int = 50
    min_growth_bp: int = -500
    min_peers: int = 20


class Payers(Strict):
    """When a payer class holds."""

    gov_heavy_above_bp: int = 6000
    commercial_heavy_from_bp: int = 5000
    sum_from_bp: int = 9800
    sum_to_bp: int = 10200


class KeyNetwork(Strict):
    """The other profile of an integrated delivery network: hospitals and professionals under one parent."""

    min_hospitals: int = 2
    min_hcps: int = 100
    small_hospitals: int = 1
    small_sites: int = 5
    small_hcps: int = 50


Gate = Literal["funds_allocated", "procurement_path", "compliance_ready", "committee_formed"]


class Profile(Strict):
    """An ideal customer profile, with its own gates; what is not known of a gate keeps nobody out, and is listed."""

    id: str
    when: Any
    min_it_budget_usd: int | None = None
    max_it_budget_usd: int | None = None
    numbers: dict[Literal["covered_lives", "patients"], tuple[int, int]] = Field(default_factory=dict)  # from, to
    gates: tuple[Gate, ...] = ()  # confirmed facts that must not be false
    committee: tuple[str, ...] = ()  # roles that decide; the segment's where it is empty
    priorities: tuple[str, ...] = ()  # what such an organisation wants of information technology


class Quadrants(Strict):
    """The opportunity matrix: our share of the category against what is left to win."""

    cut: Literal["median", "fixed"] = "median"
    share_bp: int = 2500  # used where cut is fixed
    headroom_usd: int = 200_000
    potential_usd: dict[str, int] = Field(default_factory=dict)  # org_type -> yearly potential of one organisation


class Market(Strict):
    """One row of the prioritisation matrix."""

    name: str
    size_usd: int
    win_rate_bp: int
    acv_usd: int = 0
    complexity: Literal["Low", "Medium", "High", "Very High"]


class Priorities(Strict):
    """When a market is of high or low priority."""

    high_size_usd: int = 8_000_000_000
    high_win_bp: int = 2500
    low_size_usd: int = 2_000_000_000
    low_win_bp: int = 1000
    markets: tuple[Market, ...] = ()


class Segment(Strict):
    """A segment or cohort, by the template that every one must fill."""

    id: str
    name: str
    goal: str
    owner: str
    data_owner: str
    version: int = Field(ge=1)
    status: Literal["draft", "active", "retired"] = "active"
    priority: int  # the lowest number is the primary segment
    include: Any
    exclude: Any = None
    sources: dict[str, str] = Field(default_factory=dict)  # fact -> where it comes from
    stage: str = ""
    roles: tuple[str, ...] = ()  # buying committee
    topics: tuple[str, ...] = ()
    entry: str = ""
    exit: str = ""
    refresh_days: int = 90
    kpi: str = ""
    carries_territory: bool = True  # a cohort carries none


class SegmentLimits(Strict):
    """How many segments, and how small, before the plan is over-segmented."""

    max_territory_bearing: int = 4
    error_territory_bearing: int = 12
    min_accounts: int = 20
    suppression_days: int = 30


class Lighthouse(Strict):
    """Named reference accounts: brand, outcome, and consent are facts a person confirms."""

    target_from: int = 3
    target_to: int = 5


class SegmentPolicy(Strict):
    """Classes, motions, profiles, matrices, segments and cohorts."""

    policy: Header
    idn_profile: Literal["seed", "key_network"] = "seed"
    key_network: KeyNetwork = KeyNetwork()
    size_tiers: tuple[SizeTier, ...] = ()
    regions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    canada: dict[str, str] = Field(default_factory=dict)  # province -> health privacy act
    deal_size: DealSize = DealSize(average_usd=75_000)
    purchasing: Purchasing = Purchasing()
    strength: Strength = Strength()
    payers: Payers = Payers()
    ehr_mixed_below_bp: int = 8000
    products: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # product -> target service lines
    product_position: Position = "INNOVATION_PREMIUM"
    margins: dict[str, Literal["HIGH", "VOLUME", "EMERGING"]] = Field(default_factory=dict)  # by service line
    referral_min_cell: int = Field(default=11, ge=1)  # fewer referring organisations are not shown
    profiles: tuple[Profile, ...] = ()
    quadrants: Quadrants = Quadrants()
    priorities: Priorities = Priorities()
    segments: tuple[Segment, ...] = ()
    limits: SegmentLimits = SegmentLimits()
    lighthouse: Lighthouse = Lighthouse()
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # role -> words of a job title


class Benchmark(Strict):
    """What others see, for one class of organisations. Ranges are from, to."""

    org_types: tuple[str, ...]
    hospitals: tuple[int, int] | None = None  # from, to included
    min_providers: int = 0
    win_rate_bp: tuple[int, int]
    cycle_months: tuple[int, int]
    deal_usd: tuple[int, int]


class Travel(Strict):
    """What a year in a territory costs in hours, for FM4-TRAVEL."""

    visits_per_year: dict[str, int] = Field(default_factory=dict)  # tier -> visits
    visits_otherwise: int = Field(default=1, ge=0)
    minutes_per_visit: int = Field(default=90, ge=1)
    km_per_hour: int = Field(default=70, ge=1)
    stops_per_trip: int = Field(default=4, ge=1)  # visits that share one round trip
    detour_bp: int = Field(default=12_500, ge=10_000)  # roads against the straight line


class MarketSize(Strict):
    """How large the market is taken to be, US dollars a year."""

    total_usd: dict[str, int]  # country -> total
    addressable_usd: int  # of the total, what such products serve
    serviceable_usd: int  # of that, what we offer: the base of the obtainable share
    obtainable_bp: tuple[int, int]  # from, to


class Experiment(Strict):
    """A rule tried on some of the systems."""

    id: str
    starts_on: str  # ISO date; deals opened from then on count
    share_bp: int = Field(default=5000, ge=1, le=9999)  # of systems it is tried on


class KpiPolicy(Strict):
    """Windows, limits and benchmarks of KPIs and lints."""

    policy: Header
    window_days: int = 730
    min_n: int = 30  # fewer closed deals are shown as indicative
    white_space_percentile: int = 75
    white_space_idle_days: int = 180
    lift: int = 3  # times the average that makes an ideal customer profile
    shrink_n: int = 20  # weight of the average in the shrunk rate
    evenness_max_pct: int = 50
    variance_cv_bp: int = 3000
    comparable_by: tuple[Literal["role", "model", "segment_band"], ...] = ("role", "model", "segment_band")  # quotas
    min_territories: int = 5
    differentiation_spread_bp: int = 500
    differentiation_alpha_bp: int = 500  # 0.05
    stale_days: int = 90
    stale_error_days: int = 270
    regulation_stale_days: int = 365
    sla_days: int = 30
    size_correlation_bp: int = 8000
    min_territory_accounts: int = 20
    market: MarketSize | None = None
    experiments: tuple[Experiment, ...] = ()
    travel: Travel = Travel()
    geo_affiliated_from_bp: int = 5000  # share of a territory's hospitals whose system sits elsewhere
    benchmarks: dict[str, Benchmark] = Field(default_factory=dict)
    citations: dict[str, str] = Field(default_factory=dict)
