"""A delivery is judged as a whole before any of it is used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.csv_feed.contract import (
    ColumnRule,
    Delivery,
    FeedContract,
    Limits,
    Verdict,
    accepted_rows,
    inspect,
)
from connectors.csv_feed.keys import KeyTally
from connectors.csv_feed.reader import FeedRefused, Format, Severity
from connectors.csv_feed.tally import DeliveryFacts
from tests.unit.connectors.csv_feed.conftest import HEADER, Write, hospital

Rows = list[list[str]]
JUNE, DECEMBER = "2022-06-01", "2022-12-01"


@pytest.fixture
def last(write: Write, rows: Rows, contract: FeedContract) -> DeliveryFacts:
    facts = inspect(write(rows, name="last.csv"), contract, as_of=JUNE).facts
    assert facts is not None
    return facts


def codes(delivery: Delivery) -> set[str]:
    return {problem.code for problem in delivery.problems if problem.severity is not Severity.NOTE}


def test_a_good_first_delivery_is_accepted_without_a_word(write: Write, rows: Rows, contract: FeedContract) -> None:
    delivery = inspect(write(rows), contract, as_of=JUNE)
    assert delivery.verdict is Verdict.ACCEPT
    assert delivery.problems == ()
    assert delivery.facts is not None
    assert delivery.facts.rows == 60


def test_the_same_delivery_again_is_accepted(
    write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
) -> None:
    assert inspect(write(rows), contract, as_of=JUNE, last=last).verdict is Verdict.ACCEPT


def test_facts_survive_json(last: DeliveryFacts) -> None:
    assert DeliveryFacts.from_dict(json.loads(json.dumps(last.as_dict()))) == last


class TestWholeFile:
    def test_a_header_without_rows_is_rejected(self, write: Write, contract: FeedContract, last: DeliveryFacts) -> None:
        delivery = inspect(write([]), contract, as_of=DECEMBER, last=last)
        assert (delivery.verdict, delivery.facts and delivery.facts.rows) == (Verdict.REJECT_FILE, 0)
        assert "no_rows" in codes(delivery)

    def test_half_the_rows_are_held(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        delivery = inspect(write(rows[:30]), contract, as_of=DECEMBER, last=last)
        assert (delivery.verdict, codes(delivery)) == (Verdict.HOLD_FOR_REVIEW, {"row_drop", "keys_lost"})

    def test_as_many_rows_about_other_hospitals_are_held(
        self, write: Write, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        delivery = inspect(write([hospital(n) for n in range(30, 90)]), contract, as_of=DECEMBER, last=last)
        assert codes(delivery) == {"keys_lost"}

    def test_many_more_rows_are_held(self, write: Write, contract: FeedContract, last: DeliveryFacts) -> None:
        delivery = inspect(write([hospital(n) for n in range(120)]), contract, as_of=DECEMBER, last=last)
        assert codes(delivery) == {"row_growth"}

    def test_older_data_are_rejected(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        delivery = inspect(write(rows), contract, as_of="2019-12-31", last=last)
        assert (delivery.verdict, codes(delivery)) == (Verdict.REJECT_FILE, {"older_than_last"})

    def test_an_unreadable_file_is_rejected_with_its_line(self, tmp_path: Path, contract: FeedContract) -> None:
        path = tmp_path / "bad.csv"
        path.write_bytes(",".join(HEADER).encode() + b"\n\xff\n")
        delivery = inspect(path, contract, as_of=JUNE)
        assert delivery.verdict is Verdict.REJECT_FILE
        assert [(p.code, p.line) for p in delivery.problems] == [("undecodable", 2)]
        with pytest.raises(ValueError, match="rejected"):
            list(accepted_rows(path, contract, delivery))


class TestColumns:
    def without(self, rows: Rows, column: str, name: str = "") -> tuple[list[str], Rows]:
        at = HEADER.index(column)
        if name:
            return [*HEADER[:at], name, *HEADER[at + 1 :]], rows
        return [*HEADER[:at], *HEADER[at + 1 :]], [row[:at] + row[at + 1 :] for row in rows]

    def test_a_missing_key_column_is_rejected(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        header, cut = self.without(rows, "Definitive ID")
        delivery = inspect(write(cut, header=header), contract, as_of=JUNE)
        assert (delivery.verdict, codes(delivery)) == (Verdict.REJECT_FILE, {"missing_column"})

    def test_a_renamed_column_is_held(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        header, same = self.without(rows, "IDN ID", "Network ID")
        delivery = inspect(write(same, header=header), contract, as_of=DECEMBER, last=last)
        assert (delivery.verdict, codes(delivery)) == (Verdict.HOLD_FOR_REVIEW, {"schema_drift"})
        assert any("Network ID" in problem.fact for problem in delivery.problems)

    def test_a_required_column_is_rejected_when_absent_and_held_when_perhaps_renamed(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        must = tuple(dataclasses.replace(rule, required=rule.names == ("IDN",)) for rule in contract.columns)
        strict = dataclasses.replace(contract, columns=must)
        header, cut = self.without(rows, "IDN")
        assert inspect(write(cut, header=header), strict, as_of=JUNE).verdict is Verdict.REJECT_FILE
        header, same = self.without(rows, "IDN", "Network")
        assert inspect(write(same, header=header), strict, as_of=JUNE).verdict is Verdict.HOLD_FOR_REVIEW

    def test_a_synonym_is_the_same_column(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        known = tuple(
            dataclasses.replace(rule, names=(*rule.names, "CCN")) if rule.names == ("IDN ID",) else rule
            for rule in contract.columns
        )
        header, same = self.without(rows, "IDN ID", "CCN")
        delivery = inspect(write(same, header=header), dataclasses.replace(contract, columns=known), as_of=JUNE)
        assert delivery.problems == ()

    def test_a_new_column_alone_is_only_noted(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        delivery = inspect(
            write([[*row, "x"] for row in rows], header=[*HEADER, "Extra"]), contract, as_of=DECEMBER, last=last
        )
        assert delivery.verdict is Verdict.ACCEPT
        assert [(p.code, p.severity) for p in delivery.problems] == [("unknown_column", Severity.NOTE)]

    @pytest.mark.parametrize("name", ["Patient ID", "MRN", "SSN", "Date of Birth"])
    def test_columns_about_patients_are_refused(
        self, write: Write, rows: Rows, contract: FeedContract, name: str
    ) -> None:
        delivery = inspect(write([[*row, "x"] for row in rows], header=[*HEADER, name]), contract, as_of=JUNE)
        assert (delivery.verdict, codes(delivery)) == (Verdict.REJECT_FILE, {"patient_data"})

    def test_a_column_that_went_blank_is_held(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        for row in rows:
            row[3] = row[4] = ""
        delivery = inspect(write(rows), contract, as_of=DECEMBER, last=last)
        assert (delivery.verdict, codes(delivery)) == (Verdict.HOLD_FOR_REVIEW, {"blank_column"})
        assert {problem.column for problem in delivery.problems} == {"IDN ID", "IDN"}

    def test_one_owner_for_every_hospital_is_held(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        for row in rows:
            row[3], row[4] = "701", "System 1"
        delivery = inspect(write(rows), contract, as_of=DECEMBER, last=last)
        assert (delivery.verdict, codes(delivery)) == (Verdict.HOLD_FOR_REVIEW, {"one_value", "values_changed"})

    def test_shifted_rows_are_rejected_and_a_single_one_set_aside(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        shifted = [["", *row[:-1]] for row in rows]
        delivery = inspect(write(rows[:25] + shifted[25:]), contract, as_of=DECEMBER, last=last)
        assert delivery.verdict is Verdict.REJECT_FILE
        assert "shifted_columns" in codes(delivery)
        one = inspect(write([*rows[:59], shifted[59]]), contract, as_of=DECEMBER, last=last)
        assert (one.verdict, one.quarantined) == (Verdict.QUARANTINE_ROWS, {60})

    def test_a_typed_column_full_of_words_is_held(
        self, write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts
    ) -> None:
        for row in rows:
            row[5] = "many"
        delivery = inspect(write(rows), contract, as_of=DECEMBER, last=last)
        assert "type_drift" in codes(delivery)


class TestRows:
    def judge(self, write: Write, rows: Rows, contract: FeedContract) -> tuple[Verdict, set[int], set[str]]:
        delivery = inspect(write(rows), contract, as_of=JUNE)
        return delivery.verdict, set(delivery.quarantined), codes(delivery)

    def test_a_ragged_row_is_set_aside_with_its_line(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        rows[16] = rows[16][:-2]
        delivery = inspect(write(rows), contract, as_of=JUNE)
        assert (delivery.verdict, delivery.quarantined) == (Verdict.QUARANTINE_ROWS, {17})
        assert [(p.code, p.line, p.row) for p in delivery.problems] == [("ragged_row", 18, 17)]

    def test_a_blank_key_is_set_aside(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        rows[3][0] = " "
        assert self.judge(write, rows, contract) == (Verdict.QUARANTINE_ROWS, {4}, {"key_missing"})

    def test_a_part_of_the_key_may_be_blank_where_the_contract_says_so(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        dated = dataclasses.replace(contract, key=("Definitive ID", "Seen"), key_may_be_blank=("Seen",))
        rows[3][9] = ""
        assert self.judge(write, rows, dated)[0] is Verdict.ACCEPT
        rows[4][0] = ""
        assert self.judge(write, rows, dated) == (Verdict.QUARANTINE_ROWS, {5}, {"key_missing"})

    def test_keys_in_scientific_notation_reject_the_file(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        rows[5][0] = "7E+05"
        assert self.judge(write, rows, contract)[0] is Verdict.REJECT_FILE

    @pytest.mark.parametrize("cell", ["=1+1", "@SUM(A1:A9)", "+cmd|x", "-2+cmd|x", "\t=1"])
    def test_a_formula_is_set_aside(self, write: Write, rows: Rows, contract: FeedContract, cell: str) -> None:
        rows[8][1] = cell
        assert self.judge(write, rows, contract) == (Verdict.QUARANTINE_ROWS, {9}, {"formula_cell"})

    @pytest.mark.parametrize("cell", ["-", "+1 970 842 6200", "-5", "St. Mary's = Best", "a@b.org"])
    def test_what_merely_resembles_a_formula_is_kept(
        self, write: Write, rows: Rows, contract: FeedContract, cell: str
    ) -> None:
        rows[8][1] = cell
        assert self.judge(write, rows, contract)[0] is Verdict.ACCEPT

    def test_an_identical_repeat_is_left_out_once(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        path = write([*rows, rows[5]])
        delivery = inspect(path, contract, as_of=JUNE)
        assert (delivery.verdict, delivery.quarantined, delivery.repeats) == (Verdict.QUARANTINE_ROWS, set(), {61})
        assert [row.number for row in accepted_rows(path, contract, delivery)] == list(range(1, 61))

    def test_a_bad_row_that_comes_twice_is_set_aside_twice_and_no_repeat(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        rows[5][1] = "=1+1"
        delivery = inspect(write([*rows, rows[5]]), contract, as_of=JUNE)
        assert (delivery.quarantined, delivery.repeats) == ({6, 61}, set())

    def test_two_rows_that_contradict_each_other_are_both_set_aside(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        again = [*rows[11][:3], "999991", *rows[11][4:]]
        assert self.judge(write, [*rows, again], contract) == (
            Verdict.QUARANTINE_ROWS,
            {12, 61},
            {"conflicting_rows"},
        )

    def test_shares_that_sum_to_130_percent_are_set_aside(
        self, write: Write, rows: Rows, contract: FeedContract
    ) -> None:
        rows[10][6:9] = ["60%", "40%", "30%"]
        rows[11][6:9] = ["60%", "", "30%"]
        rows[12][6:9] = ["60%", "20%", "21.9%"]  # 101.9: rounding
        assert self.judge(write, rows, contract) == (Verdict.QUARANTINE_ROWS, {11}, {"percent_sum"})

    def test_too_many_bad_rows_hold_the_delivery(self, write: Write, rows: Rows, contract: FeedContract) -> None:
        for row in rows[:13]:  # 13 of 60 = 21.7 %, limit 20 %
            row[6:9] = ["60%", "40%", "30%"]
        verdict, aside, found = self.judge(write, rows, contract)
        assert (verdict, len(aside)) == (Verdict.HOLD_FOR_REVIEW, 13)
        assert "too_many_bad_rows" in found

    def test_problems_are_listed_up_to_a_limit_and_counted(self, write: Write, contract: FeedContract) -> None:
        rows = [hospital(n)[:-1] for n in range(150)]
        delivery = inspect(write(rows), contract, as_of=JUNE)
        assert delivery.counts["ragged_row"] == len(delivery.quarantined) == 150
        assert sum(problem.code == "ragged_row" for problem in delivery.problems) == 100


def test_a_file_changed_after_its_inspection_gives_no_rows(write: Write, rows: Rows, contract: FeedContract) -> None:
    delivery = inspect(write(rows), contract, as_of=JUNE)
    path = write(rows[:-1])
    with pytest.raises(FeedRefused, match="changed"):
        list(accepted_rows(path, contract, delivery))


def test_a_contract_names_only_its_own_columns() -> None:
    with pytest.raises(ValueError, match="Nowhere"):
        FeedContract(feed="f", columns=(ColumnRule(names=("A",)),), key=("Nowhere",))


def test_limits_are_part_of_the_contract(write: Write, rows: Rows, contract: FeedContract, last: DeliveryFacts) -> None:
    lax = dataclasses.replace(contract, limits=Limits(row_drop=0.6, keys_lost=0.6))
    assert inspect(write(rows[:30]), lax, as_of=DECEMBER, last=last).verdict is Verdict.ACCEPT


def test_key_coverage_is_estimated_from_a_sample_of_a_large_delivery() -> None:
    before, after = KeyTally(), KeyTally()
    for number in range(20_000):
        before.add(number, [str(number)], [""])
        if number % 4:
            after.add(number, [str(number)], [""])
    assert after.coverage(before.sample()[0]) == pytest.approx(0.75, abs=0.05)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet='1a,"\n=%é-', max_size=150).map(str.encode) | st.binary(max_size=100))
def test_any_bytes_get_a_verdict(tmp_path: Path, contract: FeedContract, content: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(",".join(HEADER).encode() + b"\n" + content)
    delivery = inspect(path, contract, as_of=JUNE)
    assert delivery.verdict in Verdict


CHECKOUT = Path(__file__).parents[4]
BAD = CHECKOUT.parent / "shared" / "data" / "feeds" / "bad"
TYPED = {
    "money": ("Net Patient Revenue",),
    "integer": ("# of Staffed Beds", "# of Discharges"),
    "yes_no": ("Critical Access",),
    "rural_urban": ("Geographic Classification",),
    "date": ("Profile Last Updated",),
    "id": ("Definitive ID", "IDN ID", "IDN Parent ID", "Medicare Provider Number", "NPI", "Zip Code"),
}
DAYS = (
    "Medicare % of Days (HCRIS)",
    "Medicaid % of Days (HCRIS)",
    "Private/Self-Pay/Other % of Days (HCRIS)",
)


def delivered_contract(header: str) -> FeedContract:
    by_name = {name: kind for kind, names in TYPED.items() for name in names}
    return FeedContract(
        feed="definitive",
        columns=tuple(
            ColumnRule(names=(name,), format=by_name.get(name, "percent" if "%" in name else "text"))
            for name in header.strip().split(",")
        ),
        key=("Definitive ID",),
        percent_groups=(DAYS,),
        format=Format(encoding="utf-8"),
    )


@pytest.mark.shared
def test_every_known_broken_delivery_gets_its_verdict() -> None:
    if not BAD.is_dir():
        pytest.skip("the labelled broken deliveries are beside a development checkout only")
    reference = BAD / "00_reference_previous_delivery.csv"
    contract = delivered_contract(reference.read_text("utf-8").splitlines()[0])
    last = inspect(reference, contract, as_of="2022-12-01")
    assert last.verdict is Verdict.ACCEPT
    table = [line.split("|") for line in (BAD / "EXPECTED.md").read_text("utf-8").splitlines() if ".csv |" in line]
    expected = {cells[1].strip(): cells[2].strip() for cells in table}
    got = {
        cells[1].strip(): inspect(BAD / cells[1].strip(), contract, as_of=cells[5].strip(), last=last.facts)
        for cells in table
    }
    assert {name: str(delivery.verdict) for name, delivery in got.items()} == expected
    assert len(expected) == 20
    assert got["07_ragged_row.csv"].problems[0].line == 18
    assert got["08_unclosed_quote_row_10.csv"].problems[0].line == 11
    assert got["09_nul_byte.csv"].problems[0].line == 21
    assert got["17_formula_cells.csv"].quarantined == {3, 9, 31}
    assert got["20_percent_sum_130.csv"].quarantined == set(range(11, 19))
