"""Reads HubSpot: the portal, its properties, and all or changed companies, deals and owners."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connectors.errors import Fatal, Rejected, Retriable
from connectors.hubspot import associations
from connectors.hubspot.records import MERGED_IDS, OBJECT_ID, VERSION, property_names
from connectors.hubspot.responses import SYSTEM, RefusedToken
from connectors.hubspot.session import HubSpotSession
from connectors.protocol import NativeField, NativeRecord, Org, Page

LIST_PAGE = 100
SEARCH_PAGE = 200
OWNER_PAGES = (500, 100)  # the second where HubSpot refuses the first: it documents the usual size, not the largest
URL_LIMIT = 7_500  # characters of properties in a URL; 414 was seen at about 8,000

_OWNER_FIELDS = {
    "id": "string",
    "email": "string",
    "firstName": "string",
    "lastName": "string",
    "userId": "number",
    "teams": "json",
    "archived": "bool",
    "createdAt": "datetime",
    "updatedAt": "datetime",
}


class HubSpotSource:
    """The Source protocol over one portal."""

    def __init__(self, session: HubSpotSession, *, url_limit: int = URL_LIMIT) -> None:
        self._session = session
        self._url_limit = url_limit
        self.meter = session.meter

    def org(self) -> Org:
        """The portal behind the token. Raises Fatal on bad credentials, Retriable when unreachable."""
        details = self._details()
        kind = str(details.get("accountType", ""))
        portal = str(details.get("portalId", ""))
        return Org(
            org_id=portal,
            name=f"HubSpot portal {portal}",
            api_version=self._session.settings.api_version,
            user_id=self._session.app_id(),
            is_sandbox=kind in {"SANDBOX", "DEVELOPER_TEST"} if kind else None,
        )

    def _details(self) -> Mapping[str, Any]:
        """What HubSpot says about the account, or what the token tells where it may not ask that."""
        try:
            return self._session.fetch("/account-info/v3/details")
        except RefusedToken:
            raise
        except (Fatal, Rejected):
            return {"portalId": self._session.portal_id()}

    def describe(self, native_object: str) -> tuple[NativeField, ...]:
        """The properties of companies or deals, sorted by name; the fixed fields of owners."""
        if native_object == "owners":
            return tuple(NativeField(name=name, type=kind, updateable=False) for name, kind in _OWNER_FIELDS.items())
        self._session.objects(native_object)
        core = self._session.client.crm.properties.core_api
        listed = self._session.read(f"GET /properties/{native_object}", core.get_all, native_object)
        fields = (_native_field(entry) for entry in listed.get("results") or () if not entry.get("archived"))
        return tuple(sorted(fields, key=lambda field: field.name))

    def pull(self, native_object: str, fields: Sequence[str], *, since: str | None = None) -> Iterator[Page]:
        """All records in use, then the archived ones; with `since` only those modified or archived from then on.

        Records are as HubSpot sends them: id, archived, and values under `properties`; deals with their companies under
        `associations` when such a field is asked for. Owners always come whole: archiving one leaves no trace of the
        time. A record may come twice in one pull when it moves between pages; the later one is the newer.
        """
        if native_object == "owners":
            return self._owners()
        self._session.objects(native_object)
        if since is None:
            return self._all(native_object, fields)
        return self._changed(native_object, fields, since)

    def records(self, native_object: str, record_ids: Sequence[str], fields: Sequence[str]) -> tuple[NativeRecord, ...]:
        """The records in use with these ids as they stand, past the search index; 100 a call."""
        names = _properties(native_object, fields)
        found: list[NativeRecord] = []
        for part in associations.chunks(record_ids, LIST_PAGE):
            found += self._read_batch(native_object, part, names)
        return tuple(found)

    def _owners(self) -> Iterator[Page]:
        for archived in (False, True):
            for records, last in self._owner_pages(archived=archived):
                owners = tuple(_owner(record, archived=archived) for record in records)
                yield Page(records=owners, complete=archived and last)

    def _owner_pages(self, *, archived: bool) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        get_page = self._session.client.crm.owners.owners_api.get_page
        largest, usual = OWNER_PAGES
        try:
            yield from self._pages("GET /owners", get_page, limit=largest, archived=archived)
        except Rejected:  # of the first page, or the limit would have been taken
            yield from self._pages("GET /owners", get_page, limit=usual, archived=archived)

    def _all(self, native_object: str, fields: Sequence[str]) -> Iterator[Page]:
        for archived in (False, True):
            for records, last in self._listed(native_object, fields, archived=archived):
                yield Page(records=records, complete=archived and last)

    def _changed(self, native_object: str, fields: Sequence[str], since: str) -> Iterator[Page]:
        """Search does not give archived records, so the archive is swept and filtered here."""
        for records in self._searched(native_object, fields, since):
            yield Page(records=records, complete=False)
        start = _instant(since)
        for records, last in self._listed(native_object, fields, archived=True):
            fresh = tuple(record for record in records if _archived_since(record, start))
            yield Page(records=fresh, complete=last)

    def _listed(
        self, native_object: str, fields: Sequence[str], *, archived: bool
    ) -> Iterator[tuple[tuple[NativeRecord, ...], bool]]:
        names = _properties(native_object, fields)
        package = self._session.objects(native_object)
        asked: dict[str, Any] = {"limit": LIST_PAGE, "archived": archived}
        if any(field.startswith("associations.") for field in fields):
            asked["associations"] = ["companies"]
        short = sum(len(quote(name, safe="")) + len("&properties=") for name in names) <= self._url_limit
        asked["properties"] = names if short else [OBJECT_ID]
        for records, last in self._pages(f"GET /objects/{native_object}", package.basic_api.get_page, **asked):
            if not short:
                self._complete(native_object, records, names, archived=archived)
            yield tuple(records), last

    def _complete(
        self, native_object: str, records: Sequence[dict[str, Any]], names: Sequence[str], *, archived: bool
    ) -> None:
        """Fill in properties that do not fit into a URL, by one batch read a page."""
        if not records:
            return
        ids = [str(record["id"]) for record in records]
        read = self._read_batch(native_object, ids, names, archived=archived)
        by_id = {str(found["id"]): found.get("properties") or {} for found in read}
        for record in records:
            record["properties"] = by_id.get(str(record["id"]), record.get("properties"))

    def _read_batch(
        self, native_object: str, record_ids: Sequence[str], names: Sequence[str], *, archived: bool = False
    ) -> list[dict[str, Any]]:
        body = {"inputs": [{"id": one} for one in record_ids], "properties": list(names), "propertiesWithHistory": []}
        batch = self._session.objects(native_object).batch_api
        asked = {"archived": True} if archived else {}
        answer = self._session.read(f"POST /objects/{native_object}/batch/read", batch.read, body, **asked)
        return list(answer.get("results") or ())

    def _searched(self, native_object: str, fields: Sequence[str], since: str) -> Iterator[tuple[NativeRecord, ...]]:
        """Every page is anchored at the last id, never at an offset or a date.

        So the 10,000 results that one query may page through are never reached, records that share an instant (one
        import) cannot loop, and a record that leaves or joins the result while it is read shifts nothing. Where the
        index gives a page out of that order, records could be passed over: everything is listed instead.
        """
        names = _properties(native_object, fields)
        do_search = self._session.objects(native_object).search_api.do_search
        last_id = 0
        while True:
            body = _search_body(names, since, last_id)
            answer = self._session.read(f"POST /objects/{native_object}/search", do_search, body)
            records = list(answer.get("results") or ())
            if any(field.startswith("associations.") for field in fields):
                associations.add_companies(self._session, native_object, records)
            yield tuple(records)
            if _next_cursor(answer) is None or not records:
                return
            ids = [int(record["id"]) for record in records]
            if ids != sorted(ids):
                yield from (listed for listed, _ in self._listed(native_object, fields, archived=False))
                return
            if ids[-1] <= last_id:
                raise _loop(f"{native_object} search")
            last_id = ids[-1]

    def _pages(
        self, route: str, get_page: Callable[..., Any], **asked: Any
    ) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        """Each page's records, and whether it is the last. `archived` is left out when false."""
        if not asked.get("archived"):
            asked.pop("archived", None)
        after: str | None = None
        while True:
            cursor = {"after": after} if after else {}
            answer = self._session.read(route, get_page, **asked, **cursor)
            following = _next_cursor(answer)
            if following is not None and following == after:
                raise _loop(route)
            yield list(answer.get("results") or ()), following is None
            if following is None:
                return
            after = following


