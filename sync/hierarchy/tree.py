"""From edges to one tree: each account's parent, system, depth and path on a date.

1. Candidates: control edges in force on the date, sure enough, whose parent is no boundary (investor, landlord). A
   steward's override is the only candidate of its child.
2. Rounds from the roots down: a child is decided once all its candidate parents are, because shares are summed by
   ultimate parent. A child with one candidate needs no sums.
3. Whatever no round reaches hangs on a cycle: the weakest edge of each is left out, its members are reported, and the
   rounds start again.
4. The closure is checked: every root has no parent, every child has its parent's system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from mappings.policy import HierarchyPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, conform, lowest_by, null, one_of, stack, text
from sync.hierarchy.cycles import Cycle, find_cycles
from sync.hierarchy.decide import decide_between, decide_single, edge_id
from sync.world import INT, TEXT, Schema

HIERARCHY: Schema = {
    "account_id": TEXT,
    "parent_account_id": TEXT,
    "system_account_id": TEXT,  # ultimate parent; the account itself for a root
    "system_name": TEXT,
    "depth": INT,  # 0 for a root
    "path": TEXT,  # account ids from the root down, separated by "/"
    "basis": TEXT,  # root, steward_override, site_of, operator, owns_majority, owns_pct_unknown, no_control
    "source_ref": TEXT,  # the edge's source; null for a root
    "conflict": TEXT,  # CYCLE, NO_CONTROL, DEPTH; null = none. Such a parent is for reading, not for writing
}
"""One row per node; the parents form a forest."""

_LEVEL: Schema = {
    name: HIERARCHY[name]
    for name in ("account_id", "parent_account_id", "system_account_id", "depth", "path", "basis", "source_ref")
} | {"conflict": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The resolved hierarchy and what kept it from being plain."""

    hierarchy: Frame  # HIERARCHY, materialized
    cycles: tuple[Cycle, ...]
    candidates: Frame  # edges that might have made a parent, with `trust`, `rivals`; cycles' weakest left out


