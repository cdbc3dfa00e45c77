"""Workbooks of several sheets for people: one table a sheet, every cell text or a number, nothing a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from jobs.export import writing

_MAX_CELL = 32_000
_MAX_SHEET_NAME = 31


def write_sheets(sheets: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Write an XLSX file; a sheet without rows says so. Raises StoreError where it cannot be written."""
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with writing(path), xlsxwriter.Workbook(str(path), options) as book:
        bold = book.add_format({"bold": True, "bg_color": "#E8EEF4", "bottom": 1})
        used: set[str] = set()
        for name, rows in sheets.items():
            _sheet(book.add_worksheet(_name(name, used)), rows, bold)


def _sheet(sheet: Any, rows: Sequence[Mapping[str, Any]], bold: Any) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["nothing found"]
    sheet.freeze_panes(1, 0)
    for index, column in enumerate(columns):
        longest = max([len(column), *(len(str(row.get(column) or "")) for row in rows[:200])])
        sheet.set_column(index, index, max(10, min(60, longest + 2)))
        sheet.write_string(0, index, column.replace("_", " "), bold)
    for line, row in enumerate(rows, 1):
        for index, column in enumerate(columns):
            _cell(sheet, line, index, row.get(column))
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)


def _cell(sheet: Any, line: int, index: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        sheet.write_number(line, index, value)
    else:
        sheet.write_string(line, index, (str(value).lower() if isinstance(value, bool) else str(value))[:_MAX_CELL])


def _name(name: str, used: set[str]) -> str:
    """A name that Excel accepts and no other sheet has."""
    plain = "".join("-" if letter in "[]:*?/\\" else letter for letter in name)[:_MAX_SHEET_NAME] or "Sheet"
    number = 2
    chosen = plain
    while chosen.lower() in used:
        chosen = f"{plain[: _MAX_SHEET_NAME - 3]} {number}"
        number += 1
    used.add(chosen.lower())
    return chosen
