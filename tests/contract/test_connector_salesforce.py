"""The Salesforce connector against the sandbox, over HTTP: what it reads is whole, what it writes is safe."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import Fatal, Retriable
from connectors.protocol import Lane, Page, Verdict, Write, WriteResult
from connectors.salesforce.auth import ClientCredentials, JwtBearer, connect
from connectors.salesforce.floors import pull_floor, push_floor
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Session
from connectors.salesforce.source import SalesforceSource
from connectors.salesforce.target import SalesforceTarget
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

STAMP = "run-1/7"


class Waits:
    """A clock that moves only by sleeping, and what was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def clock(self) -> float:
        return sum(self.slept)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def policy(waits: Waits) -> RetryPolicy:
    return RetryPolicy(tries=3, sleep=waits.sleep, clock=waits.clock)


def _client(sandbox: Sandbox, **changes: str) -> ClientCredentials:
    given = {"client_id": "sandbox", "client_secret": "sandbox", "login_url": sandbox.base_url, **changes}
    return ClientCredentials(**given)


@pytest.fixture
def session(sandbox: Sandbox, policy: RetryPolicy) -> Iterator[Session]:
    with connect(_client(sandbox), timeout_s=5, policy=policy) as session:
        yield session


@pytest.fixture
def source(session: Session) -> SalesforceSource:
    return SalesforceSource(session)


@pytest.fixture
def target(session: Session) -> SalesforceTarget:
    return SalesforceTarget(session)


def _send(target: SalesforceTarget, writes: Sequence[Write], lane: Lane = Lane.CONDITIONAL) -> tuple[WriteResult, ...]:
    return target.write(writes, lane=lane, stamp=STAMP, before_send=lambda: None)


def _owner(target: SalesforceTarget, record_id: str, owner: str) -> Write:
    """Give the conditional write of an owner at the version the record has now."""
    current = target.read([record_id], ("OwnerId",), versions=True)[record_id]
    assert current is not None
    return Write(key=record_id, record_id=record_id, fields={"OwnerId": owner}, version=current.version)


def _records(pages: Iterator[Page]) -> dict[str, Any]:
    return {record["Id"]: record for page in pages for record in page.records}


def _write_requests(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.world.requests if request.is_write]


# logging in


def test_client_credentials_show_the_organisation_and_its_user(source: SalesforceSource, sandbox: Sandbox) -> None:
    org = source.org()
    assert (org.org_id, org.user_id) == (sandbox.world.organization_id, sandbox.world.integration_user)
    assert len(org.org_id) == 18


def test_a_signed_assertion_logs_in_as_its_user(sandbox: Sandbox, policy: RetryPolicy, people: Any) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    sandbox.world.jwt_public_key = public.decode()
    config = JwtBearer(
        client_id="sandbox", username="ana@people.example", private_key=pem.decode(), login_url=sandbox.base_url
    )

    with connect(config, policy=policy) as session:
        assert SalesforceSource(session).org().user_id == people.ana


@pytest.mark.parametrize("wrong", [{"client_secret": "guess"}, {"client_id": "nobody"}])
def test_wrong_credentials_are_fatal_and_tried_once(
    sandbox: Sandbox, policy: RetryPolicy, wrong: dict[str, str]
) -> None:
    with pytest.raises(Fatal, match="Check the client id") as refused:
        connect(_client(sandbox, **wrong), policy=policy)
    assert "guess" not in str(refused.value)
    assert len(sandbox.world.requests) == 1


# reading


