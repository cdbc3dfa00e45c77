"""Streams a vendor delivery row by row, in the declared encoding only; what cannot be read exactly is refused."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

MAX_RECORD_BYTES = 1 << 20  # one record, quoted line breaks included; a stray quote ends here and not in the memory
MAX_BYTES = 64 << 30  # decompressed
MAX_RATIO = 100  # decompressed : compressed; real deliveries lie between 3 and 30
RATIO_FREE_BYTES = 16 << 20  # below this size the ratio is not looked at
MAX_COLUMNS = 2_000
MAX_DIRECTORY_BYTES = 1 << 20  # of a zip archive: one member needs a hundred
_END_RECORD_REACH = (1 << 16) + 22  # the last record of a zip file and the comment after it
_ENCRYPTED = 0x1
_MAC_FOLDER = "__MACOSX/"  # what a Mac adds to an archive: icons and dates of the files

_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_FOREIGN_FILES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Ask for CSV, or give a zip archive the name .zip"),
    (b"\x1f\x8b", "gzipped", "Give it the name .csv.gz"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Ask for CSV"),
    (b"%PDF", "a PDF document", "Ask for CSV"),
    (b"PAR1", "a Parquet file", "Ask for CSV"),
)
"""How files begin that are no text, and what to do about them."""
_MARKUP = re.compile(rb"\s*(<[!?/a-zA-Z]|[{\[]\s*(\"|$))")
_OTHER_DELIMITERS = {";": "a semicolon", "\t": "a tab", "|": "a bar", ",": "a comma"}
_INVISIBLE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""Controls, joiners, marks of direction and byte order: a person sees the same text without them."""


class Lines(Protocol):
    """A binary file, plain or compressed."""

    def readline(self, size: int, /) -> bytes: ...


class Severity(StrEnum):
    """What a problem means for the delivery."""

    NOTE = "note"  # worth knowing, changes nothing
    ROW = "row"  # this row is set aside
    HOLD = "hold"  # nothing is applied before a person agrees
    REJECT = "reject"  # nothing of the file is used


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedProblem:
    """One thing wrong with a delivery. Never holds a cell's text other than an id."""

    severity: Severity
    code: str
    file: str
    fact: str
    remedy: str
    line: int | None = None  # physical line, the header is on line 1
    row: int | None = None  # data row, from 1
    column: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.fact}. {self.remedy}"


