"""Tables of the state as files: CSV and XLSX that no spreadsheet runs, and Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from jobs.difflog import diff_rows
from jobs.present import view_plan
from jobs.report import safe_cell
from jobs.wiring import Wired
from store import audit
from store.database import StoreError

MAX_SHEET_ROWS = 1_048_575
"""Rows under the header that Excel opens; the writer drops what comes after them without a word."""

FORMATS = (".csv", ".xlsx", ".parquet")
FINDINGS = {
    "links": "links",
    "accounts": "accounts",
    "hierarchy": "hierarchy",
    "tiers": "tiers",
    "assignments": "ownership",
    "profiles": "profiles",
}
"""What may be exported of what a plan found out -> name of the stored table."""


class ExportError(ValueError):
    """There is nothing to export, or the file name says no known format."""


def findings_source(plan_id: str) -> str:
    """Snapshot source under which a plan's tables are kept."""
    return f"plan:{plan_id}"


def described_plan(wired: Wired, text: str = "latest") -> str:
    """The plan that `text` names; `latest` is the newest that found something out. An undo looks at a run alone."""
    newest = wired.plans.resolve(text)
    if text != "latest" or wired.snapshots.current(findings_source(newest), "links") is not None:
        return newest
    ids = (str(row["id"]) for row in wired.plans.list())
    return next((one for one in ids if wired.snapshots.current(findings_source(one), "links") is not None), newest)


def exportable(wired: Wired, name: str, plan_id: str) -> pa.Table:
    """The table called `name`. Raises ExportError where there is none."""
    if name in FINDINGS:
        found = wired.snapshots.current(findings_source(plan_id), FINDINGS[name])
        if found is None:
            raise ExportError(f"plan {plan_id} has no {name}; plan again")
        return wired.snapshots.read(found)
    makers: Mapping[str, Callable[[], pa.Table]] = {
        "changes": lambda: _changes(wired, plan_id),
        "decisions": lambda: _decisions(wired),
        "audit": lambda: _audit(wired),
    }
    if name not in makers:
        raise ExportError(f'"{name}" cannot be exported; expected one of {", ".join([*FINDINGS, *makers])}')
    return makers[name]()


def write_table(table: pa.Table, path: Path) -> None:
    """Write in the format the file name ends with."""
    if path.suffix not in FORMATS:
        raise ExportError(f"{path.name}: the name must end with one of {', '.join(FORMATS)}")
    if path.suffix == ".xlsx" and table.num_rows > MAX_SHEET_ROWS:
        fact = f"{table.num_rows:,} rows, and a sheet holds {MAX_SHEET_ROWS:,}"
        raise ExportError(f"{path.name}: {fact}; write to .csv or .parquet")
    with writing(path):
        {".csv": _csv, ".xlsx": _xlsx, ".parquet": pq.write_table}[path.suffix](table, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of a file, and raise StoreError where it cannot be written: each writer has errors of its own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()  # asked first: a workbook that finds no place at its end leaves temporary files behind
        yield
    except (OSError, FileCreateError) as exc:
        cause = exc.args[0] if isinstance(exc, FileCreateError) and exc.args else exc
        why = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(cause)
        remedy = "Name a file in a folder that can be written, with space on its disk"
        raise StoreError(f"file {path}", f"it cannot be written ({why})", remedy) from exc


def _csv(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(table.column_names)
        for batch in table.to_batches():
            lines.writerows([safe_cell(_text(cell)) for cell in row.values()] for row in batch.to_pylist())


def _xlsx(table: pa.Table, path: Path) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet, bold = book.add_worksheet("Platbook"), book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(table.column_names):
            sheet.write_string(0, column, name, bold)
            sheet.set_column(column, column, max(12, min(40, len(name) + 6)))
        for line, row in enumerate(table.to_pylist(), 1):
            for column, cell in enumerate(row.values()):
                if cell is not None:
                    sheet.write_string(line, column, _text(cell)[:32_000])
        sheet.autofilter(0, 0, max(table.num_rows, 1), max(table.num_columns - 1, 0))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _changes(wired: Wired, plan_id: str) -> pa.Table:
    """The changes of a plan, with two empty columns for a reviewer: jobs.verdict_file reads them back."""
    return pa.Table.from_pylist([{**row, "verdict": "", "why": ""} for row in diff_rows(view_plan(wired, plan_id))])


def _decisions(wired: Wired) -> pa.Table:
    rows = [
        {
            "at": one.at,
            "by": one.by,
            "verified_person": one.by_verified,
            "verdict": one.verdict.value,
            "reason": one.reason,
            "plan": one.plan_id,
            "item": one.item_id,
            "fingerprint": one.fingerprint,
            "expires_at": one.expires_at,
        }
        for one in sorted(wired.decisions.current().values(), key=lambda one: (one.at, one.id))
    ]
    return _rows("decisions", rows)


def _audit(wired: Wired) -> pa.Table:
    with wired.database.read() as conn:
        return _rows("audit", [{key: _text(cell) for key, cell in row.items()} for row in audit.entries(conn)])


def _rows(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    if not rows:
        raise ExportError(f"there are no {name} yet")
    return pa.Table.from_pylist(rows)
