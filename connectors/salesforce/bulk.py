"""Bulk 2.0 ingest: thousands of rows as one job that is journaled before it starts and can be taken up again.

A job that was not closed never runs; a closed one runs whether anybody looks or not. So the job id is handed out
before the job is closed, and after that nothing is sent again: what cannot be read is UNKNOWN.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from connectors.errors import ConnectorError, Rejected, Retriable
from connectors.protocol import Verdict, Write, WriteResult
from connectors.salesforce import soql
from connectors.salesforce.ids import is_id, to_18
from connectors.salesforce.responses import SYSTEM, Outcome, row_outcome, unreadable
from connectors.salesforce.retry import LostAnswer
from connectors.salesforce.sending import Row, Sending, all_as, merged, result_of, send_all, stamped
from connectors.salesforce.session import Form, Session, parsed

NULL = "#N/A"  # clears a field; an empty cell leaves it alone
MULTIPART_CHARS = 99_000  # Salesforce takes 100,000 in one request
JOB_CHARS = 60_000_000  # Salesforce takes 150 MB in base64; most characters are one byte, none more than four
JOBS = "jobs/ingest"

_CSV = {"Content-Type": "text/csv; charset=UTF-8"}
_BOUNDARY = "platbook-8f2d1c9a7e5b4360"
_ROW_ERROR = re.compile(r"([A-Z][A-Z0-9_]*):(.*?)(?::([^:]*?))?\s*--\s*", re.DOTALL)
_UNREADABLE = ("InvalidBatch", "ClientInputError")  # the table as such was refused; sending it again helps nobody
_FINISHED = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How a job is waited for: seconds, doubling from the first wait to the longest."""

    first_s: float = 1.0
    longest_s: float = 20.0
    give_up_s: float = 3600.0  # the rows are UNKNOWN then, and the job can be resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as Salesforce last described it."""

    job_id: str
    state: str  # Open, UploadComplete, InProgress, JobComplete, Failed, Aborted
    processed: int = 0
    failed: int = 0
    retries: int = 0
    error: str = ""


