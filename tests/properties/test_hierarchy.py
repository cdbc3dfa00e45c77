"""Whatever edges come in, the hierarchy is a forest, and row order does not matter."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from mappings.policy import HierarchyPolicy
from sync.hierarchy.cycles import components
from sync.hierarchy.edges import EDGES, NODES
from sync.hierarchy.tree import resolve

ENGINE = PolarsEngine()
NAMES = [f"n{i}" for i in range(9)]
POLICY = HierarchyPolicy.model_validate(
    {
        "policy": {"id": "hierarchy", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "control_edges": ["OWNS", "MANAGES", "LEASES", "SITE_OF"],
        "boundary_types": ["INVESTOR"],
        "source_priority": ["steward", "definitive"],
    }
)
EDGE = st.fixed_dictionaries(
    {
        "child": st.sampled_from(NAMES),
        "parent": st.sampled_from(NAMES),
        "kind": st.sampled_from(["OWNS", "SITE_OF", "MANAGES", "GPO_MEMBER"]),
        "pct_bp": st.sampled_from([None, 3000, 5000, 5100, 10000]),
        "procurement": st.sampled_from([None, True, False]),
        "confidence_bp": st.sampled_from([6000, 9000]),
        "source": st.sampled_from(["steward", "definitive", "else"]),
        "source_ref": st.sampled_from(["r1", "r2"]),
        "effective_from": st.sampled_from([None, "2025-01-01", "2027-01-01"]),
        "state": st.just("ACTIVE"),
    }
)


def hierarchy(edges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    nodes = [
        {"account_id": name, "name": name, "kind": "INVESTOR" if name == "n8" else "HOSPITAL", "incumbent": "n0"}
        for name in NAMES
    ]
    tree = resolve(ENGINE.table(edges, EDGES), ENGINE.table(nodes, NODES), POLICY, "2026-01-15", ENGINE)
    return sorted(ENGINE.rows(tree.hierarchy), key=lambda row: row["account_id"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EDGE, max_size=18), st.integers(0, 2**16))
def test_any_edges_give_a_forest_that_ignores_row_order(edges: list[dict[str, Any]], seed: int) -> None:
    rows = hierarchy(edges)
    shuffled = edges[:]
    random.Random(seed).shuffle(shuffled)
    assert hierarchy(shuffled) == rows
    parents = {row["account_id"]: row["parent_account_id"] for row in rows}
    assert sorted(parents) == NAMES
    for row in rows:
        climbed, steps = row["account_id"], 0
        while parents[climbed] is not None:
            climbed, steps = parents[climbed], steps + 1
            assert steps <= len(NAMES), f"cycle through {row['account_id']}"
        assert (climbed, steps) == (row["system_account_id"], row["depth"])
        assert row["path"].split("/")[0] == climbed
        assert "n8" not in row["path"].split("/")[:-1], "nothing hangs below a boundary"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_components_are_exactly_the_mutually_reachable_sets(pairs: list[tuple[int, int]]) -> None:
    graph: dict[str, list[str]] = {str(i): [] for i in range(13)}
    for child, parent in pairs:
        graph[str(child)].append(str(parent))
    reach = {node: _reachable(graph, node) for node in graph}
    expected = {frozenset(m for m in reach[n] if n in reach[m]) for n in graph if n in reach[n]}
    assert set(components(graph)) == {component for component in expected if len(component) > 1}


def _reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += graph[node]
    return seen
