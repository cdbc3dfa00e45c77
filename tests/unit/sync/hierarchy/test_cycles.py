"""Tangles lose their weakest edges, however large they are."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.hierarchy.cycles import components, find_cycles

Edge = dict[str, Any]


def made(pairs: Sequence[tuple[int, int, int]]) -> list[Edge]:
    said = {"source": "steward", "first_seen": None, "effective_from": "2024-01-01"}
    return [
        {**said, "edge_id": f"e{n:05}", "child": f"a{c:05}", "parent": f"a{p:05}", "confidence_bp": sure}
        for n, (c, p, sure) in enumerate(pairs)
        if c != p
    ]


def one_by_one(edges: list[Edge]) -> set[str]:
    """The weakest edge of every tangle, taken away again and again."""
    waiting, dropped = [edges], set()
    while waiting:
        rows = waiting.pop()
        graph: dict[str, list[str]] = {}
        for edge in rows:
            graph.setdefault(edge["child"], []).append(edge["parent"])
            graph.setdefault(edge["parent"], [])
        for members in components(graph):
            inside = [edge for edge in rows if edge["child"] in members and edge["parent"] in members]
            weakest = min(inside, key=lambda edge: (edge["confidence_bp"], -int(edge["edge_id"][1:])))
            dropped.add(weakest["edge_id"])
            waiting.append([edge for edge in inside if edge is not weakest])
    return dropped


PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4)), max_size=40)


@given(PAIRS)
@settings(max_examples=150, deadline=None)
def test_T08_what_is_left_out_is_the_weakest_of_every_tangle_again_and_again(pairs: list[tuple[int, int, int]]) -> None:
    edges = made(pairs)
    cycles = find_cycles(edges, ["steward"])
    assert {edge_id for cycle in cycles for edge_id in cycle.dropped} == one_by_one(edges)
    assert find_cycles(edges[::-1], ["steward"]) == cycles


def test_T08_a_tangle_of_ten_thousand_edges_takes_a_moment() -> None:
    dice = random.Random(3)
    edges = made([(dice.randrange(3000), dice.randrange(3000), dice.randrange(6000, 10_000)) for _ in range(10_000)])
    started = time.process_time()
    [cycle] = find_cycles(edges, ["steward"])
    assert time.process_time() - started < 10
    left = [edge for edge in edges if edge["edge_id"] not in set(cycle.dropped)]
    assert find_cycles(left, ["steward"]) == ()
