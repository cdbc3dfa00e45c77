"""What every lane shares: one row per record, the stamp on the wire, and how failures of requests become verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable, Stale
from connectors.protocol import Verdict, Write, WriteResult
from connectors.salesforce import soql
from connectors.salesforce.ids import to_18
from connectors.salesforce.responses import Outcome
from connectors.salesforce.retry import LostAnswer
from connectors.salesforce.session import USER_AGENT

T = TypeVar("T")

NO_ASSIGNMENT_RULES = {"Sforce-Auto-Assign": "FALSE"}  # the default is TRUE, for accounts too

_NOT_STAMP = re.compile(r"[^A-Za-z0-9._/-]+")
_ETAG = re.compile(r'(?:W/)?"[!#-~]+"|[!#-)+-~][!#-~]*', re.ASCII)  # quoted or bare; never the wildcard *
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT")
_LOST_IN_A_ROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record on the wire; several writes to it travel as one."""

    record_id: str  # 18 characters
    fields: Mapping[str, Any]
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What travels with every write request of one call."""

    stamp: str  # the client name that the CRM's logs show
    before_send: Callable[[], None]

    @property
    def headers(self) -> dict[str, str]:
        """Give the headers that tell which run wrote, at which lease epoch, and keep assignment rules out."""
        return {"Sforce-Call-Options": f"client={self.stamp}", "User-Agent": self.stamp, **NO_ASSIGNMENT_RULES}


def stamped(stamp: str, before_send: Callable[[], None]) -> Sending:
    """Give what travels with the requests of a call stamped so."""
    name = f"{USER_AGENT}/{_NOT_STAMP.sub('-', stamp.removeprefix(f'{USER_AGENT}/'))}"
    return Sending(stamp=name, before_send=before_send)


def merged(writes: Sequence[Write], *, needs_version: bool) -> list[Row]:
    """Give one row per record, in the order of their first mention.

    Raises ValueError where two writes of a record differ, or where a version is needed and there is no usable one.
    """
    rows: dict[str, Row] = {}
    for write in writes:
        record_id = to_18(write.record_id)
        fields = {soql.identifier(name): value for name, value in write.fields.items()}
        if needs_version and not is_etag(write.version):
            raise ValueError(f"write of {record_id} has no ETag; read it with versions=True before a conditional write")
        row = rows.get(record_id)
        if row is None:
            rows[record_id] = Row(record_id=record_id, fields=fields, version=write.version)
            continue
        clash = sorted(name for name in fields.keys() & row.fields.keys() if fields[name] != row.fields[name])
        if clash or row.version != write.version:
            raise ValueError(f"two writes of {record_id} differ in {', '.join(clash) or 'version'}; send one of them")
        rows[record_id] = replace(row, fields={**row.fields, **fields})
    return list(rows.values())


def is_etag(version: str) -> bool:
    """Tell whether a version can stand in If-Match."""
    return bool(_ETAG.fullmatch(version)) and not _INSTANT.match(version)


def send_all(chunks: list[list[Row]], send: Callable[[list[Row]], dict[str, Outcome]]) -> dict[str, Outcome]:
    """Send the chunks in order and give an outcome per record; see SalesforceTarget.write for what stops it."""
    outcomes: dict[str, Outcome] = {}
    lost = 0
    for place, chunk in enumerate(chunks):
        try:
            outcomes |= send(chunk)
            lost = 0
        except LostAnswer as error:
            outcomes |= all_as(chunk, Verdict.UNKNOWN, error)
            lost += 1
            if lost == _LOST_IN_A_ROW:
                return outcomes | _unsent(chunks[place + 1 :], error)
        except (Rejected, Stale) as error:
            outcomes |= all_as(chunk, Verdict.STALE if isinstance(error, Stale) else Verdict.REJECTED, error)
        except (Fatal, Retriable) as error:
            if not outcomes:
                raise
            return outcomes | _unsent(chunks[place:], error)
    return outcomes


def all_as(rows: Sequence[Row], verdict: Verdict, error: ConnectorError) -> dict[str, Outcome]:
    """Give every row the verdict, with the error's code and text."""
    outcome = Outcome(verdict=verdict, code=error.code, message=str(error))
    return {row.record_id: outcome for row in rows}


def result_of(write: Write, outcome: Outcome) -> WriteResult:
    """Give the outcome of a record as the result of one write to it."""
    return WriteResult(
        key=write.key,
        record_id=write.record_id,
        verdict=outcome.verdict,
        code=outcome.code,
        message=outcome.message,
        version=outcome.version,
    )


def chunks_of(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Give the items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _unsent(chunks: list[list[Row]], error: ConnectorError) -> dict[str, Outcome]:
    return {
        record_id: outcome for chunk in chunks for record_id, outcome in all_as(chunk, Verdict.RETRIABLE, error).items()
    }
