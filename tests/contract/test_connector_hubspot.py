"""The HubSpot connector over real HTTP against the sandbox: pulls, writes, races, limits and lost answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.errors import Fatal, Retriable
from connectors.hubspot.auth import RefreshGrant, StaticToken
from connectors.hubspot.floors import DeltaSize, PullSize, delta_floor, pull_floor, push_floor
from connectors.hubspot.records import PARENT, VERSION
from connectors.hubspot.retry import RetryPolicy
from connectors.hubspot.session import HubSpotSession, HubSpotSettings, Surroundings
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.target import HubSpotTarget
from connectors.protocol import Lane, Page, Verdict, Write, WriteResult
from sandbox.faults import Fault, Verb
from sandbox.hubspot import associations, records
from sandbox.server import Sandbox
from tests.contract.hubspot_contract import request_problems

SYSTEM, MERCY, CLINIC, LAKESIDE, CLOSED = "101", "102", "103", "104", "105"
ANA, BEA, CARL = "71", "72", "73"  # Carl has left
FIELDS = ["name", "hubspot_owner_id", "account_tier", PARENT, "archived", "id"]
EVERYTHING = "1970-01-01T00:00:00.000Z"

Connect = Callable[..., HubSpotSession]


@pytest.fixture
def crm(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Five companies (one archived), three owners (one archived) and a deal of Mercy.

    After each test, all that the connector sent must be as HubSpot's own client library describes it.
    """
    world = sandbox.world
    people = [(ANA, "Ana", "Active", False), (BEA, "Bea", "Busy", False), (CARL, "Carl", "Gone", True)]
    world.load(
        "hubspot",
        "owners",
        [
            {"id": key, "firstName": first, "lastName": last, "archived": gone, "userId": int(key) + 9000}
            | {"email": f"{first.lower()}@people.example", "teams": []}
            for key, first, last, gone in people
        ],
    )
    names = {SYSTEM: "Mercy Health System", MERCY: "Mercy Hospital", CLINIC: "Mercy Clinic", LAKESIDE: "Lakeside"}
    rows = [{"id": key, "name": name, "hubspot_owner_id": ANA} for key, name in names.items()]
    rows.append({"id": CLOSED, "name": "Closed Hospital", "archived": True, "archivedAt": "2026-01-01T00:00:00.000Z"})
    rows[1] |= {PARENT: SYSTEM, "account_tier": "T2"}
    rows[2] |= {PARENT: SYSTEM}
    world.load("hubspot", "companies", rows)
    world.load("hubspot", "deals", [{"id": "501", "dealname": "Imaging", "dealstage": "closedwon", "amount": "12500"}])
    associations.link(world, ("deals", "501"), ("companies", MERCY), [5, 341])
    associations.link(world, ("deals", "501"), ("companies", SYSTEM), [341])
    yield sandbox
    sent = [(seen.method, seen.path, seen.body) for seen in world.requests if seen.system == "hubspot"]
    assert {
        (method, path): found for method, path, body in sent if (found := request_problems(method, path, body))
    } == {}


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the connector would have slept."""
    return []


@pytest.fixture
def connect(crm: Sandbox, waits: list[float]) -> Iterator[Connect]:
    opened: list[HubSpotSession] = []

    def connect(credentials: Any = None, **settings: Any) -> HubSpotSession:
        around = Surroundings(sleep=waits.append, clock=lambda: sum(waits), chance=lambda: 0.0)
        values = {"base_url": crm.base_url, "requests_per_10s": 0, "searches_per_s": 0, **settings}
        session = HubSpotSession(HubSpotSettings(**values), credentials or StaticToken("sandbox"), surroundings=around)
        opened.append(session)
        return session

    yield connect
    for session in opened:
        session.close()


@pytest.fixture
def session(connect: Connect) -> HubSpotSession:
    return connect()


def pulled(pages: Iterator[Page]) -> dict[str, dict[str, Any]]:
    """The records of a whole pull by id; the later of two wins."""
    seen = list(pages)
    assert [page.complete for page in seen] == [False] * (len(seen) - 1) + [True]
    return {record["id"]: dict(record) for page in seen for record in page.records}


def write(record_id: str, key: str = "", **fields: Any) -> Write:
    return Write(key=key or record_id, record_id=record_id, fields=fields)


def move(record_id: str, new: str | None, old: str | None) -> Write:
    return Write(key=record_id, record_id=record_id, fields={PARENT: new}, previous={PARENT: old})


def send(session: HubSpotSession, *writes: Write, lane: Lane = Lane.BATCH) -> dict[str, WriteResult]:
    results = HubSpotTarget(session).write(writes, lane=lane, stamp="run-9/3", before_send=lambda: None)
    assert [result.key for result in results] == [one.key for one in writes]
    return {result.key: result for result in results}


def company(crm: Sandbox, record_id: str) -> dict[str, Any]:
    found = crm.world.get("hubspot", "companies", record_id)
    assert found is not None
    return found


class TestPull:
    def test_the_portal_names_itself(self, session: HubSpotSession) -> None:
        org = HubSpotSource(session).org()
        assert (org.org_id, org.is_sandbox, org.api_version) == ("4200001", True, "v3")

    def test_a_wrong_token_is_fatal_and_an_unreachable_portal_retriable(self, connect: Connect) -> None:
        with pytest.raises(Fatal, match="not accepted"):
            HubSpotSource(connect(StaticToken("wrong"))).org()
        with pytest.raises(Retriable, match="not reachable"):
            HubSpotSource(connect(base_url="http://127.0.0.1:9", retry=RetryPolicy(attempts=1))).org()

    def test_a_refresh_token_opens_the_portal(self, connect: Connect) -> None:
        session = connect(RefreshGrant(client_id="sandbox", client_secret="sandbox", refresh_token="sandbox"))
        HubSpotSource(session).org()
        assert (session.meter.logins, session.meter.reads) == (2, 1)  # the token, and whose it is
        with pytest.raises(Fatal, match="install the app again"):
            HubSpotSource(
                connect(RefreshGrant(client_id="sandbox", client_secret="bad", refresh_token="sandbox"))
            ).org()

    def test_describe_tells_what_may_be_written(self, session: HubSpotSession) -> None:
        fields = {field.name: field for field in HubSpotSource(session).describe("companies")}
        assert fields[PARENT].updateable is False
        assert fields["hubspot_owner_id"].updateable is True
        assert "T1" in fields["account_tier"].picklist
        assert {field.name for field in HubSpotSource(session).describe("owners")} >= {"id", "email", "archived"}

    def test_a_full_pull_brings_companies_in_use_and_archived(self, session: HubSpotSession) -> None:
        found = pulled(HubSpotSource(session).pull("companies", FIELDS))
        assert set(found) == {SYSTEM, MERCY, CLINIC, LAKESIDE, CLOSED}
        assert [key for key, record in found.items() if record["archived"]] == [CLOSED]
        assert found[MERCY]["properties"]["name"] == "Mercy Hospital"
        assert found[MERCY]["properties"][PARENT] == SYSTEM
        assert found[MERCY]["properties"][VERSION]

    def test_owners_come_with_those_who_left(self, session: HubSpotSession) -> None:
        found = pulled(HubSpotSource(session).pull("owners", []))
        assert {key: record["archived"] for key, record in found.items()} == {ANA: False, BEA: False, CARL: True}

    @pytest.mark.parametrize("since", [None, EVERYTHING])
    def test_deals_bring_their_companies_by_list_and_by_search(
        self, session: HubSpotSession, since: str | None
    ) -> None:
        found = pulled(HubSpotSource(session).pull("deals", ["dealstage", "associations.companies"], since=since))
        ends = found["501"]["associations"]["companies"]["results"]
        assert {end["id"] for end in ends if end["type"] == "deal_to_company"} == {MERCY}
        assert {end["id"] for end in ends} == {MERCY, SYSTEM}

    def test_a_delta_brings_what_changed_what_was_archived_and_the_survivor_of_a_merge(
        self, crm: Sandbox, session: HubSpotSession
    ) -> None:
        before = company(crm, MERCY)[VERSION]
        crm.world.human_edit("hubspot", "companies", LAKESIDE, {"hubspot_owner_id": BEA}, by=BEA)
        survivor = records.merge(crm.world, "companies", MERCY, CLINIC, by=ANA)
        found = pulled(HubSpotSource(session).pull("companies", FIELDS, since=before))
        assert found[LAKESIDE]["properties"]["hubspot_owner_id"] == BEA
        assert found[survivor]["properties"]["hs_merged_object_ids"] == f"{MERCY};{CLINIC}"
        assert MERCY not in found
        later = "2999-01-01T00:00:00.000Z"
        assert pulled(HubSpotSource(session).pull("companies", FIELDS, since=later)) == {}

    def test_pulls_cost_what_the_floor_says(self, crm: Sandbox, connect: Connect) -> None:
        crm.world.load("hubspot", "companies", [{"id": str(1000 + n), "name": f"H{n}"} for n in range(496)])
        session = connect()
        source = HubSpotSource(session)
        source.org()
        source.describe("companies")
        for name in ("companies", "deals", "owners"):
            pulled(source.pull(name, FIELDS))
        assert session.meter.reads == pull_floor(
            PullSize(companies=500, archived_companies=1, deals=1, owners=2, archived_owners=1, described=1)
        )
        delta = connect()
        for name in ("companies", "deals", "owners"):
            found = pulled(
                HubSpotSource(delta).pull(
                    name, ["name", "associations.companies"][: 1 + (name == "deals")], since=EVERYTHING
                )
            )
            assert len(found) == {"companies": 501, "deals": 1, "owners": 3}[name]
        size = DeltaSize(changed_companies=500, changed_deals=1, owners=2, archived_companies=1, archived_owners=1)
        assert delta.meter.reads == delta_floor(size)

    def test_a_dated_api_version_reads_and_writes_the_same(self, crm: Sandbox, connect: Connect) -> None:
        session = connect(api_version="2026-09")
        source = HubSpotSource(session)
        assert len(pulled(source.pull("companies", FIELDS))) == 5
        assert len(pulled(source.pull("owners", []))) == 3
        assert source.describe("companies")
        assert send(session, write(MERCY, account_tier="T1"))[MERCY].verdict is Verdict.OK
        assert send(session, move(LAKESIDE, SYSTEM, None), lane=Lane.ASSOCIATION)[LAKESIDE].verdict is Verdict.OK
        assert all("2026-09" in r.path for r in crm.world.requests if r.path.startswith("/crm"))

    def test_the_rate_limit_is_waited_out(self, crm: Sandbox, session: HubSpotSession, waits: list[float]) -> None:
        crm.world.faults.add(Fault(verb=Verb.STATUS, system="hubspot", status=429, retry_after=7, times=2))
        assert len(pulled(HubSpotSource(session).pull("companies", FIELDS))) == 5
        assert waits == [7.0, 7.0]
        assert session.meter.retries == 2

    def test_the_daily_limit_ends_the_run(self, crm: Sandbox, session: HubSpotSession, waits: list[float]) -> None:
        crm.world.settings.hubspot_daily_limit = 1
        with pytest.raises(Fatal, match="daily call limit"):
            pulled(HubSpotSource(session).pull("companies", FIELDS))
        assert waits == []

    def test_a_broken_answer_is_read_again(self, crm: Sandbox, session: HubSpotSession) -> None:
        crm.world.faults.add(Fault(verb=Verb.STATUS_200_HTML, system="hubspot"))
        crm.world.faults.add(Fault(verb=Verb.RESET_BEFORE, system="hubspot"))
        assert len(pulled(HubSpotSource(session).pull("companies", FIELDS))) == 5


class TestBatchWrites:
    def test_a_written_row_is_there_stamped_and_with_a_new_version(self, crm: Sandbox, session: HubSpotSession) -> None:
        result = send(session, write(MERCY, hubspot_owner_id=BEA, account_tier=None))[MERCY]
        now = company(crm, MERCY)
        assert result.verdict is Verdict.OK
        assert (now["hubspot_owner_id"], now["account_tier"] or None) == (BEA, None)
        assert result.version == now[VERSION]
        assert any("run-9/3" in change.client for change in crm.world.history if change.record_id == MERCY)

    def test_each_bad_row_is_refused_alone(self, crm: Sandbox, session: HubSpotSession) -> None:
        results = send(
            session,
            write(MERCY, hubspot_owner_id=BEA),
            write(CLINIC, hubspot_owner_id=CARL),
            write(LAKESIDE, account_tier="T9"),
            write(CLOSED, name="x"),
            write("999999", name="x"),
            write(SYSTEM, no_such_property="x"),
        )
        bad = {key: result.code for key, result in results.items() if result.verdict is Verdict.REJECTED}
        assert set(bad) == {CLINIC, LAKESIDE, CLOSED, "999999", SYSTEM}
        assert bad[CLOSED] == bad["999999"] == "OBJECT_NOT_FOUND"
        assert company(crm, MERCY)["hubspot_owner_id"] == BEA
        assert company(crm, CLINIC)["hubspot_owner_id"] == ANA

    def test_a_merged_id_is_not_written(self, crm: Sandbox, session: HubSpotSession) -> None:
        records.merge(crm.world, "companies", MERCY, CLINIC, by=ANA)
        assert HubSpotTarget(session).read([MERCY, LAKESIDE], FIELDS, versions=True)[MERCY] is None
        assert send(session, write(MERCY, hubspot_owner_id=BEA))[MERCY].verdict is Verdict.REJECTED

    def test_a_lost_answer_is_unknown_and_reading_tells(self, crm: Sandbox, session: HubSpotSession) -> None:
        crm.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, system="hubspot", route="batch/update"))
        assert send(session, write(MERCY, hubspot_owner_id=BEA))[MERCY].verdict is Verdict.UNKNOWN
        assert session.meter.writes == 1
        current = HubSpotTarget(session).read([MERCY], FIELDS, versions=True)[MERCY]
        assert current is not None
        assert current.fields["hubspot_owner_id"] == BEA

    def test_a_locked_row_is_tried_again(self, crm: Sandbox, session: HubSpotSession, waits: list[float]) -> None:
        crm.world.faults.add(Fault(verb=Verb.LOCK_ROW, system="hubspot", ids=(MERCY,)))
        assert send(session, write(MERCY, hubspot_owner_id=BEA))[MERCY].verdict is Verdict.OK
        assert waits == [2.0]

    def test_an_edit_between_read_and_write_shows_in_the_history(self, crm: Sandbox, session: HubSpotSession) -> None:
        target = HubSpotTarget(session)
        before = target.read([MERCY], FIELDS, versions=True)[MERCY]

        def person(event: dict[str, Any]) -> None:
            if company(crm, MERCY)["hubspot_owner_id"] == ANA:
                crm.world.human_edit("hubspot", "companies", MERCY, {"hubspot_owner_id": CARL}, by=BEA)

        crm.world.on("before_write", person)
        assert send(session, write(MERCY, hubspot_owner_id=BEA))[MERCY].verdict is Verdict.OK
        assert before is not None
        entries = target.history([MERCY], ["hubspot_owner_id"])[MERCY]
        assert [(one.value, one.source_type) for one in entries[:2]] == [(BEA, "INTEGRATION"), (CARL, "CRM_UI")]
        assert entries[1].user == str(int(BEA) + 9000)
        assert entries[1].timestamp >= before.version

    def test_a_safe_push_costs_what_the_floor_says(self, crm: Sandbox, connect: Connect) -> None:
        ids = [str(1000 + n) for n in range(150)]
        crm.world.load("hubspot", "companies", [{"id": key, "name": f"H{key}"} for key in ids])
        session = connect()
        target = HubSpotTarget(session)
        target.read(ids, ["hubspot_owner_id"], versions=True)
        results = send(session, *(write(key, hubspot_owner_id=BEA) for key in ids))
        target.read(ids, ["hubspot_owner_id"], versions=True)
        assert {result.verdict for result in results.values()} == {Verdict.OK}
        assert session.meter.reads + session.meter.writes == push_floor(150) == 6
        session = connect()
        target = HubSpotTarget(session)
        target.read([MERCY, CLINIC], [PARENT], versions=True)
        send(session, move(MERCY, LAKESIDE, SYSTEM), move(CLINIC, LAKESIDE, SYSTEM), lane=Lane.ASSOCIATION)
        target.read([MERCY, CLINIC], [PARENT], versions=True)
        floor = push_floor(0, parents_added=2, parents_removed=2)
        assert floor <= session.meter.reads + session.meter.writes <= 1.2 * floor

    def test_writing_nothing_costs_nothing(self, session: HubSpotSession) -> None:
        assert send(session) == {}
        assert send(session, lane=Lane.ASSOCIATION) == {}
        assert (session.meter.reads, session.meter.writes) == (0, 0)
        assert HubSpotTarget(session).team_sizes([MERCY]) == {}


class TestParents:
    @pytest.mark.parametrize("second_parent", ["replace", "error"])
    def test_parents_move_come_and_go(self, crm: Sandbox, session: HubSpotSession, second_parent: str) -> None:
        crm.world.settings.second_parent = second_parent
        results = send(
            session,
            move(MERCY, LAKESIDE, SYSTEM),
            move(CLINIC, None, SYSTEM),
            lane=Lane.ASSOCIATION,
        )
        assert {result.verdict for result in results.values()} == {Verdict.OK}
        read = HubSpotTarget(session).read([MERCY, CLINIC], [PARENT], versions=False)
        assert {key: current and current.fields[PARENT] for key, current in read.items()} == {
            MERCY: LAKESIDE,
            CLINIC: None,
        }

    def test_a_cycle_is_refused_and_the_old_parent_kept(self, crm: Sandbox, session: HubSpotSession) -> None:
        results = send(session, move(SYSTEM, MERCY, None), move(CLINIC, LAKESIDE, SYSTEM), lane=Lane.ASSOCIATION)
        assert {key: result.verdict for key, result in results.items()} == {
            SYSTEM: Verdict.REJECTED,
            CLINIC: Verdict.OK,
        }
        again = send(session, move(CLINIC, "999999", LAKESIDE), lane=Lane.ASSOCIATION)[CLINIC]
        assert again.verdict is Verdict.REJECTED
        assert company(crm, CLINIC)[PARENT] == LAKESIDE

    def test_a_persons_new_parent_is_not_overwritten(self, crm: Sandbox, session: HubSpotSession) -> None:
        crm.world.human_edit("hubspot", "companies", MERCY, {PARENT: LAKESIDE}, by=BEA)
        assert send(session, move(MERCY, None, SYSTEM), lane=Lane.ASSOCIATION)[MERCY].verdict is Verdict.STALE
        assert company(crm, MERCY)[PARENT] == LAKESIDE

    def test_other_associations_of_the_two_companies_stay(self, crm: Sandbox, session: HubSpotSession) -> None:
        associations.link(crm.world, ("companies", MERCY), ("companies", SYSTEM), [associations.PLAIN])
        send(session, move(MERCY, LAKESIDE, SYSTEM), lane=Lane.ASSOCIATION)
        kept = associations.types_between(crm.world, ("companies", MERCY), ("companies", SYSTEM))
        assert kept == [associations.PLAIN]

    def test_an_answer_lost_between_the_steps_is_unknown(self, crm: Sandbox, session: HubSpotSession) -> None:
        crm.world.faults.add(Fault(verb=Verb.COMMIT_THEN_500, system="hubspot", route="batch/create"))
        result = send(session, move(MERCY, LAKESIDE, SYSTEM), lane=Lane.ASSOCIATION)[MERCY]
        assert result.verdict is Verdict.UNKNOWN
        assert company(crm, MERCY)[PARENT] == LAKESIDE


class TestWhoWeAre:
    def test_our_own_writes_are_known_from_those_of_other_apps(self, crm: Sandbox, session: HubSpotSession) -> None:
        source, target = HubSpotSource(session), HubSpotTarget(session)
        ours = source.org().user_id
        send(session, write(MERCY, hubspot_owner_id=BEA))
        assert ours
        assert target.history([MERCY], ["hubspot_owner_id"])[MERCY][0].source_id == ours

    def test_a_portal_that_does_not_say_is_read_all_the_same(self, crm: Sandbox, session: HubSpotSession) -> None:
        crm.world.faults.add(Fault(verb=Verb.STATUS, system="hubspot", route="access-token-info", status=404))
        org = HubSpotSource(session).org()
        assert (org.user_id, bool(org.org_id)) == ("", True)
