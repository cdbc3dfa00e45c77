"""`python -m bench`: the core beside two peers, interleaved in one process, as ratios.

The three do the same work, and that is checked before a ratio is printed: links, golden accounts with the source of
each field, the tree, tiers with what would change them, profiles with scores, owners, changes with rule and evidence,
items with fingerprints in order, events, guards, and one digest of the plan. A ratio holds on any machine, seconds only
on this one; and where others use the machine too, the ratio of processor time holds better than that of the wall.

Stages that have nothing to do in a generated world (who decides by record, dated structure, registers) have no peer; so
the ratio is given twice, for the whole core and without them.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import narwhals as nw
import polars as pl

from bench import polars_script, row_objects
from bench.peers.check import check
from bench.reconcile import Measured, Taken, measure, timed
from bench.worlds import AS_OF, settled, tables, world_of
from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings
from sync.engine import Frame
from sync.world import Reconciliation, World

OWN = frozenset({"authority", "structure", "crosscheck"})
"""Stages that find nothing in a generated world and that the peers do not have."""
POLARS_GOAL, ROWS_GOAL = 1.5, 8.0
_MEMORY_GOAL = " (goal: under 4,096 MiB)"


def main() -> int:
    """Run the comparison; 0 even where a goal is missed, since a shared machine decides that as much as the code."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000, help="accounts of the compared runs")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median counts")
    parser.add_argument(
        "--million", action="store_true", help="also the core, and the core beside the script, at 1,000,000"
    )
    parser.add_argument(
        "--first-contact", type=int, metavar="ACCOUNTS", help="only the core, where nothing was ever agreed"
    )
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "ACCOUNTS"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--pair", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    mappings = load()
    if options.make:
        _make(Path(options.make[0]), int(options.make[1]), mappings, first=bool(options.first_contact))
    elif options.measure:
        _measure(Path(options.measure), mappings, goal="" if options.first_contact else _MEMORY_GOAL)
    elif options.pair:
        _pair(Path(options.pair), options.rounds, mappings)
    elif options.first_contact:
        _in_processes_of_their_own(options.first_contact, first=True)
    else:
        _compare(options.accounts, options.rounds, mappings)
        if options.million:
            _in_processes_of_their_own(1_000_000)
    return 0


def _compare(accounts: int, rounds: int, mappings: Mappings) -> None:
    engine = PolarsEngine()
    made = settled(tables(accounts), mappings, engine)
    print(f"{accounts:,} accounts, {made['records'].height:,} CRM records, 2 % of the firms moved", flush=True)
    runs: list[Measured] = []
    script: list[Taken] = []
    rows = Taken()
    for number in range(rounds):
        measured, decided = measure(world_of(made), mappings, AS_OF, engine)
        runs.append(measured)
        with timed() as taken:
            by_script = polars_script.run(made)
        script.append(taken)
        if number == 0:
            for column in check(decided, by_script, "Polars script"):
                print(f"only the core makes {column}")
            rows = _time_rows(made, decided)
        del decided, by_script
        gc.collect()
    _print_stages(runs[-1])
    _print_ratios(runs, script, rows)


def _print_ratios(runs: Sequence[Measured], script: Sequence[Taken], rows: Taken) -> None:
    """Medians of the rounds, the row objects of their one run."""
    print(
        f"{'':<8}{'core':>8}{'shared':>8}{'script':>8}{'rows':>8}{'core/script':>13}{'shared/script':>15}{'rows/core':>11}"
    )
    for name, at in (("wall", 0), ("processor", 1)):
        whole = statistics.median((run.seconds, run.cpu_seconds)[at] for run in runs)
        own = statistics.median(sum(run.stages[stage][at] for stage in OWN & run.stages.keys()) for run in runs)
        peer, other = statistics.median(one.pair[at] for one in script), rows.pair[at]
        print(f"{name:<9}{whole:>7.2f}{whole - own:>8.2f}{peer:>8.2f}{other:>8.2f}", end="")
        print(f"{whole / peer:>13.2f}{(whole - own) / peer:>15.2f}{other / whole:>11.2f}")
    print(f"goals: at most {POLARS_GOAL} times the script, row objects at least {ROWS_GOAL:g} times slower", flush=True)


def _time_rows(made: Mapping[str, pl.DataFrame], decided: Reconciliation) -> Taken:
    with timed() as taken:
        by_rows = row_objects.run(made)
    check(decided, row_objects.outcome(by_rows), "row objects")
    return taken


def _in_processes_of_their_own(accounts: int, *, first: bool = False) -> None:
    """The core alone, from Parquet as in production: making the world must not count in its memory. Then the pair.

    At first contact there is no pair: the script has no use for rows that are only agreed on.
    """
    with tempfile.TemporaryDirectory(prefix="platbook-bench-") as folder:
        only = ["--first-contact", str(accounts)] if first else []
        steps = [["--make", folder, str(accounts), *only], ["--measure", folder, *only]]
        steps += [] if first else [["--pair", folder, "--rounds", "2"]]
        for arguments in steps:
            subprocess.run([sys.executable, "-m", "bench", *arguments], check=True)


def _make(folder: Path, accounts: int, mappings: Mappings, *, first: bool) -> None:
    before = tables(accounts)
    for name, table in (before if first else settled(before, mappings, PolarsEngine())).items():
        table.write_parquet(folder / f"{name}.parquet")


def _measure(folder: Path, mappings: Mappings, *, goal: str) -> None:
    frames: dict[str, Frame] = {file.stem: nw.from_native(pl.scan_parquet(file)) for file in folder.glob("*.parquet")}
    engine = PolarsEngine()
    accounts = engine.count(frames["firms"])
    measured, decided = measure(World(**frames), mappings, AS_OF, engine)
    print(f"\n{accounts:,} accounts, {engine.count(frames['records']):,} CRM records: {measured.seconds:.1f} s", end="")
    print(f" on the wall, {measured.cpu_seconds:.1f} s of processors")
    print(f"peak memory {measured.peak_mib:,.0f} MiB{goal}", end="; ")
    print(f"{decided.plan.counts.get('items', 0):,} items")
    _print_stages(measured)


def _pair(folder: Path, rounds: int, mappings: Mappings) -> None:
    """The script and the core in turn. Row objects would need 10 GiB of their own here."""
    made = {file.stem: pl.read_parquet(file) for file in folder.glob("*.parquet")}
    core, script = list[Measured](), list[Taken]()
    for _ in range(rounds):
        with timed() as taken:
            by_script = polars_script.run(made)
        script.append(taken)
        del by_script
        gc.collect()
        measured, decided = measure(world_of(made), mappings, AS_OF, PolarsEngine())
        core.append(measured)
        del decided
        gc.collect()
    for name, at in (("wall", 0), ("processor", 1)):
        mine = statistics.median((run.seconds, run.cpu_seconds)[at] for run in core)
        peer = statistics.median(one.pair[at] for one in script)
        print(f"{name:<9} core {mine:.1f}, script {peer:.1f}, core/script {mine / peer:.2f} (goal {POLARS_GOAL})")


def _print_stages(measured: Measured) -> None:
    print(f"{'stage':<14}{'seconds':>9}{'processor':>11}{'peak MiB':>10}")
    for stage, (seconds, processor, peak) in measured.stages.items():
        print(f"{stage:<14}{seconds:>9.2f}{processor:>11.2f}{peak:>10,.0f}")


if __name__ == "__main__":
    sys.exit(main())
