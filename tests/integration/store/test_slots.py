"""Slots: each is run by one daemon, forwards in time, and what a died daemon began is taken over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from store.database import Database, instant
from store.leases import Lease, LeaseLost, Leases
from store.slots import Slots


def term(database: Database) -> Lease:
    return Leases(database).acquire("daemon:term", op="daemon")


def test_a_slot_is_claimed_by_one_of_many(connect: Callable[[], Database]) -> None:
    won: list[int] = []
    lease = term(connect())

    def claim(database: Database, number: int) -> None:
        slots = Slots(database)
        won.extend(number for slot in range(10) if slots.claim("pull", str(slot), lease=lease, by=str(number)))

    threads = [threading.Thread(target=claim, args=(connect(), number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots = Slots(connect())
    assert len(won) == len(slots.of_job("pull")) == 10
    slots.finish("pull", "9", lease=lease, is_ok=False, message="unreachable")
    last = slots.last("pull")
    assert last is not None
    assert (last["slot"], last["status"]) == ("9", "failed")
    assert slots.last("plan") is None


def test_slots_are_claimed_forwards_whatever_clock_a_daemon_has(database: Database) -> None:
    slots, lease = Slots(database), term(database)
    assert slots.claim("pull", "2026-01-01T10:10:00.000Z", lease=lease, by="one")
    assert not slots.claim("pull", "2026-01-01T10:09:00.000Z", lease=lease, by="two")
    assert slots.claim("pull", "2026-01-01T10:11:00.000Z", lease=lease, by="two")


def test_a_claim_of_a_clock_that_ran_a_day_ahead_does_not_stop_the_job(database: Database) -> None:
    slots, lease, now = Slots(database), term(database), datetime.now(UTC)
    ahead, due = instant(now + timedelta(days=1)), instant(now)
    assert slots.claim("pull", ahead, lease=lease, by="one")
    assert slots.claim("pull", due, lease=lease, by="one")
    assert not slots.claim("pull", ahead, lease=lease, by="one")


def test_what_a_died_daemon_began_is_inherited_and_its_own_claims_and_ends_are_refused(database: Database) -> None:
    slots = Slots(database)
    clock = iter([0.0, 0.0, 100.0]).__next__
    leases = Leases(database, ttl_s=10, clock=clock)
    old = leases.acquire("daemon:term", op="daemon")
    for slot in ("1", "2"):
        assert slots.claim("pull", slot, lease=old, by="one")
    slots.claim("plan", "1", lease=old, by="one")
    slots.finish("plan", "1", lease=old, is_ok=True)
    leases.renew(old)
    new = leases.acquire("daemon:term", op="daemon")
    assert slots.inherit(new, by="two") == {"pull": "2"}
    assert [(row["slot"], row["status"], row["claimed_by"]) for row in slots.of_job("pull")] == [
        ("1", "failed", "one"),
        ("2", "claimed", "two"),
    ]
    with pytest.raises(LeaseLost):
        slots.finish("pull", "2", lease=old, is_ok=True)
    with pytest.raises(LeaseLost):
        slots.claim("pull", "3", lease=old, by="one")
