"""What a change in the CRM leads to, by who made it: the `trust` list of a field's policy."""

from __future__ import annotations

import narwhals as nw

from mappings.policy import ConflictPolicy, Trust
from sync.engine import Frame
from sync.frames import Expr, cases, one_of
from sync.planning.threeway import State

_DRIFT = {"review": "review", "ours": "enforce", "theirs": "adopt"}
_CONFLICT = {"review": "review", "ours": "ours", "theirs": "theirs"}
_MOVED = frozenset({State.DRIFT, State.CONFLICT})


def with_trust(rows: Frame, policy: ConflictPolicy) -> Frame:
    """`on_drift` and `on_conflict` as the first entry that fits the actor says; else as they are.

    An actor that nobody knows counts as a human: history may simply not have reached us. Where a value of our own is to
    converge, the state says so: it becomes the agreed value, and nothing is refused by it.
    """
    entries = [(name, one) for name, field in sorted(policy.fields.items()) for one in field.trust]
    if not entries:
        return rows
    drift = [(_fits(name, one), _DRIFT.get(one.verdict, nw.col("on_drift"))) for name, one in entries]
    conflict = [(_fits(name, one), _CONFLICT.get(one.verdict, nw.col("on_conflict"))) for name, one in entries]
    first = cases([(_fits(name, one), one.verdict) for name, one in entries], "")
    converges = one_of(nw.col("state"), _MOVED) & (first == "converge")
    return rows.with_columns(
        on_drift=cases(drift, nw.col("on_drift")),
        on_conflict=cases(conflict, nw.col("on_conflict")),
        state=nw.when(converges).then(nw.lit(State.CONVERGED.value)).otherwise(nw.col("state")),
    )


def _fits(name: str, one: Trust) -> Expr:
    kind, _, who = one.actor.partition(":")
    found = nw.col("actor_kind")
    is_kind = (found == kind) | (found == "unknown") if kind == "human" and not who else found == kind
    fits = (nw.col("field") == name) & is_kind
    return fits & (nw.col("actor") == who) if who else fits
