"""Storms: one kind of fault strikes a share of all requests; every run ends complete or with an exact rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.errors import ConnectorError
from jobs.apply import apply_plan
from jobs.applying.model import ApplyResult
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox
from sandbox.world import World
from store.plans import Plans
from tests.drills.lives import http_connections
from tests.drills.races import LANES, LaneUnderTest, _fill, _wanted
from tests.drills.world import PERSON, Place, save_plan, wire

ORGS = {"salesforce": "sf", "hubspot": "hs"}
SHARE = 0.3
LANE_NAMES = ("Salesforce conditional", "HubSpot batch")

KINDS: Mapping[str, Sequence[Fault]] = {
    name: [replace(one, probability=SHARE, times=0) for one in faults]
    for name, faults in {
        "429 with Retry-After": [Fault(verb=Verb.STATUS, status=429, retry_after=1.0)],
        "500": [Fault(verb=Verb.STATUS, status=500)],
        "502": [Fault(verb=Verb.STATUS, status=502)],
        "503 with Retry-After": [Fault(verb=Verb.STATUS, status=503, retry_after=1.0)],
        "maintenance page with 200": [Fault(verb=Verb.STATUS_200_HTML)],
        "connection closed before": [Fault(verb=Verb.RESET_BEFORE)],
        "written, then closed": [Fault(verb=Verb.COMMIT_THEN_RESET)],
        "written, then 500": [Fault(verb=Verb.COMMIT_THEN_500)],
        "partly written, then closed": [Fault(verb=Verb.COMMIT_PARTIAL_THEN_RESET, rows=3)],
        "rows locked": [Fault(verb=Verb.LOCK_ROW)],
        "rows refused": [Fault(verb=Verb.PARTIAL, rows=1, code="UNABLE_TO_LOCK_ROW")],
        "tokens expire": [Fault(verb=Verb.EXPIRE_TOKEN, system="salesforce")],
    }.items()
}


@dataclass(slots=True, kw_only=True)
class Weather:
    """What storms of one kind came to."""

    trials: int = 0
    complete: int = 0  # every item written and verified in one sitting
    rests: int = 0  # ended with a rest, each item of it named with its state
    lost: int = 0  # items in no state
    twice: int = 0  # values that were written twice
    left: int = 0  # items not done after one quiet run more
    struck: int = 0  # requests that the fault hit


def storm(place: Place, kind: str, seed: int, *, count: int) -> Weather:
    """One sitting in the storm and a quiet one after it, on both CRMs."""
    weather = Weather(trials=1)
    for name in LANE_NAMES:
        lane, world = LANES[name], World(seed=seed)
        ids = _fill(world, lane, count)
        with Sandbox(world) as sandbox:
            plan_id = save_plan(place, [_wanted(lane, one) for one in ids], ORGS)
            for fault in KINDS[kind]:
                world.faults.add(replace(fault, stream=f"{kind}:{seed}"))
            first = _apply(place, sandbox, lane, plan_id)
            weather.struck += world.faults.fired()
            weather.complete += bool(first and first.is_complete)
            weather.rests += not (first and first.is_complete)
            world.faults.clear()
            _apply(place, sandbox, lane, plan_id)
            _look(place, world, lane, plan_id, weather)
    return weather


def _apply(place: Place, sandbox: Sandbox, lane: LaneUnderTest, plan_id: str) -> ApplyResult | None:
    """None where the CRM could not be read at all: then nothing was written in this sitting."""
    database = place.database()
    try:
        connections = http_connections(sandbox.base_url, ORGS, chunk_rows={})
        given = wire(place, database, {lane.system: connections[lane.system]}, guards=lambda *_: ())
        return apply_plan(given, plan_id, person=PERSON)
    except ConnectorError:
        return None
    finally:
        database.close()


def _look(place: Place, world: World, lane: LaneUnderTest, plan_id: str, weather: Weather) -> None:
    database = place.database()
    outcomes = Plans(database, place.files()).outcomes(plan_id)
    items = Plans(database, place.files()).load(plan_id).items.num_rows
    database.close()
    written = Counter(one.record_id for one in world.history if one.field == lane.native)
    weather.lost += items - len(outcomes)
    weather.twice += sum(count > 1 for count in written.values())
    weather.left += sum(one.state not in ("verified", "converged") for one in outcomes.values())
