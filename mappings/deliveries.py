"""Rows of a delivery to rows of FIRMS, FACTS, SIGNALS or CONTACTS (`sync.world`), with what could not be read. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.canonical import FEEDS
from mappings.forms import FORMS
from mappings.identifiers import padded_id, zip_5
from mappings.schema import ColumnMap, FeedLayout
from mappings.transforms import basis_points, clean_text, iso_date, money_cents, rural, whole_number, yes_no

Row = dict[str, Any]
Numbered = tuple[int, Mapping[str, str]]
"""A data row's number, from 1, and its cells by header."""

_PERSON_DIGITS = 16


def _person(value: Any) -> str | None:
    """A person as the first digits of a hash: enough to count each once, not to name anyone."""
    text = clean_text(value)
    return None if text is None else hashlib.sha256(text.lower().encode()).hexdigest()[:_PERSON_DIGITS]


_FORMATS: Mapping[str, Callable[[Any], Any]] = {
    "person": _person,
    "text": clean_text,
    "money": money_cents,
    "percent": basis_points,
    "integer": whole_number,
    "yes_no": yes_no,
    "rural_urban": rural,
    "date": iso_date,
}
_EXPECTED: Mapping[str, str] = {
    "money": "an amount such as $1,400,000 or (1,200)",
    "percent": "a share from 0 to 100 %",
    "integer": "a whole number",
    "yes_no": "yes or no",
    "rural_urban": "Rural or Urban",
    "date": "a date such as 2022-07-15",
    "phone": "ten digits",
    "domain": "a web address",
    "zip5": "five digits, or fewer where the state proves the zeros",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellProblem:
    """A cell that could not be read; its value is unknown. Never holds the cell's text."""

    file: str
    row: int  # data row, from 1
    column: str
    field: str
    fact: str

    def __str__(self) -> str:
        return f"{self.file}:row {self.row}:{self.column}: {self.fact}"


def firm_rows(
    rows: Iterable[Numbered], layout: FeedLayout, *, file: str, as_of: str
) -> tuple[list[Row], list[CellProblem]]:
    """Rows of FIRMS and the cells that could not be read."""
    found, problems = _translate(rows, layout, file)
    for row in found:
        row["as_of"] = as_of
    return found, problems


def fact_rows(rows: Iterable[Numbered], layout: FeedLayout, *, file: str) -> tuple[list[Row], list[CellProblem]]:
    """Rows of FACTS and the cells that could not be read. The fact's name is in lower case."""
    found, problems = _translate(rows, layout, file)
    for row in found:
        row["fact"] = row["fact"].lower() if row["fact"] else None
    return found, problems


def edge_rows(
    rows: Iterable[Numbered], layout: FeedLayout, *, file: str, as_of: str
) -> tuple[list[Row], list[CellProblem]]:
    """Rows of EDGE_FACTS: words in capitals, the source and the day it was first seen filled in."""
    found, problems = _translate(rows, layout, file)
    for row in found:
        _capitals(row, "kind", "control", "state", "parent_type")
        row["state"] = row["state"] or "ACTIVE"
        row["source"] = row["source"].lower() if row["source"] else layout.feed
        row["first_seen"] = row["first_seen"] or as_of
        row["as_of"] = as_of
    return found, problems


def authority_rows(rows: Iterable[Numbered], layout: FeedLayout, *, file: str) -> tuple[list[Row], list[CellProblem]]:
    """Rows of AUTHORITY_FACTS: words in capitals, categories in lower case, ALL and STEWARD where nothing is said."""
    found, problems = _translate(rows, layout, file)
    for row in found:
        _capitals(row, "function", "service_line", "level", "source")
        row["function"], row["service_line"] = row["function"] or "ALL", row["service_line"] or "ALL"
        category = row["category"] or "ALL"
        row["category"] = "ALL" if category.upper() == "ALL" else category.lower()
        row["source"] = row["source"] or "STEWARD"
    return found, problems


def _capitals(row: Row, *names: str) -> None:
    for name in names:
        row[name] = row[name].upper().replace(" ", "_") if row[name] else None


def signal_rows(rows: Iterable[Numbered], layout: FeedLayout, *, file: str) -> tuple[list[Row], list[CellProblem]]:
    """Rows of SIGNALS or CONTACTS and the cells that could not be read. A kind is in lower case, joined by _."""
    found, problems = _translate(rows, layout, file)
    for row in found:
        if row.get("kind"):
            row["kind"] = re.sub(r"[^a-z0-9]+", "_", row["kind"].lower()).strip("_")
    return found, problems


def columns_present(layout: FeedLayout, header: Iterable[str]) -> dict[str, str]:
    """Canonical field -> the header that carries it in this file; fields without one are left out."""
    there = set(header)
    found = {field: next((c for c in column.columns if c in there), "") for field, column in layout.fields.items()}
    return {field: column for field, column in found.items() if column}


def _translate(rows: Iterable[Numbered], layout: FeedLayout, file: str) -> tuple[list[Row], list[CellProblem]]:
    translator: _Translator | None = None
    translated: list[Row] = []
    problems: list[CellProblem] = []
    for number, cells in rows:
        if translator is None:
            translator = _Translator(layout, file, cells)
        translated.append(translator.row(number, cells, problems))
    return translated, problems


class _Translator:
    """A layout against one file's header: a column and a parser per field."""

    def __init__(self, layout: FeedLayout, file: str, header: Iterable[str]) -> None:
        self._layout = layout
        self._file = file
        self._columns = columns_present(layout, header)
        self._blank: Row = {f.name: layout.constants.get(f.name) for f in FEEDS[layout.rows]}
        self._parsers = {field: _cell_parser(field, layout.fields[field]) for field in self._columns}
        self._former = re.compile(layout.former_name_pattern, re.IGNORECASE) if layout.former_name_pattern else None

    def row(self, number: int, cells: Mapping[str, str], problems: list[CellProblem]) -> Row:
        row: Row = {"feed": self._layout.feed, **self._blank}
        for field, column in self._columns.items():
            text = cells.get(column)
            if text and text.strip():
                value = row[field] = self._parsers[field](text)
                if value is None and field != "zip5":
                    problems.append(self._problem(number, field, column))
        self._finish_zip(row, number, cells, problems)
        if self._former is not None and row.get("name"):
            row["name"], row["former_name"] = _split_name(self._former, row["name"])
        row["file"], row["row"] = self._file, number
        return row

    def _finish_zip(self, row: Row, number: int, cells: Mapping[str, str], problems: list[CellProblem]) -> None:
        column = self._columns.get("zip5")
        text = cells.get(column) if column else None
        if column and text and text.strip():
            row["zip5"] = zip_5(text, row.get("state"))
            if row["zip5"] is None:
                problems.append(self._problem(number, "zip5", column))

    def _problem(self, number: int, field: str, column: str) -> CellProblem:
        expected = _EXPECTED.get(field) or _EXPECTED.get(self._layout.fields[field].format, "a readable value")
        fact = f"the cell is not {expected}; it counts as unknown"
        return CellProblem(file=self._file, row=number, column=column, field=field, fact=fact)


def _cell_parser(field: str, column: ColumnMap) -> Callable[[Any], Any]:
    if field in FORMS:
        return FORMS[field]
    if column.format == "id":
        return lambda value: padded_id(value, column.digits)
    return _FORMATS[column.format]


def _split_name(pattern: re.Pattern[str], name: str) -> tuple[str, str | None]:
    """The name without the former-name suffix, and the former name."""
    match = pattern.search(name)
    if match is None:
        return name, None
    rest = (name[: match.start()] + name[match.end() :]).strip()
    return (rest, clean_text(match[1])) if rest else (name, None)
