"""Intake: one delivered file against its layout, judged as a whole, its usable rows made canonical. Saves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from connectors.csv_feed.contract import (
    PROBLEMS_SHOWN,
    ColumnRule,
    Delivery,
    FeedContract,
    Verdict,
    accepted_rows,
    inspect,
)
from connectors.csv_feed.reader import FeedProblem, FeedRefused, Format, Severity
from connectors.csv_feed.tally import DeliveryFacts
from mappings.deliveries import CellProblem, authority_rows, edge_rows, fact_rows, firm_rows, signal_rows
from mappings.schema import FeedLayout

UNREADABLE_CELL = "unreadable_cell"


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


def take(
    path: Path,
    layout: FeedLayout,
    *,
    as_of: str,
    encoding: str = "",
    previous: DeliveryFacts | None = None,
) -> Intake:
    """The verdict on a file and its usable rows. Read-only.

    `as_of` is the ISO date of the data and `encoding` the declared one (empty = the layout's). `previous` are the facts
    of the last accepted delivery of this feed. The rows of a held file are given too: whether they are used, a person
    decides. Raises ValueError for an `as_of` that is no date, never for what the file holds.
    """
    if not _is_iso_date(as_of):
        raise ValueError(f"the as-of date of {path.name} is {as_of!r}; expected YYYY-MM-DD")
    agreed = contract(layout, encoding=encoding)
    delivery = inspect(path, agreed, as_of=as_of, last=previous)
    if delivery.verdict is Verdict.REJECT_FILE:
        return _intake(layout, as_of, delivery)
    try:
        numbered = ((row.number, row.values) for row in accepted_rows(path, agreed, delivery))
        rows, unreadable = _translated(numbered, layout, path.name, as_of)
    except FeedRefused as refused:  # the file was exchanged between the two readings
        return _refused(layout, as_of, refused.problem)
    return _intake(layout, as_of, delivery, rows, unreadable)


def contract(layout: FeedLayout, *, encoding: str = "") -> FeedContract:
    """What the layout demands of a file, in the feed reader's words."""
    usual = {name: column.columns[0] for name, column in layout.fields.items()}
    columns = tuple(
        ColumnRule(names=column.columns, required=column.required, format=column.format, digits=column.digits)
        for column in layout.fields.values()
    )
    return FeedContract(
        feed=layout.feed,
        columns=columns,
        key=tuple(usual[name] for name in layout.key),
        key_may_be_blank=tuple(usual[name] for name in layout.key_may_be_blank),
        ignore=layout.ignore,
        percent_groups=tuple(tuple(usual[name] for name in group) for group in layout.sums_to_100),
        format=Format(encoding=encoding or layout.encoding, delimiter=layout.delimiter),
    )


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _translated(
    numbered: Iterable[tuple[int, Mapping[str, str]]], layout: FeedLayout, file: str, as_of: str
) -> tuple[list[dict[str, Any]], list[CellProblem]]:
    if layout.rows == "firm":
        return firm_rows(numbered, layout, file=file, as_of=as_of)
    if layout.rows == "edge":
        return edge_rows(numbered, layout, file=file, as_of=as_of)
    if layout.rows == "authority":
        return authority_rows(numbered, layout, file=file)
    if layout.rows in ("signal", "contact"):
        return signal_rows(numbered, layout, file=file)
    return fact_rows(numbered, layout, file=file)


def _intake(
    layout: FeedLayout,
    as_of: str,
    delivery: Delivery,
    rows: Sequence[Mapping[str, Any]] = (),
    unreadable: Sequence[CellProblem] = (),
) -> Intake:
    counts = Counter(delivery.counts)
    if unreadable:
        counts[UNREADABLE_CELL] = len(unreadable)
    return Intake(
        feed=layout.feed,
        file=delivery.file,
        as_of=as_of,
        verdict=delivery.verdict,
        rows=rows,
        problems=(*delivery.problems, *_notes(unreadable)),
        counts=dict(sorted(counts.items())),
        rows_seen=delivery.facts.rows if delivery.facts else 0,
        rows_set_aside=len(delivery.quarantined),
        facts_for_next_time=delivery.facts,
    )


def _refused(layout: FeedLayout, as_of: str, problem: FeedProblem) -> Intake:
    return Intake(
        feed=layout.feed,
        file=problem.file,
        as_of=as_of,
        verdict=Verdict.REJECT_FILE,
        problems=(problem,),
        counts={problem.code: 1},
    )


def _notes(unreadable: Sequence[CellProblem]) -> Iterator[FeedProblem]:
    """The first unreadable cells, as notes: the value is unknown, the row is used."""
    for cell in unreadable[:PROBLEMS_SHOWN]:
        yield FeedProblem(
            severity=Severity.NOTE,
            code=UNREADABLE_CELL,
            file=cell.file,
            fact=f'row {cell.row}, "{cell.column}": {cell.fact}',
            remedy="Correct it at the sender",
            row=cell.row,
            column=cell.column,
        )
