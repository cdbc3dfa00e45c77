"""Statistics and KPIs by the worked cases."""

from __future__ import annotations

import pytest

from mappings.load import load
from sync.insight.benchmarks import benchmark
from sync.insight.kpis import evenness
from sync.insight.quotas import attainment
from sync.insight.sales import differentiation, lift
from sync.insight.statistics import gap, kaplan_meier_median, percentile, rank_correlation, spread, wilson

POLICY = load().policies.kpis


def test_T36_R51_four_attainments_are_too_few_and_uneven_only_by_range() -> None:
    values = [0.62, 0.95, 1.10, 1.33]
    assert attainment(values, POLICY).line.startswith("INSUFFICIENT: 4")
    told = attainment(values, POLICY.model_copy(update={"min_territories": 4})).line
    assert told.startswith("cv 29.8 %, in bounds; range 71 points, largest deviation 38 %")


def test_T37_a_wide_spread_asks_for_a_rebalance() -> None:
    told = attainment([0.40, 0.80, 1.20, 1.60], POLICY.model_copy(update={"min_territories": 4})).line
    assert told.startswith("cv 51.6 %, rebalance")


def test_T38_one_territory_with_eight_of_twenty_first_tier_accounts_is_uneven() -> None:
    told = evenness(dict(zip("abcde", (3, 3, 3, 3, 8), strict=True)), "T1", POLICY).line
    assert told == "fullest territory 100 % above the mean, cv 55.9 %: uneven"


def test_T39_R54_segments_that_win_differently_and_segments_that_win_alike() -> None:
    groups = dict(zip("abcd", ((18, 82), (30, 70), (35, 65), (45, 55)), strict=True))
    apart = differentiation(groups, POLICY).line
    assert apart == "differentiated: chi-square(3) = 17.37, p < .001, spread 27.0 points"
    alike = differentiation(dict(zip("abcd", ((25, 75), (26, 74), (24, 76), (25, 75)), strict=True)), POLICY).line
    assert alike.startswith("NOT-DIFFERENTIATED: chi-square(3) = 0.11")


def test_T40_three_wins_of_ten_are_suggestive_not_an_ideal_profile() -> None:
    row = lift(3, 10, 0.175, POLICY)
    assert (row["lift"], row["verdict"], row["shrunk_pct"]) == (1.71, "suggestive", 21.7)
    assert (row["low_pct"], row["high_pct"]) == (10.8, 60.3)


def test_R30_an_ideal_profile_needs_the_multiple_the_deals_and_the_interval() -> None:
    assert lift(60, 100, 0.2, POLICY)["verdict"] == "ICP"
    assert lift(18, 29, 0.2, POLICY)["verdict"] == "suggestive"  # 29 deals are too few
    assert lift(10, 100, 0.2, POLICY)["verdict"] == "below average"


@pytest.mark.parametrize(
    ("hospitals", "expected"),
    [(8, None), (6, None), (10, None), (11, "large_idn"), (5, "community_system"), (None, None)],
)
def test_T42_six_to_ten_hospitals_have_no_benchmark(hospitals: int | None, expected: str | None) -> None:
    assert benchmark("IDN", hospitals, None, POLICY) == expected


def test_R45_a_group_has_a_benchmark_from_fifty_providers() -> None:
    assert [benchmark("PHYSICIAN_GROUP", None, n, POLICY) for n in (49, 50, None)] == [None, "physician_group", None]


def test_R49_open_deals_lengthen_the_median_instead_of_vanishing() -> None:
    # won after 10, 20, 30 days; three deals still open after 25 days. At 20 days 4 of 6 wait; at 30 the last one wins
    waits = [(10, True), (20, True), (30, True), (25, False), (25, False), (25, False)]
    assert kaplan_meier_median(waits) == 30
    assert kaplan_meier_median([w for w in waits if w[1]]) == 20  # what the mean-of-closed reading would say
    assert kaplan_meier_median([(10, True), (20, False), (20, False)]) is None


def test_R53_the_gap_of_two_rates_has_an_interval() -> None:
    found = gap(wilson(45, 100), wilson(30, 100))
    assert found is not None
    # Wilson: 45 % is 35.6 to 54.8, 30 % is 21.9 to 39.6.
    # 15 - sqrt(9.4^2 + 9.6^2) = 1.6; 15 + sqrt(9.8^2 + 8.1^2) = 27.7
    assert [round(100 * x, 1) for x in found] == [15.0, 1.6, 27.7]


def test_nothing_is_nothing() -> None:
    assert wilson(0, 0).rate is None
    assert spread([0.0, 0.0]) is None
    assert percentile([], 75) is None
    assert rank_correlation([(1.0, 1.0)] * 5) is None


def test_a_percentile_is_a_value_that_is_there() -> None:
    assert percentile([4, 1, 3, 2], 75) == 3
