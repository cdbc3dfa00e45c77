"""Fixtures of tests that run on real databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.database import Database
from tests.integration.postgres_server import MISSING, Server, binaries, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    folder = binaries()
    if folder is None:
        pytest.skip(MISSING)
    with running(folder) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a new, empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def connect(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database again and again, as separate processes would."""
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(Database(database_url))
        return opened[-1]

    open_again().migrate()
    yield open_again
    for database in opened:
        database.close()


@pytest.fixture
def database(connect: Callable[[], Database]) -> Database:
    """A migrated database."""
    return connect()
