"""Writing Salesforce accounts, and reading them just before and just after: one verdict per record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.errors import Fatal, Rejected, Retriable
from connectors.protocol import Current, Lane, OwnedChild, TeamMember, Verdict, Write, WriteResult
from connectors.salesforce import soql
from connectors.salesforce.bulk import BulkLane
from connectors.salesforce.children import HistoryEntry, departed, field_history
from connectors.salesforce.floors import BATCH_ROWS, COLLECTION_ROWS, CONDITIONAL_ROWS, RETRIEVE_ROWS
from connectors.salesforce.ids import to_18
from connectors.salesforce.responses import (
    SYSTEM,
    Outcome,
    Reply,
    collection_outcomes,
    failure,
    row_outcome,
)
from connectors.salesforce.sending import (
    NO_ASSIGNMENT_RULES,
    Row,
    Sending,
    chunks_of,
    merged,
    result_of,
    send_all,
    stamped,
)
from connectors.salesforce.session import Session
from connectors.salesforce.teams import TeamLane, TeamResult

_PLAIN = {"Accept-Encoding": "identity"}  # a compressed answer carries another ETag
_STAMP = "SystemModstamp"
_NOT_VISIBLE = frozenset({"NOT_FOUND", "ENTITY_IS_DELETED", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"})
_NO_VERSION = f'"{"A" * 27}="'  # has the form of an ETag and is none


class SalesforceTarget:
    """Writes one Salesforce organisation (connectors.protocol.Target)."""

    def __init__(
        self,
        session: Session,
        *,
        native_object: str = "Account",
        conditional_in_composite: bool = True,
        teams: TeamLane | None = None,
        bulk: BulkLane | None = None,
    ) -> None:
        """Set `conditional_in_composite` False where If-Match is not honoured inside composite: one row a call then.

        `teams` and `bulk` replace the lanes of their names, to choose another way or other patience.
        """
        self.session = session
        self.meter = session.meter
        self.conditional_in_composite = conditional_in_composite
        self._object = soql.identifier(native_object)
        self._etags_in_composite = True  # until an answer shows otherwise
        self.teams = teams or TeamLane(session)
        self.bulk = bulk or BulkLane(session, native_object=native_object)

    def read(self, record_ids: Sequence[str], fields: Sequence[str], *, versions: bool) -> Mapping[str, Current | None]:
        """Give the current state by record id as asked; None = deleted or not visible. Read-only.

        Plain field names only. The version is the ETag with `versions` (25 ids a call), else SystemModstamp
        (2,000 ids a call).
        """
        names = list(dict.fromkeys(("Id", *(soql.identifier(name) for name in fields), _STAMP)))
        wanted = list(dict.fromkeys(to_18(record_id) for record_id in record_ids))
        found: dict[str, Current] = {}
        size, read = (CONDITIONAL_ROWS, self._read_versions) if versions else (RETRIEVE_ROWS, self._retrieve)
        for chunk in chunks_of(wanted, size):
            found |= read(chunk, names)
        return {record_id: found.get(to_18(record_id)) for record_id in record_ids}

    def write(
        self, writes: Sequence[Write], *, lane: Lane, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Send the writes in the order given; one result per write, in that order. None clears a field.

        Nothing is ever sent twice after a lost answer: those rows come back UNKNOWN, and after two lost answers in a
        row the rest comes back RETRIABLE, unsent. Once something has been answered, an error that stops the run turns
        the rest RETRIABLE with its code instead of hiding what was written; before that it is raised.
        The team lane reads the teams itself; the bulk lane's jobs are known to nobody: use change_owners and write_job
        where a crash must not lose them.
        Raises ValueError for a write that may not be sent: no usable version on the conditional lane, no old owner on
        the team lane, two values for one field of a record, or the association lane.
        """
        if lane is Lane.TEAM:
            image = self.team([write.record_id for write in writes])
            changed = self.change_owners(writes, image=image, stamp=stamp, before_send=before_send)
            return tuple(one.result for one in changed)
        if lane is Lane.BULK:
            return self.bulk.write(writes, stamp=stamp, before_send=before_send)
        rows = merged(writes, needs_version=lane is Lane.CONDITIONAL)
        size, send = self._lane(lane)
        sending = stamped(stamp, before_send)
        outcomes = send_all(list(chunks_of(rows, size)), lambda chunk: send(chunk, sending))
        return tuple(result_of(write, outcomes[to_18(write.record_id)]) for write in writes)

    def team_sizes(self, record_ids: Sequence[str]) -> Mapping[str, int]:
        """Give the number of account-team members by id as asked; an account without a team is absent. Read-only.

        Empty where the organisation has no account teams.
        """
        return {record_id: len(members) for record_id, members in self.teams.team(record_ids).items()}

    def team(self, record_ids: Sequence[str]) -> Mapping[str, tuple[TeamMember, ...]]:
        """Give the account-team members by id as asked; an account without a team is absent. Read-only."""
        return self.teams.team(record_ids)

    def history(self, record_ids: Sequence[str], properties: Sequence[str]) -> Mapping[str, Sequence[HistoryEntry]]:
        """Give the kept values of account fields by id as asked, newest first within a field. Read-only."""
        return field_history(self.session, record_ids, properties)

    def departed(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Give those of the users who are not active: some organisations let them be made owners. Read-only."""
        return departed(self.session, user_ids)

    def open_opportunities(self, record_ids: Sequence[str]) -> Mapping[str, tuple[OwnedChild, ...]]:
        """Give the open opportunities by id as asked, with their owners; none: absent. Read-only."""
        return self.teams.open_opportunities(record_ids)

    def hand_over(
        self, children: Sequence[OwnedChild], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Give each opportunity to its `owner_id`; one result per child in that order. Absolute: may be repeated."""
        return self.teams.hand_over(children, stamp=stamp, before_send=before_send)

    def change_owners(
        self,
        writes: Sequence[Write],
        *,
        image: Mapping[str, Sequence[TeamMember]],
        stamp: str,
        before_send: Callable[[], None],
    ) -> tuple[TeamResult, ...]:
        """Change owners and keep the teams of `image`; see connectors.salesforce.teams.TeamLane.change_owners."""
        return self.teams.change_owners(writes, image=image, stamp=stamp, before_send=before_send)

    def restore_team(
        self, members: Sequence[TeamMember], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Put back the members that are not there; one result per member in that order. May be repeated."""
        return self.teams.restore_team(members, stamp=stamp, before_send=before_send)

    def write_job(
        self,
        writes: Sequence[Write],
        *,
        stamp: str,
        before_send: Callable[[], None],
        on_job: Callable[[str], None],
    ) -> tuple[WriteResult, ...]:
        """Update by Bulk jobs whose ids `on_job` gets before they start; see connectors.salesforce.bulk.BulkLane."""
        return self.bulk.write(writes, stamp=stamp, before_send=before_send, on_job=on_job)

    def resume_job(
        self, job_id: str, writes: Sequence[Write], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Give the results of a job that an earlier run made of these writes; no row is sent again."""
        return self.bulk.resume(job_id, writes, stamp=stamp, before_send=before_send)

    def honours_conditions(self, record_id: str, *, stamp: str, before_send: Callable[[], None]) -> bool:
        """Tell whether If-Match is honoured inside composite: a write of nothing, at a version no record has.

        It must be refused as stale. Where it is not, it changes no value (only the record's stamps), and the target
        must be made with conditional_in_composite=False. One write request.
        """
        probe = Row(record_id=to_18(record_id), fields={}, version=_NO_VERSION)
        outcomes = self._send_conditional([probe], stamped(stamp, before_send))
        return outcomes[probe.record_id].verdict is Verdict.STALE

    def _lane(self, lane: Lane) -> tuple[int, Callable[[list[Row], Sending], dict[str, Outcome]]]:
        if lane is Lane.BATCH:
            return BATCH_ROWS, self._send_collections
        if lane is Lane.CONDITIONAL and self.conditional_in_composite:
            return CONDITIONAL_ROWS, self._send_conditional
        if lane is Lane.CONDITIONAL:
            return 1, self._send_single
        raise ValueError(f"lane {lane} is not Salesforce's; use conditional, batch, team or bulk")

    # reading

    def _retrieve(self, record_ids: list[str], names: list[str]) -> dict[str, Current]:
        records = self.session.retrieve(self._object, record_ids, names)
        return {
            to_18(record["Id"]): _current(record, names, version=record.get(_STAMP) or "")
            for record in records
            if record
        }

    def _read_versions(self, record_ids: list[str], names: list[str]) -> dict[str, Current]:
        if self._etags_in_composite:
            found = self._read_by_composite(record_ids, names)
            if not found or all(current.version for current in found.values()):
                return found
            self._etags_in_composite = False
        return self._read_one_by_one(record_ids, names)

    def _read_by_composite(self, record_ids: list[str], names: list[str]) -> dict[str, Current]:
        query = f"?fields={','.join(names)}"
        requests = [
            {"method": "GET", "referenceId": f"r{n}", "url": f"{self._row_path(record_id)}{query}"}
            for n, record_id in enumerate(record_ids)
        ]
        found: dict[str, Current] = {}
        for item, record_id in zip(self._composite_read(requests), record_ids, strict=True):
            reply = Reply(status=item["httpStatusCode"], body=item.get("body"), headers=item.get("httpHeaders") or {})
            current = self._row(reply, names)
            if current is not None:
                found[record_id] = current
        return found

    def _composite_read(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.session.composite(requests, route="composite_read", is_write=False, check=_no_passing_failure)

    def _read_one_by_one(self, record_ids: list[str], names: list[str]) -> dict[str, Current]:
        found: dict[str, Current] = {}
        for record_id in record_ids:
            try:
                reply = self.session.call(
                    "GET",
                    self._row_path(record_id),
                    route="row_read",
                    is_write=False,
                    headers=_PLAIN,
                    params={"fields": ",".join(names)},
                )
            except Rejected as error:
                if error.code not in _NOT_VISIBLE:
                    raise
                continue
            version = _etag(reply.headers)
            if not version:
                raise Fatal(
                    f"Salesforce gave no ETag for {self._object} {record_id}; writes cannot be made safe without one. "
                    "Only accounts have ETags: check the object, and a proxy that removes headers",
                    system=SYSTEM,
                    code="NO_ETAG",
                )
            found[record_id] = _current(reply.body, names, version=version)
        return found

    def _row(self, reply: Reply, names: list[str]) -> Current | None:
        if reply.status < 300 and isinstance(reply.body, dict):
            return _current(reply.body, names, version=_etag(reply.headers))
        error = failure(reply, route="row_read", is_write=False)
        if error.code in _NOT_VISIBLE:
            return None
        raise error

    # writing

    def _send_conditional(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        parts = [
            {
                "method": "PATCH",
                "referenceId": f"r{n}",
                "url": self._row_path(row.record_id),
                "httpHeaders": {"If-Match": row.version, **NO_ASSIGNMENT_RULES},
                "body": dict(row.fields),
            }
            for n, row in enumerate(rows)
        ]
        answered = self._composite_write(parts, sending, route="composite_conditional")
        return {
            row.record_id: row_outcome(
                item["httpStatusCode"], item.get("body"), version=_etag(item.get("httpHeaders") or {})
            )
            for row, item in zip(rows, answered, strict=True)
        }

    def _send_single(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        (row,) = rows
        reply = self.session.call(
            "PATCH",
            self._row_path(row.record_id),
            route="row_conditional",
            is_write=True,
            headers={**sending.headers, **_PLAIN, "If-Match": row.version},
            before_send=sending.before_send,
            json=dict(row.fields),
        )
        return {row.record_id: Outcome(verdict=Verdict.OK, version=_etag(reply.headers))}

    def _send_collections(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        collections = list(chunks_of(rows, COLLECTION_ROWS))
        parts = [
            {
                "method": "PATCH",
                "referenceId": f"c{n}",
                "url": f"{self.session.data_path}/composite/sobjects",
                "httpHeaders": dict(NO_ASSIGNMENT_RULES),
                "body": {"allOrNone": False, "records": [self._record(row) for row in collection]},
            }
            for n, collection in enumerate(collections)
        ]
        outcomes: dict[str, Outcome] = {}
        answered = self._composite_write(parts, sending, route="composite_batch")
        for collection, item in zip(collections, answered, strict=True):
            ids = [row.record_id for row in collection]
            outcomes |= zip(ids, collection_outcomes(ids, item["httpStatusCode"], item.get("body")), strict=True)
        return outcomes

    def _composite_write(self, parts: list[dict[str, Any]], sending: Sending, *, route: str) -> list[dict[str, Any]]:
        return self.session.composite(
            parts, route=route, is_write=True, headers=sending.headers, before_send=sending.before_send
        )

    def _record(self, row: Row) -> dict[str, Any]:
        return {"attributes": {"type": self._object}, "id": row.record_id, **row.fields}

    def _row_path(self, record_id: str) -> str:
        return f"{self.session.data_path}/sobjects/{self._object}/{record_id}"


def _current(record: Mapping[str, Any], names: list[str], *, version: str) -> Current:
    fields = {name: record.get(name) for name in names}
    return Current(record_id=to_18(record["Id"]), fields=fields, version=version)


def _no_passing_failure(body: object) -> None:
    """Raise Retriable when a part of a composite read failed for a reason that passes: the call is then repeated."""
    parts = body.get("compositeResponse") if isinstance(body, dict) else None
    for item in parts if isinstance(parts, list) else ():
        status = item.get("httpStatusCode") if isinstance(item, dict) else None
        if isinstance(status, int) and status >= 300:
            error = failure(Reply(status=status, body=item.get("body")), route="composite_read", is_write=False)
            if isinstance(error, Retriable):
                raise error


def _etag(headers: Mapping[str, str]) -> str:
    """Give the ETag; inside composite the header names come in any case."""
    return next((value for name, value in headers.items() if name.lower() == "etag"), "")
