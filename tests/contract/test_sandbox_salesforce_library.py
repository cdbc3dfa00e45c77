"""The unmodified simple-salesforce library works against the sandbox; only the address is rewritten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

OWNED = {"Sforce-Auto-Assign": "FALSE"}


@pytest.fixture
def sf(loopback_session: requests.Session) -> Salesforce:
    return Salesforce(
        consumer_key="sandbox",
        consumer_secret="sandbox",
        domain="example.my",
        session=loopback_session,
        version="62.0",
    )


def test_it_logs_in_with_client_credentials_and_tells_the_user(sf, sandbox):
    assert sf.oauth2("userinfo")["user_id"] == sandbox.world.integration_user


def test_it_is_refused_with_a_wrong_secret(loopback_session):
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client"):
        Salesforce(consumer_key="sandbox", consumer_secret="x", domain="example.my", session=loopback_session)


def test_it_logs_in_with_a_signed_assertion(loopback_session, sandbox):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    sandbox.world.jwt_public_key = public.decode()
    sf = Salesforce(
        username="ana@people.example", consumer_key="sandbox", privatekey=pem, session=loopback_session, version="62.0"
    )
    assert sf.query("SELECT COUNT() FROM Account")["totalSize"] == 4


def test_it_queries_page_by_page(sf, many_accounts):
    many_accounts(450)
    rows = list(sf.query_all_iter("SELECT Id FROM Account", headers={"Sforce-Query-Options": "batchSize=200"}))
    assert len({row["Id"] for row in rows}) == 454
    assert len(sf.query_all("SELECT Id FROM Account", include_deleted=True)["records"]) == 455


def test_it_follows_the_pages_of_query_all_with_deleted_rows(sf, sandbox, many_accounts):
    many_accounts(450)
    sandbox.world.settings.salesforce_page_size = 100
    assert len(sf.query_all("SELECT Id FROM Account", include_deleted=True)["records"]) == 455


def test_it_reads_writes_creates_and_deletes_records(sf, accounts):
    assert sf.Account.update(accounts.mercy, {"Phone": "5550100"}, headers=OWNED) == 204
    assert sf.Account.get(accounts.mercy)["Phone"] == "5550100"
    made = sf.Account.create({"Name": "New"}, headers=OWNED)["id"]
    assert sf.Account.delete(made) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Account.get(made)


def test_it_reads_metadata_and_limits(sf):
    assert {f["name"] for f in sf.Account.describe()["fields"]} > {"Id", "Account_Tier__c"}
    assert sf.describe()["maxBatchSize"] == 200
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    assert sf.api_usage["api-usage"].total == 100_000


def test_it_lists_changed_ids(sf, sandbox, accounts):
    now = sandbox.world.now()
    found = sf.Account.updated(now - timedelta(hours=1), now + timedelta(hours=1))
    assert accounts.mercy in found["ids"]


def test_it_sends_collections_and_composite_calls(sf, accounts):
    rows = [{"attributes": {"type": "Account"}, "id": accounts.mercy, "Phone": "1"}]
    assert sf.restful("composite/sobjects", method="PATCH", json={"records": rows}, headers=OWNED)[0]["success"]
    part = {"method": "GET", "url": f"/services/data/v62.0/sobjects/Account/{accounts.mercy}", "referenceId": "a"}
    answer = sf.restful("composite", method="POST", json={"compositeRequest": [part]})
    (read,) = answer["compositeResponse"]
    assert read["body"]["Phone"] == "1"
    assert read["httpHeaders"]["ETag"]


ERRORS: dict[str, tuple[Any, type[Exception]]] = {
    "a bad query": (lambda sf, _: sf.query("SELEKT"), SalesforceMalformedRequest),
    "a stale version": (
        lambda sf, a: sf.Account.update(a.mercy, {"Phone": "1"}, headers={"If-Match": '"x"'}),
        SalesforceGeneralError,
    ),
    "an unknown record": (lambda sf, _: sf.Account.get("001000000000zZz"), SalesforceResourceNotFound),
}


@pytest.mark.parametrize("case", ERRORS)
def test_it_raises_for(case, sf, accounts):
    act, kind = ERRORS[case]
    with pytest.raises(kind):
        act(sf, accounts)


def test_it_takes_the_end_of_the_daily_limit_as_a_refusal(sf, sandbox):
    sandbox.world.settings.daily_limit = 0
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        sf.limits()


def test_it_logs_in_again_when_the_session_expires(sf, sandbox):
    sandbox.world.settings.token_calls = 1
    for _ in range(3):
        assert sf.limits()
    logins = [r for r in sandbox.world.requests if r.path == "/services/oauth2/token"]
    assert len(logins) == 3


def test_its_known_loss_of_headers_after_a_new_login_shows_here_too(sf, sandbox, accounts, people):
    """The library drops custom headers when it retries after a 401: our own session has to keep them."""
    sandbox.world.salesforce_tokens.clear()
    sf.Account.update(accounts.clinic, {"OwnerId": people.bea}, headers=OWNED)
    assert sandbox.world.get("salesforce", "Account", accounts.clinic)["OwnerId"] == people.rule


def test_a_session_that_cannot_be_renewed_raises(loopback_session, sandbox):
    sf = Salesforce(session_id="dead", instance="example.my.salesforce.com", session=loopback_session, version="62.0")
    with pytest.raises(SalesforceExpiredSession):
        sf.limits()
