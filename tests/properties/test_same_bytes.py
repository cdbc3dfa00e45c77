"""The same snapshot and policy give the same bytes, whatever the number of threads and the order of hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import hashlib
import polars as pl
from bench.brain import everything
from bench.worlds import AS_OF, tables, world_of
from jobs.engines import PolarsEngine
from mappings.load import load
from sync.reconcile import reconcile

engine, mappings = PolarsEngine(), load()
made = reconcile(world_of(everything(tables(500))), mappings, AS_OF, engine)
found = hashlib.sha256(made.plan.digest.encode())
shown = {name: getattr(made, name) for name in ("links", "accounts", "hierarchy", "tiers", "ownership", "profiles")}
shown |= {name: getattr(made.plan, name) for name in ("items", "changes", "events")}
shown |= {name: getattr(made.structure, name) for name in ("edges", "status", "recorded", "events", "affected")}
for name, frame in shown.items():
    rows = sorted(map(repr, engine.rows(frame)))
    found.update(name.encode() + "".join(rows).encode())
print(pl.thread_pool_size(), len(list(engine.rows(made.plan.items))), found.hexdigest())
"""


def test_one_thread_and_two_decide_the_same_plan_and_findings_byte_for_byte() -> None:
    told = []
    for threads, seed in (("1", "1"), ("2", "2")):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, cwd=ROOT, check=True
        )
        told.append(done.stdout.split())
    assert [one[0] for one in told] == ["1", "2"]
    assert int(told[0][1]) > 0
    assert told[0][1:] == told[1][1:]
