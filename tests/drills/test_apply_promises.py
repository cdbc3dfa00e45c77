"""What apply promises a person, over a CRM that keeps its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs.apply import apply_plan
from jobs.applying.model import GuardStopped, ItemState, PlanRefused
from jobs.applying.session import STOPPED
from store import audit, tables
from store.agreed import Agreed
from store.database import Database
from store.decisions import Acceptance, Decisions, Verdict
from store.events import OwnerEvents
from store.leases import Lease, LeaseLost, Leases
from store.outbox import Outbox
from store.plans import Plans, PlanStatus
from store.runs import Runs, RunStatus
from tests.drills.conftest import Places
from tests.drills.crm import CrmFile
from tests.drills.desk import SF, Desk, states
from tests.drills.world import PERSON, Place, Wanted, deps, make, record_id, save_plan, values


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(Places(tmp_path, None)())
    yield made
    made.close()


def test_everything_approved_is_written_verified_and_told_once(desk: Desk) -> None:
    result = desk.apply()
    assert states(result) == ["verified"] * 6
    assert result.is_complete
    assert result.status == PlanStatus.APPLIED
    assert result.totals["owner_events"] == 6
    assert [desk.owner(n) for n in range(6)] == [values(SF, n)[1] for n in range(6)]
    assert {mail.recipient for mail in Outbox(desk.database).list()} == {"ops@example.com", "lead@example.com"}
    assert len(OwnerEvents(desk.database).of_plan(desk.plan_id, part=1)) == 6
    assert Runs(desk.database).get(result.run_id).status is RunStatus.DONE


def test_a_second_apply_makes_no_request(desk: Desk) -> None:
    desk.apply()
    before = desk.crm.requests()
    again = desk.apply()
    assert "already applied" in again.message
    assert desk.crm.requests() == before


class Queued(Leases):
    """Leases that are free only after something else has happened."""

    def __init__(self, database: Database, meanwhile: Callable[[], object]) -> None:
        super().__init__(database)
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def acquire(self, name: str, *, op: str, who: str = "") -> Lease:
        if self._meanwhile:
            self._meanwhile.pop()()
        return super().acquire(name, op=op, who=who)


def test_a_run_that_waited_while_another_applied_the_plan_has_nothing_left_to_do(desk: Desk) -> None:
    result = desk.apply(leases=Queued(desk.database, desk.apply))
    assert "already applied" in result.message
    assert len(desk.crm.requests()) == 2


def test_a_run_whose_lease_was_taken_before_its_first_chunk_is_told_so(desk: Desk) -> None:
    """It slept after its guards were measured; another applied the plan meanwhile."""

    def taken(*_: object) -> tuple[()]:
        with desk.database.state() as conn:
            conn.execute(sa.update(tables.lease).values(holder="", epoch=tables.lease.c.epoch + 1))
        desk.apply()
        return ()

    with pytest.raises(LeaseLost):
        desk.apply(guards=taken)
    assert len(desk.crm.requests()) == 2


def test_a_run_that_waited_while_a_newer_plan_was_made_is_refused(desk: Desk) -> None:
    with pytest.raises(PlanRefused, match="newer plan") as refused:
        desk.apply(leases=Queued(desk.database, lambda: save_plan(desk.place, [], {SF: f"org-{SF}"})))
    assert refused.value.reason == "superseded"
    assert desk.crm.requests() == []


def test_a_record_that_moved_since_the_plan_is_reopened_and_not_written(desk: Desk) -> None:
    desk.crm.edit(SF, record_id(SF, 2), {"owner": "ken"})
    result = desk.apply()
    assert states(result) == ["verified", "verified", "stale", "verified", "verified", "verified"]
    assert desk.owner(2) == "ken"
    assert result.status == PlanStatus.PARTIALLY_APPLIED
    assert "owner moved since the plan" in result.items[2].message


def test_a_record_that_is_already_so_costs_no_write_and_is_agreed(desk: Desk) -> None:
    for number in range(6):
        desk.crm.edit(SF, record_id(SF, number), {"owner": values(SF, number)[1]})
    result = desk.apply()
    assert states(result) == ["converged"] * 6
    assert desk.crm.requests() == []
    agreed = Agreed(desk.database, desk.place.files()).table().to_pylist()
    assert [row["owner"] for row in agreed] == [values(SF, n)[1] for n in range(6)]
    assert OwnerEvents(desk.database).of_plan(desk.plan_id) == ()


def test_an_edit_of_another_field_between_read_and_write_does_not_keep_us_out(desk: Desk) -> None:
    edited: list[str] = []

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_write" and not edited:
            edited.append(ids[0])
            desk.crm.edit(SF, ids[0], {"phone": "2"})
        return ""

    assert states(desk.apply(hook=hook)) == ["verified"] * 6
    assert desk.crm.get(SF, edited[0])[0]["phone"] == "2"  # type: ignore[index]  # it is there


def test_an_edit_of_the_same_field_between_read_and_write_wins(desk: Desk) -> None:
    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_write" and record_id(SF, 1) in ids and desk.owner(1) != "ken":
            desk.crm.edit(SF, record_id(SF, 1), {"owner": "ken"})
        return ""

    assert states(desk.apply(hook=hook))[1] == "stale"
    assert desk.owner(1) == "ken"


def test_a_deleted_record_is_gone_and_nothing_else(desk: Desk) -> None:
    desk.crm.delete(SF, record_id(SF, 0))
    assert states(desk.apply()) == ["gone", *["verified"] * 5]


def test_an_account_with_a_team_keeps_its_owner(desk: Desk) -> None:
    result = desk.apply(teams={record_id(SF, 3): 2})
    assert result.items[3].state is ItemState.BLOCKED
    assert "account team has 2 members" in result.items[3].message
    assert desk.owner(3) == values(SF, 3)[0]


def test_a_value_that_the_crm_rewrites_halts_the_run_after_that_chunk(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=30)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "after_write" and record_id(SF, 0) in ids:
            desk.crm.set(SF, record_id(SF, 0), {"owner": "flow"}, by="flow")
        return ""

    result = desk.apply(hook=hook)
    assert result.items[0].state is ItemState.MISMATCH
    assert "read back as something else" in result.halted
    assert states(result).count("left") == 20  # the canary had ten
    desk.close()


def test_too_many_refusals_halt_the_run(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=30)

    def hook(point: str, ids: Sequence[str]) -> str:
        if point == "before_write":
            for record in (record_id(SF, 0), record_id(SF, 1)):
                if record in ids:
                    desk.crm.delete(SF, record)
        return ""

    result = desk.apply(hook=hook)
    assert "2 of 10 items failed" in result.halted
    assert states(result).count("left") == 20
    desk.close()


def test_a_request_to_stop_ends_after_the_chunk_and_the_next_run_goes_on(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=30)
    asked = iter([False, True])
    result = desk.apply(stop=lambda: next(asked, True))
    assert result.halted == STOPPED
    assert states(result).count("verified") == 10
    assert desk.apply().status == PlanStatus.APPLIED
    assert {mail.part for mail in Outbox(desk.database).list()} == {1, 2}
    desk.close()


def test_what_a_person_keeps_becomes_agreed_and_the_proposal_refused(desk: Desk) -> None:
    desk.decide(0, Verdict.KEEP_CRM, expires_at="2999-01-31T00:00:00.000Z")
    result = desk.apply()
    assert result.totals["kept"] == 1
    assert desk.owner(0) == values(SF, 0)[0]
    (override,) = Decisions(desk.database).overrides().to_pylist()
    assert (override["kept"], override["refused"], override["until"]) == (*values(SF, 0), "2999-01-31")
    assert result.status == PlanStatus.APPLIED


def test_an_edited_value_is_written_and_ours_is_refused(desk: Desk) -> None:
    desk.decide(0, Verdict.EDIT, edited={"owner": "dana"})
    desk.apply()
    assert desk.owner(0) == "dana"
    (override,) = Decisions(desk.database).overrides().to_pylist()
    assert (override["kept"], override["refused"]) == ("dana", values(SF, 0)[1])
    assert OwnerEvents(desk.database).of_plan(desk.plan_id)[0]["to_user"] == "dana"


def test_rejected_and_undecided_items_are_not_written(desk: Desk) -> None:
    desk.decide(0, Verdict.REJECT)
    desk.decide(1, Verdict.DEFER)
    result = desk.apply()
    assert result.totals["pending"] == 1
    assert [desk.owner(n) for n in (0, 1)] == [values(SF, n)[0] for n in (0, 1)]
    with pytest.raises(PlanRefused) as caught:
        desk.apply(flags={"only_approved": False})
    assert caught.value.reason == "pending"


def test_baseline_only_writes_nothing(desk: Desk) -> None:
    desk.apply(flags={"baseline_only": True})
    assert desk.crm.requests() == []
    assert desk.status() is PlanStatus.PARTIALLY_APPLIED


def test_strict_refuses_the_whole_plan_when_one_item_moved(desk: Desk) -> None:
    desk.crm.edit(SF, record_id(SF, 2), {"owner": "ken"})
    with pytest.raises(PlanRefused) as caught:
        desk.apply(flags={"strict": True})
    assert caught.value.reason == "moved"
    assert desk.crm.requests() == []


def test_a_passed_limit_stops_everything_until_a_named_person_accepts_it(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=55)
    with pytest.raises(GuardStopped, match="owner_changes:salesforce") as caught:
        desk.apply()
    assert desk.crm.requests() == []
    assert desk.status() is PlanStatus.PAUSED_BY_GUARD
    accept = [
        Acceptance(guard=one.guard, subject=one.subject, reason="planned move", by=PERSON)
        for one in caught.value.breached
    ]
    assert desk.apply(flags={"accept": accept}).status == PlanStatus.APPLIED
    with desk.database.read() as conn:
        kinds = [(entry["kind"], entry["actor"]) for entry in audit.entries(conn, plan_id=desk.plan_id)]
    assert ("guard_accepted", "maria (unverified operating-system user)") in kinds
    desk.close()


@pytest.mark.parametrize("column", ["expires_at", "as_of", "ruleset_digest", "digest", "items_sha256"])
def test_a_header_changed_in_the_database_is_noticed(desk: Desk, column: str) -> None:
    with desk.database.state() as conn:
        conn.execute(sa.update(tables.plan).values({column: "2999-01-01T00:00:00.000Z"}))
    with pytest.raises(PlanRefused) as caught:
        desk.apply()
    assert caught.value.reason == "tampered"
    assert desk.crm.requests() == []


def test_an_expired_plan_is_refused(desk: Desk) -> None:
    late = Database(desk.place.database_url, now=lambda: "2999-01-01T00:00:00.000Z")
    with pytest.raises(PlanRefused) as caught:
        apply_plan(deps(desk.place, late, desk.crm), desk.plan_id, person=PERSON)
    assert caught.value.reason == "expired"
    assert desk.status() is PlanStatus.EXPIRED
    late.close()


@pytest.mark.parametrize("name", ["items", "changes", "events"])
def test_any_flipped_byte_of_a_plan_file_is_noticed(desk: Desk, name: str) -> None:
    with desk.database.read() as conn:
        sha256 = conn.scalar(sa.select(tables.plan.c[f"{name}_sha256"]))
    path = desk.place.folder / "snapshots" / sha256[:2] / f"{sha256}.parquet"
    data = bytearray(path.read_bytes())
    for position in range(0, len(data), max(1, len(data) // 40)):
        flipped = bytearray(data)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(PlanRefused) as caught:
            desk.apply()
        assert caught.value.reason == "tampered"
    assert desk.crm.requests() == []


def test_other_rules_than_the_plan_was_made_with_are_refused(desk: Desk) -> None:
    with pytest.raises(PlanRefused) as caught:
        desk.apply(ruleset_digest="other")
    assert caught.value.reason == "ruleset"


def test_another_organisation_than_the_plan_was_made_for_is_refused(desk: Desk) -> None:
    given = deps(desk.place, desk.database, desk.crm)
    connected = given.connections[SF]
    org = replace(connected.org(), org_id="production")
    other = replace(given, connections={SF: replace(connected, org=lambda: org)})
    with pytest.raises(PlanRefused) as caught:
        apply_plan(other, desk.plan_id, person=PERSON)
    assert caught.value.reason == "org"
    assert "production" in str(caught.value)


def family(tmp_path: Path) -> tuple[Place, CrmFile, str]:
    """Record 0 above 1 above 2, each to get a new parent; an owner change follows from the parent of record 1."""
    place = Places(tmp_path, None)()
    crm = place.crm()
    crm.create({(SF, record_id(SF, n)): {"owner": "ken", "parent": "old", "phone": "1"} for n in range(3)})
    parents = [
        Wanted(connection=SF, record_id=record_id(SF, n), before="old", after="new", field="parent", depth=n)
        for n in (2, 1, 0)
    ]
    owner = Wanted(connection=SF, record_id=record_id(SF, 1), before="ken", after="dana", caused_by=1)
    return place, crm, save_plan(place, [*parents, owner], {SF: f"org-{SF}"})


def test_parents_are_written_top_down_and_before_what_follows_from_them(tmp_path: Path) -> None:
    place, crm, plan_id = family(tmp_path)
    database = place.database()
    assert apply_plan(deps(place, database, crm), plan_id, person=PERSON).is_complete
    order = [(record, field) for _, _, record, field, _, _, _ in crm.history()]
    first, second, third = (record_id(SF, n) for n in (0, 1, 2))
    assert order == [(first, "parent"), (second, "parent"), (second, "owner"), (third, "parent")]
    assert crm.requests() == [(SF, f"{crm.requests()[0][1]}", 3)]
    database.close()
    crm.close()


def test_an_item_whose_parent_change_was_not_written_waits(tmp_path: Path) -> None:
    place, crm, plan_id = family(tmp_path)
    crm.edit(SF, record_id(SF, 1), {"parent": "a person's choice"})
    database = place.database()
    result = apply_plan(deps(place, database, crm), plan_id, person=PERSON)
    assert states(result) == ["verified", "stale", "verified", "blocked"]
    assert result.items[3].message == "the parent change it follows from is stale"
    assert result.status == PlanStatus.PARTIALLY_APPLIED
    database.close()
    crm.close()


def test_a_died_run_of_another_plan_is_settled_first_and_told(tmp_path: Path) -> None:
    place = Places(tmp_path, None)()
    first, database, crm = make(place, records={SF: 4}), place.database(), place.crm()

    def die(point: str, ids: Sequence[str]) -> str:
        if point == "after_write":
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        apply_plan(deps(place, database, crm, hook=die), first, person=PERSON)
    wanted = [Wanted(connection=SF, record_id=record_id(SF, 0), before=values(SF, 0)[1], after="dana")]
    second = save_plan(place, wanted, {SF: f"org-{SF}"})
    assert apply_plan(deps(place, database, crm), second, person=PERSON).is_complete

    outcomes = Plans(database, place.files()).outcomes(first)
    assert {one.state for one in outcomes.values()} == {"verified"}
    assert Plans(database, place.files()).load(first).status is PlanStatus.PARTIALLY_APPLIED
    assert len(OwnerEvents(database).of_plan(first)) == 4
    assert {mail.plan_id for mail in Outbox(database).list()} == {first, second}
    database.close()
    crm.close()


def groups_of_one_record(tmp_path: Path) -> tuple[Place, CrmFile, str]:
    """One record with two field groups to change, and another record with one of them."""
    place = Places(tmp_path, None)()
    crm = place.crm()
    crm.create({(SF, record_id(SF, n)): {"owner": "ken", "health_system": "old", "phone": "1"} for n in range(2)})
    wanted = [
        Wanted(connection=SF, record_id=record_id(SF, 0), before="ken", after="dana"),
        Wanted(connection=SF, record_id=record_id(SF, 1), before="ken", after="dana"),
        Wanted(connection=SF, record_id=record_id(SF, 0), before="old", after="new", field="health_system"),
    ]
    return place, crm, save_plan(place, wanted, {SF: f"org-{SF}"})


def test_all_groups_of_a_record_travel_in_one_row(tmp_path: Path) -> None:
    place, crm, plan_id = groups_of_one_record(tmp_path)
    database = place.database()
    assert apply_plan(deps(place, database, crm), plan_id, person=PERSON).is_complete
    assert [rows for _, _, rows in crm.requests()] == [2]
    assert audit.verify(database).is_intact
    database.close()
    crm.close()


def test_a_group_that_moved_does_not_keep_the_other_group_of_its_record_back(tmp_path: Path) -> None:
    """Before the read, and again between read and write: each group of the record is judged by itself."""
    for point in ("before_read", "before_write"):
        place, crm, plan_id = groups_of_one_record(tmp_path / point)
        edited: list[str] = []

        def hook(name: str, ids: Sequence[str], at: str = point, crm: CrmFile = crm, done: list[str] = edited) -> str:
            if name == at and not done:
                done.append(name)
                crm.edit(SF, record_id(SF, 0), {"owner": "a person's choice"})
            return ""

        database = place.database()
        result = apply_plan(deps(place, database, crm, hook=hook), plan_id, person=PERSON)
        assert states(result) == ["stale", "verified", "verified"]
        found = crm.get(SF, record_id(SF, 0))
        assert found is not None
        assert (found[0]["owner"], found[0]["health_system"]) == ("a person's choice", "new")
        database.close()
        crm.close()


def test_what_a_died_run_left_unwritten_is_no_error_of_the_next_one(tmp_path: Path) -> None:
    desk = Desk(Places(tmp_path, None)(), count=45)

    def die(point: str, ids: Sequence[str]) -> str:
        if point == "before_write" and desk.crm.requests()[9:]:
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        desk.apply(hook=die)
    result = desk.apply()
    assert result.halted == ""
    assert states(result).count("verified") == len(result.items)
    assert desk.status() is PlanStatus.APPLIED
    desk.close()
