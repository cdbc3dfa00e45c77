"""Which published benchmark fits an organisation; where none does, none is made up."""

from __future__ import annotations

from mappings.insight_policy import KpiPolicy


def benchmark(org_type: str | None, hospitals: int | None, providers: int | None, policy: KpiPolicy) -> str | None:
    """Name of the benchmark, or None: 6 to 10 hospitals have none, and nothing is interpolated."""
    for name, mark in policy.benchmarks.items():
        if org_type not in mark.org_types:
            continue
        if mark.hospitals is not None and (
            hospitals is None or not mark.hospitals[0] <= hospitals <= mark.hospitals[1]
        ):
            continue
        if mark.min_providers and (providers is None or providers < mark.min_providers):
            continue
        return name
    return None


def verdict(rate: float | None, bounds_bp: tuple[int, int]) -> str:
    """Where a rate from 0 to 1 stands against a range in basis points."""
    if rate is None:
        return ""
    if rate * 10000 < bounds_bp[0]:
        return "below"
    return "above" if rate * 10000 > bounds_bp[1] else "within"
