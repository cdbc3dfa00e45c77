"""Verdicts come back from a reviewer's table whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from jobs import verdict_file
from jobs.export import write_table
from jobs.verdict_file import Said, VerdictFileError, read_verdicts

CHANGES = [
    {"item_id": "5604e12345678901", "field": "owner", "verdict": "approve", "why": "agreed with the region"},
    {"item_id": "5604e12345678901", "field": "territory", "verdict": "", "why": ""},
    {"item_id": "", "field": "tier", "verdict": "", "why": ""},
    {"item_id": "a1", "field": "owner", "verdict": "Take ours", "why": ""},
    {"item_id": "b2", "field": "owner", "verdict": "keep_crm", "why": "=HYPERLINK"},
]
SAID = (
    Said(item_id="5604e12345678901", verdict="approve", why="agreed with the region", line=2),
    Said(item_id="a1", verdict="take_ours", why="", line=5),
    Said(item_id="b2", verdict="keep", why="=HYPERLINK", line=6),
)


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_what_was_exported_and_filled_in_is_read_back(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"review{ending}"
    write_table(pa.Table.from_pylist(CHANGES), path)
    said = read_verdicts(path)
    assert [(one.item_id, one.verdict, one.line) for one in said] == [(o.item_id, o.verdict, o.line) for o in SAID]
    assert [one.why.lstrip("'") for one in said] == [one.why for one in SAID]  # a CSV disarms what would run


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_of_a_spreadsheet_does_not_matter(separator: str, tmp_path: Path) -> None:
    lines = [["item_id", "note", "verdict"], ["a1", '"two\nlines"', "reject"]]
    path = _written(tmp_path, "\r\n".join(separator.join(line) for line in lines))
    assert read_verdicts(path) == (Said(item_id="a1", verdict="reject", why="", line=2),)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "it is empty"),
        ("item_id,field\na1,owner", "line 1 must name the column verdict once"),
        ("verdict,verdict\n", "line 1 must name the columns item_id and verdict once"),
        ("item_id,verdict\na1,yes\n", "line 2: verdict 'yes' is none; expected approve, take_ours, reject, keep"),
        ("item_id,verdict\n,keep\n", "line 2: a verdict without item_id"),
        ("item_id,verdict\na1,keep\na1,reject\n", "line 3: item a1: reject, but line 2 says keep; an item is decided"),
        ('item_id,verdict\n"a1,keep', "it is no CSV that can be read"),
    ],
)
def test_what_cannot_be_recorded_is_named_with_its_line(text: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(VerdictFileError, match=r"review\.csv") as caught:
        read_verdicts(_written(tmp_path, text))
    assert word in str(caught.value)


def test_every_problem_is_counted(tmp_path: Path) -> None:
    with pytest.raises(VerdictFileError) as caught:
        read_verdicts(_written(tmp_path, "item_id,verdict\n" + "a1,maybe\n" * 50))
    assert str(caught.value).count("maybe") == 20
    assert "and 30 more" in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content, word in (
        ("review.ods", b"", "must end with .csv or .xlsx"),
        ("review.xlsx", b"item_id,verdict", "no workbook that can be read"),
        ("review.csv", "item_id,verdict,é\n".encode("cp1252"), "is not UTF-8"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VerdictFileError, match=word):
            read_verdicts(tmp_path / name)
    with pytest.raises(VerdictFileError, match="it cannot be read"):
        read_verdicts(tmp_path / "absent.csv")
    write_table(pa.Table.from_pylist(CHANGES), tmp_path / "large.xlsx")
    monkeypatch.setattr(verdict_file, "MAX_BYTES", 100)
    with pytest.raises(VerdictFileError, match="export with fewer changes"):
        read_verdicts(tmp_path / "large.xlsx")


def _written(folder: Path, text: str) -> Path:
    path = folder / "review.csv"
    path.write_bytes(text.encode())
    return path
