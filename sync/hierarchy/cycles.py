"""Cycles among control edges: Tarjan's strongly connected components, iterative, on the few rows that are left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Accounts that are each other's parents, and the edge that is left out of the computation."""

    members: tuple[str, ...]  # account ids, sorted
    edge_ids: tuple[str, ...]  # all edges inside, sorted
    dropped: str  # edge id of the weakest


def find_cycles(edges: Iterable[Mapping[str, Any]], source_priority: Sequence[str]) -> tuple[Cycle, ...]:
    """Every component of more than one account, and those that are left inside it without its weakest edge; sorted.

    Edges have `edge_id`, `child`, `parent`, `confidence_bp`, `source`, `first_seen`, `effective_from`. The weakest has
    the lowest confidence, then the least trusted source, then was seen last, then has the greatest id.
    """
    rows = sorted(edges, key=lambda edge: str(edge["edge_id"]))
    cycles: list[Cycle] = []
    waiting = [rows]
    while waiting:
        inside_of = waiting.pop()
        for members in components(_graph(inside_of)):
            inside = [edge for edge in inside_of if edge["child"] in members and edge["parent"] in members]
            weakest = max(inside, key=lambda edge: _weakness(edge, source_priority))
            ids = tuple(str(edge["edge_id"]) for edge in inside)
            cycles.append(Cycle(members=tuple(sorted(members)), edge_ids=ids, dropped=str(weakest["edge_id"])))
            waiting.append([edge for edge in inside if edge is not weakest])
    return tuple(sorted(cycles, key=lambda cycle: (cycle.members, cycle.dropped)))


def _graph(edges: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    graph: dict[str, list[str]] = {}
    for edge in edges:
        graph.setdefault(edge["child"], []).append(edge["parent"])
        graph.setdefault(edge["parent"], [])
    return graph


def components(graph: Mapping[str, Sequence[str]]) -> list[frozenset[str]]:
    """Strongly connected components of more than one node."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    found: list[frozenset[str]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work: list[tuple[str, int]] = [(root, 0)]
        while work:
            node, next_child = work.pop()
            if next_child == 0:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            descended = False
            for position in range(next_child, len(graph[node])):
                target = graph[node][position]
                if target not in index:
                    work += [(node, position + 1), (target, 0)]
                    descended = True
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            if descended:
                continue
            if low[node] == index[node]:
                found += _popped(node, stack, on_stack)
            if work:
                caller = work[-1][0]
                low[caller] = min(low[caller], low[node])
    return found


def _popped(node: str, stack: list[str], on_stack: set[str]) -> list[frozenset[str]]:
    members = set()
    while True:
        member = stack.pop()
        on_stack.discard(member)
        members.add(member)
        if member == node:
            break
    return [frozenset(members)] if len(members) > 1 else []


def _weakness(edge: Mapping[str, Any], source_priority: Sequence[str]) -> tuple[int, int, str, str]:
    source = edge["source"]
    trust = source_priority.index(source) if source in source_priority else len(source_priority)
    seen = edge.get("first_seen") or edge["effective_from"] or ""
    return (-(edge["confidence_bp"] or 0), trust, seen, str(edge["edge_id"]))
