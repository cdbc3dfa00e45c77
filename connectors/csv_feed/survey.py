"""One pass over a delivery: each row against the contract, and the counts that describe the whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from types import TracebackType

from connectors.csv_feed import columns as cell
from connectors.csv_feed.agreement import FeedContract, day_of, folded, lost_digits
from connectors.csv_feed.findings import Findings, quoted
from connectors.csv_feed.keys import KeyTally
from connectors.csv_feed.oddities import oddity
from connectors.csv_feed.reader import FeedReader, FeedRow
from connectors.csv_feed.sample import SAMPLED, RowSample
from connectors.csv_feed.tally import ColumnTally, DeliveryFacts

_SHOWN = 5  # columns, where a header is told
_NAME_HELD = 80  # characters of it
_IDS_HELD = 100_000  # ids whose name is remembered, to find one with two
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

    def __init__(
        self,
        reader: FeedReader,
        contract: FeedContract,
        found: Findings,
        *,
        as_of: str,
        last: DeliveryFacts | None = None,
    ) -> None:
        self.found = found
        self.header = reader.header
        self.keys = KeyTally()
        self.rows = self.misaligned = self.damaged_keys = 0
        self.limits = contract.limits
        self._reader, self._contract = reader, contract
        latest = (date.fromisoformat(as_of) + timedelta(days=contract.limits.days_ahead)).isoformat()
        by_name = folded(reader.header)
        self.by_usual = {rule.names[0]: (rule.header_in(by_name), rule) for rule in contract.columns}
        self._heading = [name.casefold() for name in reader.header]
        self._last_row: FeedRow | None = None
        self.usable = self._check_header()
        present = [(name, rule) for name, rule in self.by_usual.values() if name]
        self.tallies = {name: ColumnTally() for name, _ in present}
        formats = {rule.names[0]: rule.format for name, rule in present}
        wanted = last.key_sample[:SAMPLED] if last is not None and not contract.rows_are_events else ()
        self.sample = RowSample(formats, wanted)
        self._names: dict[tuple[int, str], str] = {}  # pair and id -> the name it had first
        self._named_rows, self._two_names = Counter[int](), Counter[int]()  # by pair
        self._columns = [
            (name, cell.look_of(rule, contract, latest), rule.format != "text", self.tallies[name])
            for name, rule in present
        ]
        self._dated = [self.by_usual[usual][0] for usual in contract.dated if self.by_usual[usual][0]]
        self._named = [
            (id_, name)
            for one, other in contract.named_ids
            if (id_ := self.by_usual[one][0]) and (name := self.by_usual[other][0])
        ]
        self._key = [self.by_usual[usual][0] for usual in contract.key]
        self._key_rules = [self.by_usual[usual][1] for usual in contract.key]
        self._must_name = [self.by_usual[usual][0] for usual in contract.key if usual not in contract.key_may_be_blank]
        self._groups = [
            names for group in contract.percent_groups if all(names := [self.by_usual[usual][0] for usual in group])
        ]

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.keys.close()

    def add(self, row: FeedRow) -> None:
        self.rows += 1
        self._last_row = row
        if row.ragged:
            fact = f"the row has {row.found} cells, the header {len(self.header)}"
            self.found.row("ragged_row", row, fact)
            return
        if self._is_heading(row):
            fact = "the row repeats the header; perhaps two files were put together"
            self.found.row("repeated_header", row, fact)
            return
        said: dict[str, int] = {}
        if self._is_misaligned(row, said):
            self.misaligned += 1
            fact = "several cells are of another column's type; the row seems shifted"
            self.found.row("misaligned_row", row, fact)
            return
        self._check_key(row, said)
        self._check_cells(row, said)
        for group in self._groups:
            self._check_percents(row, group)
        for pair, (id_, name) in enumerate(self._named):
            self._check_name(pair, row.values[id_].strip(), row.values[name].strip())

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
            newest={name: self.tallies[name].newest for name in self._dated if self.tallies[name].newest},
            cells=self.sample.packed() if not self._contract.rows_are_events else {},
            key_sample=sample,
            key_sample_whole=whole,
        )

    def missing(self) -> list[str]:
        return [usual for usual, (name, _) in self.by_usual.items() if not name]

    def unknown(self) -> list[str]:
        known = {*(name for rule in self._contract.columns for name in rule.names), *self._contract.ignore}
        known = {name.casefold() for name in known}
        return [name for name in self.header if name.casefold() not in known]

    def _check_header(self) -> bool:
        """False: the rows need not be looked at."""
        missing, unknown = self.missing(), self.unknown()
        patient = [name for name in self.header if looks_like_patient_data(name)]
        if patient:
            fact = f"{quoted(patient)} looks like patient data, which Platbook must not hold"
            self.found.reject("patient_data", fact, "Ask for a file about organisations only", column=patient[0])
            return False
        keys = [name for name in missing if name in self._contract.key]
        must = [name for name in missing if self.by_usual[name][1].required]
        if keys or (must and not unknown):
            names = keys or must
            fact = f"required column {quoted(names)} is absent; line 1 names {quoted(_shown(self.header))}"
            self.found.reject("missing_column", fact, "Add the header's new name to the layout", column=names[0])
            return False
        if must:
            fact = f"required column {quoted(must)} is absent and {quoted(unknown)} is new: perhaps renamed"
            self.found.hold("schema_drift", fact, column=must[0])
        return True

    def _is_heading(self, row: FeedRow) -> bool:
        values = row.values.values()
        first = next(iter(values)).strip().casefold()
        return first == self._heading[0] and [" ".join(text.split()).casefold() for text in values] == self._heading

    def _is_misaligned(self, row: FeedRow, said: dict[str, int]) -> bool:
        """Count the cells, and put those that are not as agreed into `said`.

        True when at least three and a third of the typed ones are of another type.
        """
        typed = wrong = 0
        for name, look, is_typed, tally in self._columns:
            text = row.values[name].strip()
            if not text:
                tally.blank += 1
                continue
            flags = look(text)
            if flags:
                said[name] = flags
                if flags & cell.WORD:
                    tally.count_word(row.number, is_blank=flags == cell.BLANK_WORD, is_clear=flags == cell.CLEAR_WORD)
                    continue
            tally.add(text)
            if is_typed:
                typed += 1
                if flags & cell.MISMATCH:
                    wrong += 1
                    tally.mismatched += 1
        return wrong >= 3 and wrong * 3 >= typed

    def _check_cells(self, row: FeedRow, said: Mapping[str, int]) -> None:
        """Count what is damaged or not plausible; set aside what must not be shown or is no cell of a table."""
        for name, flags in said.items():
            self._count(self.tallies[name], flags, row.number, row.values[name])
            if flags & cell.TOO_LONG:
                fact = f'"{name}" has {len(row.values[name])} characters, limit {cell.MAX_CELL}'
                self.found.row("long_cell", row, fact, column=name)
                return
        for name in self._dated:
            self.tallies[name].see_day(day_of(row.values[name].strip()))
        for name, text in row.values.items():
            if text[:1] in _SIGNS and not _HARMLESS_SIGN.fullmatch(text):
                self.found.row("formula_cell", row, f'"{name}" holds what a spreadsheet would run', column=name)
                return

    @staticmethod
    def _count(tally: ColumnTally, flags: int, number: int, text: str) -> None:
        tally.lost += bool(flags & cell.LOST_DIGITS)
        tally.day_first += bool(flags & cell.DAY_FIRST)
        tally.future += bool(flags & cell.FUTURE)
        if flags & cell.ODD:
            tally.odd += 1
            tally.first_odd = tally.first_odd or number
            tally.what_is_odd = tally.what_is_odd or oddity(text.strip())

    def _check_key(self, row: FeedRow, said: Mapping[str, int]) -> None:
        values = {name: "" if said.get(name, 0) & cell.WORD else row.values[name].strip() for name in self._key}
        column = next((name for name in self._must_name if not values[name]), None)
        if column is not None:
            self.found.row("key_missing", row, f'"{column}" is blank, so the row names nobody', column=column)
            return
        for (name, text), rule in zip(values.items(), self._key_rules, strict=True):
            if lost_digits(text, whole=rule.digits is None):
                self.damaged_keys += 1
                self.found.row("key_damaged", row, f'"{name}" is {text!r}: digits are lost', column=name)
                return
            if rule.format == "id" and text and not rule.fits(text):
                fact = f'"{name}" is no id, which has a digit and no space, so the row names nobody'
                self.found.row("key_malformed", row, fact, column=name)
                return
        named = [rule.in_one_form(text) for text, rule in zip(values.values(), self._key_rules, strict=True)]
        key = self.keys.add(row.number, named, list(row.values.values()))
        if self.sample.wants(key):
            self.sample.add(key, dict(self._plain_cells(row, said)))

    def _plain_cells(self, row: FeedRow, said: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        for usual, (name, rule) in self.by_usual.items():
            if name:
                text = "" if said.get(name, 0) & cell.WORD else row.values[name].strip()
                yield usual, rule.in_one_form(text)

    def _check_name(self, pair: int, id_: str, name: str) -> None:
        """An id stands for one organisation, which has one name in one delivery."""
        if not (id_ and name):
            return
        self._named_rows[pair] += 1
        first = self._names.get((pair, id_))
        if first is None:
            if len(self._names) < _IDS_HELD:
                self._names[pair, id_] = name[:_NAME_HELD]
        elif first != name and first.casefold() != name[:_NAME_HELD].casefold():
            self._two_names[pair] += 1

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
        self._check_end()
        for name, tally in self.tallies.items():
            self._check_column(name, tally)
        for pair, (id_, name) in enumerate(self._named):
            two, rows = self._two_names[pair], self._named_rows[pair]
            if two > max(limits.odd * rows, limits.few):
                fact = (
                    f'{two} of {rows} rows give an "{id_}" another "{name}" than an earlier row, limit {limits.odd:.0%}'
                )
                self.found.hold(
                    "id_names_differ", f"{fact}; perhaps a column was moved or sorted by itself", column=name
                )

    def _check_end(self) -> None:
        """How the file ends, and what was left out of its text."""
        last = self._last_row
        if last is not None and last.ragged and last.found < len(self.header) and self._reader.is_cut_off:
            fact = f"the file breaks off inside its last line ({last.line}); how many rows are missing is not known"
            self.found.hold("cut_off", fact)
        lines, first = self._reader.cleaned
        if lines:
            fact = f"{lines} lines hold invisible characters (marks of direction, controls), the first is line {first}"
            self.found.note("invisible_characters", fact, "They are left out")

    def _check_column(self, name: str, tally: ColumnTally) -> None:
        """What is odd in a column: a note where it is rare, and a person looks where it is not."""
        limit = max(self.limits.odd * tally.filled, self.limits.few)
        if tally.lost > limit:
            fact = f'{tally.lost} cells of "{name}" are in scientific notation: a spreadsheet rewrote the file'
            self.found.hold("ids_damaged", fact, column=name)
        if tally.day_first > limit:
            fact = f'{tally.day_first} dates of "{name}" have the day before the month, so the others may be misread'
            self.found.hold("day_first", fact, column=name)
        if tally.future > limit:
            fact = f'{tally.future} dates of "{name}" lie after the date of the delivery'
            self.found.hold("future_dates", fact, column=name)
        if tally.odd > limit:
            fact = f'{tally.odd} cells of "{name}" hold {tally.what_is_odd}, the first in row {tally.first_odd}'
            self.found.hold("odd_text", fact, column=name)
        elif tally.odd:
            fact = f'{tally.odd} cells of "{name}" hold {tally.what_is_odd}'
            self.found.note("odd_text", fact, "Correct them at the sender", column=name, row=tally.first_odd)
        if tally.worded:
            fact = f'{tally.worded} cells of "{name}" hold a word such as N/A; they count as blank'
            self.found.note("blank_word", fact, "None needed", column=name, row=tally.first_worded)


def _shown(header: Sequence[str]) -> list[str]:
    """The first few names, as far as they fit into a sentence."""
    return [name[:40] for name in header[:_SHOWN]] + (["..."] if len(header) > _SHOWN else [])


def _percent(text: str) -> float | None:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return None
