"""Changes of ownership that dated edges show: the tree before and after each day on which an edge began or ended.

Only organisations whose own edges changed are looked at, with everything above them, on those days: one small forest
whose nodes carry the moment they belong to. An edge that became known after it took effect also gives a correction:
what was believed from that day until it was known.
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import HierarchyPolicy
from mappings.structure_policy import TriggerPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, differs, one_of, stack, text
from sync.hierarchy.edges import EDGES, NODES
from sync.hierarchy.forest import Forest
from sync.hierarchy.tree import resolve
from sync.triggers.events import RAW, window_start
from sync.world import TEXT, Schema

BELIEVED: Schema = {
    "account_id": TEXT,
    "effective_date": TEXT,
    "first_seen": TEXT,
    "believed": TEXT,  # system it was taken to belong to from the effective date until it was known
    "known": TEXT,
    "source_ref": TEXT,
}
"""Corrections: history is not edited, what was wrong about it is said."""

_BEFORE, _AFTER, _BELIEVED = "<", "=", "?"
_MOMENT: Schema = {"moment": TEXT, "day": TEXT, "variant": TEXT, "known": TEXT}
_ALWAYS, _NEVER = "0000-00-00", "9999-99-99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What dated edges changed."""

    events: Frame  # RAW
    corrections: Frame  # BELIEVED


def dated_moves(forest: Forest, hierarchy: HierarchyPolicy, policy: TriggerPolicy, as_of: str, engine: Engine) -> Moves:
    """Events and corrections of the window, and of as many days before it as flapping is looked for."""
    none = Moves(events=engine.table([], RAW), corrections=engine.table([], BELIEVED))
    if forest.stated is None:
        return none
    since = window_start(policy, as_of, extra_days=policy.flapping_days)
    changes = engine.materialize(_changes(forest.stated.edges, hierarchy, since, as_of))
    if not engine.count(changes.head(1)):
        return none
    moments = engine.materialize(_moments(changes))
    edges = _usable(forest.edges, hierarchy)
    sites = engine.materialize(_climbed(moments, edges, engine))
    resolved = engine.materialize(_at_moments(sites, edges, forest.nodes, hierarchy, as_of, engine))
    names = forest.nodes.select("account_id", "name")
    return Moves(
        events=engine.materialize(_events(changes, resolved, names)),
        corrections=engine.materialize(_corrections(changes, resolved, names)),
    )


def _usable(edges: Frame, hierarchy: HierarchyPolicy) -> Frame:
    """Edges that may count on some day, with open ends filled in."""
    told = one_of(nw.col("state"), ("ACTIVE", "ENDED")) & one_of(nw.col("kind"), hierarchy.control_edges)
    endless = certain((nw.col("state") == "ENDED") & nw.col("effective_to").is_null())
    return edges.filter(told & ~endless).with_columns(
        begins=nw.coalesce("effective_from", nw.lit(_ALWAYS)),
        ends=nw.coalesce("effective_to", nw.lit(_NEVER)),
        seen=nw.coalesce("first_seen", nw.lit(_ALWAYS)),
        said=nw.coalesce("stated_to", nw.lit(_NEVER)),
    )


def _changes(stated: Frame, hierarchy: HierarchyPolicy, since: str, as_of: str) -> Frame:
    """`account_id`, `day`, `seen`, `source_ref`: days on which a stated edge of it began or ended, or became known."""
    edges = _usable(stated, hierarchy)
    began = edges.select(nw.col("child").alias("account_id"), nw.col("begins").alias("day"), "seen", "source_ref")
    ended = edges.select(nw.col("child").alias("account_id"), nw.col("ends").alias("day"), "seen", "source_ref")
    days = stack([began, ended]).filter(nw.col("day") != _ALWAYS, nw.col("day") <= as_of, nw.col("seen") <= as_of)
    fresh = days.filter((nw.col("day") > since) | (nw.col("seen") > since))
    return fresh.group_by("account_id", "day").agg(nw.col("seen").min(), nw.col("source_ref").min())


def _moments(changes: Frame) -> Frame:
    """MOMENT and `account_id`: just before each day, on it, and on it as it was believed before it was known."""
    late = changes.filter(nw.col("seen") > nw.col("day"))
    parts = [
        changes.with_columns(variant=nw.lit(_BEFORE), known=nw.lit(_NEVER)),
        changes.with_columns(variant=nw.lit(_AFTER), known=nw.lit(_NEVER)),
        late.with_columns(variant=nw.lit(_BELIEVED), known=nw.col("seen")),
    ]
    whole = [part.select("account_id", "day", "variant", "known") for part in parts]
    moment = text(nw.col("day"), nw.col("variant"), nw.col("known"))
    return stack(whole).with_columns(moment=moment)


def _climbed(moments: Frame, edges: Frame, engine: Engine) -> Frame:
    """Every organisation of a moment and all that stand above it then: MOMENT and `account_id`."""
    columns = ["account_id", *_MOMENT]
    frontier = engine.materialize(moments.select(*columns).unique())
    levels = [frontier]
    while engine.count(frontier.head(1)):
        above = _edges_at(frontier, edges).select(nw.col("parent").alias("account_id"), *_MOMENT).unique()
        known = stack(levels).select("account_id", "moment")
        frontier = engine.materialize(above.join(known, on=["account_id", "moment"], how="anti").select(*columns))
        levels.append(frontier)
    return stack(levels)


