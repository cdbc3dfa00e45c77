"""Cycles among control edges: tangles of organisations, and the weakest edges without which nothing circles.

An edge is left out where those that are stronger, and it, make a circle through it: so much goes when the weakest edge
of every tangle is taken away, again and again. It is found for all edges at once, by halving the order of their
strength, so that a tangle of a hundred thousand edges takes seconds. Iterative: a chain may be longer than the stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Node = TypeVar("Node", str, int)
Pair = tuple[int, int, int]
"""Child, parent, and place of an edge in the order of strength, 0 = strongest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Accounts that are each other's parents, and the edges that are left out of the computation."""

    members: tuple[str, ...]  # account ids, sorted
    edge_ids: tuple[str, ...]  # all edges inside, sorted
    dropped: tuple[str, ...]  # edge ids of the weakest, sorted; without them nothing circles


def find_cycles(edges: Iterable[Mapping[str, Any]], source_priority: Sequence[str]) -> tuple[Cycle, ...]:
    """Every component of more than one account; sorted.

    Edges have `edge_id`, `child`, `parent`, `confidence_bp`, `source`, `first_seen`, `effective_from`. The weakest has
    the lowest confidence, then the least trusted source, then was seen last, then has the greatest id.
    """
    rows = sorted(edges, key=lambda edge: str(edge["edge_id"]))
    tangles = components(_graph(rows))
    if not tangles:
        return ()
    place = {member: index for index, members in enumerate(tangles) for member in members}
    inside: list[list[Mapping[str, Any]]] = [[] for _ in tangles]
    for edge in rows:
        home = place.get(edge["child"])
        if home is not None and home == place.get(edge["parent"]):
            inside[home].append(edge)
    cycles = []
    for members, tangled in zip(tangles, inside, strict=True):
        dropped = _closing(sorted(tangled, key=lambda edge: _weakness(edge, source_priority)))
        ids = tuple(str(edge["edge_id"]) for edge in tangled)
        cycles.append(Cycle(members=tuple(sorted(members)), edge_ids=ids, dropped=tuple(sorted(dropped))))
    return tuple(sorted(cycles, key=lambda cycle: cycle.members))


def _closing(strongest_first: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ids of the edges that close a circle with stronger ones.

    An edge closes one where its two ends hang together as soon as it is there. When the ends of every edge come to hang
    together is found for half of the order at a time; what already hangs together is one node from then on.
    """
    numbers: dict[str, int] = {}
    pairs: list[Pair] = []
    for rank, edge in enumerate(strongest_first):
        child, parent = (numbers.setdefault(edge[end], len(numbers)) for end in ("child", "parent"))
        pairs.append((child, parent, rank))
    joined = list(range(len(numbers)))
    closing: list[int] = []
    work: list[tuple[int, int, list[Pair]]] = [(0, len(pairs), pairs)]  # the end is after all edges: never
    while work:
        first, last, given = work.pop()
        if first == last:
            if last < len(pairs):
                closing += [rank for _, _, rank in given if rank == first]
                for child, parent, _ in given:
                    joined[_home(joined, child)] = _home(joined, parent)
            continue
        middle = (first + last) // 2
        moved = [(_home(joined, child), _home(joined, parent), rank) for child, parent, rank in given]
        present = [pair for pair in moved if pair[2] <= middle]
        together = _together(present)
        early = [pair for pair in present if _same(together, pair)]
        late = [pair for pair in moved if pair[2] > middle or not _same(together, pair)]
        if late:
            work.append((middle + 1, last, late))
        if early:
            work.append((first, middle, early))
    return [str(strongest_first[rank]["edge_id"]) for rank in closing]


def _together(pairs: Iterable[Pair]) -> dict[int, int]:
    """Node to the number of its component; nodes that are alone are left out."""
    graph: dict[int, list[int]] = {}
    for child, parent, _ in pairs:
        graph.setdefault(child, []).append(parent)
        graph.setdefault(parent, [])
    return {node: number for number, nodes in enumerate(components(graph)) for node in nodes}


def _same(together: Mapping[int, int], pair: Pair) -> bool:
    child, parent, _ = pair
    return child == parent or (child in together and together[child] == together.get(parent))


def _home(joined: list[int], node: int) -> int:
    """The node that stands for all it hangs together with."""
    while joined[node] != node:
        joined[node] = joined[joined[node]]
        node = joined[node]
    return node


def _graph(edges: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    graph: dict[str, list[str]] = {}
    for edge in edges:
        graph.setdefault(edge["child"], []).append(edge["parent"])
        graph.setdefault(edge["parent"], [])
    return graph


def components(graph: Mapping[Node, Sequence[Node]]) -> list[frozenset[Node]]:
    """Strongly connected components of more than one node."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    on_stack: set[Node] = set()
    stack: list[Node] = []
    found: list[frozenset[Node]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work: list[tuple[Node, int]] = [(root, 0)]
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


def _popped(node: Node, stack: list[Node], on_stack: set[Node]) -> list[frozenset[Node]]:
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
