"""Immutable Parquet files, named by the sha256 of their bytes. A row in SQL points to each; the rest is swept."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from store.database import StoreError
from store.identifiers import new_id

_ROW_GROUP = 1 << 15  # rows held before they are written
_SWEEP_AGE_S = 3600.0  # a younger file may belong to a transaction that has not committed yet


class ParquetFiles:
    """The folder of immutable files. `root` is a path or a file:// URL."""

    def __init__(self, root: str | Path) -> None:
        self._root = _local(root)

    def write(self, table: pa.Table) -> str:
        """Store the table durably; its sha256. The same bytes are stored once."""
        return self._keep(lambda draft: pq.write_table(table, draft, compression="zstd"))

    def _keep(self, fill: Callable[[Path], None]) -> str:
        """Write a draft, name it by its bytes, make it last. A draft that fails is deleted."""
        draft = self._root / f".{new_id('draft')}"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            fill(draft)
            sha256 = _sha256(draft)
            _sync(draft)
            target = self._path(sha256)
            target.parent.mkdir(exist_ok=True)
            draft.replace(target)
            _sync(target.parent)
        except OSError as exc:
            raise StoreError(
                f"snapshot folder {self._root}",
                f"a file could not be written ({exc.strerror or exc})",
                "Make the folder writable and check the disk space, or set PLATBOOK_SNAPSHOT_URL",
            ) from exc
        finally:
            with suppress(OSError):  # gone where all went well; else a sweep finds it
                draft.unlink()
        return sha256

    def write_batches(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[str, int]:
        """Store rows as they come, in bounded memory; the sha256 and how many. Errors of `batches` pass through."""
        rows = 0

        def fill(draft: Path) -> None:
            nonlocal rows
            with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
                for group in _row_groups(schema, batches):
                    writer.write_table(group)
                    rows += group.num_rows

        return self._keep(fill), rows

    def read(self, sha256: str) -> pa.Table:
        """The table, after its bytes were checked against their name."""
        path = self._path(sha256)
        try:
            found = _sha256(path)
        except OSError as exc:
            raise StoreError(
                f"snapshot file {path.name}",
                f"it cannot be read ({exc.strerror or exc})",
                "Restore the snapshot folder from the backup that belongs to this database",
            ) from exc
        if found != sha256:
            raise StoreError(
                f"snapshot file {path.name}",
                "its bytes are not those that were written",
                "Restore the snapshot folder from the backup, then pull or plan again",
            )
        return pq.read_table(path)

    def path(self, sha256: str) -> Path:
        """Where a file lies, or would."""
        return self._path(sha256)

    def check(self, sha256: str) -> str:
        """What is wrong with a file: "" when its bytes are those of its name."""
        path = self._path(sha256)
        if not path.is_file():
            return "it is missing"
        return "" if _sha256(path) == sha256 else "its bytes are not those that were written"

    def adopt(self, draft: Path, sha256: str) -> None:
        """Take a file from elsewhere, whose bytes were checked, under its name."""
        target = self._path(sha256)
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(draft, target)
        _sync(target)
        _sync(target.parent)

    def sweep(self, keep: Collection[str], *, older_than_s: float = _SWEEP_AGE_S) -> int:
        """Delete files that no row names and that are old enough; how many."""
        wanted, limit, swept = set(keep), time.time() - older_than_s, 0
        for path in [*self._root.glob("??/*.parquet"), *self._root.glob(".draft-*")]:
            if path.stem not in wanted and path.stat().st_mtime < limit:
                path.unlink()
                swept += 1
        return swept

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / f"{sha256}.parquet"


def _row_groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= _ROW_GROUP:
            yield pa.Table.from_batches(held, schema=schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, schema=schema)


def _local(root: str | Path) -> Path:
    if isinstance(root, Path) or "://" not in root:
        return Path(root)
    parts = urlsplit(root)
    if parts.scheme != "file":
        raise StoreError("PLATBOOK_SNAPSHOT_URL", f"{parts.scheme}:// is not supported", "Give a path or a file:// URL")
    return Path(unquote(parts.path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
