"""One chunk of an apply run: read, compare, commit intents, send, read back, settle. Nothing is re-sent unread.

1. read the records just before   2. leave out what is already so, what moved, what may not be written
3. commit intent rows (the transaction checks the epoch)   4. check the epoch, send   5. one verdict per row
6. read back   7. verified rows, audit rows and owner events in one transaction
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.errors import Retriable
from connectors.protocol import Lane, Verdict, Write, WriteResult
from jobs.applying.history import foreign_edits
from jobs.applying.model import DONE, ItemState, Work
from jobs.applying.native import as_stored, native_values, read_now
from jobs.applying.session import ApplyRun, Settled
from store import journal
from store.journal import JournalRow, JournalState, Values, idempotency_key
from sync.applying.outcomes import Doubt, Intent, Seen, Standing, judge_doubt, mismatch, moved_fields, stand, to_send

MAX_STALE_RETRIES = 3
Now = tuple[dict[str, str | None], str] | None
"""Canonical values and version of a record; None = gone."""
Unsent = tuple[Work, ItemState, str]
_NOT_WRITTEN = (Verdict.RETRIABLE, Verdict.REJECTED, Verdict.STALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One row on the wire."""

    work: Work
    row: JournalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one call of the target brought."""

    rows: Mapping[str, JournalRow]  # by row id, with the CRM's words
    results: Mapping[str, WriteResult]  # by row id
    now: Mapping[str, Now]  # by item id, read back where the verdict alone does not say


def run_chunk(run: ApplyRun, connection: str, lane: Lane, works: Sequence[Work]) -> list[Work]:
    """Bring the chunk to an end; what may be tried again later comes back."""
    connected = run.connected(connection)
    works = [replace(work, want=as_stored(connected.translation, work.want)) for work in works]
    run.pooled -= {work.item_id for work in works}
    now = _read(run, connection, works, versions=lane is Lane.CONDITIONAL)
    blocked = _blocked_by_team(run, connection, works, now)
    sending, unsent = [], []
    for work in works:
        fate = _fate(work, now[work.record_id], blocked)
        if fate is None:
            sending.append(_intent(run, work, now[work.record_id], lane))
        else:
            unsent.append((work, *fate))
    run.commit_unsent(connection, _without_late_ones(run, connection, lane, unsent, now))
    later = _send(run, connection, lane, sending)
    run.pooled |= {work.item_id for work in later}
    return later


def _without_late_ones(
    run: ApplyRun, connection: str, lane: Lane, unsent: Sequence[Unsent], now: Mapping[str, Now]
) -> list[Unsent]:
    """The items not to send, without those that an earlier attempt of ours may have written after all."""
    reached = {idempotency_key(run.plan.id, work.item_id): work for work, state, _ in unsent if state in DONE}
    with run.deps.database.read() as conn:
        earlier = journal.find(conn, list(reached)) if reached else {}
    late = [reached[row_id] for row_id, row in earlier.items() if row.response.get("verdict") not in _NOT_WRITTEN]
    if late:
        intents = [_intent(run, work, now[work.record_id], lane).row for work in late]
        kept = [replace(row, pre_image=earlier[row.id].pre_image) for row in intents]
        rows = run.commit_intents(connection, kept)
        words = "an earlier answer was lost; the value is there"
        settled = [
            _settled(Sent(work=work, row=row), JournalState.VERIFIED, ItemState.VERIFIED, words, how="in_doubt")
            for work, row in zip(late, rows, strict=True)
        ]
        run.commit_settled(connection, settled)
    return [one for one in unsent if one[0] not in late]


def _send(run: ApplyRun, connection: str, lane: Lane, sending: list[Sent]) -> list[Work]:
    """Send, settle, and send again the rows whose record moved elsewhere; rows to try later come back."""
    later: list[Work] = []
    for attempt in range(1 + MAX_STALE_RETRIES):
        if not sending:
            break
        rows = run.commit_intents(connection, [sent.row for sent in sending])
        sending = [replace(sent, row=row) for sent, row in zip(sending, rows, strict=True)]
        results = _write(run, connection, lane, sending)
        answered = _answered(sending, results)
        run.commit_answers(connection, [row for row in answered.values() if row.state is JournalState.SENT])
        now = _read_back(run, connection, lane, sending, results)
        settled, again, retry = _settle(run, sending, Answers(rows=answered, results=results, now=now))
        settled = foreign_edits(run, connection, settled)
        is_last = attempt == MAX_STALE_RETRIES
        if is_last:
            settled += [_gave_up(sent) for sent in again]
        run.commit_settled(connection, settled)
        later += retry
        sending = [] if is_last else [_renewed(sent, now[sent.work.item_id]) for sent in again]
    return later


def _write(run: ApplyRun, connection: str, lane: Lane, rows: Sequence[Sent]) -> dict[str, WriteResult]:
    target = run.connected(connection).target
    translation = run.connected(connection).translation
    travelling = {sent.row.id: to_send(sent.row.pre_image, want=sent.row.want) for sent in rows}
    writes = [
        Write(
            key=sent.row.id,
            record_id=sent.work.record_id,
            fields=native_values(translation, travelling[sent.row.id]),
            version=sent.row.version if lane is Lane.CONDITIONAL else "",
            previous=native_values(translation, {name: sent.row.pre_image[name] for name in travelling[sent.row.id]}),
        )
        for sent in rows
    ]
    try:
        results = target.write(
            writes, lane=lane, stamp=run.stamp(connection), before_send=lambda: run.confirm(connection)
        )
    except Retriable as exc:
        # Some requests of this call may have been answered before this one was not: reading tells.
        lost = [
            WriteResult(key=w.key, record_id=w.record_id, verdict=Verdict.UNKNOWN, code=exc.code, message=str(exc))
            for w in writes
        ]
        return {result.key: result for result in lost}
    found = {result.key: result for result in results}
    missing = [w for w in writes if w.key not in found]
    return found | {w.key: WriteResult(key=w.key, record_id=w.record_id, verdict=Verdict.UNKNOWN) for w in missing}


def _answered(sending: Sequence[Sent], results: Mapping[str, WriteResult]) -> dict[str, JournalRow]:
    """The rows with what the CRM said, by row id; those it took are 'sent'."""
    rows = {}
    for sent in sending:
        result = results[sent.row.id]
        response = {"verdict": str(result.verdict), "code": result.code, "message": result.message[:500]}
        state = JournalState.SENT if result.verdict is Verdict.OK else JournalState.INTENT
        rows[sent.row.id] = replace(sent.row, state=state, response=response)
    return rows


_READ_BACK = frozenset({Verdict.OK, Verdict.STALE, Verdict.UNKNOWN})


def _read_back(
    run: ApplyRun, connection: str, lane: Lane, sending: Sequence[Sent], results: Mapping[str, WriteResult]
) -> dict[str, Now]:
    """What the CRM says now, by item id, of the rows whose verdict alone does not say."""
    wanted = [sent for sent in sending if results[sent.row.id].verdict in _READ_BACK]
    written = [sent.work for sent in wanted if results[sent.row.id].verdict is Verdict.OK]
    doubtful = [sent.work for sent in wanted if results[sent.row.id].verdict is not Verdict.OK]
    found = {}
    for works, versions in ((written, False), (doubtful, lane is Lane.CONDITIONAL)):
        if works:
            now = _read(run, connection, works, versions=versions)
            found.update({work.item_id: now[work.record_id] for work in works})
    return found


def _settle(run: ApplyRun, sending: Sequence[Sent], answers: Answers) -> tuple[list[Settled], list[Sent], list[Work]]:
    """Fates of the rows; rows to send again with the new version; work to try again later."""
    settled: list[Settled] = []
    again: list[Sent] = []
    later: list[Work] = []
    for sent in sending:
        result, row = answers.results[sent.row.id], answers.rows[sent.row.id]
        one = Sent(work=sent.work, row=row)
        current = answers.now.get(sent.work.item_id)
        if result.verdict is Verdict.OK:
            settled.append(_of_written(one, current))
        elif result.verdict is Verdict.REJECTED:
            settled.append(_settled(one, JournalState.FAILED, ItemState.FAILED, _words(result)))
        elif result.verdict is Verdict.RETRIABLE:
            settled.append(_settled(one, JournalState.FAILED, ItemState.FAILED, _words(result)))
            later.append(sent.work)
        elif result.verdict is Verdict.STALE and _standing(one, current) is Standing.UNCHANGED:
            again.append(one)
        else:
            fate = resolve(run, one, current, is_refused=result.verdict is Verdict.STALE)
            settled.append(fate)
            if fate.state is ItemState.FAILED:
                later.append(sent.work)
    return settled, again, later


def resolve(run: ApplyRun, sent: Sent, current: Now, *, is_refused: bool) -> Settled:
    """The fate of a row whose answer alone does not tell: refused as stale, or lost.

    What turns out not to be written is 'failed' and may be sent again after a new reading.
    """
    row = sent.row
    seen = None if current is None else Seen(values=current[0], version=current[1])
    intent = Intent(pre_image=row.pre_image, want=row.want, version=row.version)
    doubt = judge_doubt(intent, seen, plan_expired=run.plan.expires_at <= run.deps.database.now())
    if seen is None or doubt is Doubt.GONE:
        return _settled(sent, JournalState.STALE, ItemState.GONE, "the record is deleted, merged or not visible")
    if doubt is Doubt.VERIFIED:
        if is_refused and row.attempt == 1:
            words = "the CRM already said so"
            return _settled(sent, JournalState.VERIFIED, ItemState.VERIFIED, words, how="converged")
        words = "the answer was lost; the value is there"
        return _settled(sent, JournalState.VERIFIED, ItemState.VERIFIED, words, how="in_doubt")
    if doubt is Doubt.RESEND:
        return _settled(sent, JournalState.FAILED, ItemState.FAILED, "the answer was lost and nothing was written")
    fields = ", ".join(moved_fields(seen.values, before=row.pre_image, want=row.want))
    words = f"{fields} moved since the plan" if fields else "the record moved while the answer was lost"
    return _settled(sent, JournalState.STALE, ItemState.STALE, f"{words}; not written over, plan again")


def _of_written(sent: Sent, current: Now) -> Settled:
    """The fate of a row that the CRM says it wrote."""
    if current is None:
        return _settled(sent, JournalState.MISMATCH, ItemState.MISMATCH, "written, and the record is gone now")
    values, _ = current
    became = mismatch(values, want=sent.row.want)
    if not became:
        return _settled(sent, JournalState.VERIFIED, ItemState.VERIFIED)
    names = ", ".join(became)
    message = f"written, but {names} reads back as something else: a flow or a person changed it"
    settled = _settled(sent, JournalState.MISMATCH, ItemState.MISMATCH, message)
    return replace(settled, row=replace(settled.row, verified_value=became))


def _settled(sent: Sent, state: JournalState, item: ItemState, message: str = "", *, how: str = "ours") -> Settled:
    value: Values = sent.row.want if state is JournalState.VERIFIED else {}
    row = replace(sent.row, state=state, verified_value=value)
    return Settled(work=sent.work, row=row, state=item, message=message, how=how)


def _gave_up(sent: Sent) -> Settled:
    words = f"the record moved {1 + MAX_STALE_RETRIES} times while it was being written; apply again later"
    return _settled(sent, JournalState.FAILED, ItemState.FAILED, words)


def _standing(sent: Sent, current: Now) -> Standing:
    return stand(current[0] if current else None, before=sent.row.pre_image, want=sent.row.want)


def _renewed(sent: Sent, current: Now) -> Sent:
    """The row once more, on top of what the record is now."""
    values, version = current or ({}, "")
    pre = {name: values.get(name) for name in sent.row.want}
    return replace(sent, row=replace(sent.row, state=JournalState.INTENT, pre_image=pre, version=version))


def _intent(run: ApplyRun, work: Work, current: Now, lane: Lane) -> Sent:
    values, version = current or ({}, "")
    row = JournalRow(
        id=idempotency_key(run.plan.id, work.item_id),
        plan_id=run.plan.id,
        item_id=work.item_id,
        run_id=run.run_id,
        connection=work.connection,
        record_id=work.record_id,
        lane=str(lane),
        pre_image={name: values.get(name) for name in work.want},
        want=work.want,
        version=version,
        epoch=run.leases[work.connection].epoch,
    )
    return Sent(work=work, row=row)


def _fate(work: Work, current: Now, blocked: Mapping[str, int]) -> tuple[ItemState, str] | None:
    """What becomes of an item that is not sent; None = send it."""
    standing = stand(current[0] if current else None, before=work.before, want=work.want)
    if standing is Standing.GONE:
        return ItemState.GONE, "the record is deleted, merged or not visible"
    if standing is Standing.REACHED:
        return ItemState.CONVERGED, "the CRM already said so"
    if standing is Standing.MOVED and current is not None:
        fields = ", ".join(moved_fields(current[0], before=work.before, want=work.want))
        return ItemState.STALE, f"{fields} moved since the plan; not written over, plan again"
    if work.record_id in blocked and "owner" in work.want:
        members = blocked[work.record_id]
        return ItemState.BLOCKED, f"account team has {members} members; an owner change by REST would drop it"
    return None


def _blocked_by_team(
    run: ApplyRun, connection: str, works: Iterable[Work], now: Mapping[str, Now]
) -> Mapping[str, int]:
    """Account-team sizes just before, of the records whose owner is about to change."""
    if not run.deps.block_owner_change_with_team:
        return {}
    changing = [
        work.record_id
        for work in works
        if "owner" in work.want and (found := now[work.record_id]) and found[0]["owner"] != work.want["owner"]
    ]
    sizes = run.connected(connection).target.team_sizes(list(dict.fromkeys(changing))) if changing else {}
    return {record_id: size for record_id, size in sizes.items() if size}


def _read(run: ApplyRun, connection: str, works: Iterable[Work], *, versions: bool) -> dict[str, Now]:
    wanted: dict[str, list[str]] = {}
    for work in works:
        wanted.setdefault(work.record_id, []).extend(work.want)
    return read_now(run.connected(connection), wanted, versions=versions)


def _words(result: WriteResult) -> str:
    return f"{result.code}: {result.message}".strip(": ") or "refused without a word"
