"""The decision table: what the last agreed value, the CRM's value and the desired value of one field lead to.

Rows are tried top-down and the first match wins; together they are total. A value that is not known (a null kind, a
desired "value" without text) is never taken for empty or for "clear": it abstains, or counts as unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import narwhals as nw

from sync.engine import Frame
from sync.frames import Expr, cases, certain, one_of, possible


class State(StrEnum):
    """Which row of the table matched, in the table's order."""

    ORPHAN = "orphan"  # 1: the record is gone
    UNREADABLE = "unreadable"  # 2: we may not read the field, which is not the same as empty
    UNMANAGED = "unmanaged"  # 3: no opinion, and nothing of ours was touched
    RELEASED = "released"  # 4: no opinion any more, and the CRM moved on: the field is let go
    BASELINE = "baseline"  # 5: never agreed, yet already as desired
    NOOP = "noop"  # 6: all three agree
    CONVERGED = "converged"  # 7: someone else (or our own crashed write) already made it so
    HELD = "held"  # 8: a person holds it
    INVALID = "invalid"  # 9: the desired value cannot be written
    OVERRIDDEN = "overridden"  # 10: a person already said no to exactly this
    CLEAR = "clear"  # 11: an agreed value is to be emptied
    FILL = "fill"  # 12: first contact with an empty field
    TAKEOVER = "takeover"  # 13: first contact with a field that has a value, or one that was let go
    OVERRIDE_LAPSED = "override_lapsed"  # 14: a person kept this once; the proposal or the term has changed
    UPDATE = "update"  # 15: the CRM is as agreed, we want something new
    DRIFT = "drift"  # 16: the CRM moved, we did not
    CONFLICT = "conflict"  # 17: both moved, differently


class Action(StrEnum):
    """What happens to a difference."""

    NONE = "none"  # nothing, and nothing to say
    AGREE = "agree"  # the agreed value moves, nothing is written
    AUTO = "auto"  # written without asking
    APPROVE = "approve"  # written once a person approved it; safe in bulk
    REVIEW = "review"  # a person chooses between the values
    HELD = "held"  # not written while the hold stands
    OVERRIDDEN = "overridden"  # not written because a person refused it
    BLOCKED = "blocked"  # cannot be written; the reason says what to do


ADOPTING = frozenset({State.TAKEOVER, State.DRIFT, State.CONFLICT})
"""States whose `agree` action keeps the CRM's value against ours: an override goes with the agreed value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The three sides of one field as expressions of text."""

    base_kind: Expr
    base: Expr
    crm_kind: Expr
    crm: Expr
    desired_kind: Expr
    desired: Expr


KINDS = ("base_kind", "base", "crm_kind", "crm", "desired_kind", "desired")
"""Columns of the three sides in long form."""

COLUMNS = Sides(**{name: nw.col(name) for name in KINDS})
"""The sides in long form."""

