"""The other peer: the same decisions with one object per row, as such a job is usually written first.

Firms and records become pydantic models, the joins dictionaries, the rules `if`s. What it gives is what the core gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from bench.peers import rows_plan as plan
from bench.peers import rows_wanted as want
from bench.peers.rows_accounts import Account, golden, grow, members
from bench.peers.rows_links import Cluster, Party, Row, link, party
from bench.peers.rows_profiles import Profile, place, profiles
from bench.peers.rows_tiers import judge
from bench.peers.rules import FIRM_OWN, SHARED, Guard, Outcome


@dataclass(slots=True, kw_only=True)
class Decisions:
    """Everything decided, as objects."""

    clusters: list[Cluster]
    accounts: list[Account]
    found: want.Found
    alone: Mapping[str, str]
    profiles: Mapping[str, Profile]
    changes: list[plan.Change]
    items: list[plan.Item]
    events: list[tuple[str | None, ...]]
    guards: tuple[Guard, ...]
    digest: str


def run(made: Mapping[str, pl.DataFrame]) -> Decisions:
    """Everything a peer decides about a generated world."""
    clusters = link(_parties(made))
    accounts, _ = golden(clusters)
    grow(accounts)
    systems = members(accounts)
    verdicts, facts, alone = judge(systems)
    described = profiles(facts, verdicts)
    users = list(made["users"].iter_rows(named=True))
    before = {row["firm_id"]: row for row in made["previous_firms"].iter_rows(named=True)}
    found = want.Found(
        systems=systems,
        verdicts=verdicts,
        facts=facts,
        owners=want.owners(systems, users),
        scores={root: profile.values for root, profile in described.items()},
        moves=want.moves(accounts, before),
        users=users,
    )
    seen = _seen(made, accounts)
    rows = plan.changes(found, seen)
    items = plan.items(rows, {account.account_id: account.depth for account in accounts}, seen)
    return Decisions(
        clusters=clusters,
        accounts=accounts,
        found=found,
        alone=alone,
        profiles=described,
        changes=rows,
        items=items,
        events=list(_events(rows, items, found, accounts)),
        guards=plan.guards(rows, items, seen),
        digest=plan.digest(items, rows),
    )


def _parties(made: Mapping[str, pl.DataFrame]) -> Iterator[Party]:
    for row in made["firms"].iter_rows(named=True):
        types = [text for text in (row["firm_type"], row["hospital_type"]) if text is not None]
        yield party("definitive", row["firm_id"], Row(**row, definitive_id=row["firm_id"]), " ".join(types) or None)
    for row in made["records"].iter_rows(named=True):
        if not row["is_deleted"] and row["merged_into"] is None:
            yield party(row["connection"], row["record_id"], Row(**row), row["account_type"])


def _seen(made: Mapping[str, pl.DataFrame], accounts: Iterable[Account]) -> plan.Seen:
    records = {
        (one.party.source, one.party.source_id): one.party
        for account in accounts
        for one in account.links
        if one.party.source != "definitive"
    }
    return plan.Seen(
        agreed={(row["connection"], row["record_id"]): row for row in made["agreed"].iter_rows(named=True)},
        parties=records,
        active={(row["connection"], row["user_id"]): row["is_active"] for row in made["users"].iter_rows(named=True)},
        teams=Counter((row["connection"], row["record_id"]) for row in made["team_members"].iter_rows(named=True)),
    )


def _events(
    rows: Iterable[plan.Change], items: Iterable[plan.Item], found: want.Found, accounts: Iterable[Account]
) -> Iterator[tuple[str | None, ...]]:
    """Owner changes that may be written, with the move between systems behind them."""
    writable = {item.item_id for item in items if item.action in plan.WRITABLE}
    system = {account.account_id: account.system for account in accounts}
    for row in rows:
        if row.field != "owner" or row.item_id not in writable:
            continue
        root = system[row.account_id]
        new = root.get("name") if len(found.systems[root.account_id]) > 1 else None
        move = found.moves.get(row.account_id)
        old = move.old_system if move else new
        kind = "owner_change" if old == new else "moved_system" if old and new else None
        kind = kind or ("joined_system" if new else "left_system")
        ids = (row.connection, row.record_id, row.account_id, row.account_name)
        yield (*ids, kind, old, new, row.crm, row.desired, row.item_id)


_EVENTS = (
    *("connection", "record_id", "account_id", "account_name", "kind", "old_system", "new_system"),
    *("from_user", "to_user", "item_id"),
)


# --- as tables, to compare: not part of what is timed -----------------------------------------------------------------


def outcome(made: Decisions) -> Outcome:
    """The decisions in the columns of the core's tables."""
    owned = [_owned(account, made.found) for account in made.accounts]
    return Outcome(
        links=_table(_linked(made.clusters)),
        accounts=_table(_golden(account) for account in made.accounts),
        hierarchy=_table(_placed(account) for account in made.accounts),
        tiers=_table(_judged(account, made) for account in made.accounts).lazy(),
        profiles=_table(_described(account, made) for account in made.accounts).lazy(),
        ownership=_table(owned),
        items=plan.frame(made.items),
        changes=plan.frame(made.changes),
        events=pl.DataFrame(made.events, schema=dict.fromkeys(_EVENTS, pl.String), orient="row"),
        guards=made.guards,
        digest=made.digest,
    )