def test_a_full_pull_is_whole_over_short_pages_and_brings_deletions(
    source: SalesforceSource, sandbox: Sandbox, many_accounts: Callable[[int], list[str]], accounts: Any
) -> None:
    many_accounts(700)
    sandbox.world.settings.salesforce_page_size = 200
    sandbox.world.settings.short_pages = True

    pages = list(source.pull("Account", ("Name", "CCN__c", "Owner.Name")))

    pulled = _records(iter(pages))
    assert pulled.keys() == sandbox.world.table("salesforce", "Account").keys()
    assert [page.complete for page in pages].count(True) == 1
    assert pulled[accounts.closed]["IsDeleted"] is True
    assert pulled[accounts.mercy] == {
        "Id": accounts.mercy,
        "Name": "Mercy Hospital",
        "CCN__c": "140001",
        "Owner.Name": "Ana Active",
        "SystemModstamp": pulled[accounts.mercy]["SystemModstamp"],
        "IsDeleted": False,
        "MasterRecordId": None,
    }


def test_a_pull_costs_its_floor(
    source: SalesforceSource, sandbox: Sandbox, many_accounts: Callable[[int], list[str]]
) -> None:
    many_accounts(2100)
    counts = []
    for name in ("Account", "User", "Opportunity", "AccountTeamMember", "AccountHistory"):
        counts.append(len(_records(source.pull(name, ("Id",)))))
    assert counts[0] == len(sandbox.world.table("salesforce", "Account")) > 2000
    assert source.meter.reads == pull_floor(counts)


def test_a_delta_pull_brings_changes_deletions_and_merges_and_nothing_else(
    source: SalesforceSource, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    world = sandbox.world
    later = datetime.now(UTC) + timedelta(hours=1)
    world.now = lambda: later
    world.human_edit("salesforce", "Account", accounts.lakeside, {"Name": "Lakeside"}, by=people.bea)
    world.merge_accounts(accounts.mercy, [accounts.clinic], by=people.ana)

    since = later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pulled = _records(source.pull("Account", ("Name",), since=since))

    assert pulled.keys() == {accounts.lakeside, accounts.mercy, accounts.clinic}
    assert (pulled[accounts.clinic]["IsDeleted"], pulled[accounts.clinic]["MasterRecordId"]) == (True, accounts.mercy)


def test_field_history_tells_who_changed_what(
    source: SalesforceSource, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"OwnerId": people.bea}, by=people.bea)
    fields = ("AccountId", "Field", "OldValue", "NewValue", "CreatedById", "CreatedBy.Name")
    (row,) = _records(source.pull("AccountHistory", fields)).values()
    assert (row["AccountId"], row["CreatedById"], row["CreatedBy.Name"]) == (accounts.mercy, people.bea, "Bea Busy")
    assert (row["OldValue"], row["NewValue"]) == (people.ana, people.bea)


def test_a_field_the_organisation_lacks_is_named(source: SalesforceSource) -> None:
    with pytest.raises(Fatal, match=r"no field Nope__c.*mappings/salesforce\.yaml"):
        list(source.pull("Account", ("Nope__c",)))


def test_a_description_knows_which_fields_can_be_written(source: SalesforceSource) -> None:
    fields = {item.name: item for item in source.describe("Account")}
    assert fields["OwnerId"].updateable
    assert not fields["SystemModstamp"].updateable
    assert not fields["MasterRecordId"].updateable


def test_a_read_gives_null_for_deleted_and_unknown_records(target: SalesforceTarget, accounts: Any) -> None:
    unknown = "001000000000zzzAAA"
    for versions in (False, True):
        found = target.read([accounts.mercy, accounts.closed, unknown], ("Name",), versions=versions)
        assert [current is None for current in found.values()] == [False, True, True]


def test_team_members_are_counted(target: SalesforceTarget, accounts: Any) -> None:
    assert target.team_sizes([accounts.mercy, accounts.lakeside]) == {accounts.mercy: 2}


# writing


