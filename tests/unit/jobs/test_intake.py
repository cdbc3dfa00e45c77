"""One file against its layout: the verdict, the usable rows, and what the next delivery is compared with."""

import csv
from pathlib import Path

import pytest

from connectors.csv_feed.contract import Verdict
from connectors.csv_feed.tally import DeliveryFacts
from jobs.intake import contract, take
from mappings.load import load
from sync.world import FACTS, FIRMS

FEEDS = load().feeds
HEADER = [column.columns[0] for column in FEEDS["definitive"].fields.values()]
BAD = Path(__file__).parents[3].parent / "shared/data/feeds/bad"


def firm(number, **cells):
    usual = {
        "Definitive ID": str(500_000 + number),
        "Hospital Name": f"Hospital {number}",
        "Firm Type": "Hospital",
        "State": "TX",
        "IDN ID": str(100 + number % 7),
        "IDN": f"System {number % 7}",
        "IDN Parent ID": str(100 + number % 7),
        "IDN Parent": f"System {number % 7}",
        "# of Staffed Beds": str(20 + number),
    }
    return dict.fromkeys(HEADER, "") | usual | cells


def write(path, rows, *, header=HEADER, encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def deliver(tmp_path):
    """Write firms to a file and take it in."""

    def delivered(rows, *, as_of="2022-12-01", previous=None, header=HEADER):
        path = write(tmp_path / f"{as_of}.csv", rows, header=header)
        return take(path, FEEDS["definitive"], as_of=as_of, previous=previous)

    return delivered


def test_a_good_file_is_accepted_with_canonical_rows(deliver):
    intake = deliver([firm(n) for n in range(30)])
    assert (intake.verdict, intake.is_usable, intake.problems) == (Verdict.ACCEPT, True, ())
    assert (intake.rows_seen, intake.rows_set_aside, len(intake.rows)) == (30, 0, 30)
    assert set(intake.rows[0]) == set(FIRMS)
    assert (intake.rows[0]["staffed_beds"], intake.rows[0]["as_of"], intake.rows[0]["row"]) == (20, "2022-12-01", 1)


def test_the_declared_encoding_wins_over_the_layouts(tmp_path):
    rows = [firm(n, **{"Hospital Name": "St. Mary’s – West"}) for n in range(30)]
    path = write(tmp_path / "d.csv", rows, encoding="cp1252")
    assert take(path, FEEDS["definitive"], as_of="2022-12-01").verdict is Verdict.REJECT_FILE
    declared = take(path, FEEDS["definitive"], as_of="2022-12-01", encoding="cp1252")
    assert declared.rows[0]["name"] == "St. Mary’s – West"


def test_bad_rows_are_set_aside_and_the_rest_keeps_its_row_numbers(deliver):
    intake = deliver([firm(n, **({"Hospital Name": "=1+1"} if n == 3 else {})) for n in range(30)])
    assert intake.verdict is Verdict.QUARANTINE_ROWS
    assert (intake.rows_seen, intake.rows_set_aside) == (30, 1)
    assert [row["row"] for row in intake.rows[2:4]] == [3, 5]
    assert intake.counts == {"formula_cell": 1}


def test_shares_of_days_must_make_a_whole_where_all_are_known(deliver):
    shares = ["Medicare % of Days (HCRIS)", "Medicaid % of Days (HCRIS)", "Private/Self-Pay/Other % of Days (HCRIS)"]
    odd = firm(1, **dict.fromkeys(shares, "43.3%"))  # 129.9 %
    intake = deliver([firm(n) for n in range(2, 30)] + [odd])
    assert intake.counts == {"percent_sum": 1}


def test_an_unreadable_cell_is_a_note_and_the_row_is_used(deliver):
    intake = deliver([firm(n, **({"Website": "nowhere"} if n == 3 else {})) for n in range(30)])
    assert (intake.verdict, len(intake.rows), intake.counts) == (Verdict.ACCEPT, 30, {"unreadable_cell": 1})
    (problem,) = intake.problems
    assert (problem.row, problem.column) == (4, "Website")


def test_a_delivery_is_compared_with_the_one_before_even_after_storing_its_facts(deliver):
    first = deliver([firm(n) for n in range(60)])
    stored = DeliveryFacts.from_dict(first.facts_for_next_time.as_dict())
    second = deliver([firm(n) for n in range(30)], as_of="2023-01-01", previous=stored)
    assert (second.verdict, second.is_usable) == (Verdict.HOLD_FOR_REVIEW, False)
    assert len(second.rows) == 30  # a person may still accept it


def test_a_file_without_its_key_column_is_rejected_and_gives_no_rows(deliver):
    intake = deliver([firm(n) for n in range(30)], header=HEADER[1:])
    assert (intake.verdict, intake.rows) == (Verdict.REJECT_FILE, ())
    assert "Definitive ID" in str(intake.problems[0])


def test_facts_may_leave_category_and_dates_blank(tmp_path):
    header = [column.columns[0] for column in FEEDS["confirmed_facts"].fields.values()]
    rows = [
        ["1", "commercial_share", "", "56.0", "", "", "ada@example.com"],
        ["1", "gpo_contract", "infusion_pumps", "none", "2019-01-01", "2021-07-01", "ada@example.com"],
        ["1", "gpo_contract", "infusion_pumps", "Unity", "2021-07-01", "", "ada@example.com"],
    ]
    path = write(tmp_path / "facts.csv", [dict(zip(header, row, strict=True)) for row in rows], header=header)
    intake = take(path, FEEDS["confirmed_facts"], as_of="2022-12-01")
    assert (intake.verdict, len(intake.rows)) == (Verdict.ACCEPT, 3)
    assert set(intake.rows[0]) == set(FACTS)


def test_a_file_that_is_not_there_is_rejected(tmp_path):
    intake = take(tmp_path / "gone.csv", FEEDS["definitive"], as_of="2022-12-01")
    assert (intake.verdict, list(intake.counts)) == (Verdict.REJECT_FILE, ["unreadable"])


@pytest.mark.parametrize("as_of", ["2022-1-1", "20221201", "today"])
def test_an_as_of_that_is_no_iso_date_is_refused(tmp_path, as_of):
    with pytest.raises(ValueError, match="expected YYYY-MM-DD"):
        take(tmp_path / "x.csv", FEEDS["definitive"], as_of=as_of)


def test_every_layout_makes_a_contract():
    for layout in FEEDS.values():
        assert contract(layout).key[0] == layout.fields[layout.key[0]].columns[0]


@pytest.mark.shared
@pytest.mark.skipif(not BAD.is_dir(), reason="the labelled broken deliveries are not beside this checkout")
def test_the_packaged_layout_gives_the_labelled_verdict_for_each_broken_delivery():
    reference = take(BAD / "00_reference_previous_delivery.csv", FEEDS["definitive"], as_of="2022-12-01")
    with (BAD / "expected.csv").open(encoding="utf-8") as stream:
        cases = list(csv.DictReader(stream))
    given = {
        case["file"]: take(
            BAD / case["file"],
            FEEDS["definitive"],
            as_of=case["as_of"],
            encoding=case["declared_encoding"],
            previous=reference.facts_for_next_time,
        ).verdict
        for case in cases
    }
    assert given == {case["file"]: Verdict(case["verdict"]) for case in cases}


@pytest.mark.parametrize(
    ("column", "cell", "field"),
    [
        ("# of Staffed Beds", "-30", "staffed_beds"),
        ("IDN ID", "0", "idn_id"),
        ("IDN ID", "1.01E+05", "idn_id"),
        ("Phone", "(000) 000-0000", "phone"),
        ("Profile Last Updated", "2099-01-01", "updated_on"),
    ],
)
def test_a_value_that_cannot_be_is_unknown_and_noted(deliver, column, cell, field):
    intake = deliver([firm(n, **({column: cell} if n == 3 else {})) for n in range(30)])
    assert (intake.verdict, intake.rows[3][field], intake.counts) == (Verdict.ACCEPT, None, {"unreadable_cell": 1})
    assert f'row 4, "{column}": ' in str(intake.problems[0])


def test_words_for_nothing_are_blank_and_make_no_system(deliver):
    said = {"IDN ID": "NULL", "IDN": "N/A", "IDN Parent ID": "#REF!", "IDN Parent": "None", "State": "-"}
    intake = deliver([firm(n, **(said if n % 10 == 3 else {})) for n in range(30)])
    row = intake.rows[3]
    assert [row[field] for field in ("idn_id", "idn_name", "idn_parent_id", "idn_parent_name", "state", "cleared")] == [
        None
    ] * 6
    assert (intake.verdict, intake.counts) == (Verdict.ACCEPT, {"blank_word": 5})


def test_a_word_that_the_vendor_agreed_on_goes_before_the_words_for_nothing(tmp_path):
    layout = FEEDS["definitive"].model_copy(update={"clear_words": ("None",)})
    path = write(tmp_path / "d.csv", [firm(n, **({"Phone": "none"} if n == 3 else {})) for n in range(30)])
    assert take(path, layout, as_of="2022-12-01").rows[3]["cleared"] == "phone"


def test_numbers_that_a_spreadsheet_wrote_as_decimals_are_the_same_values(deliver):
    first = deliver([firm(n, NPI=f"10000000{n:02}", **{"Zip Code": "75001"}) for n in range(30)])
    again = [
        firm(n, NPI=f"10000000{n:02}.0", **{"Definitive ID": f"{500_000 + n}.0", "Zip Code": "750011234"})
        for n in range(30)
    ]
    second = deliver(again, as_of="2023-01-01", previous=first.facts_for_next_time)
    assert (second.verdict, second.problems) == (Verdict.ACCEPT, ())
    assert [{**row, "as_of": ""} for row in second.rows] == [
        {**row, "as_of": "", "file": "2023-01-01.csv"} for row in first.rows
    ]


def test_a_header_in_another_case_is_the_same_header(deliver):
    header = [name.upper() for name in HEADER]
    rows = [{name.upper(): cell for name, cell in firm(n).items()} for n in range(30)]
    intake = deliver(rows, header=header)
    assert (intake.verdict, intake.rows[3]["staffed_beds"]) == (Verdict.ACCEPT, 23)
