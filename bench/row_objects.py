"""The other peer: the same decisions with one object per row, as such a job is usually written first.

Firms and records become pydantic models, the joins dictionaries, the rules `if`s. Same changes as the core.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from bench.peer_rules import FIELDS, LEGAL, NON_CON, SHARED, STATUS_T1_HINTS, WORDS

_CRM_FIRST = ("salesforce", "hubspot", "definitive")
_FEED_FIRST = ("definitive", "salesforce", "hubspot")
KEYS = ("definitive_id", "npi", "ccn", "domain", "name_zip")
Change = tuple[str, str, str, str | None, str | None]


class Row(BaseModel):
    """A firm or a record; columns that only one of them has are extra."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    zip5: str | None = None
    phone: str | None = None
    domain: str | None = None
    ccn: str | None = None
    npi: str | None = None
    definitive_id: str | None = None


@dataclass(slots=True)
class Party:
    """A row with its keys."""

    source: str
    source_id: str
    row: Row
    keys: dict[str, str] = field(default_factory=dict)
    name: str = ""
    street: str = ""


@dataclass(slots=True)
class Account:
    """An organisation with its members and everything decided about it."""

    account_id: str
    parties: list[Party]
    firm: Row | None = None
    golden: dict[str, tuple[Any, str]] = field(default_factory=dict)
    parent: Account | None = None
    conflict: bool = False
    depth: int = 0
    children: int = 0
    owner: str | None = None


def run(made: Mapping[str, pl.DataFrame]) -> set[Change]:
    """Changes: connection, record_id, field, crm, desired."""
    firms = {row["firm_id"]: Row(**row, definitive_id=row["firm_id"]) for row in made["firms"].iter_rows(named=True)}
    records = {(row["connection"], row["record_id"]): Row(**row) for row in made["records"].iter_rows(named=True)}
    parties = [_party("definitive", firm_id, row) for firm_id, row in firms.items()]
    parties += [_party(connection, record_id, row) for (connection, record_id), row in records.items()]
    accounts = _link(parties)
    of_vendor = _golden(accounts)
    _parents(firms, of_vendor)
    tiers, roots = _tiers(accounts), _members(accounts)
    _owners(roots, made["users"])
    before = {row["firm_id"]: row for row in made["previous_firms"].iter_rows(named=True)}
    return _differences(accounts, roots, tiers, before, made)


def _words(text: str | None) -> str:
    plain = "".join(ch if ch.isalnum() else " " for ch in (text or "").replace("'", "").replace(".", "").lower())
    return " ".join(WORDS.get(word, word) for word in plain.split() if word not in LEGAL)


def _party(source: str, source_id: str, row: Row) -> Party:
    party = Party(source=source, source_id=source_id, row=row, name=_words(row.name), street=_words(row.street))
    place = row.zip5 or (f"{_words(row.city)}|{row.state}" if row.city and row.state else None)
    found = {
        "definitive_id": row.definitive_id,
        "npi": row.npi,
        "ccn": row.ccn,
        "domain": row.domain,
        "name_zip": f"{party.name}|{place}" if party.name and place else None,
    }
    party.keys = {key: value for key, value in found.items() if value}
    return party


def _link(parties: list[Party]) -> list[Account]:
    clusters: dict[int, list[Party]] = {}
    home: dict[int, int] = {}
    for party in parties:
        if party.source == "definitive":
            home[id(party)] = id(party)
            clusters[id(party)] = [party]
    for source in ("salesforce", "hubspot"):
        incoming = [party for party in parties if party.source == source]
        taken: set[int] = set()
        held: dict[tuple[str, str], set[int]] = defaultdict(set)
        for cluster, members in clusters.items():
            for member in members:
                for item in member.keys.items():
                    held[item].add(cluster)
        holders = Counter(item for party in incoming for item in party.keys.items())
        for party in incoming:
            target = _target(party, clusters, held, holders, taken)
            if target is None:
                clusters[id(party)] = [party]
            else:
                clusters[target].append(party)
                taken.add(target)
    return [Account(account_id=_account_id(members), parties=members) for members in clusters.values()]


def _target(
    party: Party,
    clusters: dict[int, list[Party]],
    held: dict[tuple[str, str], set[int]],
    holders: Counter[tuple[str, str]],
    taken: set[int],
) -> int | None:
    for key in KEYS:
        item = (key, party.keys.get(key, ""))
        found = held.get(item, set())
        if holders[item] != 1 or len(found) != 1:
            continue
        [cluster] = found
        if cluster not in taken and any(_agree(party, other, key) for other in clusters[cluster]):
            return cluster
    return None


