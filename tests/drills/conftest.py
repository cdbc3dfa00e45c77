"""A place for every drill: an empty state database of each kind, a folder, a CRM file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from store.database import Database
from tests.drills.world import Place
from tests.integration.postgres_server import MISSING, Server, binaries, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    folder = binaries()
    if folder is None:
        pytest.skip(MISSING)
    with running(folder) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_place(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> Places:
    server: Server | None = request.getfixturevalue("postgres") if database_kind == "postgresql" else None
    return Places(tmp_path, server)


class Places:
    """Makes places that share nothing. With `is_passing` each new one takes the place of the one before."""

    def __init__(self, folder: Path, server: Server | None, *, is_passing: bool = False) -> None:
        self._folder, self._server, self._made = folder, server, 0
        self._is_passing, self._last = is_passing, ""

    def __call__(self) -> Place:
        if self._is_passing and self._made:
            self._remove()
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir(parents=True)
        self._last = self._server.database() if self._server else f"sqlite:///{folder / 'state.db'}"
        place = Place(database_url=self._last, folder=folder)
        if self._server:
            migrated(self._last)
        else:
            shutil.copy(self._empty_file(), folder / "state.db")
        return place

    def _empty_file(self) -> Path:
        """A database file with the schema and nothing in it, made once."""
        path = self._folder / "empty.db"
        if not path.exists():
            migrated(f"sqlite:///{path}")
        return path

    def _remove(self) -> None:
        shutil.rmtree(self._folder / str(self._made))
        if self._server:
            engine = sa.create_engine(self._last, isolation_level="AUTOCOMMIT")
            with engine.connect() as conn:
                conn.exec_driver_sql(f"DROP SCHEMA {conn.exec_driver_sql('SELECT current_schema()').scalar()} CASCADE")
            engine.dispose()


def migrated(url: str) -> None:
    """Give the database its schema."""
    database = Database(url)
    database.migrate()
    database.close()
