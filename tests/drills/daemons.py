"""Several daemons and a command over one store, as real processes, while whoever leads is killed or put to sleep.

A slot of the drill plans for a few records and applies the plan, as the product's slots do. What happened is read from
a log that all processes append to, the history of the CRMs, the slot table and the audit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa
import structlog
from apscheduler.triggers.cron import CronTrigger

from jobs.apply import apply_plan
from jobs.applying.model import PlanRefused
from jobs.schedule import ScheduledJob
from jobs.terms import LEASE, work_in_terms
from jobs.wiring import Wired
from store import audit, tables
from store.leases import LeaseHeld, LeaseLost, Leases
from store.plans import OPEN, Plans, PlanStatus
from store.slots import Slots
from tests.drills.crm import HUMAN
from tests.drills.lives import processes
from tests.drills.world import FIELD, LANE, PERSON, Place, Wanted, deps, record_id, save_plan

RECORDS = {"salesforce": 12, "hubspot": 12}
FREE_S = 30.0  # until then a connection is free, whatever happens to who holds it
PER_SLOT = 3  # records of each system that one slot changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How fast everything goes."""

    every_s: int = 4
    ttl_s: float = 2.0
    daemons: int = 3
    slots: int = 200
    commands: bool = True


@dataclass(slots=True, kw_only=True)
class Watch:
    """What came of a trial."""

    due: int = 0  # slots from the first to the last
    ran: int = 0  # of them that were run and ended
    missed: int = 0  # of them that nobody ran; each reported
    again: int = 0  # begun again after the death or sleep of who had begun them
    doubled: int = 0  # ended twice, or begun twice without a death or a sleep between
    kills: int = 0
    sleeps: int = 0
    twice: int = 0  # values written twice
    stale: int = 0  # writes of an epoch after a later one of the same CRM
    lost: int = 0  # values of ended slots that are neither written nor told of
    takeover_s: float = 0.0  # the longest time without a leader after a death or sleep
    faults: list[str] = field(default_factory=list)


def daemon(place: Place, setup: Setup) -> None:
    """Entry of a process: one daemon, until it is told to stop."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _log_to(place.folder / "events.jsonl")
    database = place.database()
    trigger = CronTrigger(second=f"*/{setup.every_s}", timezone="UTC")
    job = ScheduledJob(name="work", trigger=trigger, run=lambda _: _slot(place, setup, stop))
    clock = Wired.__dataclass_fields__["now"].default
    work_in_terms(stop, (job,), Slots(database), Leases(database, ttl_s=setup.ttl_s), clock)


def command(place: Place, setup: Setup) -> None:
    """Entry of a process: a person who applies the newest plan again and again."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _log_to(place.folder / "events.jsonl")
    dice = random.Random(os.getpid())
    while not stop.wait(dice.uniform(0.05, 0.8)):
        try:
            _apply_newest(place, setup, stop)
        except (LeaseHeld, LeaseLost, PlanRefused):
            continue


def _slot(place: Place, setup: Setup, stop: Event) -> None:
    """Finish what is open, then plan and apply something new."""
    deadline = time.monotonic() + FREE_S
    while not _applied(place, setup, stop):
        assert time.monotonic() < deadline, "the connections were never free"
        stop.wait(0.1)
    crm, value = place.crm(), f"{time.time_ns()}"
    dice, wanted = random.Random(value), []
    for system, count in sorted(RECORDS.items()):
        for number in sorted(dice.sample(range(count), PER_SLOT)):
            found = crm.get(system, record_id(system, number))
            assert found is not None
            about = {"connection": system, "record_id": record_id(system, number), "lane": LANE[system]}
            wanted.append(Wanted(**about, before=found[0][FIELD[system]], after=f"{system}-{value}"))
    crm.close()
    save_plan(place, wanted, {system: f"org-{system}" for system in RECORDS})
    while not _applied(place, setup, stop):
        assert time.monotonic() < deadline, "the connections were never free"
        stop.wait(0.1)


