"""Facts and tiers with an object per organisation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.peers.rows_accounts import Account
from bench.peers.rules import (
    CON,
    DAYS,
    EXPANDED,
    FULL_PRACTICE,
    KIND_PATTERNS,
    LINES,
    NON_CON,
    OWN_KINDS,
    PREDICATES,
    STANDALONE_KINDS,
    STRONG_BP,
    WANTED,
)

FACTS = ("commercial_bp", "gov_bp", "gpo_covered", "non_con_bp", "oncology_strength", "org_type", "providers")
_FIVE = ("is_idn", "target_strong", "commercial", "non_con", "no_gpo")
_OF_TIER = {"T1": _FIVE, "T2": ("icp_type", "target_mod", *_FIVE), "T3": ("icp_type", *_FIVE)}
_RESTS_ON = {
    "is_idn": ("org_type",),
    "icp_type": ("org_type", "providers"),
    "target_mod": ("oncology_strength",),
    "target_strong": ("oncology_strength",),
    "commercial": ("commercial_bp",),
    "gov_heavy": ("gov_bp",),
    "non_con": ("non_con_bp",),
    "no_gpo": ("gpo_covered",),
}


@dataclass(slots=True, frozen=True)
class Bounds:
    """The least and the most a fact can be, and who says so."""

    low: Any = None
    high: Any = None
    source: str | None = None

    @property
    def settled(self) -> bool:
        """Both ends are known and the same."""
        return self.low is not None and self.low == self.high


@dataclass(slots=True)
class Facts:
    """What the members of a deciding organisation add up to."""

    holder: Account
    kind: str | None
    hospitals: list[Account]
    known: dict[str, Bounds]
    lines: dict[str, Bounds]
    shares: dict[str, int | None]
    revenue: int | None
    beds: int | None
    vendors: dict[str, int]
    aco: int
    expansion: int | None  # share of sites in states that expanded Medicaid, basis points
    practice: int | None  # in states where nurse practitioners practise fully
    note: str | None


@dataclass(slots=True)
class Verdict:
    """A tier with everything that explains it."""

    tier: str
    could_be: str | None
    blocking: str | None
    status: str
    predicates: str
    evidence: str
    is_known: bool
    standalone: str | None = None


@cache
def _kind_of(words: str | None) -> str | None:
    return next((kind for pattern, kind in KIND_PATTERNS if words and re.search(pattern, words)), None)


def kind(account: Account) -> str | None:
    """Kind of organisation by its type texts."""
    own = account.own
    firm_type = own.get("firm_type")
    text = f"{firm_type} {own.get('hospital_type') or ''}" if firm_type else account.get("account_type")
    return _kind_of(text.lower() if text else None)


def facts(holder: Account, members: Iterable[Account]) -> Facts:
    """The facts of a holder over its members."""
    everyone = list(members)
    hospitals = [account for account in everyone if kind(account) == "HOSPITAL"]
    revenue = {account.account_id: _revenue(account) for account in hospitals}
    whole = sum(value or 0 for value in revenue.values())
    every_revenue = all(value is not None for value in revenue.values())
    own = kind(holder)
    people = [account.own.get("providers") for account in everyone]
    stated = [count for count in people if count is not None]
    beds = [account.own["staffed_beds"] for account in hospitals]
    lines = {line: _strength(line, hospitals, revenue) for line in LINES}
    shares = {line: share for line, (_, share) in lines.items()}
    strength = lines["oncology"][0]
    known = {
        "org_type": _org_type(own, hospitals, sum(stated) if stated else None),
        "providers": Bounds(sum(stated), sum(stated), "providers in the feed") if stated else Bounds(),
        "gpo_covered": Bounds(),
        "oncology_strength": strength,
        "non_con_bp": _sites(holder, hospitals, revenue),
        **_payers(hospitals, revenue, whole if every_revenue else 0),
    }
    vendors = dict.fromkeys(("EPIC", "ORACLE", "MEDITECH", "OTHER"), 0)
    for account in hospitals:
        vendor = _vendor(account.own.get("ehr_vendor"))
        if vendor:
            vendors[vendor] += account.own["staffed_beds"] if account.own["staffed_beds"] is not None else 1
    return Facts(
        holder=holder,
        kind=own,
        hospitals=hospitals,
        known=known,
        lines={line: bounds for line, (bounds, _) in lines.items()},
        shares=shares,
        revenue=whole if hospitals and every_revenue else None,
        beds=sum(beds) if all(count is not None for count in beds) else None,
        vendors=vendors,
        aco=sum(account.own.get("aco") is not None for account in hospitals),
        expansion=_lawful(holder, hospitals, EXPANDED),
        practice=_lawful(holder, hospitals, FULL_PRACTICE),
        note=f"basis: {DAYS}" if known["gov_bp"].low is not None else None,
    )


def _revenue(account: Account) -> int | None:
    value: int | None = account.own["net_patient_revenue_cents"]
    return value if value is not None and value > 0 else None


def _org_type(own: str | None, hospitals: Sequence[Account], people: int | None) -> Bounds:
    count = len(hospitals)
    told = f"{count} hospitals of the system; central procurement: not confirmed; providers: {people or 'unknown'}"
    if count >= 6:
        return Bounds("IDN", "IDN", told)
    if count >= 2:
        return Bounds("COMMUNITY_SYSTEM", "IDN", told)
    if count == 1:
        certified = (hospitals[0].get("ccn") or "")[2:4] == "13" or hospitals[0].own["is_critical_access"]
        alone = "CAH" if certified else "INDEPENDENT_HOSPITAL"
        return Bounds(alone, alone, told)
    named = own if own in OWN_KINDS else None
    return Bounds(named, named, told)


def _strength(line: str, hospitals: Sequence[Account], revenue: Mapping[str, int | None]) -> tuple[Bounds, int | None]:
    """Strength of a line by its share of revenue, and that share in basis points."""
    part = whole = 0
    for account in hospitals:
        share, earned = account.own[f"{line}_share_bp"], revenue[account.account_id]
        if share is None or earned is None:
            return Bounds(), None
        part, whole = part + share * earned, whole + earned
    if not whole:
        return Bounds(), None
    source = f"{line} share of revenue in the feed"
    bounds = Bounds("MODERATE", "STRONG", source) if part >= whole * STRONG_BP else Bounds("WEAK", "WEAK", source)
    return bounds, (part * 2 + whole) // (whole * 2)


def _payers(hospitals: Sequence[Account], revenue: Mapping[str, int | None], whole: int) -> dict[str, Bounds]:
    mixes = [_mix(account) for account in hospitals]
    if not hospitals or None in mixes:
        return {"gov_bp": Bounds(), "commercial_bp": Bounds()}
    shares = [mix for mix in mixes if mix is not None]
    ends = []
    for place, end in ((0, min), (0, max), (1, min), (2, max)):
        weighted = sum(
            mix[place] * (revenue[account.account_id] or 0) for mix, account in zip(shares, hospitals, strict=True)
        )
        mean = (weighted * 2 + whole) // (whole * 2) if whole else end(mix[place] for mix in shares)
        ends.append(mean)
    upper = "days in the feed, an upper bound of the commercial share"
    return {"gov_bp": Bounds(ends[0], ends[1], DAYS), "commercial_bp": Bounds(ends[2], ends[3], upper)}


def _mix(account: Account) -> tuple[int, int, int] | None:
    """Government, least and most commercial share of the days, where they add up."""
    own = account.own
    days = [own[f"{name}_days_bp"] for name in ("medicare", "medicaid", "other")]
    if None in days:
        return None
    advantage, commercial = own.get("medicare_advantage_days_bp") or 0, own.get("commercial_days_bp")
    if not 9800 <= sum(days) + advantage + (commercial or 0) <= 10_200:
        return None
    return days[0] + days[1] + advantage, commercial or 0, days[2] if commercial is None else commercial


def _sites(holder: Account, hospitals: Sequence[Account], revenue: Mapping[str, int | None]) -> Bounds:
    law = "certificate-of-need rules of the sites' states"
    if not hospitals:
        state = holder.get("state")
        share = 10_000 if state in NON_CON else 0 if state in CON else None
        return Bounds(share, share, law if share is not None else None)
    parts = [(a.get("state"), a.own["oncology_share_bp"], revenue[a.account_id]) for a in hospitals]
    complete = all(share is not None and earned is not None for _, share, earned in parts)
    ruled = all(state in NON_CON or state in CON for state, _, _ in parts)
    if complete and ruled:
        whole = sum(share * earned for _, share, earned in parts) // 10_000
        free = sum(share * earned for state, share, earned in parts if state in NON_CON) // 10_000
        if whole > 0:
            share = (free * 20_000 + whole) // (whole * 2)
            return Bounds(share, share, "oncology revenue at sites outside certificate of need")
    free_sites = sum(state in NON_CON for state, _, _ in parts)
    open_sites = sum(state not in NON_CON and state not in CON for state, _, _ in parts)
    count = len(hospitals)
    return Bounds(free_sites * 10_000 // count, (free_sites + open_sites) * 10_000 // count, law)


def _lawful(holder: Account, hospitals: Sequence[Account], states: Sequence[str]) -> int | None:
    if not hospitals:
        return 10_000 if holder.get("state") in states else 0
    return sum(account.get("state") in states for account in hospitals) * 10_000 // len(hospitals)


def _vendor(name: str | None) -> str | None:
    lowered = (name or "").lower()
    if not lowered:
        return None
    if "epic" in lowered:
        return "EPIC"
    if "cerner" in lowered or "oracle" in lowered:
        return "ORACLE"
    return "MEDITECH" if "meditech" in lowered else "OTHER"


# --- tiers ------------------------------------------------------------------------------------------------------------


def _all(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _any(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return True if True in found else None if None in found else False


def _at_least(count: int, values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    if found.count(True) >= count:
        return True
    return False if found.count(True) + found.count(None) < count else None


def _equal(bounds: Bounds, *values: str) -> bool | None:
    if bounds.low is None or bounds.high is None:
        return None
    low, high = bounds.low in values, bounds.high in values
    return True if low and high else None if low or high else False


def _least(bounds: Bounds, value: int) -> bool | None:
    if bounds.low is not None and bounds.low >= value:
        return True
    return False if bounds.high is not None and bounds.high < value else None


def verdict(found: Facts) -> Verdict:
    """The tier of a holder, with each predicate, what is open, and why."""
    known = found.known
    org, strength = known["org_type"], known["oncology_strength"]
    physicians = _all([_equal(org, "PHYSICIAN_GROUP"), _least(known["providers"], 50)])
    truth: dict[str, bool | None] = {
        "is_idn": _equal(org, "IDN"),
        "icp_type": _any([_equal(org, "IDN", "COMMUNITY_SYSTEM"), physicians]),
        "target_mod": _equal(strength, "STRONG", "MODERATE"),
        "target_strong": _equal(strength, "STRONG"),
        "commercial": _least(known["commercial_bp"], 5000),
        "gov_heavy": _least(known["gov_bp"], 6001),
        "non_con": _least(known["non_con_bp"], 5000),
        "no_gpo": None,
    }
    five = [truth[name] for name in _FIVE]
    tiers = {
        "T1": _all(five),
        "T2": _all([truth["icp_type"], truth["target_mod"], _at_least(3, five)]),
        "T3": _all([truth["icp_type"], _at_least(2, five)]),
    }
    tier = next((name for name, value in tiers.items() if value), "UNTIERED")
    could_be = _open_tier(tiers)
    blocking = None if could_be is None else list(_blocking(could_be, truth, known))
    status = "CONFIRMED" if could_be is None else f"PROVISIONAL: {could_be} {_hint(could_be, truth, blocking or [])}"
    letters = {True: "T", False: "F", None: "U"}
    return Verdict(
        tier=tier,
        could_be=could_be,
        blocking=None if blocking is None else ",".join(blocking),
        status=status,
        predicates=", ".join(f"{name}={letters[truth[name]]}" for name in PREDICATES),
        evidence=_evidence(known),
        is_known=any(known[name].low is not None for name in FACTS if name != "non_con_bp"),
    )


def _open_tier(tiers: Mapping[str, bool | None]) -> str | None:
    """The best tier that is unknown while no better one holds."""
    for name, value in tiers.items():
        if value:
            return None
        if value is None:
            return name
    return None


def _blocking(tier: str, truth: Mapping[str, bool | None], known: Mapping[str, Bounds]) -> Iterator[str]:
    unknown = {fact for name in _OF_TIER[tier] if truth[name] is None for fact in _RESTS_ON[name]}
    yield from sorted(fact for fact in unknown if not known[fact].settled)


def _hint(tier: str, truth: Mapping[str, bool | None], blocking: Sequence[str]) -> str:
    if tier == "T1":
        return "if " + " and ".join(words for name, words in WANTED.items() if truth[name] is None)
    return "depends on " + ", ".join(blocking)


def _evidence(known: Mapping[str, Bounds]) -> str:
    told = {}
    for name in FACTS:
        bounds = known[name]
        if bounds.low is not None:
            high = "?" if bounds.high is None else bounds.high
            value = str(bounds.low) if bounds.settled else f"{bounds.low} to {high}"
            told[name] = {"is": value, "from": bounds.source or ""}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def judge(systems: Mapping[str, list[Account]]) -> tuple[dict[str, Verdict], dict[str, Facts], dict[str, str]]:
    """Verdict and facts of every system, and the tier that affiliates would have alone."""
    found = {root: facts(_root(root, listed), listed) for root, listed in systems.items()}
    verdicts = {root: verdict(one) for root, one in found.items()}
    alone = {root: one.tier for root, one in verdicts.items()}
    for root, listed in systems.items():
        for account in listed:
            if account.account_id == root or kind(account) not in STANDALONE_KINDS:
                continue
            # One hospital alone is no network, and every tier asks for one.
            is_hospital = kind(account) == "HOSPITAL"
            tier = "UNTIERED" if is_hospital else verdict(facts(account, [account])).tier
            alone[account.account_id] = tier
    return verdicts, found, alone


def _root(root: str, listed: Iterable[Account]) -> Account:
    return next(account for account in listed if account.account_id == root)
