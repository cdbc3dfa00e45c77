"""Backups: one file with the database, the snapshot files it points to, and what both must be like when they come back.

A backup is written beside its name, read back whole (the database is restored to a temporary place and checked, every
file's bytes are compared), and only then gets its name: a file of that name is a backup that was proven once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from store import audit, dump, generation
from store.database import Database, StoreError, schema_head
from store.decisions import Person
from store.files import ParquetFiles
from store.snapshots import pointed_at
from store.tables import lease, metadata

_TABLE, _FILE = re.compile(r"[a-z_]{1,63}", re.ASCII), re.compile(r"[0-9a-f]{64}", re.ASCII)
"""Names that a manifest may have: they become parts of statements and paths."""

FORMAT = 1
MANIFEST, DATABASE, FILES = "manifest.json", "database", "snapshots/"
EPOCHS_SKIPPED = 1_000_000
"""Added to every lease's epoch at a restore: the lost life may have gone on numbering, and no number comes twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    format: int
    made_at: str
    backend: str  # sqlite or postgresql
    schema: str
    generation: str
    audit_rows: int
    audit_head: str
    database_sha256: str
    counts: Mapping[str, int] = field(default_factory=dict)  # rows by table
    files: Mapping[str, int] = field(default_factory=dict)  # sha256 of a snapshot file -> bytes; 0 = not in the backup
    unproven: str = ""  # what a proof could not show; not in the file itself


def write(database: Database, files: ParquetFiles, target: Path, *, with_files: bool = True) -> Manifest:
    """Write a backup and prove it. Raises StoreError; then there is no file of that name that was not there before."""
    if target.exists():
        raise StoreError(f"backup {target}", "it exists already", "Name another file; backups are never written over")
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            made = _copied(database, files, Path(folder), with_files=with_files)
            _pack(made, files, Path(folder) / DATABASE, partial)
        found = prove(partial, server=database)
        os.link(partial, target)  # fails where somebody made the name meanwhile
        _sync(target.parent)
    except OSError as exc:
        raise StoreError(f"backup {target}", f"it cannot be written ({exc.strerror or exc})", _DISK) from exc
    finally:
        partial.unlink(missing_ok=True)
    return found


def prove(source: Path, *, server: Database | None = None) -> Manifest:
    """Read a backup whole and check all it says: every file's bytes, and the database restored to a temporary place.

    A PostgreSQL database is restored beside the one of `server`; where that cannot be, `unproven` says so.
    """
    with _opened(source) as archive, tempfile.TemporaryDirectory(prefix="platbook-prove-") as folder:
        manifest = _manifest(archive, source)
        for sha256, size in manifest.files.items():
            if size and _digest(_member(archive, FILES + sha256, source)) != sha256:
                raise _damaged(source, f"snapshot file {sha256} is not what it was")
        place = Path(folder) / DATABASE
        _extract(archive, DATABASE, place, source)
        _require(source, _sha256(place) == manifest.database_sha256, "the database in it is not what it was")
        if manifest.backend == "sqlite":
            _check_sqlite(place, manifest, source)
            return manifest
        return replace(manifest, unproven=_check_postgres(place, manifest, source, server))


def restore(database: Database, files: ParquetFiles, source: Path, *, by: Person, replace: bool = False) -> Manifest:
    """Put a proven backup in the place of the state, in a life of its own that may not write before a re-baseline."""
    manifest = prove(source, server=database if database.exists() else None)
    backend = "sqlite" if database.is_sqlite else "postgresql"
    if manifest.backend != backend:
        fact = f"it is a backup of a {manifest.backend} database, PLATBOOK_DATABASE_URL names {backend}"
        raise StoreError(f"backup {source}", fact, "Name a database of that kind")
    _require_idle(database, replace=replace)
    with _opened(source) as archive, tempfile.TemporaryDirectory(dir=_beside(database)) as folder:
        place = Path(folder) / DATABASE
        _extract(archive, DATABASE, place, source)
        for sha256, size in manifest.files.items():
            if size and not files.path(sha256).exists():
                draft = Path(folder) / sha256
                _extract(archive, FILES + sha256, draft, source)
                files.adopt(draft, sha256)
        if database.is_sqlite:
            _another_life(Database(f"sqlite:///{place}"), source, by)
            _swap(database, place)
        else:
            dump.load(database, place)
            _another_life(database, source, by)
    return manifest


