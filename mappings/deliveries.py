"""Rows of a delivery to canonical rows (`sync.world`), one at a time, with what could not be read. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from mappings.canonical import FEEDS
from mappings.forms import FORMS
from mappings.identifiers import padded_id, zip_5
from mappings.schema import ColumnMap, FeedLayout
from mappings.transforms import basis_points, clean_text, iso_date, money_cents, rural, whole_number, yes_no

Row = dict[str, Any]
Numbered = tuple[int, Mapping[str, str]]
"""A data row's number, from 1, and its cells by header."""
LastRow = Callable[[str], Mapping[str, Any] | None]
"""A firm of the last accepted delivery by its vendor id; None = it was not in it."""

_PERSON_DIGITS = 16
_REMEMBERED = 1024  # cells a column that are not parsed again
_LOST_DIGITS = re.compile(r"[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE][+-][0-9]+")
_TELLING_DIGIT = re.compile(r"[1-9]")
FRESHNESS = ("updated_on", "occurred_on", "last_touch_on")
"""Fields that say when a row was last true; none of them can lie after the delivery."""
_MAX_DAYS_AHEAD = 31
_MAX_TIMES = 2**62  # well inside a 64-bit column


def _person(value: Any) -> str | None:
    """A person as the first digits of a hash: enough to count each once, not to name anyone."""
    text = clean_text(value)
    return None if text is None else hashlib.sha256(text.lower().encode()).hexdigest()[:_PERSON_DIGITS]


def _count(value: Any) -> int | None:
    """How many there are of something: a whole number from 0 on."""
    number = whole_number(value)
    return number if number is None or number >= 0 else None


def _vendor_id(value: Any, digits: int | None) -> str | None:
    """A vendor id; None for what cannot be one: no digit but zeros, or in scientific notation."""
    text = padded_id(value, digits)
    if text is None or _LOST_DIGITS.fullmatch(text) or not _TELLING_DIGIT.search(text):
        return None
    return text


