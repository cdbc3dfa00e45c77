"""The diff log: what a run found different, proposed, decided and wrote, as CSV, XLSX and JSON for people and tools."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import xlsxwriter

SCHEMA_VERSION = 1

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_RUN_BY_SPREADSHEETS = frozenset("=+-@\t\r\n\0＝＋－＠")  # the full-width forms are read alike by some
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MAX_CELL = 32_000  # characters; Excel's own limit is 32,767
_MAX_SHEET_ROWS = 1_000_000  # Excel's own limit is 1,048,576

_KIND_WORDS = {
    "empty": "(empty)",
    "nobase": "(never agreed)",
    "released": "(let go)",
    "gone": "(record gone)",
    "hidden": "(not readable)",
    "clear": "(clear the field)",
    "abstain": "(no opinion)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the log."""

    name: str  # key in the JSON rows
    title: str
    source: str  # key of the row that is handed in
    kind: str = ""  # key of the kind that says how to read an empty value
    width: int = 14  # characters, in the spreadsheet


COLUMNS: tuple[Column, ...] = (
    Column(name="connection", title="Connection", source="connection"),
    Column(name="account", title="Account", source="account_name", width=36),
    Column(name="record_id", title="Record id", source="record_id", width=22),
    Column(name="field", title="Field", source="field", width=16),
    Column(name="last_agreed", title="Last agreed", source="base", kind="base_kind", width=22),
    Column(name="crm_now", title="In CRM now", source="crm", kind="crm_kind", width=22),
    Column(name="changed_by", title="Changed by", source="actor", width=22),
    Column(name="changed_by_kind", title="Changed by (kind)", source="actor_kind"),
    Column(name="changed_at", title="Changed at (UTC)", source="changed_at", width=25),
    Column(name="proposed", title="Proposed", source="desired", kind="desired_kind", width=22),
    Column(name="state", title="State", source="state"),
    Column(name="action", title="Action", source="action"),
    Column(name="rule", title="Rule", source="rule_id", width=22),
    Column(name="evidence", title="Evidence", source="evidence", width=50),
    Column(name="reason", title="Reason", source="reason", width=36),
    Column(name="decision", title="Decision", source="decision"),
    Column(name="decided_by", title="Decided by", source="decided_by", width=22),
    Column(name="decided_at", title="Decided at (UTC)", source="decided_at", width=25),
    Column(name="result", title="Result", source="result"),
    Column(name="message", title="Message", source="message", width=50),
    Column(name="account_id", title="Account id", source="account_id", width=18),
    Column(name="item_id", title="Item id", source="item_id", width=18),
)
"""Columns of the log in order. Sources are columns of CHANGES (sync.world) and of decision and result."""


def write_diff_log(rows: Iterable[Mapping[str, Any]], folder: Path, run_id: str) -> dict[str, Path]:
    """Write the log of one run; paths by `csv`, `xlsx`, `json`. One pass, one line per row, in their order.

    A row has the columns of CHANGES plus decision, decided_by, decided_at, result, message; what is absent stays blank.
    A file appears under its name only when it is complete. Raises ValueError for a run id that is no file name.
    """
    if not _RUN_ID.match(run_id):
        raise ValueError(f"run id {run_id!r} cannot name a file; expected letters, digits, dot, dash and underscore")
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"diff-{run_id}.{kind}" for kind in ("csv", "xlsx", "json")}
    with ExitStack() as stack:
        writers: list[_Writer] = [
            stack.enter_context(_csv(paths["csv"])),
            stack.enter_context(_xlsx(paths["xlsx"])),
            stack.enter_context(_json(paths["json"], run_id)),
        ]
        for row in rows:
            for writer in writers:
                writer.write(row)
    return paths


def safe_cell(text: str) -> str:
    """The text as a CSV cell that no spreadsheet runs: an apostrophe goes before what could begin a formula."""
    cleaned = _CONTROL.sub("", text)
    starts = {text[:1], cleaned[:1], cleaned.lstrip()[:1]}
    return f"'{cleaned}" if starts & _RUN_BY_SPREADSHEETS else cleaned


class _Writer(Protocol):
    def write(self, row: Mapping[str, Any]) -> None: ...


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside the final one; it takes the final name when the block ends well, and goes when it does not."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _CsvWriter:
    def __init__(self, stream: IO[str]) -> None:
        self._csv = csv.writer(stream)
        self._csv.writerow([column.title for column in COLUMNS])

    def write(self, row: Mapping[str, Any]) -> None:
        self._csv.writerow([safe_cell(_shown(row, column)) for column in COLUMNS])


@contextmanager
def _csv(path: Path) -> Iterator[_CsvWriter]:
    # the byte-order mark makes Excel read UTF-8
    with _replacing(path) as partial, partial.open("w", encoding="utf-8-sig", newline="") as stream:
        yield _CsvWriter(stream)


class _XlsxWriter:
    """Sheets of at most a million rows; every cell is text, so nothing is ever a formula or a link."""

    def __init__(self, workbook: Any) -> None:
        self._workbook = workbook
        self._header = workbook.add_format({"bold": True, "bg_color": "#E8EEF4", "bottom": 1})
        self._sheets = 0
        self._row = 0
        self._sheet = self._new_sheet()

    def write(self, row: Mapping[str, Any]) -> None:
        if self._row >= _MAX_SHEET_ROWS:
            self.finish_sheet()
            self._sheet = self._new_sheet()
        self._row += 1
        for index, column in enumerate(COLUMNS):
            text = _CONTROL.sub("", _shown(row, column))
            if text:
                self._sheet.write_string(self._row, index, text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…")

    def finish_sheet(self) -> None:
        """Filters over what the sheet holds."""
        self._sheet.autofilter(0, 0, max(self._row, 1), len(COLUMNS) - 1)

    def _new_sheet(self) -> Any:
        self._sheets += 1
        self._row = 0
        sheet = self._workbook.add_worksheet("Changes" if self._sheets == 1 else f"Changes {self._sheets}")
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(COLUMNS):
            sheet.set_column(index, index, column.width)
            sheet.write_string(0, index, column.title, self._header)
        return sheet


@contextmanager
def _xlsx(path: Path) -> Iterator[_XlsxWriter]:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with _replacing(path) as partial, xlsxwriter.Workbook(str(partial), options) as workbook:
        writer = _XlsxWriter(workbook)
        yield writer
        writer.finish_sheet()


class _JsonWriter:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._count = 0

    def write(self, row: Mapping[str, Any]) -> None:
        record: dict[str, Any] = {}
        for column in COLUMNS:
            record[column.name] = row.get(column.source)
            if column.kind:
                record[f"{column.name}_kind"] = row.get(column.kind)
        record["evidence"] = _evidence(record["evidence"])
        self._stream.write(",\n  " if self._count else "\n  ")
        self._stream.write(json.dumps(record, default=str))
        self._count += 1


@contextmanager
def _json(path: Path, run_id: str) -> Iterator[_JsonWriter]:
    with _replacing(path) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.write(f'{{"schema_version": {SCHEMA_VERSION}, "run_id": {json.dumps(run_id)}, "changes": [')
        yield _JsonWriter(stream)
        stream.write("\n]}\n")


def _evidence(text: Any) -> Any:
    """The facts as values where they are JSON text."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _shown(row: Mapping[str, Any], column: Column) -> str:
    """The cell for people: the value, or in brackets why there is none."""
    value = row.get(column.source)
    if value is None and column.kind:
        return _KIND_WORDS.get(str(row.get(column.kind)), "")
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        return json.dumps(value, default=str)
    return "" if value is None else str(value)
