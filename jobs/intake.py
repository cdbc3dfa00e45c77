"""Intake: one delivered file against its layout, judged as a whole, its usable rows made canonical. Saves nothing.

Judging and reading the rows are two passes over the file, so that no row is used before the whole file was seen and
no more than a page of rows is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.csv_feed.contract import ColumnRule, Delivery, FeedContract, Verdict, accepted_rows, inspect
from connectors.csv_feed.reader import FeedProblem, FeedRefused, Format, Severity
from connectors.csv_feed.tally import DeliveryFacts
from mappings.deliveries import FRESHNESS, CellProblem, CellProblems, LastRow, canonical_rows, plain_form
from mappings.schema import FeedLayout

UNREADABLE_CELL = "unreadable_cell"
PAGE = 4096  # rows translated together
_NAMED_IDS = (("idn_id", "idn_name"), ("idn_parent_id", "idn_parent_name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What one file brought."""

    feed: str
    file: str
    as_of: str
    verdict: Verdict
    rows: Sequence[Mapping[str, Any]] = ()  # of FIRMS or FACTS (sync.world); empty when the file was rejected
    problems: tuple[FeedProblem, ...] = ()  # the first hundred of each code
    counts: Mapping[str, int] = field(default_factory=dict)  # problem code -> how often
    rows_seen: int = 0  # data rows in the file
    rows_set_aside: int = 0  # of them, quarantined; repeated rows are not counted
    facts_for_next_time: DeliveryFacts | None = None  # None when the file was not readable to its end

    @property
    def is_usable(self) -> bool:
        """True when the rows may be used without asking a person."""
        return self.verdict in (Verdict.ACCEPT, Verdict.QUARANTINE_ROWS)


class Judged:
    """A file with its verdict, whose rows have not been read yet."""

    def __init__(self, path: Path, layout: FeedLayout, agreed: FeedContract, delivery: Delivery, as_of: str) -> None:
        self.delivery = delivery
        self._path, self._layout, self._agreed, self._as_of = path, layout, agreed, as_of
        self._unreadable = CellProblems()

    def rows(self, last: LastRow | None = None) -> Iterator[dict[str, Any]]:
        """The usable canonical rows, in file order; none of a rejected file.

        Raises FeedRefused when the file was exchanged since it was judged.
        """
        self._unreadable = CellProblems()
        if self.delivery.verdict is Verdict.REJECT_FILE:
            return iter(())
        numbered = ((row.number, row.values) for row in accepted_rows(self._path, self._agreed, self.delivery))
        return canonical_rows(
            numbered,
            self._layout,
            file=self._path.name,
            as_of=self._as_of,
            problems=self._unreadable,
            last=last,
        )

    def batches(self, schema: pa.Schema, last: LastRow | None = None) -> Iterator[pa.RecordBatch]:
        """The same rows as Arrow, a page at a time."""
        rows = self.rows(last)
        while page := list(islice(rows, PAGE)):
            yield pa.RecordBatch.from_pylist(page, schema=schema)

    def intake(self, rows: Sequence[Mapping[str, Any]] = ()) -> Intake:
        """What is known now; the unreadable cells once the rows were read."""
        delivery, unreadable = self.delivery, self._unreadable
        counts = Counter(delivery.counts)
        if unreadable.count:
            counts[UNREADABLE_CELL] = unreadable.count
        return Intake(
            feed=self._layout.feed,
            file=delivery.file,
            as_of=self._as_of,
            verdict=delivery.verdict,
            rows=rows,
            problems=(*delivery.problems, *_notes(unreadable.first)),
            counts=dict(sorted(counts.items())),
            rows_seen=delivery.facts.rows if delivery.facts else 0,
            rows_set_aside=len(delivery.quarantined),
            facts_for_next_time=delivery.facts,
        )


def judge(
    path: Path,
    layout: FeedLayout,
    *,
    as_of: str,
    encoding: str = "",
    delimiter: str = "",
    rows: int | None = None,
    previous: DeliveryFacts | None = None,
) -> Judged:
    """The verdict on a file, from one pass. Read-only.

    `as_of` is the ISO date of the data; `encoding`, `delimiter` and number of `rows` are what was declared with the
    file (empty, None = the layout's, nothing). `previous` are the facts of the last accepted delivery of this feed.
    Raises ValueError for an `as_of` that is no date, never for what the file holds.
    """
    if not _is_iso_date(as_of):
        raise ValueError(f"the as-of date of {path.name} is {as_of!r}; expected YYYY-MM-DD")
    agreed = contract(layout, encoding=encoding, delimiter=delimiter)
    delivery = inspect(path, agreed, as_of=as_of, last=previous, rows=rows)
    return Judged(path, layout, agreed, delivery, as_of)


def take(
    path: Path,
    layout: FeedLayout,
    *,
    as_of: str,
    encoding: str = "",
    delimiter: str = "",
    previous: DeliveryFacts | None = None,
) -> Intake:
    """The verdict on a file and its usable rows, all in memory. Read-only; arguments and errors as in `judge`.

    The rows of a held file are given too: whether they are used, a person decides.
    """
    judged = judge(path, layout, as_of=as_of, encoding=encoding, delimiter=delimiter, previous=previous)
    try:
        return judged.intake(tuple(judged.rows()))
    except FeedRefused as refused:
        return refusal(layout.feed, as_of, refused.problem)


def refusal(feed: str, as_of: str, problem: FeedProblem) -> Intake:
    """What a file brought that was exchanged between the two readings: nothing."""
    return Intake(
        feed=feed,
        file=problem.file,
        as_of=as_of,
        verdict=Verdict.REJECT_FILE,
        problems=(problem,),
        counts={problem.code: 1},
    )


def contract(layout: FeedLayout, *, encoding: str = "", delimiter: str = "") -> FeedContract:
    """What the layout demands of a file, in the feed reader's words."""
    usual = {name: column.columns[0] for name, column in layout.fields.items()}
    columns = tuple(
        ColumnRule(
            names=column.columns,
            required=column.required,
            format=column.format,
            digits=column.digits,
            plain=plain_form(name, column),
        )
        for name, column in layout.fields.items()
    )
    return FeedContract(
        feed=layout.feed,
        columns=columns,
        key=tuple(usual[name] for name in layout.key),
        key_may_be_blank=tuple(usual[name] for name in layout.key_may_be_blank),
        ignore=layout.ignore,
        blank_words=frozenset(word.lower() for word in layout.blank_words),
        clear_words=frozenset(word.lower() for word in layout.clear_words),
        same_words=frozenset(word.lower() for word in layout.same_words),
        percent_groups=tuple(tuple(usual[name] for name in group) for group in layout.sums_to_100),
        named_ids=tuple((usual[one], usual[other]) for one, other in _NAMED_IDS if one in usual and other in usual),
        dated=tuple(usual[name] for name in FRESHNESS if name in usual),
        rows_are_events=layout.rows == "signal" and "occurred_on" in layout.key,
        format=Format(encoding=encoding or layout.encoding, delimiter=delimiter or layout.delimiter),
    )


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _notes(unreadable: Sequence[CellProblem]) -> Iterator[FeedProblem]:
    """The first unreadable cells, as notes: the value is unknown, the row is used."""
    for cell in unreadable:
        yield FeedProblem(
            severity=Severity.NOTE,
            code=UNREADABLE_CELL,
            file=cell.file,
            fact=f'row {cell.row}, "{cell.column}": {cell.fact}',
            remedy="Correct it at the sender",
            row=cell.row,
            column=cell.column,
        )
