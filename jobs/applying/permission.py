"""Whether and by whom an item may be written: the life of the state, the mode of a connection, and who agreed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from jobs.applying.around import named_keys
from jobs.applying.model import ApplyDeps, PlanRefused, Work
from jobs.applying.selection import Selection
from jobs.audit_head import rolled_back
from mappings.policy import ConflictPolicy
from store import journal
from store.connections import Connections, Mode
from store.database import Database
from store.generation import restored_from
from store.journal import JournalState
from store.plans import StoredPlan, rules_applied_before
from store.voices import voices
from sync.planning.approvals import Ask, missing

OBSERVING = "observe"
"""Reason of a refusal that is no fault: the connections are only observed."""


def require_own_life(deps: ApplyDeps) -> None:
    """Raise PlanRefused where the state is an old one: what it takes for agreed may be long past."""
    source = restored_from(deps.database)
    fact = f"it was restored from {source}" if source else rolled_back(deps.database, deps.audit_head_file)
    if fact:
        raise PlanRefused(
            "restored",
            f"{deps.database.subject}: {fact}. Nothing is written to a CRM before the agreed values were compared "
            "with what is there now: run `platbook db rebaseline`",
        )


def require_not_observing(deps: ApplyDeps, plan: StoredPlan, connections: Sequence[str]) -> None:
    """Raise PlanRefused where every connection of the plan is only observed."""
    modes = Connections(deps.database).modes()
    if connections and all(modes.get(name) is Mode.OBSERVE for name in connections):
        raise PlanRefused(
            OBSERVING,
            f"plan {plan.id}: {', '.join(connections)} in mode observe, where nothing is written. Read the plans for a "
            "while, then `platbook mode CONNECTION propose`; --baseline-only agrees to what is already right",
        )


def permitted(deps: ApplyDeps, plan: StoredPlan, selection: Selection) -> Selection:
    """The selection without the items that still lack a permission; those wait like undecided ones."""
    waiting = set(lacking(deps, plan, selection.work))
    if not waiting:
        return selection
    work = tuple(one for one in selection.work if one.item_id not in waiting)
    return replace(selection, work=work, pending=(*selection.pending, *sorted(waiting)))


def lacking(deps: ApplyDeps, plan: StoredPlan, work: Sequence[Work]) -> Mapping[str, str]:
    """Item id -> what is missing before it may be written, of the items for which something is."""
    policy = deps.conflicts
    modes = Connections(deps.database).modes()
    is_new = proposes_new_rules(deps.database, policy, plan)
    found: dict[str, str] = {}
    for one in work:
        mode = modes.get(one.connection, Mode.AUTO)
        reason = _reason(one, Mode.PROPOSE if is_new and mode is Mode.AUTO else mode, policy, is_new=is_new)
        if reason:
            found[one.item_id] = reason
    if policy.requires:
        heard = voices(deps.database, [one.fingerprint for one in work])
        named = _named_items(deps, plan)
        asks = [
            _ask(one, heard.get(one.fingerprint, frozenset()), is_named=one.item_id in named)
            for one in work
            if one.item_id not in found
        ]
        found |= missing(asks, policy.requires, author=plan.header.author, written=_written(deps, plan))
    return found


def _named_items(deps: ApplyDeps, plan: StoredPlan) -> frozenset[str]:
    """Items of named accounts, where a rule asks."""
    if not any(rule.named_accounts for rule in deps.conflicts.requires):
        return frozenset()
    keys = named_keys(deps.database, plan, deps.named_accounts)
    rows = plan.items.select(["item_id", "account_id", "connection", "record_id"]).to_pylist()
    return frozenset(
        row["item_id"]
        for row in rows
        if not keys.isdisjoint((row["account_id"], row["record_id"], f"{row['connection']}:{row['record_id']}"))
    )


def _written(deps: ApplyDeps, plan: StoredPlan) -> list[tuple[str, tuple[str, str]]]:
    """(group, account) that this plan wrote already: it is one plan, however many sittings it is applied in."""
    groups = dict(zip(*(plan.items[name].to_pylist() for name in ("item_id", "group")), strict=True))
    with deps.database.read() as conn:
        rows = journal.of_plan(conn, plan.id)
    done = [row for row in rows if row.state is JournalState.VERIFIED and row.item_id in groups]
    return [(groups[row.item_id], (row.connection, row.record_id)) for row in done]


def _reason(one: Work, mode: Mode, policy: ConflictPolicy, *, is_new: bool) -> str:
    if mode is Mode.OBSERVE:
        return f"{one.connection} is in mode observe"
    if mode is Mode.PROPOSE and one.decision is None:
        return "the rules are new" if is_new else f"{one.connection} is in mode propose: a person approves every item"
    if policy.require_verified_person and one.decision is not None and not one.decision.by_verified:
        return f"{one.decision.by}, who approved it, is not a verified person"
    return ""


def proposes_new_rules(database: Database, policy: ConflictPolicy, plan: StoredPlan) -> bool:
    """True where only what a person approved is written, as the plan has other rules than the last applied one."""
    now = plan.header.rules_digest
    if not policy.propose_after_rule_change or not now:
        return False
    return rules_applied_before(database, plan.id) not in ("", now)


def _ask(one: Work, heard: Collection[str], *, is_named: bool) -> Ask:
    account = (one.connection, one.record_id)
    return Ask(item_id=one.item_id, group=one.group, account=account, voices=heard, is_named=is_named)
