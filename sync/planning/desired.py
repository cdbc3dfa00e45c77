"""The differences: desired values against what was agreed and what the CRM says, field by field.

A million accounts hardly ever differ. So the wide table is first thinned to the records in which any field is not
settled, on the three values alone; holds, overrides, validity and reasons join only what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import narwhals as nw

from mappings.canonical import ACCOUNT, MANAGED, FieldType
from mappings.policy import ConflictPolicy, FieldPolicy
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, conform, first_by, null, one_of, same, stack, text
from sync.planning.threeway import Action, Sides, State, classify, knobs_of, settled, unconcerned
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
_TYPES = {field.name: field.type for field in ACCOUNT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison found, and how much it looked at."""

    differences: Frame  # DIFFERENCES, materialized
    records: Mapping[str, int]  # connection -> records the rules looked at
    fields: int  # managed fields compared per record


def compare(desired: Frame, world: World, policy: ConflictPolicy, as_of: str, engine: Engine) -> Compared:
    """Every difference that needs a write, a decision, a word, or a move of the agreed value."""
    wanted = conform(desired, DESIRED)
    sides = _side_by_side(wanted, world)
    open_rows = engine.materialize(_thinned(sides, world))
    detailed = engine.materialize(_with_details(open_rows, wanted, world))
    found = [
        _field_differences(detailed, name, policy.fields.get(name, FieldPolicy()), world, policy, as_of)
        for name in MANAGED
    ]
    differences = engine.materialize(stack(found))
    return Compared(
        differences=engine.materialize(_attributed(differences, world)),
        records=_record_counts(wanted, engine),
        fields=len(MANAGED),
    )


def _record_counts(wanted: Frame, engine: Engine) -> dict[str, int]:
    rows = engine.rows(wanted.group_by("connection").agg(nw.len().cast(nw.Int64()).alias("records")))
    return dict(sorted((row["connection"], row["records"]) for row in rows))


# --- thinning ---------------------------------------------------------------------------------------------------------


def _side_by_side(wanted: Frame, world: World) -> Frame:
    """Keys and, per field, the desired, agreed and CRM value. Agreed records we have no opinion about are kept."""
    ours = wanted.select(
        *_KEY, *[c for name in MANAGED for c in (nw.col(name).alias(f"{name}__desired"), nw.col(f"{name}__kind"))]
    )
    agreed = conform(world.agreed, _agreed_schema()).rename({name: f"{name}__base" for name in MANAGED})
    agreed = agreed.rename({f"{name}__kind": f"{name}__base_kind" for name in MANAGED})
    seen = world.records.select(
        *_KEY, "is_deleted", "merged_into", *[nw.col(name).alias(f"{name}__crm") for name in MANAGED]
    ).with_columns(_seen=nw.lit(True))
    orphaned = agreed.select(*_KEY).join(ours.select(*_KEY), on=list(_KEY), how="anti")
    everyone = nw.concat([ours, orphaned], how="diagonal")
    joined = everyone.join(agreed, on=list(_KEY), how="left").join(seen, on=list(_KEY), how="left")
    gone = ~certain(nw.col("_seen")) | certain(nw.col("is_deleted")) | ~nw.col("merged_into").is_null()
    return joined.with_columns(gone=gone).drop("_seen", "is_deleted")


def _agreed_schema() -> Schema:
    return {**dict.fromkeys(_KEY, TEXT), **{f"{name}{suffix}": TEXT for name in MANAGED for suffix in ("", "__kind")}}


def _thinned(sides: Frame, world: World) -> Frame:
    """The records in which at least one field may lead to something."""
    return sides.filter(reduce(lambda a, b: a | b, (_open(name, world) for name in MANAGED)))


def _open(name: str, world: World) -> Expr:
    sides = _sides_of(name, world)
    mapped = ~one_of(nw.col("connection"), _connections(world.unmapped, name))
    return mapped & ~settled(sides) & ~unconcerned(sides)


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
    touched = world.records.select(*_KEY, "modified_by", "modified_at")
    return open_rows.join(details, on=list(_KEY), how="left").join(touched, on=list(_KEY), how="left")


# --- one field --------------------------------------------------------------------------------------------------------


