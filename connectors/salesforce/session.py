"""One logged-in Salesforce session: simple-salesforce with the safety that writing needs.

Over the library: custom headers survive a token refresh, one refresh at a time and only one per request, timeouts on
every call, retries where they are safe, usage and calls counted, errors as connector errors. The library's per-object
and bulk helpers go around all of that, so they are not offered.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, NoReturn, Self, cast
from urllib.parse import urlsplit

import requests
from simple_salesforce.api import Salesforce

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable
from connectors.http import retry_after_s
from connectors.protocol import CallMeter
from connectors.salesforce.ids import is_id, to_18
from connectors.salesforce.responses import (
    SYSTEM,
    Reply,
    composite_results,
    failure,
    login_failure,
    transport_failure,
    unreadable,
)
from connectors.salesforce.retry import RetryPolicy

USER_AGENT = "platbook"
_TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path, not a secret
_USER_INFO = "/services/oauth2/userinfo"
_LOGIN_TRIES = 3
_RENEWALS = 4
"""Tokens that may die one after the other under one request; a refused login ends it at once."""


class Http(requests.Session):
    """A requests session with a timeout on everything, no redirects, and no credentials from a netrc file."""

    def __init__(self, *, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        self.headers["User-Agent"] = USER_AGENT
        self.identity_url = ""  # of the last login: ends in organisation id / user id
        self.asked_wait_s: float | None = None  # Retry-After of the last answer of the token endpoint
        self.auth = _keep_headers  # requests would otherwise put netrc credentials over our Authorization header

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send with the default timeout where none is given."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (min(self.timeout_s, 10.0), self.timeout_s)
        kwargs["allow_redirects"] = False
        is_login = urlsplit(request.url or "").path == _TOKEN_PATH
        if is_login:
            self.asked_wait_s = None
        response = super().send(request, **kwargs)
        if is_login:
            self.asked_wait_s = retry_after_s(response.headers.get("Retry-After"))
        if is_login and response.status_code == 200:
            self.identity_url = _identity_of(parsed(response)[0])
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a resource that does not speak JSON is read, and written where the token belongs into the body."""

    read: Callable[[requests.Response], tuple[Any, bool]]  # the body, and whether it was what it should be
    body: Callable[[str], bytes] | None = None  # makes the body from the access token
    is_expired: Callable[[requests.Response], bool] | None = None  # a dead session that does not answer 401


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str  # from /services on, with its query
    route: str
    is_write: bool
    before_send: Callable[[], None] | None = None
    check: Callable[[Any], None] | None = None  # looks at a success's body; what it raises counts as the answer
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # json, params, data, timeout
    form: Form | None = None  # None = JSON both ways
    repeatable: bool = False  # a write that may be sent again after a lost answer


