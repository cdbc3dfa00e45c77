"""What a run stands on gives way: the disk is full, the server cuts it off, the clock jumps. Judged as deaths are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from store.database import Database, StoreError, instant
from store.leases import LeaseLost
from tests.drills.judge import judge
from tests.drills.lives import Fate, live
from tests.drills.trials import LIVES, POINTS, finish
from tests.drills.world import Place, make

MOST_PAGES = 5
MOST_JUMP_S = 3_600


def suffer(places: Callable[[], Place], seed: int, outage: str) -> Counter[str]:
    """Several lives under the outage, then quiet ones; `stopped` counts the lives it ended. Asserts every invariant."""
    rng, place = random.Random(seed), places()
    plan_id, stopped = make(place), 0
    for life in range(LIVES - 1):
        fate = Fate(seed=rng.randrange(1 << 30))
        database = OUTAGES[outage](place, fate, rng)
        try:
            live(place, plan_id, fate, life, database=database)
        except (StoreError, LeaseLost):
            stopped += 1
    finish(place, plan_id)
    return Counter({**judge(place, plan_id), "stopped": stopped})


def _disk_full(place: Place, fate: Fate, rng: random.Random) -> Database:
    """The database file may grow by a few pages and no further."""
    database, room = place.database(), rng.randrange(MOST_PAGES)

    @sa.event.listens_for(database._engine, "connect")
    def connected(raw: Any, _: object) -> None:
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {pages + room}")

    return database


def _cut_off(place: Place, fate: Fate, rng: random.Random) -> Database:
    """The server ends every other connection, at one point of the life."""
    engine = sa.create_engine(place.database_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

    def cut() -> None:
        with engine.connect() as conn:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            conn.exec_driver_sql(f"{others} AND backend_type = 'client backend'").all()

    fate.die_at, fate.die = rng.randrange(1, POINTS), cut
    return place.database()


def _clock_jumps(place: Place, fate: Fate, rng: random.Random) -> Database:
    """Now and then the wall clock goes up to an hour forwards or back, between two readings of it."""
    offset = timedelta()

    def now() -> str:
        nonlocal offset
        if rng.random() < 0.2:
            offset = timedelta(seconds=rng.uniform(-MOST_JUMP_S, MOST_JUMP_S))
        return instant(datetime.now(UTC) + offset)

    return Database(place.database_url, now=now)


OUTAGES: Mapping[str, Callable[[Place, Fate, random.Random], Database]] = {
    "disk full": _disk_full,
    "cut off by the server": _cut_off,
    "clock jumps": _clock_jumps,
}
