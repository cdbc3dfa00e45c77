"""What persons' answers make of a plan: what is written, what is kept, what waits, and how agreed values move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sync.planning.threeway import ADOPTING, Action, State

Row = Mapping[str, Any]
Values = Mapping[str, str | None]
"""Canonical text by field; None = empty."""


class Verdict(StrEnum):
    """What a person said about an item."""

    APPROVE = "approve"  # write what is proposed; a field that a person refused earlier stays as it is
    REJECT = "reject"  # do not write
    KEEP_CRM = "keep_crm"  # what the CRM says becomes the agreed value, and the proposal is refused
    TAKE_OURS = "take_ours"  # write all that is proposed over what the CRM says, also what was refused earlier
    EDIT = "edit"  # write another value
    DEFER = "defer"  # ask again next time
    SPENT = "spent"  # the answer before was carried out; nobody says this, an apply run notes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The newest verdict on one fingerprint."""

    verdict: Verdict
    by: str
    reason: str = ""
    edited: Values = field(default_factory=dict)  # only for `edit`: value by field
    expires_at: str | None = None  # instant or date; None = no end


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedMove:
    """One agreed value that moves. Kind: value, empty or released."""

    connection: str
    record_id: str
    field: str
    kind: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An override: the value kept, and the proposal it was kept against."""

    connection: str
    record_id: str
    field: str
    kept: str | None
    refused: str | None
    reason: str
    by: str
    until: str | None = None  # ISO date


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One item that goes to the CRM. Only the fields that differ travel."""

    item: Row  # ITEMS
    before: Values  # what the plan saw
    want: Values
    refusals: tuple[Refusal, ...]  # of an edit; they count once it is verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A plan sorted by what is to be done, each part in plan order."""

    writings: tuple[Writing, ...]
    kept: tuple[Row, ...]  # items whose CRM value stands
    rejected: tuple[Row, ...]
    waiting: tuple[Row, ...]  # items that wait for an answer
    moves: tuple[AgreedMove, ...]  # of kept items; they move without a write
    refusals: tuple[Refusal, ...]  # of kept items


WRITING = frozenset({Verdict.APPROVE, Verdict.TAKE_OURS, Verdict.EDIT})
ONCE = WRITING | {Verdict.KEEP_CRM}
"""Verdicts that count once: the same difference coming back is asked again. A rejection stays."""
OPEN = frozenset({Action.AUTO, Action.APPROVE, Action.REVIEW})

ADOPTED_BY = "policy"
"""Who refuses a proposal where the field's policy adopts the CRM's value."""


def resolve(items: Iterable[Row], changes: Iterable[Row], answers: Mapping[str, Answer], *, now: str) -> Resolution:
    """Sort the items by the answers to their fingerprints. Expired answers count as none; nothing is written twice.

    Held, overridden and blocked items are never written, whatever was answered. Of these only an item that is blocked
    from being emptied may be kept: there a refusal changes something, and once.
    """
    rows = _by_item(changes)
    parts: dict[str, list[Any]] = {name: [] for name in Resolution.__dataclass_fields__}
    for item in sorted(items, key=lambda row: row["sequence"]):
        answer = _standing(answers.get(item["fingerprint"]), now)
        listed = rows[item["item_id"]]
        if answer is not None and answer.verdict is Verdict.KEEP_CRM and _may_keep(item):
            parts["kept"].append(item)
            parts["moves"] += [_agreed(row) for row in listed]
            parts["refusals"] += [_refused(row, row["crm"], answer) for row in listed]
        elif item["action"] not in OPEN:
            continue
        elif answer is not None and answer.verdict is Verdict.REJECT:
            parts["rejected"].append(item)
        elif item["action"] == Action.AUTO if answer is None else answer.verdict in WRITING:
            parts["writings"].append(_writing(item, listed, answer))
        else:
            parts["waiting"].append(item)
    return Resolution(**{name: tuple(values) for name, values in parts.items()})


def moves_without_write(changes: Iterable[Row]) -> Iterator[tuple[AgreedMove, Refusal | None]]:
    """How agreed values move when a plan is applied, beside its items.

    Rows to agree on take the CRM's value; where the policy adopts it against ours, the proposal is refused. What was
    let go, or belonged to a record that is gone, is released.
    """
    for row in changes:
        if row["state"] in (State.RELEASED, State.ORPHAN):
            yield _move(row, "released", None), None
        elif row["action"] == Action.AGREE:
            refusal = _refused(row, row["crm"], None) if row["state"] in ADOPTING else None
            yield _agreed(row), refusal


def _by_item(changes: Iterable[Row]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in changes:
        if row["item_id"] is not None:
            found[row["item_id"]].append(row)
    return found


def _standing(answer: Answer | None, now: str) -> Answer | None:
    if answer is None or answer.verdict is Verdict.SPENT:
        return None
    expired = answer.expires_at is not None and answer.expires_at <= now
    return None if expired else answer


def _may_keep(item: Row) -> bool:
    """An item that was refused already keeps its fingerprint, and so its answer: it must not be kept run after run."""
    if item["action"] in OPEN:
        return True
    return item["action"] == Action.BLOCKED and item["state"] in _EMPTYING


_EMPTYING = frozenset({State.CLEAR, *ADOPTING})
"""States in which only the `clear` policy blocks."""


def _writing(item: Row, rows: Iterable[Row], answer: Answer | None) -> Writing:
    edited = answer.edited if answer is not None and answer.verdict is Verdict.EDIT else {}
    takes_all = answer is not None and answer.verdict is Verdict.TAKE_OURS
    listed = [
        row
        for row in rows
        if row["desired_kind"] != "abstain"
        if takes_all or row["field"] in edited or row["action"] != Action.OVERRIDDEN
    ]
    want = {row["field"]: edited.get(row["field"], row["desired"]) for row in listed}
    replaced = [row for row in listed if want[row["field"]] != row["desired"]]
    refusals = [_refused(row, want[row["field"]], answer) for row in replaced]
    # An earlier refusal is over once its proposal was taken: the CRM going back there is to be asked about.
    retracted = [row for row in listed if row["action"] == Action.OVERRIDDEN and row not in replaced]
    refusals += [replace(_refused(row, row["desired"], answer), refused=row["crm"]) for row in retracted]
    return Writing(
        item=item,
        before={row["field"]: row["crm"] for row in listed},
        want=want,
        refusals=tuple(refusals),
    )


def _agreed(row: Row) -> AgreedMove:
    return _move(row, "empty" if row["crm"] is None else "value", row["crm"])


def _move(row: Row, kind: str, value: str | None) -> AgreedMove:
    return AgreedMove(
        connection=row["connection"], record_id=row["record_id"], field=row["field"], kind=kind, value=value
    )


def _refused(row: Row, kept: str | None, answer: Answer | None) -> Refusal:
    expiry = answer.expires_at if answer is not None else None
    return Refusal(
        connection=row["connection"],
        record_id=row["record_id"],
        field=row["field"],
        kept=kept,
        refused=row["desired"],
        reason=answer.reason if answer is not None else "the field's policy adopts the CRM's value",
        by=answer.by if answer is not None else ADOPTED_BY,
        until=expiry[:10] if expiry else None,
    )
