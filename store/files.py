"""Immutable Parquet files, named by the sha256 of their bytes. A row in SQL points to each; the rest is swept."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from store.database import StoreError
from store.identifiers import new_id

_SWEEP_AGE_S = 3600.0  # a younger file may belong to a transaction that has not committed yet


class ParquetFiles:
    """The folder of immutable files. `root` is a path or a file:// URL."""

    def __init__(self, root: str | Path) -> None:
        self._root = _local(root)

    def write(self, table: pa.Table) -> str:
        """Store the table durably; its sha256. The same bytes are stored once."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            draft = self._root / f".{new_id('draft')}"
            pq.write_table(table, draft, compression="zstd")
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
        return sha256

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
