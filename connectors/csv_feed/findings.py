"""The verdict on a delivery, and the problems that lead to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.csv_feed.reader import FeedProblem, FeedRow, Severity
from connectors.csv_feed.rowset import RowSet
from connectors.csv_feed.tally import DeliveryFacts

PROBLEMS_SHOWN = 100  # per code; the rest is counted


class Verdict(StrEnum):
    """What may be done with a delivery."""

    ACCEPT = "ACCEPT"  # use the file
    QUARANTINE_ROWS = "QUARANTINE_ROWS"  # use the good rows, set the named ones aside
    HOLD_FOR_REVIEW = "HOLD_FOR_REVIEW"  # readable, but nothing may be applied before a person agrees
    REJECT_FILE = "REJECT_FILE"  # nothing of it may be used


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The verdict on one file."""

    file: str
    verdict: Verdict
    problems: tuple[FeedProblem, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # problem code -> how often, also those not listed
    quarantined: Set[int] = frozenset()  # data rows set aside with a reason
    repeats: Set[int] = frozenset()  # data rows that repeat an earlier row cell by cell; left out
    facts: DeliveryFacts | None = None  # None when the file was not readable to its end


class Findings:
    """Collects problems; lists the first of each kind and counts the rest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.quarantined = RowSet()
        self.repeats = RowSet()
        self._problems: list[FeedProblem] = []
        self._counts: Counter[str] = Counter()

    def add(self, problem: FeedProblem) -> None:
        self._counts[problem.code] += 1
        if self._counts[problem.code] <= PROBLEMS_SHOWN:
            self._problems.append(problem)

    def row(self, code: str, row: FeedRow, fact: str, *, column: str = "") -> None:
        """Set one row aside."""
        self.quarantined.add(row.number)
        remedy = "The row is set aside; correct it at the sender"
        self._say(Severity.ROW, code, fact, remedy, row=row.number, line=row.line, column=column)

    def rows(self, code: str, numbers: Iterable[int], fact: str, *, first: int) -> None:
        """Set several rows aside for one reason; `first` is the row it is shown at."""
        self.quarantined.update(numbers)
        self._say(Severity.ROW, code, fact, "The rows are set aside; correct them at the sender", row=first)

    def note(self, code: str, fact: str, remedy: str, *, column: str = "", row: int | None = None) -> None:
        self._say(Severity.NOTE, code, fact, remedy, column=column, row=row)

    def hold(self, code: str, fact: str, *, column: str = "") -> None:
        self._say(Severity.HOLD, code, fact, "Accept this delivery by name, or ask the sender", column=column)

    def reject(self, code: str, fact: str, remedy: str, *, column: str = "") -> None:
        self._say(Severity.REJECT, code, fact, remedy, column=column)

    def delivery(self, facts: DeliveryFacts | None = None) -> Delivery:
        return Delivery(
            file=self.file,
            verdict=self._verdict(),
            problems=tuple(self._problems),
            counts=dict(self._counts),
            quarantined=self.quarantined,
            repeats=self.repeats,
            facts=facts,
        )

    def _verdict(self) -> Verdict:
        worst = {problem.severity for problem in self._problems}
        if Severity.REJECT in worst:
            return Verdict.REJECT_FILE
        if Severity.HOLD in worst:
            return Verdict.HOLD_FOR_REVIEW
        return Verdict.QUARANTINE_ROWS if self.quarantined or self.repeats else Verdict.ACCEPT

    def _say(
        self,
        severity: Severity,
        code: str,
        fact: str,
        remedy: str,
        *,
        column: str = "",
        row: int | None = None,
        line: int | None = None,
    ) -> None:
        self.add(
            FeedProblem(
                severity=severity,
                code=code,
                file=self.file,
                fact=fact,
                remedy=remedy,
                line=line,
                row=row,
                column=column,
            )
        )


def quoted(names: Iterable[str]) -> str:
    """The names in double quotes, for a sentence."""
    return ", ".join(f'"{name}"' for name in names)
