"""Judges a whole delivery before any of it is used: accept, set rows aside, hold for a person, or reject.

Cells stay text here. A rule either looks at one row, or compares the delivery with the facts of the last accepted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from connectors.csv_feed.agreement import ColumnRule, FeedContract, Limits
from connectors.csv_feed.findings import PROBLEMS_SHOWN, Delivery, Findings, Verdict, quoted
from connectors.csv_feed.reader import FeedProblem, FeedRefused, FeedRow, Severity, open_feed
from connectors.csv_feed.survey import Survey
from connectors.csv_feed.tally import DeliveryFacts

__all__ = ["PROBLEMS_SHOWN", "ColumnRule", "Delivery", "FeedContract", "Limits", "Verdict", "accepted_rows", "inspect"]


def inspect(path: Path, contract: FeedContract, *, as_of: str, last: DeliveryFacts | None = None) -> Delivery:
    """The verdict on a delivery, from one pass over it. Read-only.

    `as_of` is the declared ISO date of the data; `last` are the facts of the last accepted delivery, None at first.
    Never raises for what the file holds: an unreadable file is REJECT_FILE.
    """
    found = Findings(path.name)
    try:
        with open_feed(path, contract.format) as reader, Survey(reader, contract, found) as survey:
            for row in reader if survey.usable else ():
                survey.add(row)
            if not survey.usable:
                return found.delivery()
            facts = survey.finish(as_of=as_of, sha256=_sha256(path))
            _compare(facts, survey, last, contract.limits)
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


def _compare(facts: DeliveryFacts, survey: Survey, last: DeliveryFacts | None, limits: Limits) -> None:
    """Hold or reject what moved too far from the last accepted delivery."""
    found, missing, unknown = survey.found, survey.missing(), survey.unknown()
    if unknown:
        found.note("unknown_column", f"{quoted(unknown)} is not in the layout and is not read", "Add it, or ignore it")
    if last is None:
        if missing:
            found.note("absent_column", f"{quoted(missing)} is not delivered", "None needed if that was agreed")
        return
    if facts.as_of < last.as_of:
        fact = f"its data are as of {facts.as_of}, older than the last accepted delivery ({last.as_of})"
        found.reject("older_than_last", fact, "Nothing to do: newer data are in use")
    gone = [name for name in last.columns if name not in facts.columns and name in last.blank_rate]
    if gone:
        found.hold("schema_drift", f"{quoted(gone)} was delivered last time and is missing now", column=gone[0])
    _compare_rows(facts, survey, last, limits)
    for name in facts.blank_rate:
        if name in last.blank_rate:
            _compare_column(name, facts, last, found, limits)


def _compare_rows(facts: DeliveryFacts, survey: Survey, last: DeliveryFacts, limits: Limits) -> None:
    found = survey.found
    if facts.rows < last.rows * (1 - limits.row_drop):
        fact = f"{facts.rows} rows where the last delivery had {last.rows}; limit {limits.row_drop:.0%} fewer"
        found.hold("row_drop", fact)
    if facts.rows > last.rows * (1 + limits.row_growth):
        fact = f"{facts.rows} rows where the last delivery had {last.rows}; limit {limits.row_growth:.0%} more"
        found.hold("row_growth", fact)
    lost = 1 - survey.keys.coverage(last.key_sample)
    if lost > limits.keys_lost:
        fact = f"{lost:.0%} of the keys of the last delivery are gone, limit {limits.keys_lost:.0%}"
        found.hold("keys_lost", fact)


def _compare_column(name: str, facts: DeliveryFacts, last: DeliveryFacts, found: Findings, limits: Limits) -> None:
    blank, blank_before = facts.blank_rate[name], last.blank_rate[name]
    if blank - blank_before > limits.blank_rise:
        fact = f'"{name}" is blank in {blank:.0%} of the rows, last time {blank_before:.0%}'
        found.hold("blank_column", fact, column=name)
    cleared, cleared_before = facts.cleared_rate.get(name, 0.0), last.cleared_rate.get(name, 0.0)
    if cleared - cleared_before > limits.cleared_rise:
        fact = f'"{name}" is emptied by a word in {cleared:.0%} of the rows, last time {cleared_before:.0%}'
        found.hold("cleared_column", fact, column=name)
    top, top_before = facts.top_share[name], last.top_share.get(name, 0.0)
    if blank < 1 and top > limits.top_share and top > 2 * top_before:
        fact = f'"{name}" has one value in {top:.0%} of the rows, last time at most {top_before:.0%}'
        found.hold("one_value", fact, column=name)
    wrong, wrong_before = facts.mismatch_rate[name], last.mismatch_rate.get(name, 0.0)
    if wrong - wrong_before > limits.mismatch_rise:
        fact = f'{wrong:.0%} of the cells of "{name}" are of another type, last time {wrong_before:.0%}'
        found.hold("type_drift", fact, column=name)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
