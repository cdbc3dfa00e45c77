"""Who is whose parent company, by associations v4: read, and changed in two steps (old one away, new one in place)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable
from connectors.hubspot.records import PARENT
from connectors.hubspot.responses import SYSTEM, Lost, RowError, row_errors
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.transport import Call
from connectors.protocol import Verdict, Write, WriteResult

CHILD_TO_PARENT = 14
READ_BATCH = 1_000
MOVE_BATCH = 100  # the archive limit: the two steps of a record stay close together
CREATE_BATCH = 1_000  # HubSpot takes 2,000; a first parent needs no step before

T = TypeVar("T")
_TYPE_NAMES = {5: "deal_to_company", 341: "deal_to_company_unlabeled"}
_NOTHING_THERE = "OBJECT_NOT_FOUND"  # how HubSpot reports that a record has no associations
_PARENT_TYPE = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": CHILD_TO_PARENT}]


def read_parents(session: HubSpotSession, company_ids: Sequence[str]) -> dict[str, str | None]:
    """The parent company id of each company; None = it has none, or the company is gone."""
    parents: dict[str, str | None] = dict.fromkeys(company_ids)
    for child, ends in _read(session, ("companies", "companies"), company_ids).items():
        parents[child] = next((end for end, kinds in ends if CHILD_TO_PARENT in kinds), None)
    return parents


def add_companies(session: HubSpotSession, native_object: str, records: Sequence[dict[str, Any]]) -> None:
    """Give deals that came by search their companies, worded as a list would: search has no associations."""
    found = _read(session, (native_object, "companies"), [str(record["id"]) for record in records])
    for record in records:
        ends = found.get(str(record["id"]), ())
        listed = [
            {"id": end, "type": _TYPE_NAMES.get(kind, "other_unlabeled")} for end, kinds in ends for kind in kinds
        ]
        if listed:
            record["associations"] = {"companies": {"results": listed}}


Pair = tuple[Write, str]  # a row, and the parent company that one step removes or sets for it


@dataclass(slots=True)
class ParentChange:
    """Applies parent changes: first old parents away, then new ones in place; records that had none come last."""

    session: HubSpotSession
    stamp: str
    before_send: Callable[[], None]
    _answered: bool = False  # some write was answered: from here on nothing is raised, so that no result is lost

    def apply(self, writes: Sequence[Write]) -> list[WriteResult]:
        """One result per write, in order. Raises Fatal or Retriable only when nothing was written."""
        actual = read_parents(self.session, [write.record_id for write in writes])
        results = {write.key: early for write in writes if (early := _without_writing(write, actual)) is not None}
        waiting = [write for write in writes if write.key not in results]
        for part in _parts(waiting, actual):
            results.update(self._two_steps(part, actual))
        return [results[write.key] for write in writes]

    def _two_steps(self, writes: Sequence[Write], actual: Mapping[str, str | None]) -> dict[str, WriteResult]:
        leaving = [(write, old) for write in writes if (old := actual[write.record_id])]
        failed = self._each(self._archive, leaving)
        arriving = [(w, new) for w in writes if w.key not in failed and (new := wanted_parent(w))]
        orphans = {write.key: old for write, old in leaving if write.key not in failed}
        refused = self._each(self._create, arriving, half_done=orphans.keys())
        refused.update(self._restore(arriving, orphans, refused))
        return {**{write.key: _ok(write) for write in writes}, **failed, **refused}

    def _each(
        self,
        step: Callable[[Sequence[Pair]], dict[str, WriteResult]],
        pairs: Sequence[Pair],
        *,
        half_done: Collection[str] = (),
    ) -> dict[str, WriteResult]:
        """The rows that a step failed for. A batch refused whole is sent again in halves until the bad row is alone."""
        if not pairs:
            return {}
        try:
            return step(pairs)
        except Rejected as exc:
            if len(pairs) == 1:
                return {pairs[0][0].key: _result(pairs[0][0], Verdict.REJECTED, exc)}
        except (Fatal, Retriable) as exc:
            lost = isinstance(exc, Lost)
            if not self._answered and not lost:
                raise
            unsure = {write.key for write, _ in pairs if lost or write.key in half_done}
            verdicts = {True: Verdict.UNKNOWN, False: Verdict.RETRIABLE}
            return {write.key: _result(write, verdicts[write.key in unsure], exc) for write, _ in pairs}
        middle = len(pairs) // 2
        first = self._each(step, pairs[:middle], half_done=half_done)
        return {**first, **self._each(step, pairs[middle:], half_done=half_done)}

    def _archive(self, pairs: Sequence[Pair]) -> dict[str, WriteResult]:
        """Remove the parent label only: other associations of the two companies belong to other people."""
        answer = self._send("labels/archive", self._batch.archive_labels, pairs)
        errors = row_errors(answer)
        if not errors:
            return {}
        left = read_parents(self.session, [write.record_id for write, _ in pairs])
        return {write.key: _from_error(write, errors) for write, old in pairs if left[write.record_id] == old}

    def _create(self, pairs: Sequence[Pair]) -> dict[str, WriteResult]:
        """Set parents; what the answer does not show as made is looked up."""
        answer = self._send("create", self._batch.create, pairs)
        made = {(str(one.get("fromObjectId")), str(one.get("toObjectId"))) for one in answer.get("results") or ()}
        missing = [(write, new) for write, new in pairs if (write.record_id, new) not in made]
        if not missing:
            return {}
        errors, now = row_errors(answer), read_parents(self.session, [write.record_id for write, _ in missing])
        return {write.key: _from_error(write, errors) for write, new in missing if now[write.record_id] != new}

    def _restore(
        self, pairs: Sequence[Pair], orphans: Mapping[str, str], refused: Mapping[str, WriteResult]
    ) -> dict[str, WriteResult]:
        """Give rows whose new parent was refused their old one again; a row left without comes back UNKNOWN."""
        sure = [write for write, _ in pairs if write.key in refused and refused[write.key].verdict is Verdict.REJECTED]
        back = [
            (replace(write, fields={PARENT: orphans[write.key]}), orphans[write.key])
            for write in sure
            if write.key in orphans
        ]
        failed = self._each(self._create, back, half_done=orphans.keys())
        restored = {}
        for write, _ in back:
            lost = write.key in failed
            word = "its old parent could not be put back" if lost else "its old parent was put back"
            kept = refused[write.key]
            verdict = Verdict.UNKNOWN if lost else kept.verdict
            restored[write.key] = replace(kept, verdict=verdict, message=f"{kept.message} ({word})")
        return restored

    @property
    def _batch(self) -> Any:
        return self.session.client.crm.associations.v4.batch_api

    def _send(self, name: str, method: Callable[..., Any], pairs: Sequence[Pair]) -> dict[str, Any]:
        call = Call(route=f"POST /associations/{name}", write=True, stamp=self.stamp)
        body = {"inputs": [_edge(write.record_id, parent) for write, parent in pairs]}
        answer = self.session.write(call, self.before_send, method, "companies", "companies", body)
        self._answered = True
        return answer


def wanted_parent(write: Write) -> str | None:
    """The parent that the write asks for; None removes it."""
    value = write.fields.get(PARENT)
    return None if value in (None, "") else str(value)


def chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """The items in parts of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _parts(writes: Sequence[Write], actual: Mapping[str, str | None]) -> list[list[Write]]:
    """The rows as they are sent together: moves by the hundred, first parents with the last of them and after."""
    moving = [write for write in writes if actual[write.record_id]]
    first = [write for write in writes if not actual[write.record_id]]
    *before, last = [list(part) for part in chunks(moving, MOVE_BATCH)] or [[]]
    room = CREATE_BATCH - len(last)
    return [*before, last + first[:room], *(list(part) for part in chunks(first[room:], CREATE_BATCH))]


