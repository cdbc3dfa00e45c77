"""The plan with an object per field that differs: three sides, groups, order, guards, digest."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import polars as pl

from bench.peers.rows_accounts import Account
from bench.peers.rows_links import Party
from bench.peers.rows_wanted import Found, Key, Wanted, records_of, wanted
from bench.peers.rules import ACTIONS, CAUTION, FIELDS, FOLLOWERS, GROUPS, SEVERITY, STATES, TIER_ORDER, Guard, limit

WRITABLE = ("review", "approve", "auto")


@dataclass(slots=True)
class Change:
    """One field that differs, in the columns of CHANGES."""

    item_id: str | None
    connection: str
    record_id: str
    account_id: str
    account_name: str | None
    group: str
    field: str
    base_kind: str
    base: str | None
    crm_kind: str
    crm: str | None
    desired_kind: str
    desired: str | None
    state: str
    action: str
    rule_id: str | None
    evidence: str
    reason: str | None
    actor_kind: str
    actor: str | None
    changed_at: str | None


@dataclass(slots=True)
class Item:
    """One record and group, in the columns of ITEMS."""

    item_id: str
    fingerprint: str
    connection: str
    record_id: str
    account_id: str
    account_name: str | None
    group: str
    fields: str
    state: str
    action: str
    lane: str
    depth: int
    sequence: int
    caused_by: str | None
    reason: str | None


# --- differences ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """What the CRMs and the agreement say, and what a write must heed."""

    agreed: Mapping[Key, Mapping[str, Any]]
    parties: Mapping[Key, Party]
    active: Mapping[Key, bool]
    teams: Counter[Key]


def changes(found: Found, seen: Seen) -> list[Change]:
    """Every field that is neither settled nor abstained from."""
    native: dict[Key, str] = {}
    for user in found.users:
        if user["is_active"]:
            key = (user["connection"], user["email"])
            native[key] = min(native.get(key, user["user_id"]), user["user_id"])
    made = []
    for listed in found.systems.values():
        for account in listed:
            for party in records_of(account):
                base = seen.agreed.get((party.source, party.source_id), {})
                for name, want in wanted(account, party, found, native).items():
                    change = _change(account, party, name, want, base)
                    if change is not None:
                        made.append(_checked(change, seen))
    return made


def _change(account: Account, party: Party, name: str, want: Wanted, base: Mapping[str, Any]) -> Change | None:
    crm, agreed = getattr(party.row, name, None) or None, base.get(name) or None
    base_kind = base.get(f"{name}__kind") or "nobase"
    state = _state(want, crm, base_kind, agreed)
    if state is None:
        return None
    group = GROUPS[name]
    action = dict(zip(STATES, ACTIONS[group], strict=True)).get(state, "agree")
    if want.kind == "clear" and action == "auto" and group in ("hierarchy", "system"):
        action = "review"
    extra = party.row.model_extra or {}
    return Change(
        item_id=None,
        connection=party.source,
        record_id=party.source_id,
        account_id=account.account_id,
        account_name=account.get("name"),
        group=group,
        field=name,
        base_kind=base_kind,
        base=agreed if base_kind == "value" else None,
        crm_kind="empty" if crm is None else "value",
        crm=crm,
        desired_kind=want.kind,
        desired=want.value,
        state=state,
        action=action,
        rule_id=want.rule,
        evidence=want.evidence,
        reason=None,
        actor_kind="unknown",
        actor=extra["modified_by"] if crm else None,
        changed_at=extra["modified_at"] if crm else None,
    )


def _state(want: Wanted, crm: str | None, base_kind: str, base: str | None) -> str | None:
    agreed = base_kind in ("value", "empty")
    if want.kind == "abstain":
        return "released" if agreed and crm != base else None
    same = want.value == crm
    if same:
        return "baseline" if not agreed else None if crm == base else "converged"
    if want.kind == "clear" and agreed and crm == base:
        return "clear"
    if not agreed:
        return "fill" if base_kind == "nobase" and crm is None else "takeover"
    if crm == base:
        return "update"
    return "drift" if want.value == base else "conflict"


def _checked(change: Change, seen: Seen) -> Change:
    """A change that the CRM would refuse is blocked, with the reason."""
    if change.action == "agree":
        return change
    reason = None
    if change.field == "owner" and change.desired_kind == "value":
        active = seen.active.get((change.connection, change.desired or ""))
        team = seen.teams[change.connection, change.record_id]
        if active is None:
            reason = "the proposed owner is not a user of this CRM; check the roster"
        elif not active:
            reason = "the proposed owner is inactive in this CRM; name a successor"
        elif team:
            people = f"{team} member" if team == 1 else f"{team} members"
            reason = f"account team has {people}; an owner change by REST would drop it"
    elif change.field == "parent" and change.desired_kind == "value" and _target(change) not in seen.parties:
        reason = "the proposed parent is not a live account of this CRM; pull again"
    if reason is not None:
        change.reason, change.state, change.action = reason, "invalid", "blocked"
    return change


def _target(change: Change) -> Key:
    return change.connection, change.desired or ""


# --- items ------------------------------------------------------------------------------------------------------------


def items(rows: Iterable[Change], depths: Mapping[str, int], seen: Seen) -> list[Item]:
    """One per record and group that needs a write or a decision, in order; gives the changes their ids."""
    grouped: dict[tuple[str, str, str], list[Change]] = defaultdict(list)
    for row in rows:
        grouped[row.connection, row.record_id, row.group].append(row)
    made = [item for listed in grouped.values() if (item := _item(listed, depths)) is not None]
    _put_in_order(made, rows, seen)
    return sorted(made, key=lambda item: item.sequence)


def _item(rows: list[Change], depths: Mapping[str, int]) -> Item | None:
    listed = sorted((row for row in rows if row.action != "agree"), key=lambda row: FIELDS.index(row.field))
    if not listed:
        return None
    first = listed[0]
    head = "".join(_prefixed(part) for part in (first.connection, "account", first.record_id))
    body = "".join(_prefixed(part) for row in listed for part in _sides(row))
    fingerprint = hashlib.sha256((head + body).encode()).hexdigest()
    action = CAUTION[min(CAUTION.index(row.action) for row in listed)]
    adopts = any(row.action == "agree" and row.state in ("takeover", "drift", "conflict") for row in rows)
    if adopts and action in ("approve", "auto"):
        action = "review"
    severity = ("invalid", *SEVERITY)
    told = min(
        ((CAUTION.index(row.action), FIELDS.index(row.field), row.reason) for row in listed if row.reason),
        default=(0, 0, None),
    )
    for row in listed:
        row.item_id = fingerprint[:16]
    return Item(
        item_id=fingerprint[:16],
        fingerprint=fingerprint,
        connection=first.connection,
        record_id=first.record_id,
        account_id=first.account_id,
        account_name=first.account_name,
        group=first.group,
        fields=",".join(row.field for row in listed),
        state=severity[min(severity.index(row.state) for row in listed)],
        action=action,
        lane="conditional",
        depth=depths[first.account_id],
        sequence=0,
        caused_by=None,
        reason=told[2],
    )


def _sides(row: Change) -> tuple[str | None, ...]:
    return row.field, row.base_kind, row.base, row.crm_kind, row.crm, row.desired_kind, row.desired


def _prefixed(value: str | None) -> str:
    return "~" if value is None else f"{len(value)}:{value}"


def _put_in_order(made: list[Item], rows: Iterable[Change], seen: Seen) -> None:
    """Parents first, top down; then what follows from them; then the rest."""
    causes = {
        (item.connection, item.record_id): item.item_id
        for item in made
        if item.group == "hierarchy" and item.action in WRITABLE
    }
    targets = {
        (row.connection, row.record_id): row.desired
        for row in rows
        if row.field == "parent" and row.action in WRITABLE and row.desired
    }
    for item in made:
        key = (item.connection, item.record_id)
        if item.group == "hierarchy":
            first = _first(key, targets.get(key), seen, causes)
            item.caused_by = causes[first] if first else None
        elif item.group in FOLLOWERS:
            item.caused_by = _cause(key, seen, causes)
    waves = {
        item.fingerprint: 0 if item.group == "hierarchy" else 1 if item.caused_by is not None else 2 for item in made
    }
    ordered = sorted(made, key=lambda i: (waves[i.fingerprint], i.depth, i.connection, i.record_id, i.group))
    for number, item in enumerate(ordered, start=1):
        item.sequence = number


def _above(key: Key, seen: Seen) -> Key | None:
    party = seen.parties.get(key)
    parent = getattr(party.row, "parent", None) if party is not None else None
    return (key[0], parent) if parent else None


def _cause(key: Key, seen: Seen, causes: Mapping[Key, str]) -> str | None:
    """The nearest change of a parent, of the record itself or of one it stands under today."""
    at: Key | None = key
    for _ in range(64):
        if at is None:
            return None
        if at in causes:
            return causes[at]
        at = _above(at, seen)
    return None


def _first(key: Key, target: str | None, seen: Seen, causes: Mapping[Key, str]) -> Key | None:
    """The nearest move that must come first, where today's parents would make a circle of this one."""
    at, nearest = (key[0], target) if target else None, None
    for _ in range(64):
        if at is None:
            return None
        if at == key:
            return nearest
        if nearest is None and at in causes:
            nearest = at
        at = _above(at, seen)
    return None


