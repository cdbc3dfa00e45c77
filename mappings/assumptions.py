"""What the rules take for granted where nobody knows better: shown under every report, so that nobody mistakes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mappings.policy import Mappings


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One thing that is assumed, in words, and the file that says otherwise."""

    topic: str
    says: str
    file: str


def assumptions(mappings: Mappings) -> tuple[Assumption, ...]:
    """Every assumption in force, in the order of the stages."""
    return (*_classes(mappings), *_tiers(mappings), *_scores(mappings), *_segments(mappings), *_kpis(mappings))


def _classes(mappings: Mappings) -> Iterator[Assumption]:
    tiers, segments = mappings.policies.tiers, mappings.policies.segments
    cah = tiers.classify.get("cah", {})
    operator = "at most" if cah.get("max_beds_operator", "lte") == "lte" else "fewer than"
    yield _one(
        "critical access hospital",
        f"certificate first; without one, {operator} {cah.get('max_beds')} beds in a rural place",
        "tiers.yaml",
    )
    idn = tiers.classify.get("idn", {})
    alternative = idn.get("or") or {}
    between = alternative.get("hospitals_between", ["?", "?"])
    if segments.idn_profile == "key_network":
        knobs = segments.key_network
        says = (
            f"{knobs.min_hospitals} hospitals and {knobs.min_hcps} professionals, or {knobs.small_hospitals} hospital, "
            f"{knobs.small_sites} other sites and {knobs.small_hcps} professionals"
        )
    else:
        says = (
            f"{idn.get('min_hospitals')} hospitals, or {between[0]} to {between[1]} that buy centrally, in several "
            f"states or with {alternative.get('min_affiliated_hcps', 0)} professionals"
        )
    yield _one("integrated delivery network", says, "tiers.yaml, segments.yaml")
    yield _one("company size", "revenue decides, employees only check; 5 billion exactly is MID", "segments.yaml")


def _tiers(mappings: Mappings) -> Iterator[Assumption]:
    given, payers = mappings.policies.tiers.assumptions, mappings.policies.segments.payers
    strength = mappings.policies.segments.strength
    yield _one("purchasing category", f"contracts for {given.get('category')} are the ones that matter", "tiers.yaml")
    yield _one("service line", f"{given.get('target_service_line')} is the target service line", "tiers.yaml")
    yield _one("Medicare Advantage", f"counts as {given.get('ma_counts_as', 'medicare')}", "tiers.yaml")
    yield _one(
        "payer mix",
        f"share of {given.get('payer_basis', 'REVENUE')}; days in a feed are another basis and are marked; "
        f"government-heavy above {payers.gov_heavy_above_bp / 100:g} %, "
        f"commercial-heavy from {payers.commercial_heavy_from_bp / 100:g} %",
        "segments.yaml",
    )
    yield _one(
        "strength of a line",
        f"strong from {strength.strong_share_bp / 100:g} % of revenue or the {strength.strong_percentile}th percentile "
        f"of at least {strength.min_peers} peers, growth of {strength.min_growth_bp / 100:g} % or more",
        "segments.yaml",
    )
    yield _one("tiers below the first", "three, and two, of the five predicates are our reading", "tiers.yaml")


def _scores(mappings: Mappings) -> Iterator[Assumption]:
    policy = mappings.policies.scores
    weights = ", ".join(f"{name} {dimension.weight}" for name, dimension in policy.dimensions.items())
    yield _one("score weights", f"{weights or 'none'}: a starting hypothesis, not a finding", "scores.yaml")
    yield _one(
        "missing data",
        f"the median of {policy.missing.min_peers} or more peers of the type, else {policy.missing.default} points; "
        f"below {policy.missing.min_coverage_bp / 100:g} % coverage nothing is done by itself",
        "scores.yaml",
    )
    yield _one("signals", f"halve every {policy.behavior.half_life_days} days", "scores.yaml")


def _segments(mappings: Mappings) -> Iterator[Assumption]:
    policy = mappings.policies.segments
    yield _one("potential", "one yearly figure per organisation type, no market study", "segments.yaml")
    cut = "the median of all" if policy.quadrants.cut == "median" else "fixed figures"
    yield _one("opportunity matrix", f"our share across, what is left up; cut at {cut}", "segments.yaml")
    yield _one(
        "deal size",
        f"{policy.deal_size.average_usd:,} USD on average; {policy.deal_size.small_below_usd:,} to "
        f"{policy.deal_size.large_above_usd:,} USD, both included, is MIXED",
        "segments.yaml",
    )


def _kpis(mappings: Mappings) -> Iterator[Assumption]:
    policy = mappings.policies.kpis
    yield _one("window", f"deals closed within {policy.window_days} days count", "kpis.yaml")
    yield _one("benchmarks", "systems of 6 to 10 hospitals have none; nothing is interpolated", "kpis.yaml")
    yield _one(
        "variance",
        f"coefficient of variation above {policy.variance_cv_bp / 100:g} % asks for a rebalance",
        "kpis.yaml",
    )
    checked = mappings.regulation_checked_on or "never"
    yield _one("regulation", f"last compared with the law: {checked}", "regulation.yaml")


def _one(topic: str, says: str, file: str) -> Assumption:
    return Assumption(topic=topic, says=says, file=file)
