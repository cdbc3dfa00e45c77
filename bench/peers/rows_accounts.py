"""Golden accounts and their tree with an object per row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from bench.peers.rows_links import FIRM, HUBSPOT, SALESFORCE, Cluster, Link, Party
from bench.peers.rules import AS_OF, COMPARED, CRM_FIRST, FIRM_OWN, SHARED, TTL_DAYS


@dataclass(slots=True, frozen=True)
class Sourced:
    """A value and the row it is from."""

    value: Any
    source: str


@dataclass(slots=True)
class Account:
    """An organisation with its members and everything decided about it."""

    account_id: str
    links: list[Link]
    golden: dict[str, Sourced] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)  # fields that only vendors have
    firm: Party | None = None
    firm_ref: str | None = None
    parent: Account | None = None
    parent_ref: str | None = None
    conflict: str | None = None
    children: list[Account] = field(default_factory=list)
    root: Account | None = None
    depth: int = 0
    path: str = ""

    def get(self, name: str) -> Any:
        """The golden value, None where nothing is known."""
        found = self.golden.get(name)
        return None if found is None else found.value

    @property
    def system(self) -> Account:
        """The root of its tree; itself where it stands alone."""
        return self.root or self


def ref(party: Party) -> str:
    """The place of a row: feed, file and row, or connection and record."""
    if party.source == FIRM:
        extra = party.row.model_extra or {}
        return f"{party.source}:{extra['file']}:row {extra['row']}"
    return f"{party.source}:{party.source_id}"


def golden(clusters: Iterable[Cluster]) -> tuple[list[Account], Counter[str]]:
    """Accounts with each field from its best source; and how often sources differ, per field."""
    oldest = {name: (date.fromisoformat(AS_OF) - timedelta(days=days)).isoformat() for name, days in TTL_DAYS.items()}
    doubts: Counter[str] = Counter()
    accounts = []
    for cluster in clusters:
        account = Account(account_id=cluster.account_id(), links=cluster.links)
        parties = {link.party.source: link.party for link in cluster.links}
        for name in SHARED:
            chosen = _choose(name, parties, oldest)
            if chosen is not None:
                account.golden[name] = chosen
        doubts.update(name for name in COMPARED if _differ(name, parties))
        if FIRM in parties:
            account.firm = parties[FIRM]
            account.firm_ref = ref(account.firm)
            account.own = {name: getattr(account.firm.row, name) for name in FIRM_OWN}
        accounts.append(account)
    return accounts, doubts


def _order(name: str) -> tuple[str, ...]:
    return (SALESFORCE, HUBSPOT, FIRM) if name in CRM_FIRST else (FIRM, SALESFORCE, HUBSPOT)


def _choose(name: str, parties: Mapping[str, Party], oldest: Mapping[str, str]) -> Sourced | None:
    """Fresh values in order of trust, then the expired ones."""
    expired = None
    for source in _order(name):
        party = parties.get(source)
        value = None if party is None else getattr(party.row, name, None)
        if party is None or value is None:
            continue
        if name in oldest and (_dated(party) or AS_OF) < oldest[name]:
            expired = expired or Sourced(value, ref(party))
            continue
        return Sourced(value, ref(party))
    return expired


def _dated(party: Party) -> str | None:
    extra = party.row.model_extra or {}
    if party.source == FIRM:
        return extra["updated_on"] or extra["as_of"]  # type: ignore[no-any-return] # extra columns of the model
    return (extra["modified_at"] or "")[:10] or None


def _differ(name: str, parties: Mapping[str, Party]) -> bool:
    values = [value for party in parties.values() if (value := getattr(party.row, name, None)) is not None]
    if len(values) < 2:
        return False
    low, high = min(values), max(values)
    if name in ("employees", "annual_revenue_cents"):
        return bool((high - low) * 10_000 > high * 2500)
    return bool(low != high)


def grow(accounts: Iterable[Account]) -> None:
    """Parents, roots, depths and paths from the vendor's two columns. Two stated parents control nothing."""
    of_vendor = {account.firm.source_id: account for account in accounts if account.firm is not None}
    for child, parents in _stated(of_vendor.values()).items():
        account = of_vendor.get(child)
        above = [(of_vendor[parent], told) for parent, told in parents.items() if parent in of_vendor]
        if account is None or not above:
            continue
        if len(above) > 1:
            account.conflict = "NO_CONTROL"
        else:
            account.parent, account.parent_ref = above[0]
            account.parent.children.append(account)
    waiting = [account for account in of_vendor.values() if account.parent is None]
    for account in waiting:
        account.root, account.path = account, account.account_id
    while waiting:
        account = waiting.pop()
        for child_ in account.children:
            child_.root, child_.depth = account.root, account.depth + 1
            child_.path = f"{account.path}/{child_.account_id}"
            waiting.append(child_)


def _stated(accounts: Iterable[Account]) -> dict[str, dict[str, str]]:
    """Per vendor id the parents that rows name, each with the first row that does."""
    stated: dict[str, dict[str, str]] = defaultdict(dict)
    for account in accounts:
        for child, parent in _pairs(account):
            if child and parent and child != parent:
                told = account.firm_ref or ""
                before = stated[child].get(parent)
                stated[child][parent] = told if before is None else min(before, told)
    return stated


def _pairs(account: Account) -> Iterator[tuple[str | None, str | None]]:
    assert account.firm is not None
    extra = account.firm.row.model_extra or {}
    idn, above = extra["idn_id"], extra["idn_parent_id"]
    yield account.firm.source_id, idn or above
    yield idn, above


def members(accounts: Iterable[Account]) -> dict[str, list[Account]]:
    """Accounts by the account id of their system."""
    found: dict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        found[account.system.account_id].append(account)
    return found