class FeedRefused(Exception):
    """The file cannot be read exactly, so none of it may be used."""

    def __init__(self, problem: FeedProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One data row. `found` differs from the number of header columns in a ragged row, whose values are not usable."""

    number: int
    line: int
    values: Mapping[str, str]
    found: int
    ragged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How the file is written, as its sender declared it."""

    encoding: str = "utf-8"
    delimiter: str = ","


class FeedReader:
    """An open delivery: the header, then its rows, once. Invisible characters are left out of the text."""

    def __init__(
        self, path: Path, stream: Lines, fmt: Format, *, compressed: int = 0, max_bytes: int = MAX_BYTES
    ) -> None:
        self._lines = _Lines(path, stream, fmt.encoding, compressed=compressed, max_bytes=max_bytes)
        self._records = csv.reader(self._lines, delimiter=fmt.delimiter, strict=True)
        self._file = path.name
        self._delimiter = fmt.delimiter
        self.header = self._read_header()

    @property
    def is_cut_off(self) -> bool:
        """Read to its end: the last line lacks its line end."""
        return not self._lines.is_ended

    @property
    def cleaned(self) -> tuple[int, int]:
        """Lines read so far that held invisible characters, and the first of them."""
        return self._lines.cleaned, self._lines.first_cleaned

    def __iter__(self) -> Iterator[FeedRow]:
        width, number = len(self.header), 0
        while True:
            line = self._lines.number + 1
            cells = self._next_record()
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue  # an empty line, or the row of commas that spreadsheets leave at the end
            number += 1
            if self._lines.number > line:
                self._refuse_swallowed_lines(cells, line)
            found = len(cells)
            yield FeedRow(number, line, dict(zip(self.header, cells, strict=False)), found, found != width)

    def _read_header(self) -> tuple[str, ...]:
        cells = self._next_record()
        while cells == []:
            cells = self._next_record()
        if cells is None:
            raise _refused(
                "empty_file", self._file, None, "the file is empty: no header and no rows", "Ask for it again"
            )
        header = tuple(" ".join(cell.split()) for cell in cells)
        self._refuse_other_delimiter(cells)
        counts = Counter(name.casefold() for name in header)
        repeated = sorted({name for name in header if counts[name.casefold()] > 1})
        if repeated:
            fact = f"the header names {_quoted(repeated)} more than once, so their cells cannot be told apart"
            raise _refused("duplicated_header", self._file, 1, fact, "Ask the sender to name each column once")
        if len(header) > MAX_COLUMNS:
            fact = f"the header has {len(header)} columns, limit {MAX_COLUMNS}"
            raise _refused("too_many_columns", self._file, 1, fact, "Check the declared delimiter")
        return header

    def _refuse_other_delimiter(self, cells: list[str]) -> None:
        """One cell that another character would cut in several."""
        other = max(_OTHER_DELIMITERS, key=cells[0].count)
        if len(cells) == 1 and cells[0].count(other) >= 2:
            usual = _OTHER_DELIMITERS.get(self._delimiter, repr(self._delimiter))
            fact = f"the columns are set apart by {_OTHER_DELIMITERS[other]}, expected was {usual}"
            remedy = "Declare it (the delimiter column of MANIFEST.csv, or the layout), or ask for the agreed one"
            raise _refused("wrong_delimiter", self._file, 1, fact, remedy)

    def _next_record(self) -> list[str] | None:
        self._lines.start_record()
        line = self._lines.number + 1
        try:
            return next(self._records)
        except StopIteration:
            return None
        except csv.Error as exc:
            if self._lines.has_lone_return:
                raise _lone_returns(self._file, self._lines.number) from exc
            fact = f"the record that begins here is not valid CSV ({exc}); rows after it cannot be trusted"
            remedy = "Ask for the file with quotes closed and doubled inside a quoted cell"
            raise _refused("broken_quoting", self._file, line, fact, remedy) from exc

    def _refuse_swallowed_lines(self, cells: list[str], line: int) -> None:
        """A quoted cell may hold a line break, but not a whole row."""
        full = len(self.header) - 1
        inner = (text for cell in cells if "\n" in cell for text in cell.splitlines()[1:-1])
        if len(cells) != full + 1 or any(text.count(self._delimiter) >= full > 0 for text in inner):
            fact = f"a quote opened in the record that begins here closes on line {self._lines.number} only"
            raise _refused("broken_quoting", self._file, line, fact, "Ask for the file with its quotes closed")


class _Lines:
    """Decoded physical lines, counted; refuses what the declared encoding does not explain."""

    def __init__(self, path: Path, stream: Lines, encoding: str, *, compressed: int, max_bytes: int) -> None:
        self.number = 0
        self.is_ended = True
        self.has_lone_return = False  # the last line holds a carriage return that ends no line
        self.cleaned = self.first_cleaned = 0
        self._path, self._file, self._stream = path, path.name, stream
        self._encoding = _checked_encoding(encoding, self._file)
        self._compressed = compressed  # bytes in the archive, 0 = not compressed
        self._max_bytes = max_bytes
        self._total = self._record = 0

    def __iter__(self) -> _Lines:
        return self

    def start_record(self) -> None:
        self._record = 0

    def __next__(self) -> str:
        raw = self._read_line()
        if not raw:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            raw = self._without_mark(raw)
        self._guard(raw)
        self.is_ended = raw.endswith(b"\n")
        self.has_lone_return = b"\r" in raw.rstrip(b"\r\n")
        try:
            return self._visible(raw.decode(self._encoding))
        except UnicodeDecodeError as exc:
            fact = f"byte {exc.start + 1} of the line is not {self._encoding}, the declared encoding"
            remedy = "Declare the encoding the file is really written in, or ask for it in the declared one"
            raise self._refused("undecodable", fact, remedy) from exc

    def _visible(self, text: str) -> str:
        if _INVISIBLE.search(text) is None:
            return text
        self.cleaned += 1
        self.first_cleaned = self.first_cleaned or self.number
        return _INVISIBLE.sub("", text)

    def _read_line(self) -> bytes:
        try:
            return self._stream.readline(MAX_RECORD_BYTES + 1)
        except (EOFError, zlib.error, zipfile.BadZipFile, OSError) as exc:
            fact = f"the data break off or are damaged after line {self.number}"
            raise self._refused("damaged_file", fact, "Transfer the file again") from exc

    def _without_mark(self, raw: bytes) -> bytes:
        for begin, name, remedy in _FOREIGN_FILES:
            if raw.startswith(begin):
                raise self._refused("foreign_file", f"the file is {name}, expected is CSV text", remedy)
        if _MARKUP.match(raw):
            fact = (
                "the file is a web page, XML or JSON, expected is CSV text; perhaps it says why there was no download"
            )
            raise self._refused("foreign_file", fact, "Open it in a text editor, then download the delivery again")
        for mark, name in _FOREIGN_MARKS:
            if raw.startswith(mark):
                fact = f"the file is {name} (it says so in its first bytes), declared is {self._encoding}"
                raise self._refused("foreign_encoding", fact, "Ask for the file in UTF-8")
        return raw.removeprefix(codecs.BOM_UTF8)

    def _guard(self, raw: bytes) -> None:
        self._total += len(raw)
        self._record += len(raw)
        if b"\0" in raw:
            raise self._refused("nul_byte", "the line holds a NUL byte", "Ask for the file as plain CSV text")
        if self._record > MAX_RECORD_BYTES:
            if raw.count(b"\r") > 1 and b"\n" not in raw:
                raise _lone_returns(self._file, self.number)
            fact = f"one record is longer than {MAX_RECORD_BYTES} bytes; a quote is probably left open"
            raise self._refused("record_too_long", fact, "Ask for the file with its quotes closed")
        if self._total > self._max_bytes:
            fact = f"the file holds more than {self._max_bytes} bytes"
            raise self._refused("too_large", fact, "Ask for it in parts, or raise the limit")
        if self._compressed and self._total > max(RATIO_FREE_BYTES, MAX_RATIO * self._compressed):
            fact = f"the file grows more than {MAX_RATIO} times when decompressed"
            raise self._refused("decompression_bomb", fact, "Ask for the file uncompressed")

    def _refused(self, code: str, fact: str, remedy: str) -> FeedRefused:
        return _refused(code, self._file, max(self.number, 1), fact, remedy)


@contextmanager
def open_feed(path: Path, fmt: Format, *, max_bytes: int = MAX_BYTES) -> Iterator[FeedReader]:
    """A reader of a `.csv`, `.csv.gz` or `.zip` file with one member. Memory is bounded whatever its size.

    Nothing is unpacked to disk. Raises FeedRefused, also while iterating.
    """
    with ExitStack() as stack:
        stream, compressed = _opened(path, stack)
        yield FeedReader(path, stream, fmt, compressed=compressed, max_bytes=max_bytes)


def _opened(path: Path, stack: ExitStack) -> tuple[Lines, int]:
    """The file's bytes and, of an archive, how many it takes compressed; `stack` closes them."""
    try:
        if path.name.lower().endswith(".gz"):
            _refuse_unpacked(path)
            return stack.enter_context(gzip.open(path)), path.stat().st_size
        if path.name.lower().endswith(".zip"):
            return _opened_member(path, stack)
        return stack.enter_context(path.open("rb")), 0
    except OSError as exc:
        fact = f"the file cannot be opened ({exc.strerror or type(exc).__name__})"
        raise _refused("unreadable", path.name, None, fact, "Check its path and its permissions") from exc
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as exc:
        fact = "the archive is damaged, or packed in a way that is not read"
        raise _refused("damaged_file", path.name, None, fact, "Ask for the file as .csv or .csv.gz") from exc


def _refuse_unpacked(path: Path) -> None:
    with path.open("rb") as stream:
        begin = stream.read(2)
    if begin and begin != b"\x1f\x8b":
        fact = "the file is not gzipped, though its name says so"
        raise _refused("damaged_file", path.name, None, fact, "Give it the name .csv, or ask for it again")


def _opened_member(path: Path, stack: ExitStack) -> tuple[Lines, int]:
    if (size := _directory_bytes(path)) > MAX_DIRECTORY_BYTES:
        fact = f"the archive's list of members takes {size} bytes, limit {MAX_DIRECTORY_BYTES}"
        raise _refused("bad_archive", path.name, None, fact, "Ask for one file in one archive")
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith(_MAC_FOLDER)]
    if len(members) != 1:
        fact = f"the archive holds {len(members)} files, expected one"
        raise _refused("bad_archive", path.name, None, fact, "Ask for one file in one archive")
    member = members[0]
    parts = member.filename.replace("\\", "/").split("/")
    if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        fact = "the name of the archive's file leads out of its folder"
        raise _refused("bad_archive", path.name, None, fact, "Ask for the archive without paths")
    if member.flag_bits & _ENCRYPTED:
        raise _refused("bad_archive", path.name, None, "the archive is encrypted", "Ask for it without a password")
    if member.filename.lower().endswith((".zip", ".gz", ".7z", ".rar", ".tar", ".xlsx")):
        fact = "the archive holds another archive"
        raise _refused("bad_archive", path.name, None, fact, "Ask for the CSV file itself")
    return stack.enter_context(archive.open(member)), member.compress_size


