"""The database: one engine, explicit transactions, migrations, and one error a person can act on.

Every change of state runs in `Database.state()`: BEGIN IMMEDIATE on SQLite, so that what is checked in the
transaction (the lease epoch) still holds when it commits; an ordinary transaction with locked rows on PostgreSQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite

BUSY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_142_003  # any fixed number; held for the one transaction that migrates


class StoreError(Exception):
    """The state cannot be read or written. Says subject, fact and remedy."""

    def __init__(self, subject: str, fact: str, remedy: str) -> None:
        super().__init__(f"{subject}: {fact}. {remedy}")
        self.subject = subject
        self.fact = fact
        self.remedy = remedy


def utc_now() -> str:
    """Now as an instant: YYYY-MM-DDTHH:MM:SS.mmmZ."""
    return instant(datetime.now(UTC))


def instant(moment: datetime) -> str:
    """An aware datetime as the text form used everywhere in state."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Database:
    """One database and its transactions. Safe to share between threads, not between processes.

    `url` is a SQLAlchemy URL: `sqlite:///path/to/file.db` or `postgresql+psycopg://user@host/name`.
    """

    def __init__(self, url: str, *, now: Callable[[], str] = utc_now, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._url = _parsed(url)
        self.now = now
        self._busy_timeout_s = busy_timeout_s
        self._engine = self._open(create=False)

    @property
    def is_sqlite(self) -> bool:
        """True on SQLite: one host, one file."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def url(self) -> sa.URL:
        """Its address, password included: not for messages, see `subject`."""
        return self._url

    @property
    def file(self) -> str:
        """Path of the SQLite file; "" on a server."""
        return (self._url.database or "") if self.is_sqlite else ""

    @property
    def subject(self) -> str:
        """The database as it may be shown: the password is hidden."""
        return f"database {self._url.render_as_string(hide_password=True)}"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view of the state. Read-only."""
        options: dict[str, Any] = {"begin": "BEGIN"}
        if not self.is_sqlite:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._transaction(options) as conn:
            yield conn

    @contextmanager
    def state(self) -> Iterator[sa.Connection]:
        """One change of state: all of it or none, no other writer in between (SQLite) or on the locked rows."""
        with self._transaction({"begin": "BEGIN IMMEDIATE"} if self.is_sqlite else {}) as conn:
            if not self.is_sqlite:
                self._limit_locks(conn)
            yield conn

    def migrate(self) -> None:
        """Create the file, the schema, or bring it to this version; all or nothing, and never back from a newer one."""
        self._make_folder()
        engine = self._open(create=True)
        try:
            with self._explained(), engine.connect() as conn:
                conn = conn.execution_options(begin="BEGIN IMMEDIATE")
                with conn.begin():
                    if not self.is_sqlite:
                        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                    self._refuse_unknown_schema(conn)
                    config = _alembic_config()
                    config.attributes["connection"] = conn
                    command.upgrade(config, "head")
        finally:
            engine.dispose()

    def check(self) -> None:
        """Raise StoreError unless the database is there, readable, and of this version's schema. Read-only."""
        with self.read():
            pass

    def exists(self) -> bool:
        """True where there is a file, or a server that answers with a schema."""
        if self.is_sqlite:
            return Path(self.file).exists()
        try:
            self.check()
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as conn, conn.execution_options(**options).begin():
            self._require_schema(conn)
            yield conn

    def _limit_locks(self, conn: sa.Connection) -> None:
        """A process that sleeps in a transaction loses it, or its locks would keep every other one waiting as long."""
        limit_ms = round(self._busy_timeout_s * 1000)
        names = ("idle_in_transaction_session_timeout", "lock_timeout")
        conn.exec_driver_sql("; ".join(f"SET LOCAL {name} = {limit_ms}" for name in names))

    def _refuse_unknown_schema(self, conn: sa.Connection) -> None:
        """Raise StoreError where the schema is of a revision that this version has no way from."""
        if not sa.inspect(conn).has_table("alembic_version"):
            return
        found = conn.scalar(sa.text("SELECT version_num FROM alembic_version"))
        if found and found not in _known_revisions():
            raise self._other_schema(found)

    def _require_schema(self, conn: sa.Connection) -> None:
        try:
            found = conn.scalar(sa.text("SELECT version_num FROM alembic_version"))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError) as exc:
            if not _is_missing_table(exc):
                raise
            found = None
        if found != schema_head():
            raise self._other_schema(found)

    def _other_schema(self, found: str | None) -> StoreError:
        fact = f"its schema is {found}, this version of Platbook needs {schema_head()}" if found else "it has no schema"
        return StoreError(self.subject, fact, _schema_remedy(found))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.IntegrityError, sa.exc.DataError):
            raise  # what was to be written is wrong, not the database
        except sa.exc.DBAPIError as exc:
            fact, remedy = self._diagnosis(str(exc.orig))
            raise StoreError(self.subject, fact, remedy) from exc

    def _diagnosis(self, message: str) -> tuple[str, str]:
        text = message.strip().splitlines()[0] if message.strip() else "no answer"
        for words, fact, remedy in _DIAGNOSES:
            if words in text:
                return fact, remedy
        if not self.is_sqlite:
            return text, "Check that the server runs and that PLATBOOK_DATABASE_URL names it"
        return text, "Check the file and its folder"

    def _make_folder(self) -> None:
        if not self.is_sqlite:
            return
        folder = Path(self._url.database or "").parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(
                self.subject,
                f"its folder {folder} cannot be made ({exc.strerror})",
                "Make it, or set PLATBOOK_DATABASE_URL to a writable place",
            ) from exc

    def _open(self, *, create: bool) -> sa.Engine:
        if not self.is_sqlite:
            return sa.create_engine(self._url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
        path = self._url.database or ""
        mode = "rwc" if create else "rw"

        def connect() -> sqlite3.Connection:
            raw = sqlite3.connect(
                f"file:{quote(path)}?mode={mode}",
                uri=True,
                timeout=self._busy_timeout_s,
                check_same_thread=False,
                isolation_level=None,  # the driver must not begin transactions by itself
            )
            try:
                for pragma in ("foreign_keys=ON", "synchronous=FULL", "journal_mode=WAL"):
                    raw.execute(f"PRAGMA {pragma}").close()
            except sqlite3.Error:
                raw.close()
                raise
            return raw

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)
        sa.event.listen(engine, "begin", _begin)
        return engine


