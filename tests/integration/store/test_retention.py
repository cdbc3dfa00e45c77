"""Old snapshots go once nothing needs them; what a plan or the next comparison needs stays."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from store.backup import check
from store.database import Database
from store.decisions import Person
from store.files import ParquetFiles
from store.plans import PlanHeader, Plans
from store.retention import OF_PLAN, retire
from store.snapshots import Snapshots, Status

ME = Person(name="ana", is_verified=True, role="admin")
EMPTY = pa.table({"item_id": pa.array([], pa.string())})


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    return ParquetFiles(tmp_path / "snapshots")


def take(database: Database, files: ParquetFiles, day: int, source: str = "hubspot", **more: Status) -> str:
    database.now = lambda: f"2026-01-{day:02}T00:00:00.000Z"
    return Snapshots(database, files).save(source, "account", pa.table({"n": [f"{source}{day}"]}), **more).id


def plan(database: Database, files: ParquetFiles, day: int, *snapshots: str) -> str:
    database.now = lambda: f"2026-01-{day:02}T00:00:00.000Z"
    header = PlanHeader(
        digest=f"d{day}",
        ruleset_digest="r",
        as_of=f"2026-01-{day:02}",
        author="ana",
        tool_version="1",
        org_ids={},
        snapshot_ids=snapshots,
        feed_hashes={},
        schema_hashes={},
        counts={},
        guards=(),
    )
    return Plans(database, files).save(header, items=EMPTY, changes=EMPTY, events=EMPTY, ttl_hours=24).id


def left(database: Database, files: ParquetFiles) -> set[str]:
    return {one.id for one in Snapshots(database, files).list()}


def test_the_newest_two_the_held_and_the_young_stay(database: Database, files: ParquetFiles) -> None:
    ids = [take(database, files, day) for day in range(1, 6)]
    held = take(database, files, 1, status=Status.HELD)
    assert retire(database, before="2026-01-04T00:00:00.000Z", by=ME) == 3
    assert left(database, files) == {ids[3], ids[4], held}
    assert retire(database, before="2026-02-01T00:00:00.000Z", by=ME) == 0


def test_what_the_newest_plan_was_made_of_stays(database: Database, files: ParquetFiles) -> None:
    first, second, *newer = (take(database, files, day) for day in range(1, 6))
    old = plan(database, files, 1, first)
    found_old = take(database, files, 1, f"{OF_PLAN}{old}")
    new = plan(database, files, 2, second)
    found_new = take(database, files, 2, f"{OF_PLAN}{new}")
    retire(database, before="2026-01-31T00:00:00.000Z", by=ME)
    assert left(database, files) == {second, newer[1], newer[2], found_new}
    assert found_old not in left(database, files)


def test_after_a_sweep_every_file_that_is_pointed_at_is_there(database: Database, files: ParquetFiles) -> None:
    for day in range(1, 6):
        take(database, files, day)
    retire(database, before="2026-01-31T00:00:00.000Z", by=ME)
    assert Snapshots(database, files).sweep(older_than_s=0) == 3
    assert check(database, files) == ()
