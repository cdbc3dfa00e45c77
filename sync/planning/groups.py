"""Items: what a person decides at once and the CRM gets in one write, one per (connection, record, field group)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import narwhals as nw

from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy, FieldPolicy
from sync.applying.lanes import lane_name, lane_rank
from sync.engine import Engine, Frame
from sync.frames import Expr, one_of, text
from sync.planning.fingerprint import field_text, head_text, with_fingerprints
from sync.planning.threeway import ADOPTING, Action, State, renamed

SEVERITY: tuple[State, ...] = (
    State.ORPHAN,
    State.UNREADABLE,
    State.INVALID,
    State.HELD,
    State.CONFLICT,
    State.TAKEOVER,
    State.DRIFT,
    State.CLEAR,
    State.OVERRIDE_LAPSED,
    State.OVERRIDDEN,
    State.UPDATE,
    State.FILL,
)
"""Which field's state a group shows: the gravest."""

CAUTION: tuple[Action, ...] = (
    Action.BLOCKED,
    Action.HELD,
    Action.OVERRIDDEN,
    Action.REVIEW,
    Action.APPROVE,
    Action.AUTO,
)
"""What happens to a group: the most cautious of its fields' actions, so no field carries another along.

A field that a person refused keeps its group quiet only while nothing else of the group is proposed: where something
is, the proposal is another one, and the group asks again.
"""

WRITABLE = frozenset({Action.REVIEW, Action.APPROVE, Action.AUTO})
"""Actions that may still end in a write."""

GROUP_KEY = ("connection", "record_id", "group")


def group_of(name: str, conflicts: ConflictPolicy) -> str:
    """The group of a field; a field without one is its own."""
    return conflicts.fields.get(name, FieldPolicy()).group or name


def group_items(
    differences: Frame, lanes: Mapping[str, Mapping[str, str]], conflicts: ConflictPolicy, engine: Engine
) -> Frame:
    """One row per group with anything but moves of the agreed value: ITEMS without sequence and caused_by."""
    places = _places(conflicts)
    listed = differences.filter(nw.col("action") != Action.AGREE.value).with_columns(
        _state=_rank("state", SEVERITY),
        _action=_rank("action", CAUTION),
        _lane=lane_rank(lanes),
        _place=nw.col("field").replace_strict(places, default=0, return_dtype=nw.Int64()),
        _why=_ranked_reason(),
        _text=field_text(),
    )
    most = max(places.values()) + 1
    grouped = listed.group_by(*GROUP_KEY).agg(*_aggregates(most))
    adopting = differences.filter((nw.col("action") == Action.AGREE.value) & one_of(nw.col("state"), ADOPTING))
    adopted = adopting.group_by(*GROUP_KEY).agg(nw.len().cast(nw.Int64()).alias("_adopted"))
    joined = grouped.join(adopted, on=list(GROUP_KEY), how="left")
    return with_fingerprints(_with_outcome(joined).select(*_columns(most)), engine)


def _places(conflicts: ConflictPolicy) -> dict[str, int]:
    """Place of each field among the fields of its group, in display order: a group has few fields."""
    members: dict[str, list[str]] = {}
    for name in MANAGED:
        members.setdefault(group_of(name, conflicts), []).append(name)
    return {name: place for names in members.values() for place, name in enumerate(names)}


def with_item_ids(differences: Frame, items: Frame) -> Frame:
    """Adds `item_id`; it stays null on moves of the agreed value, which belong to no item."""
    ids = items.select(*GROUP_KEY, "item_id")
    joined = differences.join(ids, on=list(GROUP_KEY), how="left")
    return joined.with_columns(item_id=nw.when(nw.col("action") != Action.AGREE.value).then(nw.col("item_id")))


def _aggregates(most: int) -> list[Expr]:
    about = [nw.col(name).max() for name in ("account_id", "account_name", "depth")]
    worst = [nw.col(name).min() for name in ("_state", "_action", "_lane", "_why")]
    worst.append(nw.when(one_of(nw.col("action"), WRITABLE)).then(nw.col("_action")).min().alias("_proposed"))
    return [*about, *worst, *_at_places("field", most), *_at_places("_text", most)]


def _at_places(column: str, most: int) -> list[Expr]:
    """A group has one field at a place at most, so its maximum is its value; neither engine can gather a list."""
    found = [nw.when(nw.col("_place") == place).then(nw.col(column)).max() for place in range(most)]
    return [value.alias(f"{column}_{place}") for place, value in enumerate(found)]


def _with_outcome(groups: Frame) -> Frame:
    """`_action` and `_state` as they are shown: a group asks where it is mixed, or where something new is proposed."""
    state, action, review = nw.col("_state"), nw.col("_action"), CAUTION.index(Action.REVIEW)
    lapsed = SEVERITY.index(State.OVERRIDE_LAPSED)
    asked = groups.with_columns(
        _asks_again=(action == CAUTION.index(Action.OVERRIDDEN)) & ~nw.col("_proposed").is_null()
    )
    asks_again, mixed = nw.col("_asks_again"), ~nw.col("_adopted").is_null() & (action > review)
    return asked.with_columns(
        _action=nw.when(mixed | asks_again).then(nw.lit(review)).otherwise(action),
        _state=nw.when(asks_again & (state > lapsed)).then(nw.lit(lapsed)).otherwise(state),
    )


def _columns(most: int) -> list[Expr]:
    names, texts = ([nw.col(f"{column}_{place}") for place in range(most)] for column in ("field", "_text"))
    return [
        *[nw.col(name) for name in GROUP_KEY],
        nw.col("account_id"),
        nw.col("account_name"),
        nw.concat_str(names, separator=",", ignore_nulls=True).alias("fields"),
        _named("_state", SEVERITY),
        _named("_action", CAUTION),
        lane_name(nw.col("_lane")).alias("lane"),
        nw.col("depth"),
        nw.col("_why").str.slice(_RANK_DIGITS).alias("reason"),
        text(head_text(), *texts).alias("fingerprint"),
    ]


_RANK_DIGITS = 4


def _ranked_reason() -> Expr:
    """The reason behind the rank of its action and field, so that the least text is the one to show."""
    caution, position = (
        renamed(nw.col(column), {name: f"{i:02}" for i, name in enumerate(order)}, "99")
        for column, order in (("action", CAUTION), ("field", MANAGED))
    )
    reason = nw.col("reason")
    return nw.when(~reason.is_null()).then(text(caution, position, reason))


def _rank(column: str, order: Sequence[State | Action]) -> Expr:
    ranks = {member.value: i for i, member in enumerate(order)}
    return nw.col(column).replace_strict(ranks, default=len(order), return_dtype=nw.Int64())


def _named(rank: str, order: Sequence[State | Action]) -> Expr:
    names = {i: member.value for i, member in enumerate(order)}
    named = nw.col(rank).replace_strict(names, default=nw.lit(order[-1].value), return_dtype=nw.String())
    return named.alias(rank.removeprefix("_"))