def _edges_at(sites: Frame, edges: Frame) -> Frame:
    """The edges of each site that hold at its moment."""
    joined = sites.rename({"account_id": "child"}).join(edges, on="child", how="inner")
    day = nw.col("day")
    # An end that was only known later had not come yet, as far as anybody knew.
    unknown_end = certain(nw.col("ended_seen") >= nw.col("known"))
    ends = nw.when(unknown_end).then(nw.col("said")).otherwise(nw.col("ends"))
    before = (nw.col("begins") < day) & (ends >= day)
    on_it = (nw.col("begins") <= day) & (ends > day)
    holds = nw.when(nw.col("variant") == _BEFORE).then(before).otherwise(on_it)
    return joined.filter(holds, nw.col("seen") < nw.col("known"))


def _at_moments(
    sites: Frame, edges: Frame, nodes: Frame, hierarchy: HierarchyPolicy, as_of: str, engine: Engine
) -> Frame:
    """`moment`, `account_id`, `system`, `parent`, `basis` of every site: the forests of all moments in one."""
    copied = _edges_at(sites, edges).with_columns(child=_copy("child"), parent=_copy("parent"), state=nw.lit("ACTIVE"))
    timeless = conform(copied.drop("effective_from", "effective_to"), EDGES)
    about = sites.join(nodes, on="account_id", how="inner").with_columns(
        original=nw.col("account_id"), incumbent=nw.when(~nw.col("incumbent").is_null()).then(_copy("incumbent"))
    )
    copies = engine.materialize(about.with_columns(account_id=_copy("account_id")))
    tree = resolve(engine.materialize(timeless), conform(copies, NODES), hierarchy, as_of, engine).hierarchy
    back = copies.select("account_id", "original", "moment")
    above = back.select(nw.col("account_id").alias("parent_account_id"), nw.col("original").alias("parent"))
    top = back.select(nw.col("account_id").alias("system_account_id"), nw.col("original").alias("system"))
    found = tree.join(back, on="account_id", how="inner").join(above, on="parent_account_id", how="left")
    whole = found.join(top, on="system_account_id", how="left")
    return whole.select("moment", nw.col("original").alias("account_id"), "system", "parent", "basis")


def _copy(name: str) -> nw.Expr:
    return text(nw.col("moment"), "|", nw.col(name))


def _state(resolved: Frame, changes: Frame, variant: str, prefix: str) -> Frame:
    """What a change's moment of that variant looked like, as `<prefix>_system`, `_parent`, `_basis`."""
    known = nw.col("seen") if variant == _BELIEVED else nw.lit(_NEVER)
    keyed = changes.with_columns(moment=text(nw.col("day"), variant, known))
    looked = resolved.select(
        "moment", "account_id", *[nw.col(name).alias(f"{prefix}_{name}") for name in ("system", "parent", "basis")]
    )
    return keyed.join(looked, on=["moment", "account_id"], how="inner").drop("moment")


def _events(changes: Frame, resolved: Frame, names: Frame) -> Frame:
    """RAW rows where system, parent or operator are others than just before."""
    table = _state(resolved, _state(resolved, changes, _BEFORE, "was"), _AFTER, "is")
    system = nw.col("was_system") != nw.col("is_system")
    parent = differs(nw.col("was_parent"), nw.col("is_parent"))
    operated = differs(nw.col("was_basis") == "operator", nw.col("is_basis") == "operator")
    alone, was_alone = nw.col("is_system") == nw.col("account_id"), nw.col("was_system") == nw.col("account_id")
    detail = cases(
        [
            (system & alone, "left_system"),
            (system & was_alone, "joined_system"),
            (system, "moved_system"),
            (operated, "operator_change"),
            (parent, "reparented"),
        ],
        "none",
    )
    told = table.with_columns(detail=detail).filter(nw.col("detail") != "none")
    named = _with_names(told, names, {"was_system": "old", "is_system": "new"})
    return conform(
        named.with_columns(
            kind=nw.lit("OWNERSHIP_CHANGE"),
            subject=nw.col("account_id"),
            effective_date=nw.col("day"),
            first_seen=nw.when(nw.col("seen") != _ALWAYS).then(nw.col("seen")),
            old_id=nw.col("was_system"),
            new_id=nw.col("is_system"),
        ),
        RAW,
    )


def _corrections(changes: Frame, resolved: Frame, names: Frame) -> Frame:
    table = _state(resolved, _state(resolved, changes, _BELIEVED, "was"), _AFTER, "is")
    wrong = table.filter(nw.col("was_system") != nw.col("is_system"))
    named = _with_names(wrong, names, {"was_system": "believed", "is_system": "known"})
    return conform(named.with_columns(effective_date=nw.col("day"), first_seen=nw.col("seen")), BELIEVED)


def _with_names(table: Frame, names: Frame, ends: dict[str, str]) -> Frame:
    for column, name in ends.items():
        named = names.select(nw.col("account_id").alias(column), nw.coalesce("name", "account_id").alias(name))
        table = table.join(named, on=column, how="left")
    return table
