"""Reads and writes the CSV files of the demo's world; output bytes depend on the rows alone."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = dict[str, str]


def read_rows(path: Path, encoding: str = "utf-8") -> list[Row]:
    """Rows of a CSV file, plain or gzipped; an empty cell is ""."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(encoding)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def write_rows(path: Path, rows: Iterable[Row], columns: Sequence[str], encoding: str = "utf-8") -> None:
    """Write a CSV file; gzipped when the name says so, without a time stamp in the gzip header."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    raw = buffer.getvalue().encode(encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw, compresslevel=9, mtime=0) if path.suffix == ".gz" else raw)
