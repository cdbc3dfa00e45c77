"""Backups: proven before they have a name, whole or nothing, and a restored state that knows it is an old one."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from store import audit, backup, dump, generation
from store.database import Database, StoreError
from store.decisions import Person
from store.files import ParquetFiles
from store.leases import Leases
from store.snapshots import Snapshots

ME = Person(name="ana", is_verified=True, role="admin")
needs_pg_dump = pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    return ParquetFiles(tmp_path / "snapshots")


def write_down(database: Database, *words: str) -> None:
    with database.state() as conn:
        audit.append(conn, [audit.Entry(kind=word, actor="ana") for word in words], at=database.now())


def kinds(database: Database) -> list[str]:
    with database.read() as conn:
        return [entry["kind"] for entry in audit.entries(conn)]


@pytest.fixture
def saved(database: Database, files: ParquetFiles, tmp_path: Path) -> Path:
    """A backup of a state with one snapshot and two audit rows."""
    Snapshots(database, files).save("hubspot", "account", pa.table({"record_id": ["1"]}))
    write_down(database, "first", "second")
    backup.write(database, files, tmp_path / "one.backup")
    return tmp_path / "one.backup"


@needs_pg_dump
def test_a_backup_brings_the_state_of_its_moment_back(
    database: Database, files: ParquetFiles, saved: Path, tmp_path: Path
) -> None:
    before = generation.current(database)
    write_down(database, "third")
    shutil.rmtree(tmp_path / "snapshots")
    backup.restore(database, files, saved, by=ME, replace=True)
    assert kinds(database) == ["first", "second", "state_restored"]
    assert backup.check(database, files) == ()
    assert generation.current(database) != before
    assert generation.restored_from(database) == "one.backup"


@needs_pg_dump
def test_no_epoch_of_the_lost_life_comes_again(database: Database, files: ParquetFiles, saved: Path) -> None:
    leases = Leases(database, ttl_s=60)
    leases.release(leases.acquire("salesforce", op="apply", who="ana"))
    backup.write(database, files, saved.with_name("two.backup"))
    lost = leases.acquire("salesforce", op="apply", who="ana")
    leases.release(lost)
    backup.restore(database, files, saved.with_name("two.backup"), by=ME, replace=True)
    assert leases.acquire("salesforce", op="apply", who="ana").epoch > lost.epoch


def test_a_state_that_is_there_is_not_replaced_by_accident(
    database: Database, files: ParquetFiles, saved: Path
) -> None:
    with pytest.raises(StoreError, match="--replace"):
        backup.restore(database, files, saved, by=ME)
    Leases(database, ttl_s=60).acquire("salesforce", op="apply", who="ana")
    with pytest.raises(StoreError, match="somebody works with it"):
        backup.restore(database, files, saved, by=ME, replace=True)


def test_a_backup_is_never_written_over(database: Database, files: ParquetFiles, saved: Path) -> None:
    with pytest.raises(StoreError, match="exists already"):
        backup.write(database, files, saved)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_a_spoiled_byte_is_found(saved: Path, share: float) -> None:
    raw = bytearray(saved.read_bytes())
    with tarfile.open(saved) as archive:
        spans = [(one.offset_data, one.size) for one in archive.getmembers() if one.name != "manifest.json"]
    places = [start + n for start, size in spans for n in range(0, size, max(size // 97, 1))]
    raw[places[int(share * len(places))]] ^= 0x5A
    saved.write_bytes(raw)
    with pytest.raises(StoreError, match="Take another backup"):
        backup.prove(saved)


def test_a_cut_backup_is_found(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])  # the last 10 KB may be padding
    with pytest.raises(StoreError):
        backup.prove(saved)


def test_the_manifest_says_what_the_backup_holds(database: Database, files: ParquetFiles, saved: Path) -> None:
    with tarfile.open(saved) as archive:
        inner = archive.extractfile("manifest.json")
        assert inner is not None
        told = json.load(inner)
    assert (told["audit_rows"], len(told["files"])) == (2, 1)
    assert told["generation"] == generation.current(database)


def test_a_missing_snapshot_file_is_named(database: Database, files: ParquetFiles, saved: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "snapshots")
    assert ["it is missing" in fault for fault in backup.check(database, files)] == [True]
    with pytest.raises(StoreError, match="--no-snapshots"):
        backup.write(database, files, tmp_path / "two.backup")
    backup.write(database, files, tmp_path / "two.backup", with_files=False)
    assert backup.prove(tmp_path / "two.backup").files.keys() == backup.prove(saved).files.keys()


def test_a_dump_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("not a dump")
    with pytest.raises(StoreError, match=r"pg_restore|pg_dump"):
        dump.check(tmp_path / "dump")


KILLED = """
import sys
from pathlib import Path
from typing import Any
from store import backup
from store.database import Database
from store.files import ParquetFiles
print("ready", flush=True)
backup.write(Database(sys.argv[1]), ParquetFiles(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_kill_in_the_middle_never_leaves_the_name(tmp_path: Path, files: ParquetFiles) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.db'}")
    database.migrate()
    for number in range(30):
        Snapshots(database, files).save("hubspot", "account", pa.table({"record_id": [str(n) for n in range(number)]}))
    target = tmp_path / "killed.backup"
    words = [
        sys.executable,
        "-c",
        KILLED,
        f"sqlite:///{tmp_path / 'state.db'}",
        str(tmp_path / "snapshots"),
        str(target),
    ]
    for pause_s in (0.0, 0.01, 0.03, 0.08):
        with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(pause_s)
            process.send_signal(signal.SIGKILL)
        if target.exists():
            backup.prove(target)
            target.unlink()
    backup.write(database, files, target)
    database.close()


@needs_pg_dump
def test_a_database_is_proven_by_restoring_it_and_where_that_cannot_be_it_is_said(
    database: Database, saved: Path
) -> None:
    assert backup.prove(saved, server=database).unproven == ""
    if database.is_sqlite:
        assert backup.prove(saved).unproven == ""
        return
    with database.read() as conn:
        left = conn.scalars(sa.text("SELECT datname FROM pg_database WHERE datname LIKE 'platbook_prove_%'")).all()
    assert left == []
    assert "names no PostgreSQL server" in backup.prove(saved).unproven
    with database.state() as conn:
        conn.execute(sa.text("DROP ROLE IF EXISTS plain"))
        conn.execute(sa.text("CREATE ROLE plain LOGIN"))
    humble = Database(database.url.set(username="plain").render_as_string(hide_password=False))
    try:
        assert "a temporary database cannot be made (permission denied" in backup.prove(saved, server=humble).unproven
    finally:
        humble.close()


@pytest.mark.parametrize(
    ("part", "name"), [("counts", 'audit"; DROP TABLE audit; --'), ("files", "../../home/somebody/.bashrc")]
)
def test_a_manifest_cannot_name_what_becomes_a_statement_or_a_path(
    saved: Path, tmp_path: Path, part: str, name: str
) -> None:
    other = _with_manifest(saved, tmp_path / "other.backup", lambda told: told[part].update({name: 1}))
    with pytest.raises(StoreError, match="names what no backup has"):
        backup.prove(other)


@needs_pg_dump
def test_a_database_with_other_rows_than_were_counted_is_found(database: Database, saved: Path, tmp_path: Path) -> None:
    def one_more(told: dict[str, Any]) -> None:
        told["counts"]["audit"] += 1

    other = _with_manifest(saved, tmp_path / "other.backup", one_more)
    with pytest.raises(StoreError, match="do not have the rows that were counted"):
        backup.prove(other, server=database)


def _with_manifest(saved: Path, place: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a backup with another manifest."""
    with tarfile.open(saved) as archive:
        members = {one.name: archive.extractfile(one).read() for one in archive.getmembers()}  # type: ignore[union-attr]  # all are files
    told = json.loads(members["manifest.json"])
    change(told)
    members["manifest.json"] = json.dumps(told).encode()
    with tarfile.open(place, "w") as archive:
        for name, raw in members.items():
            one = tarfile.TarInfo(name)
            one.size = len(raw)
            archive.addfile(one, io.BytesIO(raw))
    return place
