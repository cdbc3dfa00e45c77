"""The decision table: what the last agreed value, the CRM's value and the desired value of one field lead to.

Rows are tried top-down and the first match wins; together they are total. A value that is not known (a null kind, a
desired "value" without text) is never taken for empty or for "clear": it abstains, or counts as unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import narwhals as nw

from sync.engine import Frame
from sync.frames import Expr, cases, certain, one_of, possible, same


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
    compared = _with_values(frame).with_columns(
        _x_b=nw.col("_agreed") & same(nw.col("_x"), nw.col("_b")),
        _x_d=same(nw.col("_x"), nw.col("_d")),
        _d_b=nw.col("_agreed") & same(nw.col("_d"), nw.col("_b")),
        _x_kept=certain(nw.col("override")) & same(nw.col("_x"), _text("kept")),
        _d_refused=same(nw.col("_d"), _text("refused")),
    )
    return compared.with_columns(state=_state()).drop(*_SCRATCH)


def with_action(frame: Frame, knobs: Knobs) -> Frame:
    """Adds `action` to rows that have a state: what the policy makes of it."""
    return frame.with_columns(action=_action(knobs))


def is_open(sides: Sides) -> Expr:
    """False where nothing can come of it: table rows 3 and 6, and records gone or hidden in which nothing is ours."""
    x, b, d = _values(sides)
    return unsettled(crm=x, base=b, desired=d, readable=_readable(sides), agreed=_agreed(sides), clears=_clears(sides))


def unsettled(*, crm: Expr, base: Expr, desired: Expr, readable: Expr, agreed: Expr, clears: Expr) -> Expr:
    """`is_open` of values with empty as null; `readable`, `agreed` and `clears` are never null.

    Small enough an expression for a million rows per field.
    """
    abstains = desired.is_null() & ~clears
    quiet = readable & agreed & same(crm, base) & (abstains | same(crm, desired))
    return ~(quiet | (abstains & ~agreed))


_SCRATCH = ("_x", "_b", "_d", "_agreed", "_abstains", "_x_b", "_x_d", "_d_b", "_x_kept", "_d_refused")


def _with_values(frame: Frame) -> Frame:
    x, b, d = _values(COLUMNS)
    return frame.with_columns(_x=x, _b=b, _d=d, _agreed=_agreed(COLUMNS), _abstains=_abstains(COLUMNS))


def _values(sides: Sides) -> tuple[Expr, Expr, Expr]:
    """CRM, base and desired value, with empty as null."""
    return (
        _value(sides.crm_kind, sides.crm),
        _value(sides.base_kind, sides.base),
        _value(sides.desired_kind, sides.desired),
    )


def _value(kind: Expr, value: Expr) -> Expr:
    return nw.when((kind == "value") & (value != "")).then(value)


def _agreed(sides: Sides) -> Expr:
    return one_of(sides.base_kind, {"value", "empty"})


def _abstains(sides: Sides) -> Expr:
    return ~_clears(sides) & _value(sides.desired_kind, sides.desired).is_null()


def _clears(sides: Sides) -> Expr:
    return certain(sides.desired_kind == "clear")


def _readable(sides: Sides) -> Expr:
    """A kind that is not known says nothing about the value: it must not pass for empty."""
    return one_of(sides.crm_kind, {"value", "empty"})


def _text(column: str) -> Expr:
    """The text of a column, with "" as null: both CRMs use either for empty."""
    return nw.when(nw.col(column) != "").then(nw.col(column))


def _kind_is(column: str, kind: str) -> Expr:
    return certain(nw.col(column) == kind)


def _state() -> Expr:
    c = nw.col
    clears = _kind_is("desired_kind", "clear")
    in_force = ~possible(c("lapsed"))
    return cases(
        [
            (_kind_is("crm_kind", "gone"), State.ORPHAN.value),
            (~_readable(COLUMNS), State.UNREADABLE.value),
            (c("_abstains") & (~c("_agreed") | c("_x_b")), State.UNMANAGED.value),
            (c("_abstains"), State.RELEASED.value),
            (~c("_agreed") & c("_x_d"), State.BASELINE.value),
            (c("_x_b") & c("_x_d"), State.NOOP.value),
            (c("_x_d"), State.CONVERGED.value),
            (possible(c("held")), State.HELD.value),
            (~certain(c("writable")), State.INVALID.value),
            (in_force & c("_x_kept") & c("_d_refused"), State.OVERRIDDEN.value),
            (clears & c("_x_b") & ~c("_x_kept"), State.CLEAR.value),
            (~c("_agreed") & ~_kind_is("base_kind", "released") & c("_x").is_null(), State.FILL.value),
            (~c("_agreed"), State.TAKEOVER.value),
            (c("_x_b") & c("_x_kept"), State.OVERRIDE_LAPSED.value),
            (c("_x_b"), State.UPDATE.value),
            (c("_d_b"), State.DRIFT.value),
        ],
        State.CONFLICT.value,
    )


def _action(knobs: Knobs) -> Expr:
    s = nw.col("state")
    keeps, writes = Action.AGREE.value, Action.AUTO.value
    chosen = cases(
        [
            (one_of(s, {State.UNMANAGED, State.NOOP}), Action.NONE.value),
            (one_of(s, {State.RELEASED, State.BASELINE, State.CONVERGED}), keeps),
            (s == State.HELD.value, Action.HELD.value),
            (one_of(s, {State.ORPHAN, State.UNREADABLE, State.INVALID}), Action.BLOCKED.value),
            (s == State.OVERRIDDEN.value, Action.OVERRIDDEN.value),
            (s == State.CLEAR.value, writes),
            ((s == State.FILL.value) & (knobs.on_fill == "never"), Action.NONE.value),
            (s == State.FILL.value, knobs.on_fill),
            (s == State.UPDATE.value, knobs.on_update),
            ((s == State.TAKEOVER.value) & (knobs.on_takeover == "ours"), writes),
            ((s == State.TAKEOVER.value) & (knobs.on_takeover == "adopt"), keeps),
            ((s == State.DRIFT.value) & (knobs.on_drift == "enforce"), writes),
            ((s == State.DRIFT.value) & (knobs.on_drift == "adopt"), keeps),
            ((s == State.CONFLICT.value) & (knobs.on_conflict == "ours"), writes),
            ((s == State.CONFLICT.value) & (knobs.on_conflict == "theirs"), keeps),
        ],
        Action.REVIEW.value,
    )
    return _tightened(chosen, knobs)


def _tightened(chosen: Expr, knobs: Knobs) -> Expr:
    """Where a value would be emptied, the `clear` knob may make the outcome stricter, never looser."""
    empties = _kind_is("desired_kind", "clear") & one_of(
        nw.col("state"), {State.CLEAR, State.TAKEOVER, State.DRIFT, State.CONFLICT}
    )
    asks_or_writes = one_of(chosen, {Action.AUTO, Action.REVIEW})
    return cases(
        [
            (empties & asks_or_writes & (knobs.clear == "forbid"), Action.BLOCKED.value),
            (empties & asks_or_writes & (knobs.clear == "review"), Action.REVIEW.value),
        ],
        chosen,
    )
