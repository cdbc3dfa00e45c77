"""Profiles with an object per organisation: what it is, how it is sold to, its segment and its score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.peers.rows_accounts import Account
from bench.peers.rows_tiers import Bounds, Facts, Verdict
from bench.peers.rules import (
    BANDS,
    CON,
    LINES,
    MIN_COVERAGE_BP,
    MIN_PEERS,
    MISSING_POINTS,
    NON_CON,
    POTENTIAL_USD,
    REGION,
    SCORE_POINTS,
    SCORE_WEIGHTS,
    SEGMENTS,
)


@dataclass(slots=True)
class Profile:
    """What a deciding organisation is and how it is sold to; accounts share it with their system."""

    values: dict[str, Any] = field(default_factory=dict)


def profiles(found: Mapping[str, Facts], verdicts: Mapping[str, Verdict]) -> dict[str, Profile]:
    """Profiles of systems, with scores."""
    made = {root: Profile(_described(one, verdicts[root].tier)) for root, one in found.items()}
    _score([profile.values for profile in made.values()])
    return made


def _described(found: Facts, tier: str) -> dict[str, Any]:
    org = found.known["org_type"]
    settled = org.low if org.settled else None
    revenue = found.holder.get("annual_revenue_cents") or found.revenue
    size = _size(revenue, 500_000_000_000, 50_000_000_000)
    by_people = _size(found.holder.get("employees"), 10_000, 1000)
    total, top = sum(found.vendors.values()), max(found.vendors.values())
    share = (top * 20_000 + total) // (total * 2) if total else None
    vendor = next((name for name, beds in found.vendors.items() if beds == top), None) if total else None
    strengths = {f"{line}_strength": bounds.low if bounds.settled else None for line, bounds in found.lines.items()}
    ranked = sorted(((-value, place) for place, line in enumerate(LINES) if (value := found.shares[line]) is not None))
    lines = [LINES[place].upper() for _, place in ranked[:3]] + [None] * 3
    profile = _profile(org, settled, len(found.hospitals), found.beds)
    return {
        "own_type": found.kind,
        "org_type": settled,
        "account_tier": tier,
        "size_tier": size or by_people,
        "size_disagrees": bool(size and by_people and size != by_people),
        "ehr_vendor": vendor,
        "ehr_top_share_bp": share,
        "ehr_mixed": share < 8000 if share is not None else None,
        "payer_class": _payer_class(found.known["gov_bp"], found.known["commercial_bp"]),
        "payer_note": found.note,
        "roi_frame": "TOTAL_COST_OF_CARE" if found.aco else None,
        "reg_env": _environment(found.known["non_con_bp"]),
        "icp_profile": profile,
        **strengths,
        **{f"line_{place + 1}": lines[place] for place in range(3)},
        "hospitals": len(found.hospitals),
        "beds": found.beds,
        "potential_cents": POTENTIAL_USD[settled] * 100 if settled in POTENTIAL_USD else None,
        "status": "ACTIVE",
        "is_lighthouse": False,
        "expansion_bp": found.expansion,
        "full_practice_bp": found.practice,
        **_segment(org, tier, profile),
        "cohorts": _cohorts(found, settled, vendor),
    }


def _size(value: int | None, enterprise: int, middle: int) -> str | None:
    if value is None:
        return None
    return "ENTERPRISE" if value > enterprise else "MID" if value >= middle else "SMB"


def _payer_class(government: Bounds, commercial: Bounds) -> str | None:
    if government.low is None:
        return None
    if government.low > 6000:
        return "GOV_HEAVY"
    if commercial.low >= 5000:
        return "COMMERCIAL_HEAVY"
    return "MIXED" if government.high <= 6000 and commercial.high < 5000 else None


def _environment(share: Bounds) -> str | None:
    if share.low is None:
        return None
    if share.low >= 10_000:
        return "NON_CON"
    if share.high <= 0:
        return "CON"
    return "MIXED" if share.low > 0 and share.high < 10_000 else None


def _profile(org: Bounds, settled: str | None, hospitals: int, beds: int | None) -> str | None:
    if settled == "IDN" and hospitals > 10:
        return "enterprise_idn"
    systems = ("IDN", "COMMUNITY_SYSTEM")
    if org.low in systems and org.high in systems and 3 <= hospitals <= 10 and beds and 500 <= beds <= 2000:
        return "mid_market_idn"
    if settled in ("INDEPENDENT_HOSPITAL", "COMMUNITY_SYSTEM", "CAH") and beds and 50 <= beds <= 500:
        return "community_hospital"
    return None


def _segment(org: Bounds, tier: str, profile: str | None) -> dict[str, Any]:
    low, high = SEGMENTS.get(org.low), SEGMENTS.get(org.high)
    by_type = low if low == high else None
    strategic = tier == "T1" or profile == "enterprise_idn"
    return {
        "segment": "strategic-systems" if strategic else by_type,
        "segment_version": 1 if strategic or by_type else None,
        "other_segments": f"{by_type}@1" if strategic and by_type else None,
    }


def _cohorts(found: Facts, settled: str | None, vendor: str | None) -> str | None:
    strength = found.known["oncology_strength"]
    strong = strength.low in ("STRONG", "MODERATE") and strength.high in ("STRONG", "MODERATE")
    heavy = _payer_class(found.known["gov_bp"], found.known["commercial_bp"]) == "GOV_HEAVY"
    cohorts = {
        "epic-oncology@1": vendor == "EPIC" and strong,
        "expansion-government@1": heavy and (found.expansion or 0) >= 5000,
        "nurse-led-groups@1": settled in ("PHYSICIAN_GROUP", "ASC") and (found.practice or 0) >= 5000,
    }
    return ",".join(name for name, holds in cohorts.items() if holds) or None


def _score(values: Sequence[dict[str, Any]]) -> None:
    """Adds score, coverage, band, contributions and inputs; what is missing takes the median of its peers."""
    points = [_points(one) for one in values]
    peers: dict[tuple[str, str], list[int]] = {}
    for one, known in zip(values, points, strict=True):
        for name, value in known.items():
            peers.setdefault((one["org_type"] or "UNKNOWN", name), []).append(value)
    medians = {
        key: sorted(listed)[(len(listed) + 1) // 2 - 1] for key, listed in peers.items() if len(listed) >= MIN_PEERS
    }
    for one, known in zip(values, points, strict=True):
        kind_ = one["org_type"] or "UNKNOWN"
        filled = {name: known.get(name, medians.get((kind_, name), MISSING_POINTS)) for name in SCORE_WEIGHTS}
        parts, total = _tenths({name: filled[name] * weight for name, weight in SCORE_WEIGHTS.items()})
        coverage = sum(SCORE_WEIGHTS[name] for name in known) * 10
        told = {name: [filled[name], parts[name], name in known] for name in SCORE_WEIGHTS}
        inputs = {name: one[column] for name, column in _INPUTS.items() if one.get(column) is not None}
        enough = coverage >= MIN_COVERAGE_BP
        one["score_tenths"], one["coverage_bp"] = total, coverage
        one["band"] = next(name for name, least in BANDS if total >= least) if enough else "INSUFFICIENT"
        one["contributions"] = json.dumps(told, separators=(",", ":"))
        one["features"] = json.dumps(inputs, separators=(",", ":"))


_INPUTS = {
    "beds": "beds",
    "strength": "oncology_strength",
    "payer": "payer_class",
    "ehr": "ehr_vendor",
    "it_maturity": "it_maturity",
}


def _points(one: Mapping[str, Any]) -> dict[str, int]:
    known = {
        name: SCORE_POINTS[name][one[column]]
        for name, column in _INPUTS.items()
        if name != "beds" and one.get(column) in SCORE_POINTS[name]
    }
    beds = one["beds"]
    if beds is not None and beds <= 200:
        known["beds"] = (80 * beds + 200) // 400
    elif beds is not None:
        known["beds"] = (2 * (32_000 + 60 * (beds - 200)) + 800) // 1600 if beds <= 1000 else 100
    return known


def _tenths(weighted: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Contributions in tenths by largest remainder, and their sum."""
    total = (2 * sum(weighted.values()) + 100) // 200
    parts = {name: value // 100 for name, value in weighted.items()}
    missing = total - sum(parts.values())
    for name in sorted(weighted, key=lambda name: -(weighted[name] % 100))[: max(missing, 0)]:
        parts[name] += 1
    return parts, total


def place(account: Account) -> dict[str, str | None]:
    """Region and site law of an account's own state."""
    state = account.get("state")
    con = "none" if state in NON_CON else "CON" if state in CON else None
    return {"state": state, "region": REGION.get(state), "site_con": con}
