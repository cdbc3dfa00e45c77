"""Reading Salesforce: the organisation, object descriptions, and pages of records with deletions and merges."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from connectors.errors import Fatal, Rejected, Retriable
from connectors.protocol import NativeField, Org, Page, Privilege
from connectors.salesforce import extracts, soql
from connectors.salesforce.bulk import Job, Polling
from connectors.salesforce.floors import EXTRACT_FROM_ROWS, PAGE_ROWS
from connectors.salesforce.ids import to_18
from connectors.salesforce.privileges import excess_privileges
from connectors.salesforce.responses import SYSTEM, next_page, unreadable
from connectors.salesforce.session import Session

_MERGEABLE = frozenset({"Account", "Contact", "Lead"})
_STAMPS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")  # best first: the first also moves for automation
_NEVER_DELETED = frozenset({"User", "Organization", "UserRole", "Profile"})
_NOT_SHOWN = frozenset({"INVALID_TYPE", "INVALID_FIELD", "INSUFFICIENT_ACCESS"})
_QUERY_OPTIONS = {"Sforce-Query-Options": f"batchSize={PAGE_ROWS}"}


class SalesforceSource:
    """Reads one Salesforce organisation (connectors.protocol.Source). Read-only."""

    def __init__(
        self, session: Session, *, extract_from: int | None = EXTRACT_FROM_ROWS, polling: Polling | None = None
    ) -> None:
        """Above `extract_from` rows a pull goes by a Bulk query; None = never. `polling` says how to wait for it."""
        self.session = session
        self.meter = session.meter
        self._extract_from = extract_from
        self._polling = polling or Polling(give_up_s=1800.0)
        self._described: dict[str, dict[str, str]] = {}  # object -> type by field name, where describe was asked
        self._described_lock = threading.Lock()

    def org(self) -> Org:
        """Give the organisation and the user behind the credentials. One call.

        Where the Organization record is not visible, the login still tells its id.
        """
        user_id, login_org = self.session.identify(), self.session.organization_id
        records = self._organization()
        if not records and login_org:
            records = [{"Id": login_org}]
        if not records:
            raise Fatal(
                "Salesforce: the Organization record is not visible; give the integration user 'View Setup'",
                system=SYSTEM,
            )
        record = records[0]
        return Org(
            org_id=to_18(record["Id"]),
            name=record.get("Name") or "",
            api_version=str(self.session.sf_version),
            user_id=user_id,
            is_sandbox=record.get("IsSandbox"),
        )

    def _organization(self) -> list[dict[str, Any]]:
        query = soql.select("Organization", ("Id", "Name", "IsSandbox"), limit=1)
        try:
            return self._first_page(query, resource="query", route="organization").get("records") or []
        except Fatal as error:
            if error.code not in _NOT_SHOWN:
                raise
            return []

    def describe(self, native_object: str) -> tuple[NativeField, ...]:
        """Give the object's fields in the order of the CRM. One call. Raises Rejected where there is no such object."""
        path = f"sobjects/{soql.identifier(native_object)}/describe"
        try:
            body = self.session.call("GET", path, route="describe", is_write=False).body
        except Fatal as error:
            if error.code != "INVALID_TYPE":
                raise
            raise Rejected(str(error), system=SYSTEM, code=error.code) from error
        if not isinstance(body, dict) or not isinstance(body.get("fields"), list):
            raise unreadable(route="describe", is_write=False)
        fields = tuple(_native_field(item) for item in body["fields"])
        with self._described_lock:
            self._described[native_object] = {item.name: item.type for item in fields}
        return fields

    def pull(self, native_object: str, fields: Sequence[str], *, since: str | None = None) -> Iterator[Page]:
        """Give pages of records, deleted and merged ones too, in no particular order.

        Every record has the fields asked for (a path such as LastModifiedBy.Name is one key), Id and the stamp, and
        IsDeleted and MasterRecordId where the object has them. Raises Retriable when the pages do not add up to what
        the first one announced: a short pull must not look like deletions. A large object that was described before
        goes by a Bulk query, with the same values; where that fails, page by page.
        """
        known = self._described.get(native_object)
        stamp = stamp_field(native_object, known)
        names = tuple(dict.fromkeys(("Id", *fields, stamp, *_deletion_fields(native_object, known))))
        _check_described(native_object, names, known)
        where = soql.at_or_after(stamp, since) if since else ""
        query = soql.select(native_object, names, where=where)
        paths = tuple(name for name in names if "." in name)
        body = self._first_page(query, resource="queryAll", route="query")
        job = self._extract(query, body, names, known)
        if job is not None:
            yield from extracts.pages(self.session, job, known or {})
        else:
            yield from self._pages(native_object, body, paths)

    def excess_privileges(self, pushed: Sequence[str]) -> tuple[Privilege, ...]:
        """Give what the integration user may do beyond reading, and writing these Account fields. Four calls."""
        return excess_privileges(self.session, pushed)

    def _extract(
        self, query: str, body: Mapping[str, Any], names: Sequence[str], known: Mapping[str, str] | None
    ) -> Job | None:
        """Give the finished Bulk job for a query whose first page announces many rows; None = page by page."""
        announced = body.get("totalSize")
        many = self._extract_from is not None and isinstance(announced, int) and announced > self._extract_from
        if not many or known is None or body.get("done") or not extracts.can_carry(known, names):
            return None
        return extracts.start(self.session, query, self._polling)

    def _pages(self, native_object: str, body: dict[str, Any], paths: tuple[str, ...]) -> Iterator[Page]:
        announced = body.get("totalSize")
        delivered: set[str] = set()  # a page that comes twice counts once: another one is missing then
        seen: set[str] = set()
        while True:
            records = body.get("records") or []
            delivered.update(str(record.get("Id")) for record in records)
            complete = bool(body.get("done"))
            if complete and isinstance(announced, int) and len(delivered) != announced:
                raise _incomplete(native_object, f"{len(delivered)} records came of {announced} announced")
            yield Page(records=tuple(_flat(record, paths) for record in records), complete=complete)
            if complete:
                return
            cursor = next_page(body)
            if not cursor or cursor in seen:
                what = "its cursor came back to a page already read" if cursor else "a page has no successor"
                raise _incomplete(native_object, what)
            seen.add(cursor)
            body = self._page("GET", cursor, route="query_more")

    def _first_page(self, query: str, *, resource: str, route: str) -> dict[str, Any]:
        return self._page("GET", resource, route=route, params={"q": query})

    def _page(self, method: str, resource: str, *, route: str, **options: Any) -> dict[str, Any]:
        def is_page(body: object) -> None:
            if not isinstance(body, dict) or not isinstance(body.get("records"), list):
                raise unreadable(route=route, is_write=False)

        reply = self.session.call(
            method, resource, route=route, is_write=False, headers=_QUERY_OPTIONS, check=is_page, **options
        )
        page: dict[str, Any] = reply.body
        return page


