"""The diff log: three files that say the same, and that no spreadsheet runs."""

import csv
import json
import re
import zipfile

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.report import COLUMNS, SCHEMA_VERSION, safe_cell, write_diff_log
from sync.world import CHANGES

CHANGE = {
    "item_id": "0123456789abcdef",
    "connection": "salesforce",
    "record_id": "001Hs00000fxZf5IAE",
    "account_id": "a1",
    "account_name": "Saint Rose – San Martin",
    "group": "ownership",
    "field": "owner",
    "base_kind": "value",
    "base": "005A",
    "crm_kind": "value",
    "crm": "005B",
    "desired_kind": "value",
    "desired": "005C",
    "state": "conflict",
    "action": "review",
    "rule_id": "owner.root_owner",
    "evidence": '{"root": "definitive_day1.csv.gz:12"}',
    "reason": None,
    "actor_kind": "human",
    "actor": "005B",
    "changed_at": "2022-01-02T03:04:05.000Z",
    "decision": "keep_crm",
    "decided_by": "ada",
    "decided_at": "2022-01-03T00:00:00.000Z",
    "result": "kept",
    "message": "a person's value stays",
}


def lines(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_three_files_say_the_same(tmp_path):
    paths = write_diff_log([CHANGE, CHANGE | {"field": "territory"}], tmp_path, "run-7")
    assert {kind: path.name for kind, path in paths.items()} == {
        "csv": "diff-run-7.csv",
        "xlsx": "diff-run-7.xlsx",
        "json": "diff-run-7.json",
    }
    rows = lines(paths["csv"])
    sheet = openpyxl.load_workbook(paths["xlsx"]).active
    cells = [[cell.value or "" for cell in row] for row in sheet.iter_rows()]
    assert cells[0] == list(rows[0])
    assert cells[1:] == [list(row.values()) for row in rows]
    told = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert (told["schema_version"], told["run_id"]) == (SCHEMA_VERSION, "run-7")
    assert [change["field"] for change in told["changes"]] == ["owner", "territory"]
    assert told["changes"][0]["evidence"] == {"root": "definitive_day1.csv.gz:12"}


def test_a_line_tells_the_whole_story(tmp_path):
    (row,) = lines(write_diff_log([CHANGE], tmp_path, "r")["csv"])
    assert row == {
        "Connection": "salesforce",
        "Account": "Saint Rose – San Martin",
        "Record id": "001Hs00000fxZf5IAE",
        "Field": "owner",
        "Last agreed": "005A",
        "In CRM now": "005B",
        "Changed by": "005B",
        "Changed by (kind)": "human",
        "Changed at (UTC)": "2022-01-02T03:04:05.000Z",
        "Proposed": "005C",
        "State": "conflict",
        "Action": "review",
        "Rule": "owner.root_owner",
        "Evidence": '{"root": "definitive_day1.csv.gz:12"}',
        "Reason": "",
        "Decision": "keep_crm",
        "Decided by": "ada",
        "Decided at (UTC)": "2022-01-03T00:00:00.000Z",
        "Result": "kept",
        "Message": "a person's value stays",
        "Account id": "a1",
        "Item id": "0123456789abcdef",
    }


def test_a_missing_value_says_why_it_is_missing(tmp_path):
    change = CHANGE | {
        "base": None,
        "base_kind": "nobase",
        "crm": None,
        "crm_kind": "hidden",
        "desired": None,
        "desired_kind": "clear",
    }
    paths = write_diff_log([change], tmp_path, "r")
    (row,) = lines(paths["csv"])
    assert (row["Last agreed"], row["In CRM now"], row["Proposed"]) == (
        "(never agreed)",
        "(not readable)",
        "(clear the field)",
    )
    (told,) = json.loads(paths["json"].read_text(encoding="utf-8"))["changes"]
    assert (told["last_agreed"], told["last_agreed_kind"]) == (None, "nobase")


def test_a_plan_without_changes_gives_files_with_a_header_only(tmp_path):
    paths = write_diff_log([], tmp_path / "new" / "folder", "r")
    assert lines(paths["csv"]) == []
    assert json.loads(paths["json"].read_text(encoding="utf-8"))["changes"] == []
    assert openpyxl.load_workbook(paths["xlsx"]).active.max_row == 1


def test_the_sheet_has_a_frozen_header_filters_and_widths(tmp_path):
    sheet = openpyxl.load_workbook(write_diff_log([CHANGE], tmp_path, "r")["xlsx"]).active
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:V2"
    assert sheet.column_dimensions["B"].width > 30


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(tmp_path):
    def broken():
        yield CHANGE
        raise RuntimeError("the plan file is damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        write_diff_log(broken(), tmp_path, "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "x" * 200, "a\0"])
def test_a_run_id_that_is_no_file_name_is_refused(tmp_path, run_id):
    with pytest.raises(ValueError, match="cannot name a file"):
        write_diff_log([], tmp_path, run_id)


ATTACKS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\0=1",
    " =1",
    "\x01=1",
    "\u00a0=1",
    "＝1",
    "=\ud800",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_cell_that_a_spreadsheet_would_run_is_defused(text):
    assert safe_cell(text).startswith("'")


@pytest.mark.parametrize("text", ["", "Mercy", "a=b", "1-2", "(501) 278-3100", "'quoted"])
def test_any_other_cell_stays_as_it_is(text):
    assert safe_cell(text) == text


@given(text=st.text(max_size=20))
@example(text="\0\0=x")
@settings(max_examples=200, deadline=None)
def test_no_text_begins_a_formula_or_cannot_be_written(text):
    cell = safe_cell(text)
    assert not re.match(r"\s*[=+\-@]|[\t\r\n\0]", cell)
    cell.encode("utf-8")


def test_hostile_text_in_every_column_is_text_in_every_file(tmp_path):
    attack = '=HYPERLINK("http://x.example")\0\ud800'
    hostile = dict.fromkeys(CHANGES, attack) | {"message": "http://x.example"}
    paths = write_diff_log([hostile, {"account_name": "x" * 40_000}], tmp_path, "r")
    rows = lines(paths["csv"])
    assert all(cell.startswith("'=") or cell in ("", "http://x.example") for cell in rows[0].values())
    sheet = openpyxl.load_workbook(paths["xlsx"]).active
    assert {cell.data_type for row in sheet.iter_rows(min_row=2) for cell in row if cell.value} == {"s"}
    assert not any(cell.hyperlink for row in sheet.iter_rows() for cell in row)
    assert len(sheet["B3"].value) <= 32_767
    with zipfile.ZipFile(paths["xlsx"]) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    json.loads(paths["json"].read_text(encoding="utf-8"))


def test_every_change_column_that_a_reader_needs_is_in_the_log():
    sources = {column.source for column in COLUMNS} | {column.kind for column in COLUMNS}
    assert set(CHANGES) - sources == {"group"}
