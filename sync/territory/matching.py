"""Which account a lead is about: a strong id, a domain that one organisation has, else name with ZIP code and phone.

Scores are whole basis points from RapidFuzz's integer distances, so that they are the same on every machine. Two
organisations that are too close are never chosen between; the order of tie-breakers counts only within one coverage
unit, where any choice leads to the same person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from rapidfuzz.distance import Indel

from mappings.identifiers import web_domain
from mappings.leads import Lead
from mappings.routing_policy import MatchPolicy, MatchWeights
from sync.identity.normalize import name_key

MAX_POSTINGS = 3000
"""A word that more accounts have says nothing by itself; it only counts together with the lead's other words."""

SHOWN = 5
"""Candidates kept with a decision: the best ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An account as leads are compared with it."""

    account_id: str
    name: str
    unit: str  # root of the coverage unit it is worked in, after a succession
    former_name: str | None = None
    state: str | None = None
    zip5: str | None = None
    phone: str | None = None
    domain: str | None = None
    ccn: str | None = None
    npi: str | None = None
    aliases: tuple[str, ...] = ()  # record ids and vendor ids
    open_opportunity: bool = False
    customer: bool = False
    last_activity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An account that a lead may be about, with what speaks for it."""

    account_id: str
    name: str
    unit: str
    score_bp: int
    parts: str  # what was compared
    strong: tuple[str, ...] = ()  # ids that agree: account, ccn, npi
    same_domain: bool = False
    same_zip5: bool = False
    open_opportunity: bool = False
    customer: bool = False
    last_activity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What the comparison came to."""

    account_id: str | None
    how: str  # account, ccn, npi, domain, score, ambiguous, none
    told: str


class Register:
    """The accounts, found by id, domain, place and words of the name. Row order does not matter."""

    def __init__(self, accounts: Iterable[Known]) -> None:
        self._accounts = sorted(accounts, key=lambda one: one.account_id)
        keys = name_key(pa.array([one.name for one in self._accounts], pa.string()))
        former = name_key(pa.array([one.former_name for one in self._accounts], pa.string()))
        self._names = list(zip(keys.to_pylist(), former.to_pylist(), strict=True))

    def candidates(self, lead: Lead, policy: MatchPolicy) -> tuple[Candidate, ...]:
        """The best accounts for a lead: strong ids first, then by score, then by id."""
        key = name_key(pa.array([lead.organisation or None], pa.string())).to_pylist()[0]
        domain = lead_domain(lead, policy)
        found = [self._candidate(place, lead, key, domain, policy) for place in sorted(self._near(lead, key, domain))]
        found.sort(key=lambda one: (not one.strong, not one.same_domain, -one.score_bp, one.account_id))
        strong = sum(bool(one.strong or one.same_domain) for one in found)
        return tuple(one for one in found[: max(SHOWN, strong)] if one.score_bp or one.strong or one.same_domain)

    def _near(self, lead: Lead, key: str | None, domain: str | None) -> set[int]:
        index = self._index
        found = {
            *index["id"].get(lead.account, ()),
            *index["id"].get(f"ccn:{lead.ccn}", ()),
            *index["id"].get(f"npi:{lead.npi}", ()),
            *index["domain"].get(domain or "", ()),
            *index["phone"].get(lead.phone, ()),
        }
        words = sorted(set((key or "").split()), key=lambda word: (len(index["word"].get(word, ())), word))
        postings = [index["word"][word] for word in words if word in index["word"]]
        for posting in postings:
            if len(posting) <= MAX_POSTINGS:
                found.update(posting)
        if postings and len(postings[0]) > MAX_POSTINGS:
            shared = set(postings[0]).intersection(*postings[1:])
            placed = {*index["zip5"].get(lead.zip5, ()), *index["state"].get(lead.state, ())}
            found |= (shared & placed) if placed else set(sorted(shared)[:MAX_POSTINGS])
        return found

    @cached_property
    def _index(self) -> Mapping[str, Mapping[str, list[int]]]:
        index: dict[str, dict[str, list[int]]] = {
            name: defaultdict(list) for name in ("id", "domain", "phone", "zip5", "state", "word")
        }
        for place, one in enumerate(self._accounts):
            numbers = [f"{kind}:{value}" for kind, value in (("ccn", one.ccn), ("npi", one.npi)) if value]
            for alias in (one.account_id, *one.aliases, *numbers):
                index["id"][alias].append(place)
            for name in ("domain", "phone", "zip5", "state"):
                value = getattr(one, name)
                if value:
                    index[name][value].append(place)
            for word in sorted({word for name in self._names[place] for word in (name or "").split()}):
                index["word"][word].append(place)
        return {name: dict(table) for name, table in index.items()}

    def _candidate(self, place: int, lead: Lead, key: str | None, domain: str | None, policy: MatchPolicy) -> Candidate:
        one = self._accounts[place]
        ids = (
            ("account", lead.account and lead.account in (one.account_id, *one.aliases)),
            ("ccn", lead.ccn and lead.ccn == one.ccn),
            ("npi", lead.npi and lead.npi == one.npi),
        )
        same_domain = bool(domain and domain == one.domain)
        similarity = max((_similarity(key, name) for name in self._names[place]), default=0)
        score, parts = score_bp(lead, one, similarity, same_domain, policy)
        return Candidate(
            account_id=one.account_id,
            name=one.name,
            unit=one.unit,
            score_bp=score,
            parts=parts,
            strong=tuple(name for name, agrees in ids if agrees),
            same_domain=same_domain,
            same_zip5=bool(lead.zip5 and lead.zip5 == one.zip5),
            open_opportunity=one.open_opportunity,
            customer=one.customer,
            last_activity=one.last_activity,
        )


