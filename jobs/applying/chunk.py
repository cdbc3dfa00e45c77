"""One chunk of an apply run: read, compare, commit intents, send, read back, settle. Nothing is re-sent unread.

1. read the records just before   2. leave out what is already so, what moved, what may not be written
3. commit intent rows (the transaction checks the epoch)   4. check the epoch, send   5. one verdict per row
6. read back   7. verified rows, audit rows and owner events in one transaction
The items of a record travel in one row of one request; each is compared, settled and stored by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.errors import Retriable
from connectors.protocol import JobTarget, Lane, TeamTarget, Verdict, Write, WriteResult
from jobs.applying.cascade import followed, lets_teams_go, with_picture
from jobs.applying.history import foreign_edits, landed
from jobs.applying.model import DONE, ItemState, Work
from jobs.applying.native import as_stored, native_values
from jobs.applying.reading import Now, ReadBack, read_back, read_before, teams_in_the_way
from jobs.applying.session import LOST, ApplyRun, Settled
from jobs.applying.teams import lost_members, pictured, team_target
from jobs.applying.waves import chunks, record_count
from store import journal
from store.journal import JournalRow, JournalState, Values, idempotency_key
from store.leases import LeaseLost
from sync.applying.outcomes import Doubt, Intent, Seen, Standing, judge_doubt, mismatch, moved_fields, stand, to_send

MAX_STALE_RETRIES = 3
GONE = "the record is deleted, merged or not visible"
Unsent = tuple[Work, ItemState, str]
TEAM_CODES = frozenset({"TEAM_RESTORED", "TEAM_INCOMPLETE", "TEAM_UNREAD"})
LOCK_CODES = frozenset({"UNABLE_TO_LOCK_ROW", "LOCKED", "HTTP_423"})
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
    back: ReadBack  # of the records whose verdict alone does not say


def run_chunk(
    run: ApplyRun, connection: str, lane: Lane, works: Sequence[Work], *, canary: int | None = None
) -> list[Work]:
    """Bring the chunk to an end; what may be tried again later comes back.

    The first `canary` records are written and read back before the others are sent; when they halt the run, the
    others stay unsent.
    """
    connected = run.connected(connection)
    works = [replace(work, want=as_stored(connected.translation, work.want)) for work in works]
    run.pooled |= {work.item_id for work in works}  # none of them is judged before its turn has come
    now = read_before(run, connection, works, versions=lane is Lane.CONDITIONAL)
    teams = {} if lets_teams_go(run) else teams_in_the_way(run, connection, works, now)
    teamed = [work for work in works if work.record_id in teams and "owner" in work.want]
    keeper = team_target(run, connection) if teamed and lane is not Lane.TEAM else None
    apart = teamed if keeper else []
    works = [work for work in works if work not in apart]
    fates = _fates(works, now, {} if lane is Lane.TEAM else teams)
    unsent = [(work, *fate) for work in works if (fate := fates[work.item_id]) is not None]
    run.commit_unsent(connection, _without_late_ones(run, connection, lane, unsent, now))
    run.pooled -= {work.item_id for work, _, _ in unsent}
    later: list[Work] = []
    sending = [work for work in works if fates[work.item_id] is None]
    for part in chunks(sending, (canary or max(1, record_count(sending)), record_count(sending))):
        retried = _send(run, connection, lane, [_intent(run, work, now[work.record_id], lane) for work in part])
        run.pooled = (run.pooled - {work.item_id for work in part}) | {work.item_id for work in retried}
        later += retried
        run.judge()
        if run.must_stop():
            return later
    return later + (_send_apart(run, connection, keeper, apart) if keeper else [])


def _send_apart(run: ApplyRun, connection: str, target: TeamTarget, works: Sequence[Work]) -> list[Work]:
    """Change owners of accounts with a team, each read again just before and its team pictured."""
    now = read_before(run, connection, works, versions=False)
    fates = _fates(works, now, {})
    for work in works:
        cause = run.results.get(work.caused_by or "")
        if fates[work.item_id] is None and cause is not None and cause.state not in DONE:
            fates[work.item_id] = ItemState.BLOCKED, _follows(cause.state)
    unsent = [(work, *fate) for work in works if (fate := fates[work.item_id]) is not None]
    run.commit_unsent(connection, _without_late_ones(run, connection, Lane.TEAM, unsent, now))
    sending = [_intent(run, work, now[work.record_id], Lane.TEAM) for work in works if fates[work.item_id] is None]
    rows = pictured(target, [sent.row for sent in sending]) if sending else []
    later = _send(run, connection, Lane.TEAM, [replace(sent, row=row) for sent, row in zip(sending, rows, strict=True)])
    run.pooled = (run.pooled - {work.item_id for work in works}) | {work.item_id for work in later}
    run.judge()
    return later


def _without_late_ones(
    run: ApplyRun, connection: str, lane: Lane, unsent: Sequence[Unsent], now: Mapping[str, Now]
) -> list[Unsent]:
    """The items not to send, without those that an earlier attempt of ours may have written after all."""
    asked = {
        idempotency_key(run.plan.id, work.item_id): (work, state, message)
        for work, state, message in unsent
        if state in DONE or state is ItemState.STALE
    }
    with run.deps.database.read() as conn:
        earlier = journal.find(conn, list(asked)) if asked else {}
    late = [asked[row_id] for row_id, row in earlier.items() if row.response.get("verdict") not in _NOT_WRITTEN]
    if late:
        intents = [_intent(run, work, now[work.record_id], lane).row for work, _, _ in late]
        kept = [replace(row, pre_image=earlier[row.id].pre_image) for row in intents]
        rows = run.commit_intents(connection, kept)
        settled = [_late(Sent(work=one[0], row=row), *one[1:]) for one, row in zip(late, rows, strict=True)]
        run.commit_settled(connection, landed(run, connection, settled))
    return [one for one in unsent if one not in late]


def _late(sent: Sent, state: ItemState, message: str) -> Settled:
    """The fate of a row that an earlier attempt may have written after the reading that said it did not."""
    if state is ItemState.STALE:
        return _settled(sent, JournalState.STALE, state, message, how=LOST)
    words = "an earlier answer was lost; the value is there"
    return _settled(sent, JournalState.VERIFIED, ItemState.VERIFIED, words, how="in_doubt")


def _send(run: ApplyRun, connection: str, lane: Lane, sending: list[Sent]) -> list[Work]:
    """Send, settle, and send again the rows whose record moved elsewhere; rows to try later come back."""
    later: list[Work] = []
    rows = with_picture(run, connection, [sent.row for sent in sending])
    sending = [replace(sent, row=row) for sent, row in zip(sending, rows, strict=True)]
    for attempt in range(1 + MAX_STALE_RETRIES):
        if not sending:
            break
        rows = run.commit_intents(connection, [sent.row for sent in sending])
        sending = [replace(sent, row=row) for sent, row in zip(sending, rows, strict=True)]
        jobs: list[str] = []
        results = _write(run, connection, lane, sending, jobs)
        sending = [_named(sent, jobs) for sent in sending]
        answered = _answered(sending, results)
        run.commit_answers(connection, [row for row in answered.values() if row.state is JournalState.SENT])
        back = _read_back(run, connection, lane, sending, results)
        settled, again, retry = _settle(run, sending, Answers(rows=answered, results=results, back=back))
        settled = foreign_edits(run, connection, settled, known=back.histories)
        if lane is Lane.TEAM:
            settled = _with_lost_members(run, connection, settled)
        settled = followed(run, connection, settled)
        again, left_alone = _without_followers(again, settled)
        is_last = attempt == MAX_STALE_RETRIES
        settled += left_alone + ([_gave_up(sent) for sent in again] if is_last else [])
        run.commit_settled(connection, landed(run, connection, settled))
        later += retry
        sending = [] if is_last else [_renewed(sent, back.now[sent.work.record_id]) for sent in again]
    return later


def _with_lost_members(run: ApplyRun, connection: str, settled: Sequence[Settled]) -> list[Settled]:
    """The rows, with the members that an owner change took along and nobody could put back."""
    target = team_target(run, connection)
    broken = [one.row for one in settled if one.row.response.get("code") in ("TEAM_INCOMPLETE", "TEAM_UNREAD")]
    if target is None or not broken:
        return list(settled)
    lost = lost_members(target, broken)
    return [
        replace(one, row=replace(one.row, response={**one.row.response, "lost": lost[one.row.record_id]}))
        if one.row.record_id in lost
        else one
        for one in settled
    ]


def _without_followers(again: Sequence[Sent], settled: Sequence[Settled]) -> tuple[list[Sent], list[Settled]]:
    """The rows to send again, without those that follow from a change of the same record that is not to be."""
    states = {one.work.item_id: one.state for one in settled}
    lost = [sent for sent in again if _is_lost(sent.work, states)]
    fates = [
        _settled(sent, JournalState.FAILED, ItemState.BLOCKED, _follows(states[sent.work.caused_by or ""]))
        for sent in lost
    ]
    return [sent for sent in again if sent not in lost], fates


def _is_lost(work: Work, states: Mapping[str, ItemState]) -> bool:
    cause = states.get(work.caused_by or "")
    return cause is not None and cause not in DONE


def _follows(state: ItemState) -> str:
    return f"the parent change it follows from is {state}"


def _write(run: ApplyRun, connection: str, lane: Lane, rows: Sequence[Sent], jobs: list[str]) -> dict[str, WriteResult]:
    """Verdicts by row id. The ids of jobs made on the way are added to `jobs`."""
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

    def note(job_id: str) -> None:
        """Before the job can write anything, the journal knows how to find it again."""
        jobs.append(job_id)
        run.commit_answers(connection, [_named(sent, jobs).row for sent in rows])

    try:
        results = _on_the_wire(run, connection, lane, writes, note)
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


def _on_the_wire(
    run: ApplyRun, connection: str, lane: Lane, writes: Sequence[Write], note: Callable[[str], None]
) -> Sequence[WriteResult]:
    target, stamp = run.connected(connection).target, run.stamp(connection)
    requests = 0

    def confirm() -> None:
        nonlocal requests
        run.confirm(connection)
        requests += 1

    try:
        if lane is Lane.BULK and isinstance(target, JobTarget):
            return target.write_job(writes, stamp=stamp, before_send=confirm, on_job=note)
        return target.write(writes, lane=lane, stamp=stamp, before_send=confirm)
    except LeaseLost:
        if requests:  # the one before this check may have reached the CRM after the takeover
            run.tell_of_late(connection, {write.record_id: write.fields for write in writes})
        raise


def _named(sent: Sent, jobs: Sequence[str]) -> Sent:
    """The row with the jobs that may have written it."""
    if not jobs:
        return sent
    return replace(sent, row=replace(sent.row, response={**sent.row.response, "jobs": list(jobs)}))


def _answered(sending: Sequence[Sent], results: Mapping[str, WriteResult]) -> dict[str, JournalRow]:
    """The rows with what the CRM said, by row id; those it took are 'sent'."""
    rows = {}
    for sent in sending:
        result = results[sent.row.id]
        answer = {"verdict": str(result.verdict), "code": result.code, "message": result.message[:500]}
        response = {**sent.row.response, **answer}
        state = JournalState.SENT if result.verdict is Verdict.OK else JournalState.INTENT
        rows[sent.row.id] = replace(sent.row, state=state, response=response)
    return rows


_READ_BACK = frozenset({Verdict.OK, Verdict.STALE, Verdict.UNKNOWN})


def _read_back(
    run: ApplyRun, connection: str, lane: Lane, sending: Sequence[Sent], results: Mapping[str, WriteResult]
) -> ReadBack:
    """What the CRM says now, of the records whose verdict alone does not say."""
    wanted = [sent for sent in sending if results[sent.row.id].verdict in _READ_BACK]
    unsure = {sent.work.record_id for sent in wanted if results[sent.row.id].verdict is not Verdict.OK}
    written = [sent.work for sent in wanted if sent.work.record_id not in unsure]
    doubtful = [sent.work for sent in wanted if sent.work.record_id in unsure]
    back = read_back(run, connection, lane, written) if written else ReadBack()
    if not doubtful:
        return back
    now = read_before(run, connection, doubtful, versions=lane is Lane.CONDITIONAL)
    return replace(back, now={**back.now, **now})


def _settle(run: ApplyRun, sending: Sequence[Sent], answers: Answers) -> tuple[list[Settled], list[Sent], list[Work]]:
    """Fates of the rows; rows to send again with the new version; work to try again later."""
    settled: list[Settled] = []
    again: list[Sent] = []
    later: list[Work] = []
    for sent in sending:
        result, row = answers.results[sent.row.id], answers.rows[sent.row.id]
        one = Sent(work=sent.work, row=row)
        current = answers.back.now.get(sent.work.record_id)
        if result.verdict is Verdict.OK:
            fate = _of_written(one, current)
            told = fate.message or (result.message if result.code in TEAM_CODES else "")
            settled.append(replace(fate, message=told))
        elif result.verdict is Verdict.REJECTED:
            settled.append(_settled(one, JournalState.FAILED, ItemState.FAILED, _words(result)))
        elif result.verdict is Verdict.RETRIABLE:
            settled.append(_settled(one, JournalState.FAILED, ItemState.FAILED, _words(result)))
            run.locked[sent.work.item_id] += result.code in LOCK_CODES
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
    how = "ours" if is_refused and row.attempt == 1 else LOST
    if seen is None or doubt is Doubt.GONE:
        return _settled(sent, JournalState.STALE, ItemState.GONE, GONE, how=how)
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
    return _settled(sent, JournalState.STALE, ItemState.STALE, f"{words}; not written over, plan again", how=how)


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
        states=work.states,
        version=version,
        epoch=run.leases[work.connection].epoch,
    )
    return Sent(work=work, row=row)


def _fates(
    works: Sequence[Work], now: Mapping[str, Now], teams: Mapping[str, int]
) -> dict[str, tuple[ItemState, str] | None]:
    """What becomes of the items that are not sent, by item id; None = send it."""
    fates = {work.item_id: _fate(work, now[work.record_id], teams) for work in works}
    left = {item_id: fate[0] for item_id, fate in fates.items() if fate is not None}
    for work in works:
        if fates[work.item_id] is None and _is_lost(work, left):
            fates[work.item_id] = ItemState.BLOCKED, _follows(left[work.caused_by or ""])
    return fates


def _fate(work: Work, current: Now, teams: Mapping[str, int]) -> tuple[ItemState, str] | None:
    standing = stand(current[0] if current else None, before=work.before, want=work.want)
    if standing is Standing.GONE:
        return ItemState.GONE, GONE
    if standing is Standing.REACHED:
        return ItemState.CONVERGED, "the CRM already said so"
    if standing is Standing.MOVED and current is not None:
        fields = ", ".join(moved_fields(current[0], before=work.before, want=work.want))
        return ItemState.STALE, f"{fields} moved since the plan; not written over, plan again"
    if work.record_id in teams and "owner" in work.want:
        members = teams[work.record_id]
        return ItemState.BLOCKED, f"account team has {members} members; an owner change by REST would drop it"
    return None


def _words(result: WriteResult) -> str:
    return f"{result.code}: {result.message}".strip(": ") or "refused without a word"
