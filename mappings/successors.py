"""The list of who takes over whose accounts: a CSV with the columns from-user, to-user, reason, from-date."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date

from mappings.located import MappingProblem
from mappings.schema import Strict

COLUMNS = ("from-user", "to-user", "reason", "from-date")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")


class Successor(Strict):
    """One person whose accounts go to another."""

    from_user: str  # e-mail, lower case
    to_user: str  # e-mail, lower case
    reason: str
    from_date: str = ""  # ISO date, the first day; empty = at once
    source: str = ""  # file:line


def read_successors(text: str, file: str) -> tuple[tuple[Successor, ...], tuple[MappingProblem, ...]]:
    """The rows of the list, and all that is wrong with them, each with its line."""
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True))
    header = tuple(cell.strip().lower() for cell in next(reader, []))
    if header != COLUMNS:
        fact = f"the columns are {', '.join(header) or 'none'}; expected {', '.join(COLUMNS)}"
        return (), (MappingProblem(file=file, line=1, fact=fact),)
    problems: list[MappingProblem] = []
    rows: list[tuple[int, Successor]] = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            told = list(_faults(cells))
            problems += [MappingProblem(file=file, line=reader.line_num, fact=fact) for fact in told]
            rows += [] if told else [(reader.line_num, _row(cells, f"{file}:{reader.line_num}"))]
    problems += [MappingProblem(file=file, line=line, fact=fact) for line, fact in _contradictions(rows)]
    return tuple(row for _, row in rows), tuple(problems)


def heirs(successors: Iterable[Successor], as_of: str) -> dict[str, Successor]:
    """Who takes over on a date, by predecessor: followed to the last one, whose row gives the reason."""
    direct = {one.from_user: one for one in successors if one.from_date <= as_of}
    return {name: _last(name, direct) for name in sorted(direct)}


def _last(name: str, direct: dict[str, Successor]) -> Successor:
    first = step = direct[name]
    seen = {name}
    while step.to_user in direct and step.to_user not in seen:
        seen.add(step.to_user)
        step = direct[step.to_user]
    return first.model_copy(update={"to_user": step.to_user})


def _row(cells: list[str], source: str) -> Successor:
    old, new, reason, since = (cell.strip() for cell in cells)
    return Successor(from_user=old.lower(), to_user=new.lower(), reason=reason, from_date=since, source=source)


def _faults(cells: list[str]) -> Iterator[str]:
    if len(cells) != len(COLUMNS):
        yield f"{len(cells)} cells; expected {len(COLUMNS)}: {', '.join(COLUMNS)}"
        return
    for name, cell in zip(COLUMNS[:2], cells[:2], strict=True):
        if not _EMAIL.match(cell.strip()):
            yield f"{name} {cell.strip()!r} is not an e-mail address"
    if not cells[2].strip():
        yield "the reason is empty; it is shown with every account that moves"
    if cells[3].strip() and not _is_day(cells[3].strip()):
        yield f"from-date {cells[3].strip()!r} is not a date; expected YYYY-MM-DD, or nothing for at once"


def _contradictions(rows: list[tuple[int, Successor]]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    onward = {row.from_user: row.to_user for _, row in rows}
    for line, row in rows:
        if row.from_user in first:
            yield line, f"{row.from_user} has a successor already, in line {first[row.from_user]}"
        elif _returns(row.from_user, onward):
            yield line, f"the successors of {row.from_user} lead back to {row.from_user}"
        first.setdefault(row.from_user, line)


def _returns(name: str, onward: dict[str, str]) -> bool:
    step, seen = onward[name], set()
    while step in onward and step not in seen and step != name:
        seen.add(step)
        step = onward[step]
    return step == name


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