def resolve(edges: Frame, nodes: Frame, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Tree:
    """The tree of NODES under EDGES on an ISO date. Terminates for any edges; row order does not matter."""
    candidates = _candidates(edges, nodes, policy, as_of, engine)
    cycles: list[Cycle] = []
    while True:
        levels = _climb(candidates, nodes, policy, engine)
        reached = stack(levels).select(nw.col("account_id").alias("child"))
        pending = candidates.join(reached, on="child", how="anti").with_columns(edge_id=edge_id())
        unreached = list(engine.rows(pending))
        found = find_cycles(unreached, policy.source_priority)
        if not found:
            break
        cycles += found
        dropped = [edge for cycle in found for edge in cycle.dropped]
        candidates = engine.materialize(candidates.filter(~one_of(edge_id(), dropped)))
    if unreached:
        stranded = pending.select(nw.col("child").alias("account_id"))
        levels.append(_as_roots(nodes.join(stranded, on="account_id", how="semi"), "DEPTH"))
    named = engine.materialize(_named(stack(levels), nodes, {member for cycle in cycles for member in cycle.members}))
    _check_closure(named, engine)
    ordered = tuple(sorted(cycles, key=lambda cycle: (cycle.members, cycle.dropped)))
    return Tree(hierarchy=named, cycles=ordered, candidates=candidates)


_SPENT = ("control", "state", "effective_to", "stated_to", "ended_seen")
"""Columns of EDGES that nothing asks for once it is known which edges hold on the date."""


def _candidates(edges: Frame, nodes: Frame, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Frame:
    """Edges that may make a parent on the date, once per (child, parent, kind), computed; adds `trust`, `rivals`."""
    above = nodes.filter(~one_of(nw.col("kind"), policy.boundary_types)).select(nw.col("account_id").alias("parent"))
    overrides, ends = certain(nw.col("is_override")), nw.col("effective_to")
    active = (
        edges.filter(
            (nw.col("state") == "ACTIVE") | ((nw.col("state") == "ENDED") & (ends > as_of)),
            one_of(nw.col("kind"), policy.control_edges),
            (nw.col("child") != nw.col("parent")) | overrides,
            nw.col("effective_from").is_null() | (nw.col("effective_from") <= as_of),
            ends.is_null() | (ends > as_of),
            nw.coalesce("confidence_bp", nw.lit(0)) >= policy.min_confidence_bp,
        )
        .join(above, on="parent", how="semi")
        .drop(*_SPENT)
    )
    rivals = nw.len().over("child")
    counted = engine.materialize(active.with_columns(trust=_trust(policy.source_priority), rivals=rivals))
    if not engine.count(counted.filter((nw.col("rivals") > 1) | overrides).head(1)):
        return counted
    once = engine.materialize(_once(counted.drop("rivals")))
    if engine.count(once.filter(overrides).head(1)):
        once = _overridden(once)
    return engine.materialize(once.with_columns(rivals=rivals))


def _trust(source_priority: Sequence[str]) -> nw.Expr:
    """The place of an edge's source in the order of trust; one that is not in it comes last."""
    last, sources = len(source_priority), list(source_priority)
    if not sources:
        return nw.lit(last).cast(INT)
    return nw.col("source").replace_strict(sources, list(range(last)), default=last, return_dtype=INT)


_SAME = ("child", "parent", "kind")


def _once(edges: Frame) -> Frame:
    """Each (child, parent, kind) from its most trusted source."""
    told = edges.with_columns(told=nw.len().over(*_SAME))
    ranked = told.filter(nw.col("told") > 1).with_columns(order=text((nw.col("trust") + 1000).cast(TEXT), edge_id()))
    single = told.filter(nw.col("told") == 1).drop("told")
    return stack([single, lowest_by(ranked, _SAME, "order").drop("order", "told")])


def _overridden(candidates: Frame) -> Frame:
    """Children with an override have that edge alone: the one that began last. Two of one day are weighed as facts."""
    own = candidates.filter(certain(nw.col("is_override")))
    began = own.with_columns(began=nw.coalesce("effective_from", nw.lit("")))
    last = began.with_columns(last=nw.col("began").max().over("child")).filter(nw.col("began") == nw.col("last"))
    rest = candidates.join(own.select("child").unique(), on="child", how="anti")
    return stack([rest, last.drop("began", "last")])


def _climb(candidates: Frame, nodes: Frame, policy: HierarchyPolicy, engine: Engine) -> list[Frame]:
    """Levels of the tree from the roots down; children that hang on a cycle, or too deep, are on none."""
    incumbents = nodes.filter(~nw.col("incumbent").is_null()).select(
        nw.col("account_id").alias("child"), nw.col("incumbent")
    )
    lone = engine.materialize(decide_single(candidates.filter(nw.col("rivals") == 1), incumbents, policy))
    contested = candidates.filter(nw.col("rivals") > 1)
    has_rivals = engine.count(contested.head(1)) > 0
    children = candidates.select(nw.col("child").alias("account_id"))
    roots = _as_roots(nodes.join(children, on="account_id", how="anti"), None)
    frontier = engine.materialize(stack([roots, _below(lone.filter(nw.col("parent").is_null()), None)]))
    levels = [frontier]
    for _ in range(policy.max_rounds):
        reached = [_below(lone, frontier)]
        if has_rivals:
            decided = engine.materialize(decide_between(contested, stack(levels), incumbents, policy))
            reached.append(_below_any(decided, stack(levels)))
            contested = engine.materialize(contested.join(decided.select("child"), on="child", how="anti"))
        frontier = engine.materialize(stack(reached))
        if not engine.count(frontier.head(1)):
            break
        levels.append(frontier)
    return levels


def _as_roots(nodes: Frame, conflict: str | None) -> Frame:
    return conform(
        nodes.select(
            "account_id",
            nw.col("account_id").alias("system_account_id"),
            nw.lit(0).alias("depth"),
            nw.col("account_id").alias("path"),
            nw.lit("root").alias("basis"),
            (nw.lit(conflict) if conflict else null(TEXT)).alias("conflict"),
        ),
        _LEVEL,
    )


def _below(decided: Frame, frontier: Frame | None) -> Frame:
    """Decided children of the frontier, one level down; without a frontier: decided children that have no parent."""
    if frontier is None:
        own = decided.with_columns(system_account_id=nw.col("child"), depth=nw.lit(0).cast(INT), path=nw.col("child"))
    else:
        above = frontier.select(
            nw.col("account_id").alias("parent"),
            "system_account_id",
            (nw.col("depth") + 1).alias("depth"),
            nw.col("path").alias("above"),
        )
        own = decided.join(above, on="parent", how="inner").with_columns(
            path=nw.concat_str([nw.col("above"), nw.col("child")], separator="/")
        )
    return conform(own.rename({"child": "account_id", "parent": "parent_account_id"}), _LEVEL)


def _below_any(decided: Frame, resolved: Frame) -> Frame:
    """Decided children below whatever level their parent is on, and those that became roots."""
    return stack(
        [
            _below(decided.filter(~nw.col("parent").is_null()), resolved),
            _below(decided.filter(nw.col("parent").is_null()), None),
        ]
    )


def _named(flat: Frame, nodes: Frame, members: set[str]) -> Frame:
    """HIERARCHY: the levels with the name of each one's system; members of cycles are marked."""
    roots = flat.filter(nw.col("depth") == 0).select("system_account_id")
    names = nodes.select(nw.col("account_id").alias("system_account_id"), nw.col("name").alias("system_name"))
    named = flat.join(names.join(roots, on="system_account_id", how="semi"), on="system_account_id", how="left")
    if members:
        marked = nw.when(one_of(nw.col("account_id"), members)).then(nw.lit("CYCLE"))
        named = named.with_columns(conflict=nw.coalesce(marked, nw.col("conflict")))
    return conform(named, HIERARCHY)


def _check_closure(hierarchy: Frame, engine: Engine) -> None:
    """Raise if the forest is none. It cannot fail by bad data: a failure is a defect of this module."""
    above = hierarchy.select(
        nw.col("account_id").alias("parent_account_id"),
        nw.col("system_account_id").alias("above_system"),
        nw.col("depth").alias("above_depth"),
    )
    joined = hierarchy.join(above, on="parent_account_id", how="left")
    is_root = nw.col("parent_account_id").is_null()
    root_ok = (nw.col("system_account_id") == nw.col("account_id")) & (nw.col("depth") == 0)
    child_ok = (nw.col("system_account_id") == nw.col("above_system")) & (nw.col("depth") == nw.col("above_depth") + 1)
    wrong = joined.filter(~certain(nw.when(is_root).then(root_ok).otherwise(child_ok)))
    if engine.count(wrong.head(1)):
        row = next(iter(engine.rows(wrong.head(1))))
        raise AssertionError(f"hierarchy closure broken at account {row['account_id']}: {row['path']}")
