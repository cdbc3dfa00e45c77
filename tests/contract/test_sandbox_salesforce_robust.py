"""No request breaks the sandbox Salesforce: whatever comes is answered, and never with a server error."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DATA = "/services/data/v62.0"
PATHS = [
    "composite",
    "composite/sobjects",
    "composite/sobjects/Account",
    "sobjects/Account",
    "sobjects/Account/001000000000mEr",
    "sobjects/Account/describe",
    "sobjects/Account/updated",
    "query",
    "query/0r8-1",
    "composite/sobjects/Account/Definitive_ID__c",
    "jobs/ingest",
    "jobs/ingest/750000000000001",
    "jobs/ingest/750000000000001/batches",
    "jobs/query",
    "jobs/query/x/results",
    "limits",
    "",
]
_KEYS = [
    "object",
    "operation",
    "query",
    "state",
    "records",
    "ids",
    "fields",
    "attributes",
    "type",
    "id",
    "Name",
    "OwnerId",
    "allOrNone",
]
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["", "x", "Account", "Id", "update", "UploadComplete", "001000000000mEr", "@{a.b}"]),
)
_BODIES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=8,
)
_PARTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
        "url": st.sampled_from(PATHS).map(lambda path: f"{DATA}/{path}"),
        "referenceId": st.sampled_from(["a", "b", "c"]),
        "body": _BODIES,
        "httpHeaders": st.one_of(_BODIES, st.dictionaries(st.sampled_from(["If-Match", "Accept"]), st.just('"x"'))),
    }
)
_COMPOSITES = st.fixed_dictionaries(
    {"compositeRequest": st.lists(_PARTS, max_size=3, unique_by=lambda p: p["referenceId"]), "allOrNone": st.booleans()}
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    path=st.sampled_from(PATHS),
    body=st.one_of(_BODIES, _COMPOSITES),
    headers=st.dictionaries(st.sampled_from(["If-Match", "If-Modified-Since", "If-Unmodified-Since"]), st.just("nope")),
    query=st.sampled_from(["", "q=SELECT", "fields=,", "ids=,", "start=x&end=y", "queryLocator=x"]),
)
def test_whatever_comes_is_answered(
    method: str, path: str, body: Any, headers: dict[str, str], query: str, salesforce: Any
) -> None:
    answer = salesforce(method, f"{quote(path)}?{query}", json.loads(json.dumps(body)), headers)
    assert answer.status_code < 500, answer.text


_JOBS = st.fixed_dictionaries(
    {"object": st.just("Account"), "operation": st.sampled_from(["insert", "update", "upsert", "delete"])},
    optional={"externalIdFieldName": st.sampled_from(["Id", "Definitive_ID__c", "Nope"]), "columnDelimiter": _LEAVES},
)
_CSV = st.text(st.sampled_from('Id,Name\n\r"#N/A0x1;'), max_size=40).map(lambda text: f"Id,Name\n{text}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=_JOBS, content=_CSV)
def test_whatever_a_job_holds_it_ends(job: dict[str, Any], content: str, salesforce: Any) -> None:
    made = salesforce("POST", "jobs/ingest", json.loads(json.dumps(job)))
    if made.status_code != 200:
        assert made.status_code == 400, made.text
        return
    path = f"jobs/ingest/{made.json()['id']}"
    url = f"{salesforce.base_url}{DATA}/{path}/batches"
    put = salesforce.session.put(url, content.encode(), headers={"Content-Type": "text/csv"}, timeout=10)
    assert put.status_code == 201, put.text
    states = [salesforce("PATCH", path, {"state": "UploadComplete"}).json()["state"]]
    states += [salesforce("GET", path).json()["state"] for _ in range(3)]
    assert states[-1] in ("JobComplete", "Failed")
    for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
        assert salesforce("GET", f"{path}/{kind}").status_code == 200


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    inner=st.text(st.sampled_from("<>&/sObjectsIdtype Account"), max_size=40),
    token=st.booleans(),
)
def test_whatever_comes_by_soap_is_answered(inner: str, token: bool, salesforce: Any) -> None:
    session = salesforce.session.headers["Authorization"].removeprefix("Bearer ") if token else "none"
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><e:Header>'
        f"<SessionHeader><sessionId>{session}</sessionId></SessionHeader></e:Header>"
        f"<e:Body><update><sObjects>{inner}</sObjects></update></e:Body></e:Envelope>"
    )
    url = f"{salesforce.base_url}/services/Soap/u/62.0"
    headers = {"SOAPAction": '""', "Content-Type": "text/xml"}
    answer = salesforce.session.post(url, body.encode(), headers=headers, timeout=10)
    assert "Fault" in answer.text or "updateResponse" in answer.text
