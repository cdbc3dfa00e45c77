"""How a verb speaks: Rich tables for people on standard output, or one JSON document, progress on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

SCHEMA_VERSION = 1
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where nobody says how wide a page is (COLUMNS may)."""


def _width() -> int | None:
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH


out = Console(highlight=False, soft_wrap=True, width=_width())
err = Console(stderr=True, highlight=False, soft_wrap=True)


def emit_json(verb: str, payload: Mapping[str, Any]) -> None:
    """Print one JSON document with the verb and the schema version; keys are stable."""
    document = {"schema_version": SCHEMA_VERSION, "verb": verb, **payload}
    sys.stdout.write(json.dumps(document, ensure_ascii=False, sort_keys=True, default=str, indent=1) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int | None = None) -> None:
    """Print a table; rows over `limit` are counted, not shown. Cell text is never read as markup."""
    every = [["" if cell is None else str(cell) for cell in row] for row in rows]
    shown = every if limit is None else every[:limit]
    grid = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
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