def _applied(place: Place, setup: Setup, stop: Event) -> bool:
    try:
        _apply_newest(place, setup, stop)
    except LeaseHeld:
        return False
    except PlanRefused as refused:
        if refused.reason != "superseded":  # by the plan of a daemon that woke up: that one is applied then
            raise
        return False
    return True


def _apply_newest(place: Place, setup: Setup, stop: Event) -> None:
    database, crm = place.database(), place.crm()
    try:
        plans = Plans(database, place.files())
        newest = plans.newest()
        if newest is None or plans.list(limit=1)[0]["status"] not in (*OPEN, PlanStatus.APPLYING):
            return
        leases = Leases(database, ttl_s=setup.ttl_s)
        apply_plan(
            deps(place, database, crm, leases=leases, stop=stop.is_set, guards=lambda *_: ()), newest, person=PERSON
        )
    finally:
        database.close()
        crm.close()


def watch(place: Place, setup: Setup, seed: int) -> Watch:
    """Run daemons and a command for so many slots, killing and stopping who leads; judge from outside."""
    crm = place.crm()
    crm.create(
        {
            (s, record_id(s, n)): {FIELD[s]: f"{s}-first", "phone": "1"}
            for s, count in RECORDS.items()
            for n in range(count)
        }
    )
    crm.close()
    trial = _Trial(place, setup, seed)
    try:
        trial.run()
    finally:
        trial.end()
    return trial.judged()


