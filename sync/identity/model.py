"""The scorer: a dot product of whole numbers, the same on every engine, and what each theme added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mappings.evidence import THEMES
from mappings.identity_policy import MatchModel, Weights
from sync.identity.features import ONE, Columns, compare, competition
from sync.identity.traits import Traits

_TO_MILLI = 1_000_000  # a feature in thousandths times a coefficient in millionths, to thousandths of a logit

FIRST = pa.schema([(name, pa.int64()) for name in ("left", "right", "score")])
"""A pair and its score, in thousandths of a logit."""

START = "to begin with"
"""The theme of what a pair starts from, before anything is compared: few candidates are the same organisation."""


def pair_features(batch: pa.RecordBatch, traits: Traits) -> Columns:
    """The features of PAIR_FEATURES for a batch with `left`, `right` and the three flags of a board."""
    made = compare(traits, _column(batch, "left"), _column(batch, "right"))
    context = {name: _column(batch, name) * ONE for name in ("firm_bound", "record_bound", "no_kind_record")}
    return made | context | {"bare_and_bound": made["bare_record"] * context["firm_bound"] // ONE}


def score_first(batch: pa.RecordBatch, *, traits: Traits, weights: Weights) -> pa.RecordBatch:
    """FIRST rows: the score of every pair by itself, in thousandths of a logit."""
    return _scored(batch, pair_features(batch, traits), weights)


def score_second(batch: pa.RecordBatch, *, traits: Traits, weights: Weights) -> pa.RecordBatch:
    """FIRST rows: the score among rivals; the batch has `score`, `best_of_left`, `best_of_right` too."""
    return _scored(batch, pair_features(batch, traits) | rivals(batch), weights)


def rivals(batch: pa.RecordBatch) -> Columns:
    """The features of RIVAL_FEATURES."""
    return competition(*(_column(batch, name) for name in ("score", "best_of_left", "best_of_right")))


def score(features: Columns, weights: Weights) -> np.ndarray:
    """Scores in thousandths of a logit."""
    total = np.full(_length(features), weights.intercept * ONE, np.int64)
    for name, coefficient in weights.coefficients.items():
        total += features[name] * coefficient
    return np.floor_divide(total + _TO_MILLI // 2, _TO_MILLI)


def contributions(features: Columns, model: MatchModel) -> list[dict[str, int]]:
    """What each theme adds to the final score of each pair, in thousandths of a logit; together they are it.

    The first score is broken down into the themes it was made of, since by itself it would explain nothing.
    """
    first, second = model.first, model.second
    themes, base = _themes(features, first), np.full(_length(features), first.intercept * ONE, np.int64)
    whole = sum(themes.values(), base).astype(np.float64)
    carried = features["first_score"] * float(second.coefficients.get("first_score", 0))
    share = np.divide(carried, whole, out=np.zeros_like(carried), where=whole != 0)
    made = {theme: values * share for theme, values in themes.items()}
    made[START] = base * share + second.intercept * ONE
    for theme, values in _themes(features, second, leave_out="first_score").items():
        made[theme] = made.get(theme, 0) + values
    return _rounded(made, score(features, second))


def contributions_alone(features: Columns, weights: Weights) -> list[dict[str, int]]:
    """What each theme adds to the score of each pair by itself, in thousandths of a logit; together they are it."""
    base = np.full(_length(features), weights.intercept * ONE, np.float64)
    return _rounded({START: base} | _themes(features, weights), score(features, weights))


def _rounded(made: Columns, scores: np.ndarray) -> list[dict[str, int]]:
    """Themes in whole thousandths; what rounding loses goes to the start, so that they sum to the score exactly."""
    whole = {theme: np.rint(values / _TO_MILLI).astype(np.int64) for theme, values in made.items()}
    whole[START] = scores - sum((values for theme, values in whole.items() if theme != START), np.zeros_like(scores))
    listed = {theme: values.tolist() for theme, values in whole.items()}
    return [{theme: values[row] for theme, values in listed.items() if values[row]} for row in range(len(scores))]


def _themes(features: Columns, weights: Weights, leave_out: str = "") -> Columns:
    made: Columns = {}
    for theme, names in THEMES.items():
        weighed = [
            features[name] * weights.coefficients[name]
            for name in names
            if name in features and name in weights.coefficients and name != leave_out
        ]
        if weighed:
            made[theme] = np.sum(weighed, axis=0)
    return made


def _length(features: Columns) -> int:
    return len(next(iter(features.values())))


def chance(milli: int) -> float:
    """The probability a score stands for."""
    return float(1 / (1 + np.exp(-milli / 1000)))


def _scored(batch: pa.RecordBatch, features: Columns, weights: Weights) -> pa.RecordBatch:
    columns = [batch.column("left"), batch.column("right"), pa.array(score(features, weights), pa.int64())]
    return pa.RecordBatch.from_arrays([column.cast(pa.int64()) for column in columns], schema=FIRST)


def _column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), np.int64)


def matrix(features: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Features as a matrix of floats, a column per name: what is fitted."""
    return np.stack([features[name] for name in names], axis=1) / ONE
