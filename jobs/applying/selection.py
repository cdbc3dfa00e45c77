"""Which items of a plan are written now, and which agreed values move without a write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.protocol import Lane
from jobs.applying.model import CLOSED, DONE, Work
from store.decisions import Decision
from store.plans import Outcome, StoredPlan
from sync.planning.decisions import AgreedMove, Answer, Refusal, Writing, moves_without_write, resolve
from sync.planning.threeway import Action
from sync.planning.undo import UNDO_RULE

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A plan sorted by what is to be done."""

    work: tuple[Work, ...]  # plan order
    kept: tuple[str, ...]  # item ids whose CRM value stands
    moves: tuple[AgreedMove, ...]  # of kept items
    refusals: tuple[Refusal, ...]  # of kept items
    pending: tuple[str, ...]  # item ids that wait for a decision
    open_items: int  # items that are not done: the above, and those that moved or were rewritten


def select(
    plan: StoredPlan, decisions: Mapping[str, Decision], outcomes: Mapping[str, Outcome], *, now: str
) -> Selection:
    """Sort the items that no run is done with: automatic and released ones are written, others are kept or wait."""
    changes = plan.changes.to_pylist()
    left = [item for item in plan.items.to_pylist() if not _has_state(outcomes.get(item["item_id"]), DONE)]
    closed = [item for item in left if _has_state(outcomes.get(item["item_id"]), CLOSED)]
    ids = {item["item_id"] for item in closed}
    todo = [item for item in left if item["item_id"] not in ids]
    resolution = resolve(todo, changes, {key: _answer(one) for key, one in decisions.items()}, now=now)
    told = {name: _by_item(changes, name) for name in ("rule_id", "state")}
    undoing = _refused_by_undo(changes, plan.header.author)
    return Selection(
        work=tuple(_work(one, told, decisions, undoing) for one in resolution.writings),
        kept=tuple(item["item_id"] for item in resolution.kept),
        moves=resolution.moves,
        refusals=resolution.refusals,
        pending=tuple(item["item_id"] for item in resolution.waiting),
        open_items=len(resolution.writings) + len(resolution.kept) + len(resolution.waiting) + len(closed),
    )


def rules_by_item(changes: Iterable[Row]) -> Mapping[str, Mapping[str, str]]:
    """Per item, the rule behind each field's value."""
    return _by_item(changes, "rule_id")


def _by_item(changes: Iterable[Row], column: str) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in changes:
        if row["item_id"]:
            found.setdefault(row["item_id"], {})[row["field"]] = row[column] or ""
    return found


def agreements(plan: StoredPlan) -> tuple[list[AgreedMove], list[Refusal]]:
    """Moves of the plan's rows without a write, with the proposals that a policy refuses."""
    changes = plan.changes.to_pylist()
    pairs = list(moves_without_write(changes))
    settled = [_refusal(row, plan.header.author) for row in changes if row["action"] == Action.AGREE and _undoes(row)]
    return [move for move, _ in pairs], [refusal for _, refusal in pairs if refusal is not None] + settled


def moves_of_converged(work: Work) -> list[AgreedMove]:
    """Moves of an item that the CRM already agreed with."""
    return [
        AgreedMove(
            connection=work.connection,
            record_id=work.record_id,
            field=name,
            kind="empty" if value is None else "value",
            value=value,
        )
        for name, value in work.want.items()
    ]


def _refused_by_undo(changes: Iterable[Row], author: str) -> Mapping[str, tuple[Refusal, ...]]:
    """By item id, the values that an undo takes back: they are not proposed again until the proposal changes."""
    found: dict[str, list[Refusal]] = {}
    for row in changes:
        if row["item_id"] and _undoes(row):
            found.setdefault(row["item_id"], []).append(_refusal(row, author))
    return {item_id: tuple(refusals) for item_id, refusals in found.items()}


def _undoes(row: Row) -> bool:
    return (row["rule_id"] or "").startswith(UNDO_RULE) and row["desired_kind"] != "abstain"


def _refusal(row: Row, author: str) -> Refusal:
    return Refusal(
        connection=row["connection"],
        record_id=row["record_id"],
        field=row["field"],
        kept=row["desired"],
        refused=row["base"],
        reason=f"undone: {row['rule_id'].removeprefix(UNDO_RULE)}",
        by=author,
    )


def _has_state(outcome: Outcome | None, states: frozenset[Any]) -> bool:
    return outcome is not None and outcome.state in states


def _answer(one: Decision) -> Answer:
    return Answer(verdict=one.verdict, by=one.by, reason=one.reason, edited=one.edited, expires_at=one.expires_at)


def _work(
    one: Writing,
    told: Mapping[str, Mapping[str, Mapping[str, str]]],
    decisions: Mapping[str, Decision],
    undoing: Mapping[str, tuple[Refusal, ...]],
) -> Work:
    item = one.item
    return Work(
        **{name: item[name] for name in ("item_id", "fingerprint", "connection", "record_id", "group")},
        account_name=item["account_name"] or "",
        lane=Lane(item["lane"]),
        depth=item["depth"] or 0,
        sequence=item["sequence"],
        caused_by=item["caused_by"],
        before=one.before,
        want=one.want,
        rules=told["rule_id"].get(item["item_id"], {}),
        states=told["state"].get(item["item_id"], {}),
        refusals=one.refusals or undoing.get(item["item_id"], ()),
        decision=decisions.get(item["fingerprint"]),
    )