class Session(Salesforce):
    """A session for one set of credentials. Safe to share between threads."""

    def __init__(
        self, *, http: Http, login: Mapping[str, str], api_version: str, policy: RetryPolicy, meter: CallMeter
    ) -> None:
        # All of ours first: the parent logs in inside its constructor.
        self.meter = meter
        self._http = http
        self._policy = policy
        self._login_policy = replace(policy, tries=min(policy.tries, _LOGIN_TRIES))
        self._token_lock = threading.RLock()
        self._count_lock = threading.Lock()
        self._not_before_s = 0.0  # on the policy's clock; set by Retry-After, holds for every thread
        self._refusal: Fatal | None = None
        self._asked_identity = False
        super().__init__(version=api_version, session=http, object_pairs_hook=dict, **cast("dict[str, Any]", login))
        self._generate_headers()  # the parent ends by setting its own, with X-PrettyPrint

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse the library's `session.Account`, `.bulk` and `.bulk2`: they keep old tokens and loop on a 401."""
        raise AttributeError(f"Session has no {name!r}; use call(), composite() or retrieve()")

    def close(self) -> None:
        """Close the connections. The session may not be used afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def policy(self) -> RetryPolicy:
        """Give the patience of this session, for whoever polls over it."""
        return self._policy

    def identify(self) -> str:
        """Give the id of the user the session acts as; "" when Salesforce does not say.

        The login tells it, as a rule. Where it does not, one call asks: our own edits would pass for somebody else's.
        """
        if not self._http.identity_url and not self._asked_identity:
            self._asked_identity = True
            with suppress(Fatal, Rejected):
                told = self.call("GET", _USER_INFO, route="userinfo", is_write=False).body
                self._http.identity_url = _identity_of(told)
        return self._http.identity_url.rstrip("/").rpartition("/")[2]

    @property
    def organization_id(self) -> str:
        """Give the organisation's id of 18 characters as the login told it; "" where it did not."""
        told = self._http.identity_url.rstrip("/").rpartition("/")[0].rpartition("/")[2]
        return to_18(told) if is_id(told) else ""

    @property
    def data_path(self) -> str:
        """Give the path that versioned resources start with."""
        return f"/services/data/v{self.sf_version}"

    def call(
        self,
        method: str,
        resource: str,
        *,
        route: str,
        is_write: bool,
        headers: Mapping[str, str] | None = None,
        before_send: Callable[[], None] | None = None,
        check: Callable[[Any], None] | None = None,
        form: Form | None = None,
        repeatable: bool = False,
        **options: Any,
    ) -> Reply:
        """Send one request and give its parsed answer; `options` are those of requests (json, params, timeout).

        `resource` is relative to the versioned path, or absolute from /services on. `before_send` runs right before
        every HTTP request this takes, repeated ones too. `check` sees the body of a success and raises a connector
        error when it is none after all; that is then repeated or not like any other failure. `form` is for bodies
        that are not JSON. A `repeatable` write changes no record, or changes it to the same again: it is sent anew
        after a lost answer.
        Raises connector errors; LostAnswer when a write may have happened.
        """
        path = resource if resource.startswith("/") else f"{self.data_path}/{resource}"
        request = _Request(
            method=method,
            path=path,
            route=route,
            is_write=is_write,
            before_send=before_send,
            check=check,
            headers=headers or {},
            options=options,
            form=form,
            repeatable=repeatable,
        )
        response, body = self._exchange(request)
        return Reply(status=response.status_code, body=body, headers=response.headers)

    def composite(
        self,
        subrequests: list[dict[str, Any]],
        *,
        route: str,
        is_write: bool,
        headers: Mapping[str, str] | None = None,
        before_send: Callable[[], None] | None = None,
        check: Callable[[Any], None] | None = None,
        all_or_none: bool = False,
    ) -> list[dict[str, Any]]:
        """Send up to 25 subrequests as one call and give their results in the order sent.

        Each stands alone unless `all_or_none`, and needs its own headers: subrequests inherit only Accept,
        Authorization and Content-Type. A missing result is one of status 500. Raises like `call`.
        """
        body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": subrequests}
        reply = self.call(
            "POST",
            "composite",
            route=route,
            is_write=is_write,
            headers=headers,
            before_send=before_send,
            check=check,
            json=body,
        )
        results = composite_results([item["referenceId"] for item in subrequests], reply.body)
        if results is None:
            raise unreadable(route=route, is_write=is_write)
        return results

    def retrieve(self, native_object: str, record_ids: list[str], fields: list[str]) -> list[dict[str, Any] | None]:
        """Read up to 2,000 records by id in one call; None stands for one that is gone or not visible."""
        path = f"composite/sobjects/{native_object}"
        body = {"ids": record_ids, "fields": fields}

        def is_whole(answer: object) -> None:
            if not isinstance(answer, list) or len(answer) != len(record_ids):
                raise unreadable(route="retrieve", is_write=False)

        reply = self.call("POST", path, route="retrieve", is_write=False, json=body, check=is_whole)
        records: list[dict[str, Any] | None] = reply.body
        return records

    def _call_salesforce(
        self, method: str, url: str, name: str = "", retries: int = 0, max_retries: int = 3, **kwargs: Any
    ) -> requests.Response:
        """Carry the library's own calls (query, restful, limits) over our exchange; GET counts as a read."""
        del retries, max_retries  # the policy and the single refresh take their place
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = kwargs.pop("headers", None) or {}
        is_write = method.upper() not in ("GET", "HEAD")
        route = name or parts.path.rpartition("/")[2]
        request = _Request(method=method, path=path, route=route, is_write=is_write, headers=headers, options=kwargs)
        return self._exchange(request)[0]

    def _exchange(self, request: _Request) -> tuple[requests.Response, Any]:
        final = request.is_write and not request.repeatable  # a lost answer ends it
        return self._policy.run(lambda: self._attempt(request), is_write=final, on_retry=self._count_retry)

    def _attempt(self, request: _Request) -> tuple[requests.Response, Any]:
        response, token = self._send(request)
        for _ in range(_RENEWALS):
            if not _is_expired(response, request.form) or self._salesforce_login_partial is None:
                break
            self._renew(token)
            response, token = self._send(request)
        return response, self._judged(response, request)

    def _send(self, request: _Request) -> tuple[requests.Response, str]:
        """Send once with the whole set of headers; give the answer and the Authorization it was sent with."""
        base = self.headers  # replaced as a whole by a refresh, so token and headers belong together
        url = f"https://{self.sf_instance}{request.path}"
        self._wait_out()
        if request.before_send is not None:
            request.before_send()
        self._count(request)
        options = dict(request.options)
        if request.form is not None and request.form.body is not None:
            options["data"] = request.form.body(base["Authorization"].removeprefix("Bearer "))
        try:
            response = self.session.request(request.method, url, headers={**base, **request.headers}, **options)
        except requests.RequestException as error:
            raise transport_failure(error, route=request.route, is_write=request.is_write) from error
        self._note_usage(response)
        return response, base["Authorization"]

    def _judged(self, response: requests.Response, request: _Request) -> Any:
        """Give the parsed body of a success; raise for anything else."""
        body, is_readable = (parsed if request.form is None else request.form.read)(response)
        if response.status_code < 300 and is_readable:
            if request.check is not None:
                request.check(body)
            return body
        if response.status_code < 300:
            raise unreadable(route=request.route, is_write=request.is_write)
        reply = Reply(status=response.status_code, body=body, headers=response.headers)
        error = failure(reply, route=request.route, is_write=request.is_write)
        self._hold_until(error)
        raise error

    def _renew(self, spent: str) -> None:
        """Replace a token that was refused, unless another thread already has. A refused login is not tried again."""
        with self._token_lock:
            if self._refusal is not None:
                raise Fatal(str(self._refusal), system=SYSTEM, code=self._refusal.code)
            if self.headers["Authorization"] == spent:
                self._refresh_session()

    def _refresh_session(self) -> None:
        self.session_id, self.sf_instance = self._login_policy.run(
            self._log_in, is_write=False, on_retry=self._count_retry
        )
        self._generate_headers()

    def _log_in(self) -> tuple[str, str]:
        with self._count_lock:
            self.meter.logins += 1
        login = cast("Callable[[], tuple[str, str]]", self._salesforce_login_partial)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library warns with the consumer key in the text
                token, instance = login()
        except Exception as error:  # noqa: BLE001 - the library lets AttributeError and key errors through
            failed = login_failure(error)
            if isinstance(failed, Retriable):
                failed.retry_after_s = self._http.asked_wait_s
                self._hold_until(failed)
            self._refusal = failed if isinstance(failed, Fatal) else None
            raise failed from None  # the chained error would hold what the token endpoint said
        if not isinstance(token, str) or not token:
            raise login_failure(TypeError())
        return token, instance.rstrip("/")

    def _generate_headers(self) -> None:
        self.headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.session_id}",
            "User-Agent": USER_AGENT,
        }

    def _wait_out(self) -> None:
        """Wait until the last Retry-After has passed; raise Retriable when that is beyond our patience."""
        left_s = self._not_before_s - self._policy.clock()
        if left_s <= 0:
            return
        if left_s > self._policy.budget_s:
            text = f"Salesforce asked to wait {left_s:.0f} s more; run again then"
            raise Retriable(text, system=SYSTEM, code="RETRY_AFTER", retry_after_s=left_s)
        self._policy.sleep(left_s)

    def _hold_until(self, error: ConnectorError) -> None:
        if error.retry_after_s:
            with self._count_lock:
                self._not_before_s = max(self._not_before_s, self._policy.clock() + error.retry_after_s)

    def _count(self, request: _Request) -> None:
        with self._count_lock:
            if request.is_write:
                self.meter.writes += 1
            else:
                self.meter.reads += 1
            self.meter.by_route[request.route] = self.meter.by_route.get(request.route, 0) + 1

    def _count_retry(self) -> None:
        with self._count_lock:
            self.meter.retries += 1

    def _note_usage(self, response: requests.Response) -> None:
        header = response.headers.get("Sforce-Limit-Info")
        if header:
            with self._count_lock:
                self.api_usage = self.parse_api_usage(header)
                usage = self.api_usage.get("api-usage")
                if usage is not None:
                    self.meter.day_limit, self.meter.day_left = usage.total, max(0, usage.total - usage.used)


def _is_expired(response: requests.Response, form: Form | None) -> bool:
    other = form.is_expired if form is not None else None
    return response.status_code == 401 or (other is not None and other(response))


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _identity_of(body: object) -> str:
    """Give the address that ends in organisation id / user id, or "": of a token answer, or of what userinfo tells."""
    told = body if isinstance(body, dict) else {}
    identity, user = told.get("id"), told.get("user_id")
    if isinstance(identity, str):
        return identity
    return f"{told.get('organization_id', '')}/{user}" if isinstance(user, str) else ""


def parsed(response: requests.Response) -> tuple[Any, bool]:
    """Give the body and whether it was JSON; an empty body counts as JSON."""
    if not response.content:
        return None, True
    try:
        return json.loads(response.content), True
    except ValueError:
        return response.text, False
