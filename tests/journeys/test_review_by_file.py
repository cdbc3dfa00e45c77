"""A plan is reviewed in a spreadsheet: exported, filled in by hand, and taken back as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl

from tests.journeys.conftest import Cli
from tests.journeys.world import CARL, HAYS, HS_HAYS

GIVEN = {"approve": "approve", "review": "take ours"}


def test_verdicts_of_a_workbook_are_taken_back_whole_and_written(planned: Cli) -> None:
    path, rows = planned.folder / "review.xlsx", planned.ok("show", "--json").json["items"]
    asked = {row["item"]: GIVEN[row["action"]] for row in rows if row["action"] in GIVEN}
    kept = next(row["item"] for row in rows if row["record"] == HAYS and row["group"] == "ownership")
    planned.ok("export", "changes", "-o", str(path))

    blocked = next(row["item"] for row in rows if row["action"] == "blocked")
    _fill_in(path, {**asked, kept: "approve", blocked: "approve"})
    refused = planned.run("import-decisions", str(path), "--reason", "quarterly review")
    assert refused.code == 1
    assert f"item {kept}: it is for review: approving would write over a value in the CRM" in refused.said
    assert f"item {blocked}: it is blocked, so nothing can be decided on it (account team" in refused.said
    assert not _decided(planned)

    _fill_in(path, {**asked, kept: "keep"})
    taken = planned.ok("import-decisions", str(path), "--reason", "quarterly review", "--json").json
    assert taken["counts"] == {"approve": len(asked) - 1, "reject": 0, "keep": 1}
    assert _decided(planned) == {*asked}
    again = planned.ok("import-decisions", str(path), "--reason", "quarterly review")
    assert f"nothing new; {len(asked)} as before" in again.out

    assert planned.apply_first().code == 0
    assert planned.record("salesforce", HAYS)["OwnerId"] == CARL
    assert planned.record("hubspot", HS_HAYS)["hubspot_owner_id"] != CARL
    assert "is not in this plan" in _replanned(planned, path)


def _fill_in(path: Path, verdicts: dict[str, str]) -> None:
    """What a reviewer types: a verdict in the first row of each item."""
    book = openpyxl.load_workbook(path)
    sheet: Any = book.active
    column = {cell.value: cell.column for cell in sheet[1]}
    left = dict(verdicts)
    for line in range(2, sheet.max_row + 1):
        item = sheet.cell(line, column["item_id"]).value
        sheet.cell(line, column["verdict"]).value = left.pop(item, None)
    assert not left
    book.save(path)


def _decided(cli: Cli) -> set[str]:
    return {row["item"] for row in cli.ok("show", "--json").json["items"] if row["decision"]}


def _replanned(cli: Cli, path: Path) -> str:
    """What is said of the same file after what it decided was written, and planned again."""
    cli.ok("pull")
    cli.run("plan")
    again = cli.run("import-decisions", str(path), "--reason", "once more")
    assert again.code == 1
    return again.said
