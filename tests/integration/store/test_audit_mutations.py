"""Whatever one does to the rows of the audit, the chain shows it: many random mutations, each found, each undone."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import audit
from store.database import Database

ROWS, MUTATIONS = 40, 1_000
COLUMNS = ("at", "kind", "actor", "run_id", "plan_id", "item_id", "body", "previous_hash", "hash")


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.db'}")
    database.migrate()
    with database.state() as conn:
        entries = [audit.Entry(kind="applied", actor="ana", body={"n": n}) for n in range(ROWS)]
        audit.append(conn, entries, at=database.now())
    yield database
    database.close()


def _mutate(raw: sqlite3.Connection, chance: random.Random) -> str:
    seq, other = chance.sample(range(1, ROWS + 1), 2)
    kind = chance.choice(("cell", "delete", "insert", "swap", "cut", "renumber"))
    if kind == "cell":
        column = chance.choice(COLUMNS)
        raw.execute(f"UPDATE audit SET {column} = {column} || ? WHERE seq = ?", (chance.choice("x0 "), seq))  # noqa: S608  # our own column names
    elif kind == "delete":
        raw.execute("DELETE FROM audit WHERE seq = ?", (seq,))
    elif kind == "insert":
        names = ", ".join(COLUMNS)
        statement = f"INSERT INTO audit (seq, {names}) SELECT ?, {names} FROM audit WHERE seq = ?"  # noqa: S608  # ours
        raw.execute(statement, (ROWS + 1, seq))
    elif kind == "swap":
        for old, new in ((seq, 0), (other, seq), (0, other)):
            raw.execute("UPDATE audit SET seq = ? WHERE seq = ?", (new, old))
    elif kind == "cut":
        raw.execute("DELETE FROM audit WHERE seq >= ?", (seq,))
    else:
        raw.execute("UPDATE audit SET seq = seq + 1000 WHERE seq = ?", (seq,))
    return f"{kind} {seq}"


def test_every_random_mutation_is_found(chain: Database) -> None:
    chance = random.Random(11)
    with closing(sqlite3.connect(chain.file, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous=OFF").close()
        kept = raw.execute("SELECT * FROM audit ORDER BY seq").fetchall()
        marks = ", ".join("?" for _ in kept[0])
        for number in range(MUTATIONS):
            done = _mutate(raw, chance)
            assert not audit.verify(chain).is_intact, f"mutation {number}: {done}"
            raw.execute("BEGIN")
            raw.execute("DELETE FROM audit")
            raw.executemany(f"INSERT INTO audit VALUES ({marks})", kept)  # noqa: S608  # our own column names
            raw.execute("COMMIT")
    assert audit.verify(chain).is_intact
