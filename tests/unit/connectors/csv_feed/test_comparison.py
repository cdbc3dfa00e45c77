"""A delivery beside the last one: mixed-up columns, other units, old contents under a new date."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from connectors.csv_feed.agreement import FeedContract
from connectors.csv_feed.contract import Delivery, Verdict, inspect
from connectors.csv_feed.reader import Severity
from connectors.csv_feed.tally import DeliveryFacts
from tests.unit.connectors.csv_feed.conftest import HEADER, Write

Rows = list[list[str]]
JUNE, DECEMBER = "2022-06-01", "2022-12-01"
AT = {name: at for at, name in enumerate(HEADER)}


@pytest.fixture
def agreed(contract: FeedContract) -> FeedContract:
    return dataclasses.replace(contract, named_ids=(("IDN ID", "IDN"),), dated=("Seen",))


@pytest.fixture
def last(write: Write, rows: Rows, agreed: FeedContract) -> DeliveryFacts:
    facts = inspect(write(rows, name="last.csv"), agreed, as_of=JUNE).facts
    assert facts is not None
    return DeliveryFacts.from_dict(json.loads(json.dumps(facts.as_dict())))


def held(delivery: Delivery) -> set[str]:
    return {problem.code for problem in delivery.problems if problem.severity is Severity.HOLD}


def each(rows: Rows, column: str, change: Callable[[str], str]) -> Rows:
    return [[change(cell) if at == AT[column] else cell for at, cell in enumerate(row)] for row in rows]


def shifted(rows: Rows, *columns: str) -> Rows:
    """The cells of some columns moved down by one row."""
    moved = [*rows[-1:], *rows[:-1]]
    at = {AT[name] for name in columns}
    return [[(other if n in at else row)[n] for n in range(len(row))] for row, other in zip(rows, moved, strict=True)]


@pytest.mark.parametrize(
    ("column", "change", "code"),
    [
        ("Beds", lambda cell: f"{cell}000", "scale_drift"),
        ("Beds", lambda cell: f"-{cell}", "scale_drift"),
        ("Medicare", lambda cell: f"{float(cell.rstrip('%')) / 100:.3f}", "scale_drift"),
        ("Hospital Name", lambda cell: cell[:8], "values_changed"),
        ("Phone", lambda cell: f"{cell[:-1]}1", "values_changed"),
        ("Seen", lambda cell: "2021-06-07", "older_content"),
        ("Seen", lambda cell: "2099-06-07", "future_dates"),
    ],
)
def test_a_column_in_another_unit_or_of_another_time_is_held(
    write: Write,
    rows: Rows,
    agreed: FeedContract,
    last: DeliveryFacts,
    column: str,
    change: Callable[[str], str],
    code: str,
) -> None:
    delivery = inspect(write(each(rows, column, change)), agreed, as_of=DECEMBER, last=last)
    assert code in held(delivery)
    assert any(f'"{column}"' in problem.fact for problem in delivery.problems if problem.code == code)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (("Definitive ID",), "values_changed"),
        (("IDN ID",), "values_changed"),
        (("IDN ID", "IDN"), "values_changed"),
        (("Hospital Name",), "values_changed"),
    ],
)
def test_columns_that_were_moved_apart_are_held(
    write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts, columns: tuple[str, ...], code: str
) -> None:
    delivery = inspect(write(shifted(rows, *columns)), agreed, as_of=DECEMBER, last=last)
    assert code in held(delivery)


def test_an_id_with_two_names_is_held_in_a_first_delivery_too(write: Write, rows: Rows, agreed: FeedContract) -> None:
    for n, row in enumerate(rows):
        row[3], row[4] = f"70{n * n % 7}", f"System {n * n % 7}"
    assert held(inspect(write(rows), agreed, as_of=JUNE)) == set()
    assert held(inspect(write(shifted(rows, "IDN ID")), agreed, as_of=JUNE)) == {"id_names_differ"}


def test_two_columns_swapped_are_held(write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts) -> None:
    swapped = [[*row[:6], row[7], row[6], *row[8:]] for row in rows]
    assert held(inspect(write(swapped), agreed, as_of=DECEMBER, last=last)) == {"scale_drift"}


def test_ids_filled_down_into_rows_without_a_name_are_held(write: Write, rows: Rows, agreed: FeedContract) -> None:
    alone = [[*row[:3], "", "", *row[5:]] if n % 2 else row for n, row in enumerate(rows)]
    before = inspect(write(alone, name="a.csv"), agreed, as_of=JUNE).facts
    filled = [[*row[:3], row[3] or alone[n - 1][3], *row[4:]] for n, row in enumerate(alone)]
    assert held(inspect(write(filled, name="b.csv"), agreed, as_of=DECEMBER, last=before)) == {"ids_without_names"}


def test_ordinary_change_is_accepted(write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts) -> None:
    """Some systems are renamed, some phones are new, beds grow by a tenth; case and punctuation do not count."""
    moved = [list(row) for row in rows]
    for n, row in enumerate(moved):
        row[1] = row[1].upper()
        row[2] = row[2].replace("6200", "6300") if n % 3 == 0 else row[2].replace("-", ".")
        row[4] = f"{row[4]} Health" if row[3] in ("700", "704") else row[4]
        row[5] = str(int(int(row[5]) * 1.1))
    delivery = inspect(write(moved), agreed, as_of=DECEMBER, last=last)
    assert (delivery.verdict, delivery.problems) == (Verdict.ACCEPT, ())


def test_facts_kept_before_cells_were_compared_still_serve(
    write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts
) -> None:
    old = {name: value for name, value in last.as_dict().items() if name not in ("cells", "newest")}
    facts = DeliveryFacts.from_dict(old)
    assert inspect(write(rows), agreed, as_of=DECEMBER, last=facts).verdict is Verdict.ACCEPT


def test_the_same_bytes_under_a_new_date_are_noted(
    write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts
) -> None:
    delivery = inspect(write(rows), agreed, as_of=DECEMBER, last=last)
    assert (delivery.verdict, list(delivery.counts)) == (Verdict.ACCEPT, ["same_file"])


def test_a_known_synonym_or_another_case_is_no_drift(
    write: Write, rows: Rows, agreed: FeedContract, last: DeliveryFacts
) -> None:
    known = tuple(
        dataclasses.replace(rule, names=(*rule.names, "Network ID")) if rule.names == ("IDN ID",) else rule
        for rule in agreed.columns
    )
    header = [*(name.upper() for name in HEADER[:3]), "network id", *HEADER[4:]]
    delivery = inspect(
        write(rows, header=header), dataclasses.replace(agreed, columns=known), as_of=DECEMBER, last=last
    )
    assert (delivery.verdict, delivery.problems) == (Verdict.ACCEPT, ())


def test_events_bring_other_keys_each_time(write: Write, rows: Rows, agreed: FeedContract) -> None:
    events = dataclasses.replace(agreed, rows_are_events=True, key=("Definitive ID", "Seen"))
    last = inspect(write(rows, name="last.csv"), events, as_of=JUNE).facts
    later = each(rows, "Seen", lambda _: "2022-06-14")[:40]
    assert inspect(write(later), events, as_of="2022-06-14", last=last).verdict is Verdict.ACCEPT
    few = inspect(write(later[:20]), events, as_of="2022-06-14", last=last)
    assert held(few) == {"row_drop"}


def test_another_number_of_rows_than_was_declared_is_held(write: Write, rows: Rows, agreed: FeedContract) -> None:
    assert inspect(write(rows), agreed, as_of=JUNE, rows=60).verdict is Verdict.ACCEPT
    delivery = inspect(write(rows[:58]), agreed, as_of=JUNE, rows=60)
    assert held(delivery) == {"row_count"}
    assert "58 rows, 60 were declared" in str(delivery.problems[0])