def lead_domain(lead: Lead, policy: MatchPolicy) -> str | None:
    """The organisation's domain: of the website, else of the mail address unless everybody can have one there."""
    domain = web_domain(lead.website) or web_domain(lead.email.rpartition("@")[2])
    return domain if domain and domain not in policy.free_mail else None


def score_bp(lead: Lead, one: Known, name_bp: int, same_domain: bool, policy: MatchPolicy) -> tuple[int, str]:
    """How well an account fits, 0 to 10,000, and the parts it is made of."""
    weights: MatchWeights = policy.weights
    parts = [("name", weights.name, name_bp)] if lead.organisation else []
    if lead.zip5 and one.zip5:
        parts.append(("zip5", weights.zip5, _same(lead.zip5, one.zip5)))
    elif lead.state and one.state:
        parts.append(("state", weights.state, _same(lead.state, one.state)))
    if lead.phone and one.phone:
        parts.append(("phone", weights.phone, _same(lead.phone, one.phone)))
    if same_domain:
        parts.append(("domain", weights.domain, 10_000))
    total = sum(weight for _, weight, _ in parts)
    score = sum(weight * value for _, weight, value in parts) // total if total else 0
    if [name for name, _, _ in parts] == ["name"]:
        score = min(score, policy.name_only_max_bp)
    return score, ", ".join(f"{name} {value / 10_000:.2f}" for name, _, value in parts)


def choose(candidates: Sequence[Candidate], policy: MatchPolicy) -> Match:
    """The account a lead is about, or that none is near enough, or that two are."""
    strong = [one for one in candidates if one.strong]
    if strong:
        how = strong[0].strong[0]
        return _within(strong, how, f"{how} agrees", policy)
    of_domain = [one for one in candidates if one.same_domain]
    if of_domain and len({one.unit for one in of_domain}) == 1:
        only = "no other organisation has the domain" if len(of_domain) == 1 else "all of one unit have the domain"
        return _within(of_domain, "domain", only, policy)
    best = max((one.score_bp for one in candidates), default=0)
    if best < policy.min_score_bp:
        return Match(account_id=None, how="none", told=f"best score {_shown(best)} < {_shown(policy.min_score_bp)}")
    close = [one for one in candidates if best - one.score_bp < policy.min_margin_bp]
    return _within(close, "score", f"score {_shown(best)}", policy)


def _within(found: Sequence[Candidate], how: str, told: str, policy: MatchPolicy) -> Match:
    """The first by the tie-breakers, where all lead to one unit; else nothing is guessed."""
    if len({one.unit for one in found}) > 1:
        listed = ", ".join(f"{one.name} {_shown(one.score_bp)} ({one.account_id})" for one in found[:SHOWN])
        by_score = sorted((one.score_bp for one in found), reverse=True)
        margin = f", margin {_shown(by_score[0] - by_score[1])}" if how == "score" else ""
        return Match(account_id=None, how="ambiguous", told=f"{how} fits several organisations: {listed}{margin}")
    first = min(found, key=lambda one: (-one.score_bp, *(_tie(one, name) for name in policy.tie_breakers)))
    return Match(account_id=first.account_id, how=how, told=f"{told}: {first.name}; {first.parts or 'id'}")


def _tie(one: Candidate, name: str) -> tuple[object, ...]:
    """Lower is better."""
    if name == "most_recent_activity":
        day = (one.last_activity or "").replace("-", "")
        return (-int(day[:8]) if day[:8].isdigit() else 0,)
    if name == "lowest_org_id":
        return (one.account_id,)
    return (not getattr(one, name),)


def _similarity(key: str | None, name: str | None) -> int:
    """Words in any order, then characters: whole basis points of the longer pair."""
    if not key or not name:
        return 0
    a, b = " ".join(sorted(key.split())), " ".join(sorted(name.split()))
    longest = len(a) + len(b)
    return (longest - Indel.distance(a, b)) * 10_000 // longest


def _same(a: str, b: str) -> int:
    return 10_000 if a == b else 0


def _shown(points: int) -> str:
    return f"{points / 10_000:.2f}"