class _Trial:
    def __init__(self, place: Place, setup: Setup, seed: int) -> None:
        self.place, self.setup, self.dice = place, setup, random.Random(seed)
        self.watch, self.context = Watch(), processes()
        self.processes: dict[int, BaseProcess] = {}
        self.entries: dict[int, Callable[[Place, Setup], None]] = {}  # pid -> what it does
        self.ends = 0.0
        self.asleep: dict[int, float] = {}  # pid -> when to wake it
        self.hit: dict[int, float] = {}  # pid -> when it was killed or stopped last

    def run(self) -> None:
        for _ in range(self.setup.daemons):
            self._start(daemon)
        if self.setup.commands:
            self._start(command)
        ends = self.ends = time.time() + self.setup.slots * self.setup.every_s
        quiet = 2 * self.setup.ttl_s + self.setup.every_s  # time to take over and to work
        strike = time.time() + 3
        while time.time() < ends:
            time.sleep(0.02)
            self._wake()
            if time.time() > strike and not self.asleep and ends - time.time() > quiet:
                is_hit = self._strike()
                strike = time.time() + (self.dice.uniform(0.6, 1.4) * quiet if is_hit else 0.5)

    def end(self) -> None:
        for pid in list(self.asleep):
            os.kill(pid, signal.SIGCONT)
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.join(20)
            if process.is_alive():
                self.watch.faults.append("a daemon did not end when told to")
                process.kill()

    def _start(self, entry: Callable[[Place, Setup], None]) -> None:
        process = self.context.Process(target=entry, args=(self.place, self.setup))
        process.start()
        assert process.pid
        self.processes[process.pid] = process
        self.entries[process.pid] = entry

    def _strike(self) -> bool:
        """Kill or stop the leader, or now and then whoever holds a connection; False where nobody does."""
        name = LEASE if self.dice.random() < 0.7 else self.dice.choice(sorted(RECORDS))
        pid = self._holder(name)
        if pid not in self.processes:
            return False
        self.hit[pid] = time.time()
        if self.dice.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
            self.watch.kills += 1
            self.processes.pop(pid).join(5)
            self._start(self.entries[pid])
        else:
            os.kill(pid, signal.SIGSTOP)
            self.watch.sleeps += 1
            self.asleep[pid] = time.time() + self.setup.ttl_s * self.dice.uniform(1.5, 3)
        return True

    def _wake(self) -> None:
        for pid, at in list(self.asleep.items()):
            if time.time() > at:
                os.kill(pid, signal.SIGCONT)
                del self.asleep[pid]

    def _holder(self, name: str) -> int:
        database = self.place.database()
        query = sa.select(tables.lease.c.pid).where(tables.lease.c.name == name, tables.lease.c.holder != "")
        with database.read() as conn:
            pid = conn.scalar(query)
        database.close()
        return pid or 0

    def judged(self) -> Watch:
        events = _events(self.place.folder / "events.jsonl")
        self._judge_slots(events)
        self._judge_takeovers(events)
        self._judge_writes()
        return self.watch

    def _judge_slots(self, events: list[dict[str, Any]]) -> None:
        begun = [one for one in events if one["event"] == "slot_started"]
        ended = Counter(one["slot"] for one in events if one["event"] == "slot_finished")
        slots = sorted({one["slot"] for one in begun})
        told = sum(one["count"] for one in events if one["event"] == "slots_missed")
        calm = self.ends - 2 * self.setup.ttl_s - 2 * self.setup.every_s  # until then nobody was struck any more
        first, last = _seconds(slots[0]), max(_seconds(slots[-1]), calm - calm % self.setup.every_s)
        watch = self.watch
        watch.due = round((last - first) / self.setup.every_s) + 1
        watch.ran, watch.missed = len(slots), watch.due - len(slots)
        if watch.missed != told:
            watch.faults.append(f"{watch.missed} slots were missed, {told} reported")
        watch.again = len(begun) - len(slots)
        watch.doubled = sum(count > 1 for count in ended.values())
        for slot in slots:
            pids = [one["pid"] for one in begun if one["slot"] == slot]
            watch.doubled += any(pid not in self.hit for pid in pids[:-1])
        for one in events:
            if one["event"] == "slot_failed" and "LeaseLost" not in one["error"]:
                watch.faults.append(f"slot {one['slot']}: {one['error']}: {one['message']}")

    def _judge_takeovers(self, events: list[dict[str, Any]]) -> None:
        terms = sorted((one["at"], one["pid"]) for one in events if one["event"] == "term_started")
        for (_, before), (at, pid) in pairwise(terms):
            if before != pid and before in self.hit and self.hit[before] < at:
                self.watch.takeover_s = max(self.watch.takeover_s, at - self.hit[before])

    def _judge_writes(self) -> None:
        database, crm = self.place.database(), self.place.crm()
        ours = [row for row in crm.history() if row[6] != HUMAN]
        written = Counter((system, record, new) for _, system, record, _, _, new, _ in ours)
        self.watch.twice = sum(count > 1 for count in written.values())
        for system in RECORDS:
            epochs = [int(row[6].split("/")[1]) for row in ours if row[1] == system]
            self.watch.stale += sum(before > after for before, after in pairwise(epochs))
        with database.read() as conn:
            entries = list(audit.entries(conn))
        audited = Counter(
            (entry["body"]["connection"], entry["body"]["record_id"], new)
            for entry in entries
            if entry["kind"] == "applied" and entry["body"]["how"] != "converged"
            for _, new in entry["body"]["fields"].values()
        )
        self.watch.lost = sum((written - audited).values()) + sum((audited - written).values())
        if not audit.verify(database).is_intact:
            self.watch.faults.append("the audit's chain is broken")
        database.close()
        crm.close()


def _seconds(slot: str) -> float:
    return datetime.fromisoformat(slot).timestamp()


def _log_to(path: Path) -> None:
    """Every log event of this process as one line of a file that all share; a line is written in one piece."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def line(_: object, __: str, event: Mapping[str, Any]) -> Any:
        kept = {**event, "pid": os.getpid(), "at": time.time()}
        os.write(file, (json.dumps(kept, default=str) + "\n").encode())
        raise structlog.DropEvent

    structlog.configure(processors=[line])


def _events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