INPUTS = (*KINDS, "held", "writable", "override", "kept", "refused", "lapsed")
"""Columns `classify` reads. `override` says that one is there, `lapsed` that its term is over at `as_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """The field policy (mappings.policy.FieldPolicy) as expressions of text."""

    on_fill: Expr
    on_update: Expr
    on_drift: Expr
    on_conflict: Expr
    on_takeover: Expr
    clear: Expr


KNOB_NAMES = ("on_fill", "on_update", "on_drift", "on_conflict", "on_takeover", "clear")


KNOB_COLUMNS = Knobs(**{name: nw.col(name) for name in KNOB_NAMES})
"""Knobs that stand in columns of the rows."""


def classify(frame: Frame, knobs: Knobs) -> Frame:
    """Adds `state` and `action` to rows with the columns INPUTS; total, and null in neither."""
    return with_action(with_state(frame), knobs)


def with_state(frame: Frame) -> Frame:
    """Adds `state`: the row of the table that matches."""
    return _compared(frame).with_columns(state=_state()).drop(*_SCRATCH)


def with_action(frame: Frame, knobs: Knobs) -> Frame:
    """Adds `action` to rows that have a state: what the policy makes of it."""
    return frame.with_columns(action=_action(knobs)).with_columns(action=_tightened(knobs))


def is_open(sides: Sides) -> Expr:
    """False where nothing can come of it: table rows 3 and 6, and records gone or hidden in which nothing is ours."""
    desired = _value(sides.desired_kind, sides.desired)
    return unsettled(
        crm=_value(sides.crm_kind, sides.crm),
        base=_value(sides.base_kind, sides.base),
        desired=desired,
        agreed=_agreed(sides),
        wants=_clears(sides) | (desired != ""),
        unreadable=~_readable(sides),
    )


def unsettled(*, crm: Expr, base: Expr, desired: Expr, agreed: Expr, wants: Expr, unreadable: Expr) -> Expr:
    """`is_open` of texts with "" for empty; only `desired` may be null, and only where nothing is wanted.

    Small enough an expression for a million rows per field.
    """
    return (agreed & ((crm != base) | unreadable)) | (wants & (~agreed | (crm != desired)))


_SCRATCH = ("_x", "_b", "_d", "_k", "_agreed", "_clears", "_abstains", "_x_b", "_x_d", "_x_kept")


def _compared(frame: Frame) -> Frame:
    """Adds CRM, base, desired and kept value with "" for empty, and what comparing them says; none of it is null."""
    sides = frame.with_columns(
        _x=_value(COLUMNS.crm_kind, COLUMNS.crm),
        _b=_value(COLUMNS.base_kind, COLUMNS.base),
        _d=_value(COLUMNS.desired_kind, COLUMNS.desired),
        _k=nw.col("kept").fill_null(""),
        _agreed=_agreed(COLUMNS),
        _clears=_clears(COLUMNS),
    )
    x, d = nw.col("_x"), nw.col("_d")
    return sides.with_columns(
        _abstains=~nw.col("_clears") & (d == ""),
        _x_b=nw.col("_agreed") & (x == nw.col("_b")),
        _x_d=x == d,
        _x_kept=certain(nw.col("override")) & (x == nw.col("_k")),
    )


def _value(kind: Expr, value: Expr) -> Expr:
    """The text where the kind says that there is one; "" for everything else: both CRMs use "" or null for empty."""
    return nw.when(kind == "value").then(nw.coalesce(value, nw.lit(""))).otherwise(nw.lit(""))


def _agreed(sides: Sides) -> Expr:
    return one_of(sides.base_kind, {"value", "empty"})


def _clears(sides: Sides) -> Expr:
    return certain(sides.desired_kind == "clear")


def _readable(sides: Sides) -> Expr:
    """A kind that is not known says nothing about the value: it must not pass for empty."""
    return one_of(sides.crm_kind, {"value", "empty"})


def _state() -> Expr:
    c = nw.col
    refuses_again = c("_d") == nw.coalesce(c("refused"), nw.lit(""))
    in_force = ~possible(c("lapsed"))
    return cases(
        [
            (c("crm_kind") == "gone", State.ORPHAN.value),
            (~_readable(COLUMNS), State.UNREADABLE.value),
            (c("_abstains") & (~c("_agreed") | c("_x_b")), State.UNMANAGED.value),
            (c("_abstains"), State.RELEASED.value),
            (~c("_agreed") & c("_x_d"), State.BASELINE.value),
            (c("_x_b") & c("_x_d"), State.NOOP.value),
            (c("_x_d"), State.CONVERGED.value),
            (possible(c("held")), State.HELD.value),
            (~certain(c("writable")), State.INVALID.value),
            (in_force & c("_x_kept") & refuses_again, State.OVERRIDDEN.value),
            (c("_clears") & c("_x_b") & ~c("_x_kept"), State.CLEAR.value),
            (~c("_agreed") & ~certain(c("base_kind") == "released") & (c("_x") == ""), State.FILL.value),
            (~c("_agreed"), State.TAKEOVER.value),
            (c("_x_b") & c("_x_kept"), State.OVERRIDE_LAPSED.value),
            (c("_x_b"), State.UPDATE.value),
            (c("_d") == c("_b"), State.DRIFT.value),
        ],
        State.CONFLICT.value,
    )


_SETTLED: Mapping[str, str] = {
    **dict.fromkeys((State.UNMANAGED, State.NOOP), Action.NONE.value),
    **dict.fromkeys((State.RELEASED, State.BASELINE, State.CONVERGED), Action.AGREE.value),
    **dict.fromkeys((State.ORPHAN, State.UNREADABLE, State.INVALID), Action.BLOCKED.value),
    State.HELD: Action.HELD.value,
    State.OVERRIDDEN: Action.OVERRIDDEN.value,
    State.CLEAR: Action.AUTO.value,
}
"""What happens in states that no knob decides; in a lapsed override a person is asked."""

_MEANS: Mapping[str, str] = {
    **{action.value: action.value for action in Action},
    **dict.fromkeys(("ours", "enforce"), Action.AUTO.value),
    **dict.fromkeys(("theirs", "adopt"), Action.AGREE.value),
    "never": Action.NONE.value,
}
"""What the words of the knobs come to."""


def _action(knobs: Knobs) -> Expr:
    s = nw.col("state")
    said = cases(
        [
            (s == State.FILL.value, knobs.on_fill),
            (s == State.UPDATE.value, knobs.on_update),
            (s == State.TAKEOVER.value, knobs.on_takeover),
            (s == State.DRIFT.value, knobs.on_drift),
            (s == State.CONFLICT.value, knobs.on_conflict),
        ],
        renamed(s, _SETTLED, Action.REVIEW.value),
    )
    return renamed(said, _MEANS, Action.REVIEW.value)


def _tightened(knobs: Knobs) -> Expr:
    """Where a value would be emptied, the `clear` knob may make the outcome stricter, never looser."""
    chosen = nw.col("action")
    empties = certain(nw.col("desired_kind") == "clear") & one_of(
        nw.col("state"), {State.CLEAR, State.TAKEOVER, State.DRIFT, State.CONFLICT}
    )
    loose = empties & one_of(chosen, {Action.AUTO, Action.REVIEW})
    stricter = [(knobs.clear == "forbid", Action.BLOCKED.value), (knobs.clear == "review", Action.REVIEW.value)]
    return cases([(~loose, chosen), *stricter], chosen)


def renamed(column: Expr, names: Mapping[str, str], otherwise: str) -> Expr:
    """The text that stands for each text of a column; `otherwise` for any other."""
    texts = {str(name): str(stands) for name, stands in names.items()}
    return column.replace_strict(texts, default=nw.lit(otherwise), return_dtype=nw.String())
