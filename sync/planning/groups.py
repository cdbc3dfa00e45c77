"""Items: what a person decides at once and the CRM gets in one write, one per (connection, record, field group)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import narwhals as nw

from mappings.canonical import MANAGED
from sync.applying.lanes import lane_name, lane_rank
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, one_of, text
from sync.planning.fingerprint import field_text, head_text, with_fingerprints
from sync.planning.threeway import ADOPTING, Action, State

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


def group_items(differences: Frame, lanes: Mapping[str, Mapping[str, str]], engine: Engine) -> Frame:
    """One row per group with anything but moves of the agreed value: ITEMS without sequence and caused_by."""
    ranked = differences.with_columns(
        _state=_rank("state", SEVERITY), _action=_rank("action", CAUTION), _lane=lane_rank(lanes)
    )
    listed = ranked.filter(nw.col("action") != Action.AGREE.value)
    grouped = listed.with_columns(_why=_ranked_reason(), _text=field_text()).group_by(*GROUP_KEY).agg(*_aggregates())
    adopting = differences.filter((nw.col("action") == Action.AGREE.value) & one_of(nw.col("state"), ADOPTING))
    adopted = adopting.group_by(*GROUP_KEY).agg(nw.len().cast(nw.Int64()).alias("_adopted"))
    joined = grouped.join(adopted, on=list(GROUP_KEY), how="left")
    return with_fingerprints(engine.materialize(joined.select(*_columns())), engine)


def with_item_ids(differences: Frame, items: Frame) -> Frame:
    """Adds `item_id`; it stays null on moves of the agreed value, which belong to no item."""
    ids = items.select(*GROUP_KEY, "item_id")
    joined = differences.join(ids, on=list(GROUP_KEY), how="left")
    return joined.with_columns(item_id=nw.when(nw.col("action") != Action.AGREE.value).then(nw.col("item_id")))


def _aggregates() -> list[Expr]:
    about = [nw.col(name).max() for name in ("account_id", "account_name", "depth")]
    worst = [nw.col(name).min() for name in ("_state", "_action", "_lane", "_why")]
    worst.append(nw.when(one_of(nw.col("action"), WRITABLE)).then(nw.col("_action")).min().alias("_proposed"))
    per_field = [_of_field(name, "field").alias(f"_name_{name}") for name in MANAGED]
    texts = [_of_field(name, "_text").alias(f"_text_{name}") for name in MANAGED]
    return [*about, *worst, *per_field, *texts]


def _of_field(name: str, column: str) -> Expr:
    """A group has a field once at most, so its maximum is its value; neither engine can gather a list."""
    return nw.when(nw.col("field") == name).then(nw.col(column)).max()


def _columns() -> list[Expr]:
    names = [nw.col(f"_name_{name}") for name in MANAGED]
    texts = [nw.col(f"_text_{name}") for name in MANAGED]
    action, review = nw.col("_action"), CAUTION.index(Action.REVIEW)
    mixed = ~nw.col("_adopted").is_null() & (action > review)
    asks_again = (action == CAUTION.index(Action.OVERRIDDEN)) & ~nw.col("_proposed").is_null()
    careful = nw.when(mixed | asks_again).then(nw.lit(review)).otherwise(action)
    lapsed = SEVERITY.index(State.OVERRIDE_LAPSED)
    state = nw.when(asks_again & (nw.col("_state") > lapsed)).then(nw.lit(lapsed)).otherwise(nw.col("_state"))
    return [
        *[nw.col(name) for name in GROUP_KEY],
        nw.col("account_id"),
        nw.col("account_name"),
        nw.concat_str(names, separator=",", ignore_nulls=True).alias("fields"),
        _named(state, SEVERITY).alias("state"),
        _named(careful, CAUTION).alias("action"),
        lane_name(nw.col("_lane")).alias("lane"),
        nw.col("depth"),
        nw.col("_why").str.slice(_RANK_DIGITS).alias("reason"),
        nw.concat_str([head_text(), *[nw.coalesce(t, nw.lit("")) for t in texts]]).alias("fingerprint"),
    ]


_RANK_DIGITS = 4


def _ranked_reason() -> Expr:
    """The reason behind the rank of its action and field, so that the least text is the one to show."""
    caution = cases([(nw.col("_action") == i, f"{i:02}") for i in range(len(CAUTION))], "99")
    position = cases([(nw.col("field") == name, f"{i:02}") for i, name in enumerate(MANAGED)], "99")
    reason = nw.col("reason")
    return nw.when(~reason.is_null()).then(text(caution, position, reason))


def _rank(column: str, order: Iterable[State | Action]) -> Expr:
    pairs = [(nw.col(column) == member.value, i) for i, member in enumerate(order)]
    return cases(pairs, len(pairs)).cast(nw.Int64())


def _named(rank: Expr, order: Iterable[State | Action]) -> Expr:
    members = [member.value for member in order]
    return cases([(rank == i, name) for i, name in enumerate(members)], members[-1])