# --- guards and digest ------------------------------------------------------------------------------------------------


def guards(rows: Iterable[Change], made: Iterable[Item], seen: Seen) -> tuple[Guard, ...]:
    """Every limit, measured."""
    writable = {item.item_id for item in made if item.action in WRITABLE}
    population = Counter(connection for connection, _ in seen.parties)
    books = Counter((key[0], getattr(party.row, "owner", None)) for key, party in seen.parties.items())
    counts: Counter[tuple[str, str]] = Counter()
    owner_pairs = set()
    for row in rows:
        if row.item_id not in writable:
            continue
        crm, first = row.connection, row.state in ("fill", "takeover")
        if first:
            counts["first_contact", f"{crm}:{row.field}"] += 1
        elif row.field == "owner":
            owner_pairs.add((crm, row.crm, row.desired))
            counts["owner_changes", crm] += 1
            counts["owner_lost_by_rep", f"{crm}:{row.crm}"] += row.crm is not None
            counts["owner_gained_by_rep", f"{crm}:{row.desired}"] += 1
            counts["accounts_to_one_owner", f"{crm}:{row.desired}"] += 1
        elif row.field == "parent":
            counts["parent_changes", crm] += 1
        else:
            counts["any_field", f"{crm}:{row.field}"] += 1
        counts["clears", crm] += row.desired_kind == "clear" and row.group != "rescore"
        counts["tier_downgrades", crm] += _is_downgrade(row) and not first
    for crm in population:
        counts["owner_changes", crm] += 0
        counts["owner_moves", crm] = sum(pair[0] == crm for pair in owner_pairs)
    always = ("owner_changes", "owner_moves")
    return tuple(
        sorted(
            _result(guard, subject, count, population, books)
            for (guard, subject), count in counts.items()
            if count or guard in always
        )
    )


