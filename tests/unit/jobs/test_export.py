"""Exports end in a whole file or in one paragraph."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from jobs import export
from jobs.export import ExportError, write_table
from jobs.sheets import write_sheets
from store.database import StoreError

TABLE = pa.table({"name": ["Mercy"]})


@pytest.mark.parametrize("ending", export.FORMATS)
def test_a_file_that_cannot_be_written_is_named_whatever_its_format(ending: str, tmp_path: Path) -> None:
    taken = tmp_path / f"taken{ending}"
    taken.mkdir()
    with pytest.raises(StoreError, match=rf"taken{ending}: it cannot be written \(.+\)\. Name a file"):
        write_table(TABLE, taken)


def test_a_workbook_of_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"r\.xlsx: it cannot be written"):
        write_sheets({"one": [{"name": "Mercy"}]}, tmp_path / "file" / "r.xlsx")


def test_rows_that_a_sheet_cannot_hold_are_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_SHEET_ROWS", 1)
    write_table(TABLE, tmp_path / "one.xlsx")
    with pytest.raises(ExportError, match=r"2 rows, and a sheet holds 1; write to \.csv or \.parquet"):
        write_table(pa.concat_tables([TABLE, TABLE]), tmp_path / "two.xlsx")
    assert not (tmp_path / "two.xlsx").exists()
