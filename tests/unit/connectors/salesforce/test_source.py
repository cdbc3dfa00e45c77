"""Pulling is whole or it fails: pages, deletions, merges, cursors."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from connectors.errors import Fatal, Rejected, Retriable
from connectors.protocol import Page
from connectors.salesforce.auth import ClientCredentials, connect
from connectors.salesforce.retry import RetryPolicy
from connectors.salesforce.session import Session
from connectors.salesforce.source import SalesforceSource
from tests.unit.connectors.salesforce.conftest import HOST, TOKEN_URL, USER_ID

DATA = "https://acme.my.salesforce.com/services/data/v62.0"
A, B, C = ("001000000000001AAA", "001000000000002AAA", "001000000000003AAA")


@pytest.fixture
def source(session: Session) -> SalesforceSource:
    return SalesforceSource(session)


def _page(*records: dict[str, Any], total: int, next_url: str = "", done: bool | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "totalSize": total,
        "done": not next_url if done is None else done,
        "records": list(records),
    }
    return {**body, "nextRecordsUrl": next_url} if next_url else body


def _record(record_id: str, **fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account", "url": "/x"}, "Id": record_id, **fields}


def _asked(wire: responses.RequestsMock) -> str:
    return parse_qs(urlsplit(str(wire.calls[1].request.url)).query)["q"][0]


def _pull(source: SalesforceSource, native_object: str = "Account", **options: Any) -> list[Page]:
    return list(source.pull(native_object, ("Name",), **options))


def test_pages_are_followed_to_the_end_however_short_they_are(
    source: SalesforceSource, wire: responses.RequestsMock
) -> None:
    wire.get(f"{DATA}/queryAll", json=_page(_record(A), total=3, next_url="/services/data/v62.0/query/01g-1"))
    wire.get(f"{DATA}/query/01g-1", json=_page(total=3, next_url="/services/data/v62.0/query/01g-2"))
    wire.get(f"{DATA}/query/01g-2", json=_page(_record(B), _record(C), total=3))

    pages = _pull(source)

    assert [[record["Id"] for record in page.records] for page in pages] == [[A], [], [B, C]]
    assert [page.complete for page in pages] == [False, False, True]
    assert [call.request.headers["Sforce-Query-Options"] for call in list(wire.calls)[1:]] == ["batchSize=2000"] * 3
    assert source.meter.by_route == {"query": 1, "query_more": 2}


def test_the_address_of_the_next_page_is_kept_whole_but_for_its_host(
    source: SalesforceSource, wire: responses.RequestsMock
) -> None:
    further = "https://elsewhere.example/services/data/v62.0/query?cursor=01g&from=1"
    wire.get(f"{DATA}/queryAll", json=_page(_record(A), total=2, next_url=further))
    wire.get(f"{DATA}/query?cursor=01g&from=1", json=_page(_record(B), total=2))

    assert [len(page.records) for page in _pull(source)] == [1, 1]


@pytest.mark.parametrize(
    ("native_object", "since", "query"),
    [
        ("Account", None, "SELECT Id, Name, SystemModstamp, IsDeleted, MasterRecordId FROM Account"),
        (
            "Opportunity",
            "2026-01-31T08:00:00.500Z",
            "SELECT Id, Name, SystemModstamp, IsDeleted FROM Opportunity WHERE SystemModstamp >= 2026-01-31T08:00:00Z",
        ),
        ("User", None, "SELECT Id, Name, SystemModstamp FROM User"),
        (
            "AccountHistory",
            "2026-01-31T08:00:00Z",
            "SELECT Id, Name, CreatedDate, IsDeleted FROM AccountHistory WHERE CreatedDate >= 2026-01-31T08:00:00Z",
        ),
    ],
)
def test_a_pull_asks_for_stamp_and_deletions_where_the_object_has_them(
    source: SalesforceSource, wire: responses.RequestsMock, native_object: str, since: str | None, query: str
) -> None:
    wire.get(f"{DATA}/queryAll", json=_page(total=0))
    assert _pull(source, native_object, since=since) == [Page(records=(), complete=True)]
    assert _asked(wire) == query


def test_a_field_of_a_parent_is_one_key(source: SalesforceSource, wire: responses.RequestsMock) -> None:
    by = {"attributes": {"type": "User"}, "Name": "Ana"}
    wire.get(f"{DATA}/queryAll", json=_page(_record(A, LastModifiedBy=by), _record(B, LastModifiedBy=None), total=2))

    (page,) = source.pull("Account", ("LastModifiedBy.Name",))

    assert list(page.records) == [
        {"Id": A, "LastModifiedBy.Name": "Ana"},
        {"Id": B, "LastModifiedBy.Name": None},
    ]


@pytest.mark.parametrize("delivered", [0, 1, 3])
def test_a_pull_that_does_not_add_up_is_not_used(
    source: SalesforceSource, wire: responses.RequestsMock, delivered: int
) -> None:
    wire.get(f"{DATA}/queryAll", json=_page(*[_record(A)] * delivered, total=2))
    with pytest.raises(Retriable, match=f"{min(delivered, 1)} records came of 2 announced"):
        _pull(source)


@pytest.mark.parametrize(
    ("next_url", "text"), [("/services/data/v62.0/query/01g-1", "already read"), ("", "no successor")]
)
def test_a_cursor_that_goes_nowhere_ends_the_pull(
    source: SalesforceSource, wire: responses.RequestsMock, next_url: str, text: str
) -> None:
    page = _page(_record(A), total=9, next_url=next_url, done=False)
    wire.get(f"{DATA}/queryAll", json=page)
    wire.get(f"{DATA}/query/01g-1", json=page)
    with pytest.raises(Retriable, match=text):
        _pull(source)


def test_an_expired_cursor_starts_the_pull_over_and_is_not_asked_again(
    source: SalesforceSource, wire: responses.RequestsMock
) -> None:
    wire.get(f"{DATA}/queryAll", json=_page(_record(A), total=2, next_url="/services/data/v62.0/query/01g-1"))
    wire.get(f"{DATA}/query/01g-1", status=400, json=[{"errorCode": "INVALID_QUERY_LOCATOR", "message": "gone"}])
    with pytest.raises(Retriable, match="pull again"):
        _pull(source)
    assert len(wire.calls) == 3


def test_an_unknown_field_is_fatal_and_named(source: SalesforceSource, wire: responses.RequestsMock) -> None:
    text = "No such column 'Ccn__c' on entity 'Account'."
    wire.get(f"{DATA}/queryAll", status=400, json=[{"errorCode": "INVALID_FIELD", "message": text}])
    with pytest.raises(Fatal, match=r"no field Ccn__c.*mappings/salesforce\.yaml"):
        _pull(source)


def test_a_described_object_is_checked_before_a_call_is_spent(
    source: SalesforceSource, wire: responses.RequestsMock
) -> None:
    values = [{"value": "Tier 1", "active": True}, {"value": "Tier 9", "active": False}]
    wire.get(
        f"{DATA}/sobjects/Account/describe",
        json={
            "fields": [
                {"name": "Id", "type": "id", "label": "Id", "updateable": False, "length": 18},
                {
                    "name": "Account_Tier__c",
                    "type": "picklist",
                    "updateable": True,
                    "restrictedPicklist": True,
                    "picklistValues": values,
                },
                {"name": "Type", "type": "picklist", "updateable": True, "picklistValues": values},
            ]
        },
    )

    fields = {item.name: item for item in source.describe("Account")}
    with pytest.raises(Fatal, match="no field Name, SystemModstamp"):
        _pull(source)
    assert len(wire.calls) == 2

    assert fields["Account_Tier__c"].picklist == ("Tier 1",)
    assert fields["Type"].picklist == ()
    assert (fields["Id"].updateable, fields["Id"].length) == (False, 18)


@pytest.mark.parametrize(
    ("shown", "query"),
    [
        (("Id", "Name", "CreatedDate"), "SELECT Id, Name, CreatedDate FROM Group"),
        (
            ("Id", "Name", "CreatedDate", "LastModifiedDate", "IsDeleted"),
            "SELECT Id, Name, LastModifiedDate, IsDeleted FROM Group",
        ),
    ],
)
def test_a_described_object_is_asked_for_the_system_fields_it_has(
    source: SalesforceSource, wire: responses.RequestsMock, shown: tuple[str, ...], query: str
) -> None:
    fields = [{"name": name, "type": "string"} for name in shown]
    wire.get(f"{DATA}/sobjects/Group/describe", json={"fields": fields})
    wire.get(f"{DATA}/queryAll", json=_page(total=0))
    source.describe("Group")
    _pull(source, "Group")
    assert parse_qs(urlsplit(str(wire.calls[-1].request.url)).query)["q"] == [query]


def test_an_object_that_does_not_exist_is_rejected(source: SalesforceSource, wire: responses.RequestsMock) -> None:
    wire.get(f"{DATA}/sobjects/AccountTeamMember/describe", status=404, json=[{"errorCode": "NOT_FOUND"}])
    with pytest.raises(Rejected):
        source.describe("AccountTeamMember")


def test_an_answer_that_is_no_page_is_asked_for_again(source: SalesforceSource, wire: responses.RequestsMock) -> None:
    wire.get(f"{DATA}/queryAll", json=[])
    wire.get(f"{DATA}/queryAll", json=_page(total=0))
    assert _pull(source) == [Page(records=(), complete=True)]
    assert source.meter.retries == 1


def test_the_organisation_is_named_with_the_user_that_acts(
    source: SalesforceSource, wire: responses.RequestsMock
) -> None:
    record = {"Id": "00D000000000001", "Name": "Acme", "IsSandbox": True}
    wire.get(f"{DATA}/query", json=_page(record, total=1))

    org = source.org()

    assert (org.org_id, org.name, org.is_sandbox) == ("00D000000000001EAA", "Acme", True)
    assert (org.user_id, org.api_version) == ("005000000000001AAA", "62.0")


@pytest.mark.parametrize(("status", "code"), [(404, "NOT_FOUND"), (400, "INVALID_TYPE")])
def test_an_object_that_the_organisation_does_not_have_is_rejected_by_describe(
    source: SalesforceSource, wire: responses.RequestsMock, status: int, code: str
) -> None:
    wire.get(f"{DATA}/sobjects/Invoice/describe", status=status, json=[{"errorCode": code, "message": "no"}])
    with pytest.raises(Rejected):
        source.describe("Invoice")


@pytest.mark.parametrize("code", ["INVALID_TYPE", "INVALID_FIELD"])
def test_an_organisation_that_is_not_shown_is_known_by_the_login(
    source: SalesforceSource, wire: responses.RequestsMock, code: str
) -> None:
    wire.get(f"{DATA}/query", status=400, json=[{"errorCode": code, "message": "no"}])
    org = source.org()
    assert (org.org_id, org.user_id, org.is_sandbox) == ("00D000000000001EAA", USER_ID, None)


USER_INFO = "https://acme.my.salesforce.com/services/oauth2/userinfo"


@pytest.mark.parametrize(
    ("told", "user"),
    {
        "it says who": ({"json": {"user_id": USER_ID, "organization_id": "00D000000000001AAA"}}, USER_ID),
        "it may not be asked": ({"status": 403, "json": [{"errorCode": "FORBIDDEN", "message": "no"}]}, ""),
        "there is no such page": ({"status": 404, "body": "<html>"}, ""),
    }.values(),
)
def test_who_acts_is_asked_for_once_where_the_login_does_not_say(
    policy: RetryPolicy, told: dict[str, Any], user: str
) -> None:
    with responses.RequestsMock() as wire:
        wire.post(TOKEN_URL, json={"access_token": "t", "instance_url": HOST})
        wire.get(USER_INFO, **told)
        wire.get(f"{DATA}/query", json=_page({"Id": "00D000000000001", "Name": "Acme"}, total=1))
        login = ClientCredentials(client_id="id", client_secret="word", login_url=HOST)
        source = SalesforceSource(connect(login, policy=policy))

        assert [source.org().user_id, source.org().user_id] == [user, user]
        assert source.meter.by_route["userinfo"] == 1


def test_an_organisation_that_nobody_tells_is_fatal(policy: RetryPolicy) -> None:
    with responses.RequestsMock() as wire:
        wire.post(TOKEN_URL, json={"access_token": "t", "instance_url": HOST})
        wire.get(USER_INFO, status=403, json=[{"errorCode": "FORBIDDEN", "message": "no"}])
        wire.get(f"{DATA}/query", json=_page(total=0))
        login = ClientCredentials(client_id="id", client_secret="word", login_url=HOST)
        with pytest.raises(Fatal, match="not visible"):
            SalesforceSource(connect(login, policy=policy)).org()
