"""Bulk API 2.0 ingest: jobs that take a table of rows and work through it in batches, while they are polled."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.ids import PREFIXES, id18, make_id
from sandbox.salesforce.multipart import parts_of
from sandbox.salesforce.schema import Field, Schema
from sandbox.salesforce.tables import (
    DELIMITERS,
    LINE_ENDINGS,
    Dialect,
    UnreadableError,
    read_table,
    value_of,
    write_table,
)
from sandbox.salesforce.writes import Writer
from sandbox.world import World, salesforce_time

MAX_MULTIPART = 100_000  # characters
MAX_LISTED = 1000
CHUNK = 200  # rows that triggers see together
OPERATIONS = ("insert", "update", "upsert", "delete")
FINISHED = ("JobComplete", "Failed", "Aborted")
CSV = "text/csv"


@dataclass(slots=True, kw_only=True)
class Job:
    """One ingest job."""

    id: str
    object: str
    operation: str
    dialect: Dialect
    key: str  # external id field of an upsert; "" otherwise
    author: Call  # the call that made it; rows are written in its name
    created_at: datetime
    version: str
    state: str = "Open"
    content: str | None = None
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    taken: int = 0  # rows of finished batches
    polls_left: int = 0
    retries: int = 0
    error: str = ""
    written: list[tuple[str, bool, list[str]]] = field(default_factory=list)  # id, created, row
    refused: list[tuple[str, list[str]]] = field(default_factory=list)  # error text, row
    repeated: list[tuple[str, bool, list[str]]] = field(default_factory=list)  # of batches that were tried again


class Ingest:
    """The jobs/ingest resources of one world."""

    def __init__(self, world: World, schema: Schema, writer: Writer) -> None:
        self._world = world
        self._schema = schema
        self._writer = writer
        self._jobs: dict[str, Job] = {}
        self._random = random.Random(f"bulk:{world.seed}")

    def handle(self, call: Call, rest: Sequence[str]) -> Reply:
        """Answer a call; `rest` is the path below jobs/ingest."""
        if not rest:
            if call.method == "POST":
                return self._create(call)
            if call.method == "GET":
                return self._list(call)
            raise not_found()
        job = self._job(rest[0])
        steps = {
            ("GET", ""): self._poll,
            ("PATCH", ""): self._close,
            ("DELETE", ""): self._delete,
            ("PUT", "batches"): self._upload,
            ("GET", "successfulResults"): self._written,
            ("GET", "failedResults"): self._refused,
            ("GET", "unprocessedrecords"): self._unprocessed,
        }
        step = steps.get((call.method, "/".join(rest[1:])))
        if step is None:
            raise not_found()
        return step(call, job)

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(id18(job_id))
        lifetime = timedelta(seconds=self._world.settings.bulk_job_lifetime_s)
        if job is None or self._world.now() - job.created_at > lifetime:
            raise not_found()
        return job

    def _create(self, call: Call) -> Reply:
        content_type = call.headers.get("content-type", "")
        if not content_type.startswith("multipart/"):
            return Reply(body=self._info(self._new_job(call, call.body)))
        given, content = parts_of(content_type, str(call.body))
        if len(content) > MAX_MULTIPART:
            raise ApiError("INVALIDJOB", f"the content of a multipart request has at most {MAX_MULTIPART} characters")
        job = self._new_job(call, given)
        job.content = content
        self._start(call, job)
        return Reply(body=self._info(job))

    def _new_job(self, call: Call, given: Any) -> Job:
        if not isinstance(given, dict):
            raise ApiError("INVALIDJOB", "a job needs object and operation")
        name = self._schema.object_name(str(given.get("object", "")))
        operation = str(given.get("operation", ""))
        if name is None or operation not in OPERATIONS:
            raise ApiError("INVALIDJOB", f"operation {operation!r} on object {given.get('object')!r} is not supported")
        if str(given.get("contentType", "CSV")).upper() != "CSV":
            raise ApiError("INVALIDJOB", "contentType is CSV")
        job = Job(
            id=make_id(PREFIXES["Job"], len(self._jobs) + 1),
            object=name,
            operation=operation,
            dialect=_dialect(given),
            key=self._key(name, operation, given),
            author=replace(call, body=None, in_bulk=True),
            created_at=self._world.now(),
            version=call.base.rpartition("/v")[2],
        )
        self._jobs[job.id] = job
        return job

    def _key(self, object_name: str, operation: str, given: Mapping[str, Any]) -> str:
        if operation != "upsert":
            return ""
        named = str(given.get("externalIdFieldName", ""))
        found = self._schema.field(object_name, named)
        if found is None or not (found.external or found.name == "Id"):
            raise ApiError("INVALIDJOB", f"externalIdFieldName {named!r} is no external id field of {object_name}")
        return found.name

    def _list(self, call: Call) -> Reply:
        locator = call.query.get("queryLocator") or "0"
        if not locator.isdigit():
            raise ApiError("INVALID_LOCATOR", "queryLocator is not valid")
        start = int(locator)
        jobs = sorted(self._jobs.values(), key=lambda job: job.id)
        wanted = call.query.get("jobType", "V2Ingest")
        shown = [self._info(job) for job in jobs] if wanted == "V2Ingest" else []
        end = start + MAX_LISTED
        more = f"{call.base}/jobs/ingest?queryLocator={end}" if end < len(shown) else None
        return Reply(body={"done": more is None, "records": shown[start:end], "nextRecordsUrl": more})

    def _upload(self, call: Call, job: Job) -> Reply:
        if job.state != "Open" or job.content is not None:
            text = f"Found multiple contents for job: {job.id}; upload once, then close, abort or delete the job"
            raise ApiError("INVALIDJOBSTATE", text)
        content = call.body if isinstance(call.body, str) else ""
        if not call.headers.get("content-type", "").startswith(CSV):
            raise ApiError("INVALIDJOB", "the content type of a batch is text/csv")
        if len(content.encode()) > self._world.settings.bulk_max_bytes:
            raise ApiError("REQUEST_LIMIT_EXCEEDED", "the content of a job is too large", status=413)
        job.content = content
        return Reply(status=201)

    def _close(self, call: Call, job: Job) -> Reply:
        wanted = call.body.get("state") if isinstance(call.body, dict) else None
        if wanted == "Aborted" and job.state not in FINISHED:
            job.state = "Aborted"
        elif wanted == "UploadComplete" and job.state == "Open":
            self._start(call, job)
        else:
            raise ApiError("INVALIDJOBSTATE", f"job {job.id} is {job.state}; it cannot become {wanted}")
        return Reply(body=self._info(job))

    def _delete(self, _: Call, job: Job) -> Reply:
        if job.state not in (*FINISHED, "UploadComplete"):
            raise ApiError("INVALIDJOBSTATE", f"job {job.id} is {job.state}; it cannot be deleted")
        del self._jobs[job.id]
        return Reply(status=204)

    def _start(self, call: Call, job: Job) -> None:
        """Take the closed job in: its table is read, its batches are counted."""
        job.state = "UploadComplete"
        job.author = replace(job.author, request=call.request)
        job.polls_left = self._world.settings.bulk_polls
        try:
            job.header, job.rows = read_table(job.content or "", job.dialect) if job.content else ([], [])
            self._check_header(job)
        except UnreadableError as error:
            job.state, job.error = "Failed", str(error)
            return
        with self._world.lock:
            batches = -(-len(job.rows) // self._world.settings.bulk_batch_rows)
            if self._world.salesforce_batches + batches > self._world.settings.bulk_daily_batches:
                job.state, job.error = "Failed", "ExceededQuota : ApiBatchItems Limit exceeded."
                return
            self._world.salesforce_batches += batches
        if self._world.settings.bulk_runs_alone:
            self._work(call, job, len(job.rows))

    def _check_header(self, job: Job) -> None:
        for name in job.header:
            if self._schema.field(job.object, name) is None:
                raise UnreadableError(f"InvalidBatch : Field name not found : {name}")

    def _poll(self, call: Call, job: Job) -> Reply:
        if job.state in ("UploadComplete", "InProgress"):
            job.state = "InProgress"
            job.polls_left -= 1
            last = job.polls_left < 0
            self._work(call, job, len(job.rows) if last else self._world.settings.bulk_batch_rows)
            if last and job.state == "InProgress":
                job.state = "JobComplete"
        return Reply(body=self._info(job, details=True))

    def _work(self, call: Call, job: Job, rows: int) -> None:
        """Work through whole batches of so many more rows, or until the job fails."""
        size, goal = self._world.settings.bulk_batch_rows, job.taken + rows
        while job.taken < min(goal, len(job.rows)) and job.state != "Failed":
            failures = self._world.settings.bulk_failing_batches.get(job.taken // size, 0)
            batch = job.rows[job.taken : job.taken + size]
            tries = min(failures, self._world.settings.bulk_tries)
            job.retries += tries
            if tries:  # a try that failed had written the first rows already
                job.repeated += self._run(call, job, batch[: len(batch) // 2])[0]
            if failures >= self._world.settings.bulk_tries:
                job.state = "Failed"
                job.error = "InternalServerError : the batch failed too often"
                return
            written, refused = self._run(call, job, batch)
            job.written += written
            job.refused += refused
            job.taken += len(batch)

    def _run(
        self, call: Call, job: Job, rows: list[list[str]]
    ) -> tuple[list[tuple[str, bool, list[str]]], list[tuple[str, list[str]]]]:
        written, refused = [], []
        inner = replace(job.author, faults=call.faults)
        for chunk in _chunks(rows):
            records = [self._record(job, row) for row in chunk]
            ids = [id18(str(record["Id"])) for record in records if record.get("Id")]
            with self._writer.claim(inner, ids):
                self._world.emit("before_write", "salesforce", job.object, ids)
                for record, row in zip(records, chunk, strict=True):
                    try:
                        with self._world.lock:
                            written.append((*self._apply(inner, job, record), row))
                    except ApiError as error:
                        refused.append((_row_error(error, job.object), row))
        return written, refused

    def _record(self, job: Job, row: list[str]) -> dict[str, Any]:
        fields: list[Field | None] = [self._schema.field(job.object, name) for name in job.header]
        return {f.name: value_of(f, cell) for f, cell in zip(fields, row, strict=True) if f is not None and cell}

    def _apply(self, call: Call, job: Job, record: dict[str, Any]) -> tuple[str, bool]:
        """Write one row: its record id, and whether it was made."""
        record_id = str(record.pop("Id", "") or "")
        if job.operation == "upsert" and job.key != "Id":
            record_id = self._writer.matching(job.object, job.key, record.get(job.key)) or ""
        if job.operation == "insert" or (job.operation == "upsert" and not record_id):
            return self._writer.create(call, job.object, record), True
        if not record_id:
            raise ApiError("MISSING_ARGUMENT", "Id not specified in an update call")
        if job.operation == "delete":
            return self._writer.delete(call, job.object, record_id), False
        return str(self._writer.update(call, job.object, record_id, record)["Id"]), False

    def _written(self, _: Call, job: Job) -> Reply:
        told = {record_id for record_id, _, _ in job.written}
        again = [row for row in job.repeated if row[0] in told] if self._world.settings.bulk_repeats_results else []
        rows = [*job.written, *again]
        cells = [[record_id, str(created).lower(), *row] for record_id, created, row in rows]
        return self._results(job, ("sf__Id", "sf__Created", *job.header), cells)

    def _refused(self, _: Call, job: Job) -> Reply:
        cells = [["", error, *row] for error, row in job.refused]
        return self._results(job, ("sf__Id", "sf__Error", *job.header), cells)

    def _unprocessed(self, _: Call, job: Job) -> Reply:
        return self._results(job, job.header, [list(row) for row in job.rows[job.taken :]])

    def _results(self, job: Job, header: Sequence[str], rows: list[list[str]]) -> Reply:
        if job.state not in FINISHED:
            raise ApiError("INVALIDJOBSTATE", f"job {job.id} is {job.state}; results come when it has finished")
        self._random.shuffle(rows)
        return Reply(body=write_table(header, rows, job.dialect), media_type=CSV)

    def _info(self, job: Job, *, details: bool = False) -> dict[str, Any]:
        created = salesforce_time(job.created_at)
        info = {
            "id": job.id,
            "operation": job.operation,
            "object": job.object,
            "createdById": job.author.user,
            "createdDate": created,
            "systemModstamp": created,
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "contentUrl": f"services/data/v{job.version}/jobs/ingest/{job.id}/batches",
            "lineEnding": job.dialect.line_ending,
            "columnDelimiter": job.dialect.delimiter,
        }
        if job.key:
            info["externalIdFieldName"] = job.key
        if details:
            info |= {"jobType": "V2Ingest", "retries": job.retries, "numberRecordsFailed": len(job.refused)}
            info["numberRecordsProcessed"] = len(job.written) + len(job.refused)
            info |= dict.fromkeys(("totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"), 0)
            info |= {"errorMessage": job.error} if job.error else {}
        return info


def _dialect(given: Mapping[str, Any]) -> Dialect:
    delimiter, ending = given.get("columnDelimiter") or "COMMA", given.get("lineEnding") or "LF"
    if delimiter not in DELIMITERS or ending not in LINE_ENDINGS:
        raise ApiError("INVALIDJOB", f"columnDelimiter {delimiter!r} or lineEnding {ending!r} is not supported")
    return Dialect(delimiter=delimiter, line_ending=ending)


def _row_error(error: ApiError, object_name: str) -> str:
    if error.code == "JSON_PARSER_ERROR":
        error = ApiError("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{object_name}: value not of required type")
    return f"{error.code}:{error.message}:{','.join(error.fields)} --"


def _chunks(rows: list[list[str]]) -> Iterator[list[list[str]]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
