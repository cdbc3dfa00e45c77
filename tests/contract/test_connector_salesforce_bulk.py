"""Bulk updates over HTTP against the sandbox: one verdict per row, and a job that dies with nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connectors.errors import Fatal, Retriable
from connectors.protocol import JobTarget, Lane, Verdict, Write, WriteResult
from connectors.salesforce.bulk import BulkLane, Polling
from connectors.salesforce.floors import bulk_floor
from connectors.salesforce.session import Session
from connectors.salesforce.target import SalesforceTarget
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

STAMP = "run-1/7"


@pytest.fixture
def lane(salesforce_session: Session) -> BulkLane:
    return BulkLane(salesforce_session)


def _writes(ids: Sequence[str], **fields: Any) -> list[Write]:
    return [Write(key=f"k{one}", record_id=one, fields=fields or {"Tier_Status__c": "new"}) for one in ids]


def _send(lane: BulkLane, writes: Sequence[Write], jobs: list[str] | None = None) -> tuple[WriteResult, ...]:
    """Send as a journaled job; with jobs None as one that nobody journals."""
    on_job = None if jobs is None else jobs.append
    return lane.write(writes, stamp=STAMP, before_send=lambda: None, on_job=on_job)


def _resume(lane: BulkLane, job_id: str, writes: Sequence[Write]) -> tuple[WriteResult, ...]:
    return lane.resume(job_id, writes, stamp=STAMP, before_send=lambda: None)


def _verdicts(results: Sequence[WriteResult]) -> dict[tuple[Verdict, str], int]:
    kinds = [(result.verdict, result.code) for result in results]
    return {kind: kinds.count(kind) for kind in kinds}


def _methods(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.world.requests if "/jobs/" in request.path]


def _written(sandbox: Sandbox) -> set[str]:
    return {change.record_id for change in sandbox.world.history if change.field == "Tier_Status__c"}


# the ordinary job


def test_a_job_writes_every_row_at_its_floor(lane, sandbox, many_accounts):
    ids, jobs = many_accounts(300), []
    results = _send(lane, _writes(ids), jobs)
    assert _verdicts(results) == {(Verdict.OK, ""): 300}
    assert [result.record_id for result in results] == ids
    assert _written(sandbox) == set(ids)
    assert _methods(sandbox) == ["POST", "PUT", "PATCH", "GET", "GET"]
    assert lane.session.meter.reads + lane.session.meter.writes == bulk_floor(300, polls=2)
    assert len(jobs) == 1
    assert {change.client for change in sandbox.world.history} == {f"platbook/{STAMP}"}


def test_the_job_id_is_told_before_the_job_can_write(lane, sandbox, accounts):
    seen: list[tuple[str, list[str]]] = []
    lane.write(
        _writes([accounts.mercy]),
        stamp=STAMP,
        before_send=lambda: None,
        on_job=lambda job: seen.append((job, _methods(sandbox))),
    )
    assert [methods for _, methods in seen] == [["POST"]]


def test_every_kind_of_value_arrives(lane, sandbox, accounts):
    text = 'a "quoted", line\nof text; ünïcode'
    fields = {"Rescore_Reason__c": text, "Rescore_Flag__c": True, "CCN__c": None, "NPI__c": "", "NumberOfEmployees": 7}
    writes = [Write(key="a", record_id=accounts.mercy, fields=fields), *_writes([accounts.clinic])]
    assert _verdicts(_send(lane, writes, [])) == {(Verdict.OK, ""): 2}
    mercy = sandbox.world.table("salesforce", "Account")[accounts.mercy]
    assert [mercy[name] for name in fields] == [text, True, None, None, 7]
    clinic = sandbox.world.table("salesforce", "Account")[accounts.clinic]
    assert clinic["Tier_Status__c"] == "new"
    assert "NumberOfEmployees" not in clinic  # an empty cell leaves the other rows' fields alone


def test_text_that_bulk_takes_for_empty_is_refused_before_the_wire(lane, sandbox, accounts):
    bad, good = _send(lane, [*_writes([accounts.mercy], Tier_Status__c="#N/A"), *_writes([accounts.clinic])], [])
    assert (bad.verdict, bad.code, good.verdict) == (Verdict.REJECTED, "UNSENDABLE", Verdict.OK)


def test_rows_of_a_complete_job_may_have_failed_and_are_told_by_their_id(lane, sandbox, many_accounts, people):
    ids = many_accounts(120)
    sandbox.world.settings.row_refusals = {ids[3]: "FIELD_CUSTOM_VALIDATION_EXCEPTION", ids[99]: "UNABLE_TO_LOCK_ROW"}
    results = _send(lane, _writes(ids), [])
    assert {n: (r.verdict, r.code) for n, r in enumerate(results) if r.verdict is not Verdict.OK} == {
        3: (Verdict.REJECTED, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        99: (Verdict.RETRIABLE, "UNABLE_TO_LOCK_ROW"),
    }
    assert lane.session.meter.reads + lane.session.meter.writes == bulk_floor(120, polls=2, failed=True)


def test_an_error_text_with_colons_keeps_its_fields(lane, accounts, people):
    (result,) = _send(lane, _writes([accounts.lakeside], OwnerId=people.carl), [])
    assert (result.verdict, result.code) == (Verdict.REJECTED, "INACTIVE_OWNER_OR_USER")
    assert result.message.endswith("[OwnerId]")


def test_a_small_job_nobody_journals_is_one_request_and_its_polls(lane, sandbox, accounts):
    assert _verdicts(_send(lane, _writes([accounts.mercy, accounts.clinic]))) == {(Verdict.OK, ""): 2}
    assert _methods(sandbox) == ["POST", "GET", "GET"]


def test_the_lane_of_the_target_is_bulk(salesforce_session, sandbox, accounts):
    target = SalesforceTarget(salesforce_session)
    assert isinstance(target, JobTarget)
    write = _writes([accounts.mercy])
    assert target.write(write, lane=Lane.BULK, stamp=STAMP, before_send=lambda: None)[0].verdict is Verdict.OK


def test_polls_back_off_and_end(salesforce_session, sandbox, waits, accounts):
    sandbox.world.settings.bulk_polls = 6
    polling = Polling(first_s=1, longest_s=4, give_up_s=100)
    _send(BulkLane(salesforce_session, polling=polling), _writes([accounts.mercy]), [])
    assert waits.slept == [1, 2, 4, 4, 4, 4]


# when things go wrong


def test_a_job_that_takes_too_long_is_unknown_and_is_taken_up_later(salesforce_session, sandbox, accounts):
    sandbox.world.settings.bulk_polls = 8
    polling, jobs, writes = Polling(give_up_s=10), [], _writes([accounts.mercy])
    lane = BulkLane(salesforce_session, polling=polling)
    (result,) = _send(lane, writes, jobs)
    assert (result.verdict, result.code, jobs[0] in result.message) == (Verdict.UNKNOWN, "JOB_RUNNING", True)
    while (result := _resume(lane, jobs[0], writes)[0]).code == "JOB_RUNNING":
        pass
    assert result.verdict is Verdict.OK
    assert _methods(sandbox).count("PUT") == 1


def test_a_worker_that_dies_after_the_start_finds_its_results_again(lane, sandbox, many_accounts):
    ids, jobs = many_accounts(50), []
    sandbox.world.settings.row_refusals = {ids[7]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    sandbox.world.settings.bulk_runs_alone = True
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=500, method="GET", route="jobs/ingest", times=3))
    dead = _send(lane, _writes(ids), jobs)
    assert _verdicts(dead) == {(Verdict.UNKNOWN, "JOB_UNREAD"): 50}
    found = _resume(lane, jobs[0], _writes(ids))
    assert _verdicts(found) == {(Verdict.OK, ""): 49, (Verdict.REJECTED, "FIELD_CUSTOM_VALIDATION_EXCEPTION"): 1}
    assert [result.key for result in found] == [f"k{one}" for one in ids]


def test_a_worker_that_dies_before_the_start_has_written_nothing(lane, sandbox, accounts):
    jobs: list[str] = []

    def die(job_id: str) -> None:
        jobs.append(job_id)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lane.write(_writes([accounts.mercy]), stamp=STAMP, before_send=lambda: None, on_job=die)
    results = _resume(lane, jobs[0], _writes([accounts.mercy]))
    assert _verdicts(results) == {(Verdict.RETRIABLE, "JOB_NOT_STARTED"): 1}
    assert lane.look(jobs[0]).state == "Aborted"
    assert sandbox.world.history == []


def test_a_lost_lease_leaves_a_job_that_never_runs(lane, sandbox, accounts):
    checks = iter([True, True, False])

    def lease() -> None:
        if not next(checks):
            raise PermissionError("the lease is gone")

    jobs: list[str] = []
    with pytest.raises(PermissionError):
        lane.write(_writes([accounts.mercy]), stamp=STAMP, before_send=lease, on_job=jobs.append)
    assert (lane.look(jobs[0]).state, _written(sandbox)) == ("Open", set())


@pytest.mark.parametrize("verb", [Verb.COMMIT_THEN_RESET, Verb.RESET_BEFORE])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_lost_answer_while_making_or_closing_a_job_is_settled_by_asking(lane, sandbox, accounts, verb, method):
    sandbox.world.faults.add(Fault(verb=verb, method=method, route="jobs/ingest"))
    assert _verdicts(_send(lane, _writes([accounts.mercy]), [])) == {(Verdict.OK, ""): 1}
    assert len(_written(sandbox)) == 1
    assert _methods(sandbox).count("PUT") == 1


def test_a_lost_upload_writes_nothing_and_may_be_tried_again(lane, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, method="PUT"))
    jobs: list[str] = []
    with pytest.raises(Retriable, match="nothing was written"):
        _send(lane, _writes([accounts.mercy]), jobs)
    assert lane.look(jobs[0]).state == "Aborted"
    assert sandbox.world.history == []
    assert _verdicts(_send(lane, _writes([accounts.mercy]), jobs)) == {(Verdict.OK, ""): 1}


def test_a_lost_answer_to_an_unjournaled_job_is_unknown(lane, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, method="POST", route="jobs/ingest"))
    assert _verdicts(_send(lane, _writes([accounts.mercy]))) == {(Verdict.UNKNOWN, "LOST"): 1}
    assert _methods(sandbox) == ["POST"]


def test_results_that_cannot_be_read_leave_the_rows_unknown(lane, sandbox, accounts, many_accounts):
    ids = many_accounts(5)
    sandbox.world.settings.row_refusals = {ids[0]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    sandbox.world.faults.add(Fault(verb=Verb.STATUS_200_HTML, route="failedResults", times=3))
    jobs: list[str] = []
    assert _verdicts(_send(lane, _writes(ids), jobs)) == {(Verdict.UNKNOWN, "JOB_UNREAD"): 5}
    assert _verdicts(_resume(lane, jobs[0], _writes(ids)))[(Verdict.OK, "")] == 4


def test_a_failed_job_tells_written_refused_and_doubtful_rows_apart(lane, sandbox, many_accounts):
    ids = many_accounts(40)
    settings = sandbox.world.settings
    settings.bulk_batch_rows, settings.bulk_failing_batches = 10, {2: 20}
    settings.row_refusals = {ids[1]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    results = _send(lane, _writes(ids), [])
    assert [result.verdict for result in results] == [
        *[Verdict.OK, Verdict.REJECTED],
        *[Verdict.OK] * 18,
        *[Verdict.UNKNOWN] * 20,  # their batch had been tried: some of them are written
    ]
    written = _written(sandbox)
    assert {r.record_id for r in results if r.verdict is Verdict.OK} <= written
    assert not {r.record_id for r in results if r.verdict is Verdict.REJECTED} & written
    assert 20 <= len(written) < 40


def test_rows_that_appear_twice_after_a_retry_are_one_result_each(lane, sandbox, many_accounts):
    ids = many_accounts(30)
    settings = sandbox.world.settings
    settings.bulk_failing_batches, settings.bulk_repeats_results = {0: 2}, True
    settings.row_refusals = {ids[4]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    assert _verdicts(_send(lane, _writes(ids), [])) == {
        (Verdict.OK, ""): 29,
        (Verdict.REJECTED, "FIELD_CUSTOM_VALIDATION_EXCEPTION"): 1,
    }


def test_an_aborted_job_leaves_its_rest_to_be_tried_again(lane, sandbox, many_accounts):
    ids, jobs = many_accounts(30), []
    settings = sandbox.world.settings
    settings.bulk_batch_rows, settings.bulk_polls = 10, 50
    patient = BulkLane(lane.session, polling=Polling(first_s=60, give_up_s=30))  # gives up after the first look
    _send(patient, _writes(ids), jobs)
    assert lane.abort(jobs[0], stamp=STAMP, before_send=lambda: None).state == "Aborted"
    assert _verdicts(_resume(lane, jobs[0], _writes(ids))) == {
        (Verdict.OK, ""): 10,
        (Verdict.RETRIABLE, "UNPROCESSED"): 20,
    }


def test_an_unknown_field_is_rejected_not_tried_for_ever(lane, sandbox, accounts):
    (result,) = _send(lane, _writes([accounts.mercy], Nope__c="1"), [])
    assert (result.verdict, result.code) == (Verdict.REJECTED, "UNPROCESSED")
    assert "Nope__c" in result.message


def test_used_up_batches_may_work_tomorrow(lane, sandbox, accounts):
    sandbox.world.settings.bulk_daily_batches = 0
    (result,) = _send(lane, _writes([accounts.mercy]), [])
    assert (result.verdict, "ExceededQuota" in result.message) == (Verdict.RETRIABLE, True)


def test_a_job_nobody_knows_any_more_leaves_its_rows_unknown(lane, accounts):
    (result,) = _resume(lane, "750000000000zzz", _writes([accounts.mercy]))
    assert (result.verdict, result.code) == (Verdict.UNKNOWN, "NOT_FOUND")


def test_the_daily_limit_is_fatal_before_anything_is_written(lane, sandbox, accounts):
    sandbox.world.settings.daily_limit = 0
    with pytest.raises(Fatal, match="daily API calls"):
        _send(lane, _writes([accounts.mercy]), [])


def test_a_dead_token_is_renewed_in_the_middle_of_a_job(lane, sandbox, many_accounts):
    sandbox.world.settings.token_calls = 2
    assert _verdicts(_send(lane, _writes(many_accounts(20)), [])) == {(Verdict.OK, ""): 20}
    assert lane.session.meter.logins > 1


def test_ten_thousand_rows_are_one_job(lane, sandbox, many_accounts):
    ids = many_accounts(10_000)
    assert _verdicts(_send(lane, _writes(ids), [])) == {(Verdict.OK, ""): 10_000}
    assert lane.session.meter.reads + lane.session.meter.writes == bulk_floor(10_000, polls=2) == 5
