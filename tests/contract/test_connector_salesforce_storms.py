"""Storms of faults over the Bulk and the team lane: no verdict ever lies, and everything can be settled afterwards.

The sandbox's own history is the judge. A failing seed is the whole reproduction.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from connectors.errors import ConnectorError
from connectors.protocol import Verdict, Write, WriteResult
from connectors.salesforce.auth import ClientCredentials, connect
from connectors.salesforce.bulk import BulkLane
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Session
from connectors.salesforce.teams import TeamLane
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

SEEDS = range(20)
STAMP = "storm/1"
STORM = (
    Fault(verb=Verb.RESET_BEFORE, probability=0.12, times=0),
    Fault(verb=Verb.COMMIT_THEN_RESET, probability=0.12, times=0),
    Fault(verb=Verb.COMMIT_THEN_500, probability=0.08, times=0),
    Fault(verb=Verb.STATUS, status=503, probability=0.1, times=0),
    Fault(verb=Verb.STATUS, status=429, retry_after=2, probability=0.05, times=0),
    Fault(verb=Verb.STATUS_200_HTML, probability=0.05, times=0),
    Fault(verb=Verb.EXPIRE_TOKEN, probability=0.05, times=0, route="/services/(data|Soap)"),
    Fault(verb=Verb.PARTIAL, rows=2, code="UNABLE_TO_LOCK_ROW", probability=0.2, times=0),
)


@pytest.fixture
def storm(sandbox: Sandbox, waits: Any) -> Callable[[int], Session]:
    """Logs in with a seeded jitter, then lets the storm loose on the data resources."""

    def start(seed: int) -> Session:
        sandbox.world.faults.seed = seed
        dice = random.Random(seed)
        policy = RetryPolicy(tries=3, sleep=waits.sleep, clock=waits.clock, jitter=dice.uniform)
        login = ClientCredentials(client_id="sandbox", client_secret="sandbox", login_url=sandbox.base_url)
        session = connect(login, timeout_s=5, policy=policy)
        for fault in STORM:
            sandbox.world.faults.add(Fault(**{**_fields(fault), "route": fault.route or "/services/(data|Soap)"}))
        return session

    return start


def _fields(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__dataclass_fields__}


def _judge(results: tuple[WriteResult, ...], written: Counter[str]) -> None:
    for result in results:
        times = written[result.record_id]
        if result.verdict is Verdict.OK:
            assert times == 1, (result, times)
        elif result.verdict is not Verdict.UNKNOWN:
            assert times == 0, (result, times)


def _written(sandbox: Sandbox, field: str) -> Counter[str]:
    return Counter(c.record_id for c in sandbox.world.history if c.field == field and c.object == "Account")


@pytest.mark.parametrize("seed", SEEDS)
def test_bulk_verdicts_are_true_and_a_journaled_job_settles(seed, storm, sandbox, many_accounts):
    dice = random.Random(f"bulk:{seed}")
    ids = many_accounts(30)
    settings = sandbox.world.settings
    settings.bulk_batch_rows, settings.bulk_polls = 10, dice.randint(0, 3)
    settings.bulk_runs_alone = dice.random() < 0.5
    settings.bulk_failing_batches = {1: dice.choice([0, 1, 20])}
    settings.bulk_repeats_results = dice.random() < 0.5
    settings.row_refusals = {ids[dice.randrange(30)]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    writes = [Write(key=one, record_id=one, fields={"Phone": "555"}) for one in ids]
    jobs: list[str] = []

    with storm(seed) as session:
        lane = BulkLane(session)
        try:
            results = lane.write(writes, stamp=STAMP, before_send=lambda: None, on_job=jobs.append)
        except ConnectorError:
            assert not _written(sandbox, "Phone")  # it is raised only when nothing can have been written
            results = ()
        _judge(results, _written(sandbox, "Phone"))
        sandbox.world.faults.clear()
        if jobs:
            settled = lane.resume(jobs[-1], writes, stamp=STAMP, before_send=lambda: None)
            _judge(settled, _written(sandbox, "Phone"))
            doubtful = {result.code for result in settled if result.verdict is Verdict.UNKNOWN}
            # Batches that failed half way; a job aborted before it was closed tells nothing about its rows.
            assert doubtful <= {"UNPROCESSED"} or lane.look(jobs[-1]).state == "Aborted"
    assert max(_written(sandbox, "Phone").values(), default=0) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_owner_changes_are_true_and_every_team_comes_back(seed, storm, sandbox, many_accounts, people):
    ids = many_accounts(12)
    team = [{"AccountId": one, "UserId": user} for one in ids for user in (people.ana, people.rule)]
    sandbox.world.load("salesforce", "AccountTeamMember", team)
    sandbox.world.settings.team_drop_probability = 0.4
    new = {one: people.ana if place % 2 else people.rule for place, one in enumerate(ids)}
    writes = [
        Write(key=one, record_id=one, fields={"OwnerId": new[one]}, previous={"OwnerId": people.bea}) for one in ids
    ]

    with storm(seed) as session:
        lane = TeamLane(session)
        sandbox.world.faults.clear()
        image = lane.team(ids)
        for fault in STORM:
            sandbox.world.faults.add(fault)
        try:
            results = lane.change_owners(writes, image=image, stamp=STAMP, before_send=lambda: None)
        except ConnectorError:
            assert not _written(sandbox, "OwnerId")
            results = ()
        _judge(tuple(one.result for one in results), _written(sandbox, "OwnerId"))
        for one in results:
            assert {member.user_id for member in one.restored} <= {member.user_id for member in one.lost}
        sandbox.world.faults.clear()
        members = [member for held in image.values() for member in held]
        restored = lane.restore_team(members, stamp=STAMP, before_send=lambda: None)
        assert {result.verdict for result in restored} == {Verdict.OK}
        after = lane.team(ids)
    assert {key: [one.user_id for one in held] for key, held in after.items()} == {
        key: [one.user_id for one in held] for key, held in image.items()
    }