def _table(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), infer_schema_length=None)


def _linked(clusters: Iterable[Cluster]) -> Iterator[dict[str, Any]]:
    for cluster in clusters:
        account_id = cluster.account_id()
        for one in cluster.links:
            ids = {"source": one.party.source, "source_id": one.party.source_id, "account_id": account_id}
            yield {**ids, "how": one.how, "evidence": one.evidence}


def _golden(account: Account) -> dict[str, Any]:
    shared = {name: account.get(name) for name in SHARED}
    sources = {f"{name}__source": one.source for name in SHARED if (one := account.golden.get(name))}
    own = {name: account.own.get(name) for name in FIRM_OWN}
    firm = {"firm_feed": account.firm.source, "firm_id": account.firm.source_id} if account.firm else {}
    return {"account_id": account.account_id, **shared, **sources, **own, **firm, "firm_source": account.firm_ref}


def _placed(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "parent_account_id": account.parent.account_id if account.parent else None,
        "system_account_id": account.system.account_id,
        "system_name": account.system.get("name"),
        "depth": account.depth,
        "path": account.path or account.account_id,
        "basis": "root" if account.parent is None else "site_of",
        "source_ref": account.parent_ref,
        "conflict": account.conflict,
    }


def _judged(account: Account, made: Decisions) -> dict[str, Any]:
    one = made.found.verdicts[account.system.account_id]
    return {
        "account_id": account.account_id,
        "holder_account_id": account.system.account_id,
        "tier": one.tier,
        "provisional": one.could_be is not None,
        "could_be": one.could_be,
        "blocking": one.blocking,
        "tier_status": one.status,
        "predicates": one.predicates,
        "evidence": one.evidence,
        "is_known": one.is_known,
        "standalone_tier": made.alone.get(account.account_id),
    }


def _described(account: Account, made: Decisions) -> dict[str, Any]:
    shared = made.profiles[account.system.account_id].values
    own = {"account_id": account.account_id, "holder_account_id": account.system.account_id}
    return {**own, "name": account.get("name"), **place(account), **shared}


def _owned(account: Account, found: want.Found) -> dict[str, Any]:
    owner = found.owners[account.system.account_id]
    return {
        "account_id": account.account_id,
        "unit_account_id": account.system.account_id,
        "owner_email": owner.email,
        "owner_role": "PRIMARY" if owner.email else None,
        "state": account.get("state"),
        "rule": owner.rule,
        "evidence": want.owner_evidence(account, owner),
    }
