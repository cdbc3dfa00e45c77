"""Snapshots, crosswalk, agreed values, plans, decisions, runs, mails: what the store remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from mappings.canonical import MANAGED
from store import audit, journal, outbox, runs, tables
from store.agreed import Agreed
from store.connections import Connections
from store.crosswalk import Crosswalk
from store.database import Database, StoreError
from store.decisions import Acceptance, Decisions, Person, Verdict, add_overrides, spend
from store.files import ParquetFiles
from store.journal import JournalRow, JournalState, idempotency_key
from store.leases import LeaseLost, Leases
from store.outbox import MailStatus, Outbox
from store.plans import PlanHeader, Plans, PlanStatus, PlanTampered, StoredPlan, transition
from store.runs import Runs, RunStatus
from store.snapshots import Snapshots, Status
from store.voices import acceptances
from sync.planning.decisions import AgreedMove, Refusal

PERSON = Person(name="maria")
ROWS = pa.table({"record_id": ["1", "2"], "owner": ["ken", None]})
HEADER = PlanHeader(
    digest="d", ruleset_digest="r", as_of="2026-01-01", author="maria", tool_version="0", org_ids={"salesforce": "o"}
)


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    return ParquetFiles(f"file://{tmp_path}/snap%20shots")


@pytest.fixture
def snapshots(database: Database, files: ParquetFiles) -> Snapshots:
    return Snapshots(database, files)


@pytest.fixture
def plan(database: Database, files: ParquetFiles) -> StoredPlan:
    return Plans(database, files).save(HEADER, items=ROWS, changes=ROWS, events=ROWS)


# --- snapshots


def test_the_newest_accepted_snapshot_is_current_and_knows_the_one_before(snapshots: Snapshots) -> None:
    first = snapshots.save("salesforce", "account", ROWS, cursor="c1")
    second = snapshots.save("salesforce", "account", ROWS.slice(1), cursor="c2", meta={"mode": "delta"})
    snapshots.save("salesforce", "account", ROWS, status=Status.HELD, verdict={"rows": "fewer"})
    assert snapshots.current("salesforce", "account") == second
    assert snapshots.previous("salesforce", "account") == first
    assert snapshots.current("salesforce", "user") is None
    assert snapshots.read(second).equals(ROWS.slice(1))


def test_a_held_delivery_becomes_current_when_it_is_accepted(snapshots: Snapshots) -> None:
    held = snapshots.save("definitive", "firm", ROWS, status=Status.HELD)
    snapshots.save("definitive", "firm", ROWS.slice(1))
    accepted = snapshots.judge(held.id, Status.ACCEPTED, verdict={"by": "maria"})
    assert snapshots.current("definitive", "firm") == accepted
    with pytest.raises(StoreError, match="not waiting"):
        snapshots.judge(held.id, Status.REJECTED, verdict={})


def test_a_snapshot_under_a_lost_lease_is_not_registered(database: Database, snapshots: Snapshots) -> None:
    old = Leases(database, ttl_s=-1).acquire("salesforce", op="pull")
    Leases(database).acquire("salesforce", op="pull")
    with pytest.raises(LeaseLost):
        snapshots.save("salesforce", "account", ROWS, lease=old)
    assert snapshots.current("salesforce", "account") is None


def test_changed_bytes_of_a_snapshot_are_noticed(snapshots: Snapshots, tmp_path: Path) -> None:
    saved = snapshots.save("salesforce", "account", ROWS)
    (path,) = tmp_path.glob("snap shots/*/*.parquet")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StoreError, match="not those that were written"):
        snapshots.read(saved)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        snapshots.read(saved)


def test_sweeping_removes_only_old_files_that_nothing_points_to(
    snapshots: Snapshots, files: ParquetFiles, plan: StoredPlan, database: Database
) -> None:
    kept = snapshots.save("salesforce", "account", ROWS)
    orphan = files.write(ROWS.slice(1))
    assert snapshots.sweep() == 0
    assert snapshots.sweep(older_than_s=-1) == 1
    assert snapshots.read(kept).equals(ROWS)
    Plans(database, files).load(plan.id)
    with pytest.raises(StoreError):
        files.read(orphan)


def test_a_snapshot_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="PLATBOOK_SNAPSHOT_URL"):
        ParquetFiles(tmp_path / "file" / "x").write(ROWS)
    with pytest.raises(StoreError, match="s3:// is not supported"):
        ParquetFiles("s3://bucket")


# --- crosswalk and connections


def links(*rows: tuple[str, str, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(("source", "source_id", "account_id", "how"), row, strict=True)) for row in rows]
    )


def test_a_link_is_kept_and_only_a_new_decision_moves_it(database: Database) -> None:
    crosswalk = Crosswalk(database)
    assert crosswalk.table().num_rows == 0
    assert crosswalk.save(links(("salesforce", "1", "a", "ccn"), ("definitive", "9", "a", "ccn"))) == 2
    assert crosswalk.save(links(("salesforce", "1", "a", "npi"))) == 0
    assert crosswalk.save(links(("salesforce", "1", "b", "crosswalk"))) == 0
    assert crosswalk.save(links(("salesforce", "1", "b", "npi"))) == 1
    assert crosswalk.table().to_pylist()[1]["account_id"] == "b"


def test_a_connection_stays_with_its_organisation(database: Database) -> None:
    connections = Connections(database)
    connections.pin("salesforce", kind="salesforce", org_id="production")
    connections.pin("salesforce", kind="salesforce", org_id="production")
    with pytest.raises(StoreError, match=r"sandbox, this database belongs to production"):
        connections.pin("salesforce", kind="salesforce", org_id="sandbox")
    assert connections.org_ids() == {"salesforce": "production"}


# --- agreed values


def written(plan: StoredPlan, item: str, want: dict[str, str | None]) -> JournalRow:
    return JournalRow(
        id=idempotency_key(plan.id, item),
        plan_id=plan.id,
        item_id=item,
        run_id="R",
        connection="salesforce",
        record_id=item,
        lane="conditional",
        pre_image=dict.fromkeys(want),
        want=want,
        version="1",
        epoch=1,
    )


def verify(database: Database, row: JournalRow) -> None:
    with database.state() as conn:
        (intent,) = journal.write_intents(conn, [row], at="t")
    with database.state() as conn:
        values = {"state": JournalState.VERIFIED, "verified_value": row.want}
        journal.settle(conn, [JournalRow(**{**{n: getattr(intent, n) for n in intent.__slots__}, **values})], at="t")


def move(agreed: Agreed, database: Database, *moves: tuple[str, str, str | None, str]) -> None:
    staged = agreed.stage(
        [AgreedMove(connection="salesforce", record_id=r, field=f, value=v, kind=k) for r, f, v, k in moves]
    )
    with database.state() as conn:
        agreed.commit(conn, staged, run_id="R", plan_id="P")


def test_agreed_values_are_moves_and_verified_writes_in_their_order(
    database: Database, files: ParquetFiles, plan: StoredPlan
) -> None:
    agreed = Agreed(database, files)
    assert agreed.table().num_rows == 0
    move(
        agreed, database, ("1", "owner", "ken", "value"), ("2", "owner", "ken", "value"), ("2", "parent", None, "empty")
    )
    verify(database, written(plan, "1", {"owner": "dana", "territory": None}))
    move(agreed, database, ("2", "owner", None, "released"))
    before = agreed.table()
    first, second = before.to_pylist()
    assert (first["owner"], first["owner__kind"], first["territory__kind"]) == ("dana", "value", "empty")
    assert (second["owner"], second["owner__kind"], second["parent__kind"]) == (None, "released", "empty")
    assert before.column_names == ["connection", "record_id", *[f"{n}{s}" for n in MANAGED for s in ("", "__kind")]]

    assert agreed.compact() == 2
    assert agreed.table().equals(before)
    verify(database, written(plan, "3", {"owner": "lee"}))
    assert agreed.table().num_rows == 3
    assert agreed.compact() == 3


def test_a_row_in_doubt_moves_nothing(database: Database, files: ParquetFiles, plan: StoredPlan) -> None:
    with database.state() as conn:
        journal.write_intents(conn, [written(plan, "1", {"owner": "dana"})], at="t")
    assert Agreed(database, files).table().num_rows == 0
    with database.read() as conn:
        assert [row.item_id for row in journal.in_doubt(conn, "salesforce")] == ["1"]


def test_a_verified_row_is_never_sent_or_settled_again(database: Database, plan: StoredPlan) -> None:
    row = written(plan, "1", {"owner": "dana"})
    verify(database, row)
    with pytest.raises(ValueError, match="verified"), database.state() as conn:
        journal.write_intents(conn, [row], at="t")
    with pytest.raises(ValueError, match="settled before"), database.state() as conn:
        journal.settle(conn, [row], at="t")


# --- plans


def test_a_plan_comes_back_as_it_was_saved(database: Database, files: ParquetFiles, plan: StoredPlan) -> None:
    loaded = Plans(database, files).load(plan.id)
    assert (loaded.header, loaded.status) == (HEADER, PlanStatus.READY)
    assert loaded.items.equals(ROWS)
    assert loaded.expires_at > loaded.created_at


def test_a_new_plan_supersedes_the_open_one_before(database: Database, files: ParquetFiles, plan: StoredPlan) -> None:
    plans = Plans(database, files)
    newer = plans.save(HEADER, items=ROWS, changes=ROWS, events=ROWS)
    assert plans.load(plan.id).status is PlanStatus.SUPERSEDED
    assert plans.newest() == plans.resolve("latest") == newer.id
    assert plans.resolve(newer.id[:-1]) in (newer.id, plan.id)
    with pytest.raises(StoreError, match="2 plans begin so"):
        plans.resolve("P-")


def test_a_status_moves_only_from_where_it_should_be(database: Database, files: ParquetFiles, plan: StoredPlan) -> None:
    with database.state() as conn:
        transition(conn, plan.id, [PlanStatus.READY], PlanStatus.APPLYING)
    with pytest.raises(StoreError, match="it is applying, expected ready"), database.state() as conn:
        transition(conn, plan.id, [PlanStatus.READY], PlanStatus.APPLYING)


@pytest.mark.parametrize(("noted", "later"), [(None, "daemon"), ("user", "daemon"), ("user", None)])
def test_who_made_a_plan_is_sealed_and_a_plan_of_before_still_loads(
    database: Database, files: ParquetFiles, noted: str | None, later: str | None
) -> None:
    plans = Plans(database, files)
    header = replace(HEADER, author_kind=noted)
    saved = plans.save(header, items=ROWS, changes=ROWS, events=ROWS)
    assert plans.load(saved.id).header.author_kind == noted
    with database.state() as conn:
        conn.execute(sa.update(tables.plan).values(author_kind=later))
    with pytest.raises(PlanTampered):
        plans.load(saved.id)


def test_a_changed_header_is_noticed(database: Database, files: ParquetFiles, plan: StoredPlan) -> None:
    with database.state() as conn:
        conn.execute(sa.update(tables.plan).values(counts={"items": 1}))
    with pytest.raises(PlanTampered):
        Plans(database, files).load(plan.id)


# --- decisions


def test_the_newest_decision_on_a_fingerprint_counts_and_all_stay(database: Database) -> None:
    decisions = Decisions(database)
    (first,) = decisions.decide([("f", "i")], Verdict.APPROVE, person=PERSON, reason="ok")
    (second,) = decisions.decide([("f", "i")], Verdict.REJECT, person=PERSON, reason="no")
    assert decisions.current() == decisions.current(["f", "other"]) == {"f": second}
    assert second.supersedes == first.id
    assert decisions.history("f") == (first, second)


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.TAKE_OURS, Verdict.EDIT, Verdict.KEEP_CRM])
def test_a_decision_that_was_carried_out_does_not_count_again(database: Database, verdict: Verdict) -> None:
    register = Decisions(database)
    (first,) = register.decide([("f", "i")], verdict, person=PERSON, reason="once", plan_id="P-1")
    with database.state() as conn:
        assert spend(conn, [("f", "i"), ("unknown", "j")], plan_id="P-1", run_id="R-1", at=database.now()) == 1
        assert spend(conn, [("f", "i")], plan_id="P-1", run_id="R-1", at=database.now()) == 0
    assert register.current(["f"]) == {}
    assert register.of_plan("P-1", ["f"]) == {"f": first}
    assert register.of_plan("P-2", ["f"]) == {}
    (again,) = register.decide([("f", "i")], verdict, person=PERSON, reason="twice")
    assert register.current(["f"]) == {"f": again}
    assert [one.verdict for one in register.history("f")] == [verdict, Verdict.SPENT, verdict]
    assert audit.verify(database).is_intact


def test_a_rejection_is_never_spent(database: Database) -> None:
    register = Decisions(database)
    register.decide([("f", "i")], Verdict.REJECT, person=PERSON, reason="no")
    with database.state() as conn:
        assert spend(conn, [("f", "i")], plan_id="P-1", run_id="R-1", at=database.now()) == 0
    assert register.current(["f"])["f"].verdict is Verdict.REJECT


def test_an_expired_decision_no_longer_counts(database: Database) -> None:
    decisions = Decisions(database)
    decisions.decide([("f", "i")], Verdict.APPROVE, person=PERSON, reason="", expires_at="2020-01-01T00:00:00.000Z")
    assert decisions.current() == {}


def test_the_newest_override_of_a_field_counts(database: Database) -> None:
    for kept in ("ken", None):
        one = Refusal(
            connection="salesforce", record_id="1", field="owner", kept=kept, refused="dana", reason="r", by="maria"
        )
        with database.state() as conn:
            add_overrides(conn, [one], run_id="R", at="t")
    (row,) = Decisions(database).overrides().to_pylist()
    assert (row["kept"], row["refused"]) == (None, "dana")


def test_a_hold_is_active_until_its_day_or_its_release(database: Database) -> None:
    decisions = Decisions(database)
    decisions.hold(
        [("salesforce", "1"), ("salesforce", "2")], group="ownership", kind="lock", reason="r", person=PERSON
    )
    decisions.hold([("hubspot", "1")], group="system", kind="lock", reason="r", person=PERSON, until="2026-02-01")
    assert decisions.holds("2026-02-01").num_rows == 3
    assert decisions.holds("2026-02-02").num_rows == 2
    assert decisions.release([("salesforce", "1")], group="ownership", person=PERSON) == 1
    assert [row["record_id"] for row in decisions.holds("2026-02-02").to_pylist()] == ["2"]


def test_a_guard_is_accepted_for_one_digest_and_first_contact_for_good(database: Database) -> None:
    decisions = Decisions(database)
    accepted = [Acceptance(guard="first_contact", subject="salesforce:owner", reason="r", by=PERSON)]
    decisions.accept_guards("digest", accepted)
    decisions.accept_guards("digest", accepted)
    assert [one.subject for one in acceptances(database, "digest")] == ["salesforce:owner"]
    assert acceptances(database, "other") == ()
    assert decisions.accepted_first_contacts() == {"first_contact:salesforce:owner"}


def test_a_first_contact_counts_for_good_once_enough_persons_let_it_through(database: Database) -> None:
    decisions = Decisions(database)
    for name, enough in (("maria", set()), ("bea", {"first_contact:salesforce:owner"})):
        word = Acceptance(
            guard="first_contact", subject="salesforce:owner", reason="r", by=Person(name=name, is_verified=True)
        )
        decisions.accept_guards("digest", [word], suffices=lambda persons: len(persons) > 1)
        assert decisions.accepted_first_contacts() == enough
    unverified = Acceptance(guard="clears", subject="hubspot", reason="r", by=Person(name="maria"))
    verified = Acceptance(guard="clears", subject="hubspot", reason="r", by=Person(name="maria", is_verified=True))
    decisions.accept_guards("digest", [unverified, verified])
    said = [one.by.is_verified for one in acceptances(database, "digest") if one.guard == "clears"]
    assert sorted(said) == [False, True]  # the same name, not the same person


# --- runs, mails, slots


def test_a_run_that_died_is_marked_by_the_next_one(database: Database) -> None:
    register = Runs(database)
    died, next_one = (register.start("apply", by="maria", plan_id="P") for _ in range(2))
    with database.state() as conn:
        runs.interrupt_others(conn, "P", next_one.id, at="t")
    register.finish(next_one.id, RunStatus.DONE, counts={"verified": 1})
    register.finish(next_one.id, RunStatus.FAILED)
    assert register.get(died.id).status is RunStatus.INTERRUPTED
    assert register.get(next_one.id).counts == {"verified": 1}
    assert [run.id for run in register.list(kind="apply")] == sorted([died.id, next_one.id], reverse=True)


def promise(database: Database, plan_id: str = "P", part: int = 1) -> int:
    with database.state() as conn:
        return outbox.promise(
            conn, "digest", ["a@x", "b@x", "a@x"], plan_id=plan_id, part=part, run_id="R", payload={}, at=database.now()
        )


def test_a_mail_is_promised_once_and_keeps_its_message_id(database: Database) -> None:
    box = Outbox(database)
    assert (promise(database), promise(database), promise(database, part=2)) == (2, 0, 2)
    mail = box.claim(by="one")
    assert mail is not None
    box.failed(mail, "451 try later")
    again = [box.claim(by="one") for _ in range(4)]
    assert mail.message_id in {one.message_id for one in again if one}
    assert box.claim(by="one") is None


def test_a_mail_whose_sender_died_comes_again_and_a_late_word_does_not_count(database: Database) -> None:
    promise(database)
    box = Outbox(database)
    first = box.claim(by="one")
    box.claim(by="one")
    second = box.claim(by="two", stuck_after_s=-1)
    assert first is not None
    assert second is not None
    assert second.id == first.id
    box.failed(first, "late")
    box.sent(second)
    assert {mail.status for mail in box.list() if mail.id == first.id} == {MailStatus.SENT}


def test_a_mail_that_never_goes_is_given_up(database: Database) -> None:
    promise(database)
    box = Outbox(database)
    mail = box.claim(by="one")
    assert mail is not None
    box.failed(mail, "550 unknown user", is_final=True)
    assert [one.last_error for one in box.list(status=MailStatus.FAILED)] == ["550 unknown user"]