def _field_differences(
    detailed: Frame, name: str, policy: FieldPolicy, world: World, conflicts: ConflictPolicy, as_of: str
) -> Frame:
    sides = _sides_of(name, world)
    group = policy.group or name
    rows = detailed.filter(_open(name, world)).select(
        *_KEY,
        *_ABOUT,
        *_RECORD,
        group=nw.lit(group),
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
    judged = _with_validity(rows, name, world, conflicts)
    settled_by_people = _with_overrides(_with_holds(judged, group, world, as_of), name, world, as_of)
    decided = classify(settled_by_people, knobs_of(policy)).filter(nw.col("action") != Action.NONE.value)
    unattributed = decided.with_columns(
        reason=_reason(), actor_kind=null(TEXT), actor=null(TEXT), changed_at=null(TEXT)
    )
    return conform(unattributed, {**DIFFERENCES, "modified_by": TEXT, "modified_at": TEXT})


def _value_of(kind: Expr, value: Expr) -> Expr:
    """The text where the kind says there is one; empty and unreadable sides show none."""
    return nw.when((kind == "value") & (value != "")).then(value)


def _with_validity(rows: Frame, name: str, world: World, conflicts: ConflictPolicy) -> Frame:
    """Adds `writable`, and to `blocked` what the CRM would refuse or what would do damage beside the field."""
    if _TYPES[name] is FieldType.USER_REF:
        rows = _with_user_check(rows, world)
        if conflicts.block_owner_change_with_team:
            rows = _with_team_check(rows, world)
    elif _TYPES[name] is FieldType.ACCOUNT_REF:
        rows = _with_parent_check(rows, world)
    elif _TYPES[name] is FieldType.PICKLIST:
        rows = rows.with_columns(blocked=nw.coalesce(nw.col("blocked"), _picklist_reason(name, world)))
    return rows.with_columns(writable=nw.col("blocked").is_null())


def _with_user_check(rows: Frame, world: World) -> Frame:
    users = world.users.select("connection", nw.col("user_id").alias("desired"), nw.col("is_active").alias("_active"))
    users = users.with_columns(_known=nw.lit(True))
    checked = rows.join(users, on=["connection", "desired"], how="left")
    named = nw.col("desired_kind") == "value"
    reason = cases(
        [
            (named & nw.col("_known").is_null(), "the proposed owner is not a user of this CRM; check the roster"),
            (named & ~certain(nw.col("_active")), "the proposed owner is inactive in this CRM; name a successor"),
        ],
        null(TEXT),
    )
    return checked.with_columns(blocked=nw.coalesce(nw.col("blocked"), reason)).drop("_active", "_known")


def _with_team_check(rows: Frame, world: World) -> Frame:
    sizes = world.team_members.group_by(*_KEY).agg(nw.len().cast(nw.Int64()).alias("_team"))
    checked = rows.join(sizes, on=list(_KEY), how="left")
    reason = text(
        "account team has ",
        nw.col("_team").cast(nw.String()),
        " members; an owner change by REST would drop it",
    )
    has_team = certain(nw.col("_team") > 0)
    return checked.with_columns(blocked=nw.coalesce(nw.col("blocked"), nw.when(has_team).then(reason))).drop("_team")


def _with_parent_check(rows: Frame, world: World) -> Frame:
    live = world.records.filter(~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null())
    parents = live.select("connection", nw.col("record_id").alias("desired")).with_columns(_known=nw.lit(True))
    checked = rows.join(parents, on=["connection", "desired"], how="left")
    named = nw.col("desired_kind") == "value"
    reason = cases(
        [
            (named & (nw.col("desired") == nw.col("record_id")), "an account cannot be its own parent"),
            (named & nw.col("_known").is_null(), "the proposed parent is not a live account of this CRM; pull again"),
        ],
        null(TEXT),
    )
    return checked.with_columns(blocked=nw.coalesce(nw.col("blocked"), reason)).drop("_known")


def _picklist_reason(name: str, world: World) -> Expr:
    named = nw.col("desired_kind") == "value"
    pairs = [
        (
            named & (nw.col("connection") == connection) & ~one_of(nw.col("desired"), fields[name]),
            f"the proposed value is not in this CRM's picklist for {name}; add it there or change the rule",
        )
        for connection, fields in sorted(world.picklists.items())
        if name in fields
    ]
    return cases(pairs, null(TEXT))


def _with_holds(rows: Frame, group: str, world: World, as_of: str) -> Frame:
    """Adds `held` and its reason. A hold on group `*` holds every group of the record."""
    standing = nw.col("until").is_null() | (nw.col("until") >= as_of)
    holds = world.holds.filter(standing & one_of(nw.col("group"), {group, "*"}))
    named = first_by(holds, _KEY, ["group", "kind", "reason", "by"], descending={"group"})
    reason = text(nw.col("kind"), ": ", nw.col("reason"), ", by ", nw.col("by"), _until())
    return rows.join(
        named.select(*_KEY, hold_reason=reason).with_columns(_held=nw.lit(True)), on=list(_KEY), how="left"
    ).with_columns(held=certain(nw.col("_held")))


def _with_overrides(rows: Frame, name: str, world: World, as_of: str) -> Frame:
    """Adds `override`, `kept`, `refused`, `lapsed` and why it was refused."""
    lapsed = ~nw.col("until").is_null() & certain(nw.col("until") < as_of)
    reason = text("kept by ", nw.col("by"), ": ", nw.col("reason"), _until())
    overrides = world.overrides.filter(nw.col("field") == name).select(
        *_KEY, "kept", "refused", lapsed=lapsed, override_reason=reason
    )
    overrides = overrides.with_columns(_override=nw.lit(True))
    joined = rows.join(overrides, on=list(_KEY), how="left")
    return joined.with_columns(override=certain(nw.col("_override")), lapsed=certain(nw.col("lapsed")))


def _until() -> Expr:
    return nw.when(~nw.col("until").is_null()).then(text(", until ", nw.col("until")))


def _reason() -> Expr:
    state = nw.col("state")
    merged = text("record was merged into ", nw.col("merged_into"), "; its values follow the survivor")
    return cases(
        [
            ((state == State.ORPHAN.value) & ~nw.col("merged_into").is_null(), merged),
            (state == State.ORPHAN.value, "record is deleted in the CRM; its agreement is released"),
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


# --- who --------------------------------------------------------------------------------------------------------------


def _attributed(differences: Frame, world: World) -> Frame:
    """Adds who put the CRM value there: the field's history where it says so, else 'unknown' and the record's editor.

    The record's last editor may have touched another field, so that alone never makes the actor 'us'.
    """
    key = [*_KEY, "field"]
    history = world.field_changes.select(*key, "changed_at", "changed_by", "actor_kind", "new_value")
    values = differences.select(*key, "crm")
    told = history.join(values, on=key, how="inner").filter(same(_null_if_empty("new_value"), nw.col("crm")))
    order = ["changed_at", "changed_by", "actor_kind"]
    newest = first_by(told, key, order, descending={"changed_at"}).select(*key, *[_alias(c) for c in order])
    joined = differences.drop("actor_kind", "actor", "changed_at").join(newest, on=key, how="left")
    found = ~nw.col("_changed_at").is_null()
    readable = nw.col("crm_kind") == "value"
    by_record = nw.when(readable).then(nw.col("modified_by"))
    at_record = nw.when(readable).then(nw.col("modified_at"))
    return conform(
        joined.with_columns(
            actor_kind=cases([(found & _is_us(world), "us"), (found, nw.col("_actor_kind"))], "unknown"),
            actor=cases([(found, nw.col("_changed_by"))], by_record),
            changed_at=cases([(found, nw.col("_changed_at"))], at_record),
        ),
        DIFFERENCES,
    )


def _alias(column: str) -> Expr:
    return nw.col(column).alias(f"_{column}")


def _null_if_empty(column: str) -> Expr:
    return nw.when(nw.col(column) != "").then(nw.col(column))


def _is_us(world: World) -> Expr:
    pairs = [
        ((nw.col("connection") == connection) & (nw.col("_changed_by") == user), nw.lit(True))
        for connection, user in sorted(world.our_users.items())
    ]
    return cases(pairs, nw.lit(False))
