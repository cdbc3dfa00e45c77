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
    "limits",
    "",
]
_KEYS = ["records", "ids", "fields", "attributes", "type", "id", "Name", "OwnerId", "allOrNone"]
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["", "x", "Account", "Id", "001000000000mEr", "@{a.b}"]),
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
    query=st.sampled_from(["", "q=SELECT", "fields=,", "ids=,", "start=x&end=y"]),
)
def test_whatever_comes_is_answered(
    method: str, path: str, body: Any, headers: dict[str, str], query: str, salesforce: Any
) -> None:
    answer = salesforce(method, f"{quote(path)}?{query}", json.loads(json.dumps(body)), headers)
    assert answer.status_code < 500, answer.text
