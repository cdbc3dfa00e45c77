"""What a run that died left behind: every row in doubt is read before anything else; nothing is sent blindly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from connectors.protocol import JobTarget, Lane, Write
from jobs.applying.cascade import followed
from jobs.applying.chunk import Sent, resolve
from jobs.applying.history import foreign_edits, landed
from jobs.applying.model import ItemState, Work
from jobs.applying.native import read_now
from jobs.applying.selection import rules_by_item
from jobs.applying.session import ApplyRun
from jobs.applying.teams import with_teams_completed
from store import journal
from store.database import Database
from store.journal import JournalRow

_ROWS = 500
_STILL_RUNNING = frozenset({"JOB_RUNNING", "JOB_UNREAD"})
Rules = Mapping[str, Mapping[str, str]]


def unfinished(database: Database) -> dict[str, set[str]]:
    """Plans that a run died at, with the connections on which they have rows in doubt."""
    with database.read() as conn:
        return journal.unfinished_plans(conn)


def items_in_doubt(run: ApplyRun) -> frozenset[str]:
    """Items of this plan with a row in doubt."""
    rows = [row for connection in run.leases for row in _in_doubt(run, connection)]
    return frozenset(row.item_id for row in rows if row.plan_id == run.plan.id)


def resolve_doubts(run: ApplyRun) -> int:
    """Read the records of this plan's in-doubt rows and settle them; how many.

    What turns out not to be written is 'failed' and may be sent in the ordinary course, after the ordinary checks.
    """
    resolved = 0
    items = {row["item_id"]: row for row in run.plan.items.to_pylist()}
    rules = rules_by_item(run.plan.changes.to_pylist())
    for connection in sorted(run.leases):
        rows = [row for row in _in_doubt(run, connection) if row.plan_id == run.plan.id]
        works = {row.item_id: _work(row, items, rules) for row in rows}
        for lane, chunk in _chunks(rows):
            _resolve(run, connection, lane, [Sent(work=works[row.item_id], row=row) for row in chunk])
        resolved += len(rows)
    return resolved


def _resolve(run: ApplyRun, connection: str, lane: Lane, chunk: Sequence[Sent]) -> None:
    chunk = _without_running_jobs(run, connection, lane, chunk)
    wanted: dict[str, list[str]] = {}
    for sent in chunk:
        wanted.setdefault(sent.row.record_id, []).extend(sent.row.want)
    now = read_now(run.connected(connection), wanted, versions=lane is Lane.CONDITIONAL)
    settled = [resolve(run, sent, now[sent.row.record_id], is_refused=False) for sent in chunk]
    # What was not written is tried again in the ordinary course: it is no error of this run.
    run.pooled |= {one.work.item_id for one in settled if one.state is ItemState.FAILED}
    marked = foreign_edits(run, connection, settled)
    completed = with_teams_completed(run, connection, marked)
    run.commit_settled(connection, landed(run, connection, followed(run, connection, completed)))


def _without_running_jobs(run: ApplyRun, connection: str, lane: Lane, chunk: Sequence[Sent]) -> list[Sent]:
    """The rows whose job has ended, waited for here: only then does a reading tell. Others stay in doubt."""
    target = run.connected(connection).target
    if lane is not Lane.BULK or not isinstance(target, JobTarget):
        return list(chunk)
    jobs = sorted({job for sent in chunk for job in sent.row.response.get("jobs", ())})
    running: set[str] = set()
    for job in jobs:
        writes = [
            Write(key=sent.row.id, record_id=sent.row.record_id, fields={})
            for sent in chunk
            if job in sent.row.response.get("jobs", ())
        ]
        results = target.resume_job(
            job, writes, stamp=run.stamp(connection), before_send=lambda: run.confirm(connection)
        )
        if any(result.code in _STILL_RUNNING for result in results):
            running.add(job)
    return [sent for sent in chunk if not running & set(sent.row.response.get("jobs", ()))]


def _in_doubt(run: ApplyRun, connection: str) -> tuple[JournalRow, ...]:
    with run.deps.database.read() as conn:
        return journal.in_doubt(conn, connection)


def _chunks(rows: Sequence[JournalRow]) -> Iterator[tuple[Lane, Sequence[JournalRow]]]:
    for lane, group in groupby(sorted(rows, key=lambda row: row.lane), key=lambda row: row.lane):
        listed = list(group)
        for start in range(0, len(listed), _ROWS):
            yield Lane(lane), listed[start : start + _ROWS]


def _work(row: JournalRow, items: Mapping[str, Mapping[str, object]], rules: Rules) -> Work:
    """The work behind a row, as far as its record in the audit and its events need it."""
    item = items[row.item_id]
    return Work(
        item_id=row.item_id,
        fingerprint=str(item["fingerprint"]),
        connection=row.connection,
        record_id=row.record_id,
        account_name=str(item["account_name"] or ""),
        group=str(item["group"]),
        lane=Lane(row.lane),
        depth=0,
        sequence=0,
        caused_by=None,
        before=row.pre_image,
        want=row.want,
        rules=rules.get(row.item_id, {}),
    )
