"""The composite score from 0 to 100, with contributions that add up to it exactly, in whole tenths of a point.

    leaf        one feature: a number on a scale or a word with points, 0 to 100
    missing     takes the median of its segment, so that leaving data out never helps; it does not count as covered
    score       sum of weight x points over all leaves
    tenths      contributions are rounded by largest remainder: the parts shown add up to the total shown

All arithmetic is in whole numbers: the same inputs give the same bytes on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from math import exp, lcm
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from mappings.insight_policy import Feature, ScorePolicy
from sync.engine import Engine, Frame
from sync.segmentation.motions import weighted_median
from sync.world import INT, TEXT, Schema

Array = np.ndarray[Any, np.dtype[np.int64]]

INSUFFICIENT, GATED = "INSUFFICIENT", "GATED"
UNKNOWN_SEGMENT = "UNKNOWN"

FEATURES: Schema = {
    "account_id": TEXT,
    "segment": TEXT,  # peers that stand in for what is missing: the organisation type
    "gate": TEXT,  # the first gate that holds; null = none
    "beds": INT,
    "strength": TEXT,
    "payer": TEXT,
    "engagement": INT,  # hundredths of a point of decayed and capped signals, before saturation
    "ehr": TEXT,
    "it_maturity": TEXT,
    "intent": INT,
    "contacts": INT,
    "champion": TEXT,
    "history": TEXT,
}
"""What a score is made of; null = unknown."""

SCORES: Schema = {
    "account_id": TEXT,
    "score_tenths": INT,
    "coverage_bp": INT,  # weight of what is known
    "band": TEXT,  # a band of the policy, INSUFFICIENT, or GATED
    "contributions": TEXT,  # JSON: feature -> [points, tenths of the score, known]
    "features": TEXT,  # JSON: feature -> value, unknown left out; enough to score again
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One feature with its exact share of the whole: weight of denominator."""

    name: str
    dimension: str
    weight: int
    feature: Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A policy ready to score: leaves in order, their common denominator, and what stands in for the missing."""

    leaves: tuple[Leaf, ...]
    denominator: int  # of the weights, which sum to it
    policy: ScorePolicy
    priors: Mapping[tuple[str, str], int]  # (segment, feature) -> points


def card(policy: ScorePolicy, priors: Mapping[tuple[str, str], int] | None = None) -> Card:
    """The leaves of a policy; features without weight are left out."""
    sums = {name: sum(f.weight for f in d.features.values()) for name, d in policy.dimensions.items() if d.weight}
    common = lcm(*(total for total in sums.values() if total)) if any(sums.values()) else 1
    leaves = tuple(
        Leaf(
            name=name,
            dimension=dimension,
            weight=policy.dimensions[dimension].weight * feature.weight * (common // total),
            feature=feature,
        )
        for dimension, total in sums.items()
        for name, feature in policy.dimensions[dimension].features.items()
        if feature.weight and total
    )
    return Card(leaves=leaves, denominator=100 * common, policy=policy, priors=priors or {})


def score(features: Frame, policy: ScorePolicy, engine: Engine) -> Frame:
    """SCORES of FEATURES."""
    plain = card(policy)
    rows = engine.materialize(features.select(*FEATURES))
    pointed = engine.map_batches(rows, partial(_point_batch, plain=plain), _pointed_schema(plain))
    priors = _priors(pointed, plain, engine)
    return engine.materialize(engine.map_batches(rows, partial(_score_batch, ready=card(policy, priors)), _SCORED))


def points(leaf: Leaf, values: Sequence[Any], policy: ScorePolicy) -> list[int | None]:
    """Points from 0 to 100 of one feature's values; None = unknown, also for a word the policy has no points for."""
    worth = {value: None if value is None else _worth(leaf, value, policy) for value in set(values)}
    return [worth[value] for value in values]


def _worth(leaf: Leaf, value: Any, policy: ScorePolicy) -> int | None:
    if leaf.feature.map:
        return leaf.feature.map.get(str(value))
    if leaf.name == "engagement":
        value = saturated(value, policy.behavior.saturation)
    return on_scale(leaf.feature.knots, value)


