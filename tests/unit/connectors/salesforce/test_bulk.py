"""The tables of Bulk jobs: what is written survives reading, and error cells become verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocol import Verdict, Write
from connectors.salesforce import bulk
from connectors.salesforce.sending import Row
from sandbox.salesforce.tables import NULL, Dialect, read_table

IDS = [f"001{number:012d}AAA" for number in range(5)]
VALUES = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["A__c", "B__c", "C__c"]), VALUES), min_size=1, max_size=5))
def test_a_table_tells_unchanged_cleared_and_written_fields_apart(records: list[dict[str, object]]):
    rows = [Row(record_id=key, fields=fields) for key, fields in zip(IDS, records, strict=False)]
    if any(bulk._taken_for_null(row) for row in rows):
        return
    header, cells = read_table(bulk._table(rows), Dialect())
    for row, found in zip(rows, cells, strict=True):
        read = dict(zip(header, found, strict=True))
        assert read.pop("Id") == row.record_id
        for name, cell in read.items():
            value = row.fields.get(name, NULL)
            if name not in row.fields:
                assert cell == ""
            elif value is None or value == "":
                assert cell == NULL
            else:
                assert cell == (str(value).lower() if isinstance(value, bool) else str(value))


@pytest.mark.parametrize(
    ("cell", "verdict", "code", "message"),
    [
        (
            "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
            Verdict.REJECTED,
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [Name] [Name]",
        ),
        (
            "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: 001:--",
            Verdict.RETRIABLE,
            "UNABLE_TO_LOCK_ROW",
            "unable to obtain exclusive access to this record or 1 records: 001",
        ),
        ("A_CODE:two\nlines -- and more:A,B --", Verdict.REJECTED, "A_CODE", "two lines -- and more [A, B]"),
        ("no code at all", Verdict.REJECTED, "UNKNOWN_EXCEPTION", "no code at all"),
    ],
)
def test_an_error_cell_is_code_message_and_fields(cell: str, verdict: Verdict, code: str, message: str):
    outcome = bulk._failure({"sf__Error": cell})
    assert (outcome.verdict, outcome.code, outcome.message) == (verdict, code, message)


def test_many_rows_are_cut_into_jobs_by_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk, "JOB_CHARS", 100)
    rows = [Row(record_id=key, fields={"A__c": "x" * 20}) for key in IDS]  # 43 characters each
    assert [len(job) for job in bulk._jobs(rows)] == [2, 2, 1]


def test_writes_of_one_record_are_one_row():
    writes = [Write(key=k, record_id=IDS[0], fields={k: "1"}) for k in ("A__c", "B__c")]
    (row,) = bulk.merged(writes, needs_version=False)
    assert dict(row.fields) == {"A__c": "1", "B__c": "1"}
