"""The role of docs/adr/audit-in-two-places.md on PostgreSQL: it can do the work and cannot change the past."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import audit
from store.database import Database, StoreError
from store.decisions import Decisions, Person, Verdict
from tests.integration.postgres_server import Server

PAGE = Path(__file__).parents[3] / "docs/adr/audit-in-two-places.md"


@pytest.fixture
def worker(postgres: Server) -> Iterator[Database]:
    """A database as the documented role sees it, made with the page's own statements."""
    url = postgres.database()
    owner = Database(url)
    owner.migrate()
    with owner.read() as conn:
        schema = conn.scalar(sa.text("SELECT current_schema()"))
    role = f"worker_{schema}"
    statements = re.search(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert statements is not None
    text = statements[1].replace("platbook_worker", role).replace("SCHEMA public", f"SCHEMA {schema}")
    with owner.state() as conn:
        conn.exec_driver_sql(text)
    found = Database(url.replace("platbook@", f"{role}@"))
    yield found
    found.close()
    owner.close()


@pytest.mark.postgres
def test_the_worker_can_decide_and_append(worker: Database) -> None:
    Decisions(worker).decide([("f", "i")], Verdict.APPROVE, person=Person(name="ana"), reason="r")
    assert audit.verify(worker) == audit.Verification(is_intact=True, rows=1)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = '{}'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DELETE FROM audit_head",
        "ALTER TABLE audit ADD COLUMN more text",
        "DROP TABLE audit",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
def test_the_worker_cannot_change_the_past(worker: Database, statement: str) -> None:
    with pytest.raises(StoreError, match=r"permission denied|must be owner"), worker.state() as conn:
        conn.exec_driver_sql(statement)
