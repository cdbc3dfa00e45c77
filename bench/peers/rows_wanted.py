"""What every record should say, with an object per value: owners, moves, wanted values with their evidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peers.rows_accounts import Account
from bench.peers.rows_links import FIRM, Party
from bench.peers.rows_tiers import Bounds, Facts, Verdict

Key = tuple[str, str]


@dataclass(slots=True)
class Move:
    """A firm under another system than in the delivery before."""

    old_system: str | None
    reason: str
    ref: str


@dataclass(slots=True)
class Owner:
    """Who owns a system, and why."""

    email: str | None
    rule: str | None
    because: str


@dataclass(slots=True)
class Wanted:
    """What one field of one record should say, by which rule and facts."""

    kind: str
    value: str | None
    rule: str | None
    evidence: str


@dataclass(slots=True)
class Found:
    """Everything decided about accounts."""

    systems: Mapping[str, list[Account]]
    verdicts: Mapping[str, Verdict]
    facts: Mapping[str, Facts]
    owners: Mapping[str, Owner]
    scores: Mapping[str, Mapping[str, Any]]
    moves: Mapping[str, Move]
    users: Sequence[Mapping[str, Any]]


def moves(accounts: Iterable[Account], before: Mapping[str, Mapping[str, Any]]) -> dict[str, Move]:
    """Moves by account id."""
    found = {}
    listed = list(accounts)
    present = {one.firm.source_id: one.firm.row.model_extra or {} for one in listed if one.firm is not None}
    for account in listed:
        if account.firm is None or account.firm.source_id not in before:
            continue
        now, was = account.firm.row.model_extra or {}, before[account.firm.source_id]
        root, name = _top(now, present)
        old, old_name = _top(was, before)
        if root is None or root == old:
            continue
        alone = old in (None, account.firm.source_id)
        words = f"Joined {name}" if alone else f"Moved from {old_name} to {name}"
        reason = f"Ownership change: {words} (as of {now['as_of']})"
        found[account.account_id] = Move(None if alone else old_name, reason, account.firm_ref or "")
    return found


def _top(row: Mapping[str, Any], firms: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Id and name of the system of a firm's own row, climbed by the systems' own rows to the top."""
    root, name = row["idn_parent_id"] or row["idn_id"], row["idn_parent_name"] or row["idn_name"]
    seen: set[str] = set()
    while root in firms and root not in seen:
        seen.add(root)
        own = firms[root]
        nearest = ("idn_id", "idn_name") if own["idn_id"] != root else ("idn_parent_id", "idn_parent_name")
        if not own[nearest[0]] or own[nearest[0]] == root:
            break
        root, name = own[nearest[0]], own[nearest[1]]
    return root, name


def owners(systems: Mapping[str, list[Account]], users: Iterable[Mapping[str, Any]]) -> dict[str, Owner]:
    """The owner of each system: of the root's record, else of most records. Salesforce comes first."""
    email = {(user["connection"], user["user_id"]): user["email"] for user in users if user["is_active"]}
    found = {}
    for root, listed in systems.items():
        books: Counter[str] = Counter()
        at_root: list[tuple[str, Party]] = []
        for account in listed:
            for party in records_of(account):
                person = email.get((party.source, getattr(party.row, "owner", None) or ""))
                if person is not None:
                    books[person] += 1
                    if account.account_id == root:
                        at_root.append((person, party))
        found[root] = _owner(books, at_root)
    return found


def _owner(books: Counter[str], at_root: list[tuple[str, Party]]) -> Owner:
    if at_root:
        person, party = min(at_root, key=lambda one: (one[1].source != "salesforce", one[1].source, one[1].source_id))
        because = f"owns {party.source}:{party.source_id}, the unit's own record"
        return Owner(person, "root_owner", because)
    if not books:
        return Owner(None, None, "no step of the policy names an active person")
    person = min(books, key=lambda person: (-books[person], person))
    return Owner(person, "majority_owner", f"owns most records of the unit: {books[person]}")


def records_of(account: Account) -> Iterator[Party]:
    return (link.party for link in account.links if link.party.source != FIRM)


def owner_evidence(account: Account, owner: Owner) -> str:
    """The owner's evidence as JSON."""
    told = {"unit": account.system.get("name") or "", "owner": owner.email or owner.because}
    if owner.email is not None:
        told["because"] = owner.because
    return _json(told)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# --- wanted values ----------------------------------------------------------------------------------------------------