def test_a_conditional_write_lands_once_and_is_not_re_assigned(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    write = _owner(target, accounts.lakeside, people.ana)

    (result,) = _send(target, [write])

    assert result.verdict is Verdict.OK
    changes = [(change.field, change.old, change.new, change.client) for change in sandbox.world.history]
    assert changes == [("OwnerId", people.bea, people.ana, f"platbook/{STAMP}")]
    after = target.read([accounts.lakeside], ("OwnerId",), versions=True)[accounts.lakeside]
    assert after is not None
    assert after.version == result.version != write.version


@pytest.mark.parametrize("in_composite", [True, False])
def test_a_record_a_person_touched_in_between_is_stale_and_stays_theirs(
    session: Session, sandbox: Sandbox, people: Any, accounts: Any, in_composite: bool
) -> None:
    target = SalesforceTarget(session, conditional_in_composite=in_composite)
    writes = [_owner(target, one, people.rule) for one in (accounts.lakeside, accounts.clinic)]
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"OwnerId": people.bea}, by=people.bea)

    results = _send(target, writes)

    assert [result.verdict for result in results] == [Verdict.OK, Verdict.STALE]
    by = [(change.record_id, change.by) for change in sandbox.world.history]
    assert by == [(accounts.clinic, people.bea), (accounts.lakeside, sandbox.world.integration_user)]


def test_an_edit_at_the_moment_of_the_write_is_not_overwritten(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    write = _owner(target, accounts.lakeside, people.rule)
    edits = iter([people.ana])

    def edit(_: dict[str, Any]) -> None:
        for owner in edits:
            sandbox.world.human_edit("salesforce", "Account", accounts.lakeside, {"OwnerId": owner}, by=people.bea)

    sandbox.world.on("before_write", edit)

    assert _send(target, [write])[0].verdict is Verdict.STALE
    assert sandbox.world.table("salesforce", "Account")[accounts.lakeside]["OwnerId"] == people.ana


@pytest.mark.parametrize(("count", "in_composite"), [(300, True), (40, False)])
def test_no_edit_of_a_person_racing_with_ours_is_lost(
    session: Session,
    sandbox: Sandbox,
    many_accounts: Callable[[int], list[str]],
    people: Any,
    count: int,
    in_composite: bool,
) -> None:
    target = SalesforceTarget(session, conditional_in_composite=in_composite)
    ids = many_accounts(count)
    writes = [
        Write(key=one, record_id=one, fields={"OwnerId": people.ana}, version=current.version)
        for one, current in target.read(ids, ("OwnerId",), versions=True).items()
        if current
    ]
    dice = random.Random(11)

    def somebody(event: dict[str, Any]) -> None:
        chosen = [dice.choice(ids)] + [one for one in event["ids"] if dice.random() < 0.3]
        for one in chosen:
            edit = dice.choice([{"OwnerId": people.rule}, {"Name": f"Renamed {dice.random()}"}])
            sandbox.world.human_edit("salesforce", "Account", one, edit, by=people.bea)

    sandbox.world.on("before_write", somebody)
    results = _send(target, writes)

    ours = [change for change in sandbox.world.history if change.by == sandbox.world.integration_user]
    assert {change.old for change in ours} == {people.bea}  # the owner that was read, never one a person set since
    assert [change.record_id for change in ours] == [one.record_id for one in results if one.verdict is Verdict.OK]
    assert {result.verdict for result in results} == {Verdict.OK, Verdict.STALE}


def test_what_the_organisation_refuses_is_rejected_row_by_row(
    target: SalesforceTarget, people: Any, accounts: Any
) -> None:
    parent = target.read([accounts.system], (), versions=True)[accounts.system]
    assert parent is not None
    cycle = Write(key="c", record_id=accounts.system, fields={"ParentId": accounts.clinic}, version=parent.version)
    results = _send(target, [_owner(target, accounts.lakeside, people.carl), cycle])
    assert [(result.verdict, result.code) for result in results] == [
        (Verdict.REJECTED, "INACTIVE_OWNER_OR_USER"),
        (Verdict.REJECTED, "CIRCULAR_DEPENDENCY"),
    ]


def test_a_batch_with_a_bad_row_writes_all_the_others(
    target: SalesforceTarget, sandbox: Sandbox, many_accounts: Callable[[int], list[str]], people: Any
) -> None:
    ids = many_accounts(200)
    writes = [Write(key=one, record_id=one, fields={"NumberOfEmployees": n}) for n, one in enumerate(ids)]
    writes[77] = Write(key=ids[77], record_id=ids[77], fields={"OwnerId": people.carl})

    results = _send(target, writes, Lane.BATCH)

    refused = [place for place, result in enumerate(results) if result.verdict is not Verdict.OK]
    assert refused == [77]
    assert results[77].verdict is Verdict.REJECTED
    found = target.read(ids, ("NumberOfEmployees", "OwnerId"), versions=False)
    assert all(current and current.fields["OwnerId"] == people.bea for current in found.values())
    employees = [current.fields["NumberOfEmployees"] for current in found.values() if current]
    assert employees == [*range(77), None, *range(78, 200)]
    assert len(_write_requests(sandbox)) == 1


def test_null_clears_a_field(target: SalesforceTarget, sandbox: Sandbox, accounts: Any) -> None:
    write = Write(key="k", record_id=accounts.mercy, fields={"CCN__c": None})
    assert _send(target, [write], Lane.BATCH)[0].verdict is Verdict.OK
    assert sandbox.world.table("salesforce", "Account")[accounts.mercy]["CCN__c"] is None


def test_a_push_costs_its_floor(
    target: SalesforceTarget, many_accounts: Callable[[int], list[str]], people: Any
) -> None:
    ids = many_accounts(60)
    found = target.read(ids, ("OwnerId",), versions=True)
    writes = [
        Write(key=one, record_id=one, fields={"OwnerId": people.ana}, version=current.version)
        for one, current in found.items()
        if current
    ]
    assert {result.verdict for result in _send(target, writes)} == {Verdict.OK}
    target.read(ids, ("OwnerId",), versions=False)
    assert target.meter.reads + target.meter.writes == push_floor(conditional=60)


@pytest.mark.parametrize("honoured", [True, False])
def test_conditions_inside_composite_are_proved_without_changing_a_value(
    target: SalesforceTarget, sandbox: Sandbox, accounts: Any, honoured: bool
) -> None:
    sandbox.world.settings.conditional_in_composite = honoured
    assert target.honours_conditions(accounts.lakeside, stamp=STAMP, before_send=lambda: None) is honoured
    assert sandbox.world.history == []


# when things go wrong


def test_a_token_that_dies_in_mid_run_leaves_every_guard_in_place(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    moved, free = (_owner(target, one, people.rule) for one in (accounts.clinic, accounts.lakeside))
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"Name": "Clinic"}, by=people.bea)
    sandbox.world.faults.add(Fault(verb=Verb.EXPIRE_TOKEN, route="/composite$"))

    results = _send(target, [moved, free])

    assert [result.verdict for result in results] == [Verdict.STALE, Verdict.OK]
    assert target.meter.logins == 2
    refused, accepted = _write_requests(sandbox)[-2:]
    assert (refused.status, accepted.status) == (401, 200)
    assert refused.body == accepted.body
    for name in ("sforce-call-options", "sforce-auto-assign", "user-agent"):
        assert refused.headers[name] == accepted.headers[name]


