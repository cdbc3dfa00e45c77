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

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import HierarchyPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, lowest_by, null, one_of, stack, text
from sync.hierarchy.cycles import Cycle, find_cycles
from sync.hierarchy.decide import decide_between, decide_single
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
    candidates = engine.materialize(_candidates(edges, nodes, policy, as_of, engine))
    cycles: list[Cycle] = []
    while True:
        levels, pending = _climb(candidates, nodes, policy, engine)
        found = find_cycles(engine.rows(pending), policy.source_priority)
        if not found:
            break
        cycles += found
        dropped = [edge_id for cycle in found for edge_id in cycle.dropped]
        candidates = engine.materialize(candidates.filter(~one_of(nw.col("edge_id"), dropped)))
    stranded = nodes.join(pending.select(nw.col("child").alias("account_id")).unique(), on="account_id", how="semi")
    flat = engine.materialize(stack([*levels, _as_roots(stranded, "DEPTH")]))
    members = {member for cycle in cycles for member in cycle.members}
    named = engine.materialize(_named(flat, nodes, members))
    _check_closure(named, engine)
    ordered = tuple(sorted(cycles, key=lambda cycle: (cycle.members, cycle.dropped)))
    return Tree(hierarchy=named, cycles=ordered, candidates=candidates.drop("edge_id"))


_SPENT = ("control", "state", "effective_to", "stated_to", "ended_seen")
"""Columns of EDGES that nothing asks for once it is known which edges hold on the date."""


def _candidates(edges: Frame, nodes: Frame, policy: HierarchyPolicy, as_of: str, engine: Engine) -> Frame:
    """Edges that may make a parent on the date, once per (child, parent, kind); adds `edge_id`, `trust`, `rivals`."""
    above = nodes.filter(~one_of(nw.col("kind"), policy.boundary_types)).select(nw.col("account_id").alias("parent"))
    overrides = certain(nw.col("is_override"))
    active = (
        edges.filter(
            (nw.col("state") == "ACTIVE") | certain((nw.col("state") == "ENDED") & (nw.col("effective_to") > as_of)),
            one_of(nw.col("kind"), policy.control_edges),
            (nw.col("child") != nw.col("parent")) | overrides,
            nw.coalesce(nw.col("effective_from") <= as_of, nw.lit(True)),
            nw.coalesce(nw.col("effective_to") > as_of, nw.lit(True)),
            nw.coalesce("confidence_bp", nw.lit(0)) >= policy.min_confidence_bp,
        )
        .join(above, on="parent", how="semi")
        .drop(*_SPENT)
    )
    ranks = [(nw.col("source") == source, index) for index, source in enumerate(policy.source_priority)]
    parts = [nw.coalesce(nw.col(name), nw.lit("")) for name in ("child", "parent", "kind", "source", "source_ref")]
    described = active.with_columns(
        trust=cases(ranks, len(policy.source_priority)).cast(nw.Int64()),
        edge_id=nw.concat_str(parts, separator="|"),
    )
    told, rivals = nw.len().over(*_SAME), nw.len().over("child")
    counted = engine.materialize(described.with_columns(told=told, rivals=rivals))
    if not engine.count(counted.filter((nw.col("told") > 1) | overrides).head(1)):
        return counted.drop("told")
    once = engine.materialize(_once(counted.drop("rivals")))
    if engine.count(once.filter(overrides).head(1)):
        once = _overridden(once)
    return once.with_columns(rivals=rivals)


_SAME = ("child", "parent", "kind")


def _once(edges: Frame) -> Frame:
    """Each (child, parent, kind) from its most trusted source; `told` says how many said so."""
    repeated = edges.filter(nw.col("told") > 1).drop("told")
    ranked = repeated.with_columns(order=text((nw.col("trust") + 1000).cast(TEXT), nw.col("edge_id")))
    return stack([edges.filter(nw.col("told") == 1).drop("told"), lowest_by(ranked, _SAME, "order").drop("order")])


def _overridden(candidates: Frame) -> Frame:
    """Children with an override have that edge alone: the one that began last. Two of one day are weighed as facts."""
    own = candidates.filter(certain(nw.col("is_override")))
    began = own.with_columns(began=nw.coalesce("effective_from", nw.lit("")))
    last = began.with_columns(last=nw.col("began").max().over("child")).filter(nw.col("began") == nw.col("last"))
    rest = candidates.join(own.select("child").unique(), on="child", how="anti")
    return stack([rest, last.drop("began", "last")])


def _climb(candidates: Frame, nodes: Frame, policy: HierarchyPolicy, engine: Engine) -> tuple[list[Frame], Frame]:
    """Levels of the tree from the roots down, and the candidate edges of children that no round reached."""
    incumbents = nodes.filter(~nw.col("incumbent").is_null()).select(
        nw.col("account_id").alias("child"), nw.col("incumbent")
    )
    lone = decide_single(candidates.filter(nw.col("rivals") == 1), incumbents, policy)
    rivals = candidates.filter(nw.col("rivals") > 1)
    children = candidates.select(nw.col("child").alias("account_id")).unique()
    roots = [_as_roots(nodes.join(children, on="account_id", how="anti"), None)]
    roots.append(_below(lone.filter(nw.col("parent").is_null()), None))
    frontier = engine.materialize(stack(roots))
    pending, contested = engine.materialize(lone.filter(~nw.col("parent").is_null())), engine.materialize(rivals)
    levels, has_rivals = [frontier], engine.count(contested.head(1)) > 0
    for _ in range(policy.max_rounds):
        reached = [_below(pending, frontier)]
        if has_rivals:
            decided = engine.materialize(decide_between(contested, stack(levels), incumbents, policy))
            reached.append(_below_any(decided, stack(levels)))
            contested = engine.materialize(contested.join(decided.select("child"), on="child", how="anti"))
        done = frontier.select(nw.col("account_id").alias("parent"))
        frontier = engine.materialize(stack(reached))
        if not engine.count(frontier.head(1)):
            break
        levels.append(frontier)
        pending = engine.materialize(pending.join(done, on="parent", how="anti"))
    left = stack([pending.select("child"), contested.select("child")]).unique()
    reached_all = stack(levels).select(nw.col("account_id").alias("child"))
    return levels, candidates.join(left.join(reached_all, on="child", how="anti"), on="child", how="semi")


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
    names = nodes.select(nw.col("account_id").alias("system_account_id"), nw.col("name").alias("system_name"))
    conflict = nw.when(one_of(nw.col("account_id"), members)).then(nw.lit("CYCLE")).otherwise(nw.col("conflict"))
    return conform(flat.with_columns(conflict=conflict).join(names, on="system_account_id", how="left"), HIERARCHY)


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
