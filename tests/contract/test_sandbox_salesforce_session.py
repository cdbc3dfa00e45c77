"""Login, limits, metadata and faults of the sandbox Salesforce, over plain HTTP."""

from __future__ import annotations

import threading
import time
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.faults import Fault, Verb

OWNED = {"Sforce-Auto-Assign": "FALSE"}
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def _login(sandbox: Any, form: dict[str, str], **kwargs: Any) -> requests.Response:
    return requests.post(f"{sandbox.base_url}/services/oauth2/token", data=form, timeout=10, **kwargs)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _assertion(key: rsa.RSAPrivateKey, **claims: Any) -> str:
    given = {"iss": "sandbox", "sub": "ana@people.example", "aud": "https://login.salesforce.com"}
    return jwt.encode({**given, "exp": str(int(time.time()) + 180), **claims}, key, algorithm="RS256")


def test_client_credentials_are_taken_from_the_form_and_from_basic(sandbox):
    form = {"grant_type": "client_credentials"}
    by_form = _login(sandbox, {**form, "client_id": "sandbox", "client_secret": "sandbox"})
    by_header = _login(sandbox, form, auth=("sandbox", "sandbox"))
    for answer in (by_form, by_header):
        assert answer.json()["instance_url"] == sandbox.base_url
        assert answer.json()["token_type"] == "Bearer"


def test_wrong_credentials_get_the_oauth_error(sandbox):
    form = {"grant_type": "client_credentials"}
    unknown = _login(sandbox, form, auth=("nobody", "x"))
    wrong = _login(sandbox, form, auth=("sandbox", "x"))
    other = _login(sandbox, {"grant_type": "magic"})
    assert [answer.status_code for answer in (unknown, wrong, other)] == [400, 400, 400]
    assert unknown.json() == {"error": "invalid_client_id", "error_description": "client identifier invalid"}
    assert wrong.json() == {"error": "invalid_client", "error_description": "invalid client credentials"}
    assert other.json()["error"] == "unsupported_grant_type"


def test_a_signed_assertion_logs_in_as_its_user(sandbox, key, people):
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    sandbox.world.jwt_public_key = public.decode()
    answer = _login(sandbox, {"grant_type": GRANT, "assertion": _assertion(key)}).json()
    assert answer["id"].endswith(people.ana)
    strange = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = _login(sandbox, {"grant_type": GRANT, "assertion": _assertion(strange)})
    assert (forged.status_code, forged.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1000}, {"sub": "carl@people.example"}, {"sub": "nobody@people.example"}, {"aud": "https://x.example"}],
)
def test_an_assertion_is_refused_for(claims, sandbox, key):
    answer = _login(sandbox, {"grant_type": GRANT, "assertion": _assertion(key, **claims)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_who_we_are_is_told_by_userinfo_and_by_the_organization(salesforce, sandbox):
    who = salesforce("GET", "/services/oauth2/userinfo").json()
    org = salesforce.query("SELECT Id, Name, IsSandbox, InstanceName FROM Organization").json()["records"][0]
    assert who["organization_id"] == org["Id"] == sandbox.world.organization_id
    assert who["user_id"] == sandbox.world.integration_user
    assert org["IsSandbox"] is True
    assert salesforce("GET", f"/id/{org['Id']}/{who['user_id']}").json() == who


def test_a_call_without_a_valid_token_gets_401(sandbox):
    for headers in ({}, {"Authorization": "Bearer nope"}):
        answer = requests.get(f"{sandbox.base_url}/services/data/v62.0/limits", headers=headers, timeout=10)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
        assert "Sforce-Limit-Info" in answer.headers


def test_a_token_dies_after_so_many_calls_and_a_new_login_helps(salesforce, sandbox):
    sandbox.world.settings.token_calls = 2
    assert [salesforce("GET", "limits").status_code for _ in range(3)] == [200, 200, 401]
    salesforce.login()
    assert salesforce("GET", "limits").status_code == 200


def test_a_fault_expires_the_token_on_demand(salesforce, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.EXPIRE_TOKEN, route="/limits"))
    assert salesforce("GET", "limits").json()[0]["errorCode"] == "INVALID_SESSION_ID"


def test_every_answer_carries_the_use_of_the_daily_limit(salesforce, sandbox):
    sandbox.world.settings.daily_limit = 3
    answers = [salesforce("GET", path) for path in ("limits", "sobjects/Account/bad", "query?q=x", "limits")]
    used = [answer.headers["Sforce-Limit-Info"] for answer in answers]
    assert used == ["api-usage=1/3", "api-usage=2/3", "api-usage=3/3", "api-usage=3/3"]
    assert answers[0].json()["DailyApiRequests"] == {"Max": 3, "Remaining": 2}
    assert (answers[3].status_code, answers[3].json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_versions_are_listed_without_a_session_and_unknown_ones_not_found(sandbox, salesforce):
    listed = requests.get(f"{sandbox.base_url}/services/data/", timeout=10).json()
    assert "62.0" in {entry["version"] for entry in listed}
    assert salesforce("GET", "/services/data/v12.0/limits").status_code == 404


def test_describe_tells_types_lengths_lists_and_what_is_writable(salesforce, sandbox):
    sandbox.world.settings.picklists = {"Routing_Queue__c": ("Hospitals", "Practices")}
    sandbox.world.settings.custom_fields = {"Extra__c": "string"}
    fields = {f["name"]: f for f in salesforce("GET", "sobjects/Account/describe").json()["fields"]}
    assert [v["value"] for v in fields["Account_Tier__c"]["picklistValues"]] == ["T1", "T2", "T3", "UNTIERED"]
    assert fields["Routing_Queue__c"]["restrictedPicklist"]
    assert (fields["BillingAddress"]["updateable"], fields["BillingCity"]["length"]) == (False, 40)
    assert (fields["ParentId"]["referenceTo"], fields["ParentId"]["nillable"]) == (["Account"], True)
    assert fields["Rescore_Flag__c"]["type"] == "boolean"
    assert "Extra__c" in fields


@pytest.mark.parametrize("name", ["User", "Opportunity", "AccountTeamMember", "AccountHistory"])
def test_each_object_is_listed_and_described(name, salesforce):
    listed = {entry["name"] for entry in salesforce("GET", "sobjects").json()["sobjects"]}
    described = salesforce("GET", f"sobjects/{name}/describe/")
    assert name in listed
    assert {"Id", "CreatedDate"} <= {f["name"] for f in described.json()["fields"]}


def test_an_unchanged_describe_answers_304(salesforce):
    first = salesforce("GET", "sobjects/Account/describe")
    again = salesforce(
        "GET", "sobjects/Account/describe", headers={"If-Modified-Since": first.headers["Last-Modified"]}
    )
    assert (first.status_code, again.status_code) == (200, 304)


def test_a_status_fault_strikes_the_nth_matching_request_only(salesforce, sandbox):
    fault = Fault(verb=Verb.STATUS, system="salesforce", route="/limits", nth=2, status=503, retry_after=3)
    sandbox.world.faults.add(fault)
    answers = [salesforce("GET", "limits") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].headers["Retry-After"] == "3"


@pytest.mark.parametrize(("verb", "written"), [(Verb.RESET_BEFORE, False), (Verb.COMMIT_THEN_RESET, True)])
def test_a_reset_closes_the_connection_without_an_answer(verb, written, salesforce, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=verb, method="PATCH"))
    with pytest.raises(requests.ConnectionError):
        salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Phone": "5550100"}, OWNED)
    assert (sandbox.world.get("salesforce", "Account", accounts.mercy).get("Phone") == "5550100") is written
    assert sandbox.world.requests[-1].status == 0
    assert salesforce("GET", f"sobjects/Account/{accounts.mercy}").status_code == 200


def test_a_commit_may_be_answered_with_500(salesforce, sandbox, accounts):
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_THEN_500, method="PATCH"))
    answer = salesforce("PATCH", f"sobjects/Account/{accounts.mercy}", {"Phone": "5550100"}, OWNED)
    assert answer.status_code == 500
    assert sandbox.world.get("salesforce", "Account", accounts.mercy)["Phone"] == "5550100"