_FORMATS: Mapping[str, Callable[[Any], Any]] = {
    "person": _person,
    "text": clean_text,
    "money": money_cents,
    "percent": basis_points,
    "integer": _count,
    "yes_no": yes_no,
    "rural_urban": rural,
    "date": iso_date,
}
_EXPECTED: Mapping[str, str] = {
    "money": "an amount such as $1,400,000 or (1,200)",
    "percent": "a share from 0 to 100 %",
    "integer": "a whole number from 0 on",
    "id": "an id",
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


class CellProblems:
    """Collects the cells that could not be read: the first ones, and how many there were."""

    def __init__(self, *, shown: int = 100) -> None:
        self.first: list[CellProblem] = []
        self.count = 0
        self._shown = shown

    def add(self, problem: CellProblem) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < self._shown:
            self.first.append(problem)


def canonical_rows(
    rows: Iterable[Numbered],
    layout: FeedLayout,
    *,
    file: str,
    as_of: str,
    problems: CellProblems,
    last: LastRow | None = None,
) -> Iterator[Row]:
    """Rows of the layout's kind (FIRMS, FACTS, EDGE_FACTS, ... of `sync.world`), one at a time.

    Cells that could not be read are unknown and go to `problems`. `last` gives a firm of the last delivery, for cells
    that say "as before".
    """
    translator: _Translator | None = None
    finish = _FINISH[layout.rows]
    for number, cells in rows:
        if translator is None:
            translator = _Translator(layout, file, cells, as_of=as_of, last=last)
        row = translator.row(number, cells, problems)
        finish(row, layout, as_of)
        yield row


def _finish_firm(row: Row, _: FeedLayout, as_of: str) -> None:
    row["as_of"] = as_of


def _finish_fact(row: Row, _: FeedLayout, __: str) -> None:
    """The fact's name is in lower case."""
    row["fact"] = row["fact"].lower() if row["fact"] else None


def _finish_edge(row: Row, layout: FeedLayout, as_of: str) -> None:
    """Words in capitals, the source and the day it was first seen filled in."""
    _capitals(row, "kind", "control", "state", "parent_type")
    row["state"] = row["state"] or "ACTIVE"
    row["source"] = row["source"].lower() if row["source"] else layout.feed
    row["first_seen"] = row["first_seen"] or as_of
    row["as_of"] = as_of


def _finish_authority(row: Row, _: FeedLayout, __: str) -> None:
    """Words in capitals, categories in lower case, ALL and STEWARD where nothing is said."""
    _capitals(row, "function", "service_line", "level", "source")
    row["function"], row["service_line"] = row["function"] or "ALL", row["service_line"] or "ALL"
    category = row["category"] or "ALL"
    row["category"] = "ALL" if category.upper() == "ALL" else category.lower()
    row["source"] = row["source"] or "STEWARD"


def _finish_ownership(row: Row, _: FeedLayout, as_of: str) -> None:
    _capitals(row, "kind")
    row["as_of"] = as_of


def _finish_signal(row: Row, _: FeedLayout, __: str) -> None:
    """A kind is in lower case, joined by _."""
    if row.get("kind"):
        row["kind"] = re.sub(r"[^a-z0-9]+", "_", row["kind"].lower()).strip("_")


_FINISH: Mapping[str, Callable[[Row, FeedLayout, str], None]] = {
    "firm": _finish_firm,
    "fact": _finish_fact,
    "edge": _finish_edge,
    "authority": _finish_authority,
    "ownership": _finish_ownership,
    "signal": _finish_signal,
    "contact": _finish_signal,
}


def _capitals(row: Row, *names: str) -> None:
    for name in names:
        row[name] = row[name].upper().replace(" ", "_") if row[name] else None


def columns_present(layout: FeedLayout, header: Iterable[str]) -> dict[str, str]:
    """Canonical field -> the header that carries it in this file, whatever its case; fields without are left out."""
    there = {name.casefold(): name for name in header}
    found = {
        field: next((there[name.casefold()] for name in column.columns if name.casefold() in there), "")
        for field, column in layout.fields.items()
    }
    return {field: column for field, column in found.items() if column}


@dataclass(frozen=True, slots=True)
class _Word:
    """A cell that is one of the layout's words."""

    is_clear: bool | None  # False = as before, None = it says nothing


def _or_word(words: Mapping[str, _Word], parse: Callable[[Any], Any]) -> Callable[[str], Any]:
    """The parser of a trimmed cell that may be one of the words."""
    longest = max(map(len, words), default=0)

    def parse_or_word(text: str) -> Any:
        found = words.get(text.lower()) if len(text) <= longest else None
        return found or parse(text)

    return parse_or_word


class _Translator:
    """A layout against one file's header: a column and a parser per field."""

    def __init__(
        self, layout: FeedLayout, file: str, header: Iterable[str], *, as_of: str, last: LastRow | None
    ) -> None:
        self._layout = layout
        self._file = file
        self._last = last
        self._columns = columns_present(layout, header)
        self._blank: Row = {f.name: layout.constants.get(f.name) for f in FEEDS[layout.rows]}
        if layout.rows == "firm":
            self._blank["cleared"] = None
        self._former = re.compile(layout.former_name_pattern, re.IGNORECASE) if layout.former_name_pattern else None
        words = {word.lower(): _Word(None) for word in layout.blank_words}
        words |= {word.lower(): _Word(True) for word in layout.clear_words}
        words |= {word.lower(): _Word(False) for word in layout.same_words}
        self._parsers = {
            field: lru_cache(_REMEMBERED)(_or_word(words, _cell_parser(field, layout.fields[field])))
            for field in self._columns
        }
        self._dates = [field for field in FRESHNESS if field in self._columns]
        self._latest = (date.fromisoformat(as_of) + timedelta(days=_MAX_DAYS_AHEAD)).isoformat()

    def row(self, number: int, cells: Mapping[str, str], problems: CellProblems) -> Row:
        row: Row = {"feed": self._layout.feed, **self._blank}
        said: dict[str, bool | None] = {}  # field -> cleared, or else as before; None = nothing
        for field, column in self._columns.items():
            text = cells.get(column)
            if text and (bare := text.strip()):
                value = self._parsers[field](bare)
                if type(value) is _Word:
                    said[field] = value.is_clear
                    continue
                row[field] = value
                if value is None and field != "zip5":
                    problems.add(self._problem(number, field))
        if "zip5" not in said:
            self._finish_zip(row, number, cells, problems)
        for field in self._dates:
            if (row[field] or "") > self._latest:
                row[field] = None
                problems.add(self._problem(number, field, "the date lies after the delivery's; it counts as unknown"))
        if self._former is not None and row.get("name"):
            row["name"], row["former_name"] = _split_name(self._former, row["name"])
        row["file"], row["row"] = self._file, number
        if any(word is not None for word in said.values()):
            self._finish_words(row, said, problems)
        return row

    def _finish_zip(self, row: Row, number: int, cells: Mapping[str, str], problems: CellProblems) -> None:
        column = self._columns.get("zip5")
        text = cells.get(column) if column else None
        if text and text.strip():
            row["zip5"] = zip_5(text, row.get("state"))
            if row["zip5"] is None:
                problems.add(self._problem(number, "zip5"))

    def _finish_words(self, row: Row, said: Mapping[str, bool | None], problems: CellProblems) -> None:
        """What the words mean: cleared fields are named in `cleared`, the others come from the last delivery."""
        same = [field for field, is_clear in said.items() if is_clear is False]
        before = self._last(row["firm_id"]) if same and self._last is not None and row.get("firm_id") else None
        cleared = {field for field, is_clear in said.items() if is_clear}
        for field in same:
            if before is None:
                fact = "the cell says as in the last delivery, which has no such row; it counts as unknown"
                problems.add(self._problem(row["row"], field, fact))
            else:
                row[field] = before.get(field)
                cleared |= {field} & set((before.get("cleared") or "").split(","))
        row["cleared"] = ",".join(sorted(cleared)) or None

    def _problem(self, number: int, field: str, fact: str = "") -> CellProblem:
        expected = _EXPECTED.get(field) or _EXPECTED.get(self._layout.fields[field].format, "a readable value")
        fact = fact or f"the cell is not {expected}; it counts as unknown"
        return CellProblem(file=self._file, row=number, column=self._columns[field], field=field, fact=fact)


def plain_form(field: str, column: ColumnMap) -> Callable[[str], str | None] | None:
    """The one form of all ways to write an identifier or a place; None for fields that have no such form."""
    if field == "zip5":
        return lambda text: zip_5(text, None)
    if field in FORMS:
        return FORMS[field]
    return (lambda text: padded_id(text, column.digits)) if column.format == "id" else None


def _cell_parser(field: str, column: ColumnMap) -> Callable[[Any], Any]:
    if field in FORMS:
        return FORMS[field]
    if column.format == "id":
        return lambda value: _vendor_id(value, column.digits)
    parse = _FORMATS[column.format]
    if column.times == 1:
        return parse

    def parse_times(value: Any) -> int | None:
        number = parse(value)
        return None if number is None or abs(number) >= _MAX_TIMES // column.times else number * column.times

    return parse_times


def _split_name(pattern: re.Pattern[str], name: str) -> tuple[str, str | None]:
    """The name without the former-name suffix, and the former name."""
    match = pattern.search(name)
    if match is None:
        return name, None
    rest = (name[: match.start()] + name[match.end() :]).strip()
    return (rest, clean_text(match[1])) if rest else (name, None)
