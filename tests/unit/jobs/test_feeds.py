"""Deliveries against a real store: what is kept, what is a repeat, what is refused, and what a plan looks at."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from connectors.csv_feed.contract import Verdict
from jobs.cli.app import app
from jobs.feed_report import feed_report
from jobs.feeds import Declared, FeedError, Taken, declared, judge_held, take_delivery
from jobs.plan import make_plan
from jobs.settings import SalesforceSettings, Settings
from jobs.tables import OBJECT_SCHEMAS, arrow_schema
from jobs.wiring import Wired
from mappings.load import load
from store.snapshots import Status

MAPPINGS = load()
FEEDS = MAPPINGS.feeds
HEADER = [column.columns[0] for column in FEEDS["definitive"].fields.values()]
SYSTEM = ("IDN ID", "IDN", "IDN Parent ID", "IDN Parent")
JUNE, DECEMBER, JANUARY = "2022-06-01", "2022-12-01", "2023-01-01"


@pytest.fixture
def wired(tmp_path: Path) -> Wired:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'state.db'}",
        snapshot_url=str(tmp_path / "snapshots"),
        salesforce=SalesforceSettings(client_id="sandbox"),
    )
    wired = Wired(settings=settings)
    wired.__dict__["mappings"] = MAPPINGS  # read once for all tests
    wired.database.migrate()
    return wired


def firm(number: int, **cells: str) -> dict[str, str]:
    system = str(100 + number % 7)
    usual = {
        "Definitive ID": str(500_000 + number),
        "Hospital Name": f"Hospital {number}",
        "Firm Type": "Hospital",
        "State": "TX",
        "IDN ID": system,
        "IDN": f"System {system}",
        "IDN Parent ID": system,
        "IDN Parent": f"System {system}",
        "# of Staffed Beds": str(20 + number),
    }
    return dict.fromkeys(HEADER, "") | usual | cells


FIRMS = [firm(number) for number in range(40)]


def write(path: Path, rows: Sequence[Mapping[str, str]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def take(wired: Wired, path: Path, as_of: str, layout: str = "definitive") -> Taken:
    return take_delivery(wired, path, Declared(layout=layout, as_of=as_of))


def in_use(wired: Wired, layout: str = "definitive") -> list[dict[str, Any]]:
    current = wired.snapshots.current(layout, FEEDS[layout].rows)
    return [] if current is None else list(wired.snapshots.read(current).to_pylist())


def test_the_kept_rows_are_those_of_the_file_page_by_page(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.intake.PAGE", 7)
    taken = take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    assert (taken.intake.verdict, taken.intake.rows_seen) == (Verdict.ACCEPT, 40)
    rows = in_use(wired)
    assert [row["firm_id"] for row in rows] == [row["Definitive ID"] for row in FIRMS]
    assert [row["row"] for row in rows] == list(range(1, 41))
    assert rows[3]["staffed_beds"] == 23


def test_the_same_delivery_again_changes_nothing(wired: Wired, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", FIRMS)
    first = take(wired, path, JUNE)
    again = take(wired, path, JUNE)
    assert first.snapshot is not None
    assert again.snapshot is not None
    assert (again.is_repeat, again.snapshot.id) == (True, first.snapshot.id)
    assert len(wired.snapshots.list(source="definitive")) == 1


def test_an_older_delivery_after_a_newer_one_is_refused_and_changes_nothing(wired: Wired, tmp_path: Path) -> None:
    newer = take(wired, write(tmp_path / "day2.csv", FIRMS), DECEMBER)
    older = take(wired, write(tmp_path / "day1.csv", FIRMS[:38]), JUNE)
    assert older.intake.verdict is Verdict.REJECT_FILE
    assert "older_than_last" in older.intake.counts
    current = wired.snapshots.current("definitive", "firm")
    assert current is not None
    assert newer.snapshot is not None
    assert current.id == newer.snapshot.id


def test_a_held_delivery_is_kept_once_and_used_only_after_a_persons_word(wired: Wired, tmp_path: Path) -> None:
    take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    half = write(tmp_path / "b.csv", FIRMS[:20])
    held = take(wired, half, DECEMBER)
    assert held.intake.verdict is Verdict.HOLD_FOR_REVIEW
    assert len(in_use(wired)) == 40
    assert take(wired, half, DECEMBER).is_repeat
    assert held.snapshot is not None
    judge_held(wired, held.snapshot.id, accept=True, reason="the vendor dropped a state")
    assert len(in_use(wired)) == 20


def test_a_held_delivery_that_was_overtaken_cannot_be_accepted(wired: Wired, tmp_path: Path) -> None:
    take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    held = take(wired, write(tmp_path / "b.csv", FIRMS[:20]), DECEMBER)
    take(wired, write(tmp_path / "c.csv", FIRMS), JANUARY)
    assert held.snapshot is not None
    with pytest.raises(FeedError, match="older than the one in use"):
        judge_held(wired, held.snapshot.id, accept=True, reason="x")
    assert judge_held(wired, held.snapshot.id, accept=False, reason="x").status is Status.REJECTED


def test_a_file_exchanged_between_the_two_readings_is_refused(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", FIRMS)
    saved = wired.snapshots.write

    def exchanged(schema: pa.Schema, batches: Any) -> Any:
        write(path, FIRMS[:5])
        return saved(schema, batches)

    monkeypatch.setattr(wired.snapshots, "write", exchanged)
    taken = take(wired, path, JUNE)
    assert (taken.intake.verdict, dict(taken.intake.counts)) == (Verdict.REJECT_FILE, {"file_changed": 1})
    assert in_use(wired) == []
    assert not list((tmp_path / "snapshots").glob(".draft-*"))


def test_held_and_rejected_files_leave_the_next_plan_the_same_digit_for_digit(wired: Wired, tmp_path: Path) -> None:
    for name, schema in OBJECT_SCHEMAS.items():
        rows = [] if name != "account" else [
            {"connection": "salesforce", "record_id": f"001{n:015}", "name": f"Hospital {n}", "is_deleted": False,
             "definitive_id": str(500_000 + n)} for n in range(40)
        ]  # fmt: skip
        wired.snapshots.save("salesforce", name, pa.Table.from_pylist(rows, schema=arrow_schema(schema)))
    take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    before = make_plan(wired, as_of=DECEMBER).stored
    bad = {
        "half.csv": (FIRMS[:20], HEADER),
        "blank.csv": (
            [row | {"IDN ID": "", "IDN": "", "IDN Parent ID": "", "IDN Parent": ""} for row in FIRMS],
            HEADER,
        ),
        "one.csv": ([row | {"IDN ID": "1", "IDN": "Banner"} for row in FIRMS], HEADER),
        "empty.csv": ([], HEADER),
        "keyless.csv": (FIRMS, HEADER[1:]),
    }
    verdicts = {name: take(wired, write(tmp_path / name, *made), DECEMBER).intake.verdict for name, made in bad.items()}
    assert set(verdicts.values()) == {Verdict.HOLD_FOR_REVIEW, Verdict.REJECT_FILE}
    after = make_plan(wired, as_of=DECEMBER).stored
    assert after.header.digest == before.header.digest
    assert after.header.snapshot_ids == before.header.snapshot_ids


def test_the_layout_is_the_one_with_the_longest_name(wired: Wired, tmp_path: Path) -> None:
    path = write(tmp_path / "definitive_groups_2026.csv", FIRMS)
    assert declared(wired, path, layout="", as_of=JUNE, encoding="").layout == "definitive_groups"


def manifest(folder: Path, *lines: str, header: str = "file,as_of,encoding,delimiter,rows") -> None:
    (folder / "MANIFEST.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8-sig")


@pytest.mark.parametrize(("word", "mark"), [(";", ";"), ("tab", "\t"), ("\t", "\t"), ("|", "|"), ("", ",")])
def test_the_manifest_declares_delimiter_and_rows(wired: Wired, tmp_path: Path, word: str, mark: str) -> None:
    path = tmp_path / "definitive_x.csv"
    path.write_text("\n".join(mark.join(row) for row in [HEADER, *(list(one.values()) for one in FIRMS)]) + "\n")
    manifest(tmp_path, f"definitive_x.csv,{JUNE},utf-8,{word or chr(34) + ',' + chr(34)},40")
    taken = take_delivery(wired, path, declared(wired, path, layout="", as_of="", encoding=""))
    assert (taken.intake.verdict, len(in_use(wired))) == (Verdict.ACCEPT, 40)


def test_fewer_rows_than_the_manifest_declares_are_held(wired: Wired, tmp_path: Path) -> None:
    path = write(tmp_path / "definitive_x.csv", FIRMS)
    manifest(tmp_path, f'definitive_x.csv,{JUNE},utf-8,",",41')
    taken = take_delivery(wired, path, declared(wired, path, layout="", as_of="", encoding=""))
    assert (taken.intake.verdict, dict(taken.intake.counts)) == (Verdict.HOLD_FOR_REVIEW, {"row_count": 1})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"definitive_x.csv,{JUNE},utf-8,two characters,40", "the delimiter is 'two characters'; expected one"),
        (f'definitive_x.csv,{JUNE},utf-8,",",many', "the number of rows is 'many'; expected a whole number"),
        (f'definitive_x.csv,"{JUNE},utf-8', "cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_told_in_one_sentence(
    wired: Wired, tmp_path: Path, line: str, told: str
) -> None:
    path = write(tmp_path / "definitive_x.csv", FIRMS)
    manifest(tmp_path, line)
    with pytest.raises(FeedError, match=told):
        declared(wired, path, layout="", as_of="", encoding="")


def test_a_word_for_as_before_takes_the_value_of_the_delivery_in_use(tmp_path: Path) -> None:
    overlay = tmp_path / "mappings" / "feeds"
    overlay.mkdir(parents=True)
    text = (Path(__file__).parents[3] / "mappings/feeds/definitive.yaml").read_text(encoding="utf-8")
    words = 'clear_words: ["N/A (cleared)"]\nsame_words: ["(no change)"]\n'
    (overlay / "definitive.yaml").write_text(text + words, encoding="utf-8")
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'state.db'}",
        snapshot_url=str(tmp_path / "snapshots"),
        mappings_dir=overlay.parent,
    )
    wired = Wired(settings=settings)
    wired.database.migrate()
    take(wired, write(tmp_path / "a.csv", [firm(n, Phone="7855550100") for n in range(40)]), JUNE)
    said = {0: "(No change)", 1: "n/a (CLEARED)", 2: ""}
    next_rows = [firm(n, Phone=said.get(n, f"785555010{int(n % 3 == 0)}")) for n in range(40)]
    take(wired, write(tmp_path / "b.csv", [*next_rows, firm(99, Phone="(no change)")]), DECEMBER)
    rows = {row["firm_id"]: (row["phone"], row["cleared"]) for row in in_use(wired)}
    assert rows["500000"] == ("7855550100", None)
    assert rows["500001"] == (None, "phone")
    assert rows["500002"] == (None, None)
    assert rows["500099"] == (None, None)


SMALL = {
    "definitive_groups": (
        "Definitive ID,Physician Group Name,State,Affiliated Hospital ID,# of Physicians\n1,Hays Group,KS,901,12\n",
        {"firm_type": "Physician Group", "idn_id": "901", "providers": 12},
    ),
    "definitive_locations": (
        "Location ID,Location Name,State,Definitive ID,Location Type\n7,Hays Clinic,KS,901,Clinic\n",
        {"firm_type": "Clinic", "idn_id": "901", "name": "Hays Clinic"},
    ),
    "zoominfo": (
        "ZoomInfo Company ID,Company Name,Website,Company State,Employees,Revenue (in 000s USD)\n"
        "3,Hays,www.h.org,KS,4,15\n",
        {"domain": "h.org", "employees": 4, "annual_revenue_cents": 1_500_000},
    ),
    "sixsense_accounts": (
        "Id,accountIntentScore6sense__c,accountUpdateDate6sense__c\n001Hs00000DGhkKIAT,33,2020-04-18\n",
        {"record_id": "001Hs00000DGhkKIAT", "strength": 33, "kind": "intent", "occurred_on": "2020-04-18"},
    ),
    "sixsense": (
        "Domain,Activity Type,Keyword,Intent Score,Contact,Activity Date\nh.org,visit,Infusion Pumps,40,,2022-05-30\n",
        {"domain": "h.org", "kind": "visit", "topic": "Infusion Pumps", "strength": 40, "occurred_on": "2022-05-30"},
    ),
    "bombora": (
        "Company Name,Domain,Topic Name,Composite Score,Week Ending\nA,a.org,Infusion Pumps,72,2020-05-30\n",
        {"domain": "a.org", "topic": "Infusion Pumps", "strength": 72, "kind": "intent"},
    ),
    "cms_chow": (
        "ENROLLMENT ID - BUYER,CCN - BUYER,ORGANIZATION NAME - BUYER,ORGANIZATION NAME - SELLER,EFFECTIVE DATE\n"
        "O2,50689,PRIME LLC,MERCY INC,07/01/2025\n",
        {"ccn": "050689", "owner_name": "PRIME LLC", "former_owner_name": "MERCY INC", "effective_on": "2025-07-01"},
    ),
    "cms_owners": (
        "ENROLLMENT ID,ASSOCIATE ID - OWNER,ROLE TEXT - OWNER,ORGANIZATION NAME - OWNER,ASSOCIATION DATE - OWNER,"
        "PERCENTAGE OWNERSHIP\nO2,9,5% OR GREATER DIRECT OWNERSHIP INTEREST,PRIME HOLDINGS,2025-07-01,100\n",
        {"record_key": "O2", "owner_name": "PRIME HOLDINGS", "pct_bp": 10_000, "kind": "OWNER"},
    ),
    "ahrq_linkage": (
        "compendium_hospital_id,ccn,hospital_name,health_sys_id,health_sys_name\n"
        "CHSP1,050689,Mercy,HSI1,Mercy Health\n",
        {"ccn": "050689", "owner_name": "Mercy Health", "kind": "MEMBER", "effective_on": None},
    ),
}


@pytest.mark.parametrize("layout", SMALL)
def test_a_small_file_of_each_layout_is_read(wired: Wired, tmp_path: Path, layout: str) -> None:
    text, expected = SMALL[layout]
    path = tmp_path / f"{layout}.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    taken = take(wired, path, JUNE, layout)
    assert taken.intake.verdict is Verdict.ACCEPT, taken.intake.problems
    [row] = in_use(wired, layout)
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("layout", SMALL)
def test_a_file_of_each_layout_without_its_key_is_refused(wired: Wired, tmp_path: Path, layout: str) -> None:
    header, row = SMALL[layout][0].splitlines()
    path = tmp_path / f"{layout}.csv"
    path.write_text(f"Nothing{header[header.index(',') :]}\n{row}\n", encoding="utf-8")
    intake = take(wired, path, JUNE, layout).intake
    if FEEDS[layout].fields[FEEDS[layout].key[0]].columns[0] == header.split(",")[0]:
        assert intake.verdict is Verdict.REJECT_FILE


def test_the_report_shows_deliveries_coverage_drift_and_gaps(wired: Wired, tmp_path: Path) -> None:
    take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    thinner = [row | ({"# of Staffed Beds": ""} if n < 6 else {}) for n, row in enumerate(FIRMS)]
    take(wired, write(tmp_path / "b.csv", thinner), DECEMBER)
    take(wired, write(tmp_path / "c.csv", FIRMS), JUNE)
    found = feed_report(wired)
    assert [row["verdict"] for row in found.deliveries] == ["REJECT_FILE", "ACCEPT", "ACCEPT"]
    assert found.drifted == [
        {
            "feed": "definitive",
            "field": "staffed_beds",
            "filled_pct": 85.0,
            "filled_before_pct": 100.0,
            "drift_points": -15.0,
            "as_of": DECEMBER,
            "before_as_of": JUNE,
        }
    ]
    [gap] = found.gaps
    assert (gap["firms"], gap["no_type"], gap["no_service_line"], gap["no_affiliation"]) == (40, 40, 40, 0)
    assert found.notes[0].startswith("no plan was made yet")


def test_the_report_is_written_as_json_workbook_and_chart(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(wired, write(tmp_path / "a.csv", FIRMS), JUNE)
    monkeypatch.setattr("jobs.cli.feeds.opened", lambda: wired)
    sheet, chart = tmp_path / "report.xlsx", tmp_path / "report.svg"
    done = CliRunner().invoke(app, ["feeds", "report", "--json", "-o", str(sheet), "--chart", str(chart)])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["coverage"]) == len(FEEDS["definitive"].fields)
    assert sheet.read_bytes().startswith(b"PK")
    assert "definitive: filled cells by field" in chart.read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, ["feeds", "report"])
    assert "deliveries" in shown.stdout
    assert "staffed_beds" in shown.stdout
