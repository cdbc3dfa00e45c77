"""Rows below accounts: team members, opportunities and field history, asked for by the ids of their accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import Fatal
from connectors.salesforce import soql
from connectors.salesforce.floors import TEAM_IDS
from connectors.salesforce.ids import is_id, to_18
from connectors.salesforce.responses import next_page, unreadable
from connectors.salesforce.sending import chunks_of
from connectors.salesforce.session import Session

_HISTORY = ("Id", "AccountId", "Field", "OldValue", "NewValue", "CreatedById", "CreatedDate")
_LABELS = {"Owner": "OwnerId", "Parent": "ParentId"}  # as some organisations name them in history


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One value a field has had."""

    property: str  # native field name
    value: str  # as history shows it; "" = empty
    timestamp: str  # when it was set, in Salesforce's text; "" for the value before the first change kept
    user: str  # who set it; "" when not known

    def marks(self) -> tuple[str, ...]:
        """What tells who it was."""
        return (self.user,)


def rows_below(
    session: Session,
    native_object: str,
    fields: Sequence[str],
    account_ids: Sequence[str],
    *,
    route: str,
    only: str = "",
) -> Iterator[Mapping[str, Any]]:
    """Give the rows of an object whose AccountId is one of these. Read-only; 400 accounts a query.

    `only` is a further condition made by soql.py. Raises LostAnswer (Retriable) when rows are missing on the way.
    """
    for chunk in chunks_of(list(dict.fromkeys(map(to_18, account_ids))), TEAM_IDS):
        where = " AND ".join(filter(None, (soql.id_in("AccountId", chunk), only)))
        yield from _pages(session, soql.select(native_object, fields, where=where), route)


def rows_if_shown(
    session: Session, native_object: str, fields: Sequence[str], account_ids: Sequence[str], **asked: str
) -> Iterator[Mapping[str, Any]]:
    """Give what `rows_below` gives; nothing where the organisation has no such object, or does not show it to us."""
    try:
        yield from rows_below(session, native_object, fields, account_ids, **asked)
    except Fatal as error:
        if error.code != "INVALID_TYPE":
            raise


def departed(session: Session, user_ids: Sequence[str]) -> frozenset[str]:
    """Give those of the ids that are no active user. Read-only; 400 ids a query."""
    active: set[str] = set()
    for chunk in chunks_of(list(dict.fromkeys(map(to_18, user_ids))), TEAM_IDS):
        query = soql.select("User", ("Id", "IsActive"), where=soql.id_in("Id", chunk))
        active |= {to_18(row["Id"]) for row in _pages(session, query, "user_query") if row.get("IsActive")}
    return frozenset(user_id for user_id in user_ids if to_18(user_id) not in active)


def field_history(
    session: Session, account_ids: Sequence[str], fields: Sequence[str]
) -> dict[str, tuple[HistoryEntry, ...]]:
    """Give the kept values of fields by account id as asked, newest first within a field. Read-only.

    Accounts without entries are absent, so are fields whose history the organisation does not track, and everything
    where it shows no history at all. The last entry of a field is the value before its first kept change.
    """
    names = sorted({*fields, *(label for label, name in _LABELS.items() if name in fields)})
    only = soql.text_in("Field", names)
    rows = list(rows_if_shown(session, "AccountHistory", _HISTORY, account_ids, route="history_query", only=only))
    rows.sort(key=lambda row: (str(row["CreatedDate"]), str(row["Id"])), reverse=True)
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        name = _LABELS.get(row["Field"], row["Field"])
        if name not in _LABELS.values() or _names_records(row):
            found.setdefault(to_18(row["AccountId"]), {}).setdefault(name, []).append(row)
    entries = {
        key: tuple(e for name, kept in by_field.items() for e in _entries(name, kept))
        for key, by_field in found.items()
    }
    return {one: entries[to_18(one)] for one in account_ids if to_18(one) in entries}


def _pages(session: Session, query: str, route: str) -> Iterator[Mapping[str, Any]]:
    resource, params = "query", {"q": query}
    announced: object = None
    delivered: set[str] = set()
    while True:
        body = session.call("GET", resource, route=route, is_write=False, params=params).body
        if not isinstance(body, dict) or not (body.get("done") or next_page(body)):
            raise unreadable(route=route, is_write=False)
        announced = body.get("totalSize") if announced is None else announced
        records = body.get("records") or []
        delivered.update(str(record.get("Id")) for record in records)
        yield from records
        if body.get("done"):
            break
        resource, params = next_page(body), {}
    if isinstance(announced, int) and len(delivered) != announced:
        raise unreadable(route=route, is_write=False)


def _names_records(row: Mapping[str, Any]) -> bool:
    """Tell whether a row about a reference holds ids: beside it some organisations keep one with names."""
    return all(value is None or is_id(str(value)) for value in (row["OldValue"], row["NewValue"]))


def _entries(name: str, newest_first: Sequence[Mapping[str, Any]]) -> Iterator[HistoryEntry]:
    for row in newest_first:
        yield HistoryEntry(
            property=name,
            value=_text(row["NewValue"]),
            timestamp=str(row["CreatedDate"]),
            user=to_18(row["CreatedById"]) if row.get("CreatedById") else "",
        )
    yield HistoryEntry(property=name, value=_text(newest_first[-1]["OldValue"]), timestamp="", user="")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
