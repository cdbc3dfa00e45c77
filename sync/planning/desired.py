"""The differences: desired values against what was agreed and what the CRM says, field by field.

A million accounts hardly ever differ. So the wide table is first thinned to the records in which any field is not
settled, on the three values alone; holds, overrides, validity and reasons join only what is left. On first contact they
all differ: so the records are gone through in parts, and only what is found of a part stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy, FieldPolicy
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, conform, null, one_of, stack, text
from sync.planning.adjusted import adjusted, explained
from sync.planning.attribution import with_actors
from sync.planning.fights import with_fights
from sync.planning.standing import with_holds, with_overrides
from sync.planning.threeway import (
    KNOB_COLUMNS,
    KNOB_NAMES,
    Action,
    Sides,
    State,
    unsettled,
    with_action,
    with_state,
)
from sync.planning.trust import with_trust
from sync.planning.validity import with_validity
from sync.world import CHANGES, INT, TEXT, Schema, World

DESIRED: Schema = {
    "connection": TEXT,
    "record_id": TEXT,
    "account_id": TEXT,
    "account_name": TEXT,
    "depth": INT,  # of the record in the tree; a root is 0
    "system": TEXT,  # name of the health system it belongs to now
    "old_system": TEXT,  # name of the one it belonged to before
    **{
        f"{name}{suffix}": TEXT
        for name in MANAGED
        # value; kind: value, clear, abstain; rule id; evidence as JSON; why it cannot be written, null = it can
        for suffix in ("", "__kind", "__rule", "__evidence", "__blocked")
    },
}
"""What the rules want, wide: one row per live CRM record, unique on (connection, record_id).

A column the caller does not have abstains.
"""

DIFFERENCES: Schema = {
    **{name: dtype for name, dtype in CHANGES.items() if name != "item_id"},
    "depth": INT,
    "system": TEXT,
    "old_system": TEXT,
}
"""One row per (connection, record, field) whose action is not 'none'; CHANGES without the item."""

_KEY = ("connection", "record_id")
_ABOUT = ("account_id", "account_name", "depth", "system", "old_system")
_RECORD = ("merged_into", "modified_by", "modified_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison found, and how much it looked at."""

    differences: Frame  # DIFFERENCES, materialized
    records: Mapping[str, int]  # connection -> records the rules looked at
    fields: int  # managed fields compared per record


Told = Callable[[Frame], Frame]
"""DESIRED of the records of `connection`, `record_id`: made for the few that differ."""


def compare(
    desired: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine, *, told: Told | None = None
) -> Compared:
    """Every difference that needs a write, a decision, a word, or a move of the agreed value.

    With `told`, `desired` needs no more than the values and kinds of all records.
    """
    wanted = conform(desired, DESIRED)
    orphaned = engine.materialize(_orphaned(wanted, world))
    open_rows = [
        _open_rows(part, replace(world, agreed=agreed, records=records), policy, as_of, engine)
        for part, agreed, records in engine.parts((wanted, world.agreed, world.records), _KEY)
    ]
    pieces = engine.parts((stack(open_rows),), _KEY)  # few as a rule; on first contact all of them
    words = told or partial(_of_records, wanted)
    found = [_differences(piece, words, world, policy, as_of, engine) for (piece,) in pieces]
    if engine.count(orphaned.head(1)):
        gone = _open_rows(orphaned, world, policy, as_of, engine)
        found.append(_differences(gone, partial(_of_records, orphaned), world, policy, as_of, engine))
    return Compared(
        differences=found[0] if len(found) == 1 else engine.materialize(stack(found)),
        records=_record_counts(wanted, engine),
        fields=len(MANAGED),
    )


def _of_records(wanted: Frame, keys: Frame) -> Frame:
    return wanted.join(keys, on=list(_KEY), how="semi")


def _orphaned(wanted: Frame, world: World) -> Frame:
    """DESIRED of agreed records that we have no opinion about any more: all of it abstains."""
    keys = world.agreed.select(*_KEY).join(wanted.select(*_KEY), on=list(_KEY), how="anti")
    return conform(keys, DESIRED)


