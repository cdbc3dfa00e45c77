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
from sandbox.world import Request, World
from store.plans import Plans
from tests.drills.lives import WaitedTime, http_connections
from tests.drills.races import LANES, LaneUnderTest, _fill, _wanted
from tests.drills.sent import unasked
from tests.drills.world import PERSON, Place, save_plan, wire

ORGS = {"salesforce": "sf", "hubspot": "hs"}
SHARE = 0.3
LATER_S = 60.0
LANE_NAMES = ("Salesforce conditional", "HubSpot batch")

KINDS: Mapping[str, Sequence[Fault]] = {
    name: [replace(one, probability=SHARE, times=0) for one in faults]
    for name, faults in {
        "429 with Retry-After": [Fault(verb=Verb.STATUS, status=429, retry_after=7.0)],
        "500": [Fault(verb=Verb.STATUS, status=500)],
        "502": [Fault(verb=Verb.STATUS, status=502)],
        "503 with Retry-After": [Fault(verb=Verb.STATUS, status=503, retry_after=11.0)],
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
    early: int = 0  # requests sent before the time that a Retry-After named
    calls: float = 0.0  # the most calls of a stormy sitting, as a multiple of a quiet one's


def storm(
    place: Place, kind: str, seed: int, *, count: int, lanes: Sequence[str] = LANE_NAMES, quiet: Mapping[str, int] = {}
) -> Weather:
    """One sitting in the storm and a quiet one after it, lane by lane; `quiet` has the calls of a quiet first one."""
    weather = Weather(trials=len(lanes))
    for name in lanes:
        lane, waited = LANES[name], WaitedTime()
        world = World(seed=seed, now=waited.now)
        ids = _fill(world, lane, count)
        with Sandbox(world) as sandbox:
            plan_id = save_plan(place, [_wanted(lane, one) for one in ids], ORGS)
            for fault in KINDS[kind]:
                world.faults.add(replace(fault, stream=f"{kind}:{seed}"))
            first = _apply(place, sandbox, lane, plan_id, waited)
            weather.struck += world.faults.fired()
            weather.complete += bool(first and first.is_complete)
            weather.rests += not (first and first.is_complete)
            if name in quiet:
                weather.calls = max(weather.calls, len(world.requests) / quiet[name])
            world.faults.clear()
            waited.sleep(LATER_S)  # the next process does not know what the last one was asked to wait
            _apply(place, sandbox, lane, plan_id, waited)
            weather.early += early(world.requests, {fault.status: fault.retry_after for fault in KINDS[kind]})
            _look(place, world, lane, plan_id, weather)
    return weather


def quiet_calls(place: Place, lane_name: str, *, count: int) -> int:
    """Requests of a sitting that nothing disturbs."""
    lane, waited = LANES[lane_name], WaitedTime()
    world = World(seed=0, now=waited.now)
    ids = _fill(world, lane, count)
    with Sandbox(world) as sandbox:
        result = _apply(place, sandbox, lane, save_plan(place, [_wanted(lane, one) for one in ids], ORGS), waited)
    assert result is not None
    assert result.is_complete
    return len(world.requests)


def early(requests: Sequence[Request], asked_s: Mapping[int, float | None]) -> int:
    """Requests that came before the time named by the answer before them, on the clock of the waits."""
    found, not_before = 0, {"salesforce": 0.0, "hubspot": 0.0}
    for one in requests:
        at = one.at.timestamp()
        found += at < not_before[one.system] - 0.001
        not_before[one.system] = at + (asked_s.get(one.status) or 0.0)
    return found


def _apply(place: Place, sandbox: Sandbox, lane: LaneUnderTest, plan_id: str, waited: WaitedTime) -> ApplyResult | None:
    """None where the CRM could not be read at all: then nothing was written in this sitting."""
    database = place.database()
    try:
        connections = http_connections(sandbox.base_url, ORGS, chunk_rows={}, time=waited)
        chosen = {lane.system: connections[lane.system]}
        given = wire(place, database, chosen, guards=lambda *_: (), sleep=waited.sleep)
        return apply_plan(given, plan_id, person=PERSON)
    except ConnectorError:
        return None
    finally:
        database.close()


def _look(place: Place, world: World, lane: LaneUnderTest, plan_id: str, weather: Weather) -> None:
    wrong = unasked(world.requests, fields=[lane.native])
    assert not wrong, wrong[:5]
    database = place.database()
    outcomes = Plans(database, place.files()).outcomes(plan_id)
    items = Plans(database, place.files()).load(plan_id).items.num_rows
    database.close()
    written = Counter(one.record_id for one in world.history if one.field == lane.native)
    weather.lost += items - len(outcomes)
    weather.twice += sum(count > 1 for count in written.values())
    weather.left += sum(one.state not in ("verified", "converged") for one in outcomes.values())
