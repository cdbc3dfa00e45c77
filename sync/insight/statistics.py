"""Small statistics with honest intervals. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

Z95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""

MIN_EXPECTED = 5
"""Expected count per cell below which chi-square is not trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share with its 95 % Wilson interval; all from 0 to 1, None of nothing."""

    wins: int
    n: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How even numbers are, around their mean."""

    n: int
    mean: float
    cv: float
    range: float
    max_deviation: float  # relative to the mean
    above_mean: float  # greatest over mean, less 1
    within_15_pct: float  # share of values within 15 % of the mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Whether groups differ: chi-square over wins and losses."""

    chi2: float
    degrees: int
    p: float
    spread: float  # greatest less smallest rate
    is_trusted: bool  # every expected count is large enough


def wilson(wins: int, n: int) -> Rate:
    """The share and its Wilson interval."""
    if n <= 0:
        return Rate(wins=0, n=0, rate=None, low=None, high=None)
    rate = wins / n
    centre = (rate + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * sqrt(rate * (1 - rate) / n + Z95**2 / (4 * n * n)) / (1 + Z95**2 / n)
    return Rate(wins=wins, n=n, rate=rate, low=max(0.0, centre - half), high=min(1.0, centre + half))


def shrunk(wins: int, n: int, average: float, weight: int) -> float:
    """The rate pulled towards the average, as if `weight` more deals had gone like everybody's."""
    return (wins + average * weight) / (n + weight)


def kaplan_meier_median(durations: Iterable[tuple[int, bool]]) -> int | None:
    """The median time to the event over (days, happened); the others are censored. None while over half still wait."""
    pairs = sorted(durations)
    at_risk, survival, index = len(pairs), 1.0, 0
    while index < len(pairs):
        day, events, leaving = pairs[index][0], 0, 0
        while index < len(pairs) and pairs[index][0] == day:
            events += pairs[index][1]
            leaving += 1
            index += 1
        if events:
            survival *= 1 - events / at_risk
            if survival <= 0.5:
                return day
        at_risk -= leaving
    return None


def spread(values: Sequence[float]) -> Spread | None:
    """Evenness of positive-mean numbers with the sample deviation; None for fewer than two or a mean of nothing."""
    if len(values) < 2:
        return None
    numbers = np.asarray(values, float)
    mean = float(numbers.mean())
    if mean <= 0:
        return None
    return Spread(
        n=len(values),
        mean=mean,
        cv=float(numbers.std(ddof=1)) / mean,
        range=float(numbers.max() - numbers.min()),
        max_deviation=float(np.abs(numbers / mean - 1).max()),
        above_mean=float(numbers.max()) / mean - 1,
        within_15_pct=float((np.abs(numbers / mean - 1) <= 0.15).mean()),
    )


def differ(groups: Sequence[tuple[int, int]]) -> Difference | None:
    """Chi-square over (won, lost) per group, uncorrected; None for fewer than two groups or a margin of nothing."""
    table = np.asarray([group for group in groups if sum(group)], float)
    if len(table) < 2 or (table.sum(axis=0) == 0).any():
        return None
    chi2, p, degrees, expected = stats.chi2_contingency(table, correction=False)
    rates = table[:, 0] / table.sum(axis=1)
    return Difference(
        chi2=float(chi2),
        degrees=int(degrees),
        p=float(p),
        spread=float(rates.max() - rates.min()),
        is_trusted=bool((expected >= MIN_EXPECTED).all()),
    )


def gap(first: Rate, second: Rate) -> tuple[float, float, float] | None:
    """Difference of two rates and its 95 % interval, by Newcombe from two Wilson intervals; None where one is empty."""
    if None in (first.rate, second.rate, first.low, first.high, second.low, second.high):
        return None
    a, b = float(first.rate or 0), float(second.rate or 0)
    below = sqrt((a - float(first.low or 0)) ** 2 + (float(second.high or 0) - b) ** 2)
    above = sqrt((float(first.high or 0) - a) ** 2 + (b - float(second.low or 0)) ** 2)
    return a - b, a - b - below, a - b + above


def mean(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The mean and its 95 % interval by Student; None for fewer than two."""
    if len(values) < 2:
        return None
    numbers = np.asarray(values, float)
    centre, error = float(numbers.mean()), float(numbers.std(ddof=1)) / sqrt(len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return centre, centre - half, centre + half


def mean_gap(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float] | None:
    """Difference of two means and its 95 % interval by Welch; None where one side has fewer than two."""
    if len(first) < 2 or len(second) < 2:
        return None
    a, b = np.asarray(first, float), np.asarray(second, float)
    parts = [float(side.var(ddof=1)) / len(side) for side in (a, b)]
    difference, error = float(a.mean() - b.mean()), sqrt(sum(parts))
    if error == 0:
        return difference, difference, difference
    below = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True))
    half = float(stats.t.ppf(0.975, error**4 / below)) * error
    return difference, difference - half, difference + half


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None for fewer than three pairs or a side that never varies."""
    if len(pairs) < 3:
        return None
    a, b = np.asarray(pairs, float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(stats.spearmanr(a, b).statistic)


def median(values: Sequence[int]) -> int | None:
    """The lower median; None of nothing."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def percentile(values: Sequence[int], share: int) -> int | None:
    """The least value with at least so many percent of all at or below it; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)] if ordered else None