def _open_rows(wanted: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Frame:
    """The records of which a field is not settled, with all sides of all fields."""
    sides = adjusted(_side_by_side(wanted, world), world, policy, as_of, engine)
    return engine.keep(_thinned(sides, world))


def _differences(
    open_rows: Frame, told: Told, world: World, policy: ConflictPolicy, as_of: str, engine: Engine
) -> Frame:
    words = conform(told(open_rows.select(*_KEY)), DESIRED)
    detailed = engine.materialize(_with_details(open_rows, words, world))
    rows = engine.materialize(_long(detailed, world))
    return engine.materialize(conform(_decided(rows, world, policy, as_of, engine), DIFFERENCES))


def _record_counts(wanted: Frame, engine: Engine) -> dict[str, int]:
    rows = engine.rows(wanted.group_by("connection").agg(nw.len().cast(nw.Int64()).alias("records")))
    return dict(sorted((row["connection"], row["records"]) for row in rows))


# --- thinning ---------------------------------------------------------------------------------------------------------


def _side_by_side(wanted: Frame, world: World) -> Frame:
    """Keys and, per field, the desired, agreed and CRM value."""
    ours = wanted.select(
        *_KEY, *[c for name in MANAGED for c in (nw.col(name).alias(f"{name}__desired"), nw.col(f"{name}__kind"))]
    )
    agreed = conform(world.agreed, _agreed_schema()).rename({name: f"{name}__base" for name in MANAGED})
    agreed = agreed.rename({f"{name}__kind": f"{name}__base_kind" for name in MANAGED})
    seen = world.records.select(
        *_KEY, "is_deleted", "merged_into", *[nw.col(name).alias(f"{name}__crm") for name in MANAGED]
    ).with_columns(_seen=nw.lit(True))
    joined = ours.join(agreed, on=list(_KEY), how="left").join(seen, on=list(_KEY), how="left")
    gone = ~certain(nw.col("_seen")) | certain(nw.col("is_deleted")) | ~nw.col("merged_into").is_null()
    return joined.with_columns(gone=gone).drop("_seen", "is_deleted")


def _agreed_schema() -> Schema:
    return {**dict.fromkeys(_KEY, TEXT), **{f"{name}{suffix}": TEXT for name in MANAGED for suffix in ("", "__kind")}}


def _thinned(sides: Frame, world: World) -> Frame:
    """The records in which at least one field may lead to something; `<field>__open` says which."""
    flagged = sides.with_columns(**{f"{name}__open": _open(name, world) for name in MANAGED})
    return flagged.filter(reduce(lambda a, b: a | b, (nw.col(f"{name}__open") for name in MANAGED)))


def _open(name: str, world: World) -> Expr:
    """As `is_open` of `_sides_of`, without making a kind in words for a million records that are settled."""
    crm, base, desired = (_text_of(f"{name}__{side}") for side in ("crm", "base", "desired"))
    base_kind, kind = nw.col(f"{name}__base_kind"), nw.col(f"{name}__kind")
    is_open = unsettled(
        crm=crm,
        base=nw.when(base_kind == "value").then(base),
        desired=nw.when(kind == "value").then(desired),
        readable=~_elsewhere(world.hidden, name, nw.col("gone")),
        agreed=one_of(base_kind, {"value", "empty"}),
        clears=certain(kind == "clear"),
    )
    unmapped = _connections(world.unmapped, name)
    return is_open & ~one_of(nw.col("connection"), unmapped) if unmapped else is_open


def _elsewhere(hidden: Mapping[str, Iterable[str]], name: str, gone: Expr) -> Expr:
    """True where the field cannot be read: the record is gone, or the field hidden in its CRM."""
    connections = _connections(hidden, name)
    return gone | one_of(nw.col("connection"), connections) if connections else gone


def _text_of(column: str) -> Expr:
    return nw.when(nw.col(column) != "").then(nw.col(column))


def _sides_of(name: str, world: World) -> Sides:
    crm = nw.col(f"{name}__crm")
    crm_kind = cases(
        [
            (nw.col("gone"), "gone"),
            (one_of(nw.col("connection"), _connections(world.hidden, name)), "hidden"),
            (certain(crm != ""), "value"),
        ],
        "empty",
    )
    return Sides(
        base_kind=nw.coalesce(nw.col(f"{name}__base_kind"), nw.lit("nobase")),
        base=nw.col(f"{name}__base"),
        crm_kind=crm_kind,
        crm=crm,
        desired_kind=nw.coalesce(nw.col(f"{name}__kind"), nw.lit("abstain")),
        desired=nw.col(f"{name}__desired"),
    )


def _connections(fields: Mapping[str, Iterable[str]], name: str) -> set[str]:
    return {connection for connection, names in fields.items() if name in names}


def _with_details(open_rows: Frame, wanted: Frame, world: World) -> Frame:
    """The rule, evidence and names behind the few records that are left, and who last touched them."""
    details = wanted.select(
        *_KEY, *_ABOUT, *[f"{name}{suffix}" for name in MANAGED for suffix in ("__rule", "__evidence", "__blocked")]
    )
    touched = world.records.select(*_KEY, "modified_by", "modified_at", nw.col("name").alias("_name"))
    joined = explained(open_rows.join(details, on=list(_KEY), how="left")).join(touched, on=list(_KEY), how="left")
    return joined.with_columns(account_name=nw.coalesce("account_name", "_name")).drop("_name")


# --- deciding ---------------------------------------------------------------------------------------------------------


def _long(detailed: Frame, world: World) -> Frame:
    """One row per open field, its three sides beside what is known of the record and the rule."""
    return stack([_field_rows(detailed, name, world) for name in MANAGED])


def _field_rows(detailed: Frame, name: str, world: World) -> Frame:
    sides = _sides_of(name, world)
    return detailed.filter(nw.col(f"{name}__open")).select(
        *_KEY,
        *_ABOUT,
        *_RECORD,
        field=nw.lit(name),
        base_kind=sides.base_kind,
        base=_value_of(sides.base_kind, sides.base),
        crm_kind=sides.crm_kind,
        crm=_value_of(sides.crm_kind, sides.crm),
        desired_kind=sides.desired_kind,
        desired=_value_of(sides.desired_kind, sides.desired),
        rule_id=nw.col(f"{name}__rule"),
        evidence=nw.col(f"{name}__evidence"),
        blocked=nw.col(f"{name}__blocked"),
    )


def _value_of(kind: Expr, value: Expr) -> Expr:
    """The text where the kind says there is one; empty and unreadable sides show none."""
    return nw.when((kind == "value") & (value != "")).then(value)


def _decided(rows: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Frame:
    """State, action and reason of every row; rows that need nothing are left out."""
    knobs = engine.table(_knob_rows(policy), dict.fromkeys(("field", "group", *KNOB_NAMES), TEXT))
    grouped = rows.join(knobs, on="field", how="left")
    judged = with_validity(grouped, world, block_team=policy.blocks_teams)
    # Cut here and after the state: Spark would otherwise write the whole table into each of its own branches.
    held = with_fights(with_holds(judged, world, as_of), world, policy, as_of)
    answered = engine.materialize(with_overrides(held, world, as_of))
    stated = engine.materialize(with_state(answered))
    attributed = with_trust(with_actors(stated, world), policy)
    acted = with_action(attributed, KNOB_COLUMNS).filter(nw.col("action") != Action.NONE.value)
    return acted.with_columns(reason=_reason())


def _knob_rows(policy: ConflictPolicy) -> list[dict[str, str]]:
    fields = {name: policy.fields.get(name, FieldPolicy()) for name in MANAGED}
    return [
        {"field": name, "group": own.group or name, **{knob: getattr(own, knob) for knob in KNOB_NAMES}}
        for name, own in fields.items()
    ]


def _reason() -> Expr:
    state = nw.col("state")
    merged = text("record was merged into ", nw.col("merged_into"), "; its values follow the survivor")
    return cases(
        [
            ((state == State.ORPHAN.value) & ~nw.col("merged_into").is_null(), merged),
            (
                state == State.ORPHAN.value,
                "record is deleted in the CRM; nothing is written and its agreement is released",
            ),
            (
                state == State.UNREADABLE.value,
                "the integration user may not read this field; grant read access or take it out of the map",
            ),
            (state == State.HELD.value, nw.col("hold_reason")),
            (state == State.INVALID.value, nw.col("blocked")),
            (one_of(state, {State.OVERRIDDEN, State.OVERRIDE_LAPSED}), nw.col("override_reason")),
            (
                nw.col("action") == Action.BLOCKED.value,
                "the conflict policy forbids emptying this field; keep the CRM's value or allow it there",
            ),
        ],
        null(TEXT),
    )