def test_a_single_conditional_write_keeps_its_guards_over_a_token_refresh(
    session: Session, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    target = SalesforceTarget(session, conditional_in_composite=False)
    write = _owner(target, accounts.clinic, people.rule)
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"OwnerId": people.bea}, by=people.bea)
    sandbox.world.faults.add(Fault(verb=Verb.EXPIRE_TOKEN, method="PATCH"))

    assert _send(target, [write])[0].verdict is Verdict.STALE
    assert sandbox.world.table("salesforce", "Account")[accounts.clinic]["OwnerId"] == people.bea


def test_a_pull_goes_on_over_dying_tokens(
    source: SalesforceSource, sandbox: Sandbox, many_accounts: Callable[[int], list[str]]
) -> None:
    many_accounts(900)
    sandbox.world.settings.salesforce_page_size = 200
    sandbox.world.settings.token_calls = 2
    assert len(_records(source.pull("Account", ("Name",)))) == len(sandbox.world.table("salesforce", "Account"))
    assert source.meter.logins > 1


def test_a_throttled_request_waits_as_long_as_asked(source: SalesforceSource, sandbox: Sandbox, waits: Waits) -> None:
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=429, retry_after=11, route="query"))
    assert _records(source.pull("User", ("Name",)))
    assert waits.slept[0] >= 11
    assert source.meter.retries == 1


