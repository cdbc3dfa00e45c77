"""Bulk 2.0 queries: a large pull as one job whose result comes in pages of CSV, typed like the pages of a query."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.errors import ConnectorError, Retriable
from connectors.protocol import Page
from connectors.salesforce.bulk import Job, Polling, ended, job_of, read_csv, require_job
from connectors.salesforce.floors import EXTRACT_ROWS
from connectors.salesforce.ids import to_18
from connectors.salesforce.responses import SYSTEM, unreadable
from connectors.salesforce.session import Form, Session

JOBS = "jobs/query"

_INTEGERS = frozenset({"int", "long"})
_DECIMALS = frozenset({"double", "currency", "percent"})
_WITHOUT_CSV = frozenset({"address", "location", "base64", "anyType", "complexvalue"})


def can_carry(types: Mapping[str, str], names: Sequence[str]) -> bool:
    """Tell whether a Bulk result can hold these fields and give their types back. A parent's field counts as text."""
    return all("." in name or (name in types and types[name] not in _WITHOUT_CSV) for name in names)


def start(session: Session, query: str, polling: Polling) -> Job | None:
    """Run a queryAll job to its end; None where Salesforce will not or cannot: the caller uses another way.

    A job that fails writes nothing and is forgotten after 7 days, so its reason does not matter here.
    """
    try:
        reply = session.call(
            "POST",
            JOBS,
            route="extract_create",
            is_write=False,
            json={"operation": "queryAll", "query": query},
            check=require_job,
        )
        job = ended(session, f"{JOBS}/{job_of(reply.body).job_id}", polling, route="extract_poll")
    except ConnectorError:
        return None
    return job if job is not None and job.state == "JobComplete" else None


def pages(session: Session, job: Job, types: Mapping[str, str]) -> Iterator[Page]:
    """Give the records of a complete job, with the values a query would have given.

    Raises Retriable when the pages do not add up to what the job announced.
    """
    seen: set[str] = set()
    locator = ""
    while True:
        params = {"maxRecords": str(EXTRACT_ROWS), **({"locator": locator} if locator else {})}
        reply = session.call(
            "GET",
            f"{JOBS}/{to_18(job.job_id)}/results",
            route="extract_page",
            is_write=False,
            params=params,
            headers={"Accept": "text/csv"},
            form=Form(read=read_csv),
        )
        records = tuple(_records(reply.body or "", types))
        told = reply.headers.get("Sforce-NumberOfRecords", "")
        if told.isdigit() and int(told) != len(records):
            raise unreadable(route="extract_page", is_write=False)
        before = locator
        locator = reply.headers.get("Sforce-Locator", "null")
        seen.update(str(record.get("Id")) for record in records)
        complete = locator in ("", "null")
        if (complete and len(seen) != job.processed) or (not complete and locator == before):
            text = f"Salesforce job {job.job_id}: {len(seen)} records came of {job.processed} announced; pull again"
            raise Retriable(text, system=SYSTEM, code="INCOMPLETE_PULL")
        yield Page(records=records, complete=complete)
        if complete:
            return


def _records(text: str, types: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    kinds = [types.get(name, "string") for name in header]
    for row in reader:
        if len(row) != len(header):
            raise unreadable(route="extract_page", is_write=False)
        yield {name: _value(kind, cell) for name, kind, cell in zip(header, kinds, row, strict=True)}


def _value(kind: str, cell: str) -> Any:
    if kind == "boolean":
        return cell == "true"
    if cell == "":
        return None
    if kind in _INTEGERS:
        return int(float(cell))
    if kind in _DECIMALS:
        return float(cell)
    if kind == "datetime" and cell.endswith("Z"):
        return f"{cell[:-1]}+0000"  # as queries write it
    return cell