def check(database: Database, files: ParquetFiles) -> tuple[str, ...]:
    """What is wrong with the state as it is: pages, chain, and the files it points to. Empty when nothing is."""
    found = list(_page_faults(database.file)) if database.is_sqlite else []
    verified = audit.verify(database)
    if not verified.is_intact:
        found.append(f"audit: {verified.fact}")
    with database.read() as conn:
        pointers = sorted(pointed_at(conn))
    for sha256 in pointers:
        fault = files.check(sha256)
        if fault:
            found.append(f"snapshot file {sha256[:16]}…: {fault}")
    return tuple(found)


def _copied(database: Database, files: ParquetFiles, folder: Path, *, with_files: bool) -> Manifest:
    """The database in `folder`, and the manifest of that very copy."""
    place = folder / DATABASE
    if database.is_sqlite:
        with closing(sqlite3.connect(database.file)) as live, closing(sqlite3.connect(place)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE").close()
        copied = Database(f"sqlite:///{place}")
        try:
            with copied.read() as conn:
                facts = _facts(conn)
        finally:
            copied.close()
        with closing(sqlite3.connect(place)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE").close()
    else:
        with database.read() as conn:
            dump.write(database, conn, place)
            facts = _facts(conn)
    sizes = {sha256: _size(files, sha256) if with_files else 0 for sha256 in sorted(facts.pop("pointers"))}
    return Manifest(
        format=FORMAT,
        made_at=database.now(),
        backend="sqlite" if database.is_sqlite else "postgresql",
        schema=schema_head(),
        database_sha256=_sha256(place),
        files=sizes,
        **facts,
    )


def _facts(conn: sa.Connection) -> dict[str, Any]:
    rows, head = audit.head(conn)
    return {
        "generation": str(conn.scalar(sa.select(metadata.tables["generation"].c.generation))),
        "audit_rows": rows,
        "audit_head": head,
        "counts": _counts(conn),
        "pointers": pointed_at(conn),
    }


def _counts(conn: sa.Connection) -> dict[str, int]:
    tables = sorted(metadata.tables.items())
    return {name: conn.scalar(sa.select(sa.func.count()).select_from(one)) or 0 for name, one in tables}


def _size(files: ParquetFiles, sha256: str) -> int:
    fault = files.check(sha256)
    if fault:
        remedy = "Restore the snapshot folder first, or back up without files: --no-snapshots"
        raise StoreError(f"snapshot file {sha256}", fault, remedy)
    return files.path(sha256).stat().st_size


def _pack(manifest: Manifest, files: ParquetFiles, place: Path, partial: Path) -> None:
    with partial.open("wb") as raw:
        with tarfile.open(fileobj=raw, mode="w") as archive:
            text = place.with_name(MANIFEST)
            told = {name: value for name, value in asdict(manifest).items() if name != "unproven"}
            text.write_text(json.dumps(told, sort_keys=True, indent=1), encoding="utf-8")
            archive.add(text, MANIFEST)
            archive.add(place, DATABASE)
            for sha256, size in manifest.files.items():
                if size:
                    archive.add(files.path(sha256), FILES + sha256)
        raw.flush()
        os.fsync(raw.fileno())
    partial.chmod(0o600)


def _check_sqlite(place: Path, manifest: Manifest, source: Path) -> None:
    faults = list(_page_faults(str(place)))
    _require(source, not faults, "; ".join(faults))
    copy = Database(f"sqlite:///{place}")
    try:
        with closing(sqlite3.connect(place)) as raw:
            found = {
                name: raw.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # our own table names
                for name in manifest.counts
            }
        _check_copy(copy, found, manifest, source)
    finally:
        copy.close()


def _check_postgres(place: Path, manifest: Manifest, source: Path, server: Database | None) -> str:
    """What could not be shown of a dump; "" once it was restored and is what was counted."""
    try:
        dump.check(place)
    except dump.ProgramMissing as missing:
        return f"its database was not looked into: {missing.subject} is not installed"
    if server is None or server.is_sqlite:
        return (
            "its database was read from end to end and not restored: PLATBOOK_DATABASE_URL names no PostgreSQL server"
        )
    try:
        with dump.restored(server, place) as copy:
            with copy.read() as conn:
                found = {name: conn.scalar(sa.text(f'SELECT count(*) FROM "{name}"')) for name in manifest.counts}  # noqa: S608  # our own table names
            _check_copy(copy, found, manifest, source)
    except dump.NoPlace as denied:
        return f"its database was read from end to end, not restored: {denied.fact}"
    return ""


def _check_copy(copy: Database, found: Mapping[str, Any], manifest: Manifest, source: Path) -> None:
    """Raise StoreError unless a restored database is what was backed up."""
    _require(source, found == dict(manifest.counts), "its tables do not have the rows that were counted")
    copy.migrate()  # an older backup comes back under this version's schema
    verified = audit.verify(copy)
    _require(source, verified.is_intact, f"its audit is broken: {verified.fact}")
    with copy.read() as conn:
        head = audit.head(conn)
    _require(source, head == (manifest.audit_rows, manifest.audit_head), "its audit ends elsewhere")


def _another_life(database: Database, source: Path, by: Person) -> None:
    database.migrate()
    with database.state() as conn:
        conn.execute(sa.update(lease).values(epoch=lease.c.epoch + EPOCHS_SKIPPED, holder="", expires=0.0))
    generation.begin(database, source=source.name, by=by)
    if database.is_sqlite:
        with closing(sqlite3.connect(database.file)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        database.close()


def _require_idle(database: Database, *, replace: bool) -> None:
    """Raise StoreError where there is a state that was not to be replaced, or where somebody works with it."""
    if database.is_sqlite and not Path(database.file).exists():
        return
    try:
        with database.read() as conn:
            held = conn.scalars(sa.select(lease.c.name).where(lease.c.holder != "")).all()
    except StoreError:
        if database.is_sqlite and not replace:
            raise
        return
    if held:
        fact = f"somebody works with it (lease {', '.join(held)})"
        raise StoreError(database.subject, fact, "Stop the daemon and other commands first")
    if not replace:
        fact = "there is a state already"
        raise StoreError(database.subject, fact, "--replace sets it aside under another name and takes the backup")


def _swap(database: Database, place: Path) -> None:
    """Set the old files aside and put the new one in their place."""
    target = Path(database.file)
    database.close()
    aside = target.with_name(f"{target.name}.before-restore-{database.now().replace(':', '')}")
    if target.exists():
        with closing(sqlite3.connect(target)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        target.rename(aside)
    for ending in ("-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    place.replace(target)
    _sync(target)
    _sync(target.parent)


def _beside(database: Database) -> Path | None:
    if not database.is_sqlite:
        return None
    folder = Path(database.file).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _page_faults(file: str) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(file)) as raw:
            lines = [str(row[0]) for row in raw.execute("PRAGMA integrity_check(5)")]
            orphans = raw.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as exc:
        yield f"database: {exc}"
        return
    yield from (f"database: {line}" for line in lines if line != "ok")
    if orphans:
        yield f"database: {len(orphans)} rows refer to rows that are not there"


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as archive:
            yield archive
    except FileNotFoundError as exc:
        raise StoreError(f"backup {source}", "there is no such file", "Name a file that `db backup` wrote") from exc
    except tarfile.TarError as exc:
        raise _damaged(source, f"it cannot be read ({exc})") from exc
    except OSError as exc:
        raise StoreError(f"backup {source}", f"it cannot be read ({exc.strerror or exc})", _DISK) from exc


def _manifest(archive: tarfile.TarFile, source: Path) -> Manifest:
    try:
        found = Manifest(**json.load(_member(archive, MANIFEST, source)))
    except (ValueError, TypeError) as exc:
        raise _damaged(source, "its manifest cannot be read") from exc
    names = (*((_TABLE, one) for one in found.counts), *((_FILE, one) for one in found.files))
    _require(source, all(form.fullmatch(one) for form, one in names), "its manifest names what no backup has")
    _require(source, found.format == FORMAT, f"it has format {found.format}, this version reads {FORMAT}")
    return found


def _member(archive: tarfile.TarFile, name: str, source: Path) -> IO[bytes]:
    try:
        found = archive.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise _damaged(source, f"{name} is not in it")
    return found


def _extract(archive: tarfile.TarFile, name: str, place: Path, source: Path) -> None:
    """One member by our own name for it: a path inside the archive is never followed."""
    with _member(archive, name, source) as inner, place.open("wb") as outer:
        while block := inner.read(1 << 20):
            outer.write(block)
        outer.flush()
        os.fsync(outer.fileno())


def _require(source: Path, holds: bool, fact: str) -> None:
    if not holds:
        raise _damaged(source, fact)


def _damaged(source: Path, fact: str) -> StoreError:
    return StoreError(f"backup {source}", fact, "Take another backup; this one restores nothing")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a member of a tar reads like a file


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_DISK = "Check the disk, its space and the folder's permissions"