def stamp_field(native_object: str, known: Collection[str] | None = None) -> str:
    """Give the field that moves with every change: the first that a describe showed, else the usual one.

    History rows are never changed, only created.
    """
    if known is not None:
        return next((name for name in _STAMPS if name in known), _STAMPS[0])
    return "CreatedDate" if native_object.endswith("History") else _STAMPS[0]


def _deletion_fields(native_object: str, known: Collection[str] | None) -> tuple[str, ...]:
    if known is not None:
        return tuple(name for name in ("IsDeleted", "MasterRecordId") if name in known)
    if native_object in _NEVER_DELETED:
        return ()
    return ("IsDeleted", "MasterRecordId") if native_object in _MERGEABLE else ("IsDeleted",)


def _check_described(native_object: str, names: tuple[str, ...], known: Collection[str] | None) -> None:
    """Refuse a field that an earlier describe of this object did not show, before it costs a call."""
    shown = {name.lower() for name in known or ()}
    missing = [name for name in names if "." not in name and name.lower() not in shown] if known is not None else []
    if missing:
        raise Fatal(
            f"Salesforce {native_object}: no field {', '.join(missing)}, or the integration user may not read it. "
            "Correct mappings/salesforce.yaml or grant field-level security",
            system=SYSTEM,
            code="INVALID_FIELD",
        )


def _flat(record: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """Give the record without type decoration, with each parent's field under its whole path."""
    values = {path: _follow(record, path) for path in paths}
    parents = {path.partition(".")[0] for path in paths}
    plain = {name: value for name, value in record.items() if name != "attributes" and name not in parents}
    return {**plain, **values}


def _follow(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _native_field(item: Mapping[str, Any]) -> NativeField:
    active = [entry["value"] for entry in item.get("picklistValues") or () if entry.get("active", True)]
    return NativeField(
        name=item["name"],
        type=item["type"],
        label=item.get("label") or "",
        updateable=bool(item.get("updateable", True)),
        picklist=tuple(active) if item.get("restrictedPicklist") else (),  # others take any text
        scale=item.get("scale"),
        length=item.get("length") or None,
    )


def _incomplete(native_object: str, what: str) -> Retriable:
    text = f"Salesforce {native_object}: the pull is not whole: {what}. Nothing of it may be used; pull again"
    return Retriable(text, system=SYSTEM, code="INCOMPLETE_PULL")
