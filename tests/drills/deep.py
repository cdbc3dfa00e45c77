"""The deep drills: `make drill`, or `python -m tests.drills.deep SECTION --count N`. Prints tables for the docs."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import add
from pathlib import Path

import structlog

from jobs.settings import Settings
from mappings.load import load
from sandbox.server import Sandbox
from tests.drills import calls
from tests.drills.conftest import Places
from tests.drills.daemons import Setup, watch
from tests.drills.flips import flip_all
from tests.drills.fuzz import fuzz
from tests.drills.market import opened
from tests.drills.poisoned import POISONS, Day, ordinary_day, poisoned_day
from tests.drills.races import LANES, Score, race
from tests.drills.storms import KINDS, Weather, quiet_calls, storm
from tests.drills.trials import kill, late, simulate
from tests.drills.undoing import Undone, undo_trial
from tests.integration.postgres_server import MISSING, binaries, running

CONDITIONAL = "Salesforce conditional"
MOST_CALLS = 3.0
"""Of a stormy sitting, as a multiple of a quiet one's."""


def main() -> int:
    """Run the sections asked for; 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.deep")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=list(SECTIONS))
    parser.add_argument("--count", type=int, default=0, help="trials of each section; 0 = the section's own")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    given = parser.parse_args()
    structlog.configure(processors=[lambda logger, name, event: (_ for _ in ()).throw(structlog.DropEvent)])
    broken = 0
    for name in given.sections or SECTIONS:
        section, own = SECTIONS[name]
        started = time.monotonic()
        broken += section(range(given.first, given.first + (given.count or own)))
        sys.stdout.write(f"\n{name}: {time.monotonic() - started:.0f} s\n\n")
        sys.stdout.flush()
    return 1 if broken else 0


def crashes(seeds: range) -> int:
    """Simulated deaths: five lives a seed, lost answers and edits by persons beside."""
    return _trials(
        "crashes", "simulated crash seeds", seeds, lambda places, seed: sum(simulate(places, seed).values()), "items"
    )


def kills(seeds: range) -> int:
    """Real SIGKILLs, three a seed."""
    return _trials("kills", "seeds with real kills", seeds, kill, "kills")


def races(seeds: range) -> int:
    """Persons against the run, lane by lane."""
    _row("lane", "edits", "in the gap", "ours written", "written over", "without a word")
    _row(*["---"] * 6)
    broken = 0
    for lane in LANES.values():
        total = Score()
        with _sqlite() as places:
            for seed in seeds:
                total.add(race(places(), lane, seed))
        is_guarded = lane.lane == "conditional" and not lane.has_team
        broken += total.undetected + (total.overwritten if is_guarded else 0)
        _row(lane.name, total.edits, total.in_gap, total.written, total.overwritten, total.undetected)
    return broken


def storms(seeds: range) -> int:
    """Twelve kinds of fault at 30 %, each over both CRMs."""
    shown = ("complete", "with a rest", "items lost", "written twice", "left after a quiet run")
    _row("fault", "struck", "sittings", *shown, "before Retry-After")
    _row(*["---"] * 9)
    return sum(
        _weather(kind, seeds, lambda places, name, seed: storm(places(), name, seed, count=60)) for kind in KINDS
    )


def big_storms(seeds: range) -> int:
    """The same over 2,000 records on the conditional lane: how many calls more than on a quiet day."""
    with _sqlite() as places:
        quiet = {CONDITIONAL: quiet_calls(places(), CONDITIONAL, count=2_000)}
    sys.stdout.write(f"A quiet run over 2,000 records: {quiet[CONDITIONAL]} calls.\n\n")
    shown = ("complete", "with a rest", "items lost", "written twice", "left after a quiet run")
    _row("fault", "struck", "sittings", *shown, "before Retry-After", "most calls, of a quiet run's")
    _row(*["---"] * 10)

    def one(places: Places, kind: str, seed: int) -> Weather:
        return storm(places(), kind, seed, count=2_000, lanes=(CONDITIONAL,), quiet=quiet)

    return sum(_weather(kind, seeds, one) for kind in KINDS)


def _weather(kind: str, seeds: range, trial: Callable[[Places, str, int], Weather]) -> int:
    total = Weather()
    with _sqlite() as places:
        for seed in seeds:
            one = trial(places, kind, seed)
            for name in Weather.__slots__:
                joined = max if name == "calls" else add
                setattr(total, name, joined(getattr(total, name), getattr(one, name)))
            if one.lost + one.twice + one.left + one.early or one.calls > MOST_CALLS:
                sys.stderr.write(f"{kind}, seed {seed}: {one}\n")
    counts = (total.struck, total.trials, total.complete, total.rests, total.lost, total.twice, total.left, total.early)
    _row(kind, *counts, *([f"{total.calls:.2f}"] if total.calls else []))
    return total.lost + total.twice + total.left + total.early + (total.calls > MOST_CALLS)


def daemons(seeds: range) -> int:
    """Two, three and five daemons and a command at once; the count is of slots. Then with the lease time as shipped."""
    shown = ("slots due", "run", "missed", "begun again", "doubled", "SIGKILL", "SIGSTOP", "written twice")
    _row("database", "daemons", *shown, "stale epoch", "not in the audit", "longest takeover")
    _row(*["---"] * 13)
    broken = 0
    for kind, stores in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with stores() as places:
            for number in (2, 3, 5) if places else ():
                broken += _watched(kind, places, Setup(daemons=number, slots=len(seeds) // 3 + 1), seeds.start + number)
            if places:
                shipped = Setup(daemons=2, slots=5, every_s=30, ttl_s=Settings.model_fields["lease_ttl_s"].default)
                broken += _watched(f"{kind}, as shipped", places, shipped, seeds.start)
    return broken


def _watched(kind: str, places: Places | None, setup: Setup, seed: int) -> int:
    assert places is not None
    seen = watch(places(), setup, seed)
    counts = (seen.due, seen.ran, seen.missed, seen.again, seen.doubled, seen.kills, seen.sleeps, seen.twice)
    _row(kind, setup.daemons, *counts, seen.stale, seen.lost, f"{seen.takeover_s:.1f} s")
    for fault in seen.faults:
        sys.stderr.write(f"{kind}, {setup.daemons} daemons, seed {seed}: {fault}\n")
    return seen.missed + seen.doubled + seen.twice + seen.stale + seen.lost + len(seen.faults) + (seen.takeover_s > 30)


def late_writes(seeds: range) -> int:
    """Requests that were on the wire while another run took over."""
    _row("database", "trials", "written by the older epoch", "detected by it")
    _row(*["---"] * 4)
    broken = 0
    for kind, stores in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with stores() as places:
            found = [late(places, seed) for seed in seeds] if places else []
        landed, detected = sum(one.landed for one in found), sum(one.detected for one in found)
        _row(kind, len(found), landed, detected)
        broken += landed - detected
    return broken


def costs(seeds: range) -> int:
    """Calls of pushes and of full pulls beside their floors, at growing sizes."""
    _row("what", "rows", "calls", "floor", "calls / floor")
    _row(*["---"] * 5)
    broken = 0
    with _sqlite() as places:
        for at in seeds:
            sums = [(route.name, *calls.push(places(), route, calls.PUSHED[at])) for route in calls.ROUTES]
            for name, made, floor in sums:
                broken += made > calls.MOST * floor
                _row(name, calls.PUSHED[at], made, floor, f"{made / floor:.2f}")
            for one in calls.pulled(places(), calls.PULLED[at]) if at < len(calls.PULLED) else ():
                broken += one.calls > calls.MOST * one.floor
                _row(
                    f"full pull, {one.connection}",
                    calls.PULLED[at],
                    one.calls,
                    one.floor,
                    f"{one.calls / one.floor:.2f}",
                )
    return broken


def poisoned(seeds: range) -> int:
    """Ordinary days in a row; on the evening of each one poisoned day, on a copy."""
    _row("day", "days", "stopped", "where", "days with writes")
    _row(*["---"] * 5)
    days: dict[str, list[Day]] = {"ordinary": [], **{name: [] for name in POISONS}}
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=_memory()) as text, Sandbox() as sandbox:
        market = opened(Path(text) / "market", sandbox)
        for seed in seeds:
            days["ordinary"].append(ordinary_day(market, seed))
            home, name = sandbox.world, list(POISONS)[seed % len(POISONS)]
            days[name].append(poisoned_day(market.copied(Path(text) / f"copy-{seed}"), name, seed))
            sandbox.use(home)
            shutil.rmtree(Path(text) / f"copy-{seed}")
    for name, found in days.items():
        stops = [one.stop.at for one in found if one.stop.at]
        _row(name, len(found), len(stops), ", ".join(sorted(set(stops))), sum(one.writes > 0 for one in found))
    wrong = [one for one in days.pop("ordinary") if one.stop.at]
    wrong += [one for name, found in days.items() for one in found if one.writes or one.stop.at != POISONS[name][1]]
    for one in wrong:
        sys.stderr.write(f"{one}\n")
    return len(wrong)


def undo(seeds: range) -> int:
    """A run over 2,002 records is undone after persons changed 100 of them."""
    columns = [name for name in Undone.__slots__ if name not in ("overwritten", "other")]
    _row("run", *columns, "written over", "neither")
    _row(*["---"] * (3 + len(columns)))
    broken = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=_memory()) as text, Sandbox() as sandbox:
            found = undo_trial(Path(text) / "market", sandbox, systems=182, edits=100, seed=seed)
        _row(f"seed {seed}", *(getattr(found, name) for name in columns), found.overwritten, found.other)
        broken += found.overwritten + found.other + (found.restored + found.conflicts != found.records)
    return broken


def flips(seeds: range) -> int:
    """Every byte of a stored plan's files and row, one bit of it flipped, applied each time."""
    _row("what", "flipped", "refused", "applied")
    _row(*["---"] * 4)
    broken = 0
    for seed in seeds:
        with _sqlite() as places:
            found = flip_all(places(), seed=seed)
        for what in ("files", "row"):
            refused, applied = found[f"{what}: refused"], found[f"{what}: applied"]
            _row(f"{what} of seed {seed}", refused + applied, refused, applied)
            broken += applied
    return broken


