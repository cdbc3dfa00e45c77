"""Bulk 2.0 of the sandbox Salesforce: states, tables in and out, batches, retries and limits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests

JSON = {"object": "Account", "operation": "update", "contentType": "CSV"}


class Bulk:
    """Hands for jobs/ingest."""

    def __init__(self, salesforce: Any) -> None:
        self._http = salesforce

    def create(self, **given: str) -> str:
        answer = self._http("POST", "jobs/ingest", {**JSON, "lineEnding": "LF", **given})
        assert answer.json()["state"] == "Open"
        return str(answer.json()["id"])

    def upload(self, job: str, content: str) -> requests.Response:
        url = f"{self._http.base_url}/services/data/v62.0/jobs/ingest/{job}/batches"
        return self._http.session.put(url, content.encode(), headers={"Content-Type": "text/csv"}, timeout=10)

    def set(self, job: str, state: str) -> requests.Response:
        return self._http("PATCH", f"jobs/ingest/{job}", {"state": state})

    def start(self, content: str, **given: str) -> str:
        job = self.create(**given)
        assert self.upload(job, content).status_code == 201
        assert self.set(job, "UploadComplete").json()["state"] in ("UploadComplete", "Failed")
        return job

    def poll(self, job: str) -> dict[str, Any]:
        return dict(self._http("GET", f"jobs/ingest/{job}").json())

    def finish(self, job: str) -> dict[str, Any]:
        for _ in range(50):
            info = self.poll(job)
            if info["state"] in ("JobComplete", "Failed", "Aborted"):
                return info
        raise AssertionError("the job does not end")

    def results(self, job: str, kind: str) -> list[dict[str, str]]:
        text = self._http("GET", f"jobs/ingest/{job}/{kind}").text
        return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def bulk(salesforce: Any) -> Bulk:
    return Bulk(salesforce)


def _table(*rows: tuple[str, ...]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def test_a_job_goes_from_open_to_complete_and_tells_rows_apart(bulk, sandbox, accounts, people):
    rows = [("Id", "Phone", "OwnerId"), (accounts.mercy, "1", ""), (accounts.clinic, "1", people.carl)]
    job = bulk.start(_table(*rows))
    assert bulk.poll(job)["state"] == "InProgress"
    info = bulk.poll(job)
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 2, 1)
    (done,) = bulk.results(job, "successfulResults")
    assert (done["sf__Id"], done["sf__Created"], done["Id"]) == (accounts.mercy, "false", accounts.mercy)
    (refused,) = bulk.results(job, "failedResults")
    assert refused["Id"] == accounts.clinic
    assert refused["sf__Error"].startswith("INACTIVE_OWNER_OR_USER:operation performed with inactive user")
    assert refused["sf__Error"].endswith(":OwnerId --")
    assert bulk.results(job, "unprocessedrecords") == []
    assert [(c.field, c.new, c.source) for c in sandbox.world.history] == [("Phone", "1", "API")]


def test_an_empty_cell_leaves_a_field_alone_and_na_clears_it(bulk, sandbox, accounts):
    job = bulk.start(_table(("Id", "CCN__c", "NumberOfEmployees"), (accounts.mercy, "#N/A", "")))
    assert bulk.finish(job)["numberRecordsFailed"] == 0
    mercy = sandbox.world.get("salesforce", "Account", accounts.mercy)
    assert (mercy["CCN__c"], mercy["NumberOfEmployees"]) == (None, 900)


def test_cells_become_booleans_and_numbers(bulk, sandbox, accounts):
    job = bulk.start(_table(("Id", "Rescore_Flag__c", "NumberOfEmployees"), (accounts.mercy, "true", "12")))
    bulk.finish(job)
    mercy = sandbox.world.get("salesforce", "Account", accounts.mercy)
    assert (mercy["Rescore_Flag__c"], mercy["NumberOfEmployees"]) == (True, 12)


def test_a_cell_of_another_type_fails_its_row(bulk, accounts):
    job = bulk.start(_table(("Id", "NumberOfEmployees"), (accounts.mercy, "many")))
    bulk.finish(job)
    (row,) = bulk.results(job, "failedResults")
    assert row["sf__Error"].startswith("INVALID_TYPE_ON_FIELD_IN_RECORD:")


def test_results_come_in_another_order_than_the_rows(bulk, many_accounts):
    ids = many_accounts(100)
    job = bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids)))
    bulk.finish(job)
    found = [row["Id"] for row in bulk.results(job, "successfulResults")]
    assert found != ids
    assert sorted(found) == ids


@pytest.mark.parametrize(("name", "sign"), [("SEMICOLON", ";"), ("TAB", "\t"), ("PIPE", "|"), ("CARET", "^")])
def test_delimiters_and_line_endings_are_the_jobs_own(bulk, salesforce, sandbox, accounts, name, sign):
    table = f"Id{sign}Phone\r\n{accounts.mercy}{sign}7\r\n"
    job = bulk.start(table, columnDelimiter=name, lineEnding="CRLF")
    bulk.finish(job)
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "7"
    text = salesforce("GET", f"jobs/ingest/{job}/successfulResults").text
    assert f'"sf__Id"{sign}"sf__Created"{sign}"Id"{sign}"Phone"\r\n' in text


def test_the_wrong_line_ending_fails_the_job(bulk, accounts):
    job = bulk.start(f"Id,Phone\r\n{accounts.mercy},1\r\n")
    info = bulk.poll(job)
    assert (info["state"], info["errorMessage"].split(" : ")[0]) == ("Failed", "ClientInputError")


def test_an_unknown_column_fails_the_job_and_writes_nothing(bulk, sandbox, accounts):
    job = bulk.start(_table(("Id", "Nope__c"), (accounts.mercy, "1")))
    info = bulk.poll(job)
    assert (info["state"], "Nope__c" in info["errorMessage"]) == ("Failed", True)
    assert [row["Id"] for row in bulk.results(job, "unprocessedrecords")] == [accounts.mercy]
    assert sandbox.world.history == []


def test_data_is_uploaded_once(bulk, accounts):
    job = bulk.create()
    assert bulk.upload(job, _table(("Id", "Phone"), (accounts.mercy, "1"))).status_code == 201
    again = bulk.upload(job, _table(("Id", "Phone"), (accounts.mercy, "2")))
    assert (again.status_code, again.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


def test_results_wait_for_the_end(bulk, salesforce, accounts):
    job = bulk.start(_table(("Id", "Phone"), (accounts.mercy, "1")))
    early = salesforce("GET", f"jobs/ingest/{job}/successfulResults")
    assert (early.status_code, early.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


def test_a_small_job_is_one_multipart_request(salesforce, bulk, sandbox, accounts):
    content = _table(("Id", "Phone"), (accounts.mercy, "5"))
    parts = {"job": (None, json.dumps({**JSON, "lineEnding": "LF"}), "application/json")}
    url = f"{salesforce.base_url}/services/data/v62.0/jobs/ingest"
    made = salesforce.session.post(url, files={**parts, "content": ("content", content, "text/csv")}, timeout=10)
    assert made.json()["state"] == "UploadComplete"
    bulk.finish(made.json()["id"])
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "5"
    large = {**parts, "content": ("content", "Id\n" + "x" * 100_000, "text/csv")}
    assert salesforce.session.post(url, files=large, timeout=10).status_code == 400


def test_an_upsert_finds_records_by_an_external_id(bulk, sandbox, accounts):
    sandbox.world.set_fields(
        "salesforce", "Account", accounts.mercy, {"Definitive_ID__c": "77"}, by=accounts.mercy, source="CRM_UI"
    )
    rows = [("Definitive_ID__c", "Name"), ("77", "Mercy"), ("78", "New")]
    job = bulk.start(_table(*rows), operation="upsert", externalIdFieldName="Definitive_ID__c")
    bulk.finish(job)
    made = {row["Definitive_ID__c"]: row["sf__Created"] for row in bulk.results(job, "successfulResults")}
    assert made == {"77": "false", "78": "true"}
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Name"] == "Mercy"


def test_an_upsert_needs_an_external_id_field(salesforce):
    answer = salesforce(
        "POST", "jobs/ingest", {**JSON, "operation": "upsert", "externalIdFieldName": "NumberOfEmployees"}
    )
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDJOB")


def test_an_aborted_job_leaves_the_rest_unprocessed(bulk, sandbox, many_accounts):
    ids = many_accounts(30)
    sandbox.world.settings.bulk_batch_rows = 10
    sandbox.world.settings.bulk_polls = 5
    job = bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids)))
    bulk.poll(job)
    assert bulk.set(job, "Aborted").json()["state"] == "Aborted"
    assert len(bulk.results(job, "successfulResults")) == 10
    assert {row["Id"] for row in bulk.results(job, "unprocessedrecords")} == set(ids[10:])
    assert bulk.set(job, "UploadComplete").status_code == 400


def test_a_batch_that_fails_too_often_fails_the_job_after_the_batches_before_it(bulk, sandbox, many_accounts):
    ids = many_accounts(30)
    sandbox.world.settings.bulk_batch_rows = 10
    sandbox.world.settings.bulk_failing_batches = {1: 20}
    job = bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids)))
    info = bulk.finish(job)
    assert (info["state"], info["retries"], info["numberRecordsProcessed"]) == ("Failed", 20, 10)
    assert len(bulk.results(job, "unprocessedrecords")) == 20


def test_a_retried_batch_may_show_rows_twice(bulk, sandbox, many_accounts):
    ids = many_accounts(10)
    sandbox.world.settings.bulk_failing_batches = {0: 1}
    sandbox.world.settings.bulk_repeats_results = True
    job = bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids)))
    assert bulk.finish(job)["state"] == "JobComplete"
    assert len(bulk.results(job, "successfulResults")) == 15
    assert len(sandbox.world.history) == 10  # the second writing changed nothing


def test_a_job_may_work_without_being_polled(bulk, sandbox, accounts):
    sandbox.world.settings.bulk_runs_alone = True
    bulk.start(_table(("Id", "Phone"), (accounts.mercy, "9")))
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "9"


def test_the_days_batches_are_counted(bulk, sandbox, salesforce, many_accounts):
    ids = many_accounts(20)
    sandbox.world.settings.bulk_batch_rows = 10
    sandbox.world.settings.bulk_daily_batches = 3
    bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids)))
    assert salesforce("GET", "limits").json()["DailyBulkApiBatches"] == {"Max": 3, "Remaining": 1}
    refused = bulk.poll(bulk.start(_table(("Id", "Phone"), *((one, "1") for one in ids))))
    assert (refused["state"], refused["errorMessage"].split(" : ")[0]) == ("Failed", "ExceededQuota")


def test_jobs_are_listed_deleted_and_forgotten_after_a_week(bulk, salesforce, sandbox, accounts):
    job = bulk.start(_table(("Id", "Phone"), (accounts.mercy, "1")))
    opened = bulk.create()
    listed = salesforce("GET", "jobs/ingest").json()
    assert ([row["id"] for row in listed["records"]], listed["done"]) == ([job, opened], True)
    assert salesforce("DELETE", f"jobs/ingest/{opened}").status_code == 400  # an open job is aborted first
    bulk.finish(job)
    assert salesforce("DELETE", f"jobs/ingest/{job}").status_code == 204
    assert salesforce("GET", f"jobs/ingest/{job}").status_code == 404
    now = sandbox.world.now()
    sandbox.world.now = lambda: now + timedelta(days=8)
    assert salesforce("GET", f"jobs/ingest/{opened}").status_code == 404


def test_no_assignment_rule_looks_at_bulk_rows(bulk, sandbox, accounts, people):
    job = bulk.start(_table(("Id", "OwnerId"), (accounts.lakeside, people.ana)))
    bulk.finish(job)
    assert sandbox.world.get("salesforce", "Account", accounts.lakeside)["OwnerId"] == people.ana


def test_an_owner_change_in_bulk_ends_the_account_team(bulk, sandbox, accounts, people):
    bulk.finish(bulk.start(_table(("Id", "OwnerId"), (accounts.mercy, people.bea))))
    members = sandbox.world.table("salesforce", "AccountTeamMember").values()
    assert all(member["IsDeleted"] for member in members)


# queries


def _extract(salesforce: Any, query: str, **given: str) -> str:
    made = salesforce("POST", "jobs/query", {"operation": "queryAll", "query": query, **given})
    assert made.json()["state"] == "UploadComplete"
    job = str(made.json()["id"])
    while salesforce("GET", f"jobs/query/{job}").json()["state"] != "JobComplete":
        pass
    return job


def test_a_query_result_comes_in_pages_behind_a_locator(salesforce, sandbox, many_accounts: Callable[[int], list[str]]):
    many_accounts(25)
    job = _extract(salesforce, "SELECT Id, Name, Owner.Name, IsDeleted FROM Account")
    rows, locator, counts = [], "", []
    while locator != "null":
        page = salesforce(
            "GET", f"jobs/query/{job}/results", maxRecords="10", **({"locator": locator} if locator else {})
        )
        rows += list(csv.DictReader(io.StringIO(page.text, newline="")))
        locator = page.headers["Sforce-Locator"]
        counts.append(page.headers["Sforce-NumberOfRecords"])
    assert counts == ["10", "10", "10"]  # 25 + 5
    assert {row["Id"] for row in rows} == set(sandbox.world.table("salesforce", "Account"))
    assert {row["IsDeleted"] for row in rows} == {"true", "false"}
    assert {row["Owner.Name"] for row in rows} == {"Ana Active", "Bea Busy"}


@pytest.mark.parametrize(
    "query", ["SELECT COUNT(Id) FROM Account", "SELECT Id FROM Account OFFSET 5", "SELECT BillingAddress FROM Account"]
)
def test_what_bulk_cannot_query_is_refused(salesforce, query):
    assert salesforce("POST", "jobs/query", {"operation": "query", "query": query}).status_code == 400


def test_results_belong_to_the_version_of_the_job(salesforce):
    job = _extract(salesforce, "SELECT Id FROM Account")
    assert salesforce("GET", f"/services/data/v60.0/jobs/query/{job}/results").status_code == 409
