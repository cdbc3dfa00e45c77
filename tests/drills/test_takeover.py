"""A run that was paused while another took over: what wakes up writes nothing more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from jobs.apply import apply_plan
from store.leases import LeaseHeld, Leases
from tests.drills.conftest import Places
from tests.drills.judge import judge
from tests.drills.lives import LEASE_LOST, processes, zombie
from tests.drills.world import PERSON, Place, deps, make


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_stopped(pid: int) -> bool:
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


@pytest.mark.parametrize("point", ["before_confirm", "before_write", "after_write"])
def test_a_paused_run_writes_nothing_after_another_took_over(new_place: Places, point: str) -> None:
    """`before_write` is after the last look at the lease: there only the record's version keeps the write out."""
    place = new_place()
    plan_id = make(place, records={"salesforce": 14})
    process = processes().Process(target=zombie, args=(place, plan_id, point))
    process.start()
    assert process.pid
    wait_until(lambda: is_stopped(process.pid or 0), "the run did not stop at its point")

    wait_until(lambda: take_over(place, plan_id), "the lease was never free")
    crm = place.crm()
    before = crm.history()
    os.kill(process.pid, signal.SIGCONT)
    process.join(20)

    assert process.exitcode == LEASE_LOST
    assert crm.history() == before
    crm.close()
    assert judge(place, plan_id) == {"verified": 14}
