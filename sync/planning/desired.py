"""The differences: desired values against what was agreed and what the CRM says, field by field.

A million accounts hardly ever differ. So the wide table is first thinned to the records in which any field is not
settled, on the three values alone; holds, overrides, validity and reasons join only what is left. On first contact they
all differ: so the records are gone through in parts, and only what is found of a part stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy, FieldPolicy
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, conform, null, one_of, stack, text
from sync.planning.adjusted import adjusted, explained
from sync.planning.attribution import with_actors
from sync.planning.fights import with_fights
from sync.planning.groups import group_of
from sync.planning.standing import with_holds, with_overrides
from sync.planning.threeway import (
    KNOB_COLUMNS,
    KNOB_NAMES,
    Action,
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

A field without a value abstains. Where the caller has values of a field but no kinds, the value says it: null abstains.
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
_WORDS: Schema = {
    name: dtype
    for name, dtype in DESIRED.items()
    if name in (*_KEY, *_ABOUT) or name.endswith(("__rule", "__evidence", "__blocked"))
}
"""What is asked about the records that differ, beside the values."""


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

    With `told`, `desired` needs no more than the values of all records, and the kinds of fields that may be emptied.
    """
    wanted = _wanted(desired)
    orphaned = world.agreed.select(*_KEY).join(desired.select(*_KEY), on=list(_KEY), how="anti")
    open_rows = [
        _open_rows(part, replace(world, agreed=agreed, records=records), policy, as_of, engine)
        for part, agreed, records in engine.parts((wanted, world.agreed, world.records), _KEY)
    ]
    pieces = engine.parts((stack(open_rows),), _KEY)  # few as a rule; on first contact all of them
    words = told or partial(_of_records, desired)
    found = [_differences(piece, words, world, policy, as_of, engine) for (piece,) in pieces]
    if engine.count(orphaned.head(1)):  # records that we have no opinion about any more: all of it abstains
        gone = _open_rows(_wanted(orphaned), world, policy, as_of, engine)
        found.append(_differences(gone, lambda keys: keys, world, policy, as_of, engine))
    return Compared(
        differences=found[0] if len(found) == 1 else engine.materialize(stack(found)),
        records=_record_counts(desired, engine),
        fields=len(MANAGED),
    )


def _of_records(desired: Frame, keys: Frame) -> Frame:
    return desired.join(keys, on=list(_KEY), how="semi")


def _wanted(desired: Frame) -> Frame:
    """Keys and `<field>__desired`, null where no value is wanted; `<field>__kind` of the fields that come with one."""
    columns = desired.collect_schema()
    stated = [name for name in MANAGED if f"{name}__kind" in columns]
    told = conform(desired, dict.fromkeys((*_KEY, *MANAGED, *_of(stated, "kind")), TEXT))
    only = {name: nw.when(nw.col(f"{name}__kind") == "value").then(nw.col(name)) for name in stated}
    told = told.with_columns(**only) if only else told
    return told.rename({name: f"{name}__desired" for name in MANAGED})


def _of(names: Iterable[str], side: str) -> list[str]:
    """The columns of one side of these fields."""
    return [f"{name}__{side}" for name in names]


