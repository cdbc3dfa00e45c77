"""A process that applies a plan and dies where it is told to. Runs in a child; dies by SIGKILL, cleans up nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.context import ForkServerProcess
from typing import Any

import sqlalchemy as sa

from connectors.hubspot.auth import StaticToken
from connectors.hubspot.session import HubSpotSession, HubSpotSettings, Surroundings
from connectors.hubspot.target import HubSpotTarget
from connectors.protocol import Lane, Org, Target
from connectors.salesforce.auth import ClientCredentials, connect
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.target import SalesforceTarget
from jobs.apply import apply_plan
from jobs.applying.model import Connected
from jobs.applying.native import MapTranslation
from sandbox.hubspot.history import APP_ID
from sandbox.salesforce.ids import make_id
from store.database import Database, StoreError
from store.leases import LeaseLost
from tests.drills.crm import CrmFile
from tests.drills.world import FIELD, MAPPINGS, PERSON, Place, deps, wire

LEASE_LOST = 9
FAULTS = ("reset", "commit_then_reset", "busy", "", "", "")


def processes() -> multiprocessing.context.ForkServerContext:
    """Children that start quickly and share no thread with the test."""
    os.environ["POLARS_ALLOW_FORKING_THREAD"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.drills.preload"])
    return context


@dataclass(slots=True, kw_only=True)
class Fate:
    """What happens around one life, from one seed: faults of the CRM, edits of persons, the point of death."""

    seed: int
    die_at: int = 0  # the n-th point; 0 = never
    die: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    faults: bool = True
    humans: bool = True
    points: int = 0
    rng: random.Random = field(init=False)
    late: random.Random = field(init=False)
    crm: CrmFile | None = None

    def __post_init__(self) -> None:
        self.rng, self.late = random.Random(self.seed), random.Random(f"late:{self.seed}")

    def at(self, crm: CrmFile) -> Callable[[str, Sequence[str]], str]:
        """The hook of a target."""

        def hook(point: str, ids: Sequence[str]) -> str:
            self.tick()
            if self.humans and point == "before_write" and self.rng.random() < 0.15:
                self._edit(crm, self.rng.choice(list(ids)))
            if self.humans and point == "before_read" and ids and self.late.random() < 0.1:
                self._edit(crm, self.late.choice(sorted(ids)))  # perhaps over what was written; recovery has no order
            return self.rng.choice(FAULTS) if self.faults and point == "before_write" else ""

        return hook

    def tick(self, *_: object) -> None:
        """One point passed."""
        self.points += 1
        if self.points == self.die_at:
            self.die()

    @staticmethod
    def _edit(crm: CrmFile, record_id: str) -> None:
        system = record_id.split("-")[0]
        found = crm.get(system, record_id)
        if found and "human" not in str(found[0][FIELD[system]]):
            crm.edit(system, record_id, {FIELD[system]: f"human-{record_id}"})


def live(place: Place, plan_id: str, fate: Fate, life: int, *, database: Database | None = None, **more: Any) -> None:
    """Apply the plan once, in this process; every SQL commit and CRM call is a point at which it may die."""
    database, crm = database or place.database(), place.crm()
    engine = database._engine
    sa.event.listen(engine, "commit", fate.tick)
    try:
        given = deps(place, database, crm, hook=fate.at(crm), boot_id=f"boot-{life}", **more)
        apply_plan(given, plan_id, person=PERSON)
    finally:
        sa.event.remove(engine, "commit", fate.tick)
        database.close()
        crm.close()


def child(place: Place, plan_id: str, seed: int, die_at: int, life: int) -> None:
    """Entry of a child process."""
    live(place, plan_id, Fate(seed=seed, die_at=die_at), life)


def zombie(place: Place, plan_id: str, point: str) -> None:
    """Apply with a lease of half a second; stop dead at the first `point` as a machine that sleeps would."""
    from store.leases import Leases

    database, crm = place.database(), place.crm()
    stopped = []

    def hook(name: str, ids: Sequence[str]) -> str:
        if name == point and not stopped:
            stopped.append(name)
            os.kill(os.getpid(), signal.SIGSTOP)
        return ""

    leases = Leases(database, ttl_s=0.5)
    try:
        apply_plan(deps(place, database, crm, hook=hook, leases=leases), plan_id, person=PERSON)
    except LeaseLost:
        os._exit(LEASE_LOST)


def over_http(place: Place, plan_id: str, base_url: str, org_ids: Mapping[str, str], life: int) -> None:
    """Apply over real HTTP with the real connectors. Dies when somebody kills the process."""
    database = place.database()
    try:
        connections = http_connections(base_url, org_ids)
        apply_plan(wire(place, database, connections, boot_id=f"boot-{life}"), plan_id, person=PERSON)
    finally:
        database.close()


DISK_FULL = 7


def over_http_on_a_full_disk(
    place: Place, plan_id: str, base_url: str, org_ids: Mapping[str, str], life: int, room: int
) -> None:
    """The same, where no file may grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        over_http(place, plan_id, base_url, org_ids, life)
    except StoreError:
        os._exit(DISK_FULL)


USERS = {"salesforce": make_id("005", 1), "hubspot": APP_ID}
"""Who we are in the CRMs of a sandbox."""
SMALL = {Lane.CONDITIONAL: 10, Lane.BATCH: 10}


class WaitedTime:
    """A clock that stands still but for the waits asked of it: what a run waits for is seen, and not waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = datetime(2026, 1, 5, 8, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.seconds += seconds

    def clock(self) -> float:
        """Seconds so far."""
        return self.seconds

    def now(self) -> datetime:
        """The instant that a CRM beside the clock sees."""
        return self._start + timedelta(seconds=self.seconds)


def http_connections(
    base_url: str,
    org_ids: Mapping[str, str],
    *,
    chunk_rows: Mapping[Lane, int] = SMALL,
    time: WaitedTime | None = None,
) -> dict[str, Connected]:
    """Both CRMs of a sandbox, through the connectors that the product uses; no wait takes any time."""
    time = time or WaitedTime()
    credentials = ClientCredentials(client_id="sandbox", client_secret="sandbox", login_url=base_url)
    around = Surroundings(sleep=time.sleep, clock=time.clock, chance=lambda: 0.0)
    policy = RetryPolicy(sleep=time.sleep, clock=time.clock, jitter=lambda least, most: least)
    settings = HubSpotSettings(base_url=base_url, requests_per_10s=0, searches_per_s=0)
    targets: dict[str, Target] = {
        "salesforce": SalesforceTarget(connect(credentials, policy=policy)),
        "hubspot": HubSpotTarget(HubSpotSession(settings, StaticToken("sandbox"), surroundings=around)),
    }
    return {
        name: Connected(
            id=name,
            kind=name,
            target=target,
            org=partial(Org, org_id=org_ids[name], name=name, api_version="", user_id=USERS[name]),
            translation=MapTranslation(MAPPINGS.crms[name]),
            chunk_rows=chunk_rows,
        )
        for name, target in targets.items()
    }


def killed(process: ForkServerProcess) -> bool:
    """True where the process died as it was told to."""
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == -signal.SIGKILL
