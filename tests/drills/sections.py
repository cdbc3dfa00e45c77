"""The sections of the deep drills. Each prints a table for the docs and gives the number of broken promises."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from operator import add
from pathlib import Path

import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from jobs.settings import Settings
from mappings.load import load
from sandbox.server import Sandbox
from tests.drills import calls
from tests.drills.conftest import Places
from tests.drills.daemons import Setup, watch
from tests.drills.edge import edits_during_pulls
from tests.drills.flips import flip_all
from tests.drills.fuzz import fuzz
from tests.drills.machine import Installation
from tests.drills.market import opened
from tests.drills.outages import suffer
from tests.drills.poisoned import POISONS, Day, ordinary_day, poisoned_day
from tests.drills.races import LANES, Score, race
from tests.drills.replay import crash_hash, duel_hash
from tests.drills.report import DATABASES, databases, memory, only, postgres, row, sqlite, trials
from tests.drills.storms import KINDS, Weather, quiet_calls, storm
from tests.drills.trials import kill, late, simulate
from tests.drills.undoing import Undone, undo_trial

CONDITIONAL = "Salesforce conditional"
SEEN = ("complete", "with a rest", "items lost", "written twice", "untrue", "sent unread", "left after a quiet run")
MOST_CALLS = 3.0
"""Of a stormy sitting, as a multiple of a quiet one's."""


