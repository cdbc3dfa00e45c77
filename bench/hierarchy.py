"""`python -m bench.hierarchy`: 200,000 organisations under 600,000 dated edges, resolved on one day.

The edges are those that hurt: three candidates for most children, shares to be summed by ultimate parent, operators,
joint ventures that nobody controls, ended and announced deals, and circles.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import narwhals as nw
import numpy as np
import polars as pl

from bench.reconcile import Peak
from bench.worlds import conformed
from jobs.engines import PolarsEngine
from mappings.load import load
from sync.hierarchy.edges import EDGES, NODES
from sync.hierarchy.tree import resolve

AS_OF, GOAL_SECONDS = "2026-01-15", 30.0
PER_SYSTEM = 50
CIRCLES = 20


def made(accounts: int, edges: int, *, seed: int = 7) -> tuple[pl.DataFrame, pl.DataFrame]:
    """NODES and EDGES; the same numbers give the same tables."""
    random = np.random.default_rng(seed)
    number = np.arange(accounts)
    nodes = pl.DataFrame({"account_id": _ids(number), "name": _ids(number), "kind": np.full(accounts, "HOSPITAL")})
    child = np.resize(number[number % PER_SYSTEM != 0], edges)
    turn = np.arange(edges) // (accounts - accounts // PER_SYSTEM)  # first, second, third edge of each child
    home = child - child % PER_SYSTEM
    near = np.minimum(home + (child % PER_SYSTEM) // 7, child - 1)  # a division of the same system
    parent = np.select([turn == 0, turn == 1], [near, home], _partners(child, random))
    circles = random.random(edges) < CIRCLES / edges  # the one above says that it is below
    child, parent = np.where(circles, parent, child), np.where(circles, child, parent)
    kind = np.select([turn == 0, turn == 1, random.random(edges) < 0.05], ["OWNS", "OWNS", "MANAGES"], "OWNS")
    shares = [7000, 4000, 3000]  # a division is the system's; the rest adds up through both
    share = np.select(
        [(turn < 2) & (near == home), turn == 0, turn == 1], shares, np.where(random.random(edges) < 0.1, 3000, 2000)
    )
    state = np.where(random.random(edges) < 0.02, "ANNOUNCED", "ACTIVE")
    table = pl.DataFrame(
        {
            "child": _ids(child),
            "parent": _ids(parent),
            "kind": kind,
            "pct_bp": share,
            "procurement": random.random(edges) < 0.5,
            "confidence_bp": random.integers(6000, 10_000, edges),
            "source": np.where(random.random(edges) < 0.5, "steward", "definitive"),
            "source_ref": np.char.add("row ", np.arange(edges).astype(str)),
            "effective_from": np.full(edges, "2024-01-01"),
            "effective_to": np.where(random.random(edges) < 0.02, "2025-01-01", "2030-01-01"),
            "state": state,
        }
    )
    return conformed(nodes, NODES), conformed(table, EDGES)


def _partners(child: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another system, as the partner of a joint venture or a landlord."""
    return random.integers(0, child // PER_SYSTEM + 1) * PER_SYSTEM


def _ids(numbers: np.ndarray) -> np.ndarray:
    return np.char.add("a", np.char.zfill(numbers.astype(str), 9))


def main() -> int:
    """Print seconds, memory and what came out; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="bench.hierarchy", description=__doc__)
    parser.add_argument("--accounts", type=int, default=200_000)
    parser.add_argument("--edges", type=int, default=600_000)
    options = parser.parse_args()
    engine, policy = PolarsEngine(), load().policies.hierarchy
    nodes, edges = (nw.from_native(table.lazy()) for table in made(options.accounts, options.edges))
    with Peak() as peak:
        started = time.perf_counter()
        tree = resolve(edges, nodes, policy, AS_OF, engine)
        seconds = time.perf_counter() - started
    rows = engine.rows(tree.hierarchy.select("basis", "conflict", "depth"))
    bases = Counter(row["conflict"] or row["basis"] for row in rows)
    print(f"{options.accounts:,} organisations, {options.edges:,} edges: {seconds:.1f} s, {peak.highest:,.0f} MiB")
    print(f"{len(tree.cycles)} circles; " + ", ".join(f"{name} {count:,}" for name, count in sorted(bases.items())))
    return 0 if seconds < GOAL_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