class BulkLane:
    """Bulk updates of one object of one organisation."""

    def __init__(self, session: Session, *, native_object: str = "Account", polling: Polling | None = None) -> None:
        self.session = session
        self._object = soql.identifier(native_object)
        self._polling = polling or Polling()

    def write(
        self,
        writes: Sequence[Write],
        *,
        stamp: str,
        before_send: Callable[[], None],
        on_job: Callable[[str], None] | None = None,
    ) -> tuple[WriteResult, ...]:
        """Update the records and wait for the end; one result per write, in that order. None clears a field.

        `on_job` is called with the id of each job before it is closed, so that it can be journaled: one job holds
        some 300,000 rows. Without it small updates go in one request, whose job nobody knows if the answer is lost.
        UNKNOWN with code JOB_RUNNING or JOB_UNREAD: `resume` the job. Raises like SalesforceTarget.write.
        """
        sending = stamped(stamp, before_send)
        rows = merged(writes, needs_version=False)
        outcomes = {row.record_id: _unsendable(name) for row in rows if (name := _taken_for_null(row))}
        jobs = list(_jobs([row for row in rows if row.record_id not in outcomes]))
        outcomes |= send_all(jobs, lambda chunk: self._run(chunk, sending, on_job))
        return tuple(result_of(write, outcomes[to_18(write.record_id)]) for write in writes)

    def resume(
        self, job_id: str, writes: Sequence[Write], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Give the results of a job that an earlier run made of these writes; waits for it where it still runs.

        A job that was never closed is aborted and its rows are RETRIABLE: nothing of them was written. A job that
        Salesforce has forgotten (after 7 days) leaves them UNKNOWN.
        """
        sending = stamped(stamp, before_send)
        rows = merged(writes, needs_version=False)
        try:
            job = self.look(job_id)
            if job.state == "Open":
                job = self._abort_open(job_id, sending)
        except Rejected as error:
            outcomes = all_as(rows, Verdict.UNKNOWN, error)
        else:
            outcomes = self._outcomes(job, rows) if job.state != "Open" else _not_started(rows)
        return tuple(result_of(write, outcomes[to_18(write.record_id)]) for write in writes)

    def look(self, job_id: str) -> Job:
        """Give the job as it stands. Read-only. Raises Rejected when there is none."""
        body = self.session.call("GET", self._path(job_id), route="bulk_poll", is_write=False, check=require_job).body
        return job_of(body)

    def abort(self, job_id: str, *, stamp: str, before_send: Callable[[], None]) -> Job:
        """Stop a job and give it as it stands then; one that has ended already stays as it is."""
        return self._abort(job_id, stamped(stamp, before_send))

    # making a job

    def _run(self, rows: list[Row], sending: Sending, on_job: Callable[[str], None] | None) -> dict[str, Outcome]:
        content = _table(rows)
        if on_job is None and len(content) <= MULTIPART_CHARS:
            return self._outcomes(self._create_whole(content, sending), rows)
        job = self._create(sending)
        if on_job is not None:
            on_job(job.job_id)
        try:
            self._upload(job.job_id, content, sending)
            self._close(job.job_id, sending)
        except LostAnswer as error:
            return all_as(rows, Verdict.UNKNOWN, error)
        except ConnectorError:
            self._abandon(job.job_id, sending)
            raise
        return self._outcomes(job, rows)

    def _create(self, sending: Sending) -> Job:
        """Make an open job. It writes nothing, so it may be made again when the answer is lost."""
        reply = self.session.call(
            "POST",
            JOBS,
            route="bulk_create",
            is_write=True,
            repeatable=True,
            headers=sending.headers,
            before_send=sending.before_send,
            json=self._description(),
            check=require_job,
        )
        return job_of(reply.body)

    def _create_whole(self, content: str, sending: Sending) -> Job:
        """Make, fill and close a job in one request."""
        parts = (
            ("job", "application/json", json.dumps(self._description())),
            ("content", "text/csv", content),
        )
        body = "".join(
            f'--{_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
            for name, kind, text in parts
        )
        reply = self.session.call(
            "POST",
            JOBS,
            route="bulk_multipart",
            is_write=True,
            headers={**sending.headers, "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"},
            before_send=sending.before_send,
            data=f"{body}--{_BOUNDARY}--\r\n".encode(),
            check=require_job,
        )
        return job_of(reply.body)

    def _upload(self, job_id: str, content: str, sending: Sending) -> None:
        """Send the rows, once: a second upload is refused. A lost answer means a new job, as this one never runs."""
        try:
            self.session.call(
                "PUT",
                f"{self._path(job_id)}/batches",
                route="bulk_upload",
                is_write=True,
                headers={**sending.headers, **_CSV},
                before_send=sending.before_send,
                data=content.encode(),
            )
        except LostAnswer as error:
            text = f"{error}. The job was not closed, so nothing was written"
            raise Retriable(text, system=SYSTEM, code="LOST_UPLOAD") from error

    def _close(self, job_id: str, sending: Sending) -> None:
        """Start the job. After a lost answer the job itself tells whether it was started."""
        try:
            self._set_state(job_id, "UploadComplete", sending)
        except LostAnswer as error:
            if self._state_or(job_id, error) == "Open":
                with suppress(Rejected):  # the first request has arrived after all
                    self._set_state(job_id, "UploadComplete", sending)

    def _state_or(self, job_id: str, lost: LostAnswer) -> str:
        try:
            return self.look(job_id).state
        except ConnectorError:
            raise lost from None

    def _set_state(self, job_id: str, state: str, sending: Sending) -> Job:
        reply = self.session.call(
            "PATCH",
            self._path(job_id),
            route="bulk_close" if state == "UploadComplete" else "bulk_abort",
            is_write=True,
            headers=sending.headers,
            before_send=sending.before_send,
            json={"state": state},
            check=require_job,
        )
        return job_of(reply.body)

    def _abandon(self, job_id: str, sending: Sending) -> None:
        with suppress(ConnectorError):  # an open job never runs, and Salesforce forgets it
            self._set_state(job_id, "Aborted", sending)

    def _abort_open(self, job_id: str, sending: Sending) -> Job:
        """Abort a job seen open, and give it as Open: nothing of it ran. As it stands when it was closed meanwhile."""
        job = self._abort(job_id, sending)
        return Job(job_id=job_id, state="Open") if job.state == "Aborted" and not job.processed else job

    def _abort(self, job_id: str, sending: Sending) -> Job:
        with suppress(Rejected, LostAnswer):  # ended already, or the answer is lost: the job tells
            self._set_state(job_id, "Aborted", sending)
        return self.look(job_id)

    def _description(self) -> dict[str, str]:
        return {
            "object": self._object,
            "operation": "update",
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }

    def _path(self, job_id: str) -> str:
        return f"{JOBS}/{to_18(job_id)}"

    # waiting and results

    def _outcomes(self, job: Job, rows: list[Row]) -> dict[str, Outcome]:
        """Wait for the end of a started job and give an outcome per record. Does not raise: the job may be writing."""
        try:
            done = ended(self.session, self._path(job.job_id), self._polling, route="bulk_poll")
            if done is None:
                text = f"job {job.job_id} still runs after {self._polling.give_up_s:g} s; resume it later"
                unknown = Outcome(verdict=Verdict.UNKNOWN, code="JOB_RUNNING", message=text)
                return dict.fromkeys((row.record_id for row in rows), unknown)
            return self._merged(done, rows)
        except ConnectorError as error:
            text = f"job {job.job_id} cannot be read: {error}"
            unknown = Outcome(verdict=Verdict.UNKNOWN, code="JOB_UNREAD", message=text)
            return dict.fromkeys((row.record_id for row in rows), unknown)

    def _merged(self, job: Job, rows: list[Row]) -> dict[str, Outcome]:
        """Join the results to the rows by their Id column; results come in any order, and may come twice."""
        ids = {row.record_id for row in rows}
        done = Outcome(verdict=Verdict.OK)
        whole = job.state == "JobComplete" and job.processed == len(rows)
        if whole and not job.failed:
            return dict.fromkeys(ids, done)
        failed = {
            record_id: _failure(row) for record_id, row in self._results(job, "failedResults") if record_id in ids
        }
        if whole and len(failed) == job.failed:
            return {**dict.fromkeys(ids, done), **failed}
        written = {record_id for record_id, _ in self._results(job, "successfulResults")} & ids
        rest = {record_id for record_id, _ in self._results(job, "unprocessedrecords")} & ids
        silent = Outcome(verdict=Verdict.UNKNOWN, code="NO_RESULT", message=f"job {job.job_id} does not tell")
        outcomes = dict.fromkeys(ids, silent) | dict.fromkeys(rest, _unprocessed(job))
        return {**outcomes, **failed, **dict.fromkeys(written, done)}

    def _results(self, job: Job, kind: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        text = self.session.call(
            "GET",
            f"{self._path(job.job_id)}/{kind}",
            route=f"bulk_{kind}",
            is_write=False,
            headers={"Accept": "text/csv"},
            form=Form(read=read_csv),
        ).body
        for row in csv.DictReader(io.StringIO(text or "", newline="")):
            record_id = row.get("Id") or row.get("sf__Id") or ""
            if not is_id(record_id):
                raise unreadable(route=f"bulk_{kind}", is_write=False)
            yield to_18(record_id), row


def ended(session: Session, path: str, polling: Polling, *, route: str) -> Job | None:
    """Wait until a job has ended and give it; None when patience ends before."""
    policy, wait_s = session.policy, polling.first_s
    deadline = policy.clock() + polling.give_up_s
    while True:
        job = job_of(session.call("GET", path, route=route, is_write=False, check=require_job).body)
        if job.state in _FINISHED:
            return job
        if policy.clock() + wait_s > deadline:
            return None
        policy.sleep(wait_s)
        wait_s = min(polling.longest_s, wait_s * 2)


def read_csv(response: requests.Response) -> tuple[Any, bool]:
    """Give the text of a CSV answer and whether it was one; refusals are JSON."""
    if response.status_code < 300:
        is_csv = response.headers.get("Content-Type", "").startswith("text/csv")
        return response.content.decode("utf-8", "replace"), is_csv
    return parsed(response)


def require_job(body: object) -> None:
    """Raise when an answer does not describe a job."""
    if not isinstance(body, dict) or not is_id(str(body.get("id"))) or not isinstance(body.get("state"), str):
        raise unreadable(route="bulk", is_write=True)


def job_of(body: Mapping[str, Any]) -> Job:
    """Give the job that an answer describes."""
    return Job(
        job_id=to_18(body["id"]),
        state=body["state"],
        processed=_count(body.get("numberRecordsProcessed")),
        failed=_count(body.get("numberRecordsFailed")),
        retries=_count(body.get("retries")),
        error=" ".join(str(body.get("errorMessage") or "").split())[:240],
    )


def _jobs(rows: list[Row]) -> Iterator[list[Row]]:
    """Give the rows in lists that each fit one job."""
    part: list[Row] = []
    size = 0
    for row in rows:
        length = 20 + sum(len(str(value)) + 3 for value in row.fields.values())
        if part and size + length > JOB_CHARS:
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _table(rows: Sequence[Row]) -> str:
    """Give the rows as CSV; a record's missing fields are empty cells, which leave them alone."""
    names = list(dict.fromkeys(name for row in rows for name in row.fields))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Id", *names])
    for row in rows:
        cells = [_cell(row.fields[name]) if name in row.fields else "" for name in names]
        writer.writerow([row.record_id, *cells])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None or value == "":
        return NULL
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _taken_for_null(row: Row) -> str:
    return next((name for name, value in row.fields.items() if value == NULL), "")


def _unsendable(name: str) -> Outcome:
    text = f"{name} is the text {NULL}, which Bulk takes for empty; use another lane"
    return Outcome(verdict=Verdict.REJECTED, code="UNSENDABLE", message=text)


def _not_started(rows: Sequence[Row]) -> dict[str, Outcome]:
    text = "the job was never started and is aborted now; nothing was written"
    outcome = Outcome(verdict=Verdict.RETRIABLE, code="JOB_NOT_STARTED", message=text)
    return {row.record_id: outcome for row in rows}


def _unprocessed(job: Job) -> Outcome:
    """Give the outcome of rows Salesforce lists as unprocessed: in doubt where their batch had been tried."""
    text = f"job {job.job_id} {job.state.lower()} before this row{f': {job.error}' if job.error else ''}"
    verdict = Verdict.UNKNOWN if job.state == "Failed" and job.retries else Verdict.RETRIABLE
    if job.error.startswith(_UNREADABLE):
        verdict = Verdict.REJECTED
    return Outcome(verdict=verdict, code="UNPROCESSED", message=text)


def _failure(row: Mapping[str, str]) -> Outcome:
    text = row.get("sf__Error") or ""
    found = _ROW_ERROR.fullmatch(text)
    code, message, fields = found.groups() if found else ("UNKNOWN_EXCEPTION", text, "")
    named = [name for name in (fields or "").split(",") if name]
    return row_outcome(400, [{"statusCode": code, "message": message, "fields": named}])


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