def _directory_bytes(path: Path) -> int:
    """Size of a zip file's list of members, as its last record says; `zipfile` reads the list whole."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _END_RECORD_REACH))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0


def _checked_encoding(encoding: str, file: str) -> str:
    """The codec's own name. Lines are split at byte 10 before decoding, so ASCII must stand for itself."""
    try:
        name = codecs.lookup(encoding).name
        plain = bytes(range(1, 128)).decode(name) == bytes(range(1, 128)).decode("ascii")
    except (LookupError, UnicodeError, ValueError):
        plain = False
    if not plain:
        fact = f"the declared encoding {encoding!r} is unknown or not an extension of ASCII"
        raise _refused("bad_encoding", file, None, fact, "Declare utf-8, cp1252 or latin-1")
    return "utf-8" if name == "utf-8-sig" else name


def _refused(code: str, file: str, line: int | None, fact: str, remedy: str) -> FeedRefused:
    return FeedRefused(FeedProblem(severity=Severity.REJECT, code=code, file=file, line=line, fact=fact, remedy=remedy))


def _lone_returns(file: str, line: int) -> FeedRefused:
    fact = "the line holds carriage returns (CR) that end no line, as old Macintosh programs write them"
    return _refused("line_ends", file, line, fact, "Ask for lines that end with LF or CRLF, all of them")


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