def on_scale(knots: Sequence[tuple[int, int]], value: int) -> int:
    """Points on straight lines between the knots, to the nearest whole; flat beyond the ends."""
    if value <= knots[0][0]:
        return knots[0][1]
    for (x0, y0), (x1, y1) in pairwise(knots):
        if value <= x1:
            return (2 * (y0 * (x1 - x0) + (y1 - y0) * (value - x0)) + (x1 - x0)) // (2 * (x1 - x0))
    return knots[-1][1]


def saturated(hundredths: int, saturation: int) -> int:
    """100 x (1 - e^(-points / saturation)), to the nearest whole."""
    return round(100 * (1 - exp(-hundredths / (100 * saturation))))


def decay_micro(age_days: int, half_life_days: int) -> int:
    """What is left of a signal after so many days, in millionths."""
    left: float = 0.5 ** (age_days / half_life_days)
    return round(1_000_000 * left)


def total_tenths(weighted: Array, denominator: int) -> tuple[Array, Array]:
    """Contributions and their sum in tenths, by largest remainder; `weighted` is leaves x rows of weight x points."""
    unit = denominator // 10  # a tenth of a point
    sums = weighted.sum(axis=0)
    totals = (2 * sums + unit) // (2 * unit)
    parts, rest = weighted // unit, weighted % unit
    missing = totals - parts.sum(axis=0)
    ranks = np.argsort(np.argsort(-rest, axis=0, kind="stable"), axis=0, kind="stable")
    return parts + (ranks < missing[np.newaxis, :]), totals


# --- batches ----------------------------------------------------------------------------------------------------------

_SCORED = pa.schema(
    [
        pa.field(name, pa.int64() if name in ("score_tenths", "coverage_bp") else pa.string())
        for name in SCORES
    ]
)  # fmt: skip


def _pointed_schema(plain: Card) -> pa.Schema:
    return pa.schema([("segment", pa.string()), *((leaf.name, pa.int64()) for leaf in plain.leaves)])


def _point_batch(batch: pa.RecordBatch, plain: Card) -> pa.RecordBatch:
    """Segment and known points per feature."""
    columns: list[Any] = [_segments(batch)]
    columns += [points(leaf, batch.column(leaf.name).to_pylist(), plain.policy) for leaf in plain.leaves]
    schema = _pointed_schema(plain)
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def _segments(batch: pa.RecordBatch) -> list[str]:
    return [value or UNKNOWN_SEGMENT for value in batch.column("segment").to_pylist()]


def _priors(pointed: Frame, plain: Card, engine: Engine) -> dict[tuple[str, str], int]:
    """Median points of the known peers of each segment, where there are enough of them."""
    names = [leaf.name for leaf in plain.leaves]
    if not names:
        return {}
    long = pointed.unpivot(names, index="segment", variable_name="feature", value_name="points")
    counted = long.filter(~nw.col("points").is_null()).group_by("segment", "feature", "points").agg(nw.len().alias("n"))
    peers: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in engine.rows(counted):
        peers.setdefault((row["segment"], row["feature"]), []).append((row["points"], row["n"]))
    least = plain.policy.missing.min_peers
    enough = {key: counts for key, counts in peers.items() if sum(n for _, n in counts) >= least}
    return {key: weighted_median(sorted(counts)) for key, counts in enough.items()}


def _score_batch(batch: pa.RecordBatch, ready: Card) -> pa.RecordBatch:
    raw = {leaf.name: batch.column(leaf.name).to_pylist() for leaf in ready.leaves}
    segments = _segments(batch)
    rows = scored(raw, segments, batch.column("gate").to_pylist(), ready)
    columns: list[Any] = [batch.column("account_id").to_pylist(), *rows]
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, _SCORED, strict=True)], schema=_SCORED
    )


