"""The session keeps what a write needs: its headers, one refresh, a time limit, and an honest error."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import urllib3

from connectors.errors import Fatal, Rejected, Retriable, Stale
from connectors.salesforce.retry import LostAnswer
from connectors.salesforce.session import Session

DATA = "https://acme.my.salesforce.com/services/data/v62.0"
ROW = f"{DATA}/sobjects/Account/001000000000001AAA"
GUARDS = {"If-Match": '"v1"', "Sforce-Auto-Assign": "FALSE"}
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def _sent(wire: responses.RequestsMock, url: str) -> list[requests.PreparedRequest]:
    return [call.request for call in wire.calls if (call.request.url or "").split("?")[0] == url]


def _logins(wire: responses.RequestsMock) -> int:
    return len(_sent(wire, "https://acme.my.salesforce.com/services/oauth2/token"))


def _write(session: Session, before_send: Callable[[], None] | None = None) -> None:
    session.call(
        "PATCH",
        "sobjects/Account/001000000000001AAA",
        route="row_conditional",
        is_write=True,
        headers=GUARDS,
        before_send=before_send,
        json={"OwnerId": None},
    )


def test_custom_headers_survive_the_retry_after_a_token_refresh(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, status=401, json=EXPIRED)
    wire.patch(ROW, status=204)

    _write(session)

    first, second = _sent(wire, ROW)
    assert [first.headers["Authorization"], second.headers["Authorization"]] == ["Bearer token-1", "Bearer token-2"]
    for request in (first, second):
        assert {name: request.headers[name] for name in GUARDS} == GUARDS


def test_the_library_own_verbs_keep_their_headers_too(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, status=401, json=EXPIRED)
    wire.patch(ROW, status=204)

    session.restful("sobjects/Account/001000000000001AAA", method="PATCH", json={"Name": "A"}, headers=GUARDS)

    assert [request.headers["If-Match"] for request in _sent(wire, ROW)] == ['"v1"', '"v1"']


def test_a_token_that_stays_refused_costs_four_logins_and_five_requests(
    session: Session, wire: responses.RequestsMock
) -> None:
    wire.get(ROW, status=401, json=EXPIRED)

    with pytest.raises(Fatal, match="INVALID_SESSION_ID"):
        session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert len(_sent(wire, ROW)) == 5
    assert session.meter.logins == 5  # the first one and four refreshes


def test_tokens_that_die_one_after_the_other_are_replaced(session: Session, wire: responses.RequestsMock) -> None:
    for _ in range(3):
        wire.get(ROW, status=401, json=EXPIRED)
    wire.get(ROW, json={"Id": "001000000000001AAA"})
    assert session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False).status == 200


@pytest.mark.parametrize("body", ["<html>log in</html>", "{}", "[]", '{"error": "x"}'])
def test_a_401_without_the_usual_envelope_is_refreshed_like_any_other(
    session: Session, wire: responses.RequestsMock, body: str
) -> None:
    wire.get(ROW, status=401, body=body)
    wire.get(ROW, json={"Id": "001000000000001AAA"})

    assert session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False).status == 200


@pytest.mark.parametrize("name", ["Account", "bulk", "bulk2"])
def test_the_helpers_of_the_library_that_keep_old_tokens_are_not_offered(session: Session, name: str) -> None:
    with pytest.raises(AttributeError, match="use call"):
        getattr(session, name)


def test_usage_is_taken_from_error_answers_too(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(ROW, status=404, json=[{"errorCode": "NOT_FOUND"}], headers={"Sforce-Limit-Info": "api-usage=18/5000"})

    with pytest.raises(Rejected):
        session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert session.api_usage["api-usage"][:2] == (18, 5000)


def test_every_request_has_a_time_limit_the_login_too(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(f"{DATA}/limits/", json={"DailyApiRequests": {"Max": 1}})

    session.limits()

    assert [vars(call.request)["req_kwargs"]["timeout"] for call in wire.calls] == [(10.0, 60.0)] * 2


def test_a_redirect_is_not_followed_to_another_host(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(ROW, status=302, headers={"Location": "https://elsewhere.example/"})

    with pytest.raises(Fatal, match="HTTP 302"):
        session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert len(_sent(wire, ROW)) == 1


def test_answers_are_plain_dicts_and_not_pretty_printed(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(f"{DATA}/query/", json={"records": [{"Id": "1"}], "done": True})

    answer = session.query("SELECT Id FROM Account")

    assert type(answer) is dict
    assert "X-PrettyPrint" not in wire.calls[-1].request.headers
    assert wire.calls[-1].request.headers["User-Agent"] == "platbook"


def test_threads_that_meet_an_expired_token_together_log_in_once(
    session: Session, wire: responses.RequestsMock
) -> None:
    threads = 6
    together = threading.Barrier(threads, timeout=5)

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        if request.headers["Authorization"] == "Bearer token-1":
            together.wait()
            return 401, {}, json.dumps(EXPIRED)
        return 200, {}, "{}"

    wire.add_callback(responses.GET, ROW, callback=answer)
    with ThreadPoolExecutor(threads) as pool:
        calls = [
            pool.submit(session.call, "GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)
            for _ in range(threads)
        ]
        assert [call.result(timeout=10).status for call in calls] == [200] * threads

    assert _logins(wire) == 2
    assert session.meter.reads == 2 * threads


def test_a_refused_login_is_not_tried_again(session: Session, wire: responses.RequestsMock) -> None:
    token_url = "https://acme.my.salesforce.com/services/oauth2/token"
    wire.remove(responses.POST, token_url)
    wire.post(token_url, status=400, json={"error": "invalid_grant", "error_description": "authentication failure"})
    wire.get(ROW, status=401, json=EXPIRED)

    for _ in range(3):
        with pytest.raises(Fatal, match="invalid_grant"):
            session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert session.meter.logins == 2


def test_a_rotated_instance_is_followed_after_a_refresh(session: Session, wire: responses.RequestsMock) -> None:
    token_url = "https://acme.my.salesforce.com/services/oauth2/token"
    wire.remove(responses.POST, token_url)
    wire.post(token_url, json={"access_token": "t", "instance_url": "https://acme2.my.salesforce.com"})
    wire.get(ROW, status=401, json=EXPIRED)
    wire.get(ROW.replace("acme.", "acme2."), json={"Id": "001000000000001AAA"})

    assert session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False).status == 200


def test_a_throttled_read_waits_at_least_as_long_as_asked(
    session: Session, wire: responses.RequestsMock, fake_time: Any
) -> None:
    wire.get(ROW, status=429, headers={"Retry-After": "7"})
    wire.get(ROW, json={"Id": "001000000000001AAA"})

    session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert fake_time.now_s >= 7
    assert session.meter.retries == 1


def test_no_request_is_sent_before_a_wait_that_is_longer_than_our_patience(
    session: Session, wire: responses.RequestsMock
) -> None:
    wire.patch(ROW, status=429, headers={"Retry-After": "600"})
    with pytest.raises(Retriable) as refused:
        _write(session)
    assert refused.value.retry_after_s == 600

    with pytest.raises(Retriable, match="wait 600 s more"):
        session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert len(wire.calls) == 2  # the login and the refused write


def test_the_daily_limit_stops_at_once(session: Session, wire: responses.RequestsMock) -> None:
    error = {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}
    wire.get(ROW, status=403, json=[error])

    with pytest.raises(Fatal, match="24-hour window"):
        session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert len(_sent(wire, ROW)) == 1


def test_too_many_concurrent_requests_are_waited_out(session: Session, wire: responses.RequestsMock) -> None:
    text = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    wire.patch(ROW, status=403, json=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": text}])
    wire.patch(ROW, status=204)

    _write(session)

    assert len(_sent(wire, ROW)) == 2


@pytest.mark.parametrize(
    "lost",
    [
        requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.")),
        requests.exceptions.ReadTimeout("read timed out"),
        requests.exceptions.ChunkedEncodingError("broken"),
    ],
    ids=["reset", "timeout", "cut in the body"],
)
def test_a_write_whose_answer_is_lost_is_never_sent_again(
    session: Session, wire: responses.RequestsMock, lost: Exception
) -> None:
    wire.patch(ROW, body=lost)

    with pytest.raises(LostAnswer, match="read it back"):
        _write(session)

    assert len(_sent(wire, ROW)) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_after_a_write_is_a_lost_answer(
    session: Session, wire: responses.RequestsMock, status: int
) -> None:
    wire.patch(ROW, status=status, body="<html>gateway</html>")

    with pytest.raises(LostAnswer):
        _write(session)

    assert len(_sent(wire, ROW)) == 1


def test_a_write_refused_as_unavailable_is_sent_again(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, status=503, json=[{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}])
    wire.patch(ROW, status=204)

    _write(session)

    assert len(_sent(wire, ROW)) == 2


def test_a_write_that_never_left_is_sent_again(session: Session, wire: responses.RequestsMock) -> None:
    refused = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("acme"), "refused")
    wire.patch(ROW, body=requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, ROW, refused)))  # type: ignore[arg-type]  # the pool is only for its text
    wire.patch(ROW, status=204)

    _write(session)

    assert len(_sent(wire, ROW)) == 2


def test_a_read_survives_a_lost_answer_and_a_maintenance_page(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(ROW, body=requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.")))
    wire.get(ROW, body="<html>We are down for maintenance.</html>", content_type="text/html")
    wire.get(ROW, json={"Id": "001000000000001AAA"})

    assert session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False).status == 200
    assert session.meter.retries == 2


def test_a_maintenance_page_after_a_write_is_a_lost_answer(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, body="<html>We are down for maintenance.</html>", content_type="text/html")

    with pytest.raises(LostAnswer, match="not JSON"):
        _write(session)


def test_the_caller_is_asked_before_every_request_that_writes(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, status=401, json=EXPIRED)
    wire.patch(ROW, status=429)
    wire.patch(ROW, status=204)
    asked: list[int] = []

    _write(session, before_send=lambda: asked.append(len(_sent(wire, ROW))))

    assert asked == [0, 1, 2]
    assert session.meter.writes == 3


def test_a_caller_that_has_lost_its_lease_stops_the_write(session: Session, wire: responses.RequestsMock) -> None:
    def refuse() -> None:
        raise PermissionError("the lease is gone")

    with pytest.raises(PermissionError):
        _write(session, before_send=refuse)

    assert len(wire.calls) == 1  # the login
    assert session.meter.writes == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(300, Fatal), (400, Fatal), (403, Fatal), (404, Rejected), (412, Stale), (500, Retriable)],
)
def test_the_library_own_verbs_raise_our_errors(
    session: Session, wire: responses.RequestsMock, status: int, kind: type[Exception]
) -> None:
    wire.get(f"{DATA}/query/", status=status, json=[{"errorCode": "SOME_CODE", "message": "m"}])
    with pytest.raises(kind):
        session.query("SELECT Id FROM Account")


def test_a_moved_record_is_stale(session: Session, wire: responses.RequestsMock) -> None:
    wire.patch(ROW, status=412, json=[{"errorCode": "PRECONDITION_FAILED", "message": "no match"}])

    with pytest.raises(Stale):
        _write(session)


def test_calls_are_counted_by_route_and_logins_apart(session: Session, wire: responses.RequestsMock) -> None:
    wire.get(ROW, json={})
    wire.patch(ROW, status=204)

    session.call("GET", "sobjects/Account/001000000000001AAA", route="row_read", is_write=False)
    _write(session)

    meter = session.meter
    assert (meter.reads, meter.writes, meter.logins, meter.retries) == (1, 1, 1, 0)
    assert meter.by_route == {"row_read": 1, "row_conditional": 1}


def test_a_netrc_file_does_not_replace_the_token(
    session: Session, wire: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine acme.my.salesforce.com login somebody password nothing\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    wire.get(ROW, json={})

    session.call("GET", "sobjects/Account/001000000000001AAA", route="row", is_write=False)

    assert wire.calls[-1].request.headers["Authorization"] == "Bearer token-1"
