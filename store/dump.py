"""PostgreSQL's own dump and restore programs, for backups: on the path, or where Debian keeps them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from store.database import Database, StoreError

TIMEOUT_S = 3600.0


class ProgramMissing(StoreError):
    """One of PostgreSQL's programs is not installed here."""


class NoPlace(StoreError):
    """The server does not let us make a database beside the state's."""


def write(database: Database, conn: sa.Connection, place: Path) -> None:
    """Dump the schema of this connection as the connection's own transaction sees it."""
    snapshot = conn.scalar(sa.text("SELECT pg_export_snapshot()"))
    schema = conn.scalar(sa.text("SELECT current_schema()"))
    _run(
        database, "pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--schema={schema}",
        "--no-owner", "--no-privileges", f"--file={place}", _address(database),
    )  # fmt: skip


def check(place: Path) -> None:
    """Read a dump from end to end. Raises StoreError when it cannot be read."""
    _run(None, "pg_restore", "--file=/dev/null", str(place))


@contextmanager
def restored(database: Database, place: Path) -> Iterator[Database]:
    """A dump restored into a database of its own on the server of `database`, which goes afterwards.

    Raises StoreError where the server does not let us make one, or the dump does not restore.
    """
    name = f"platbook_prove_{secrets.token_hex(6)}"
    _administer(database, f'CREATE DATABASE "{name}" TEMPLATE template0')
    copy = Database(database.url.set(database=name).render_as_string(hide_password=False))
    try:
        load(copy, place)
        yield copy
    finally:
        copy.close()
        _administer(database, f'DROP DATABASE IF EXISTS "{name}"')


def load(database: Database, place: Path) -> None:
    """Put a dump in the place of the tables, all of it or nothing."""
    database.close()
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(database, "pg_restore", *options, f"--dbname={_address(database)}", str(place))


def _address(database: Database) -> str:
    """The address for libpq, without the password: arguments of a process can be read by others."""
    url = database.url.set(drivername="postgresql", password=None)
    return url.render_as_string(hide_password=False)


def _administer(database: Database, statement: str) -> None:
    engine = sa.create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    try:
        with engine.connect() as conn:
            conn.exec_driver_sql(statement)
    except sa.exc.DBAPIError as exc:
        said = (str(exc.orig).strip().splitlines() or ["no message"])[0]
        remedy = "Give its user the right to create databases"
        raise NoPlace(database.subject, f"a temporary database cannot be made ({said})", remedy) from exc
    finally:
        engine.dispose()


def _program(name: str) -> str | None:
    """On the path, or the newest that Debian's packages installed beside it."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: _version(path.parts[-3]))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


def _version(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _run(database: Database | None, program: str, *words: str) -> None:
    path = _program(program)
    if path is None:
        remedy = "Install PostgreSQL's client programs, or back up with your hosting's own means"
        raise ProgramMissing(program, "it is not installed", remedy)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PGSSLROOTCERT") if name in os.environ}
    if database is not None and database.url.password:
        environment["PGPASSWORD"] = str(database.url.password)
    done = subprocess.run(
        [path, *words], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise StoreError(program, said, "Check that the program fits the server's version, and the database's rights")