def wanted(account: Account, party: Party, found: Found, native: Mapping[Key, str]) -> dict[str, Wanted]:
    """What a record should say, field by field."""
    root = account.system.account_id
    verdict, owner, move = found.verdicts[root], found.owners[root], found.moves.get(account.account_id)
    user = native.get((party.source, owner.email or ""))
    told = owner_evidence(account, owner)
    if owner.email is not None and user is None:
        told = _json({"owner": owner.email, "note": "has no active user in this CRM"})
    member_of = account.system.get("name") if len(found.systems[root]) > 1 else None
    by_territory = f"territory.{owner.rule or 'none'}"
    queue, queue_rule = _queue(verdict, found.facts[root].known["org_type"])
    tier = verdict.tier if verdict.is_known else None
    status = verdict.status if verdict.is_known else None
    flag = _json({"events": "1" if move else "", "from": move.ref if move else ""})
    role = "PRIMARY" if user else None
    roles = _json({"tier": verdict.tier, "owner_role": "PRIMARY" if owner.email else ""})
    source = _json({"system": member_of or "", "from": account.parent_ref or ""})
    return {
        "parent": _parent(account, party, found),
        "health_system": _known(member_of, "hierarchy.system", source),
        "owner": _known(user, by_territory, told),
        "owner_role": _known(role, by_territory, told),
        "territory": _known(None, "territory.state", _json({"state": account.get("state") or ""})),
        "routing_queue": _known(queue, f"routing.{queue_rule}", roles),
        "account_tier": _known(tier, f"tiers.{verdict.tier}", verdict.evidence),
        "tier_status": _known(status, f"tiers.{verdict.tier}", verdict.evidence),
        "score": _score(found.scores[root]),
        "rescore_flag": _known("true" if move else None, "triggers.ownership_change", flag),
        "rescore_reason": _known(move.reason if move else None, "triggers.ownership_change", flag),
    }


def _known(value: str | None, rule: str, evidence: str) -> Wanted:
    return Wanted("abstain" if value is None else "value", value, rule, evidence)


def _score(known: Mapping[str, Any]) -> Wanted:
    """Whole points, where enough is known."""
    tenths, band = known["score_tenths"], known["band"]
    told = {
        "score": f"{tenths // 10}.{tenths % 10}",
        "band": band,
        "known": f"{known['coverage_bp'] // 100} % of the weight",
    }
    points = None if band == "INSUFFICIENT" else str((tenths + 5) // 10)
    return _known(points, f"scores.{band}", _json(told))


def _queue(verdict: Verdict, org: Bounds) -> tuple[str, str]:
    if verdict.tier == "T1":
        return "STRATEGIC", "tier-1"
    if verdict.tier == "T2":
        return "ENTERPRISE", "tier-2"
    inside = org.low in ("POST_ACUTE", "ASC") and org.high in ("POST_ACUTE", "ASC")
    return ("INSIDE_SALES", "inside-sales") if inside else ("FIELD", "default")


def _parent(account: Account, party: Party, found: Found) -> Wanted:
    above, listed = account.parent, []
    while above is not None and not listed:
        listed = [one.source_id for one in records_of(above) if one.source == party.source]
        above = above.parent
    native = listed[0] if len(listed) == 1 else None
    note = ""
    if account.conflict:
        note = "no parent controls it"
    elif account.parent is None:
        note = "no parent is known"
    elif len(listed) > 1:
        note = "its parent has several records in this CRM"
    elif native == party.source_id:
        note = "it would be its own parent"
    elif native is None:
        note = "no organisation above it has a record in this CRM"
    basis = "root" if account.parent is None else "site_of"
    name = account.parent.get("name") if account.parent is not None else None
    evidence = _json({"parent": name or "", "basis": basis, "from": account.parent_ref or "", "note": note})
    clears = account.parent is None and account.conflict is None and _is_named_root(account)
    kind = "clear" if clears else "value" if not note else "abstain"
    return Wanted(kind, native if kind == "value" else None, f"hierarchy.{basis}", evidence)


def _is_named_root(account: Account) -> bool:
    if account.firm is None:
        return False
    extra, own = account.firm.row.model_extra or {}, account.firm.source_id
    return extra["idn_id"] == own and (extra["idn_parent_id"] or extra["idn_id"]) == own
