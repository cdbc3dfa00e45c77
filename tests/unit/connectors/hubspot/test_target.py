"""One row, one result: batch answers of every shape are read row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.errors import Fatal, Retriable
from connectors.hubspot.records import PARENT
from connectors.hubspot.retry import RetryPolicy
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.target import HubSpotTarget
from connectors.protocol import Lane, Verdict, Write, WriteResult
from tests.unit.connectors.hubspot.conftest import Connect, Reply, Script, Seen

TEN_SECONDS = Reply(status=429, body={"policyName": "TEN_SECONDLY_ROLLING", "message": "slow"})


def owner(record_id: str, value: Any = "77", *, key: str = "") -> Write:
    return Write(key=key or f"k{record_id}", record_id=record_id, fields={"hubspot_owner_id": value})


def parent(record_id: str, new: str | None, old: str | None = None) -> Write:
    return Write(key=f"k{record_id}", record_id=record_id, fields={PARENT: new}, previous={PARENT: old})


def send(session: HubSpotSession, *writes: Write, lane: Lane = Lane.BATCH) -> tuple[WriteResult, ...]:
    return HubSpotTarget(session).write(writes, lane=lane, stamp="run/1", before_send=lambda: None)


def verdicts(results: tuple[WriteResult, ...]) -> list[str]:
    return [result.verdict.value for result in results]


def written(seen: Seen) -> list[dict[str, Any]]:
    return [
        {"id": one["id"], "properties": {"hs_lastmodifieddate": "2026-01-01T00:00:00Z"}} for one in seen.body["inputs"]
    ]


def done(seen: Seen) -> Reply:
    return Reply(body={"status": "COMPLETE", "results": written(seen)})


def refusing(*bad: str, named: bool, whole: bool = False) -> Callable[[Seen], Reply]:
    """A HubSpot that does not take some rows: with or without their ids, row by row or the whole batch."""

    def answer(seen: Seen) -> Reply:
        ids = [one["id"] for one in seen.body["inputs"]]
        hit = [one for one in ids if one in bad]
        if hit and whole:
            return Reply(status=400, body={"category": "VALIDATION_ERROR", "message": "no"})
        context = {"context": {"ids": hit}} if named else {}
        errors = [{"category": "VALIDATION_ERROR", "message": "no", **context}] if hit else []
        good = [one for one in written(seen) if one["id"] not in bad]
        return Reply(status=207 if hit else 200, body={"results": good, "errors": errors, "numErrors": len(errors)})

    return answer


class TestBatch:
    def test_rows_go_a_hundred_at_a_time_and_come_back_in_order(self, script: Script, session: HubSpotSession) -> None:
        script.say(done)
        results = send(session, *(owner(str(n)) for n in range(250, 0, -1)))
        assert [len(seen.body["inputs"]) for seen in script.seen] == [100, 100, 50]
        assert [result.record_id for result in results] == [str(n) for n in range(250, 0, -1)]
        assert {(result.verdict, result.version) for result in results} == {(Verdict.OK, "2026-01-01T00:00:00Z")}
        assert session.meter.writes == 3

    def test_values_travel_as_text_and_none_clears(self, script: Script, session: HubSpotSession) -> None:
        script.say(done)
        fields = {"a": None, "b": True, "c": 7, "d": "x"}
        send(session, Write(key="k", record_id="1", fields=fields))
        assert script.seen[0].body["inputs"][0]["properties"] == {"a": "", "b": "true", "c": "7", "d": "x"}

    def test_two_writes_of_one_record_become_one_row(self, script: Script, session: HubSpotSession) -> None:
        script.say(done)
        tier = Write(key="tier", record_id="1", fields={"account_tier": "Tier 1"})
        clash = owner("1", "88", key="clash")
        results = send(session, owner("1"), tier, clash)
        assert script.seen[0].body["inputs"] == [
            {"id": "1", "properties": {"hubspot_owner_id": "77", "account_tier": "Tier 1"}}
        ]
        assert [(r.key, r.verdict.value) for r in results] == [("k1", "ok"), ("tier", "ok"), ("clash", "rejected")]

    @pytest.mark.parametrize("status", [200, 207])
    def test_failed_rows_are_found_whatever_the_status(
        self, script: Script, session: HubSpotSession, status: int
    ) -> None:
        errors = [
            {"category": "VALIDATION_ERROR", "message": "bad owner", "context": {"ids": ["2", "3"]}},
            {"category": "RATE_LIMITS", "message": "later", "context": {"ids": ["4"]}},
        ]
        body = {"results": [{"id": "1", "properties": {}}], "errors": errors, "numErrors": 2}
        script.say(Reply(status=status, body=body))
        results = send(session, *(owner(n) for n in "1234"))
        assert verdicts(results) == ["ok", "rejected", "rejected", "retriable"]
        assert (results[1].code, results[1].message) == ("VALIDATION_ERROR", "bad owner")

    def test_an_error_that_names_no_row_is_narrowed_down(self, script: Script, session: HubSpotSession) -> None:
        script.say(refusing("13", "77", named=False))
        results = send(session, *(owner(str(n)) for n in range(100)))
        assert [r.record_id for r in results if r.verdict is Verdict.REJECTED] == ["13", "77"]
        assert sum(r.verdict is Verdict.OK for r in results) == 98
        assert len(script.seen) == 3  # all, then the two that failed one by one

    def test_a_batch_refused_whole_is_halved_until_the_row_is_alone(
        self, script: Script, session: HubSpotSession
    ) -> None:
        script.say(refusing("42", named=False, whole=True))
        results = send(session, *(owner(str(n)) for n in range(100)))
        assert [r.record_id for r in results if r.verdict is Verdict.REJECTED] == ["42"]
        assert sum(r.verdict is Verdict.OK for r in results) == 99
        assert len(script.seen) <= 1 + 2 * 7  # log2(100) rounds of two halves

    def test_narrowing_down_has_an_end(self, script: Script, session: HubSpotSession) -> None:
        script.say(refusing(*map(str, range(100)), named=False, whole=True))
        results = send(session, *(owner(str(n)) for n in range(100)))
        assert len(script.seen) == 25
        assert {r.verdict for r in results} == {Verdict.REJECTED}

    def test_rows_not_tried_alone_may_work_later(self, script: Script, session: HubSpotSession) -> None:
        script.say(refusing(*map(str, range(0, 100, 5)), named=False, whole=True))
        results = send(session, *(owner(str(n)) for n in range(100)))
        assert len(script.seen) == 25
        untried = {int(r.record_id) for r in results if r.verdict is Verdict.RETRIABLE}
        assert untried
        assert all(int(r.record_id) % 5 == 0 for r in results if r.verdict is Verdict.REJECTED)

    def test_a_row_that_the_answer_leaves_out_is_unknown(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(body={"results": [{"id": "1", "properties": {}}]}))
        assert verdicts(send(session, owner("1"), owner("2"))) == ["ok", "unknown"]

    def test_a_lost_answer_leaves_its_rows_unknown_and_the_rest_goes_on(
        self, script: Script, session: HubSpotSession
    ) -> None:
        script.say(Reply(status=0), done)
        results = send(session, *(owner(str(n)) for n in range(150)))
        assert verdicts(results) == ["unknown"] * 100 + ["ok"] * 50

    def test_a_throttle_is_raised_only_while_nothing_was_written(self, script: Script, connect: Connect) -> None:
        session = connect(retry=RetryPolicy(attempts=1))
        script.say(TEN_SECONDS)
        with pytest.raises(Retriable):
            send(session, owner("1"))
        script.say(done, TEN_SECONDS)
        results = send(session, *(owner(str(n)) for n in range(150)))
        assert verdicts(results) == ["ok"] * 100 + ["retriable"] * 50

    def test_a_refused_token_is_raised(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=403, body={"category": "MISSING_SCOPES"}))
        with pytest.raises(Fatal, match="scopes"):
            send(session, owner("1"))

    def test_the_stamp_travels_with_each_request(self, script: Script, session: HubSpotSession) -> None:
        script.say(done)
        send(session, owner("1"))
        assert "run/1" in script.seen[0].headers["user-agent"]

    def test_a_lost_lease_stops_the_next_request(self, script: Script, session: HubSpotSession) -> None:
        script.say(done)
        left = iter([True])

        def check() -> None:
            if not next(left, False):
                raise LookupError("lease lost")

        with pytest.raises(LookupError, match="lease lost"):
            HubSpotTarget(session).write(
                [owner(str(n)) for n in range(150)], lane=Lane.BATCH, stamp="s", before_send=check
            )
        assert len(script.seen) == 1

    def test_conditional_writes_do_not_exist_here(self, session: HubSpotSession) -> None:
        with pytest.raises(ValueError, match="no conditional"):
            send(session, owner("1"), lane=Lane.CONDITIONAL)

    def test_a_parent_is_not_written_as_a_property(self, session: HubSpotSession) -> None:
        with pytest.raises(ValueError, match="association lane"):
            send(session, parent("1", "2"))
        with pytest.raises(ValueError, match="association lane"):
            send(session, owner("1"), lane=Lane.ASSOCIATION)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(bad=st.sets(st.integers(0, 29), max_size=3), named=st.booleans(), whole=st.booleans())
    def test_bad_rows_and_only_they_are_rejected(
        self, script: Script, session: HubSpotSession, bad: set[int], named: bool, whole: bool
    ) -> None:
        script.say(refusing(*map(str, bad), named=named, whole=whole))
        results = send(session, *(owner(str(n)) for n in range(30)))
        assert {int(r.record_id) for r in results if r.verdict is Verdict.REJECTED} == bad
        assert {r.verdict for r in results} <= {Verdict.OK, Verdict.REJECTED}


class TestRead:
    def test_missing_and_merged_ids_are_none(self, script: Script, session: HubSpotSession) -> None:
        errors = [{"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["2"]}}]
        found = [
            {"id": "1", "properties": {"name": "A", "hs_lastmodifieddate": "2026-01-01T00:00:00Z"}},
            {"id": "99", "properties": {"name": "survivor of 3"}},
        ]
        script.say(Reply(status=207, body={"results": found, "errors": errors}))
        read = HubSpotTarget(session).read(["1", "2", "3"], ["name"], versions=True)
        assert list(read) == ["1", "2", "3"]
        assert (read["2"], read["3"]) == (None, None)
        assert read["1"] is not None
        assert (read["1"].fields["name"], read["1"].version) == ("A", "2026-01-01T00:00:00Z")

    def test_a_row_that_failed_to_be_read_is_not_taken_for_gone(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=207, body={"results": [], "errors": [{"category": "INTERNAL_ERROR"}]}))
        with pytest.raises(Retriable, match="could not read"):
            HubSpotTarget(session).read(["1"], ["name"], versions=False)

    def test_history_is_read_fifty_at_a_time(self, script: Script, session: HubSpotSession) -> None:
        entry = {
            "value": "77",
            "timestamp": "2026-01-01T00:00:00Z",
            "sourceType": "CRM_UI",
            "sourceId": "userId:9",
            "updatedByUserId": 9,
        }

        def answer(seen: Seen) -> Reply:
            asked = {name: [entry] for name in seen.body["propertiesWithHistory"]}
            return Reply(
                body={"results": [{"id": r["id"], "propertiesWithHistory": asked} for r in seen.body["inputs"]]}
            )

        script.say(answer)
        history = HubSpotTarget(session).history([str(n) for n in range(60)], ["hubspot_owner_id"])
        assert [len(seen.body["inputs"]) for seen in script.seen] == [50, 10]
        (kept,) = history["59"]
        assert (kept.property, kept.value, kept.source_type, kept.user) == ("hubspot_owner_id", "77", "CRM_UI", "9")


class Hierarchy:
    """Associations v4 of one child table, as far as a parent change sees them."""

    def __init__(self, parents: dict[str, str | None], *, refused: tuple[str, ...] = (), whole: bool = False) -> None:
        self.parents, self.refused, self.whole = dict(parents), refused, whole
        self.sent: list[tuple[str, int]] = []

    def __call__(self, seen: Seen) -> Reply:
        step = seen.path.rsplit("/batch/", 1)[-1]
        inputs = seen.body["inputs"]
        if step == "read":
            rows = [(one["id"], self.parents.get(one["id"])) for one in inputs]
            kind = [{"typeId": 14}, {"typeId": 450}]
            ends = [{"from": {"id": c}, "to": [{"toObjectId": int(p), "associationTypes": kind}]} for c, p in rows if p]
            return Reply(body={"results": ends})
        self.sent.append((step, len(inputs)))
        pairs = [(one["from"]["id"], one["to"]["id"]) for one in inputs]
        if step == "labels/archive":
            for child, old in pairs:
                if self.parents.get(child) == old:
                    self.parents[child] = None
            return Reply(status=204)
        return self._create(pairs)

    def _create(self, pairs: list[tuple[str, str]]) -> Reply:
        bad = [child for child, new in pairs if new in self.refused]
        if bad and self.whole:
            return Reply(status=400, body={"category": "VALIDATION_ERROR", "message": "cycle"})
        made = [(child, new) for child, new in pairs if child not in bad]
        self.parents.update(made)
        errors = [{"category": "VALIDATION_ERROR", "message": "cycle", "context": {"fromObjectId": bad}}] if bad else []
        rows = [{"fromObjectId": int(child), "toObjectId": int(new)} for child, new in made]
        return Reply(status=207 if bad else 201, body={"results": rows, "errors": errors})


class TestParents:
    def test_a_change_is_archive_then_create_and_a_removal_archive_only(
        self, script: Script, session: HubSpotSession
    ) -> None:
        crm = Hierarchy({"1": "10", "2": "10", "3": None})
        script.say(crm)
        writes = parent("1", "11", "10"), parent("2", None, "10"), parent("3", "12")
        assert verdicts(send(session, *writes, lane=Lane.ASSOCIATION)) == ["ok", "ok", "ok"]
        assert crm.parents == {"1": "11", "2": None, "3": "12"}
        assert crm.sent == [("labels/archive", 2), ("create", 2)]

    def test_a_parent_that_moved_is_stale_and_one_already_right_costs_no_write(
        self, script: Script, session: HubSpotSession
    ) -> None:
        crm = Hierarchy({"1": "66", "2": "11"})
        script.say(crm)
        results = send(session, parent("1", "11", "10"), parent("2", "11", "10"), lane=Lane.ASSOCIATION)
        assert verdicts(results) == ["stale", "ok"]
        assert (crm.sent, session.meter.writes) == ([], 0)

    @pytest.mark.parametrize("whole", [False, True])
    def test_a_refused_parent_leaves_the_old_one_in_place(
        self, script: Script, session: HubSpotSession, whole: bool
    ) -> None:
        crm = Hierarchy({"1": "10", "2": "10"}, refused=("13",), whole=whole)
        script.say(crm)
        results = send(session, parent("1", "13", "10"), parent("2", "11", "10"), lane=Lane.ASSOCIATION)
        assert verdicts(results) == ["rejected", "ok"]
        assert "put back" in results[0].message
        assert crm.parents == {"1": "10", "2": "11"}

    def test_a_lost_answer_after_the_first_step_is_unknown(self, script: Script, session: HubSpotSession) -> None:
        crm = Hierarchy({"1": "10"})
        script.say(lambda seen: Reply(status=0) if seen.path.endswith("create") else crm(seen))
        assert verdicts(send(session, parent("1", "11", "10"), lane=Lane.ASSOCIATION)) == ["unknown"]

    def test_a_throttle_between_the_steps_leaves_moved_rows_unknown_and_the_others_retriable(
        self, script: Script, connect: Connect
    ) -> None:
        crm = Hierarchy({"1": "10", "2": None})
        script.say(lambda seen: TEN_SECONDS if seen.path.endswith("create") else crm(seen))
        session = connect(retry=RetryPolicy(attempts=1))
        results = send(session, parent("1", "11", "10"), parent("2", "11"), lane=Lane.ASSOCIATION)
        assert verdicts(results) == ["unknown", "retriable"]

    def test_a_throttle_before_anything_is_raised(self, script: Script, connect: Connect) -> None:
        crm = Hierarchy({"2": None})
        script.say(lambda seen: TEN_SECONDS if seen.path.endswith("create") else crm(seen))
        with pytest.raises(Retriable):
            send(connect(retry=RetryPolicy(attempts=1)), parent("2", "11"), lane=Lane.ASSOCIATION)

    def test_a_read_takes_the_parent_from_the_associations(self, script: Script, session: HubSpotSession) -> None:
        crm = Hierarchy({"1": "10"})

        def answer(seen: Seen) -> Reply:
            if "associations" in seen.path:
                return crm(seen)
            return Reply(body={"results": [{"id": "1", "properties": {PARENT: "stale index"}}]})

        script.say(answer)
        read = HubSpotTarget(session).read(["1"], [PARENT], versions=False)
        assert read["1"] is not None
        assert read["1"].fields[PARENT] == "10"