def scored(
    raw: Mapping[str, Sequence[Any]], segments: Sequence[str], gates: Sequence[str | None], ready: Card
) -> tuple[list[int], list[int], list[str], list[str], list[str]]:
    """Columns of SCORES after the id, for features given as columns."""
    known = [points(leaf, raw[leaf.name], ready.policy) for leaf in ready.leaves]
    shape = (len(ready.leaves), len(segments))
    weights = np.array([leaf.weight for leaf in ready.leaves], np.int64).reshape(-1, 1)
    filled = np.array(_filled(known, segments, ready), np.int64).reshape(shape)
    is_known = np.array([[value is not None for value in column] for column in known], bool).reshape(shape)
    parts, totals = total_tenths(filled * weights, ready.denominator)
    covered = (is_known * weights).sum(axis=0) * 10000 // max(ready.denominator, 1)
    facing = list(zip(totals.tolist(), covered.tolist(), gates, strict=True))
    bands = {one: band(*one, ready.policy) for one in set(facing)}
    told = {
        leaf.name: list(zip(filled[i].tolist(), parts[i].tolist(), is_known[i].tolist(), strict=True))
        for i, leaf in enumerate(ready.leaves)
    }
    return (
        totals.tolist(),
        covered.tolist(),
        [bands[one] for one in facing],
        _objects(told, len(segments)),
        _objects(raw, len(segments)),
    )


def _filled(known: Sequence[Sequence[int | None]], segments: Sequence[str], ready: Card) -> list[list[int]]:
    """Points per leaf, with what stands in for those that are missing."""
    default, filled = ready.policy.missing.default, []
    for leaf, column in zip(ready.leaves, known, strict=True):
        peers = {segment: ready.priors.get((segment, leaf.name), default) for segment in set(segments)}
        filled.append([peers[of] if value is None else value for value, of in zip(column, segments, strict=True)])
    return filled


_in_json = json.JSONEncoder(separators=(",", ":")).encode


def _objects(columns: Mapping[str, Sequence[Any]], count: int) -> list[str]:
    """A JSON object per row, without what is None; a value is written once, however often it comes."""
    members = []
    for name, values in columns.items():
        key, distinct = _in_json(name), set(values) - {None}
        if distinct:
            written = {value: f"{key}:{_in_json(value)}" for value in distinct}
            members.append([written.get(value) for value in values])
    rows = zip(*members, strict=True) if members else repeat((), count)
    return [f"{{{','.join(filter(None, row))}}}" for row in rows]


def band(tenths: int, coverage_bp: int, gate: str | None, policy: ScorePolicy) -> str:
    """GATED behind a gate, INSUFFICIENT where too little is known, else the band of the policy."""
    if gate:
        return GATED
    if coverage_bp < policy.missing.min_coverage_bp:
        return INSUFFICIENT
    return next((one.id for one in policy.bands if tenths >= one.at_least * 10), INSUFFICIENT)


def version(policy: ScorePolicy, digest: str) -> str:
    """What a score was made with: policy, version, and the first digits of the ruleset digest."""
    return f"{policy.policy.id}@{policy.policy.version}:{digest[:8]}"


# --- why a score moved ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One feature's part of a change of score, in tenths of a point; the parts of all features add up to the change."""

    feature: str
    data: int
    decay: int
    policy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One account at one time: values of its features, its segment, and the card it was scored with."""

    features: Mapping[str, Any]
    segment: str
    card: Card


def explain_change(before: Scored, after: Scored, *, days: int) -> tuple[Moved, ...]:
    """The change between two scorings, per feature: first time passes, then data change, then the policy.

    `days` is the time between the two; the engagement of before decays over it by the policy of before.
    """
    faded = dict(before.features)
    if faded.get("engagement") is not None:
        factor = decay_micro(days, before.card.policy.behavior.half_life_days)
        faded["engagement"] = faded["engagement"] * factor // 1_000_000
    steps = [
        _parts(before.features, before.segment, before.card),
        _parts(faded, before.segment, before.card),
        _parts(after.features, after.segment, Card(
            leaves=before.card.leaves, denominator=before.card.denominator,
            policy=before.card.policy, priors=after.card.priors,
        )),
        _parts(after.features, after.segment, after.card),
    ]  # fmt: skip
    names = sorted({name for step in steps for name in step})
    amounts = [[step.get(name, 0) for step in steps] for name in names]
    return tuple(
        Moved(feature=name, decay=b - a, data=c - b, policy=d - c)
        for name, (a, b, c, d) in zip(names, amounts, strict=True)
        if not a == b == c == d
    )


def _parts(features: Mapping[str, Any], segment: str, ready: Card) -> dict[str, int]:
    """Contributions of one account, in tenths."""
    raw = {leaf.name: [features.get(leaf.name)] for leaf in ready.leaves}
    _, _, _, told, _ = scored(raw, [segment], [None], ready)
    return {name: parts[1] for name, parts in json.loads(told[0]).items()}