def test_the_daily_limit_stops_the_run_at_once(source: SalesforceSource, sandbox: Sandbox) -> None:
    sandbox.world.settings.daily_limit = 0
    with pytest.raises(Fatal, match="daily API calls"):
        source.org()
    assert source.meter.reads == 1


@pytest.mark.parametrize("verb", [Verb.COMMIT_THEN_RESET, Verb.COMMIT_THEN_500])
@pytest.mark.parametrize("lane", [Lane.CONDITIONAL, Lane.BATCH])
def test_a_write_whose_answer_is_lost_is_unknown_and_sent_once(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any, verb: Verb, lane: Lane
) -> None:
    write = _owner(target, accounts.lakeside, people.ana)
    sandbox.world.faults.add(Fault(verb=verb, route="/composite$"))

    (result,) = _send(target, [write], lane)

    assert result.verdict is Verdict.UNKNOWN
    assert len(_write_requests(sandbox)) == 1
    current = target.read([accounts.lakeside], ("OwnerId",), versions=False)[accounts.lakeside]
    assert current is not None
    assert current.fields["OwnerId"] == people.ana  # it had been written


def test_only_the_rows_of_the_lost_request_are_unknown(
    target: SalesforceTarget, sandbox: Sandbox, many_accounts: Callable[[int], list[str]], people: Any
) -> None:
    ids = many_accounts(60)
    found = target.read(ids, (), versions=True)
    writes = [
        Write(key=one, record_id=one, fields={"OwnerId": people.ana}, version=current.version)
        for one, current in found.items()
        if current
    ]
    sandbox.world.faults.add(Fault(verb=Verb.RESET_BEFORE, route="/composite$", nth=2))

    verdicts = [result.verdict for result in _send(target, writes)]

    assert verdicts == [Verdict.OK] * 25 + [Verdict.UNKNOWN] * 25 + [Verdict.OK] * 10


def test_a_locked_row_may_be_tried_again_and_harms_nobody_else(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    writes = [_owner(target, one, people.rule) for one in (accounts.lakeside, accounts.clinic)]
    sandbox.world.faults.add(Fault(verb=Verb.LOCK_ROW, ids=(accounts.clinic,), route="/composite$"))
    results = _send(target, writes)
    assert [(result.verdict, result.code) for result in results] == [
        (Verdict.OK, ""),
        (Verdict.RETRIABLE, "UNABLE_TO_LOCK_ROW"),
    ]


def test_a_maintenance_page_is_waited_out_when_reading(source: SalesforceSource, sandbox: Sandbox) -> None:
    sandbox.world.faults.add(Fault(verb=Verb.STATUS_200_HTML, route="query", times=2))
    assert _records(source.pull("User", ("Name",)))
    assert source.meter.retries == 2


def test_a_server_that_stays_down_is_retriable(source: SalesforceSource, sandbox: Sandbox) -> None:
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=503, route="query", times=0))
    with pytest.raises(Retriable, match="SERVER_UNAVAILABLE"):
        source.org()
    assert source.meter.reads == 3  # the tries of the policy


def test_a_lost_lease_stops_before_the_wire(
    target: SalesforceTarget, sandbox: Sandbox, people: Any, accounts: Any
) -> None:
    def refuse() -> None:
        raise PermissionError("the lease is gone")

    write = _owner(target, accounts.lakeside, people.ana)
    with pytest.raises(PermissionError):
        target.write([write], lane=Lane.CONDITIONAL, stamp=STAMP, before_send=refuse)
    assert _write_requests(sandbox) == []
