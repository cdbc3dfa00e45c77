"""Storms: one kind of fault strikes a share of all requests; every run ends complete or with an exact rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.errors import ConnectorError
from jobs.apply import apply_plan
from jobs.applying.model import ApplyResult
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox
from sandbox.world import Request, World
from store import audit
from store.plans import Plans
from tests.drills.lives import WaitedTime, http_connections
from tests.drills.races import LANES, LaneUnderTest, _fill, _wanted
from tests.drills.sent import unasked
from tests.drills.world import PERSON, Place, save_plan, wire

ORGS = {"salesforce": "sf", "hubspot": "hs"}
SHARE = 0.3
LATER_S = 60.0
DONE, UNSENT = {"verified", "converged"}, {"failed", "left", "blocked"}
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

    struck: int = 0  # requests that the fault hit
    trials: int = 0
    complete: int = 0  # every item written and verified in one sitting
    rests: int = 0  # ended with a rest, each item of it named with its state
    lost: int = 0  # items in no state
    twice: int = 0  # values that were written twice
    untrue: int = 0  # items told otherwise than the CRM has them, or the audit than the history
    unread: int = 0  # rows that came twice without a reading between
    left: int = 0  # values that the CRM does not have after one quiet run more
    early: int = 0  # requests sent before the time that a Retry-After named
    calls: float = 0.0  # the most calls of a stormy sitting, as a multiple of a quiet one's

    @property
    def broken(self) -> int:
        """Promises not kept."""
        return self.lost + self.twice + self.untrue + self.unread + self.left + self.early


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
            unread = _watch_readings(world)
            for fault in KINDS[kind]:
                world.faults.add(replace(fault, stream=f"{kind}:{seed}"))
            first = _apply(place, sandbox, lane, plan_id, waited)
            weather.struck += world.faults.fired()
            weather.complete += bool(first and first.is_complete)
            weather.rests += not (first and first.is_complete)
            weather.untrue += _untrue(world, lane, first, ids)
            if name in quiet:
                weather.calls = max(weather.calls, len(world.requests) / quiet[name])
            world.faults.clear()
            waited.sleep(LATER_S)  # the next process does not know what the last one was asked to wait
            _apply(place, sandbox, lane, plan_id, waited)
            weather.early += early(world.requests, {fault.status: fault.retry_after for fault in KINDS[kind]})
            weather.unread += len(unread)
            _look(place, world, lane, plan_id, weather)
    return weather


def _watch_readings(world: World) -> list[str]:
    """A list that fills with the records of which a write comes when the last one was not followed by a reading."""
    sent: set[str] = set()
    unread: list[str] = []

    def write(event: dict[str, Any]) -> None:
        unread.extend(one for one in event["ids"] if one in sent)
        sent.update(event["ids"])

    world.on("before_write", write)
    world.on("after_read", lambda event: sent.difference_update(event["ids"]))
    return unread


def _untrue(world: World, lane: LaneUnderTest, result: ApplyResult | None, ids: Sequence[str]) -> int:
    """Items that the run told otherwise than the CRM has them. Every one has to be told of."""
    if result is None:
        return sum(value == lane.values[1] for value in _now(world, lane).values())
    now, told = _now(world, lane), {one.record_id: str(one.state) for one in result.items}
    wrong = [one for one in ids if one not in told]
    wrong += [one for one, state in told.items() if state in DONE and now[one] != lane.values[1]]
    wrong += [one for one, state in told.items() if state in UNSENT and now[one] == lane.values[1]]
    return len(wrong)


def _now(world: World, lane: LaneUnderTest) -> dict[str, Any]:
    table = {"salesforce": "Account", "hubspot": "companies"}[lane.system]
    rows = world.rows(lane.system, table)
    return {one.get("Id") or one["hs_object_id"]: one.get(lane.native) for one in rows}


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
    plan = Plans(database, place.files()).load(plan_id)
    outcomes = Plans(database, place.files()).outcomes(plan_id)
    with database.read() as conn:
        entries = list(audit.entries(conn, plan_id=plan_id))
    database.close()
    written = Counter(one.record_id for one in world.history if one.field == lane.native)
    audited = Counter(
        e["body"]["record_id"] for e in entries if e["kind"] == "applied" and e["body"]["how"] != "converged"
    )
    now, wanted = _now(world, lane), plan.items["record_id"].to_pylist()
    weather.lost += len(wanted) - len(outcomes)
    weather.twice += sum(count > 1 for count in written.values())
    weather.left += sum(now[one] != lane.values[1] for one in wanted)
    weather.untrue += sum((written - audited).values()) + sum((audited - written).values())
