"""Segments and cohorts: who belongs, which one is primary, and which roles of its buying committee nobody fills."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import narwhals as nw

from mappings.expressions import Compare, parse, walk
from mappings.insight_policy import Segment, SegmentPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, null
from sync.segmentation.predicates import column, is_true, joined
from sync.world import INT, TEXT, Schema

MEMBERSHIP: Schema = {
    "segment": TEXT,  # the primary one, of those that carry a territory
    "segment_version": INT,
    "other_segments": TEXT,  # id@version, comma-separated
    "cohorts": TEXT,  # id@version; they carry no territory
    "committee_missing": TEXT,  # roles of profile, else primary segment, that no title fills; null = no titles
}
"""Columns that `with_segments` adds."""


def with_segments(table: Frame, policy: SegmentPolicy, engine: Engine) -> Frame:
    """Adds MEMBERSHIP; `table` has the facts of segments.yaml as bounds, and `titles`."""
    active = [one for one in policy.segments if one.status == "active"]
    for one in active:
        table = table.with_columns(_belongs(one).alias(f"s__{one.id}"))
    table = engine.materialize(table)
    bearing = ranked([one for one in active if one.carries_territory])
    cohorts = ranked([one for one in active if not one.carries_territory])
    primary = cases([(nw.col(f"s__{one.id}"), one.id) for one in bearing], null(TEXT))
    version = cases([(nw.col(f"s__{one.id}"), one.version) for one in bearing], null(INT))
    table = table.with_columns(primary.alias("segment"), version.cast(INT).alias("segment_version"))
    others = [(nw.col(f"s__{one.id}") & (nw.col("segment") != one.id), _named(one)) for one in bearing]
    return engine.materialize(
        table.with_columns(
            _list(others).alias("other_segments"),
            _list([(nw.col(f"s__{one.id}"), _named(one)) for one in cohorts]).alias("cohorts"),
            _gaps(bearing, policy).alias("committee_missing"),
        ).drop(*(f"s__{one.id}" for one in active))
    )


def ranked(segments: Sequence[Segment]) -> list[Segment]:
    """Best first: lowest priority number, then the more specific rule, then the id."""
    return sorted(segments, key=lambda one: (one.priority, -specificity(one), one.id))


def specificity(segment: Segment) -> int:
    """How many comparisons the inclusion rule makes."""
    return sum(isinstance(node, Compare) for node in walk(parse(segment.include)))


def rule_digest(segment: Segment) -> str:
    """Names the rule of a segment, apart from its words: a changed rule needs a new version."""
    rule = {"include": segment.include, "exclude": segment.exclude, "carries_territory": segment.carries_territory}
    return hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest()[:16]


def _belongs(segment: Segment) -> nw.Expr:
    """Known to be included, and not known to be excluded."""
    included = is_true(column(parse(segment.include)))
    if segment.exclude is None:
        return included
    return included & ~is_true(column(parse(segment.exclude)))


def _named(segment: Segment) -> str:
    return f"{segment.id}@{segment.version}"


def _list(parts: Sequence[tuple[nw.Expr, str]]) -> nw.Expr:
    if not parts:
        return null(TEXT)
    words = joined(parts, ",")
    return nw.when(words != "").then(words)


def _gaps(segments: Sequence[Segment], policy: SegmentPolicy) -> nw.Expr:
    """Roles without a matching title: of the profile's committee where it has one, else of the primary segment's."""
    titles = nw.col("titles")
    pairs: list[tuple[nw.Expr, object]] = [(titles.is_null(), null(TEXT))]
    for one in policy.profiles:
        if one.committee:
            pairs.append((nw.col("icp_profile") == one.id, _unfilled(titles, one.committee, policy.roles)))
    for segment in segments:
        words: object = _unfilled(titles, segment.roles, policy.roles) if segment.roles else ""
        pairs.append((nw.col("segment") == segment.id, words))
    return cases(pairs, null(TEXT))


def _unfilled(titles: nw.Expr, wanted: Sequence[str], roles: Mapping[str, tuple[str, ...]]) -> nw.Expr:
    return joined([(~_fills(titles, roles.get(role, ())), role) for role in wanted], ",")


def _fills(titles: nw.Expr, words: Sequence[str]) -> nw.Expr:
    if not words:
        return nw.lit(value=False)
    found = certain(titles.str.contains(words[0].lower(), literal=True))
    for word in words[1:]:
        found = found | certain(titles.str.contains(word.lower(), literal=True))
    return found
