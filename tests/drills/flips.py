"""A stored plan with one byte changed: in each of its files, and in each column of its row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from jobs.apply import apply_plan
from jobs.applying.model import ApplyDeps, PlanRefused
from store import tables
from store.database import Database
from tests.drills.world import PERSON, Place, deps, make

FREE = ("id", "status")
"""Columns that are no part of what was approved: the name it is asked for by, and what became of it."""


def flip_all(place: Place, *, stride: int = 1, seed: int = 0) -> Counter[str]:
    """Flip one bit of every `stride`-th byte and apply, each time anew; how often that was refused, how often not."""
    plan_id = make(place, records={"salesforce": 2, "hubspot": 1})
    database, crm = place.database(), place.crm()
    given = deps(place, database, crm)
    found: Counter[str] = Counter()
    dice = random.Random(seed)
    for path in sorted((place.folder / "snapshots").rglob("*.parquet")):
        whole = path.read_bytes()
        path.chmod(0o600)
        for at in range(dice.randrange(stride), len(whole), stride):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << dice.randrange(8))]) + whole[at + 1 :])
            found[f"files: {_outcome(given, plan_id)}"] += 1
        path.write_bytes(whole)
    for name, was, now in _flipped_cells(database, plan_id, dice, stride):
        try:
            _set(database, plan_id, name, now)
        except sa.exc.DataError:  # PostgreSQL does not even store what is not JSON
            found["row: refused"] += 1
            continue
        found[f"row: {_outcome(given, plan_id)}"] += 1
        _set(database, plan_id, name, was)
    assert crm.requests() == []
    assert apply_plan(given, plan_id, person=PERSON).is_complete  # as it was, it is applied
    assert apply_plan(given, plan_id, person=PERSON).message
    database.close()
    crm.close()
    return found


def _outcome(given: ApplyDeps, plan_id: str) -> str:
    try:
        apply_plan(given, plan_id, person=PERSON)
    except PlanRefused:
        return "refused"
    return "applied"


def _flipped_cells(
    database: Database, plan_id: str, dice: random.Random, stride: int
) -> Iterator[tuple[str, str, str]]:
    """(column, text, the text with one character changed) of the plan's row as it lies in the database."""
    columns = [one.name for one in tables.plan.columns if one.name not in FREE]
    texts = [sa.cast(sa.literal_column(name), sa.Text) for name in columns]
    with database.read() as conn:
        row = conn.execute(sa.select(*texts).select_from(tables.plan).where(tables.plan.c.id == plan_id)).one()
    for name, value in zip(columns, row, strict=True):
        if not isinstance(value, str) or not value:
            continue
        for at in range(0, len(value), stride):
            changed = chr(ord(value[at]) ^ (1 << dice.randrange(5)))
            yield name, value, value[:at] + changed + value[at + 1 :]


def _set(database: Database, plan_id: str, name: str, value: Any) -> None:
    with database.state() as conn:
        plain = sa.table("plan", sa.column("id"), sa.column(name))
        conn.execute(sa.update(plain).where(plain.c.id == plan_id).values({name: value}))
