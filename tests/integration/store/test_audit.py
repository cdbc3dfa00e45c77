"""The audit chain: any changed, removed, inserted, moved or cut-off row shows, and is named."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError
from store.tables import audit as log

ROWS = 12


@pytest.fixture
def chain(database: Database) -> Database:
    for start in range(0, ROWS, 4):
        entries = [
            audit.Entry(kind="applied", actor="maria", plan_id="P", item_id=str(n), body={"é": n, "field": None})
            for n in range(start, start + 4)
        ]
        with database.state() as conn:
            audit.append(conn, entries, at=database.now())
    return database


def change(database: Database, *statements: Any) -> audit.Verification:
    with database.state() as conn:
        for statement in statements:
            conn.execute(statement)
    return audit.verify(database)


def test_an_untouched_chain_is_intact(chain: Database) -> None:
    assert audit.verify(chain) == audit.Verification(is_intact=True, rows=ROWS)
    with chain.read() as conn:
        assert [entry["body"]["é"] for entry in audit.entries(conn, plan_id="P")] == list(range(ROWS))


def _append_and_fail(conn: sa.Connection) -> None:
    audit.append(conn, [audit.Entry(kind="x", actor="y")], at="t")
    raise StoreError("disk", "it is full", "Free some space")


def test_an_entry_of_a_failed_transaction_leaves_no_gap(chain: Database) -> None:
    with pytest.raises(StoreError), chain.state() as conn:
        _append_and_fail(conn)
    assert audit.verify(chain).is_intact


@pytest.mark.parametrize(
    "column", ["at", "kind", "actor", "run_id", "plan_id", "item_id", "body", "previous_hash", "hash"]
)
def test_a_changed_cell_is_named(chain: Database, column: str) -> None:
    seq = random.Random(column).randrange(1, ROWS + 1)
    found = change(chain, sa.update(log).where(log.c.seq == seq).values({column: "forged"}))
    assert (found.is_intact, found.first_bad_seq) == (False, seq)


@pytest.mark.parametrize("seq", [1, 5, ROWS])
def test_a_removed_row_is_named(chain: Database, seq: int) -> None:
    assert change(chain, sa.delete(log).where(log.c.seq == seq)).first_bad_seq == seq


def test_a_cut_tail_shows_against_the_head(chain: Database) -> None:
    assert change(chain, sa.delete(log).where(log.c.seq > 7)).first_bad_seq == 8


def test_an_inserted_row_is_named(chain: Database) -> None:
    with chain.read() as conn:
        row = dict(conn.execute(sa.select(log).where(log.c.seq == ROWS)).mappings().one())
    assert change(chain, sa.insert(log).values(**{**row, "seq": ROWS + 1})).first_bad_seq == ROWS + 1


def test_swapped_rows_are_named(chain: Database) -> None:
    swap = [sa.update(log).where(log.c.seq == old).values(seq=new) for old, new in ((3, 99), (4, 3), (99, 4))]
    assert change(chain, *swap).first_bad_seq == 3