def _is_downgrade(row: Change) -> bool:
    if row.field != "account_tier" or row.crm not in TIER_ORDER or row.desired not in TIER_ORDER:
        return False
    return TIER_ORDER.index(row.desired) > TIER_ORDER.index(row.crm)


def _result(
    guard: str, subject: str, measured: int, population: Counter[str], books: Counter[tuple[str, Any]]
) -> Guard:
    crm, _, user = subject.partition(":")
    of = books[crm, user] if guard.endswith("_by_rep") else population[crm]
    allowed = limit(guard, of)
    return guard, subject, measured, of, allowed, measured > allowed


def digest(made: Iterable[Item], rows: Iterable[Change]) -> str:
    """sha256 over all items and changes in order, every cell behind its length."""
    total = hashlib.sha256()
    ordered = sorted(rows, key=lambda row: (row.connection, row.record_id, row.field))
    for type_, listed in ((Item, made), (Change, ordered)):
        head = ",".join(field.name for field in fields(type_))
        total.update(f"{len(head)}:{head}".encode())
        for row in listed:
            line = "".join(_prefixed(None if v is None else str(v)) for v in astuple(row)).encode()
            total.update(b"%d:" % len(line))
            total.update(line)
    return total.hexdigest()


def frame(rows: Sequence[Item] | Sequence[Change]) -> pl.DataFrame:
    """The objects as a table, to compare."""
    names = [f.name for f in fields(rows[0])]
    return pl.DataFrame([astuple(row) for row in rows], schema=names, orient="row", infer_schema_length=None)
