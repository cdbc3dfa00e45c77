"""Terms: of all daemons one works at a time, the holder of the daemons' lease; the others stand by.

A daemon that dies or sleeps longer than its lease loses its term to the next one, which takes over the slots that were
begun and not ended. What wakes up later can neither claim nor end a slot, and its writes are fenced by the epochs of
the connections' leases.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

import structlog

from jobs.schedule import ScheduledJob, run_until_over
from store.database import StoreError, instant
from store.leases import Lease, LeaseHeld, LeaseLost, Leases
from store.slots import Slots

log = structlog.get_logger()

LEASE = "daemon:term"
STAND_BY_S = 2.0
"""A daemon that stands by asks this often; a daemon at work looks this often whether it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """The time in which this daemon works. The register of `jobs.schedule`."""

    slots: Slots
    lease: Lease
    by: str
    stop: Event  # a person's word
    lost: Event  # another daemon took over
    inherited: dict[str, datetime] = field(default_factory=dict)

    def claim(self, job: str, slot: datetime) -> bool:
        """True once per slot among all daemons."""
        return self.slots.claim(job, instant(slot), lease=self.lease, by=self.by)

    def finish(self, job: str, slot: datetime, *, error: str = "") -> None:
        """Store how the slot ended."""
        self.slots.finish(job, instant(slot), lease=self.lease, is_ok=not error, message=error)

    def last(self, job: str) -> datetime | None:
        """The newest slot of the job."""
        row = self.slots.last(job)
        return datetime.fromisoformat(row["slot"]) if row else None

    def is_over(self) -> bool:
        """True after a person's word, and once another daemon took over."""
        return self.stop.is_set() or self.lost.is_set()

    def wait(self) -> None:
        """Come back when the term is over."""
        pause_s = STAND_BY_S / 4
        while not self.is_over():
            self.stop.wait(pause_s)


def work_in_terms(
    stop: Event, jobs: tuple[ScheduledJob, ...], slots: Slots, leases: Leases, now: Callable[[], datetime]
) -> None:
    """Stand by, work, stand by again, until `stop` is set."""
    while not stop.is_set():
        lease = _turn(stop, leases)
        if lease is None:
            return
        log.info("term_started", epoch=lease.epoch)
        with _term(stop, slots, leases, lease) as term:
            run_until_over(term, jobs, now)
        log.info("term_ended", epoch=lease.epoch, is_lost=term.lost.is_set())


@contextmanager
def _term(stop: Event, slots: Slots, leases: Leases, lease: Lease) -> Iterator[Term]:
    lost = Event()
    term = Term(slots=slots, lease=lease, by=platform.node(), stop=stop, lost=lost)
    with leases.keeping(lease, on_lost=lost.set):
        try:
            left = slots.inherit(lease, by=term.by)
        except (LeaseLost, StoreError) as error:
            log.warning("term_not_begun", message=str(error))
            lost.set()
            left = {}
        term.inherited.update({job: datetime.fromisoformat(slot) for job, slot in left.items()})
        yield term


def _turn(stop: Event, leases: Leases) -> Lease | None:
    """The daemons' lease, once it is free; None when told to stop before."""
    said = ""
    while not stop.is_set():
        try:
            return leases.acquire(LEASE, op="daemon")
        except (LeaseHeld, StoreError) as error:
            if type(error).__name__ != said:
                said = type(error).__name__
                log.info("standing_by", message=str(error))
        stop.wait(min(STAND_BY_S, leases.ttl_s / 4))
    return None