def test_a_maintenance_page_is_html_with_status_200(salesforce, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.STATUS_200_HTML))
    answer = salesforce("GET", "limits")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")


def test_a_slow_answer_comes_late_and_does_not_hold_up_others(salesforce, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.SLOW, route="/limits", seconds=0.3))
    took: list[float] = []

    def slow() -> None:
        start = time.monotonic()
        salesforce("GET", "limits")
        took.append(time.monotonic() - start)

    thread = threading.Thread(target=slow)
    thread.start()
    start = time.monotonic()
    requests.get(f"{sandbox.base_url}/services/data/", timeout=10)
    assert time.monotonic() - start < 0.3
    thread.join()
    assert took[0] >= 0.3


def test_the_oracle_shows_history_requests_and_records_and_takes_edits_and_faults(
    salesforce, sandbox, accounts, people
):
    def oracle(method: str, path: str, **kwargs: Any) -> Any:
        return requests.request(method, sandbox.oracle_url + path, timeout=10, **kwargs).json()

    edit = {"system": "salesforce", "object": "Account", "record_id": accounts.mercy, "fields": {"Phone": "1"}}
    assert oracle("POST", "/edit", json={**edit, "by": people.bea})[0]["source"] == "CRM_UI"
    (change,) = oracle("GET", "/history?system=salesforce&since=0")
    assert (change["field"], change["new"], change["by"]) == ("Phone", "1", people.bea)
    assert oracle("GET", f"/history?since={change['seq']}") == []
    assert oracle("GET", f"/record/salesforce/Account/{accounts.mercy}")["Phone"] == "1"
    oracle("POST", "/reset-requests")
    oracle("POST", "/fault", json={"verb": "status", "status": 429})
    assert salesforce("GET", "limits").status_code == 429
    assert [r["status"] for r in oracle("GET", "/requests")] == [429]
    assert oracle("GET", "/mails") == []
    assert requests.post(f"{sandbox.oracle_url}/fault", json={"verb": "nope"}, timeout=10).status_code == 400