def main() -> int:
    """Run the sections asked for; 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.deep")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=list(SECTIONS))
    parser.add_argument("--count", type=int, default=0, help="trials of each section; 0 = the section's own")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--database", choices=list(DATABASES), help="only this one")
    given = parser.parse_args()
    if given.database:
        only(given.database)
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
    return trials(
        "crashes", "simulated crash seeds", seeds, lambda places, seed: sum(simulate(places, seed).values()), "items"
    )


def kills(seeds: range) -> int:
    """Real SIGKILLs, three a seed."""
    return trials("kills", "seeds with real kills", seeds, kill, "kills")


def races(seeds: range) -> int:
    """Persons against the run, lane by lane."""
    row("lane", "edits", "in the gap", "ours written", "written over", "without a word")
    row(*["---"] * 6)
    broken = 0
    for lane in LANES.values():
        total = Score()
        with sqlite() as places:
            for seed in seeds:
                total.add(race(places(), lane, seed))
        is_guarded = lane.lane == "conditional" and not lane.has_team
        broken += total.undetected + (total.overwritten if is_guarded else 0)
        row(lane.name, total.edits, total.in_gap, total.written, total.overwritten, total.undetected)
    return broken


def storms(seeds: range) -> int:
    """Twelve kinds of fault at 30 %, each over both CRMs."""
    row("fault", "struck", "sittings", *SEEN, "before Retry-After")
    row(*["---"] * 11)
    return sum(
        _weather(kind, seeds, lambda places, name, seed: storm(places(), name, seed, count=60)) for kind in KINDS
    )


def big_storms(seeds: range) -> int:
    """The same over 2,000 records on the conditional lane: how many calls more than on a quiet day."""
    with sqlite() as places:
        quiet = {CONDITIONAL: quiet_calls(places(), CONDITIONAL, count=2_000)}
    sys.stdout.write(f"A quiet run over 2,000 records: {quiet[CONDITIONAL]} calls.\n\n")
    row("fault", "struck", "sittings", *SEEN, "before Retry-After", "most calls, of a quiet run's")
    row(*["---"] * 12)

    def one(places: Places, kind: str, seed: int) -> Weather:
        return storm(places(), kind, seed, count=2_000, lanes=(CONDITIONAL,), quiet=quiet)

    return sum(_weather(kind, seeds, one) for kind in KINDS)


def _weather(kind: str, seeds: range, trial: Callable[[Places, str, int], Weather]) -> int:
    total = Weather()
    with sqlite() as places:
        for seed in seeds:
            one = trial(places, kind, seed)
            for name in Weather.__slots__:
                joined = max if name == "calls" else add
                setattr(total, name, joined(getattr(total, name), getattr(one, name)))
            if one.broken or one.calls > MOST_CALLS:
                sys.stderr.write(f"{kind}, seed {seed}: {one}\n")
    counts = [getattr(total, name) for name in Weather.__slots__ if name != "calls"]
    row(kind, *counts, *([f"{total.calls:.2f}"] if total.calls else []))
    return total.broken + (total.calls > MOST_CALLS)


def daemons(seeds: range) -> int:
    """Two, three and five daemons and a command at once; the count is of slots."""
    _watched_head()
    broken = 0
    for kind, stores in databases():
        with stores() as places:
            for number in (2, 3, 5) if places else ():
                broken += _watched(kind, places, Setup(daemons=number, slots=len(seeds) // 3 + 1), seeds.start + number)
    return broken


def takeover(seeds: range) -> int:
    """The same with the lease time as shipped and a slot every half minute; the count is of slots."""
    shipped = Settings.model_fields["lease_ttl_s"].default
    _watched_head()
    broken = 0
    for kind, stores in databases():
        with stores() as places:
            if places:
                setup = Setup(daemons=2, slots=len(seeds), every_s=30, ttl_s=shipped)
                broken += _watched(kind, places, setup, seeds.start)
    return broken


def _watched_head() -> None:
    shown = ("slots due", "run", "missed", "begun again", "doubled", "SIGKILL", "SIGSTOP", "written twice")
    row("database", "daemons", *shown, "stale epoch", "not in the audit", "longest takeover")
    row(*["---"] * 13)


def _watched(kind: str, places: Places | None, setup: Setup, seed: int) -> int:
    assert places is not None
    seen = watch(places(), setup, seed)
    counts = (seen.due, seen.ran, seen.missed, seen.again, seen.doubled, seen.kills, seen.sleeps, seen.twice)
    row(kind, setup.daemons, *counts, seen.stale, seen.lost, f"{seen.takeover_s:.1f} s")
    for fault in seen.faults:
        sys.stderr.write(f"{kind}, {setup.daemons} daemons, seed {seed}: {fault}\n")
    return seen.missed + seen.doubled + seen.twice + seen.stale + seen.lost + len(seen.faults) + (seen.takeover_s > 30)


def late_writes(seeds: range) -> int:
    """Requests that were on the wire while another run took over."""
    row("database", "trials", "written by the older epoch", "detected by it")
    row(*["---"] * 4)
    broken = 0
    for kind, stores in databases():
        with stores() as places:
            found = [late(places, seed) for seed in seeds] if places else []
        landed, detected = sum(one.landed for one in found), sum(one.detected for one in found)
        row(kind, len(found), landed, detected)
        broken += landed - detected
    return broken


def costs(seeds: range) -> int:
    """Calls of pushes and of full pulls beside their floors, at growing sizes."""
    row("what", "rows", "calls", "floor", "calls / floor")
    row(*["---"] * 5)
    broken = 0
    with sqlite() as places:
        for at in seeds:
            sums = [(route.name, *calls.push(places(), route, calls.PUSHED[at])) for route in calls.ROUTES]
            for name, made, floor in sums:
                broken += made > calls.MOST * floor
                row(name, calls.PUSHED[at], made, floor, f"{made / floor:.2f}")
            for one in calls.pulled(places(), calls.PULLED[at]) if at < len(calls.PULLED) else ():
                broken += one.calls > calls.MOST * one.floor
                row(
                    f"full pull, {one.connection}",
                    calls.PULLED[at],
                    one.calls,
                    one.floor,
                    f"{one.calls / one.floor:.2f}",
                )
    return broken


def poisoned(seeds: range) -> int:
    """Ordinary days in a row; on the evening of each one poisoned day, on a copy."""
    row("day", "days", "stopped", "where", "days with writes")
    row(*["---"] * 5)
    days: dict[str, list[Day]] = {"ordinary": [], **{name: [] for name in POISONS}}
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=memory()) as text, Sandbox() as sandbox:
        market = opened(Path(text) / "market", sandbox)
        for seed in seeds:
            days["ordinary"].append(ordinary_day(market, seed))
            home, name = sandbox.world, list(POISONS)[seed % len(POISONS)]
            days[name].append(poisoned_day(market.copied(Path(text) / f"copy-{seed}"), name, seed))
            sandbox.use(home)
            shutil.rmtree(Path(text) / f"copy-{seed}")
    for name, found in days.items():
        stops = [one.stop.at for one in found if one.stop.at]
        row(name, len(found), len(stops), ", ".join(sorted(set(stops))), sum(one.writes > 0 for one in found))
    wrong = [one for one in days.pop("ordinary") if one.stop.at]
    wrong += [one for name, found in days.items() for one in found if one.writes or one.stop.at != POISONS[name][1]]
    for one in wrong:
        sys.stderr.write(f"{one}\n")
    return len(wrong)


def undo(seeds: range) -> int:
    """A run over 2,002 records is undone after persons changed 100 of them."""
    columns = [name for name in Undone.__slots__ if name not in ("overwritten", "other")]
    row("run", *columns, "written over", "neither")
    row(*["---"] * (3 + len(columns)))
    broken = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=memory()) as text, Sandbox() as sandbox:
            found = undo_trial(Path(text) / "market", sandbox, systems=182, edits=100, seed=seed)
        row(f"seed {seed}", *(getattr(found, name) for name in columns), found.overwritten, found.other)
        broken += found.overwritten + found.other + (found.restored + found.conflicts != found.records)
    return broken


def flips(seeds: range) -> int:
    """Every byte of a stored plan's files and row, one bit of it flipped, applied each time."""
    row("what", "flipped", "refused", "applied")
    row(*["---"] * 4)
    broken = 0
    for seed in seeds:
        with sqlite() as places:
            found = flip_all(places(), seed=seed)
        for what in ("files", "row"):
            refused, applied = found[f"{what}: refused"], found[f"{what}: applied"]
            row(f"{what} of seed {seed}", refused + applied, refused, applied)
            broken += applied
    return broken


