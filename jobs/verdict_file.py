"""Verdicts that a reviewer wrote into the table of `platbook export changes`: one decision a row, read back as a whole.

The columns `item_id` and `verdict` are needed, `why` is welcome; all others are for the reader and are not looked at.
The name of an item is made of its record and values, so a verdict cannot reach anything but what the reviewer saw.
"""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

VERDICTS = {
    "approve": "approve",
    "take_ours": "take_ours",
    "reject": "reject",
    "keep": "keep",
    "keep_crm": "keep",
}
"""Word in the file -> what is said; case, blanks and hyphens do not matter."""

MAX_BYTES = 256 << 20  # of the file as it unpacks
_NEEDED = ("item_id", "verdict")
_SHOWN = 20


class VerdictFileError(ValueError):
    """The file says something that cannot be recorded; then nothing of it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the file says about one item."""

    item_id: str
    verdict: str  # a value of VERDICTS
    why: str
    line: int  # the first that says it; the header is line 1


def read_verdicts(path: Path) -> tuple[Said, ...]:
    """One verdict per item, in the order of the file (.csv or .xlsx). Raises VerdictFileError with every problem."""
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise VerdictFileError(
            f"{path.name}: the name must end with .csv or .xlsx, as `platbook export changes` writes"
        )
    try:
        lines = _sheet(path) if path.suffix.lower() == ".xlsx" else _csv(path)
    except OSError as exc:
        raise VerdictFileError(f"{path}: it cannot be read ({exc.strerror or exc})") from exc
    if not lines:
        raise VerdictFileError(f"{path.name}: it is empty; expected a table of `platbook export changes`")
    header = [cell.strip().lower() for cell in lines[0]]
    lacking = [name for name in _NEEDED if header.count(name) != 1]
    if lacking:
        fact = f"line 1 must name the column{'s' * (len(lacking) > 1)} {' and '.join(lacking)} once"
        raise VerdictFileError(f"{path.name}: {fact}; export the changes and fill in the column verdict")
    said, problems = _said(path.name, header, lines[1:])
    raise_for(problems)
    return said


def raise_for(problems: Sequence[str]) -> None:
    """Raise VerdictFileError with all problems, the first of them in full."""
    if problems:
        more = f"\n… and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise VerdictFileError(
            "\n".join(problems[:_SHOWN]) + more + "\nNothing was recorded. Correct these and import again."
        )


def _said(file: str, header: Sequence[str], lines: Iterable[Sequence[str]]) -> tuple[tuple[Said, ...], list[str]]:
    """The verdicts by item, and what contradicts itself or is no verdict. An item has a line per field."""
    found: dict[str, Said] = {}
    problems = []
    for number, cells in enumerate(lines, 2):
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        word, item_id = row.get("verdict", ""), row.get("item_id", "")
        if not word:
            continue
        verdict = VERDICTS.get(word.lower().replace("-", "_").replace(" ", "_"))
        if verdict is None:
            problems.append(
                f"{file} line {number}: verdict {word!r} is none; expected {', '.join(VERDICTS)}, or nothing"
            )
        elif not item_id:
            problems.append(f"{file} line {number}: a verdict without item_id; what the policy agrees on needs none")
        elif (before := found.get(item_id)) and before.verdict != verdict:
            fact = f"item {item_id}: {verdict}, but line {before.line} says {before.verdict}"
            problems.append(f"{file} line {number}: {fact}; an item is decided as a whole")
        else:
            why = (before.why if before else "") or row.get("why", "")
            line = before.line if before else number
            found[item_id] = Said(item_id=item_id, verdict=verdict, why=why, line=line)
    return tuple(found.values()), problems


def _csv(path: Path) -> list[list[str]]:
    """The lines of a CSV file in UTF-8; whatever a spreadsheet put between its cells."""
    if path.stat().st_size > MAX_BYTES:
        raise VerdictFileError(f"{path.name}: more than {MAX_BYTES >> 20} MB; export with fewer changes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise VerdictFileError(
            f"{path.name}: byte {exc.start + 1} is not UTF-8; save it as CSV UTF-8, or as .xlsx"
        ) from exc
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as exc:
        raise VerdictFileError(f"{path.name}: it is no CSV that can be read ({exc}); save it as .xlsx") from exc


def _sheet(path: Path) -> list[list[str]]:
    """The lines of the first sheet of a workbook, as the texts in its cells; formulas give what they showed last."""
    import openpyxl  # slow to load, and every command loads this module

    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_BYTES:
            raise VerdictFileError(f"{path.name}: more than {MAX_BYTES >> 20} MB unpacked; export with fewer changes")
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            return list(_texts(book.worksheets[0].iter_rows(values_only=True)))
    except VerdictFileError:
        raise
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, TypeError, ET.ParseError) as exc:
        raise VerdictFileError(f"{path.name}: it is no workbook that can be read; save it as .xlsx again") from exc


def _texts(rows: Iterable[Sequence[object]]) -> Iterator[list[str]]:
    for row in rows:
        yield ["" if cell is None else str(cell) for cell in row]
