"""How links are told: the same story as lines, JSON and pictures; the queue; the report."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.cli.app import app
from jobs.cli.exits import Stop
from jobs.feeds import Declared, take_delivery
from jobs.identity import LinkStory, explain, pictures, steps, waterfall
from jobs.plan import make_plan
from jobs.settings import SalesforceSettings, Settings
from jobs.tables import OBJECT_SCHEMAS, arrow_schema
from jobs.wiring import Wired
from mappings.load import load
from store.link_decisions import LinkVerdict

MAPPINGS = load()
PLACE = {"street": "2220 Canterbury Drive", "city": "Hays", "state": "KS", "zip5": "67601"}
PARTS = {"name": 3275, "to begin with": -4407, "rivals": 2337, "what is known": -362}


def account(record_id: str, name: str, **cells: Any) -> dict[str, Any]:
    return {"record_id": record_id, "name": name, "is_deleted": False, **PLACE, **cells}


RECORDS = [
    account("A", "Hays Medical Center", phone="7856235000", account_type="Acute Care Hospitals"),
    account("B", "Hays Med Ctr"),
    account("C", "Plainville Hospital", street="304 S Colorado", city="Plainville", zip5="67663", definitive_id="7"),
    account("D", "Russell Regional Hospital", street="200 S Main", city="Russell", zip5="67665", ccn="177001"),
    account("E", "Norton County Hospital", city="Norton", zip5="67654", npi="1234567890", definitive_id="7"),
]
DEALS = [{"opportunity_id": "O", "record_id": "D", "amount_cents": 250_000_00, "is_closed": False}]
FIRM = {
    "Definitive ID": "100",
    "Hospital Name": "Hays Medical Center Foundation",
    "Firm Type": "Hospital",
    "Hospital Type": "Short Term Acute Care Hospital",
    "Address": "2220 Canterbury Drive",
    "City": "Hays",
    "State": "KS",
    "Zip Code": "67601",
    "Phone": "785-623-5000",
    **dict.fromkeys(("IDN ID", "IDN", "IDN Parent ID", "IDN Parent"), ""),
}
OTHER = FIRM | {
    "Definitive ID": "200",
    "Hospital Name": "Russell Regional Hospital",
    "Address": "200 S Main",
    "City": "Russell",
    "Zip Code": "67665",
    "Phone": "785-483-3131",
}


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wired:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'state.db'}",
        snapshot_url=str(tmp_path / "snapshots"),
        salesforce=SalesforceSettings(client_id="sandbox"),
    )
    wired = Wired(settings=settings)
    wired.__dict__["mappings"] = MAPPINGS  # read once for all tests
    wired.database.migrate()
    for name in ("identity", "plan"):
        monkeypatch.setattr(f"jobs.cli.{name}.opened", lambda: wired)
    return wired


@pytest.fixture
def filled(wired: Wired, tmp_path: Path) -> Wired:
    for name, schema in OBJECT_SCHEMAS.items():
        rows = {"account": RECORDS, "opportunity": DEALS}.get(name, [])
        named = [{"connection": "salesforce", **row} for row in rows]
        wired.snapshots.save("salesforce", name, pa.Table.from_pylist(named, schema=arrow_schema(schema)))
    path = tmp_path / "feed.csv"
    path.write_text("\n".join([",".join(FIRM), ",".join(FIRM.values()), ",".join(OTHER.values())]) + "\n")
    taken = take_delivery(wired, path, Declared(layout="definitive", as_of="2026-01-05"))
    assert taken.intake.is_usable, taken.intake.problems
    return wired


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_weight_is_walked_from_where_it_starts_and_ends_at_the_sum() -> None:
    walked = steps(PARTS)
    assert [theme for theme, _, _ in walked] == ["to begin with", "name", "rivals", "what is known"]
    assert walked[0][1] == 0
    assert walked[-1][2] == sum(PARTS.values())
    assert all(end == start for (_, _, end), (_, start, _) in pairwise(walked))
    assert waterfall(PARTS)[-1].split() == ["weight", "+0.84"]


def test_the_picture_of_a_link_ends_at_its_score(filled: Wired) -> None:
    story = explain(filled, "A")
    [linked] = [one for one in story.links if one.parts]
    [picture, *_] = pictures(story, MAPPINGS.policies.identity.model)
    assert sum(linked.parts.values()) == linked.evidence["score"]
    assert picture.steps[-1][2] == pytest.approx(linked.evidence["score"] / 1000)
    assert picture.marks["linked from"] == pytest.approx(MAPPINGS.policies.identity.model.auto / 1000)
    assert "Hays Medical Center" in picture.title


@pytest.mark.parametrize("name", ["link.svg", "link.png"])
def test_identity_explain_draws_what_it_tells(filled: Wired, tmp_path: Path, name: str) -> None:
    told = json.loads(run("identity", "explain", "100", "--chart", str(tmp_path / name), "--json"))
    [record] = [one for one in told["links"] if one["source_id"] == "A"]
    assert record["how"] == "model"
    assert (tmp_path / name).stat().st_size > 2_000
    if name.endswith(".svg"):
        assert "linked from" in (tmp_path / name).read_text(encoding="utf-8")


def test_explain_link_tells_the_same_of_a_plan(filled: Wired, tmp_path: Path) -> None:
    make_plan(filled, as_of="2026-01-06")
    chart = tmp_path / "link.svg"
    of_plan = json.loads(run("explain", "hays medical center", "--link", "--chart", str(chart), "--json"))
    now = json.loads(run("identity", "explain", "A", "--json"))
    told = [{one["source_id"]: one["evidence"] for one in story["links"]}["A"] for story in (of_plan, now)]
    assert told[0] == told[1]
    assert told[0]["score"] == sum(told[0]["parts"].values())
    assert chart.read_text(encoding="utf-8").startswith("<svg")
    shown = run("explain", "A", "--link")
    assert "linked by model" in shown
    assert "weight" in shown


def test_a_link_that_nothing_weighed_has_no_picture(filled: Wired, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["identity", "explain", "C", "--chart", str(tmp_path / "c.svg")])
    assert isinstance(done.exception, Stop)
    assert "nothing to draw" in str(done.exception)


def test_what_is_open_about_an_account_is_told_beside_its_links(filled: Wired) -> None:
    story = explain(filled, "200")
    assert [one.party[1] for one in story.open_pairs] == ["200"]
    assert "another kind of provider" in story.open_pairs[0].reason
    assert len(pictures(story, MAPPINGS.policies.identity.model)) == 1
    assert pictures(LinkStory(links=()), None) == []


def test_the_report_says_bands_coverage_duplicates_and_conflicts(filled: Wired, tmp_path: Path) -> None:
    sheet, chart = tmp_path / "identity.xlsx", tmp_path / "identity.svg"
    told = json.loads(run("identity", "report", "--json", "-o", str(sheet), "--chart", str(chart)))
    bands = {(row["source"], row["band"]): row["rows"] for row in told["bands"]}
    assert bands["salesforce", "linked by the model"] == 1
    assert bands["salesforce", "waits"] == bands["definitive", "waits"] == 1
    assert sum(row["rows"] for row in told["bands"] if row["source"] == "salesforce") == len(RECORDS)
    assert bands["definitive", "linked by the model"] == 1
    [covered] = [row for row in told["coverage"] if row["source"] == "definitive"]
    assert (covered["rows"], covered["of"]) == (1, 2)
    [duplicate] = told["duplicates"]
    assert (duplicate["record"][1], duplicate["other"][1], duplicate["in_one_crm"]) == ("A", "B", True)
    assert {row["code"] for row in told["conflicts"]} == {"CLAIMED-TWICE", "NPI-CHECK-DIGIT"}
    book = openpyxl.load_workbook(sheet)
    assert book.sheetnames == ["bands", "coverage", "waiting", "duplicates", "conflicts"]
    assert book["duplicates"].max_row == 2
    assert "linked by the model" in chart.read_text(encoding="utf-8")
    shown = run("identity", "report")
    assert "1 duplicates inside one CRM" in shown
    assert "is also on" in shown


def test_the_bands_of_a_later_run_say_how_a_link_was_first_made(filled: Wired) -> None:
    before = json.loads(run("identity", "report", "--json"))["bands"]
    make_plan(filled, as_of="2026-01-06")
    assert json.loads(run("identity", "report", "--json"))["bands"] == before


def test_the_queue_begins_with_the_most_valuable_pair(filled: Wired) -> None:
    [first, *_] = json.loads(run("identity", "review", "--json"))["waiting"]
    assert (first["other"][1], first["pipeline_cents"]) == ("D", 250_000_00)


def test_a_decided_pair_is_told_with_who_and_why(filled: Wired) -> None:
    run("identity", "decide", "salesforce:A", "definitive:100", "--verdict", "link", "--reason", "same campus")
    story = explain(filled, "A")
    assert {one.how for one in story.links if one.source_id == "A"} == {"person"}
    assert story.links[0].decisions[0]["verdict"] == LinkVerdict.LINK
    assert "same campus" in run("identity", "explain", "A")
