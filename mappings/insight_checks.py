"""What the policies of scores, segments and KPIs must satisfy beyond their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mappings.expressions import Compare, Expr, check, near, parse, walk
from mappings.facts import (
    EHR_VENDORS,
    HISTORIES,
    ORG_TYPES,
    PAYER_CLASSES,
    SEGMENT_FACTS,
    SERVICE_LINES,
    TIER_FACTS,
    vocabulary,
)
from mappings.insight_policy import Dimension, Feature, KpiPolicy, ScorePolicy, Segment, SegmentPolicy
from mappings.located import Document, MappingProblem, Path

Problems = Iterator[MappingProblem]

FEATURES: Mapping[str, tuple[str, ...]] = {
    "beds": (),
    "strength": ("STRONG", "MODERATE", "WEAK"),
    "payer": PAYER_CLASSES,
    "engagement": (),
    "ehr": EHR_VENDORS,
    "it_maturity": ("1", "2", "3"),
    "intent": (),
    "contacts": (),
    "champion": ("true", "false"),
    "history": HISTORIES,
}
"""Inputs a score may use, and their words; none = a number."""


def check_scores(document: Document, policy: ScorePolicy) -> Problems:
    """Weights that sum to 100, known features on proper scales, bands from best to least, gates that parse."""
    total = sum(dimension.weight for dimension in policy.dimensions.values())
    if total != 100:
        yield document.problem(("dimensions",), f"the weights of the dimensions sum to {total}; expected 100")
    for name, dimension in policy.dimensions.items():
        yield from _check_dimension(document, ("dimensions", name), dimension)
    yield from _check_once(document, policy)
    floors = [band.at_least for band in policy.bands]
    if not floors or floors != sorted(floors, reverse=True) or floors[-1] != 0:
        yield document.problem(("bands",), f"bands begin at {floors}; expected falling figures that end with 0")
    for kind in policy.behavior.caps:
        if kind not in policy.behavior.points:
            fact = f"a cap is set for {kind!r}, which has no points"
            yield document.problem(("behavior", "caps", kind), fact, near(kind, policy.behavior.points))
    for name, node in policy.gates.items():
        yield from _expression(document, ("gates", name), node)


def _check_dimension(document: Document, place: Path, dimension: Dimension) -> Problems:
    if dimension.weight and not sum(feature.weight for feature in dimension.features.values()):
        yield document.problem(place, "no feature of it has weight; give one a weight or the dimension weight 0")
    for name, feature in dimension.features.items():
        here = (*place, "features", name)
        if name not in FEATURES:
            fact = f"unknown feature {name!r}; known are {', '.join(FEATURES)}"
            yield document.problem(here, fact, near(name, FEATURES))
            continue
        yield from _check_scale(document, here, feature, FEATURES[name])


def _check_scale(document: Document, place: Path, feature: Feature, words: tuple[str, ...]) -> Problems:
    if words:
        if feature.knots or not feature.map:
            yield document.problem(place, f"needs `map`, points for {', '.join(words)}")
        for word, points in feature.map.items():
            if word not in words:
                fact = f"{word!r} never comes; expected {', '.join(words)}"
                yield document.problem((*place, "map", word), fact, near(word, words))
            yield from _points(document, (*place, "map", word), points)
        for position, other in feature.by_position.items():
            for word, points in other.items():
                here: Path = (*place, "by_position", position, word)
                if word not in words:
                    yield document.problem(
                        here, f"{word!r} never comes; expected {', '.join(words)}", near(word, words)
                    )
                yield from _points(document, here, points)
        return
    values = [value for value, _ in feature.knots]
    if feature.map or len(values) < 2 or values != sorted(set(values)):
        yield document.problem(place, "needs `knots`: at least two [value, points] with rising values")
    for index, (_, points) in enumerate(feature.knots):
        yield from _points(document, (*place, "knots", index), points)


def _points(document: Document, place: Path, points: int) -> Problems:
    if not 0 <= points <= 100:
        yield document.problem(place, f"{points} points; expected 0 to 100")


def _check_once(document: Document, policy: ScorePolicy) -> Problems:
    seen: dict[str, str] = {}
    for name, dimension in policy.dimensions.items():
        for feature in dimension.features:
            if feature in seen:
                fact = f"feature {feature!r} counts in {seen[feature]} already"
                yield document.problem(("dimensions", name, "features", feature), fact)
            seen.setdefault(feature, name)


def check_segments(document: Document, policy: SegmentPolicy) -> Problems:
    """Filled templates, expressions that hold, owners apart, few segments that carry territories, none shadowed."""
    yield from _check_segment_list(document, policy)
    for index, profile in enumerate(policy.profiles):
        place: Path = ("profiles", index, "when")
        faults = check(profile.when, predicates=frozenset(), facts=vocabulary(TIER_FACTS))
        for fault in faults:
            yield document.problem((*place, *fault.path), fault.message, fault.suggestion)
        for number, role in enumerate(profile.committee):
            if role not in policy.roles:
                fact = f"role {role!r} has no words of a job title under `roles`"
                yield document.problem(("profiles", index, "committee", number), fact, near(role, policy.roles))
    for line in policy.margins:
        if line not in SERVICE_LINES:
            fact = f"{line!r} is not a service line; expected {', '.join(SERVICE_LINES)}"
            yield document.problem(("margins", line), fact, near(line, SERVICE_LINES))
    for product, lines in policy.products.items():
        for index, line in enumerate(lines):
            if line not in SERVICE_LINES:
                fact = f"{line!r} is not a service line; expected {', '.join(SERVICE_LINES)}"
                yield document.problem(("products", product, index), fact, near(line, SERVICE_LINES))
    for kind in policy.quadrants.potential_usd:
        if kind not in ORG_TYPES:
            place = ("quadrants", "potential_usd", kind)
            yield document.problem(place, f"{kind!r} is not an organisation type", near(kind, ORG_TYPES))
    for index, contract in enumerate(policy.purchasing.contracts):
        if contract.valid_to and contract.valid_to <= contract.valid_from:
            where: Path = ("purchasing", "contracts", index, "valid_to")
            yield document.problem(where, f"valid_to {contract.valid_to} is not after valid_from {contract.valid_from}")


def _check_segment_list(document: Document, policy: SegmentPolicy) -> Problems:
    bearing = [one for one in policy.segments if one.carries_territory and one.status == "active"]
    if len(bearing) >= policy.limits.error_territory_bearing:
        fact = f"FM4-SEGMENTS: {len(bearing)} segments carry territories; at most {policy.limits.max_territory_bearing}"
        yield document.problem(("segments",), f"{fact} are meant, {policy.limits.error_territory_bearing} are refused")
    ids = [one.id for one in policy.segments]
    for index, segment in enumerate(policy.segments):
        place = ("segments", index)
        if segment.id in ids[:index]:
            yield document.problem((*place, "id"), f"segment {segment.id!r} stands twice")
        if segment.owner == segment.data_owner:
            fact = f"segment {segment.id!r}: {segment.owner} owns both definition and data; two people are expected"
            yield document.problem((*place, "data_owner"), fact)
        yield from _expression(document, (*place, "include"), segment.include)
        if segment.exclude is not None:
            yield from _expression(document, (*place, "exclude"), segment.exclude)
        yield from _check_segment(document, place, segment)
        yield from _check_roles(document, place, segment, policy)
    yield from shadowed_segments(document, policy)


def _check_segment(document: Document, place: Path, segment: Segment) -> Problems:
    for name in ("name", "goal", "owner", "data_owner"):
        if not getattr(segment, name).strip():
            yield document.problem((*place, name), f"segment {segment.id!r} has an empty {name}")
    if not check(segment.include):
        known = {node.field for node in walk(parse(segment.include)) if isinstance(node, Compare)}
        for fact in sorted(known - set(segment.sources)):
            text = f"segment {segment.id!r} uses {fact} and names no source for it"
            if segment.sources:
                yield document.problem((*place, "sources"), text)


def _check_roles(document: Document, place: Path, segment: Segment, policy: SegmentPolicy) -> Problems:
    for index, role in enumerate(segment.roles):
        if role not in policy.roles:
            fact = f"role {role!r} has no words of a job title under `roles`"
            yield document.problem((*place, "roles", index), fact, near(role, policy.roles))


def shadowed_segments(document: Document, policy: SegmentPolicy) -> Problems:
    """Segments that can never be primary: a better priority has the very same rule, or takes every case of it."""
    seen: list[tuple[str, Expr]] = []
    order = sorted(enumerate(policy.segments), key=lambda pair: (pair[1].priority, pair[1].id))
    for index, segment in order:
        if segment.status != "active" or check(segment.include):
            continue
        rule = parse(segment.include)
        for other, better in seen:
            if segment.carries_territory and covers(better, rule):
                fact = (
                    f"POLICY-UNREACHABLE: segment {segment.id!r} is never primary: {other!r} comes first and takes all"
                )
                yield document.problem(("segments", index, "include"), fact)
                break
        seen.append((segment.id, rule))


def covers(wider: Expr, narrower: Expr) -> bool:
    """Whether the first holds in every case the second does, as far as their comparisons show."""
    if wider == narrower:
        return True
    allowed, asked = _words(wider), _words(narrower)
    return allowed is not None and asked is not None and allowed[0] == asked[0] and asked[1] <= allowed[1]


def _words(expr: Expr) -> tuple[str, frozenset[Any]] | None:
    """Fact and values of `eq` and `in`; None for anything else."""
    if not isinstance(expr, Compare) or expr.op not in ("eq", "in"):
        return None
    return expr.field, frozenset(expr.value if isinstance(expr.value, tuple) else (expr.value,))


def check_kpis(document: Document, policy: KpiPolicy) -> Problems:
    """Benchmarks whose ranges run upwards, limits above zero."""
    for name in ("window_days", "min_n", "lift", "white_space_idle_days", "stale_days", "min_territories", "sla_days"):
        if getattr(policy, name) < 1:
            yield document.problem((name,), f"{name} is {getattr(policy, name)}; expected 1 or more")
    if policy.stale_error_days <= policy.stale_days:
        fact = f"stale_error_days {policy.stale_error_days} is not above stale_days {policy.stale_days}"
        yield document.problem(("stale_error_days",), fact)
    for key, mark in policy.benchmarks.items():
        for name in ("win_rate_bp", "cycle_months", "deal_usd"):
            low, high = getattr(mark, name)
            if not 0 <= low <= high:
                fact = f"{name} runs from {low} to {high}; expected the lower figure first, and none below 0"
                yield document.problem(("benchmarks", key, name), fact)
        for index, kind in enumerate(mark.org_types):
            if kind not in ORG_TYPES:
                where: Path = ("benchmarks", key, "org_types", index)
                yield document.problem(where, f"{kind!r} is not an organisation type", near(kind, ORG_TYPES))


def _expression(document: Document, place: Path, node: Any) -> Problems:
    faults = check(node, predicates=frozenset(), facts=vocabulary(SEGMENT_FACTS))
    for fault in faults:
        yield document.problem((*place, *fault.path), fault.message, fault.suggestion)


CHECKS: Mapping[str, Callable[[Document, Any], Problems]] = {
    "scores": check_scores,
    "segments": check_segments,
    "kpis": check_kpis,
}
"""Checks that need one policy only, by policy name."""