def _owner(record: Mapping[str, Any], *, archived: bool) -> NativeRecord:
    """An owner as sent, with the id of the user it was where HubSpot names that apart for those who have left."""
    user = record.get("userId") or record.get("userIdIncludingInactive")
    return {**record, "id": str(record.get("id")), "userId": user, "archived": archived}


def _properties(native_object: str, fields: Sequence[str]) -> list[str]:
    system = (VERSION, MERGED_IDS) if native_object == "companies" else (VERSION,)
    return property_names(fields, *system)


def _search_body(names: Sequence[str], since: str, last_id: int) -> dict[str, Any]:
    """`>=` the watermark: with `>` a record that shares its millisecond would be lost."""
    filters = [{"propertyName": VERSION, "operator": "GTE", "value": str(_epoch_ms(since))}]
    if last_id:
        filters.append({"propertyName": OBJECT_ID, "operator": "GT", "value": str(last_id)})
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [OBJECT_ID],
        "properties": list(names),
        "limit": SEARCH_PAGE,
    }


def _next_cursor(answer: Mapping[str, Any]) -> str | None:
    following = ((answer.get("paging") or {}).get("next") or {}).get("after")
    return None if following is None else str(following)


def _archived_since(record: NativeRecord, start: datetime) -> bool:
    """True also when HubSpot does not say when."""
    at = record.get("archivedAt") or record.get("updatedAt")
    return at is None or _instant(str(at)) >= start


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _epoch_ms(text: str) -> int:
    instant = _instant(text)
    if instant.tzinfo is None:
        raise ValueError(f"the watermark {text!r} has no time zone; it must be UTC")
    return int(instant.timestamp() * 1000)


def _loop(route: str) -> Retriable:
    fact = f"HubSpot's paging of {route} repeats itself"
    return Retriable(f"{fact}. Pull again; nothing was kept of this one.", system=SYSTEM, code="PAGING_LOOP")


def _native_field(entry: Mapping[str, Any]) -> NativeField:
    read_only = bool((entry.get("modificationMetadata") or {}).get("readOnlyValue")) or bool(entry.get("calculated"))
    return NativeField(
        name=str(entry["name"]),
        type=str(entry.get("type", "")),
        label=str(entry.get("label", "")),
        updateable=not read_only,
        picklist=tuple(str(option["value"]) for option in entry.get("options") or ()),
        history=True,
    )
