"""The audit's last hash in a second place: a file that shows a cut tail, and a state that was rolled back.

One line a run: position, hash, generation, instant. The file belongs outside the database's own disk and backup.
"""

from __future__ import annotations

import os
from pathlib import Path

from store import audit, generation
from store.database import Database, StoreError


def anchor(database: Database, path: Path | None) -> None:
    """Append the head of the chain, unless it is the last line already. Raises StoreError when it cannot be written."""
    if path is None:
        return
    with database.read() as conn:
        seq, head = audit.head(conn)
    last = last_line(path)
    if last is not None and last[:2] == (seq, head):
        return
    line = f"{seq} {head} {generation.current(database)} {database.now()}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise StoreError(
            f"audit head file {path}",
            f"it cannot be written ({exc.strerror or exc})",
            "Make it writable, or set PLATBOOK_AUDIT_HEAD_FILE to another place",
        ) from exc


def rolled_back(database: Database, path: Path | None) -> str:
    """Why the state is older than the last line of the file says; "" when it is not, or there is no file."""
    last = last_line(path) if path is not None else None
    if last is None:
        return ""
    return differs(database, *last, where=str(path))


def differs(database: Database, seq: int, head: str, *, where: str) -> str:
    """Why the audit does not have this row with this hash; "" when it has."""
    with database.read() as conn:
        found = audit.hash_at(conn, seq)
    if found is None:
        return f"its audit ends before row {seq}, which was written down in {where}"
    return "" if found == head else f"row {seq} of its audit is not the one written down in {where}"


def last_line(path: Path) -> tuple[int, str] | None:
    """Position and hash that were written down last; a half-written line does not count."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return None
    except OSError as exc:
        remedy = "Make it readable, or set PLATBOOK_AUDIT_HEAD_FILE to another place"
        raise StoreError(f"audit head file {path}", f"it cannot be read ({exc.strerror or exc})", remedy) from exc
    whole = [line.split() for line in lines if line.endswith("\n") and len(line.split()) == 4]
    return (int(whole[-1][0]), whole[-1][1]) if whole and whole[-1][0].isdecimal() else None
