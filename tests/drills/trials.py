"""One trial of death: several lives at one plan, each dying somewhere, judged from outside."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from jobs.apply import apply_plan
from store import audit
from store.leases import LeaseHeld, Leases
from tests.drills.crm import HUMAN
from tests.drills.judge import judge
from tests.drills.lives import LEASE_LOST, Fate, killed, live, processes, zombie
from tests.drills.lives import child as one_life
from tests.drills.world import FIELD, PERSON, Place, deps, make

LIVES = 5
POINTS = 90


class Crash(BaseException):
    """The process is gone: no handler of ours may catch it."""


def crash() -> None:
    raise Crash


def simulate(places: Callable[[], Place], seed: int) -> Counter[str]:
    """Several lives in one process: each dies with an exception that nothing catches, and all objects are dropped."""
    place = places()
    return judge(place, die_and_finish(place, seed))


def die_and_finish(place: Place, seed: int) -> str:
    """The lives of one seed, and the quiet ones after them; the plan's id."""
    rng, plan_id = random.Random(seed), make(place)
    for life in range(LIVES):
        die_at = rng.randrange(1, POINTS) if life < LIVES - 1 else 0
        fate = Fate(seed=rng.randrange(1 << 30), die_at=die_at, die=crash, faults=life < LIVES - 1)
        try:
            live(place, plan_id, fate, life)
        except Crash:
            continue
    finish(place, plan_id)
    return plan_id


def finish(place: Place, plan_id: str) -> None:
    """Two quiet runs more: rows that failed for good in a faulty life are tried again."""
    for life in (100, 101):
        live(place, plan_id, Fate(seed=0, faults=False, humans=False), life)


def kill(places: Callable[[], Place], seed: int, *, most: int = 3) -> int:
    """Lives in processes of their own, each ended by SIGKILL at a random point; how many were."""
    rng, place, context = random.Random(1_000 + seed), places(), processes()
    plan_id, kills = make(place), 0
    for life in range(2 * most + 2):
        arguments = (place, plan_id, rng.randrange(1 << 30), rng.randrange(5, POINTS), life)
        process = context.Process(target=one_life, args=arguments)
        process.start()
        kills += killed(process)
        process.close()
        if kills == most:
            break
    finish(place, plan_id)
    judge(place, plan_id)
    return kills


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Writes of a run that slept with a request on the wire while another took over."""

    landed: int  # values that the CRM took from the older epoch after the newer one had written
    detected: int  # of them named in the audit with that epoch


def late(places: Callable[[], Place], seed: int) -> Late:
    """Stop a run after its last look at the lease, let another finish, let persons edit, and wake the first one.

    On the lane without a precondition, where nothing at the CRM can refuse the old request.
    """
    rng, place = random.Random(seed), places()
    plan_id = make(place, records={"hubspot": 9})
    process = processes().Process(target=zombie, args=(place, plan_id, "before_write"))
    process.start()
    assert process.pid
    wait_until(lambda: is_stopped(process.pid or 0), "the run did not stop at its point")
    wait_until(lambda: take_over(place, plan_id), "the lease was never free")
    crm = place.crm()
    done = crm.history()
    for record in sorted({row[2] for row in done}):
        if rng.random() < 0.7:
            crm.edit("hubspot", record, {FIELD["hubspot"]: f"human-{record}"})
    os.kill(process.pid, signal.SIGCONT)
    process.join(20)
    assert process.exitcode == LEASE_LOST
    newest = max(_epoch(row) for row in done)
    landed = [row for row in crm.history()[len(done) :] if row[6] != HUMAN and _epoch(row) < newest]
    crm.close()
    database = place.database()
    with database.read() as conn:
        told = [entry["body"] for entry in audit.entries(conn, plan_id=plan_id) if entry["kind"] == "written_late"]
    database.close()
    named = {
        (body["epoch"], record, value) for body in told for record, f in body["fields"].items() for value in f.values()
    }
    return Late(landed=len(landed), detected=sum((_epoch(row), row[2], row[5]) in named for row in landed))


def _epoch(row: tuple[object, ...]) -> int:
    return int(str(row[6]).split("/")[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another process brings about."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_stopped(pid: int) -> bool:
    """True while SIGSTOP holds the process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a kernel file
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def take_over(place: Place, plan_id: str) -> bool:
    """Apply in this process, once the paused holder's lease is over."""
    database, crm = place.database(), place.crm()
    try:
        apply_plan(deps(place, database, crm, leases=Leases(database)), plan_id, person=PERSON)
    except LeaseHeld:
        return False
    finally:
        database.close()
        crm.close()
    return True
