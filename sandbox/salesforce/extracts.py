"""Bulk API 2.0 queries: jobs whose result comes as pages of CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.ids import PREFIXES, id18, make_id
from sandbox.salesforce.query import Queries
from sandbox.salesforce.tables import Dialect, write_table
from sandbox.world import World, salesforce_time

_REFUSED = re.compile(r"\b(GROUP\s+BY|OFFSET|TYPEOF|COUNT\s*\(|SUM\s*\(|AVG\s*\(|MIN\s*\(|MAX\s*\()", re.IGNORECASE)
_COMPOUND = re.compile(r"\b(Billing|Shipping|Mailing)Address\b", re.IGNORECASE)
_DEFAULT_PAGE = 50_000


@dataclass(slots=True, kw_only=True)
class _Job:
    id: str
    operation: str
    query: str
    version: str
    user: str
    created: str
    state: str = "UploadComplete"
    polls_left: int = 0
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


class Extracts:
    """The jobs/query resources of one world."""

    def __init__(self, world: World, queries: Queries) -> None:
        self._world = world
        self._queries = queries
        self._jobs: dict[str, _Job] = {}

    def handle(self, call: Call, rest: Sequence[str]) -> Reply:
        """Answer a call; `rest` is the path below jobs/query."""
        if not rest and call.method == "POST":
            return self._create(call)
        if not rest and call.method == "GET":
            listed = [_info(job) for job in self._jobs.values()]
            return Reply(body={"done": True, "records": listed, "nextRecordsUrl": None})
        job = self._jobs.get(id18(rest[0])) if rest else None
        if job is None:
            raise not_found()
        if job.version != call.base.rpartition("/v")[2]:
            raise ApiError("API_VERSION_MISMATCH", f"job {job.id} was made in version {job.version}", status=409)
        if rest[1:] == ["results"] and call.method == "GET":
            return self._results(call, job)
        if rest[1:]:
            raise not_found()
        return self._one(call, job)

    def _create(self, call: Call) -> Reply:
        given = call.body if isinstance(call.body, dict) else {}
        operation, text = given.get("operation"), str(given.get("query", ""))
        if operation not in ("query", "queryAll"):
            raise ApiError("INVALIDJOB", f"operation {operation!r} is not supported")
        found = _REFUSED.search(text) or _COMPOUND.search(text)
        if found:
            raise ApiError("API_ERROR", f"{found.group(0)} is not supported in a Bulk query")
        self._queries.table(text, include_deleted=False)  # refuses what is no query
        job = _Job(
            id=make_id(PREFIXES["Job"], 500_000 + len(self._jobs)),
            operation=operation,
            query=text,
            version=call.base.rpartition("/v")[2],
            user=call.user,
            created=salesforce_time(self._world.now()),
            polls_left=self._world.settings.bulk_polls,
        )
        self._jobs[job.id] = job
        return Reply(body=_info(job))

    def _one(self, call: Call, job: _Job) -> Reply:
        if call.method == "DELETE":
            del self._jobs[job.id]
            return Reply(status=204)
        if call.method == "PATCH":
            if job.state not in ("UploadComplete", "InProgress"):
                raise ApiError("INVALIDJOBSTATE", f"job {job.id} is {job.state}; it cannot be aborted")
            job.state = "Aborted"
        elif job.state in ("UploadComplete", "InProgress"):
            job.polls_left -= 1
            job.state = "InProgress"
            if job.polls_left < 0:
                job.header, job.rows = self._queries.table(job.query, include_deleted=job.operation == "queryAll")
                job.state = "JobComplete"
        return Reply(body={**_info(job), "numberRecordsProcessed": len(job.rows), "retries": 0})

    def _results(self, call: Call, job: _Job) -> Reply:
        if job.state != "JobComplete":
            raise ApiError("INVALIDJOBSTATE", f"job {job.id} is {job.state}; results come when it is complete")
        start, most = call.query.get("locator") or "0", call.query.get("maxRecords") or str(_DEFAULT_PAGE)
        if not start.isdigit() or not most.isdigit() or int(most) < 1:
            raise ApiError("INVALID_LOCATOR", "locator or maxRecords is not valid")
        page = job.rows[int(start) : int(start) + int(most)]
        end = int(start) + len(page)
        headers = {
            "Sforce-Locator": str(end) if end < len(job.rows) else "null",
            "Sforce-NumberOfRecords": str(len(page)),
        }
        return Reply(body=write_table(job.header, page, Dialect()), headers=headers, media_type="text/csv")


def _info(job: _Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "operation": job.operation,
        "object": None,
        "createdById": job.user,
        "createdDate": job.created,
        "systemModstamp": job.created,
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version),
        "jobType": "V2Query",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
