"""Rows as CSV, the way Bulk jobs read and write them, and cells as values of fields."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.schema import NUMBER_TYPES, Field

NULL = "#N/A"
"""The cell that clears a field; an empty cell leaves it alone."""

DELIMITERS = {"COMMA": ",", "BACKQUOTE": "`", "CARET": "^", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")

LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


class UnreadableError(Exception):
    """The text is not the table the job announced; the message is the job's error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a job's tables are written, in the API's words."""

    delimiter: str = "COMMA"
    line_ending: str = "LF"


def read_table(text: str, dialect: Dialect) -> tuple[list[str], list[list[str]]]:
    """Header and rows, all rows as wide as the header. UnreadableError for anything else."""
    _check_line_ending(text, dialect)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[dialect.delimiter])
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise UnreadableError(f"InvalidBatch : the data are not CSV: {error}") from error
    if not rows:
        raise UnreadableError("InvalidBatch : Unable to find the header row")
    header, *body = rows
    for number, row in enumerate(body, 1):
        if len(row) != len(header):
            raise UnreadableError(f"InvalidBatch : row {number} has {len(row)} columns, the header {len(header)}")
    return header, body


def write_table(header: Sequence[str], rows: Iterable[Sequence[Any]], dialect: Dialect) -> str:
    """The table as text, every cell quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=DELIMITERS[dialect.delimiter],
        lineterminator=LINE_ENDINGS[dialect.line_ending],
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def value_of(field: Field, cell: str) -> Any:
    """The value a cell of text stands for; text that is no such value comes back as it is and is refused later."""
    if cell == NULL:
        return None
    if field.type == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)
    if field.type in NUMBER_TYPES:
        try:
            return int(cell) if field.type == "int" else float(cell)
        except ValueError:
            return cell
    return cell


def cell_of(value: Any) -> str:
    """A value as the cell of a query result."""
    if value is None:
        return ""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return value.removesuffix("+0000") + "Z"  # Bulk writes instants in another way than queries do
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _check_line_ending(text: str, dialect: Dialect) -> None:
    end = text.find("\n")
    found = "CRLF" if end > 0 and text[end - 1] == "\r" else "LF"
    if end >= 0 and found != dialect.line_ending:
        setting = f"Current LineEnding setting is {dialect.line_ending}"
        raise UnreadableError(f"ClientInputError : LineEnding is invalid on user data. {setting}")
