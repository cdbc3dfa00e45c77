"""Judges a whole delivery before any of it is used: accept, set rows aside, hold for a person, or reject.

Cells stay text here. A rule either looks at one row, or compares the delivery with the facts of the last accepted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from connectors.csv_feed.agreement import ColumnRule, FeedContract, Limits
from connectors.csv_feed.comparison import compare
from connectors.csv_feed.findings import PROBLEMS_SHOWN, Delivery, Findings, Verdict
from connectors.csv_feed.reader import FeedProblem, FeedRefused, FeedRow, Severity, open_feed
from connectors.csv_feed.survey import Survey
from connectors.csv_feed.tally import DeliveryFacts

__all__ = ["PROBLEMS_SHOWN", "ColumnRule", "Delivery", "FeedContract", "Limits", "Verdict", "accepted_rows", "inspect"]


def inspect(
    path: Path, contract: FeedContract, *, as_of: str, last: DeliveryFacts | None = None, rows: int | None = None
) -> Delivery:
    """The verdict on a delivery, from one pass over it. Read-only.

    `as_of` is the declared ISO date of the data; `last` are the facts of the last accepted delivery, None at first;
    `rows` is the declared number of data rows, None where nobody said.
    Never raises for what the file holds: an unreadable file is REJECT_FILE.
    """
    found = Findings(path.name)
    try:
        with (
            open_feed(path, contract.format) as reader,
            Survey(reader, contract, found, as_of=as_of, last=last) as survey,
        ):
            for row in reader if survey.usable else ():
                survey.add(row)
            if not survey.usable:
                return found.delivery()
            facts = survey.finish(as_of=as_of, sha256=_sha256(path))
            compare(facts, survey, last, contract)
            if rows is not None and rows != facts.rows:
                found.hold("row_count", f"the file has {facts.rows} rows, {rows} were declared with it")
    except FeedRefused as refused:
        found.add(refused.problem)
        return found.delivery()
    return found.delivery(facts)


def accepted_rows(path: Path, contract: FeedContract, delivery: Delivery) -> Iterator[FeedRow]:
    """The rows of an inspected file that may be used, in file order.

    Raises FeedRefused when the file is not the one that was inspected, ValueError when it was rejected.
    """
    if delivery.facts is None or delivery.verdict is Verdict.REJECT_FILE:
        raise ValueError(f"{delivery.file} was rejected; none of its rows may be used")
    if _sha256(path) != delivery.facts.sha256:
        fact, remedy = "the file changed after it was inspected", "Inspect it again"
        raise FeedRefused(
            FeedProblem(severity=Severity.REJECT, code="file_changed", file=path.name, fact=fact, remedy=remedy)
        )
    aside, repeats = delivery.quarantined, delivery.repeats
    with open_feed(path, contract.format) as reader:
        yield from (row for row in reader if row.number not in aside and row.number not in repeats)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
