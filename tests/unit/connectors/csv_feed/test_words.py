"""What a header or a cell may say beyond its value: data of patients, "there is none", "as last time"."""

from __future__ import annotations

import dataclasses

import pytest

from connectors.csv_feed.contract import FeedContract, Verdict, inspect
from connectors.csv_feed.survey import looks_like_patient_data
from tests.unit.connectors.csv_feed.conftest import HEADER, Write

JUNE = "2022-06-01"


@pytest.mark.parametrize(
    "header",
    [
        "MRN", "Medical Record Number", "SSN", "social_security_no", "DOB", "PatientDOB", "patient_id", "PatientName",
        "Patient First Name", "Date of Birth", "birthDate", "MBI", "HICN", "Beneficiary ID", "Encounter ID",
        "Discharge Date", "ICD-10 Code", "Primary Diagnosis", "Date of Service",
    ],
)  # fmt: skip
def test_a_column_that_looks_like_patient_data_is_recognised(header: str) -> None:
    assert looks_like_patient_data(header)


@pytest.mark.parametrize(
    "header",
    [
        "# of Discharges", "Net Patient Revenue", "Patient Days", "Average Patient Satisfaction", "Hospital Name",
        "# of Staffed Beds", "NPI", "Admissions", "Member ID", "Claims Volume", "Profile Last Updated", "Adobe ID",
    ],
)  # fmt: skip
def test_a_column_about_an_organisation_is_not_taken_for_patient_data(header: str) -> None:
    assert not looks_like_patient_data(header)


def test_a_file_with_such_a_column_is_refused_and_the_column_named(
    write: Write, rows: list[list[str]], contract: FeedContract
) -> None:
    delivery = inspect(write([[*row, "x"] for row in rows], header=(*HEADER, "PatientDOB")), contract, as_of=JUNE)
    assert delivery.verdict is Verdict.REJECT_FILE
    assert '"PatientDOB" looks like patient data' in str(delivery.problems[0])


@pytest.fixture
def wordy(contract: FeedContract) -> FeedContract:
    return dataclasses.replace(
        contract, clear_words=frozenset({"n/a (cleared)"}), same_words=frozenset({"(no change)"})
    )


def test_a_word_is_no_value_of_another_type(write: Write, rows: list[list[str]], wordy: FeedContract) -> None:
    for row in rows[:2]:
        row[5] = row[9] = row[3] = row[6] = "N/A (cleared)"
    delivery = inspect(write(rows), wordy, as_of=JUNE)
    assert delivery.verdict is Verdict.ACCEPT
    assert delivery.facts is not None
    assert delivery.facts.mismatch_rate["Beds"] == 0
    assert delivery.facts.cleared_rate["Beds"] == pytest.approx(2 / 60)


def test_a_delivery_that_empties_a_column_waits_for_a_person(
    write: Write, rows: list[list[str]], wordy: FeedContract
) -> None:
    last = inspect(write(rows), wordy, as_of=JUNE).facts
    for row in rows[:6]:
        row[4] = "n/a (Cleared)"
    delivery = inspect(write(rows, name="next.csv"), wordy, as_of="2022-12-01", last=last)
    assert delivery.verdict is Verdict.HOLD_FOR_REVIEW
    assert delivery.counts == {"cleared_column": 1}


def test_as_last_time_empties_nothing(write: Write, rows: list[list[str]], wordy: FeedContract) -> None:
    last = inspect(write(rows), wordy, as_of=JUNE).facts
    for row in rows:
        row[4] = "(no change)"
    delivery = inspect(write(rows, name="next.csv"), wordy, as_of="2022-12-01", last=last)
    assert delivery.verdict is Verdict.ACCEPT
