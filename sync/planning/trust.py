"""What a change in the CRM leads to, by who made it: the `trust` list of a field's policy."""

from __future__ import annotations

import narwhals as nw

from mappings.policy import ConflictPolicy, Trust
from sync.engine import Frame
from sync.frames import Expr, cases

_DRIFT = {"review": "review", "ours": "enforce", "theirs": "adopt"}
_CONFLICT = {"review": "review", "ours": "ours", "theirs": "theirs"}


def with_trust(rows: Frame, policy: ConflictPolicy) -> Frame:
    """`on_drift` and `on_conflict` as the first entry that fits the actor says; else as they are.

    An actor that nobody knows counts as a human: history may simply not have reached us.
    """
    entries = [(name, one) for name, field in sorted(policy.fields.items()) for one in field.trust]
    if not entries:
        return rows
    drift = [(_fits(name, one), _DRIFT[one.verdict]) for name, one in entries]
    conflict = [(_fits(name, one), _CONFLICT[one.verdict]) for name, one in entries]
    return rows.with_columns(
        on_drift=cases(drift, nw.col("on_drift")), on_conflict=cases(conflict, nw.col("on_conflict"))
    )


def _fits(name: str, one: Trust) -> Expr:
    kind, _, who = one.actor.partition(":")
    found = nw.col("actor_kind")
    is_kind = (found == kind) | (found == "unknown") if kind == "human" and not who else found == kind
    fits = (nw.col("field") == name) & is_kind
    return fits & (nw.col("actor") == who) if who else fits