def _without_writing(write: Write, actual: Mapping[str, str | None]) -> WriteResult | None:
    """The result of a row that needs no write or must not be written: a person moved it since it was read."""
    now, previous = actual[write.record_id], write.previous.get(PARENT) or None
    if now == wanted_parent(write):
        return _ok(write)
    if now != previous:
        message = "the parent company changed since it was read"
        return WriteResult(
            key=write.key, record_id=write.record_id, verdict=Verdict.STALE, code="PARENT_MOVED", message=message
        )
    return None


def _read(
    session: HubSpotSession, kinds: tuple[str, str], ids: Sequence[str]
) -> dict[str, list[tuple[str, frozenset[int]]]]:
    """For each id, its associated ids with their type numbers, in HubSpot's order."""
    found: dict[str, list[tuple[str, frozenset[int]]]] = defaultdict(list)
    get_page = session.client.crm.associations.v4.batch_api.get_page
    for part in chunks(list(dict.fromkeys(ids)), READ_BATCH):
        inputs: list[dict[str, str]] = [{"id": one} for one in part]
        while inputs:
            answer = session.read(f"POST /associations/{kinds[0]}/read", get_page, *kinds, {"inputs": inputs})
            _refuse_partial(answer)
            following = []
            for row in answer.get("results") or ():
                start = str((row.get("from") or {}).get("id"))
                for end in row.get("to") or ():
                    types = frozenset(int(kind["typeId"]) for kind in end.get("associationTypes") or ())
                    found[start].append((str(end.get("toObjectId")), types))
                after = ((row.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    following.append({"id": start, "after": str(after)})
            inputs = following
    return found


def _refuse_partial(answer: Mapping[str, Any]) -> None:
    """A row that could not be read must not pass for one without a parent."""
    for error in row_errors(answer):
        if error.category != _NOTHING_THERE and "NO_ASSOCIATIONS_FOUND" not in error.code:
            fact = f"HubSpot could not read the associations of some companies ({error.code})"
            raise Retriable(f"{fact}. It may work later.", system=SYSTEM, code=error.code)


def _edge(child: str, parent: str) -> dict[str, Any]:
    return {"from": {"id": child}, "to": {"id": parent}, "types": _PARENT_TYPE}


def _ok(write: Write) -> WriteResult:
    return WriteResult(key=write.key, record_id=write.record_id, verdict=Verdict.OK)


def _result(write: Write, verdict: Verdict, error: ConnectorError) -> WriteResult:
    return WriteResult(key=write.key, record_id=write.record_id, verdict=verdict, code=error.code, message=str(error))


def _from_error(write: Write, errors: Sequence[RowError]) -> WriteResult:
    """The error that names the row, else the only one there is."""
    named = next((error for error in errors if write.record_id in error.ids), None) or next(iter(errors), None)
    if named is None:
        error: ConnectorError = Lost("HubSpot's answer leaves this row out", system=SYSTEM, code="ROW_MISSING")
        return _result(write, Verdict.UNKNOWN, error)
    verdict = Verdict.RETRIABLE if named.retriable else Verdict.REJECTED
    return WriteResult(
        key=write.key, record_id=write.record_id, verdict=verdict, code=named.code, message=named.message
    )