def feeds(seeds: range) -> int:
    """Damaged deliveries of every layout, ten minutes of them."""
    mappings, verdicts, broken = load(), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="platbook-drill-") as folder:
        for seed in seeds:
            try:
                verdicts[fuzz(mappings, Path(folder), seed)] += 1
            except Exception as error:  # the drill counts what the intake lets through
                broken += 1
                sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    _row("deliveries", "uncaught", *verdicts)
    _row(*["---"] * (2 + len(verdicts)))
    _row(len(seeds), broken, *verdicts.values())
    return broken


SECTIONS: dict[str, tuple[Callable[[range], int], int]] = {
    "crashes": (crashes, 1000),
    "kills": (kills, 67),
    "races": (races, 25),
    "storms": (storms, 25),
    "big-storms": (big_storms, 25),
    "daemons": (daemons, 200),
    "late": (late_writes, 25),
    "poisoned": (poisoned, 30),
    "undo": (undo, 1),
    "flips": (flips, 1),
    "calls": (costs, len(calls.PUSHED)),
    "feeds": (feeds, 200_000),
}
"""Name -> section and its number of seeds."""


def _trials(name: str, title: str, seeds: range, trial: Callable[[Places, int], int], unit: str) -> int:
    _row("database", title, unit, "failed")
    _row(*["---"] * 4)
    broken = 0
    for kind, stores in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        tally: Counter[str] = Counter()
        with stores() as places:
            if places is None:
                _row(kind, 0, MISSING, "")
                continue
            for seed in seeds:
                try:
                    tally[unit] += trial(places, seed)
                except Exception as error:  # whatever ends a trial is a failure of that seed, not the section's end
                    tally["failed"] += 1
                    section = f"{title.split()[-1]} --first {seed} --count 1"
                    sys.stderr.write(
                        f'REPRO: make drill SECTION="{section}" ({kind}): {type(error).__name__}: {error}\n'
                    )
        broken += tally["failed"]
        _row(kind, len(seeds), tally[unit], tally["failed"])
    return broken


def _reproduction(section: str, seed: int, where: str, error: Exception) -> None:
    told = " ".join(str(error).split())[:500]
    again = f'make drill SECTION="{section} --first {seed} --count 1"'
    sys.stderr.write(f"REPRO: {again} ({where}): {type(error).__name__}: {told}\n")


@contextmanager
def _sqlite() -> Iterator[Places]:
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=_memory()) as folder:
        yield Places(Path(folder), None, is_passing=True)


@contextmanager
def _postgres() -> Iterator[Places | None]:
    folder = binaries()
    if folder is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=_memory()) as place, running(folder) as server:
        yield Places(Path(place), server, is_passing=True)


def _memory() -> str | None:
    """A folder in memory where there is one: what a killed process wrote is still there, and no disk is waited for."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _row(*cells: object) -> None:
    sys.stdout.write(f"| {' | '.join(f'{one:,}' if isinstance(one, int) else str(one) for one in cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
