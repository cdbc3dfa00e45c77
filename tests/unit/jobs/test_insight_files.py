"""Charts and workbooks of insight, signals on their way in, and the registers behind lints and policies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

from jobs.charts import ChartError, bars, save
from jobs.intake import take
from jobs.sheets import write_sheets
from mappings.load import load
from store.database import Database
from store.evidence import done, expired_holds
from store.policy_versions import PolicyVersion, PolicyVersions
from store.suppressions import Suppressions

ROWS = [
    {"segment": "large", "win_rate_pct": 40.0, "low_pct": 30.0, "high_pct": 51.0},
    {"segment": "small", "win_rate_pct": 20.0, "low_pct": 11.0, "high_pct": 33.0},
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/state.db", now=lambda: "2026-01-15T10:00:00.000Z")
    made.migrate()
    yield made
    made.close()


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_a_chart_is_drawn_without_a_browser(tmp_path: Path, name: str, start: bytes) -> None:
    save(bars(ROWS, by="segment", value="win_rate_pct", title="Win rate"), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_chart_of_nothing_and_a_chart_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match="there is nothing to draw"):
        bars([{"segment": "a", "win_rate_pct": None}], by="segment", value="win_rate_pct", title="Win rate")
    with pytest.raises(ChartError, match=r"must end with one of \.svg, \.png"):
        save(bars(ROWS, by="segment", value="win_rate_pct", title="Win rate"), tmp_path / "a.gif")


def test_a_workbook_has_a_sheet_a_table_numbers_as_numbers_and_no_formula(tmp_path: Path) -> None:
    hostile = [{"name": "=1+1", "n": 3, "ok": True}]
    write_sheets({"R48 a/b": ROWS, "empty": [], "R48 a-b": hostile}, tmp_path / "a.xlsx")
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["R48 a-b", "empty", "R48 a-b 2"]
    assert [cell.value for cell in book["R48 a-b"][2]] == ["large", 40, 30, 51]
    cell = book["R48 a-b 2"]["A2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")
    assert book["empty"]["A1"].value == "nothing found"


def test_R75_intent_is_read_with_its_kind_and_a_person_becomes_a_hash(tmp_path: Path) -> None:
    bombora, sixsense = tmp_path / "bombora.csv", tmp_path / "sixsense.csv"
    bombora.write_text("Company Name,Domain,Topic Name,Composite Score,Date\nA,www.a.example,Pumps,72,2026-01-04\n")
    sixsense.write_text(
        "Domain,Activity Type,Keyword,Contact,Activity Date\na.example,Web Visit,,Ann@A.example,2026-01-05\n"
    )
    feeds = load().feeds
    (surge,) = take(bombora, feeds["bombora"], as_of="2026-01-05").rows
    (visit,) = take(sixsense, feeds["sixsense"], as_of="2026-01-05").rows
    assert (surge["kind"], surge["domain"], surge["strength"]) == ("intent", "a.example", 72)
    assert visit["kind"] == "web_visit"
    assert "ann" not in str(visit["person"]).lower()
    assert len(visit["person"]) == 16


def test_a_suppression_is_kept_audited_and_can_be_lifted(database: Database) -> None:
    register = Suppressions(database)
    register.add("DUP-ORG", "1", reason="two legal entities", until="2026-03-31", by="ana")
    (kept,) = register.all()
    assert (kept["lint"], kept["subject"], kept["until"], kept["by"]) == ("DUP-ORG", "1", "2026-03-31", "ana")
    assert register.lift("DUP-ORG", "1", by="ben") == 1
    assert (register.all(), register.lift("DUP-ORG", "1", by="ben")) == ((), 0)
    assert done(database).audit_entries == 2


def test_a_policy_version_is_kept_once_and_two_contents_of_one_version_are_seen(database: Database) -> None:
    register = PolicyVersions(database)
    first = PolicyVersion(policy="tiers", version=1, digest="a", content="{}")
    assert [register.note([first], by="ana"), register.note([first], by="ana")] == [1, 0]
    register.note([PolicyVersion(policy="tiers", version=1, digest="b", content="{}")], by="ana")
    assert register.first()["tiers", 1].digest == "a"
    assert [one.digest for one in register.used("tiers")] == ["a", "b"]


def test_nothing_was_done_in_an_empty_state(database: Database) -> None:
    shown = done(database)
    assert (shown.applied_plans, shown.routed_leads, shown.mails, shown.audit_entries) == (0, 0, 0, 0)
    assert expired_holds(database, "2026-01-15") == ()
