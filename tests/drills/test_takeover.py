"""A run that was paused while another took over: what wakes up writes nothing more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.drills.conftest import Places
from tests.drills.daemons import Setup, watch
from tests.drills.judge import judge
from tests.drills.lives import LEASE_LOST, processes, zombie
from tests.drills.trials import is_stopped, late, take_over, wait_until
from tests.drills.world import make


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


def test_a_write_that_was_on_the_wire_during_a_takeover_is_named_with_its_epoch(new_place: Places) -> None:
    found = late(new_place, 1)
    assert found.landed > 0
    assert found.detected == found.landed


def test_daemons_and_a_command_run_each_slot_once_while_the_leader_is_killed_and_stopped(tmp_path: Path) -> None:
    seen = watch(Places(tmp_path, None)(), Setup(slots=8, every_s=2, ttl_s=0.8, daemons=2), seed=3)
    assert (seen.ran, seen.missed, seen.doubled, seen.twice, seen.stale, seen.lost) == (seen.due, 0, 0, 0, 0, 0)
    assert seen.kills + seen.sleeps > 0
    assert seen.faults == []
