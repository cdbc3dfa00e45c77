"""The sandbox Salesforce answers queries, pages them, and shows deletions and late commits as the vendor does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.world import salesforce_time


def _names(answer: requests.Response) -> list[str]:
    return sorted(row["Name"] for row in answer.json()["records"])


def _all_pages(salesforce: Any, answer: requests.Response) -> list[dict[str, Any]]:
    body = answer.json()
    rows = list(body["records"])
    while not body["done"]:
        body = salesforce("GET", body["nextRecordsUrl"]).json()
        rows += body["records"]
    return rows


def test_the_path_may_end_in_a_slash(salesforce):
    soql = "SELECT Id FROM Account"
    plain, slashed = salesforce.query(soql), salesforce.query(soql, "query/")
    assert plain.json() == slashed.json()


def test_field_and_object_names_are_read_whatever_their_case(salesforce):
    row = salesforce.query("select id, nAmE from ACCOUNT where NAME = 'mercy hospital'").json()["records"][0]
    assert set(row) == {"attributes", "Id", "Name"}
    assert row["attributes"]["type"] == "Account"


CONDITIONS: dict[str, list[str]] = {
    "Name LIKE 'mercy%'": ["Mercy Clinic", "Mercy Health System", "Mercy Hospital"],
    "Name LIKE 'mercy\\%'": [],
    "Name LIKE 'Mercy_Clinic'": ["Mercy Clinic"],
    "ParentId = null": ["Lakeside Medical Center", "Mercy Health System"],
    "ParentId != null": ["Mercy Clinic", "Mercy Hospital"],
    "NumberOfEmployees > 899.5": ["Mercy Hospital"],
    "NumberOfEmployees != 900": ["Lakeside Medical Center", "Mercy Clinic", "Mercy Health System"],
    "BillingCity NOT IN ('Springfield', 'Rome')": ["Lakeside Medical Center", "Mercy Clinic"],
    "Id IN ('001000000000mEr', '001000000000lAk')": ["Lakeside Medical Center", "Mercy Hospital"],
    "Owner.Name = 'Bea Busy'": ["Lakeside Medical Center"],
    "Parent.Parent.Name = 'Mercy Health System'": ["Mercy Clinic"],
    "Rescore_Flag__c = false AND (ParentId = null OR Name = 'Mercy Clinic')": [
        "Lakeside Medical Center",
        "Mercy Clinic",
        "Mercy Health System",
    ],
    "NOT Name LIKE 'Mercy%'": ["Lakeside Medical Center"],
    "SystemModstamp >= 2020-01-01T00:00:00Z AND SystemModstamp < 2020-01-01T00:00:00+00:00": [],
    "IsDeleted = true": [],
}


@pytest.mark.parametrize("where", CONDITIONS)
def test_a_condition_selects(where, salesforce):
    assert _names(salesforce.query(" WHERE ".join(("SELECT Name FROM Account", where)))) == CONDITIONS[where]


def test_escaped_quotes_and_backslashes_reach_the_stored_text(salesforce, sandbox, accounts, people):
    sandbox.world.human_edit("salesforce", "Account", accounts.clinic, {"Name": "O'Brien \\ Sons"}, by=people.ana)
    assert _names(salesforce.query(r"SELECT Name FROM Account WHERE Name = 'O\'Brien \\ Sons'")) == ["O'Brien \\ Sons"]


def test_relationship_fields_come_nested_and_empty_ones_null(salesforce):
    soql = "SELECT Name, Owner.Name, Parent.Owner.Email FROM Account ORDER BY Name"
    lakeside, clinic, *_ = salesforce.query(soql).json()["records"]
    assert lakeside["Owner"]["Name"] == "Bea Busy"
    assert lakeside["Owner"]["attributes"]["type"] == "User"
    assert lakeside["Parent"] is None
    assert clinic["Parent"]["Owner"]["Email"] == "ana@people.example"


def test_rows_are_ordered_and_limited(salesforce):
    soql = "SELECT Name FROM Account ORDER BY BillingCity DESC NULLS LAST, Name LIMIT 3"
    names = [row["Name"] for row in salesforce.query(soql).json()["records"]]
    assert names == ["Mercy Health System", "Mercy Hospital", "Lakeside Medical Center"]


def test_counting_gives_the_total_and_no_rows(salesforce):
    body = salesforce.query("SELECT COUNT() FROM Account WHERE Name LIKE 'Mercy%'").json()
    assert body == {"totalSize": 3, "done": True, "records": []}


def test_groups_are_counted(salesforce, accounts):
    soql = "SELECT AccountId, COUNT(Id) members FROM AccountTeamMember GROUP BY AccountId"
    (row,) = salesforce.query(soql).json()["records"]
    assert (row["AccountId"], row["members"], row["attributes"]["type"]) == (accounts.mercy, 2, "AggregateResult")


REFUSED: dict[str, tuple[str, str]] = {
    "SELEKT Id FROM Account": ("MALFORMED_QUERY", "unexpected token: SELEKT"),
    "SELECT Id FROM Account WHERE": ("MALFORMED_QUERY", "unexpected token"),
    "SELECT Id FROM Account WHERE Name = 'x": ("MALFORMED_QUERY", "no viable alternative"),
    "SELECT Id FROM Account WHERE Name = 'x' OR Phone = 'y' AND Type = 'z'": (
        "MALFORMED_QUERY",
        "unexpected token: AND",
    ),
    "SELECT Id FROM Nothing": ("INVALID_TYPE", "sObject type 'Nothing' is not supported"),
    "SELECT Id, id FROM Account": ("INVALID_FIELD", "duplicate field selected"),
    "SELECT Boss.Name FROM Account": ("INVALID_FIELD", "Didn't understand relationship 'Boss'"),
    "SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01T00:00:00Z'": (
        "INVALID_FIELD",
        "dateTime and should not",
    ),
    "SELECT Id FROM Account WHERE Name = 5": ("INVALID_FIELD", "must be of type string"),
    "SELECT Id FROM Account WHERE Id = 'nope'": ("INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: nope"),
    "SELECT Id FROM AccountHistory WHERE NewValue = 'x'": ("INVALID_FIELD", "can not be filtered"),
}


@pytest.mark.parametrize("soql", REFUSED)
def test_a_query_is_refused(soql, salesforce):
    answer = salesforce.query(soql)
    code, text = REFUSED[soql]
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert text in answer.json()[0]["message"]


def test_an_unknown_column_is_shown_where_it_stands(salesforce):
    (error,) = salesforce.query("SELECT X FROM Account LIMIT 2").json()
    assert error["errorCode"] == "INVALID_FIELD"
    assert error["message"].startswith(
        "\nSELECT X FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'X' on entity 'Account'."
    )


def test_pages_hold_as_many_rows_as_asked_for_within_200_and_2000(salesforce, many_accounts):
    many_accounts(2100)
    sizes = [
        len(salesforce.query("SELECT Id FROM Account", headers=headers).json()["records"])
        for headers in (None, {"Sforce-Query-Options": "batchSize=500"}, {"Sforce-Query-Options": "batchSize=10"})
    ]
    assert sizes == [2000, 500, 200]


@pytest.mark.parametrize("short", [False, True])
def test_following_the_locator_gives_every_row_once(short, salesforce, sandbox, many_accounts):
    many_accounts(996)
    sandbox.world.settings.short_pages = short
    first = salesforce.query("SELECT Id FROM Account", headers={"Sforce-Query-Options": "batchSize=200"})
    rows = _all_pages(salesforce, first)
    assert len(rows) == len({row["Id"] for row in rows}) == first.json()["totalSize"] == 1000
    pages = sum(1 for r in sandbox.world.requests if "/query" in r.path)
    assert pages == 5 or short


def test_a_cursor_that_is_too_old_or_unknown_is_refused(sandbox, salesforce, many_accounts):
    many_accounts(300)
    answer = salesforce.query("SELECT Id FROM Account", headers={"Sforce-Query-Options": "batchSize=200"})
    sandbox.world.settings.cursor_lifetime_s = -1
    for url in (answer.json()["nextRecordsUrl"], "query/0r8unknown-200"):
        late = salesforce("GET", url)
        assert (late.status_code, late.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_deleted_rows_come_only_with_query_all(salesforce):
    soql = "SELECT Name, IsDeleted FROM Account WHERE Name LIKE 'Closed%'"
    assert _names(salesforce.query(soql)) == []
    (row,) = salesforce.query(soql, "queryAll/").json()["records"]
    assert (row["Name"], row["IsDeleted"]) == ("Closed Hospital", True)


def test_users_have_no_isdeleted_column(salesforce):
    assert salesforce.query("SELECT IsDeleted FROM User").json()[0]["errorCode"] == "INVALID_FIELD"


def test_stamps_are_whole_seconds_and_two_writes_can_share_one(salesforce, sandbox, accounts, people):
    for phone in ("5550100", "5550101"):
        sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"Phone": phone}, by=people.bea)
    row = salesforce.query("SELECT SystemModstamp, LastModifiedBy.Name FROM Account WHERE Phone = '5550101'").json()
    stamp = row["records"][0]["SystemModstamp"]
    assert stamp.endswith(".000+0000")
    assert row["records"][0]["LastModifiedBy"]["Name"] == "Bea Busy"
    literal = stamp.replace(".000+0000", "Z")
    soql = "SELECT Id FROM Account WHERE SystemModstamp {} {} AND Phone != null"
    assert len(salesforce.query(soql.format(">=", literal)).json()["records"]) == 1
    assert len(salesforce.query(soql.format(">", literal)).json()["records"]) == 0


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def test_a_late_commit_shows_up_behind_a_watermark_that_has_passed_its_stamp(salesforce, sandbox, accounts, people):
    clock = sandbox.world.now = _Clock()
    sandbox.world.settings.late_commit_s = 30
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"Phone": "5550100"}, by=people.bea)
    written_at = clock.at
    late = "SELECT SystemModstamp FROM Account WHERE Phone = '5550100'"
    clock.at += timedelta(seconds=10)
    assert salesforce.query(late).json()["records"] == []
    span = {"start": (written_at - timedelta(days=1)).isoformat(), "end": clock.at.isoformat()}
    covered = salesforce("GET", "sobjects/Account/updated/", **span).json()["latestDateCovered"]
    assert covered == salesforce_time(written_at)  # held back to the open transaction
    clock.at += timedelta(seconds=30)
    (row,) = salesforce.query(late).json()["records"]
    assert row["SystemModstamp"] == salesforce_time(written_at)


def test_updated_and_deleted_ids_of_a_span_are_listed(salesforce, sandbox, accounts, people):
    sandbox.world.delete("salesforce", "Account", accounts.clinic, by=people.ana)
    now = datetime.now(UTC)
    span = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}
    updated = salesforce("GET", "sobjects/Account/updated/", **span).json()
    deleted = salesforce("GET", "sobjects/Account/deleted/", **span).json()
    assert set(updated["ids"]) == {accounts.system, accounts.mercy, accounts.lakeside}
    assert {row["id"] for row in deleted["deletedRecords"]} == {accounts.clinic, accounts.closed}
    assert "earliestDateAvailable" in deleted


@pytest.mark.parametrize(("start_days", "end_days"), [(1, 2), (40, 0)])
def test_a_span_that_is_reversed_or_too_old_is_refused(start_days, end_days, salesforce):
    now = datetime.now(UTC)
    start, end = ((now - timedelta(days=days)).isoformat() for days in (start_days, end_days))
    answer = salesforce("GET", "sobjects/Account/updated", start=start, end=end)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_REPLICATION_DATE")


def test_an_address_beyond_16_kilobytes_is_refused(salesforce):
    listed = ",".join(f"'{number:018d}'" for number in range(900))
    soql = " WHERE ".join(("SELECT Id FROM Account", f"Phone IN ({listed})"))
    assert salesforce.query(soql).status_code == 414
