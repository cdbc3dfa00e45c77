"""Why a change is proposed, in sentences: made on demand from the rule, its facts and the row of the decision table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.planning.threeway import Action, State

Row = Mapping[str, Any]

_STATES: dict[State, str] = {
    State.ORPHAN: "The record is gone from the CRM.",
    State.UNREADABLE: "The CRM does not let us read this field, so nothing is known about its value.",
    State.UNMANAGED: "No rule has an opinion, and nothing of ours was touched.",
    State.RELEASED: "No rule has an opinion any more and the CRM has moved on; the field is let go.",
    State.BASELINE: "Nothing was agreed before, and the CRM already says what the rule wants.",
    State.NOOP: "Everything agrees.",
    State.CONVERGED: "The CRM moved to what the rule wants by itself.",
    State.HELD: "The rule wants a change, but the account is held.",
    State.INVALID: "The rule wants a value that cannot be written.",
    State.OVERRIDDEN: "A person kept the CRM's value against exactly this proposal.",
    State.CLEAR: "The rule wants the field empty, and the CRM still has the agreed value.",
    State.FILL: "The field is empty and was never agreed.",
    State.TAKEOVER: "The CRM has a value that was never agreed with us.",
    State.OVERRIDE_LAPSED: "A person kept this value once; since then the proposal has changed or the term has ended.",
    State.UPDATE: "The CRM still has the agreed value; only the proposal moved.",
    State.DRIFT: "Somebody changed the agreed value in the CRM; the proposal did not move.",
    State.CONFLICT: "The CRM and the proposal both moved away from the agreed value, to different values.",
}

_ACTIONS: dict[Action, str] = {
    Action.NONE: "Nothing happens.",
    Action.AGREE: "The CRM's value becomes the agreed one; nothing is written.",
    Action.AUTO: "It is written without asking.",
    Action.APPROVE: "It is written once a person approves it.",
    Action.REVIEW: "A person chooses between the values.",
    Action.HELD: "It is not written while the hold stands.",
    Action.OVERRIDDEN: "It is not written.",
    Action.BLOCKED: "It is not written.",
}

_WORDS = {
    "empty": "empty",
    "nobase": "never agreed",
    "released": "let go",
    "gone": "record gone",
    "hidden": "not readable",
    "clear": "empty",
    "abstain": "no opinion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact behind a proposal."""

    name: str
    value: str
    source: str  # CRM record, or feed, file and row; "" where the rule itself is the source


def explain(row: Row, names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Sentences about one row of CHANGES: the three values, who changed it, the state, the rule and what happens next.

    `names` gives people the names behind user and record ids; ids without one are shown as they are.
    """
    known = names or {}
    told = (
        _values(row, known),
        _actor(row, known),
        _STATES[State(row["state"])],
        _because(row, known),
        _next(row),
    )
    return tuple(sentence for sentence in told if sentence)


def facts(evidence: str | None) -> tuple[Fact, ...]:
    """The facts in an evidence text, in its order.

    Evidence is a JSON object: a fact's name leads to its value, or to an object with `is` and `from` (its source). A
    `from` of the whole is the source of all facts without their own. `note` and `because` are words, left out when
    empty. Text that is not such an object is given as one fact called evidence, so that nothing is lost.
    """
    if not evidence:
        return ()
    try:
        told = json.loads(evidence)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return (Fact(name="evidence", value=evidence, source=""),)
    shared = _plain(told.get("from"))
    named = {name: value for name, value in told.items() if name != "from" and (value or name not in _REMARKS)}
    return tuple(_fact(name, value, "" if name in _REMARKS else shared) for name, value in named.items())


_REMARKS = frozenset({"note", "because"})
"""Names under which evidence carries words about the rest of it."""


def _fact(name: str, value: Any, shared: str) -> Fact:
    if isinstance(value, dict) and "is" in value:
        return Fact(name=name, value=_plain(value["is"]), source=_plain(value.get("from")) or shared)
    return Fact(name=name, value=_plain(value), source=shared)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _values(row: Row, names: Mapping[str, str]) -> str:
    account = row.get("account_name") or row["record_id"]
    sides = (
        ("last agreed", _shown(row["base_kind"], row["base"], names)),
        ("in the CRM now", _shown(row["crm_kind"], row["crm"], names)),
        ("proposed", _shown(row["desired_kind"], row["desired"], names)),
    )
    told = "; ".join(f"{label} {value}" for label, value in sides)
    return f"{row['field'].replace('_', ' ')} of {account} ({row['connection']}): {told}."


def _shown(kind: str, value: str | None, names: Mapping[str, str]) -> str:
    if kind == "value" and value:
        return f'"{names.get(value, value)}"'
    return f"({_WORDS.get(kind, kind)})"


def _actor(row: Row, names: Mapping[str, str]) -> str:
    if row["crm_kind"] != "value" or not row.get("actor"):
        return ""
    who = names.get(row["actor"], row["actor"])
    when = f" at {row['changed_at']}" if row.get("changed_at") else ""
    if row["actor_kind"] == "unknown":
        return f"The CRM has no history for this field; the record was last edited by {who}{when}."
    kind = "Platbook" if row["actor_kind"] == "us" else row["actor_kind"]
    return f"The CRM's value was set by {who} ({kind}){when}."


def _because(row: Row, names: Mapping[str, str]) -> str:
    if not row.get("rule_id"):
        return ""
    listed = "; ".join(_fact_words(fact, names) for fact in facts(row.get("evidence")))
    return f"Rule {row['rule_id']}: {listed}." if listed else f"Rule {row['rule_id']}."


def _fact_words(fact: Fact, names: Mapping[str, str]) -> str:
    if fact.name in _REMARKS:
        return fact.value if fact.name == "note" else f"because {fact.value}"
    value = names.get(fact.value, fact.value) or "(empty)"
    source = f" [{fact.source}]" if fact.source else ""
    return f"{fact.name.replace('_', ' ')} is {value}{source}"


def _next(row: Row) -> str:
    action = _ACTIONS[Action(row["action"])]
    return f"{action} Reason: {row['reason']}." if row.get("reason") else action