def _agree(party: Party, other: Party, key: str) -> bool:
    mine, theirs = party.row, other.row
    if mine.state and theirs.state and mine.state != theirs.state:
        return False
    if key == "name_zip":
        return party.name == other.name
    if key == "domain":
        return party.name == other.name and (mine.city == theirs.city or mine.zip5 == theirs.zip5)
    return party.name == other.name or party.street == other.street or mine.phone == theirs.phone


def _account_id(members: list[Party]) -> str:
    order = {"salesforce": 0, "hubspot": 1, "definitive": 2}
    first = min(members, key=lambda party: (order[party.source], party.source_id))
    return f"{first.source}|{first.source_id}"


def _golden(accounts: list[Account]) -> dict[str, Account]:
    """Fills golden fields; gives accounts by vendor id."""
    crm_first, of_vendor = {"name", "phone", "domain", "employees", "annual_revenue_cents"}, {}
    for account in accounts:
        by_source = {party.source: party for party in account.parties}
        for name in SHARED:
            order = (
                ("salesforce", "hubspot", "definitive")
                if name in crm_first
                else ("definitive", "salesforce", "hubspot")
            )
            for source in order:
                value = getattr(by_source[source].row, name, None) if source in by_source else None
                if value is not None:
                    account.golden[name] = (value, f"{source}:{by_source[source].source_id}")
                    break
        if "definitive" in by_source:
            account.firm = by_source["definitive"].row
            of_vendor[by_source["definitive"].source_id] = account
    return of_vendor


def _parents(firms: dict[str, Row], of_vendor: dict[str, Account]) -> None:
    stated: dict[str, set[str]] = defaultdict(set)
    for firm_id, row in firms.items():
        idn, above = row.idn_id, row.idn_parent_id  # type: ignore[attr-defined] # extra columns of the model
        if idn and idn != firm_id:
            stated[firm_id].add(idn)
        if idn and above and above != idn:
            stated[idn].add(above)
    for child, parents in stated.items():
        if len(parents) == 1 and child in of_vendor:
            of_vendor[child].parent = of_vendor.get(next(iter(parents)))
        elif child in of_vendor:
            of_vendor[child].conflict = True


def _root(account: Account) -> Account:
    while account.parent is not None:
        account = account.parent
    return account


def _members(accounts: list[Account]) -> dict[str, list[Account]]:
    found: dict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        found[_root(account).account_id].append(account)
    return found


def _kind(account: Account) -> str | None:
    firm = account.firm
    text = f"{getattr(firm, 'firm_type', '')} {getattr(firm, 'hospital_type', '') or ''}".lower()
    if "idn" in text or "health system" in text:
        return "SYSTEM"
    if "home health" in text or "hospice" in text or "nursing" in text:
        return "POST_ACUTE"
    return "HOSPITAL" if "hospital" in text else None


def _tiers(accounts: list[Account]) -> dict[str, tuple[str | None, str | None, str]]:
    """Tier, status and queue by the root's account id."""
    return {root: _tier(root, members) for root, members in _members(accounts).items()}


def _tier(root: str, members: list[Account]) -> tuple[str | None, str | None, str]:
    hospitals = [account.firm for account in members if _kind(account) == "HOSPITAL" and account.firm is not None]
    own = next((_kind(account) for account in members if account.account_id == root), None)
    values = [row.model_dump() for row in hospitals]
    valid = [r for r in values if 9800 <= r["medicare_days_bp"] + r["medicaid_days_bp"] + r["other_days_bp"] <= 10200]
    revenue = sum(r["net_patient_revenue_cents"] for r in values)
    line = sum(r["net_patient_revenue_cents"] * r["oncology_share_bp"] for r in values)
    count = len(values)
    alone = count == 1 or own == "POST_ACUTE"
    state = next((account.golden.get("state", ("", ""))[0] for account in members if account.account_id == root), "")
    weight = sum(r["net_patient_revenue_cents"] * r["other_days_bp"] for r in valid)
    low = len(valid) == count and revenue and (weight * 2 + revenue) // (revenue * 2) < 5000
    free = [r["net_patient_revenue_cents"] * r["oncology_share_bp"] for r in values if r["state"] in NON_CON]
    earned, free_earned = line // 10_000, sum(free) // 10_000
    five: dict[str, bool | None] = {
        "idn": True if count >= 6 else None if count >= 2 else False if alone else None,
        "strong": False if count and revenue and line < revenue * 1500 else None,
        "commercial": False if low else None,
        "free": (free_earned * 20000 + earned) // (earned * 2) >= 5000 if earned else state in NON_CON,
        "no_gpo": None,
    }
    icp = True if count >= 2 else False if alone else None
    moderate = line >= revenue * 1500 if count and revenue else None
    t1 = _all(five.values())
    t2 = _all([icp, moderate, _at_least(3, five.values())])
    t3 = _all([icp, _at_least(2, five.values())])
    queue = "INSIDE_SALES" if own == "POST_ACUTE" and not count else "FIELD"
    if not (five["idn"] is not None or moderate is not None or len(valid) == count > 0 or count >= 2):
        return None, None, queue
    tier = "T1" if t1 else "T2" if t2 else "T3" if t3 else "UNTIERED"
    queue = {"T1": "STRATEGIC", "T2": "ENTERPRISE"}.get(tier, queue)
    return tier, _status((t1, t2, t3), five, icp), queue


