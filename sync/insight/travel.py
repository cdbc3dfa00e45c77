"""How many hours a territory is driven through, and how many are left to sell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from mappings.insight_policy import Travel

Place = tuple[int, int]
"""Latitude and longitude in 1/10,000 degree."""

EARTH_KM = 6371.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Accounts of one tier at one place."""

    place: Place
    tier: str
    accounts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A year in a territory. Hours are whole ones, distances kilometres."""

    visits: int
    travel: int
    selling: int
    farthest_km: int


def hours(stops: Sequence[Stop], policy: Travel, base: Place | None = None) -> Hours:
    """Hours of a year: every visit is its share of a round trip from the base, by roads longer than the straight line.

    Without a base the middle of the visits is it.
    """
    visits = [policy.visits_per_year.get(stop.tier, policy.visits_otherwise) * stop.accounts for stop in stops]
    start = base or middle([(stop.place, n) for stop, n in zip(stops, visits, strict=True)])
    if start is None:
        return Hours(visits=0, travel=0, selling=0, farthest_km=0)
    distances = [distance_km(start, stop.place) for stop in stops]
    road = policy.detour_bp / 10_000
    driven = sum(2 * km * road * n / policy.stops_per_trip for km, n in zip(distances, visits, strict=True))
    return Hours(
        visits=sum(visits),
        travel=round(driven / policy.km_per_hour),
        selling=round(sum(visits) * policy.minutes_per_visit / 60),
        farthest_km=round(max(distances, default=0)),
    )


def middle(places: Iterable[tuple[Place, int]]) -> Place | None:
    """The weighted mean place; None of nothing."""
    pairs = [(place, weight) for place, weight in places if weight > 0]
    total = sum(weight for _, weight in pairs)
    if not total:
        return None
    return (
        round(sum(place[0] * weight for place, weight in pairs) / total),
        round(sum(place[1] * weight for place, weight in pairs) / total),
    )


def distance_km(a: Place, b: Place) -> float:
    """Great-circle distance."""
    lat1, lon1, lat2, lon2 = (radians(value / 10_000) for value in (*a, *b))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * asin(sqrt(half))


def stops_of(rows: Iterable[Mapping[str, object]], places: Mapping[str, Place]) -> tuple[list[Stop], int]:
    """Rows of zip5, tier, accounts as stops, and how many accounts have no place."""
    stops, lost = [], 0
    for row in rows:
        place, accounts = places.get(str(row["zip5"] or "")), int(str(row["accounts"]))
        if place is None:
            lost += accounts
        else:
            stops.append(Stop(place=place, tier=str(row["account_tier"] or ""), accounts=accounts))
    return sorted(stops, key=lambda stop: (stop.place, stop.tier)), lost
