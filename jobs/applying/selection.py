"""Which items of a plan are written, which values are kept, and which agreed values move without a write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.protocol import Lane
from jobs.applying.model import CLOSED, DONE, Kept, Work
from store.agreed import Move
from store.decisions import Decision, Override, Verdict
from store.plans import Outcome, StoredPlan
from sync.planning.threeway import ADOPTING, Action, State

Row = Mapping[str, Any]

_WRITING = frozenset({Verdict.APPROVE, Verdict.TAKE_OURS, Verdict.EDIT})
_OPEN = frozenset({Action.AUTO, Action.APPROVE, Action.REVIEW})
_ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A plan sorted by what is to be done."""

    work: tuple[Work, ...]  # plan order
    kept: tuple[Kept, ...]
    pending: tuple[str, ...]  # item ids that wait for a decision
    open_items: int  # items that may still end in a write, the done ones left out


def select(plan: StoredPlan, decisions: Mapping[str, Decision], outcomes: Mapping[str, Outcome]) -> Selection:
    """Sort the items: automatic ones and those a person released are written, others are kept or wait."""
    changes = changes_by_item(plan)
    work, kept, pending, open_items = [], [], [], 0
    for item in sorted(plan.items.to_pylist(), key=lambda row: row["sequence"]):
        outcome = outcomes.get(item["item_id"])
        if item["action"] not in _OPEN or (outcome is not None and outcome.state in DONE):
            continue
        decision = decisions.get(item["fingerprint"])
        if decision is not None and decision.verdict is Verdict.REJECT:
            continue
        open_items += 1
        if outcome is not None and outcome.state in CLOSED:
            continue
        rows = changes[item["item_id"]]
        if decision is not None and decision.verdict is Verdict.KEEP_CRM:
            kept.append(_kept(item, rows, decision))
        elif _may_write(item, decision):
            work.append(_work(item, rows, decision))
        elif decision is None or decision.verdict is Verdict.DEFER:
            pending.append(item["item_id"])
    return Selection(work=tuple(work), kept=tuple(kept), pending=tuple(pending), open_items=open_items)


def changes_by_item(plan: StoredPlan) -> Mapping[str, list[Row]]:
    """The plan's change rows by item id."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in plan.changes.to_pylist():
        if row["item_id"]:
            found[row["item_id"]].append(row)
    return found


def agreements(plan: StoredPlan) -> tuple[list[Move], list[Override]]:
    """Moves of the plan's 'agree' rows, with an override where the CRM's value stands against ours."""
    moves, overrides = [], []
    for row in plan.changes.to_pylist():
        if row["action"] != Action.AGREE:
            continue
        is_released = row["state"] == State.RELEASED
        moves.append(_move(row, row["crm"], is_released=is_released))
        if row["state"] in ADOPTING:
            overrides.append(
                _override(row, kept=row["crm"], refused=row["desired"], reason="the field's policy adopts")
            )
    return moves, overrides


def agreements_of_kept(kept: Kept) -> tuple[list[Move], list[Override]]:
    """Moves and overrides of one item whose CRM value a person keeps."""
    row = {"connection": kept.connection, "record_id": kept.record_id}
    reason, by, until = kept.decision.reason, kept.decision.by, kept.decision.expires_at
    moves = [_move({**row, "field": name}, value) for name, value in kept.kept.items()]
    overrides = [
        _override({**row, "field": name}, kept=value, refused=kept.refused[name], reason=reason, by=by, until=until)
        for name, value in kept.kept.items()
    ]
    return moves, overrides


def overrides_of_edit(work: Work) -> Iterator[Override]:
    """Overrides of a written edit: the person's value is kept, our proposal refused."""
    if work.decision is None:
        return
    for name, refused in work.refused.items():
        yield Override(
            connection=work.connection,
            record_id=work.record_id,
            field=name,
            kept=work.want[name],
            refused=refused,
            until=_date(work.decision.expires_at),
            reason=work.decision.reason,
            by=work.decision.by,
        )


def moves_of_converged(work: Work) -> Iterator[Move]:
    """Moves of an item that the CRM already agreed with."""
    for name, value in work.want.items():
        yield _move({"connection": work.connection, "record_id": work.record_id, "field": name}, value)


def _may_write(item: Row, decision: Decision | None) -> bool:
    if decision is None:
        return bool(item["action"] == Action.AUTO)
    return decision.verdict in _WRITING


def _work(item: Row, rows: list[Row], decision: Decision | None) -> Work:
    proposed = {row["field"]: _desired(row) for row in rows if row["desired_kind"] != _ABSTAIN}
    edited = dict(decision.edited) if decision is not None and decision.verdict is Verdict.EDIT else {}
    seen = {row["field"]: row["crm"] for row in rows}
    want = {name: edited.get(name, value) for name, value in proposed.items()}
    return Work(
        **_about(item),
        fingerprint=item["fingerprint"],
        account_name=item["account_name"] or "",
        group=item["group"],
        lane=Lane(item["lane"]),
        depth=item["depth"] or 0,
        sequence=item["sequence"],
        caused_by=item["caused_by"],
        before={name: seen[name] for name in want},
        want=want,
        rules={row["field"]: row["rule_id"] or "" for row in rows},
        refused={name: proposed[name] for name in edited if name in proposed and proposed[name] != edited[name]},
        decision=decision,
    )


def _kept(item: Row, rows: list[Row], decision: Decision) -> Kept:
    listed = [row for row in rows if row["desired_kind"] != _ABSTAIN]
    return Kept(
        **_about(item),
        kept={row["field"]: row["crm"] for row in listed},
        refused={row["field"]: _desired(row) for row in listed},
        decision=decision,
    )


def _about(item: Row) -> dict[str, str]:
    return {name: item[name] for name in ("item_id", "connection", "record_id")}


def _desired(row: Row) -> str | None:
    return None if row["desired_kind"] == "clear" else row["desired"]


def _move(row: Row, value: str | None, *, is_released: bool = False) -> Move:
    kind = "released" if is_released else "empty" if value is None else "value"
    held = None if is_released else value
    return Move(connection=row["connection"], record_id=row["record_id"], field=row["field"], value=held, kind=kind)


def _override(
    row: Row, *, kept: str | None, refused: str | None, reason: str, by: str = "policy", until: str | None = None
) -> Override:
    return Override(
        connection=row["connection"],
        record_id=row["record_id"],
        field=row["field"],
        kept=kept,
        refused=refused,
        until=_date(until),
        reason=reason,
        by=by,
    )


def _date(instant: str | None) -> str | None:
    return instant[:10] if instant else None
