"""A PostgreSQL server for tests, made from its own binaries in a temporary folder, reachable by a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

MISSING = "PostgreSQL's server binaries are not installed (Debian: apt-get install postgresql)"
_FAST = ("fsync=off", "shared_buffers=32MB", "max_connections=40", "listen_addresses=''", "timezone=UTC")


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl, newest version first."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """A running server. Each `database()` is new and empty: a schema of its own, far cheaper than a database."""

    def __init__(self, socket_folder: Path, user: str) -> None:
        self._url = f"postgresql+psycopg://{user}@/postgres?host={socket_folder}&port=5432"
        self._made = 0

    def database(self) -> str:
        """Make a place for tables; its address."""
        self._made += 1
        name = f"test_{self._made}"
        engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.exec_driver_sql(f"CREATE SCHEMA {name}")
        engine.dispose()
        return f"{self._url}&options=-csearch_path%3D{name}"


@contextmanager
def running(bin_folder: Path) -> Iterator[Server]:
    """Start a server, stop it and remove its folder afterwards."""
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as text:
        folder = Path(text)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        folder.chmod(0o755)
        data, name = folder / "data", "platbook"
        _run(
            user, bin_folder / "initdb", "-D", data, "-U", name, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        options = " ".join(f"-c {setting}" for setting in (*_FAST, f"unix_socket_directories={folder}"))
        control = bin_folder / "pg_ctl"
        _run(user, control, "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield Server(folder, name)
        finally:
            _run(user, control, "-D", data, "-m", "immediate", "-w", "stop")


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as: the server refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither user postgres nor nobody exists")


def _run(user: pwd.struct_passwd | None, *command: object) -> None:
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would stay open in the server and never end
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
        **who,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(str(command[0])).name} failed with {done.returncode}")
