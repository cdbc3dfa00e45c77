"""PostgreSQL's own dump and restore programs, for backups: pg_dump and pg_restore have to be on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import sqlalchemy as sa

from store.database import Database, StoreError

TIMEOUT_S = 3600.0


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


def load(database: Database, place: Path) -> None:
    """Put a dump in the place of the tables, all of it or nothing."""
    database.close()
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(database, "pg_restore", *options, f"--dbname={_address(database)}", str(place))


def _address(database: Database) -> str:
    """The address for libpq, without the password: arguments of a process can be read by others."""
    url = database.url.set(drivername="postgresql", password=None)
    return url.render_as_string(hide_password=False)


def _run(database: Database | None, program: str, *words: str) -> None:
    path = shutil.which(program)
    if path is None:
        remedy = "Install PostgreSQL's client programs, or back up with your hosting's own means"
        raise StoreError(program, "it is not installed", remedy)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PGSSLROOTCERT") if name in os.environ}
    if database is not None and database.url.password:
        environment["PGPASSWORD"] = str(database.url.password)
    done = subprocess.run(
        [path, *words], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise StoreError(program, said, "Check that the program fits the server's version, and the database's rights")