def outages(seeds: range) -> int:
    """A full disk, a server that cuts connections, a clock that jumps: four lives a seed."""
    broken = 0
    for outage, stores in (("disk full", sqlite), ("cut off by the server", postgres), ("clock jumps", sqlite)):
        sys.stdout.write(f"\n{outage}:\n\n")

        def trial(places: Places, seed: int, outage: str = outage) -> int:
            return suffer(places, seed, outage)["stopped"]

        where = "PostgreSQL" if stores is postgres else "SQLite"
        broken += trials("outages", "seeds", seeds, trial, "lives ended by it", on=((where, stores),))
    return broken


def edge(seeds: range) -> int:
    """Persons edit while pulls go through their pages."""
    row("seeds", "edits during pulls", "records unknown after the next pull")
    row(*["---"] * 3)
    edits = unlike = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=memory()) as text, Sandbox() as sandbox:
            made, wrong = edits_during_pulls(Path(text) / "market", sandbox, seed)
        edits, unlike = edits + made, unlike + wrong
    row(len(seeds), edits, unlike)
    return unlike


def machine(seeds: range) -> int:
    """Random steps over one installation: so many examples of 50 steps."""
    steps = settings(
        max_examples=len(seeds), stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    row("examples", "steps of each", "broken")
    row(*["---"] * 3)
    broken = 0
    try:
        run_state_machine_as_test(Installation, settings=steps)
    except AssertionError as error:
        broken = 1
        sys.stderr.write(f"{error}\n")
    row(len(seeds), 50, broken)
    return broken


def replay(seeds: range) -> int:
    """Every seed twice: the same history both times, or it is no simulation."""
    row("simulation", "seeds", "other history the second time")
    row(*["---"] * 3)
    broken = 0
    for name, hashed in (("deaths", crash_hash), ("two runs at one plan", duel_hash)):
        with sqlite() as places:
            unlike = sum(hashed(places(), seed) != hashed(places(), seed) for seed in seeds)
        row(name, len(seeds), unlike)
        broken += unlike
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
    row("deliveries", "uncaught", *verdicts)
    row(*["---"] * (2 + len(verdicts)))
    row(len(seeds), broken, *verdicts.values())
    return broken


SECTIONS: dict[str, tuple[Callable[[range], int], int]] = {
    "crashes": (crashes, 1000),
    "kills": (kills, 70),
    "races": (races, 25),
    "storms": (storms, 25),
    "big-storms": (big_storms, 25),
    "daemons": (daemons, 200),
    "takeover": (takeover, 8),
    "late": (late_writes, 25),
    "poisoned": (poisoned, 30),
    "undo": (undo, 1),
    "flips": (flips, 1),
    "outages": (outages, 200),
    "edge": (edge, 25),
    "machine": (machine, 200),
    "replay": (replay, 100),
    "calls": (costs, len(calls.PUSHED)),
    "feeds": (feeds, 200_000),
}
"""Name -> section and its number of seeds."""
