"""Transactions, schema, and what a person is told when the database cannot be used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from store.database import Database, StoreError, insert_missing
from store.decisions import Decisions
from store.identifiers import new_id, next_number
from store.tables import guard_acceptance, metadata, slot

SLOT = {"job": "pull", "slot": "s", "status": "claimed", "claimed_by": "a", "claimed_at": "t", "message": ""}


def test_the_migrations_make_exactly_the_tables_of_this_version(database: Database) -> None:
    with database.state() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_words_on_limits_given_before_several_persons_could_speak_still_count(database: Database) -> None:
    """The schema of before the second person, with one accepted first contact, brought to this version."""
    column = guard_acceptance.c
    with database.state() as conn:
        operations = Operations(MigrationContext.configure(conn))
        with operations.batch_alter_table("guard_acceptance") as table:
            table.drop_constraint("pk_guard_acceptance", type_="primary")
            table.create_primary_key("pk_guard_acceptance", ["plan_digest", "guard", "subject"])
            table.drop_column("let_through")
        for later in ("author_kind", "rules_digest", "rule_files"):
            operations.drop_column("plan", later)
        row = {"plan_digest": "d", "guard": "first_contact", "subject": "hubspot:owner", "reason": "r", "at": "t"}
        conn.execute(sa.insert(guard_acceptance).values(**row, by="maria", by_verified=False))
        conn.execute(sa.text("UPDATE alembic_version SET version_num = 'r0006'"))
    database.migrate()
    assert Decisions(database).accepted_first_contacts() == {"first_contact:hubspot:owner"}
    with database.state() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
        conn.execute(sa.insert(guard_acceptance).values(**row, by="bea", by_verified=True))
        assert conn.scalar(sa.select(sa.func.count()).where(column.subject == "hubspot:owner")) == 2


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()
    database.check()


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.state() as conn:
        conn.execute(sa.insert(slot), [SLOT, SLOT])
    with database.read() as conn:
        assert conn.execute(sa.select(slot)).all() == []


def test_a_row_that_is_there_is_not_inserted_again(database: Database) -> None:
    with database.state() as conn:
        assert insert_missing(conn, slot, [SLOT, SLOT]) == 1
        assert insert_missing(conn, slot, [SLOT]) == 0


def test_numbers_are_never_given_twice_to_writers_at_the_same_time(connect: Callable[[], Database]) -> None:
    taken: list[int] = []

    def take(database: Database) -> None:
        for _ in range(15):
            with database.state() as conn:
                taken.append(next_number(conn, "agreed", count=2))

    writers = [threading.Thread(target=take, args=(connect(),)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(taken) == list(range(1, 91, 2))


def test_an_unmigrated_database_is_refused_with_the_way_out(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(StoreError, match="platbook init"):
        database.check()
    database.close()


def test_a_database_of_another_schema_is_refused(database: Database) -> None:
    with database.state() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(StoreError, match=r"r9999.*newer Platbook"), database.state():
        pass


def test_a_database_of_a_newer_version_is_refused_before_anything_is_migrated(database: Database) -> None:
    with database.state() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(StoreError, match=r"r9999.*newer Platbook"):
        database.migrate()


def test_a_password_in_the_query_of_an_address_is_not_shown() -> None:
    database = Database("postgresql://host/name?user=u&password=c4n4ry&sslmode=require")
    assert "c4n4ry" not in database.subject
    assert (database.url.password, dict(database.url.query)) == ("c4n4ry", {"user": "u", "sslmode": "require"})
    with pytest.raises(StoreError, match="sslpassword") as refused:
        Database("postgresql://host/name?sslpassword=c4n4ry")
    assert "c4n4ry" not in str(refused.value)


def test_a_locked_database_is_one_clear_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    one, two = Database(url), Database(url, busy_timeout_s=0.05)
    one.migrate()
    with one.state(), pytest.raises(StoreError, match="another process has held"), two.state():
        pass
    one.close()
    two.close()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = Database(f"sqlite:///{tmp_path}/file/state.db")
    with pytest.raises(StoreError, match="PLATBOOK_DATABASE_URL"):
        database.migrate()
    database.close()


def test_a_read_only_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.state() as conn:
        conn.execute(sa.text("PRAGMA query_only=ON"))
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            conn.execute(sa.insert(slot).values(**SLOT))
    with pytest.raises(StoreError, match="read-only"), database.state() as conn:
        conn.execute(sa.insert(slot).values(**SLOT))
    database.close()


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"account,owner\n" * 200)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="not a SQLite database"):
        database.check()
    database.close()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "not a url", "oracle+what://"])
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="database URL"):
        Database(url)


def test_a_password_is_never_part_of_a_message() -> None:
    database = Database("postgresql://platbook:swordfish@127.0.0.1:9/none")
    with pytest.raises(StoreError) as caught:
        database.check()
    assert "swordfish" not in str(caught.value)
    database.close()


def test_ids_are_sorted_by_time_and_differ() -> None:
    ids = [new_id("R") for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert [i[:11] for i in ids] == sorted(i[:11] for i in ids)
