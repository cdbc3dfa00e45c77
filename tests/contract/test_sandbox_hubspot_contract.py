"""The derived description, and a sweep of every call it knows: whatever is sent, the reply is one it allows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract import hubspot_contract
from tests.contract.hubspot_world import BEA, CLINIC, CLOSED, DEAL, HOSPITAL, SYSTEM, V3, Client, Clock, hubspot_world

CALLS = [(method, path) for path, methods in hubspot_contract.derive()["paths"].items() for method in methods]
NOT_SERVED = {"/crm/v4/associations/usage/high-usage-report/{userId}"}
"""A report by mail about association limits; nothing of ours asks for it."""

IDS = [SYSTEM, HOSPITAL, CLINIC, CLOSED, DEAL, "900", "", "x"]
TYPES = ["companies", "deals", "company", "0-2", "contacts"]
NAMES = ["name", "ccn", "account_tier", "hubspot_owner_id", "hs_parent_company_id", "dealstage", "amount", "nonsense"]
FIELDS = ["id", "inputs", "properties", "propertiesWithHistory", "idProperty", "filterGroups", "filters", "operator"]
FIELDS += [
    "propertyName",
    "value",
    "values",
    "sorts",
    "limit",
    "after",
    "from",
    "to",
    "types",
    "associations",
    "options",
]
FIELDS += ["objectWriteTraceId", "associationTypeId", "associationCategory", "name", "label", "type", "fieldType"]
VALUES = ["", "T1", "T9", BEA, "72,000", "2026-01-01", "true", "-", "nan"]


def replies(document: dict[str, Any]) -> list[str]:
    return sorted(
        {code for methods in document["paths"].values() for op in methods.values() for code in op["responses"]}
    )


def test_the_description_has_all_calls_and_models_of_the_library() -> None:
    document = hubspot_contract.derive()
    assert (len(document["paths"]), len(document["components"]["schemas"])) == (36, 131)
    assert replies(document) == ["200", "201", "204", "207", "default"]
    batch = document["components"]["schemas"]["companies.BatchResponseSimplePublicObject"]
    assert batch["properties"]["status"]["enum"] == ["PENDING", "PROCESSING", "CANCELED", "COMPLETE"]
    assert set(batch["required"]) == {"completedAt", "results", "startedAt", "status"}


@pytest.mark.parametrize(
    ("status", "body"),
    {
        "a field is missing": (200, {"id": "1", "properties": {}, "createdAt": "2026-01-01T00:00:00Z"}),
        "an instant is none": (200, {"id": "1", "properties": {}, "createdAt": "now", "updatedAt": "now"}),
        "a number is no text": (
            200,
            {
                "id": 1,
                "properties": {},
                "createdAt": "2026-01-01T00:00:00Z",
                "updatedAt": "2026-01-01T00:00:00Z",
            },
        ),
        "the status is unknown": (202, {}),
        "an error without an envelope": (404, {"message": "gone"}),
    }.values(),
)
def test_the_description_tells_a_wrong_reply(status: int, body: dict[str, Any]) -> None:
    assert hubspot_contract.problems("GET", f"{V3}/1", status, body)


def from_schema(schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Values that fit a schema, drawn from words the sandbox knows and some it does not."""
    if "$ref" in schema:
        return from_schema(hubspot_contract.derive()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], name)
    kind = schema.get("type")
    if kind == "array":
        return st.lists(from_schema(schema["items"], name), max_size=4)
    if kind == "object" and "properties" in schema:
        fields = {key: from_schema(inner, key) for key, inner in schema["properties"].items()}
        required = set(schema.get("required", ()))
        kept = {key: strategy for key, strategy in fields.items() if key in required}
        return st.fixed_dictionaries(kept, optional={k: v for k, v in fields.items() if k not in required})
    if kind == "object":
        return st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=3)
    if kind == "integer":
        return st.sampled_from([5, 6, 13, 14, 341, 342, 450, 0, 10, 200, 201])
    if kind == "boolean":
        return st.booleans()
    return st.sampled_from(schema.get("enum") or _words(name))


def _words(name: str) -> list[str]:
    if name in ("propertyName", "properties", "propertiesWithHistory", "sorts", "idProperty"):
        return [*NAMES, "hs_object_id"]
    return IDS if name in ("id", "primaryObjectId", "objectIdToMerge", "after") else [*VALUES, *IDS]


@st.composite
def requests(draw: st.DrawFn, method: str, template: str) -> tuple[str, Any, dict[str, Any]]:
    """Path, body and query of a request for one call."""
    operation = hubspot_contract.derive()["paths"][template][method]
    path, query = template, {}
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if parameter["in"] == "path":
            words = TYPES if name.lower().endswith("objecttype") else NAMES if name.endswith("Name") else IDS[:6]
            path = path.replace(f"{{{name}}}", draw(st.sampled_from(words)))
        elif draw(st.booleans()):
            query[name] = draw(from_schema(parameter["schema"], name))
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return path, None if schema is None else draw(from_schema(schema)), query


@pytest.mark.parametrize(("method", "template"), [call for call in CALLS if call[1] not in NOT_SERVED])
def test_every_reply_fits_the_description(method: str, template: str) -> None:
    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests(method, template))
    def sweep(request: tuple[str, Any, dict[str, Any]]) -> None:
        world = hubspot_world(Clock())
        path, body, query = request
        answer = Client(world)(method.upper(), path, body, **query)
        assert answer.status < 500
        assert answer.status != 405

    sweep()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 300) | st.sampled_from([*IDS, *NAMES, *VALUES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, database=None)
@given(st.sampled_from([call for call in CALLS if call[0] in ("post", "patch", "put")]), JSON, st.booleans())
def test_a_body_of_any_shape_gets_a_reply_that_fits(call: tuple[str, str], body: Any, as_batch: bool) -> None:
    method, template = call
    path = re.sub(r"\{\w*[oO]bjectType\}", "companies", template)
    path = re.sub(r"\{\w+\}", CLINIC, path)
    answer = Client(hubspot_world(Clock()))(method.upper(), path, {"inputs": [body]} if as_batch else body)
    assert answer.status < 500