def _status(tiers: tuple[bool | None, ...], five: dict[str, bool | None], icp: bool | None) -> str:
    if tiers[0] is None:
        return "PROVISIONAL: T1 if " + " and ".join(STATUS_T1_HINTS[n] for n, value in five.items() if value is None)
    facts = {
        "commercial_bp": five["commercial"] is None,
        "gpo_covered": True,
        "non_con_bp": five["free"] is None,
        "oncology_strength": five["strong"] is None,
        "org_type": five["idn"] is None or icp is None,
        "providers": icp is None,
    }
    for name, value in zip(("T1", "T2", "T3"), tiers, strict=True):
        if value:
            return "CONFIRMED"
        if value is None:
            return f"PROVISIONAL: {name} depends on " + ", ".join(fact for fact, is_open in facts.items() if is_open)
    return "CONFIRMED"


def _all(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _at_least(count: int, values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    if found.count(True) >= count:
        return True
    return False if found.count(True) + found.count(None) < count else None


def _owners(roots: dict[str, list[Account]], users: pl.DataFrame) -> None:
    email = {(u["connection"], u["user_id"]): u["email"] for u in users.iter_rows(named=True) if u["is_active"]}
    for root, members in roots.items():
        books: Counter[str] = Counter()
        own = None
        for account in members:
            for party in sorted(account.parties, key=lambda p: p.source, reverse=True):
                person = email.get((party.source, getattr(party.row, "owner", None) or ""))
                if person:
                    books[person] += 1
                    own = own or (person if account.account_id == root else None)
        chosen = own or min(books, key=lambda person: (-books[person], person), default=None)
        for account in members:
            account.owner = chosen


def _differences(
    accounts: list[Account],
    roots: dict[str, list[Account]],
    tiers: dict[str, tuple[str | None, str | None, str]],
    before: dict[str, dict[str, Any]],
    made: Mapping[str, pl.DataFrame],
) -> set[Change]:
    native = {(u["connection"], u["email"]): u["user_id"] for u in made["users"].iter_rows(named=True)}
    agreed = {(row["connection"], row["record_id"]): row for row in made["agreed"].iter_rows(named=True)}
    changes: set[Change] = set()
    for account in accounts:
        root = _root(account)
        name = root.golden["name"][0] if len(roots[root.account_id]) > 1 else None
        tier, status, queue = tiers[root.account_id]
        reason = _moved(account, before)
        for party in account.parties:
            if party.source == "definitive":
                continue
            parent, above = None, account.parent
            while above is not None and parent is None:
                parent = next((p.source_id for p in above.parties if p.source == party.source), None)
                above = above.parent
            owner = native.get((party.source, account.owner or ""))
            wanted = {
                "parent": parent,
                "health_system": name,
                "owner": owner,
                "owner_role": "PRIMARY" if owner else None,
                "territory": None,
                "routing_queue": queue,
                "account_tier": tier,
                "tier_status": status,
                "rescore_flag": "true" if reason else None,
                "rescore_reason": reason,
            }
            base = agreed.get((party.source, party.source_id), {})
            clears = account.parent is None and not account.conflict
            changes |= _changed(party, wanted, base, clears)
    return changes


def _moved(account: Account, before: dict[str, dict[str, Any]]) -> str | None:
    if account.firm is None:
        return None
    now = account.firm.model_dump()
    was = before.get(now["firm_id"])
    if was is None or now["idn_parent_id"] is None or now["idn_parent_id"] == was["idn_parent_id"]:
        return None
    joined = was["idn_parent_id"] in (None, now["firm_id"])
    to = now["idn_parent_name"]
    words = f"Joined {to}" if joined else f"Moved from {was['idn_parent_name']} to {to}"
    return f"Ownership change: {words} (as of {now['as_of']})"


def _changed(party: Party, wanted: dict[str, str | None], base: Mapping[str, Any], clears: bool) -> set[Change]:
    found: set[Change] = set()
    for name in FIELDS:
        value, crm = wanted[name], getattr(party.row, name, None)
        if value is None and not (clears and name == "parent"):
            continue
        if value != crm or (value is not None and base.get(f"{name}__kind") is None):
            found.add((party.source, party.source_id, name, crm, value))
    return found