def _open_rows(wanted: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Frame:
    """The records of which a field is not settled, with all sides of all fields."""
    columns = wanted.collect_schema()
    stated = [name for name in MANAGED if f"{name}__kind" in columns]
    sides = adjusted(_side_by_side(wanted, world), world, policy, as_of, engine)
    return engine.keep(_thinned(sides, world, stated))


def _differences(
    open_rows: Frame, told: Told, world: World, policy: ConflictPolicy, as_of: str, engine: Engine
) -> Frame:
    words = conform(told(open_rows.select(*_KEY)), _WORDS)
    detailed = engine.materialize(_with_details(open_rows, words, policy))
    rows = _with_sides(_long(detailed), world)
    return engine.materialize(conform(_decided(rows, world, policy, as_of, engine), DIFFERENCES))


def _record_counts(wanted: Frame, engine: Engine) -> dict[str, int]:
    rows = engine.rows(wanted.group_by("connection").agg(nw.len().cast(nw.Int64()).alias("records")))
    return dict(sorted((row["connection"], row["records"]) for row in rows))


# --- thinning ---------------------------------------------------------------------------------------------------------


def _side_by_side(wanted: Frame, world: World) -> Frame:
    """The desired beside the agreed and the CRM's values, and what is known of the record in the CRM."""
    agreed = conform(world.agreed, _AGREED).rename(
        {**{name: f"{name}__base" for name in MANAGED}, **{f"{name}__kind": f"{name}__base_kind" for name in MANAGED}}
    )
    seen = world.records.select(*_KEY, "is_deleted", *_RECORD, "name", *MANAGED).rename(
        {"name": "_name", **{name: f"{name}__crm" for name in MANAGED}}
    )
    joined = wanted.join(agreed, on=list(_KEY), how="left")
    joined = joined.join(seen.with_columns(_seen=nw.lit(True)), on=list(_KEY), how="left")
    gone = nw.col("_seen").is_null() | certain(nw.col("is_deleted")) | ~nw.col("merged_into").is_null()
    return joined.with_columns(gone=gone).drop("_seen", "is_deleted")


_AGREED: Schema = {**dict.fromkeys(_KEY, TEXT), **{f"{name}{end}": TEXT for name in MANAGED for end in ("", "__kind")}}


def _thinned(sides: Frame, world: World, stated: Collection[str]) -> Frame:
    """The records in which at least one field may lead to something; `<field>__open` says which.

    No kind of theirs is null, and agreed and CRM values have "" for empty.
    """
    bases = {f"{n}__base": nw.when(nw.col(f"{n}__base_kind") == "value").then(nw.col(f"{n}__base")) for n in MANAGED}
    kinds = [nw.col(*_of(stated, "kind")).fill_null("abstain")] if stated else []
    filled = sides.with_columns(**bases).with_columns(
        nw.col(*_of(MANAGED, "base"), *_of(MANAGED, "crm"), *_of(stated, "desired")).fill_null(""),
        nw.col(*_of(MANAGED, "base_kind")).fill_null("nobase"),
        *kinds,
    )
    compared = filled.with_columns(
        nw.col(*_of(MANAGED, "base_kind")).is_in(["empty", "value"]).name.suffix("__agreed"),
        (nw.col(*_of(MANAGED, "desired")) != "").fill_null(value=False).name.suffix("__wants"),
    )
    flagged = compared.with_columns(**{f"{name}__open": _open(name, world, stated) for name in MANAGED})
    return flagged.filter(nw.any_horizontal(nw.col(*_of(MANAGED, "open")), ignore_nulls=False))


def _open(name: str, world: World, stated: Collection[str]) -> Expr:
    """As `is_open` of what `_with_sides` makes, without making it for a million records that are settled."""
    wants = nw.col(f"{name}__desired__wants")
    is_open = unsettled(
        crm=nw.col(f"{name}__crm"),
        base=nw.col(f"{name}__base"),
        desired=nw.col(f"{name}__desired"),
        agreed=nw.col(f"{name}__base_kind__agreed"),
        wants=wants | (nw.col(f"{name}__kind") == "clear") if name in stated else wants,
        unreadable=_elsewhere(world.hidden, name, nw.col("gone")),
    )
    unmapped = _connections(world.unmapped, name)
    return is_open & ~one_of(nw.col("connection"), unmapped) if unmapped else is_open


def _elsewhere(hidden: Mapping[str, Iterable[str]], name: str, gone: Expr) -> Expr:
    """True where the field cannot be read: the record is gone, or the field hidden in its CRM."""
    connections = _connections(hidden, name)
    return gone | one_of(nw.col("connection"), connections) if connections else gone


def _connections(fields: Mapping[str, Iterable[str]], name: str) -> set[str]:
    return {connection for connection, names in fields.items() if name in names}


def _with_details(open_rows: Frame, words: Frame, policy: ConflictPolicy) -> Frame:
    """The rule, evidence and names behind the few records that are left."""
    joined = explained(open_rows.join(words, on=list(_KEY), how="left"), policy)
    return joined.with_columns(account_name=nw.coalesce("account_name", "_name")).drop("_name")


# --- deciding ---------------------------------------------------------------------------------------------------------


_LONG = {
    "base_kind": "base_kind",
    "base": "base",
    "crm": "crm",
    "kind": "desired_kind",
    "desired": "desired",
    "rule": "rule_id",
    "evidence": "evidence",
    "blocked": "blocked",
}
"""What is known of a field: end of its column in the wide table, and its name in the long one."""


def _long(detailed: Frame) -> Frame:
    """One row per open field, its values beside what is known of the record and the rule."""
    columns = detailed.collect_schema()
    unstated = {kind: null(TEXT) for kind in _of(MANAGED, "kind") if kind not in columns}
    wide = detailed.with_columns(**unstated) if unstated else detailed
    return stack([_field_rows(wide, name) for name in MANAGED])


def _field_rows(wide: Frame, name: str) -> Frame:
    own = {f"{name}__{end}": column for end, column in _LONG.items()}
    rows = wide.filter(nw.col(f"{name}__open")).select(*_KEY, *_ABOUT, *_RECORD, "gone", *own)
    return rows.rename(own).with_columns(field=nw.lit(name))


def _with_sides(rows: Frame, world: World) -> Frame:
    """The three sides as the decision table reads them: a text where its kind is `value`, and only there."""
    c = nw.col
    hidden = [
        (c("connection") == connection) & one_of(c("field"), set(fields)) for connection, fields in world.hidden.items()
    ]
    seen = [(c("gone"), "gone"), *((one, "hidden") for one in hidden), (c("crm") != "", "value")]
    by_value = nw.when(c("desired").is_null()).then(nw.lit("abstain")).otherwise(nw.lit("value"))
    kinds = rows.with_columns(crm_kind=cases(seen, "empty"), desired_kind=nw.coalesce(c("desired_kind"), by_value))
    return kinds.with_columns(
        base=nw.when(c("base") != "").then(c("base")),
        crm=nw.when((c("crm_kind") == "value") & (c("crm") != "")).then(c("crm")),
        desired=nw.when(c("desired") != "").then(c("desired")),
    ).drop("gone")


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
        {"field": name, "group": group_of(name, policy), **{knob: getattr(own, knob) for knob in KNOB_NAMES}}
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
