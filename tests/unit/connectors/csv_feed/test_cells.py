"""Cells and rows that are not what they seem: words for nothing, totals, pasted files, wrong decodings, damaged ids."""

from __future__ import annotations

import dataclasses
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from connectors.csv_feed.agreement import ColumnRule, FeedContract
from connectors.csv_feed.contract import Delivery, Verdict, inspect
from connectors.csv_feed.oddities import oddity
from connectors.csv_feed.reader import FeedRefused, Format, open_feed
from tests.unit.connectors.csv_feed.conftest import HEADER, Write, hospital

Rows = list[list[str]]
JUNE = "2022-06-01"


def one(delivery: Delivery) -> str:
    """The code of the only kind of problem."""
    assert len(delivery.counts) == 1
    return next(iter(delivery.counts))


@pytest.fixture
def agreed(contract: FeedContract) -> FeedContract:
    return dataclasses.replace(contract, blank_words=frozenset(("n/a", "null", "#ref!")))


class TestRows:
    @pytest.mark.parametrize("key", ["Total", "60 records exported on 2022-06-01", "283,412", "0", "２８３４１２"])
    def test_a_row_whose_key_is_no_id_is_set_aside(
        self, write: Write, rows: Rows, agreed: FeedContract, key: str
    ) -> None:
        total = [f'"{key}"', *[""] * (len(HEADER) - 1)]
        delivery = inspect(write([*rows, total]), agreed, as_of=JUNE)
        assert (delivery.verdict, one(delivery), delivery.quarantined) == (
            Verdict.QUARANTINE_ROWS,
            "key_malformed",
            {61},
        )

    def test_a_second_header_is_told_from_a_shifted_row(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        delivery = inspect(write([*rows[:30], list(HEADER), *rows[30:]]), agreed, as_of=JUNE)
        assert (one(delivery), delivery.quarantined) == ("repeated_header", {31})
        assert ":32: the row repeats the header" in str(delivery.problems[0])

    def test_a_word_for_nothing_counts_as_blank_and_is_noted(
        self, write: Write, rows: Rows, agreed: FeedContract
    ) -> None:
        rows[3][3:5] = ["NULL", "#REF!"]
        delivery = inspect(write(rows), agreed, as_of=JUNE)
        assert (delivery.verdict, delivery.counts) == (Verdict.ACCEPT, {"blank_word": 2})
        assert delivery.facts is not None
        assert delivery.facts.blank_rate["IDN ID"] == 1 / 60

    def test_a_key_that_is_such_a_word_names_nobody(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        rows[3][0] = "N/A"
        assert "key_missing" in inspect(write(rows), agreed, as_of=JUNE).counts

    def test_a_cell_of_thousands_of_characters_sets_its_row_aside(
        self, write: Write, rows: Rows, agreed: FeedContract
    ) -> None:
        rows[3][1] = "Mercy " * 2_000
        delivery = inspect(write(rows), agreed, as_of=JUNE)
        assert (one(delivery), delivery.quarantined) == ("long_cell", {4})

    def test_a_file_that_breaks_off_inside_its_last_line_is_held(
        self, tmp_path: Path, write: Write, rows: Rows, agreed: FeedContract
    ) -> None:
        path = write(rows)
        path.write_bytes(path.read_bytes()[:-40])
        delivery = inspect(path, agreed, as_of=JUNE)
        assert (delivery.verdict, set(delivery.counts)) == (Verdict.HOLD_FOR_REVIEW, {"cut_off", "ragged_row"})


class TestIds:
    @pytest.mark.parametrize("key", ["2.83E+05", "2,83E+05", "7E05"])
    def test_a_key_in_scientific_notation_rejects_the_file(
        self, write: Write, rows: Rows, agreed: FeedContract, key: str
    ) -> None:
        rows[3][0] = f'"{key}"'
        delivery = inspect(write(rows), agreed, as_of=JUNE)
        assert (delivery.verdict, set(delivery.counts)) == (Verdict.REJECT_FILE, {"key_damaged", "keys_damaged"})

    def test_another_id_in_scientific_notation_holds_it(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        for row in rows[:10]:
            row[3] = "7.01E+02"
        delivery = inspect(write(rows), agreed, as_of=JUNE)
        assert (delivery.verdict, one(delivery)) == (Verdict.HOLD_FOR_REVIEW, "ids_damaged")

    def test_a_nursing_facilitys_number_is_not_taken_for_scientific_notation(self, write: Write, rows: Rows) -> None:
        ccn = FeedContract(
            feed="owners",
            columns=tuple(
                ColumnRule(names=(name,), format="id" if name == "Definitive ID" else "text", digits=6)
                for name in HEADER
            ),
            key=("Definitive ID",),
        )
        rows[3][0] = "05E001"
        assert inspect(write(rows), ccn, as_of=JUNE).problems == ()

    def test_two_ways_to_write_a_key_are_one_key(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        plain = tuple(
            dataclasses.replace(rule, plain=lambda text: text.removesuffix(".0")) if rule.format == "id" else rule
            for rule in agreed.columns
        )
        rows.append(["100000.0", *hospital(1)[1:]])
        delivery = inspect(write(rows), dataclasses.replace(agreed, columns=plain), as_of=JUNE)
        assert (one(delivery), delivery.quarantined) == ("conflicting_rows", {1, 61})


class TestDates:
    def test_the_day_before_the_month_is_held_at_once(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        for n, row in enumerate(rows):
            row[9] = f"{n % 28 + 1:02}/06/2022"
        delivery = inspect(write(rows), agreed, as_of=JUNE)
        assert (delivery.verdict, set(delivery.counts)) == (Verdict.HOLD_FOR_REVIEW, {"day_first", "type_drift"})


class TestText:
    @pytest.mark.parametrize(
        "name", ["St. Mary\u2019s", "Hôpital Général", "Niño Jesús", "Dupont & Söhne", "B\u00e9", "AT&T", "100 °C"]
    )
    def test_ordinary_letters_are_not_odd(self, name: str) -> None:
        assert oddity(name) == ""

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("St. Mary\u00e2\u20ac\u2122s", "wrong encoding"),
            ("H\u00c3\u00b4pital", "wrong encoding"),
            ("St. Mary\ufffds", "lost"),
            ("St. Mary\x92s", "lost"),
            ("M\u0435rcy", "two alphabets"),
            ("\uff2dercy", "wide"),
            ("Mercy &amp; Grace", "web page"),
            ("St. Mary&#39;s", "web page"),
        ],
    )
    def test_damaged_letters_are_named(self, name: str, what: str) -> None:
        assert what in oddity(name)

    def test_a_few_are_noted_and_many_are_held(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        rows[4][1] = "H\u00c3\u00b4pital"
        noted = inspect(write(rows), agreed, as_of=JUNE)
        assert (noted.verdict, one(noted), noted.problems[0].row) == (Verdict.ACCEPT, "odd_text", 5)
        for row in rows[:10]:
            row[1] = "H\u00c3\u00b4pital"
        assert inspect(write(rows), agreed, as_of=JUNE).verdict is Verdict.HOLD_FOR_REVIEW

    def test_invisible_characters_are_left_out_and_noted(self, write: Write, rows: Rows, agreed: FeedContract) -> None:
        rows[4] = [f"\u200f{cell}\u200b" for cell in rows[4]]
        rows[5][0] = f"\ufeff{rows[5][0]}"
        path = write(rows)
        delivery = inspect(path, agreed, as_of=JUNE)
        assert (delivery.verdict, one(delivery)) == (Verdict.ACCEPT, "invisible_characters")
        with open_feed(path, Format()) as reader:
            assert [list(row.values.values()) for row in reader][4:6] == [hospital(4), hospital(5)]

    def test_a_formula_behind_an_invisible_character_is_still_found(
        self, write: Write, rows: Rows, agreed: FeedContract
    ) -> None:
        rows[4][1] = "\u200b=1+1"
        assert "formula_cell" in inspect(write(rows), agreed, as_of=JUNE).counts


def refusal(path: Path) -> str:
    with pytest.raises(FeedRefused) as refused, open_feed(path, Format()) as reader:
        list(reader)
    return f"{refused.value.problem.code}: {refused.value}"


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
            (gzip.compress(b"a,b\n", mtime=0), "gzipped"),
            (b"%PDF-1.7", "a PDF document"),
            (b"<!DOCTYPE html>\n<html>", "a web page, XML or JSON"),
            (b'{"error": "expired"}', "a web page, XML or JSON"),
        ],
    )
    def test_a_file_of_another_kind_is_named(self, tmp_path: Path, content: bytes, told: str) -> None:
        path = tmp_path / "d.csv"
        path.write_bytes(content)
        assert refusal(path).startswith("foreign_file")
        assert told in refusal(path)

    @pytest.mark.parametrize(("mark", "told"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")])
    def test_another_delimiter_is_named(self, tmp_path: Path, mark: str, told: str) -> None:
        path = tmp_path / "d.csv"
        path.write_text(mark.join(HEADER) + "\n" + mark.join(hospital(1)) + "\n", encoding="utf-8")
        assert refusal(path).startswith("wrong_delimiter")
        assert f"set apart by {told}, expected was a comma" in refusal(path)

    @pytest.mark.parametrize("rows", [3, 40_000])
    def test_carriage_returns_alone_are_named_whatever_the_size(self, tmp_path: Path, rows: int) -> None:
        path = tmp_path / "d.csv"
        path.write_text("\r".join([",".join(HEADER), *(",".join(hospital(n)) for n in range(rows))]), newline="")
        assert refusal(path).startswith("line_ends")

    def test_a_plain_file_by_the_name_of_an_archive_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "d.csv.gz"
        path.write_bytes(b"a,b\n1,2\n")
        assert "is not gzipped, though its name says so" in refusal(path)

    def test_what_a_mac_adds_to_an_archive_is_not_counted(self, tmp_path: Path) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("d.csv", "a,b\n1,2\n")
            archive.writestr("__MACOSX/._d.csv", "x")
        path = tmp_path / "d.zip"
        path.write_bytes(made.getvalue())
        with open_feed(path, Format()) as reader:
            assert [dict(row.values) for row in reader] == [{"a": "1", "b": "2"}]

    def test_an_absent_column_is_told_with_what_line_1_holds(
        self, write: Write, rows: Rows, agreed: FeedContract
    ) -> None:
        delivery = inspect(write(rows, header=["Hospital export of June"]), agreed, as_of=JUNE)
        assert 'line 1 names "Hospital export of June"' in str(delivery.problems[0])
