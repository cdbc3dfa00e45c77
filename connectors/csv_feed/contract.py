"""Judges a whole delivery before any of it is used: accept, set rows aside, hold for a person, or reject.

Cells stay text here. A rule either looks at one row, or compares the delivery with the facts of the last accepted one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from connectors.csv_feed.reader import FeedProblem, FeedReader, FeedRefused, FeedRow, Format, Severity, open_feed
from connectors.csv_feed.tally import ColumnTally, DeliveryFacts, KeyTally

PROBLEMS_SHOWN = 100  # per code; the rest is counted

_DAMAGED_ID = re.compile(r"\s*\d+(\.\d+)?[eE]\+?\d+\s*")  # what a spreadsheet leaves of a long number
_HARMLESS_SIGN = re.compile(r"[-+][\d\s().,/%-]*")  # telephone numbers, negative numbers, a lone dash
_PATIENT_COLUMN = re.compile(
    r"\b(mrn|medical record (number|no)|ssn|social security( number)?|dob|date of birth|birth ?date"
    r"|patient (id|name|number))\b",
    re.IGNORECASE,
)
_LOOKS: Mapping[str, re.Pattern[str]] = {
    "money": re.compile(r"\(?-?\s*[$€£]?\s*-?[\d,]+(\.\d+)?\)?"),
    "percent": re.compile(r"-?\d+(\.\d+)?\s*%?"),
    "integer": re.compile(r"-?[\d,]+(\.0+)?"),
    "yes_no": re.compile(r"yes|no|y|n|true|false|0|1", re.IGNORECASE),
    "rural_urban": re.compile(r"rural|urban", re.IGNORECASE),
    "date": re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}/\d{1,2}/\d{2,4}"),
    "id": re.compile(r"[\w.:-]+"),
}
_DIGITS = re.compile(r"\d+")


class Verdict(StrEnum):
    """What may be done with a delivery."""

    ACCEPT = "ACCEPT"  # use the file
    QUARANTINE_ROWS = "QUARANTINE_ROWS"  # use the good rows, set the named ones aside
    HOLD_FOR_REVIEW = "HOLD_FOR_REVIEW"  # readable, but nothing may be applied before a person agrees
    REJECT_FILE = "REJECT_FILE"  # nothing of it may be used


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """One column that Platbook reads."""

    names: tuple[str, ...]  # headers that may carry it, the usual one first
    required: bool = False
    format: str = "text"  # text, money, percent, integer, yes_no, rural_urban, date, id
    digits: int | None = None  # ids: at most this many digits

    def fits(self, text: str) -> bool:
        """The cell could be of this column's type. Text fits always."""
        pattern = _LOOKS.get(self.format)
        if pattern is None:
            return True
        if self.digits is not None and _DIGITS.fullmatch(text):
            return len(text) <= self.digits
        return pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a delivery may move from the last accepted one. Shares are 0..1."""

    row_drop: float = 0.10
    row_growth: float = 0.50
    keys_lost: float = 0.10
    blank_rise: float = 0.20
    top_share: float = 0.50  # one value in more rows than this, and in twice the share of last time
    mismatch_rise: float = 0.20
    misaligned: float = 0.02  # rows whose values sit in the wrong columns
    set_aside: float = 0.20  # rows quarantined
    percent_sum: tuple[float, float] = (98.0, 102.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedContract:
    """What a sender agreed to deliver."""

    feed: str
    columns: tuple[ColumnRule, ...]
    key: tuple[str, ...]  # usual headers of the columns that identify a row
    key_may_be_blank: tuple[str, ...] = ()  # of `key`, those whose cell may be empty, such as an open date
    ignore: tuple[str, ...] = ()  # known headers that nobody reads
    percent_groups: tuple[tuple[str, ...], ...] = ()  # usual headers of shares that together make 100 %
    format: Format = field(default_factory=Format)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        known = {rule.names[0] for rule in self.columns}
        named = {*self.key, *(name for group in self.percent_groups for name in group)}
        if not self.key or named - known:
            missing = ", ".join(sorted(named - known)) or "a key"
            raise ValueError(f"feed {self.feed}: {missing} is not among the contract's columns. Add it to the layout.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The verdict on one file."""

    file: str
    verdict: Verdict
    problems: tuple[FeedProblem, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # problem code -> how often, also those not listed
    quarantined: frozenset[int] = frozenset()  # data rows set aside with a reason
    repeats: frozenset[int] = frozenset()  # data rows that repeat an earlier row cell by cell; left out
    facts: DeliveryFacts | None = None  # None when the file was not readable to its end


def inspect(path: Path, contract: FeedContract, *, as_of: str, last: DeliveryFacts | None = None) -> Delivery:
    """The verdict on a delivery, from one pass over it. Read-only.

    `as_of` is the declared ISO date of the data; `last` are the facts of the last accepted delivery, None at first.
    Never raises for what the file holds: an unreadable file is REJECT_FILE.
    """
    found = _Findings(path.name)
    try:
        with open_feed(path, contract.format) as reader:
            survey = _Survey(reader, contract, found)
            for row in reader if survey.usable else ():
                survey.add(row)
        digest = _sha256(path)
    except FeedRefused as refused:
        found.add(refused.problem)
        return found.delivery()
    if not survey.usable:
        return found.delivery()
    facts = survey.finish(as_of=as_of, sha256=digest)
    _compare(facts, survey, last, contract.limits)
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
    left_out = delivery.quarantined | delivery.repeats
    with open_feed(path, contract.format) as reader:
        yield from (row for row in reader if row.number not in left_out)


class _Findings:
    """Collects problems; lists the first of each kind and counts the rest."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.quarantined: set[int] = set()
        self.repeats: set[int] = set()
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

    def rows(self, code: str, numbers: Sequence[int], fact: str) -> None:
        """Set several rows aside for one reason."""
        self.quarantined.update(numbers)
        self._say(Severity.ROW, code, fact, "The rows are set aside; correct them at the sender", row=numbers[0])

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
            quarantined=frozenset(self.quarantined),
            repeats=frozenset(self.repeats),
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


class _Survey:
    """One pass over the rows."""

    def __init__(self, reader: FeedReader, contract: FeedContract, found: _Findings) -> None:
        self.found = found
        self.header = reader.header
        self.keys = KeyTally()
        self.rows = self.misaligned = self.damaged_keys = 0
        self._contract = contract
        self._by_usual = {
            rule.names[0]: (next((name for name in rule.names if name in reader.header), ""), rule)
            for rule in contract.columns
        }
        self.usable = self._check_header()
        present = [(name, rule) for name, rule in self._by_usual.values() if name]
        self.tallies = {name: ColumnTally() for name, _ in present}
        self._columns: list[tuple[str, Callable[[str], bool] | None, ColumnTally]] = [
            (name, rule.fits if rule.format != "text" else None, self.tallies[name]) for name, rule in present
        ]
        self._key = [self._by_usual[usual][0] for usual in contract.key]
        self._must_name = [self._by_usual[usual][0] for usual in contract.key if usual not in contract.key_may_be_blank]
        self._groups = [
            names for group in contract.percent_groups if all(names := [self._by_usual[usual][0] for usual in group])
        ]

    def add(self, row: FeedRow) -> None:
        self.rows += 1
        if row.ragged:
            fact = f"the row has {row.found} cells, the header {len(self.header)}"
            self.found.row("ragged_row", row, fact)
            return
        if self._is_misaligned(row):
            self.misaligned += 1
            fact = "several cells are of another column's type; the row seems shifted"
            self.found.row("misaligned_row", row, fact)
            return
        self._check_key(row)
        self._check_formulas(row)
        for group in self._groups:
            self._check_percents(row, group)

    def finish(self, *, as_of: str, sha256: str) -> DeliveryFacts:
        """The facts, after the checks that need the whole file."""
        self._check_repeats()
        self._check_whole()
        sample, rows = self.keys.sample(), max(self.rows, 1)
        return DeliveryFacts(
            as_of=as_of,
            sha256=sha256,
            rows=self.rows,
            columns=self.header,
            blank_rate={name: tally.blank / rows for name, tally in self.tallies.items()},
            mismatch_rate={
                name: tally.mismatched / tally.filled if tally.filled else 0.0 for name, tally in self.tallies.items()
            },
            top_share={name: tally.top_share() for name, tally in self.tallies.items()},
            key_sample=sample,
            key_sample_whole=len(sample) == self.keys.distinct(),
        )

    def missing(self) -> list[str]:
        return [usual for usual, (name, _) in self._by_usual.items() if not name]

    def unknown(self) -> list[str]:
        known = {name for rule in self._contract.columns for name in rule.names} | set(self._contract.ignore)
        return [name for name in self.header if name not in known]

    def _check_header(self) -> bool:
        """False: the rows need not be looked at."""
        missing, unknown = self.missing(), self.unknown()
        patient = [name for name in self.header if _PATIENT_COLUMN.search(name)]
        if patient:
            fact = f"{_quoted(patient)} looks like patient data, which Platbook must not hold"
            self.found.reject("patient_data", fact, "Ask for a file about organisations only", column=patient[0])
            return False
        keys = [name for name in missing if name in self._contract.key]
        must = [name for name in missing if self._by_usual[name][1].required]
        if keys or (must and not unknown):
            names = keys or must
            fact = f"required column {_quoted(names)} is absent"
            self.found.reject("missing_column", fact, "Add the header's new name to the layout", column=names[0])
            return False
        if must:
            fact = f"required column {_quoted(must)} is absent and {_quoted(unknown)} is new: perhaps renamed"
            self.found.hold("schema_drift", fact, column=must[0])
        return True

    def _is_misaligned(self, row: FeedRow) -> bool:
        """Count the cells; True when at least three and a third of the typed ones are of another type."""
        typed = wrong = 0
        for name, fits, tally in self._columns:
            text = row.values[name].strip()
            if not text:
                tally.blank += 1
                continue
            tally.add(text)
            if fits is None:
                continue
            typed += 1
            if not fits(text):
                wrong += 1
                tally.mismatched += 1
        return wrong >= 3 and wrong * 3 >= typed

    def _check_key(self, row: FeedRow) -> None:
        key = [row.values[name].strip() for name in self._key]
        column = next((name for name in self._must_name if not row.values[name].strip()), None)
        if column is not None:
            self.found.row("key_missing", row, f'"{column}" is blank, so the row names nobody', column=column)
            return
        for name, text in zip(self._key, key, strict=True):
            if _DAMAGED_ID.fullmatch(text):
                self.damaged_keys += 1
                self.found.row("key_damaged", row, f'"{name}" is {text!r}: digits are lost', column=name)
                return
        self.keys.add(row.number, key, list(row.values.values()))

    def _check_formulas(self, row: FeedRow) -> None:
        for name, text in row.values.items():
            if text and text[0] in "=+-@\t\r" and not _HARMLESS_SIGN.fullmatch(text):
                self.found.row("formula_cell", row, f'"{name}" holds what a spreadsheet would run', column=name)
                return

    def _check_percents(self, row: FeedRow, group: Sequence[str]) -> None:
        shares = [_percent(row.values[name]) for name in group]
        known = [share for share in shares if share is not None]
        low, high = self._contract.limits.percent_sum
        if len(known) == len(group) and not low <= sum(known) <= high:
            fact = f"{_quoted(group)} sum to {sum(known):.1f} %, expected {low:g} to {high:g} %"
            self.found.row("percent_sum", row, fact, column=group[0])

    def _check_repeats(self) -> None:
        for numbers, identical in self.keys.repeats():
            listed = ", ".join(str(number) for number in numbers[:5])
            if identical:
                self.found.repeats.update(numbers[1:])
                fact = f"rows {listed} are the same row; the first is kept"
                self.found.note("repeated_row", fact, "None needed", row=numbers[1])
            else:
                fact = f"rows {listed} share {_quoted(self._key)} but say different things"
                self.found.rows("conflicting_rows", numbers, fact)

    def _check_whole(self) -> None:
        limits = self._contract.limits
        if not self.rows:
            fact = "the file has a header and no rows; that never means that every organisation is gone"
            self.found.reject("no_rows", fact, "Ask for the delivery again")
            return
        if self.damaged_keys:
            fact = f"{self.damaged_keys} keys are in scientific notation: a spreadsheet rewrote the file"
            self.found.reject("keys_damaged", fact, "Ask for the original file, never opened in a spreadsheet")
        if self.misaligned >= 3 and self.misaligned > limits.misaligned * self.rows:
            fact = f"{self.misaligned} of {self.rows} rows hold their values in the wrong columns"
            self.found.reject("shifted_columns", fact, "Ask for the delivery again")
        aside = len(self.found.quarantined)
        if aside > limits.set_aside * self.rows:
            fact = f"{aside} of {self.rows} rows would be set aside, limit {limits.set_aside:.0%}"
            self.found.hold("too_many_bad_rows", fact)


def _compare(facts: DeliveryFacts, survey: _Survey, last: DeliveryFacts | None, limits: Limits) -> None:
    """Hold or reject what moved too far from the last accepted delivery."""
    found, missing, unknown = survey.found, survey.missing(), survey.unknown()
    if unknown:
        found.note("unknown_column", f"{_quoted(unknown)} is not in the layout and is not read", "Add it, or ignore it")
    if last is None:
        if missing:
            found.note("absent_column", f"{_quoted(missing)} is not delivered", "None needed if that was agreed")
        return
    if facts.as_of < last.as_of:
        fact = f"its data are as of {facts.as_of}, older than the last accepted delivery ({last.as_of})"
        found.reject("older_than_last", fact, "Nothing to do: newer data are in use")
    gone = [name for name in last.columns if name not in facts.columns and name in last.blank_rate]
    if gone:
        found.hold("schema_drift", f"{_quoted(gone)} was delivered last time and is missing now", column=gone[0])
    _compare_rows(facts, survey, last, limits)
    for name in facts.blank_rate:
        if name in last.blank_rate:
            _compare_column(name, facts, last, found, limits)


def _compare_rows(facts: DeliveryFacts, survey: _Survey, last: DeliveryFacts, limits: Limits) -> None:
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


def _compare_column(name: str, facts: DeliveryFacts, last: DeliveryFacts, found: _Findings, limits: Limits) -> None:
    blank, blank_before = facts.blank_rate[name], last.blank_rate[name]
    if blank - blank_before > limits.blank_rise:
        fact = f'"{name}" is blank in {blank:.0%} of the rows, last time {blank_before:.0%}'
        found.hold("blank_column", fact, column=name)
    top, top_before = facts.top_share[name], last.top_share.get(name, 0.0)
    if blank < 1 and top > limits.top_share and top > 2 * top_before:
        fact = f'"{name}" has one value in {top:.0%} of the rows, last time at most {top_before:.0%}'
        found.hold("one_value", fact, column=name)
    wrong, wrong_before = facts.mismatch_rate[name], last.mismatch_rate.get(name, 0.0)
    if wrong - wrong_before > limits.mismatch_rise:
        fact = f'{wrong:.0%} of the cells of "{name}" are of another type, last time {wrong_before:.0%}'
        found.hold("type_drift", fact, column=name)


def _percent(text: str) -> float | None:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
