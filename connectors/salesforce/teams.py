"""Owner changes of accounts that have a team: the team is kept, looked at again, and completed where members went.

Two ways do it. SOAP asks Salesforce to keep the team, 200 rows a call, and knows no precondition: the owner is read
back, and nothing a person did goes unseen. COMPOSITE writes the owner at a version and puts the members back in the
same all-or-none call, one account a call. docs/adr/ compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from connectors.errors import ConnectorError, Fatal
from connectors.protocol import OwnedChild, TeamMember, Verdict, Write, WriteResult
from connectors.salesforce import soap, soql
from connectors.salesforce.children import rows_below, rows_if_shown
from connectors.salesforce.floors import BATCH_ROWS, COLLECTION_ROWS, RETRIEVE_ROWS
from connectors.salesforce.ids import to_18
from connectors.salesforce.responses import Outcome, collection_outcomes, created_outcomes, row_outcome
from connectors.salesforce.sending import (
    NO_ASSIGNMENT_RULES,
    Row,
    Sending,
    chunks_of,
    is_etag,
    merged,
    result_of,
    send_all,
    stamped,
)
from connectors.salesforce.session import Form, Session

MEMBER = "AccountTeamMember"
MEMBER_FIELDS = (
    "TeamMemberRole",
    "AccountAccessLevel",
    "OpportunityAccessLevel",
    "CaseAccessLevel",
    "ContactAccessLevel",
)
MOST_MEMBERS = 24  # beside the account, in one composite call

_HALTED = "PROCESSING_HALTED"
_MOVES = "TransferOwnedOpenOpportunities"


class TeamWay(StrEnum):
    """How an owner changes while the team stays."""

    SOAP = "soap"  # KeepAccountTeam; members and their row ids stay as they are
    COMPOSITE = "composite"  # conditional owner change, members made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamResult:
    """What became of one owner change and of the team behind it."""

    result: WriteResult  # code TEAM_RESTORED, TEAM_INCOMPLETE or TEAM_UNREAD beside an OK tells about the team
    owner: str | None  # read back after the write; None where it could not be read
    lost: tuple[TeamMember, ...] = ()  # members of the image that were gone afterwards
    restored: tuple[TeamMember, ...] = ()  # those of them that are back, read again


class TeamLane:
    """Account teams of one organisation: images of them, owner changes that keep them, and their repair."""

    def __init__(
        self, session: Session, *, way: TeamWay = TeamWay.SOAP, moves_opportunities: bool | None = None
    ) -> None:
        """`moves_opportunities` says whether open opportunities go along (SOAP); None leaves it to the organisation."""
        self.session = session
        self.way = way
        self._member_fields: tuple[str, ...] = MEMBER_FIELDS  # until an answer shows that some are not there
        self._options = {"KeepAccountTeam": True}
        if moves_opportunities is not None:
            self._options[_MOVES] = moves_opportunities

    def team(self, record_ids: Sequence[str]) -> dict[str, tuple[TeamMember, ...]]:
        """Give the members by account id as asked, in the order of their users; without a team: absent. Read-only.

        Empty where the organisation has no account teams.
        """
        found: dict[str, list[TeamMember]] = {}
        for record in self._member_rows(record_ids):
            member = _member(record)
            found.setdefault(member.record_id, []).append(member)
        members = {key: tuple(sorted(team, key=lambda one: one.user_id)) for key, team in found.items()}
        return {record_id: members[to_18(record_id)] for record_id in record_ids if to_18(record_id) in members}

    def _member_rows(self, record_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """The rows of the teams, with the fields that the organisation has: some have no cases, or no contact level."""
        asked = self._member_fields
        try:
            return list(self._rows_shown(record_ids))
        except Fatal as error:
            if error.code != "INVALID_FIELD" or asked != MEMBER_FIELDS:
                raise
        path = f"sobjects/{MEMBER}/describe"
        body = self.session.call("GET", path, route="describe", is_write=False).body
        there = {item.get("name") for item in body.get("fields") or ()} if isinstance(body, dict) else set()
        self._member_fields = tuple(name for name in MEMBER_FIELDS if name in there)
        return list(self._rows_shown(record_ids))

    def _rows_shown(self, record_ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        fields = ("Id", "AccountId", "UserId", *self._member_fields)
        return rows_if_shown(self.session, MEMBER, fields, record_ids, route="team_query")

    def open_opportunities(self, record_ids: Sequence[str]) -> dict[str, tuple[OwnedChild, ...]]:
        """Give the open opportunities and their owners by account id as asked; none: absent. Read-only."""
        found: dict[str, list[OwnedChild]] = {}
        fields, only = ("Id", "AccountId", "OwnerId"), soql.is_false("IsClosed")
        for record in rows_below(self.session, "Opportunity", fields, record_ids, route="opportunity_query", only=only):
            child = OwnedChild(
                record_id=to_18(record["AccountId"]), child_id=to_18(record["Id"]), owner_id=to_18(record["OwnerId"])
            )
            found.setdefault(child.record_id, []).append(child)
        deals = {key: tuple(sorted(held, key=lambda one: one.child_id)) for key, held in found.items()}
        return {record_id: deals[to_18(record_id)] for record_id in record_ids if to_18(record_id) in deals}

    def change_owners(
        self,
        writes: Sequence[Write],
        *,
        image: Mapping[str, Sequence[TeamMember]],
        stamp: str,
        before_send: Callable[[], None],
    ) -> tuple[TeamResult, ...]:
        """Send owner changes, read owner and team back, put lost members back; one result per write, in that order.

        `image` is the team as `team` gave it before; keep it where a crash does not reach it. `previous` of each
        write names the old OwnerId (SOAP), or `version` the ETag (COMPOSITE). Teams are completed only where the
        owner read back is the one written. Raises and gives UNKNOWN like SalesforceTarget.write.
        """
        sending = stamped(stamp, before_send)
        rows = merged(writes, needs_version=self.way is TeamWay.COMPOSITE)
        teams = {to_18(record_id): tuple(members) for record_id, members in image.items()}
        outcomes = self._changed(writes, rows, teams, sending)
        back = self._read_back(rows, outcomes, teams, sending)
        return tuple(_team_result(write, outcomes[to_18(write.record_id)], back) for write in writes)

    def restore_team(
        self, members: Sequence[TeamMember], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Put back the members that are not there now; one result per member, in that order.

        A member who is there is OK with code PRESENT and stays untouched, so this may be repeated at will.
        """
        sending = stamped(stamp, before_send)
        now = self.team(list(dict.fromkeys(one.record_id for one in members)))
        there = {(to_18(key), one.user_id) for key, team in now.items() for one in team}
        missing = [one for one in dict.fromkeys(map(_key, members)) if one not in there]
        wanted = {_key(one): one for one in members}
        outcomes = dict.fromkeys(there, Outcome(verdict=Verdict.OK, code="PRESENT"))
        outcomes |= self._insert([wanted[key] for key in missing], sending)
        return tuple(
            result_of(Write(key=":".join(_key(one)), record_id=one.record_id, fields={}), outcomes[_key(one)])
            for one in members
        )

    def hand_over(
        self, children: Sequence[OwnedChild], *, stamp: str, before_send: Callable[[], None]
    ) -> tuple[WriteResult, ...]:
        """Give each opportunity to its `owner_id`; one result per child, in that order. Absolute: may be repeated."""
        sending = stamped(stamp, before_send)
        rows = [Row(record_id=to_18(one.child_id), fields={"OwnerId": one.owner_id}) for one in children]
        outcomes = send_all(list(chunks_of(rows, BATCH_ROWS)), lambda chunk: self._send_children(chunk, sending))
        return tuple(
            result_of(Write(key=one.child_id, record_id=to_18(one.child_id), fields={}), outcomes[to_18(one.child_id)])
            for one in children
        )

    # writing

    def _send_children(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        collections = list(chunks_of(rows, COLLECTION_ROWS))
        parts = [
            {
                "method": "PATCH",
                "referenceId": f"c{n}",
                "url": f"{self.session.data_path}/composite/sobjects",
                "httpHeaders": dict(NO_ASSIGNMENT_RULES),
                "body": {
                    "allOrNone": False,
                    "records": [
                        {"attributes": {"type": "Opportunity"}, "id": row.record_id, **row.fields} for row in collection
                    ],
                },
            }
            for n, collection in enumerate(collections)
        ]
        answered = self.session.composite(
            parts, route="opportunity_owners", is_write=True, headers=sending.headers, before_send=sending.before_send
        )
        outcomes: dict[str, Outcome] = {}
        for collection, item in zip(collections, answered, strict=True):
            ids = [row.record_id for row in collection]
            outcomes |= zip(ids, collection_outcomes(ids, item["httpStatusCode"], item.get("body")), strict=True)
        return outcomes

    def _changed(
        self, writes: Sequence[Write], rows: list[Row], teams: Mapping[str, tuple[TeamMember, ...]], sending: Sending
    ) -> dict[str, Outcome]:
        refused = {row.record_id: _unsendable(row) for row in rows if soap.unsendable(row.fields)}
        sound = [row for row in rows if row.record_id not in refused]
        if self.way is TeamWay.COMPOSITE:
            chunks = [[row] for row in sound]
            return refused | send_all(chunks, lambda chunk: self._send_composite(chunk[0], teams, sending))
        chunks = [chunk for group in _by_owners(sound, writes) for chunk in chunks_of(group, soap.MAX_ROWS)]
        return refused | send_all(chunks, lambda chunk: self._send_soap(chunk, sending))

    def _send_soap(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        def body(token: str) -> bytes:
            return soap.update(rows, native_object="Account", token=token, client=sending.stamp, options=self._options)

        reply = self.session.call(
            "POST",
            f"/services/Soap/u/{self.session.sf_version}",
            route=soap.ROUTE,
            is_write=True,
            headers={**sending.headers, **soap.HEADERS},
            before_send=sending.before_send,
            form=Form(read=soap.read, body=body, is_expired=soap.is_expired),
        )
        ids = [row.record_id for row in rows]
        return dict(zip(ids, collection_outcomes(ids, reply.status, reply.body), strict=True))

    def _send_composite(
        self, row: Row, teams: Mapping[str, tuple[TeamMember, ...]], sending: Sending
    ) -> dict[str, Outcome]:
        members = teams.get(row.record_id, ())
        if len(members) > MOST_MEMBERS:
            text = f"the team has {len(members)} members; one composite call takes {MOST_MEMBERS}"
            return {row.record_id: Outcome(verdict=Verdict.REJECTED, code="TEAM_TOO_LARGE", message=text)}
        base = f"{self.session.data_path}/sobjects"
        owner = {
            "method": "PATCH",
            "referenceId": "owner",
            "url": f"{base}/Account/{row.record_id}",
            "httpHeaders": {"If-Match": row.version, **NO_ASSIGNMENT_RULES},
            "body": dict(row.fields),
        }
        added = [
            {
                "method": "POST",
                "referenceId": f"m{n}",
                "url": f"{base}/{MEMBER}",
                "httpHeaders": dict(NO_ASSIGNMENT_RULES),
                "body": _values(member),
            }
            for n, member in enumerate(members)
        ]
        parts = self.session.composite(
            [owner, *added],
            route="composite_team",
            is_write=True,
            headers=sending.headers,
            before_send=sending.before_send,
            all_or_none=True,
        )
        outcomes = [row_outcome(part["httpStatusCode"], part.get("body"), version=_tag(part)) for part in parts]
        failed = [one for one in outcomes if one.verdict is not Verdict.OK]
        cause = next((one for one in failed if one.code != _HALTED), None)
        return {row.record_id: cause or (failed or outcomes)[0]}

    def _insert(self, members: Sequence[TeamMember], sending: Sending) -> dict[tuple[str, str], Outcome]:
        rows = [Row(record_id=":".join(_key(one)), fields=_values(one)) for one in members]
        outcomes = self._send_rows(rows, sending)
        # An organisation whose sharing settings fix a level refuses to be told it: the member is worth more than that.
        closed = {row.record_id: _closed_fields(outcomes[row.record_id]) for row in rows}
        again = [_without(row, closed[row.record_id]) for row in rows if closed[row.record_id]]
        outcomes |= self._send_rows(again, sending)
        return {_key(one): outcomes[":".join(_key(one))] for one in members}

    def _send_rows(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        return send_all(list(chunks_of(rows, BATCH_ROWS)), lambda chunk: self._send_members(chunk, sending))

    def _send_members(self, rows: list[Row], sending: Sending) -> dict[str, Outcome]:
        collections = list(chunks_of(rows, COLLECTION_ROWS))
        parts = [
            {
                "method": "POST",
                "referenceId": f"c{n}",
                "url": f"{self.session.data_path}/composite/sobjects",
                "httpHeaders": dict(NO_ASSIGNMENT_RULES),
                "body": {"allOrNone": False, "records": [_record(row) for row in collection]},
            }
            for n, collection in enumerate(collections)
        ]
        answered = self.session.composite(
            parts, route="team_insert", is_write=True, headers=sending.headers, before_send=sending.before_send
        )
        outcomes: dict[str, Outcome] = {}
        for collection, item in zip(collections, answered, strict=True):
            made = created_outcomes(len(collection), item["httpStatusCode"], item.get("body"))
            outcomes |= zip((row.record_id for row in collection), made, strict=True)
        return outcomes

    # reading

    def _read_back(
        self,
        rows: list[Row],
        outcomes: Mapping[str, Outcome],
        teams: Mapping[str, tuple[TeamMember, ...]],
        sending: Sending,
    ) -> dict[str, _Back]:
        """Read owners and teams of what was or may have been written; complete the teams. What fails is left out."""
        doubtful = [row for row in rows if outcomes[row.record_id].verdict in (Verdict.OK, Verdict.UNKNOWN)]
        back: dict[str, _Back] = {}
        for chunk in chunks_of(doubtful, RETRIEVE_ROWS):
            try:
                owners, now = self._owners(chunk), self._present(chunk)
            except ConnectorError:
                continue  # the verdicts stand; their team counts as unread
            for row in chunk:
                owner = owners.get(row.record_id)
                lost = tuple(one for one in teams.get(row.record_id, ()) if _key(one) not in now)
                back[row.record_id] = _Back(owner=owner, lost=lost if owner == row.fields.get("OwnerId") else ())
        gone = [one for found in back.values() for one in found.lost]
        held = self._completed(gone, sending) if gone else frozenset()
        return {
            record_id: replace(found, restored=tuple(one for one in found.lost if _key(one) in held))
            for record_id, found in back.items()
        }

    def _completed(self, lost: list[TeamMember], sending: Sending) -> frozenset[tuple[str, str]]:
        """Insert lost members and give those who are there afterwards."""
        try:
            self._insert(lost, sending)
            return self._present([Row(record_id=one.record_id, fields={}) for one in lost])
        except ConnectorError:
            return frozenset()  # they count as not restored; restore_team may be called again

    def _owners(self, rows: Sequence[Row]) -> dict[str, str]:
        records = self.session.retrieve("Account", [row.record_id for row in rows], ["Id", "OwnerId"])
        return {to_18(record["Id"]): to_18(record["OwnerId"]) for record in records if record}

    def _present(self, rows: Iterable[Row]) -> frozenset[tuple[str, str]]:
        teams = self.team(list(dict.fromkeys(row.record_id for row in rows)))
        return frozenset(_key(one) for team in teams.values() for one in team)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Back:
    owner: str | None
    lost: tuple[TeamMember, ...] = ()
    restored: tuple[TeamMember, ...] = ()


def _by_owners(rows: Sequence[Row], writes: Sequence[Write]) -> list[list[Row]]:
    """Give the rows in groups of one old and one new owner: the option to keep the team holds for one pair a call."""
    old = {to_18(write.record_id): write.previous.get("OwnerId") for write in writes if "OwnerId" in write.fields}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        new = row.fields.get("OwnerId")
        if not new or not old.get(row.record_id):
            raise ValueError(f"owner change of {row.record_id} lacks the new OwnerId, or the old one in `previous`")
        groups.setdefault((str(old[row.record_id]), str(new)), []).append(row)
    return list(groups.values())


def _team_result(write: Write, outcome: Outcome, back: Mapping[str, _Back]) -> TeamResult:
    found = back.get(to_18(write.record_id))
    if outcome.verdict is Verdict.OK and found is None:
        outcome = replace(outcome, code="TEAM_UNREAD", message="owner and team could not be read back")
    elif outcome.verdict is Verdict.OK and found is not None and found.lost:
        whole = len(found.restored) == len(found.lost)
        text = f"{len(found.lost)} team members went with the owner change, {len(found.restored)} were put back"
        outcome = replace(outcome, code="TEAM_RESTORED" if whole else "TEAM_INCOMPLETE", message=text)
    found = found or _Back(owner=None)
    return TeamResult(result=result_of(write, outcome), owner=found.owner, lost=found.lost, restored=found.restored)


def _member(record: Mapping[str, Any]) -> TeamMember:
    return TeamMember(
        record_id=to_18(record["AccountId"]),
        user_id=to_18(record["UserId"]),
        fields={name: record[name] for name in MEMBER_FIELDS if record.get(name)},
        member_id=to_18(record["Id"]),
    )


def _values(member: TeamMember) -> dict[str, Any]:
    return {"AccountId": member.record_id, "UserId": member.user_id, **member.fields}


def _closed_fields(outcome: Outcome) -> frozenset[str]:
    """Give the member fields that a refusal says cannot be set; none for any other outcome."""
    if outcome.code != "INVALID_FIELD_FOR_INSERT_UPDATE":
        return frozenset()
    return frozenset(name for name in MEMBER_FIELDS if name in outcome.message)


def _without(row: Row, names: frozenset[str]) -> Row:
    return replace(row, fields={name: value for name, value in row.fields.items() if name not in names})


def _record(row: Row) -> dict[str, Any]:
    return {"attributes": {"type": MEMBER}, **row.fields}


def _key(member: TeamMember) -> tuple[str, str]:
    return to_18(member.record_id), to_18(member.user_id)


def _tag(part: Mapping[str, Any]) -> str:
    headers = part.get("httpHeaders") or {}
    tag = next((value for name, value in headers.items() if name.lower() == "etag"), "")
    return tag if is_etag(tag) else ""


def _unsendable(row: Row) -> Outcome:
    text = f"{soap.unsendable(row.fields)} holds a control character, which XML cannot carry; correct the value"
    return Outcome(verdict=Verdict.REJECTED, code="UNSENDABLE", message=text)
