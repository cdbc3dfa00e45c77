"""Simulations that happen the same way every time: one seed, one history, down to a hash of it.

A duel is two runs at one plan in one process. They are stepped by a seeded scheduler that changes over at calls of the
CRM and lets the leases' clock go on by as much as it likes, so that either may find its lease gone.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jobs.apply import apply_plan
from store import audit
from store.leases import LeaseHeld, LeaseLost, Leases
from store.plans import Plans
from tests.drills.crm import HUMAN
from tests.drills.judge import judge
from tests.drills.trials import die_and_finish, finish
from tests.drills.world import PERSON, Place, deps, make

TRIES = 40
TTL_S = 30.0
POINTS = ("before_read", "after_read", "before_confirm", "after_write")
"""Where the scheduler may change over. Not after the last look at a lease: nothing prevents what is sent then."""


def crash_hash(place: Place, seed: int) -> str:
    """The history of a crash seed."""
    return history_hash(place, die_and_finish(place, seed))


def duel_hash(place: Place, seed: int) -> str:
    """The history of a duel, judged like any other."""
    plan_id = duel(place, seed)
    finish(place, plan_id)
    judge(place, plan_id)
    return history_hash(place, plan_id)


def history_hash(place: Place, plan_id: str) -> str:
    """A hash of what the CRM and the audit hold, without what is random by intent: ids and instants."""
    database, crm = place.database(), place.crm()
    told = [
        (one["kind"], one["item_id"], {k: v for k, v in one["body"].items() if k not in ("decision", "digest", "seal")})
        for one in _entries(place, plan_id)
    ]
    outcomes = {name: one.state for name, one in Plans(database, place.files()).outcomes(plan_id).items()}
    history = [(*row[:6], row[6] if row[6] == HUMAN else row[6].split("/")[1]) for row in crm.history()]
    requests = [(system, stamp.split("/")[1], rows) for system, stamp, rows in crm.requests()]
    database.close()
    crm.close()
    rows = sorted(json.dumps(one, sort_keys=True) for one in told)  # a recovery reads in the order of random ids
    text = json.dumps([history, requests, rows, sorted(outcomes.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _entries(place: Place, plan_id: str) -> list[dict[str, object]]:
    database = place.database()
    with database.read() as conn:
        found = list(audit.entries(conn, plan_id=plan_id))
    database.close()
    return found  # type: ignore[return-value]  # rows of the audit, read only


@dataclass(kw_only=True)
class Scheduler:
    """Lets one of two threads run at a time, and moves the clock of the leases."""

    rng: random.Random
    seconds: float = 1_000.0
    turn: int = 0
    alive: list[int] = field(default_factory=lambda: [0, 1])
    changed: threading.Condition = field(default_factory=threading.Condition)

    def clock(self) -> float:
        return self.seconds

    def wait(self, me: int) -> None:
        """Come back when it is this one's turn."""
        with self.changed:
            while self.turn != me:
                self.changed.wait()

    def point(self, me: int) -> None:
        """A place where the other may go on instead."""
        with self.changed:
            self.seconds += self.rng.choice((0.0, 0.0, 0.0, 1.0, TTL_S + 1))
            self.turn = self.rng.choice(self.alive)
            self.changed.notify_all()
        self.wait(me)

    def leave(self, me: int) -> None:
        """This one has ended."""
        with self.changed:
            self.alive.remove(me)
            self.turn = self.alive[0] if self.alive else -1
            self.changed.notify_all()


def duel(place: Place, seed: int) -> str:
    """Two runs at one plan at once; the plan's id."""
    plan_id, scheduler = make(place), Scheduler(rng=random.Random(seed))
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=_fight, args=(place, plan_id, scheduler, me, failures.append)) for me in scheduler.alive
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return plan_id


def _fight(place: Place, plan_id: str, scheduler: Scheduler, me: int, failed: Callable[[BaseException], None]) -> None:
    scheduler.wait(me)
    database, crm = place.database(), place.crm()

    def hook(point: str, ids: Sequence[str]) -> str:
        if point in POINTS:
            scheduler.point(me)
        return ""

    try:
        leases = Leases(database, ttl_s=TTL_S, clock=scheduler.clock)
        for _ in range(TRIES):
            scheduler.point(me)
            try:
                apply_plan(deps(place, database, crm, hook=hook, leases=leases), plan_id, person=PERSON)
            except (LeaseHeld, LeaseLost):
                continue
            break
    except BaseException as error:  # shown by the thread that waits for this one
        failed(error)
    finally:
        scheduler.leave(me)
        database.close()
        crm.close()
