"""How a verb speaks: Rich tables for people on standard output, or one JSON document, progress on standard error.

What is shown may come from a CRM or a vendor: control characters, which a terminal would obey, are never passed on.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

SCHEMA_VERSION = 1
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where nobody says how wide a page is (COLUMNS may)."""


_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, colour, reorder or retitle instead of being shown; tab and line feed are shown."""


def visible(text: str) -> str:
    """The text with every character that a terminal would obey, or no encoding has, replaced by U+FFFD."""
    return _OBEYED.sub("\ufffd", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The text on one line: a name with line ends in it must not look like lines of ours."""
    return " ".join(text.split("\n")) if "\n" in text else text


class _Speaker(Console):
    """A console that shows text and never obeys it, and whose reader may leave at any time."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """The reader left (`| head`): the job goes on, nobody hears the rest. Rich would end the process here."""
        self.quiet = True
        _silence(sys.stderr if self.stderr else sys.stdout)


def _width() -> int | None:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return None if is_terminal or os.environ.get("COLUMNS") else PIPED_WIDTH


out = _Speaker(highlight=False, soft_wrap=True, width=_width())
err = _Speaker(stderr=True, highlight=False, soft_wrap=True)


def prepare_streams() -> None:
    """Make both streams take any text: one that is closed is thrown away, one of a small encoding gets `?`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell's >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for the life of the process
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def flush() -> None:
    """Send what is still to be sent, to a reader that may have left."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _silence(stream)


def _silence(stream: Any) -> None:
    """What is written from now on, or waits to be, goes nowhere: Python complains of a broken pipe at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def emit_json(verb: str, payload: Mapping[str, Any]) -> None:
    """Print one JSON document with the verb and the schema version; keys are stable."""
    document = {"schema_version": SCHEMA_VERSION, "verb": verb, **payload}
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(document, ensure_ascii=not is_unicode, sort_keys=True, default=str, indent=1)
    try:
        sys.stdout.write(_OBEYED.sub(_escaped, text) + "\n")
    except BrokenPipeError:
        _silence(sys.stdout)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int | None = None) -> None:
    """Print a table; rows over `limit` are counted, not shown. Cell text is never read as markup."""
    every = [["" if cell is None else str(cell) for cell in row] for row in rows]
    shown = every if limit is None else every[:limit]
    grid = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        grid.add_column(column, overflow="fold", no_wrap=place == 0)  # the first names the row: ids stay in one piece
    for row in shown:
        grid.add_row(*(_plain(cell) for cell in row))
    out.print(grid)
    if len(shown) < len(every):
        out.print(f"… and {len(every) - len(shown):,} more")


def _plain(cell: str) -> str:
    return cell.replace("[", r"\[")


def say(text: str = "", *, style: str | None = None) -> None:
    """Print one line for people; the text is not read as markup."""
    out.print(text, style=style, markup=False)


class Steps:
    """Progress of a verb: a bar on a terminal, one JSON line a step otherwise."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def __call__(self, step: str, done: int, total: int | None = None) -> None:
        """Report that `done` of `total` (None = unknown) of a step is done."""
        if self._progress is None:
            line = {"schema_version": SCHEMA_VERSION, "progress": step, "done": done, "total": total}
            sys.stderr.write(json.dumps(line) + "\n")
            return
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)


@contextmanager
def steps() -> Iterator[Steps]:
    """Progress reporting for the length of a verb."""
    if not sys.stderr.isatty():
        yield Steps(None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        yield Steps(progress)
