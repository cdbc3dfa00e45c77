"""Long answers come as from the vendors' edges: in gzip where it is accepted, and then in chunks of no known length."""

from __future__ import annotations

import pytest
import requests

from sandbox.server import Sandbox
from tests.contract.conftest import SalesforceHttp

WORD = {"Authorization": "Bearer sandbox"}


def _hubspot(sandbox: Sandbox, accepted: str) -> requests.Response:
    url = f"{sandbox.base_url}/crm/v3/properties/companies"
    return requests.get(url, headers={**WORD, "Accept-Encoding": accepted}, timeout=5)


@pytest.mark.parametrize("system", ["salesforce", "hubspot"])
def test_a_long_answer_is_packed_and_in_chunks(system: str, sandbox: Sandbox, salesforce: SalesforceHttp) -> None:
    answer = _hubspot(sandbox, "gzip") if system == "hubspot" else salesforce("GET", "sobjects/Account/describe")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert answer.json()


def test_whoever_does_not_take_it_gets_a_plain_answer(sandbox: Sandbox) -> None:
    answer = _hubspot(sandbox, "identity")
    assert answer.json()
    assert "Content-Encoding" not in answer.headers