def insert_missing(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose unique keys are not there yet; how many were new."""
    if not rows:
        return 0
    dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(sa.literal(1))
    return sum(conn.execute(statement, dict(row)).first() is not None for row in rows)


@cache
def schema_head() -> str:
    """Revision of the schema that this version of Platbook needs."""
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    if head is None:
        raise StoreError("migrations", "none were shipped", "Install Platbook again")
    return head


def _begin(conn: sa.Connection) -> None:
    conn.exec_driver_sql(conn.get_execution_options().get("begin", "BEGIN"))


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return _hiding(parsed.set(drivername="postgresql+psycopg"))
    except sa.exc.ArgumentError as exc:
        raise StoreError("database URL", "it cannot be read", "Give sqlite:///FILE or postgresql://...") from exc
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError(
            "database URL", "it is neither a SQLite file nor PostgreSQL", "Give sqlite:///FILE or postgresql://..."
        )
    return parsed


def _hiding(url: sa.URL) -> sa.URL:
    """The address with a password of its query where passwords are: there it would be shown, and be in arguments."""
    if "sslpassword" in url.query:
        remedy = "Keep the key without one, readable by Platbook only"
        raise StoreError("database URL", "it carries sslpassword, which others could read", remedy)
    found = url.query.get("password")
    if not isinstance(found, str):
        return url
    return url.set(password=url.password or found).difference_update_query(["password"])


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _is_missing_table(exc: sa.exc.DBAPIError) -> bool:
    return "no such table" in str(exc.orig) or getattr(exc.orig, "sqlstate", "") == "42P01"


def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions())


def _schema_remedy(found: str | None) -> str:
    if found and found not in _known_revisions():
        return "A newer Platbook made it: update this one"
    return "Run `platbook init` to bring it up to date; it keeps what is there"


_DIAGNOSES = (
    (
        "unable to open database file",
        "the file does not exist or its folder cannot be written",
        "Run `platbook init` to create it, or check PLATBOOK_DATABASE_URL and the folder's permissions",
    ),
    (
        "readonly database",
        "the file or its folder is read-only",
        "Make it, the -wal and -shm files beside it and the folder writable for this user, or set "
        "PLATBOOK_DATABASE_URL to a writable place",
    ),
    (
        "database is locked",
        "another process has held its write lock for too long",
        "Wait for the other run to end, then try again",
    ),
    (
        "lock timeout",
        "another process has held a lock for too long",
        "Wait for the other run to end, then try again",
    ),
    ("disk is full", "the disk is full", "Free some space, then try again; nothing was half written"),
    ("disk I/O error", "the disk refused to write", "Check the disk, its space and the folder's permissions"),
    ("file is not a database", "the file is not a SQLite database", "Check PLATBOOK_DATABASE_URL"),
)
