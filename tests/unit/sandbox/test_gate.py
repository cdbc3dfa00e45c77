"""The request log tells writes from reads, and keeps no secret."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.gate import is_write, parsed_body, system_of

DATA = "/services/data/v62.0"
RETRIEVE = {"ids": ["001000000000aCm"], "fields": ["Id"]}

CASES: dict[str, tuple[str, str, Any, bool]] = {
    "a query": ("GET", f"{DATA}/query", None, False),
    "a row update": ("PATCH", f"{DATA}/sobjects/Account/001", {"Name": "x"}, True),
    "a delete without a body": ("DELETE", f"{DATA}/sobjects/Account/001", None, True),
    "a retrieval by POST": ("POST", f"{DATA}/composite/sobjects/Account", RETRIEVE, False),
    "a collection": ("PATCH", f"{DATA}/composite/sobjects", {"records": []}, True),
    "a composite call of reads": (
        "POST",
        f"{DATA}/composite",
        {"compositeRequest": [{"method": "POST", "url": f"{DATA}/composite/sobjects/Account", "body": RETRIEVE}]},
        False,
    ),
    "a composite call with one write": (
        "POST",
        f"{DATA}/composite/",
        {"compositeRequest": [{"method": "GET", "url": f"{DATA}/query"}, {"method": "PATCH", "url": f"{DATA}/x"}]},
        True,
    ),
    "a login": ("POST", "/services/oauth2/token", {"grant_type": "client_credentials"}, False),
    "a HubSpot login": ("POST", "/oauth/v1/token", {"grant_type": "refresh_token"}, False),
    "a HubSpot search": ("POST", "/crm/v3/objects/companies/search", {"limit": 1}, False),
    "a HubSpot batch read": ("POST", "/crm/v3/objects/companies/batch/read", {"inputs": []}, False),
    "a HubSpot batch update": ("POST", "/crm/v3/objects/companies/batch/update", {"inputs": []}, True),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_known_whether_this_writes(case):
    method, path, body, expected = CASES[case]
    assert is_write(method, path, body) is expected


def test_paths_tell_the_system():
    assert system_of("/services/data/") == system_of("/id/00D/005") == "salesforce"
    assert system_of("/crm/v3/owners") == system_of("/oauth/v1/token") == "hubspot"


def test_bodies_are_read_by_their_kind():
    assert parsed_body(b"", "application/json") is None
    assert parsed_body(b'{"a": 1}', "application/json") == {"a": 1}
    assert parsed_body(b"a=1&b=x", "application/x-www-form-urlencoded") == {"a": "1", "b": "x"}
    assert parsed_body(b"{broken", "application/json") == "{broken"
