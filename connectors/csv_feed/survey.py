"""One pass over a delivery: each row against the contract, and the counts that describe the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType

from connectors.csv_feed.agreement import FeedContract
from connectors.csv_feed.findings import Findings, quoted
from connectors.csv_feed.keys import KeyTally
from connectors.csv_feed.reader import FeedReader, FeedRow
from connectors.csv_feed.tally import ColumnTally, DeliveryFacts

_REMEMBERED = 1024  # cells a column whose type is known already
_DAMAGED_ID = re.compile(r"\s*\d+(\.\d+)?[eE]\+?\d+\s*")  # what a spreadsheet leaves of a long number
_SIGNS = frozenset("=+-@\t\r")
_HARMLESS_SIGN = re.compile(r"[-+][\d\s().,/%-]*")  # telephone numbers, negative numbers, a lone dash
_PATIENT_COLUMN = re.compile(
    r"\b(mrn|medical record (number|no|id)|ssn|social security|dob|dates? of birth|birth ?(date|day)"
    r"|patients? (id|identifier|name|number|no|key|first|last|birth|address|phone|email|zip|gender|sex|age|dob)"
    r"|mbi|hicn?|beneficiary (id|name|number|key)|(subscriber|insured|policy ?holder) (id|name|number)"
    r"|(encounter|visit|admission|claim) (id|number|no|date)|(admit|discharge) date"
    r"|date of (admission|discharge|service)"
    r"|(primary|admitting|principal) diagnosis|(diagnosis|icd|icd 10|icd10) codes?)\b"
)
_WORD_EDGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def looks_like_patient_data(header: str) -> bool:
    """A column of that name would hold data of patients. `PatientID`, `patient_id` and `Patient Id` are the same."""
    words = " ".join(_WORD_EDGE.sub(" ", header).lower().split())
    return _PATIENT_COLUMN.search(words) is not None


class Survey:
    """One pass over the rows. A context: the rows' keys may lie in temporary files."""

    def __init__(self, reader: FeedReader, contract: FeedContract, found: Findings) -> None:
        self.found = found
        self.header = reader.header
        self.keys = KeyTally()
        self.rows = self.misaligned = self.damaged_keys = 0
        self._contract = contract
        self._by_usual = {
            rule.names[0]: (next((name for name in rule.names if name in reader.header), ""), rule)
            for rule in contract.columns
        }
        self._words = contract.clear_words | contract.same_words
        self.usable = self._check_header()
        present = [(name, rule) for name, rule in self._by_usual.values() if name]
        self.tallies = {name: ColumnTally() for name, _ in present}
        self._columns: list[tuple[str, Callable[[str], bool] | None, ColumnTally]] = [
            (name, lru_cache(_REMEMBERED)(rule.fits) if rule.format != "text" else None, self.tallies[name])
            for name, rule in present
        ]
        self._key = [self._by_usual[usual][0] for usual in contract.key]
        self._must_name = [self._by_usual[usual][0] for usual in contract.key if usual not in contract.key_may_be_blank]
        self._groups = [
            names for group in contract.percent_groups if all(names := [self._by_usual[usual][0] for usual in group])
        ]

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.keys.close()

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
        (sample, whole), rows = self.keys.sample(), max(self.rows, 1)
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
            cleared_rate={name: tally.cleared / rows for name, tally in self.tallies.items() if tally.cleared},
            key_sample=sample,
            key_sample_whole=whole,
        )

    def missing(self) -> list[str]:
        return [usual for usual, (name, _) in self._by_usual.items() if not name]

    def unknown(self) -> list[str]:
        known = {name for rule in self._contract.columns for name in rule.names} | set(self._contract.ignore)
        return [name for name in self.header if name not in known]

    def _check_header(self) -> bool:
        """False: the rows need not be looked at."""
        missing, unknown = self.missing(), self.unknown()
        patient = [name for name in self.header if looks_like_patient_data(name)]
        if patient:
            fact = f"{quoted(patient)} looks like patient data, which Platbook must not hold"
            self.found.reject("patient_data", fact, "Ask for a file about organisations only", column=patient[0])
            return False
        keys = [name for name in missing if name in self._contract.key]
        must = [name for name in missing if self._by_usual[name][1].required]
        if keys or (must and not unknown):
            names = keys or must
            fact = f"required column {quoted(names)} is absent"
            self.found.reject("missing_column", fact, "Add the header's new name to the layout", column=names[0])
            return False
        if must:
            fact = f"required column {quoted(must)} is absent and {quoted(unknown)} is new: perhaps renamed"
            self.found.hold("schema_drift", fact, column=must[0])
        return True

    def _is_misaligned(self, row: FeedRow) -> bool:
        """Count the cells; True when at least three and a third of the typed ones are of another type."""
        typed = wrong = 0
        words, clear = self._words, self._contract.clear_words
        for name, fits, tally in self._columns:
            text = row.values[name].strip()
            if not text:
                tally.blank += 1
                continue
            if words and text.lower() in words:
                tally.cleared += text.lower() in clear
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
            if text[:1] in _SIGNS and not _HARMLESS_SIGN.fullmatch(text):
                self.found.row("formula_cell", row, f'"{name}" holds what a spreadsheet would run', column=name)
                return

    def _check_percents(self, row: FeedRow, group: Sequence[str]) -> None:
        shares = [_percent(row.values[name]) for name in group]
        known = [share for share in shares if share is not None]
        low, high = self._contract.limits.percent_sum
        if len(known) == len(group) and not low <= sum(known) <= high:
            fact = f"{quoted(group)} sum to {sum(known):.1f} %, expected {low:g} to {high:g} %"
            self.found.row("percent_sum", row, fact, column=group[0])

    def _check_repeats(self) -> None:
        for repeat in self.keys.repeats():
            numbers = [int(number) for number in repeat.numbers[:5]]
            listed = ", ".join(str(number) for number in numbers)
            if repeat.identical:
                if numbers[0] in self.found.quarantined:
                    continue  # the others hold the same cells, so they are set aside as well
                self.found.repeats.update(map(int, repeat.numbers[1:]))
                fact = f"rows {listed} are the same row; the first is kept"
                self.found.note("repeated_row", fact, "None needed", row=numbers[1])
            else:
                fact = f"rows {listed} share {quoted(self._key)} but say different things"
                self.found.rows("conflicting_rows", map(int, repeat.numbers), fact, first=numbers[0])
        if self.keys.is_skewed:
            fact = f"millions of rows share {quoted(self._key)}, which should name one row each"
            self.found.reject("key_is_no_key", fact, "Ask for the delivery again, or correct the layout's key")

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


def _percent(text: str) -> float | None:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return None
