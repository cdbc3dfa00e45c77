"""Places and tables of the deep drills."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.drills.conftest import Places
from tests.integration.postgres_server import MISSING, binaries, running

Stores = Callable[[], AbstractContextManager[Places | None]]
Databases = Sequence[tuple[str, Stores]]


def trials(
    name: str,
    title: str,
    seeds: range,
    trial: Callable[[Places, int], int],
    unit: str,
    *,
    on: Databases = (),
) -> int:
    """Try every seed on each database (both, unless told); a row each. How many seeds failed."""
    row("database", title, unit, "failed")
    row(*["---"] * 4)
    broken = 0
    for kind, stores in on or databases():
        tally: Counter[str] = Counter()
        with stores() as places:
            if places is None:
                row(kind, 0, MISSING, "")
                continue
            for seed in seeds:
                try:
                    tally[unit] += trial(places, seed)
                except Exception as error:  # whatever ends a trial is a failure of that seed, not the section's end
                    tally["failed"] += 1
                    _reproduction(name, seed, kind, error)
        broken += tally["failed"]
        row(kind, len(seeds), tally[unit], tally["failed"])
    return broken


def _reproduction(section: str, seed: int, where: str, error: Exception) -> None:
    told = " ".join(str(error).split())[:500]
    again = f'make drill SECTION="{section} --first {seed} --count 1"'
    sys.stderr.write(f"REPRO: {again} ({where}): {type(error).__name__}: {told}\n")


@contextmanager
def sqlite() -> Iterator[Places]:
    """Places with a database file each."""
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=memory()) as folder:
        yield Places(Path(folder), None, is_passing=True)


@contextmanager
def postgres() -> Iterator[Places | None]:
    """Places on a server of their own; None where PostgreSQL is not installed."""
    folder = binaries()
    if folder is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="platbook-drill-", dir=memory()) as place, running(folder) as server:
        yield Places(Path(place), server, is_passing=True)


def memory() -> str | None:
    """A folder in memory where there is one: what a killed process wrote is still there, and no disk is waited for."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def row(*cells: object) -> None:
    """One row of a table, at once."""
    sys.stdout.write(f"| {' | '.join(f'{one:,}' if isinstance(one, int) else str(one) for one in cells)} |\n")
    sys.stdout.flush()


def only(name: str) -> None:
    """Leave the other databases out from now on."""
    for other in DATABASES.keys() - {name}:
        del DATABASES[other]


def databases() -> Databases:
    """(name as shown, places) of every database to try."""
    return list(DATABASES.values())


DATABASES: dict[str, tuple[str, Stores]] = {"sqlite": ("SQLite", sqlite), "postgresql": ("PostgreSQL", postgres)}
