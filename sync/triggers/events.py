"""The tables of events, their ids and their deadlines.

An event's id is made of what happened, to whom, when, from what and to what: the same event found again is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta

import narwhals as nw
import pyarrow as pa

from mappings.structure_policy import TriggerPolicy
from sync.engine import Engine, Frame
from sync.frames import conform, first_by
from sync.world import BOOL, TEXT, Schema

RAW: Schema = {
    "kind": TEXT,  # OWNERSHIP_CHANGE, SERVICE_LINE_CHANGE, PAYER_CONTRACT, TECH_CHANGE, REGULATORY, ...
    "detail": TEXT,  # moved_system, joined_system, left_system, reparented, operator_change, ehr_vendor, ...
    "account_id": TEXT,  # null where it is about a state or a person
    "subject": TEXT,  # the account, "state:KS" or an e-mail
    "effective_date": TEXT,  # ISO date; null = a state that nobody dated
    "first_seen": TEXT,  # ISO date it became known
    "old_id": TEXT,  # account of the old system, where it is about ownership
    "new_id": TEXT,
    "old": TEXT,  # for people
    "new": TEXT,
    "source_ref": TEXT,
}
"""Events as they are found."""

TRIGGERS: Schema = {
    "event_id": TEXT,
    **RAW,
    "due_on": TEXT,  # ISO date by which everything must have been looked at again; null = now
    "gate": TEXT,  # auto, approval, review
    "is_late": BOOL,  # it became known after it took effect
}
"""Events with id, deadline and gate; unique on event_id."""

_MADE = pa.schema([*((name, pa.string()) for name in (*RAW, "sla", "event_id", "due_on")), ("is_late", pa.bool_())])


def finished(raw: Frame, policy: TriggerPolicy, engine: Engine) -> Frame:
    """TRIGGERS of RAW rows; an event that two sources show is one."""
    rules = sorted(policy.rules.items())
    sla = of_kind({kind: str(rule.sla_days) for kind, rule in rules}, "0")
    made = engine.map_batches(conform(raw, RAW).with_columns(sla=sla), make_ids, _MADE)
    by_rule = of_kind({kind: rule.gate for kind, rule in rules}, "approval")
    gate = nw.when(nw.col("detail") == "flapping").then(nw.lit("review")).otherwise(by_rule)
    once = first_by(made.with_columns(gate=gate), ["event_id"], ["first_seen", "source_ref"])
    return engine.materialize(conform(once, TRIGGERS))


def of_kind(given: Mapping[str, str], otherwise: str) -> nw.Expr:
    """What is given for the kind of an event."""
    if not given:
        return nw.lit(otherwise)
    return nw.col("kind").replace_strict(list(given), list(given.values()), default=otherwise, return_dtype=TEXT)


def make_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds `event_id`, `due_on`, `is_late`."""
    given = {name: batch.column(name) for name in batch.schema.names}
    keys = zip(*(given[name].to_pylist() for name in ("kind", "subject", "effective_date", "old", "new")), strict=True)
    starts, seen = (given[name].to_pylist() for name in ("effective_date", "first_seen"))
    spans = list(zip(starts, given["sla"].to_pylist(), strict=True))
    due = {(start, days): _added(start, int(days)) for start, days in set(spans)}
    made = {
        "event_id": [_digest(parts) for parts in keys],
        "due_on": [due[span] for span in spans],
        "is_late": [bool(start) and (day or "") > start for start, day in zip(starts, seen, strict=True)],
    }
    columns = [pa.array(made[f.name], f.type) if f.name in made else given[f.name].cast(f.type) for f in _MADE]
    return pa.RecordBatch.from_arrays(columns, schema=_MADE)


def window_start(policy: TriggerPolicy, as_of: str, *, extra_days: int = 0) -> str:
    """The last day before the window of events that are looked at."""
    return _added(as_of, -policy.window_days - extra_days) or as_of


def _digest(parts: tuple[str | None, ...]) -> str:
    text = "|".join("~" if part is None else f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _added(day: str | None, days: int) -> str | None:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat() if day else None
