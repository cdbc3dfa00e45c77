"""A place for every drill: an empty state database of each kind, a folder, a CRM file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """Makes places that share nothing."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self._folder, self._server, self._made = folder, server, 0

    def __call__(self) -> Place:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir(parents=True)
        url = self._server.database() if self._server else f"sqlite:///{folder / 'state.db'}"
        place = Place(database_url=url, folder=folder)
        database = place.database()
        database.migrate()
        database.close()
        return place
