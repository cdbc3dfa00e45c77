"""The session covers the client library's known faults: sockets, retries, tokens, statuses, versions."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connectors.errors import Fatal, Rejected, Retriable
from connectors.hubspot.auth import RefreshGrant, StaticToken, checked_base_url
from connectors.hubspot.responses import Lost, RefusedToken
from connectors.hubspot.retry import RetryPolicy
from connectors.hubspot.session import HubSpotSession, HubSpotSettings
from connectors.hubspot.transport import Call
from tests.unit.connectors.hubspot.conftest import Clock, Connect, Reply, Script, Seen

GRANT = RefreshGrant(client_id="app", client_secret="hidden", refresh_token="kept")


def page(session: HubSpotSession, **asked: Any) -> dict[str, Any]:
    return session.read("GET /objects/companies", session.client.crm.companies.basic_api.get_page, **asked)


def update(session: HubSpotSession, sends: list[int] | None = None, stamp: str = "run-1/7") -> dict[str, Any]:
    call = Call(route="POST /objects/companies/batch/update", write=True, stamp=stamp)
    note = sends.append if sends is not None else (lambda _: None)
    batch = session.client.crm.companies.batch_api
    return session.write(call, lambda: note(1), batch.update, {"inputs": [{"id": "1", "properties": {"a": "b"}}]})


def throttle(policy: str, **headers: str) -> Reply:
    return Reply(status=429, body={"status": "error", "message": "slow", "policyName": policy}, headers=headers)


class TestWire:
    def test_one_connection_serves_all_packages(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(body={"results": []}))
        for _ in range(5):
            page(session)
            session.read("GET /owners", session.client.crm.owners.owners_api.get_page)
        assert len({seen.peer for seen in script.seen}) == 1

    def test_api_objects_are_held(self, session: HubSpotSession) -> None:
        assert session.client.crm.companies.basic_api is session.client.crm.companies.basic_api

    def test_the_base_url_reaches_the_escape_hatch_too(self, script: Script, session: HubSpotSession) -> None:
        assert session.client.config["host"] == session.client.config["base_url"] == script.base_url

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_compressed_answer_is_asked_for_and_read(
        self, script: Script, session: HubSpotSession, chunked: bool
    ) -> None:
        script.say(Reply(body={"results": [{"id": "1"}]}, compressed=True, chunked=chunked))
        assert page(session)["results"] == [{"id": "1"}]
        assert script.seen[0].headers["accept-encoding"] == "gzip"

    def test_booleans_travel_as_json_writes_them(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(body={}))
        page(session, archived=True, properties=["a b", "c"])
        assert script.seen[0].query == [("properties", "a b"), ("properties", "c"), ("archived", "true")]

    def test_a_stamp_cannot_break_the_header(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(body={}))
        update(session, stamp="run\r\nX-Evil: (1)")
        assert script.seen[0].headers["user-agent"] == "platbook (run__X-Evil: _1_)"
        assert "x-evil" not in script.seen[0].headers

    def test_requests_are_counted_by_route(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(body={}))
        page(session)
        page(session)
        update(session)
        assert (session.meter.reads, session.meter.writes, session.meter.logins) == (2, 1, 0)
        assert session.meter.by_route == {"GET /objects/companies": 2, "POST /objects/companies/batch/update": 1}

    def test_four_threads_get_their_own_answers(self, script: Script, session: HubSpotSession) -> None:
        script.say(lambda seen: Reply(body={"results": [dict(seen.query)["after"]]}))
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: page(session, after=str(n))["results"], range(60)))
        assert answers == [[str(n)] for n in range(60)]
        assert session.meter.reads == 60
        assert len({seen.peer for seen in script.seen}) <= 4

    @pytest.mark.parametrize(
        ("call", "path"),
        [
            (lambda s: page(s), "/crm/objects/2026-09/companies"),
            (lambda s: s.read("r", s.client.crm.owners.owners_api.get_page), "/crm/owners/2026-09"),
            (lambda s: s.read("r", s.client.crm.properties.core_api.get_all, "deals"), "/crm/properties/2026-09/deals"),
            (
                lambda s: s.read("r", s.client.crm.associations.v4.batch_api.get_page, "companies", "companies", {}),
                "/crm/associations/2026-09/companies/companies/batch/read",
            ),
        ],
        ids=["objects", "owners", "properties", "associations"],
    )
    def test_a_dated_api_version_changes_every_path(
        self, script: Script, connect: Connect, call: Any, path: str
    ) -> None:
        script.say(Reply(body={}))
        call(connect(api_version="2026-09"))
        assert script.seen[0].path == path


class TestSettings:
    @pytest.mark.parametrize(
        "url", ["http://api.hubapi.com", "http://10.0.0.1", "ftp://x", "api.hubapi.com", "https://"]
    )
    def test_plain_http_is_for_this_machine_only(self, url: str) -> None:
        with pytest.raises(Fatal, match="https is required"):
            checked_base_url(url)

    @pytest.mark.parametrize(
        "url", ["https://api.hubapi.com/", "http://localhost:1", "http://127.0.0.1:80", "http://[::1]:9"]
    )
    def test_https_and_loopback_are_taken(self, url: str) -> None:
        assert checked_base_url(url) == url.rstrip("/")

    def test_an_odd_api_version_is_refused(self, script: Script) -> None:
        with pytest.raises(Fatal, match="neither v3 nor a date"):
            HubSpotSession(HubSpotSettings(base_url=script.base_url, api_version="v5"), StaticToken("pat"))

    def test_an_empty_token_is_refused_before_any_call(self, script: Script) -> None:
        with pytest.raises(Fatal, match="ACCESS_TOKEN"):
            HubSpotSession(HubSpotSettings(base_url=script.base_url), StaticToken(" "))

    def test_secrets_are_not_shown(self) -> None:
        assert "hidden" not in repr(GRANT)
        assert "kept" not in repr(GRANT)
        assert "pat-secret" not in repr(StaticToken("pat-secret"))


class TestErrors:
    @pytest.mark.parametrize(
        ("reply", "error", "code"),
        {
            "wrong token": (
                Reply(status=401, body={"category": "INVALID_AUTHENTICATION"}),
                RefusedToken,
                "INVALID_AUTHENTICATION",
            ),
            "missing scope": (Reply(status=403, body={"category": "MISSING_SCOPES"}), Fatal, "MISSING_SCOPES"),
            "unknown record": (Reply(status=404, body={"category": "OBJECT_NOT_FOUND"}), Rejected, "OBJECT_NOT_FOUND"),
            "conflict": (Reply(status=409, body={"category": "CONFLICT"}), Rejected, "CONFLICT"),
            "validation": (
                Reply(status=400, body={"category": "VALIDATION_ERROR", "errors": [{"code": "INVALID_OPTION"}]}),
                Rejected,
                "INVALID_OPTION",
            ),
            "URI too long": (Reply(status=414, body=b"<html>"), Rejected, "414"),
            "locked": (Reply(status=423, body={"category": "LOCKED"}), Retriable, "LOCKED"),
            "being migrated": (Reply(status=477, body={}, headers={"Retry-After": "86400"}), Retriable, "477"),
            "gateway": (Reply(status=502, body=b"<html>bad gateway"), Lost, "502"),
            "cloudflare": (Reply(status=521, body=b""), Lost, "521"),
            "malformed token": (Reply(status=530, body=b""), Fatal, "530"),
            "daily limit": (throttle("DAILY"), Fatal, "DAILY"),
            "redirect": (Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}), Fatal, "REDIRECT"),
            "a proxy's page": (Reply(body=b"<html>log in"), Lost, "NOT_JSON"),
            "a list": (Reply(body=[]), Lost, "NOT_JSON"),
        }.values(),
        ids=str,
    )
    def test_every_status_has_its_meaning(
        self, script: Script, connect: Connect, reply: Reply, error: type[Exception], code: str
    ) -> None:
        script.say(reply)
        with pytest.raises(error) as caught:
            page(connect(retry=RetryPolicy(attempts=1)))
        assert type(caught.value) is error
        assert caught.value.code == code  # type: ignore[attr-defined] # all are ConnectorError
        assert "pat" not in str(caught.value).split()

    def test_a_204_is_an_empty_answer(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=204))
        assert page(session) == {}

    def test_any_other_2xx_is_read_and_never_none(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=202, body={"results": [1]}))
        assert page(session) == {"results": [1]}

    def test_nobody_listening_is_retriable_and_named(self, connect: Connect) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(Retriable, match="not reachable") as caught:
            page(connect(base_url=f"http://127.0.0.1:{port}", retry=RetryPolicy(attempts=2)))
        assert not isinstance(caught.value, Lost)

    def test_tls_trouble_says_so(self, script: Script, connect: Connect) -> None:
        script.say(Reply())
        with pytest.raises(Fatal, match="TLS"):
            page(connect(base_url=script.base_url.replace("http:", "https:"), retry=RetryPolicy(attempts=1)))


class TestRetries:
    def test_reads_go_on_after_a_rolling_limit(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        script.say(throttle("TEN_SECONDLY_ROLLING"), throttle("TEN_SECONDLY_ROLLING"), Reply(body={"results": [1]}))
        assert page(session) == {"results": [1]}
        assert clock.slept == [4.0, 8.0]
        assert (session.meter.reads, session.meter.retries) == (3, 2)

    def test_the_search_limit_waits_a_second(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        spoken = Reply(status=429, body={"message": "You have reached your secondly limit.", "category": "RATE_LIMITS"})
        script.say(spoken, Reply(body={"results": []}))
        session.read("r", session.client.crm.companies.search_api.do_search, {"filterGroups": []})
        assert clock.slept == [1.0]

    def test_retry_after_is_honoured_also_for_post(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        script.say(throttle("TEN_SECONDLY_ROLLING", **{"Retry-After": "3"}), Reply(body={}))
        update(session)
        assert clock.slept == [3.0]

    def test_the_next_request_waits_for_it_too(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        script.say(Reply(status=500, body={}, headers={"Retry-After": "3"}), Reply(body={"results": []}))
        with pytest.raises(Retriable):
            update(session)
        page(session)
        assert clock.slept == [3.0]

    def test_a_wait_beyond_the_budget_is_left_to_the_caller(
        self, script: Script, clock: Clock, session: HubSpotSession
    ) -> None:
        script.say(Reply(status=477, body={}, headers={"Retry-After": "3600"}))
        with pytest.raises(Retriable) as caught:
            page(session)
        assert (caught.value.retry_after_s, clock.slept, len(script.seen)) == (3600.0, [], 1)

    def test_a_lock_waits_two_seconds_at_least(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        script.say(Reply(status=423, body={}), Reply(body={}))
        update(session)
        assert clock.slept == [2.0]

    def test_the_daily_limit_stops_at_once(self, script: Script, clock: Clock, session: HubSpotSession) -> None:
        script.say(throttle("DAILY", **{"Retry-After": "1"}))
        with pytest.raises(Fatal, match="midnight"):
            page(session)
        assert (len(script.seen), clock.slept) == (1, [])

    def test_a_lost_answer_is_read_again(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=0), Reply(status=500, body=b""), Reply(body={"results": [1]}))
        assert page(session) == {"results": [1]}

    @pytest.mark.parametrize("reply", [Reply(status=0), Reply(status=500, body=b""), Reply(body=b"<html>")])
    def test_a_write_whose_answer_was_lost_is_not_sent_again(
        self, script: Script, session: HubSpotSession, reply: Reply
    ) -> None:
        script.say(reply)
        with pytest.raises(Lost):
            update(session)
        assert len(script.seen) == 1

    def test_before_send_runs_before_every_attempt_and_can_stop_it(
        self, script: Script, session: HubSpotSession
    ) -> None:
        script.say(throttle("SECONDLY"), Reply(body={}))
        sends: list[int] = []
        update(session, sends)
        assert len(sends) == len(script.seen) == 2

        class LostLease(Exception):
            pass

        def stop() -> None:
            raise LostLease

        call = Call(route="r", write=True)
        with pytest.raises(LostLease):
            session.write(call, stop, session.client.crm.companies.batch_api.update, {"inputs": []})
        assert len(script.seen) == 2

    def test_a_redirect_does_not_carry_the_token_away(self, script: Script, session: HubSpotSession) -> None:
        script.say(Reply(status=307, headers={"Location": f"{script.base_url}/elsewhere"}))
        with pytest.raises(Fatal):
            page(session)
        assert [seen.path for seen in script.seen] == ["/crm/v3/objects/companies"]

    def test_the_pace_keeps_below_the_limits(self, script: Script, clock: Clock, connect: Connect) -> None:
        script.say(Reply(body={"results": []}))
        session = connect(requests_per_10s=3, searches_per_s=2)
        for _ in range(4):
            page(session)
        assert clock.slept == [10.0]
        for _ in range(3):
            session.read("POST /objects/companies/search", session.client.crm.companies.search_api.do_search, {})
        assert clock.slept == [10.0, 1.0]


class TestTokens:
    def token(self, name: str, life_s: int = 1800) -> Reply:
        return Reply(body={"access_token": name, "expires_in": life_s, "refresh_token": "kept"})

    def test_a_refresh_token_is_exchanged_once_for_all_threads(self, script: Script, connect: Connect) -> None:
        script.say(lambda seen: self.token("t1") if "oauth" in seen.path else Reply(body={"results": []}))
        session = connect(GRANT)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: page(session), range(12)))
        exchanges = [seen for seen in script.seen if "oauth" in seen.path]
        assert len(exchanges) == session.meter.logins == 1
        assert "grant_type=refresh_token" in exchanges[0].body
        assert "authorization" not in exchanges[0].headers
        assert {seen.headers["authorization"] for seen in script.seen if seen.method == "GET"} == {"Bearer t1"}

    def test_held_objects_use_the_new_token_before_the_old_one_ends(
        self, script: Script, clock: Clock, connect: Connect
    ) -> None:
        script.say(self.token("t1"), Reply(body={}), self.token("t2"), Reply(body={}))
        session = connect(GRANT)
        page(session)
        clock.now_s += 1741  # a minute before its end
        page(session)
        assert [seen.headers.get("authorization") for seen in script.seen] == [None, "Bearer t1", None, "Bearer t2"]

    @pytest.mark.parametrize(
        ("category", "said"), [("EXPIRED_AUTHENTICATION", "expired"), ("INVALID_AUTHENTICATION", "not accepted")]
    )
    def test_a_refused_token_is_replaced_once(self, script: Script, connect: Connect, category: str, said: str) -> None:
        refused = Reply(status=401, body={"category": category})
        script.say(self.token("t1"), refused, self.token("t2"), Reply(body={"results": [1]}))
        assert page(connect(GRANT)) == {"results": [1]}
        script.say(self.token("t1"), refused, self.token("t2"), refused)
        with pytest.raises(Fatal, match=said):
            page(connect(GRANT))
        assert len(script.seen) == 8
        script.say(refused)
        with pytest.raises(Fatal, match=said):
            page(connect())

    def test_a_token_without_an_end_counts_as_one_of_half_an_hour(
        self, script: Script, clock: Clock, connect: Connect
    ) -> None:
        script.say(Reply(body={"access_token": "t1"}), Reply(body={}))
        session = connect(GRANT)
        page(session)
        clock.now_s += 1739
        page(session)
        assert session.meter.logins == 1

    def test_a_refused_refresh_token_names_the_remedy(self, script: Script, connect: Connect) -> None:
        script.say(Reply(status=400, body={"status": "BAD_REFRESH_TOKEN", "message": "kept is bad"}))
        with pytest.raises(Fatal, match="install the app again") as caught:
            page(connect(GRANT))
        assert "kept" not in str(caught.value)


def test_seen_requests_carry_the_token(script: Script, session: HubSpotSession) -> None:
    def answer(seen: Seen) -> Reply:
        return Reply(body={"results": [seen.headers["authorization"]]})

    script.say(answer)
    assert page(session)["results"] == ["Bearer pat"]
