"""Segments and cohorts: who belongs, which one is primary, and which roles of its buying committee nobody fills."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw

from mappings.expressions import Compare, parse, walk
from mappings.facts import SEGMENT_FACTS, TIER_FACTS
from mappings.insight_policy import Segment, SegmentPolicy
from sync.engine import Frame
from sync.frames import cases, null, text
from sync.segmentation.lines import any_of
from sync.segmentation.motions import looked_up
from sync.segmentation.predicates import holds, is_true, joined
from sync.world import INT, TEXT, Schema

MEMBERSHIP: Schema = {
    "segment": TEXT,  # the primary one, of those that carry a territory
    "segment_version": INT,
    "other_segments": TEXT,  # id@version, comma-separated
    "cohorts": TEXT,  # id@version; they carry no territory
    "committee_missing": TEXT,  # roles of profile, else primary segment, that no title fills; null = no titles
}
"""Columns that `with_segments` adds."""


EXACT = frozenset(fact.name for fact in SEGMENT_FACTS) - {fact.name for fact in TIER_FACTS}
"""Facts of segments.yaml without bounds: each in one column of its name."""


def with_segments(table: Frame, policy: SegmentPolicy, *, has_titles: bool) -> Frame:
    """Adds MEMBERSHIP to a table with the facts of segments.yaml, and with `titles` where there are any. Lazy."""
    active = [one for one in policy.segments if one.status == "active"]
    bearing = ranked([one for one in active if one.carries_territory])
    cohorts = ranked([one for one in active if not one.carries_territory])
    held = {one.id: nw.col(f"s__{one.id}") for one in active}
    if active:
        table = table.with_columns(**{f"s__{one.id}": _belongs(one) for one in active})
    table = table.with_columns(segment=cases([(held[one.id], one.id) for one in bearing], null(TEXT)))
    version = {one.id: one.version for one in bearing}
    others = [(held[one.id] & (nw.col("segment") != one.id), _named(one)) for one in bearing]
    table = table.with_columns(
        segment_version=looked_up("segment", version, INT),
        other_segments=_list(others),
        cohorts=_list([(held[one.id], _named(one)) for one in cohorts]),
    )
    if not has_titles:
        return table.with_columns(committee_missing=null(TEXT))
    return _with_gaps(table, bearing, policy)


def ranked(segments: Sequence[Segment]) -> list[Segment]:
    """Best first: lowest priority number, then the more specific rule, then the id."""
    return sorted(segments, key=lambda one: (one.priority, -specificity(one), one.id))


def specificity(segment: Segment) -> int:
    """How many comparisons the inclusion rule makes."""
    return sum(isinstance(node, Compare) for node in walk(parse(segment.include)))


def _belongs(segment: Segment) -> nw.Expr:
    """Known to be included, and not known to be excluded."""
    included = holds(parse(segment.include), EXACT)
    if segment.exclude is None:
        return included
    return included & ~is_true(holds(parse(segment.exclude), EXACT))


def _named(segment: Segment) -> str:
    return f"{segment.id}@{segment.version}"


def _list(parts: Sequence[tuple[nw.Expr, str]]) -> nw.Expr:
    if not parts:
        return null(TEXT)
    words = joined(parts, ",")
    return nw.when(words != "").then(words)


def _with_gaps(table: Frame, segments: Sequence[Segment], policy: SegmentPolicy) -> Frame:
    """Adds roles without a matching title: of the profile's committee if it has one, else of the primary segment's."""
    committees = [("icp_profile", one.id, one.committee) for one in policy.profiles if one.committee]
    committees += [("segment", one.id, one.roles) for one in segments]
    roles = sorted({role for _, _, wanted in committees for role in wanted})
    titles = nw.col("titles")
    pairs: list[tuple[nw.Expr, object]] = [(titles.is_null(), null(TEXT))]
    pairs += [(nw.col(name) == id_, _unfilled(wanted)) for name, id_, wanted in committees]
    if roles:
        table = table.with_columns(
            **{
                f"r__{role}": nw.when(~_fills(titles, policy.roles.get(role, ()))).then(nw.lit(f",{role}"))
                for role in roles
            }
        )
    return table.with_columns(committee_missing=cases(pairs, null(TEXT)))


def _unfilled(wanted: Sequence[str]) -> nw.Expr | str:
    return text(*(nw.col(f"r__{role}") for role in wanted)).str.slice(1) if wanted else ""


def _fills(titles: nw.Expr, words: Sequence[str]) -> nw.Expr:
    if not words:
        return nw.lit(value=False)
    return any_of([titles.str.contains(word.lower(), literal=True) for word in words])
