"""One conversation with HubSpot through hubspot-api-client: held API objects, pacing, retries, errors mapped."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from hubspot import HubSpot

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable
from connectors.hubspot.auth import (
    Credentials,
    FixedBearer,
    RefreshedBearer,
    RefreshGrant,
    StaticToken,
    TokenSource,
    checked_base_url,
)
from connectors.hubspot.responses import SYSTEM, RefusedToken, parse
from connectors.hubspot.retry import BURST_WINDOW_S, SEARCH_WINDOW_S, Pacer, RetryPolicy, retrying
from connectors.hubspot.transport import CURRENT_CALL, Call, Transport, WireSettings
from connectors.protocol import CallMeter

DEFAULT_BASE_URL = "https://api.hubapi.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSettings:
    """Plain values; the job reads them from its settings."""

    base_url: str = DEFAULT_BASE_URL
    api_version: str = "v3"  # or a dated one such as 2026-09
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    requests_per_10s: int = 100  # 190 for Professional and Enterprise; 0 = no pacing
    searches_per_s: int = 4  # HubSpot allows 5 for the whole account
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time and chance, replaceable so that tests need not wait."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


class HubSpotSession:
    """Reads and writes by calling methods of the client library. Safe for several threads."""

    def __init__(
        self,
        settings: HubSpotSettings,
        credentials: Credentials,
        *,
        meter: CallMeter | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        base_url = checked_base_url(settings.base_url)
        self.settings = settings
        self.meter = meter or CallMeter()
        self._around = surroundings or Surroundings()
        wire = WireSettings(
            base_url=base_url,
            api_version=settings.api_version,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        )
        self._tokens = self._token_source(credentials)
        self._is_private = isinstance(credentials, StaticToken)
        self._mark = sha256(f"platbook portal {credentials.lasting}".encode()).hexdigest()[:12]
        self._token_info: Mapping[str, Any] | None = None
        self.transport = Transport(wire, self.meter, self._tokens.bearer)
        self._apis: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._not_before_s = 0.0  # on the clock of the surroundings; set by Retry-After, holds for every thread
        # `host` is what the generated packages read, `base_url` what client.api_request reads: both, always.
        self.client = HubSpot(host=base_url, base_url=base_url, api_factory=self._api)
        sleep, clock = self._around.sleep, self._around.clock
        self._burst = Pacer(settings.requests_per_10s, BURST_WINDOW_S, sleep=sleep, clock=clock)
        self._search = Pacer(settings.searches_per_s, SEARCH_WINDOW_S, sleep=sleep, clock=clock)

    def read(self, route: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The JSON of a read, sent again while that may help."""
        return self._with_retries(Call(route=route), lambda: method(*args, **kwargs, _preload_content=False))

    def fetch(self, path: str) -> dict[str, Any]:
        """The JSON of a GET that the client library has no method for."""
        return self._with_retries(Call(route=f"GET {path}"), lambda: self.transport.fetch(path))

    def app_id(self) -> str:
        """The app that the token belongs to, as property history names it; "" where HubSpot does not say.

        It is only used to tell our own writes from other apps'.
        """
        told = self._told_of_token()
        return str(told.get("appId") or told.get("app_id") or "")

    def portal_id(self) -> str:
        """The portal that the token belongs to; where HubSpot does not say, a mark of the installation.

        Other credentials have another mark, so that another portal is never taken for this one.
        """
        told = self._told_of_token()
        return str(told.get("hubId") or told.get("hub_id") or f"unnamed-{self._mark}")

    def _told_of_token(self) -> Mapping[str, Any]:
        """What HubSpot says about the token; {} where it says nothing. Asked once, counted as a login."""
        if self._token_info is None:
            token = self._tokens.bearer()
            try:
                self._token_info = self._once(*self._who_am_i(token), None)
            except ConnectorError:
                self._token_info = {}
        return self._token_info

    def _who_am_i(self, token: str) -> tuple[Call, Callable[[], Any]]:
        if self._is_private:
            path = "/oauth/v2/private-apps/get/access-token-info"
            return Call(route=f"POST {path}", login=True), lambda: self.transport.ask(path, {"tokenKey": token})
        path = "/oauth/v1/access-tokens/"
        return Call(route=f"GET {path}", login=True), lambda: self.transport.fetch(path + quote(token, safe=""))

    def write(
        self, call: Call, before_send: Callable[[], None], method: Callable[..., Any], *args: Any
    ) -> dict[str, Any]:
        """The JSON of a write. `before_send` runs before every attempt and stops it by raising.

        A refused or throttled write is sent again; one whose answer was lost is not: Lost is raised.
        """
        return self._with_retries(call, lambda: method(*args, _preload_content=False), before_send)

    def objects(self, native_object: str) -> Any:
        """The client library's package of an object type (companies, deals)."""
        if native_object not in {"companies", "deals"}:
            raise ValueError(f"HubSpot object {native_object!r}: companies, deals and owners are supported")
        return getattr(self.client.crm, native_object)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _with_retries(
        self, call: Call, send: Callable[[], Any], before_send: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        loop = retrying(
            self.settings.retry,
            resend_lost=not call.write,
            sleep=self._around.sleep,
            chance=self._around.chance,
            on_retry=self._count_retry,
        )
        document: dict[str, Any] = loop(self._renewing, call, send, before_send)
        return document

    def _renewing(self, call: Call, send: Callable[[], Any], before_send: Callable[[], None] | None) -> dict[str, Any]:
        """One attempt; a token that ran out on the way is replaced once."""
        used = self._tokens.bearer()
        try:
            return self._once(call, send, before_send)
        except RefusedToken:
            if not self._tokens.renew(used):
                raise
        return self._once(call, send, before_send)

    def _once(self, call: Call, send: Callable[[], Any], before_send: Callable[[], None] | None) -> dict[str, Any]:
        if call.route.endswith("/search"):  # search has a limit of its own and does not count in the other
            self._search.wait()
        elif not call.login:
            self._burst.wait()
        self._wait_out()
        if before_send is not None:
            before_send()
        mark = CURRENT_CALL.set(call)
        try:
            return parse(send())
        except ConnectorError as error:
            self._hold_until(error)
            raise
        finally:
            CURRENT_CALL.reset(mark)

    def _wait_out(self) -> None:
        """Wait until the last Retry-After has passed; raise Retriable when that is beyond our patience."""
        left_s = self._not_before_s - self._around.clock()
        if left_s <= 0:
            return
        if left_s > self.settings.retry.budget_s:
            text = f"HubSpot asked to wait {left_s:.0f} s more; run again then"
            raise Retriable(text, system=SYSTEM, code="RETRY_AFTER", retry_after_s=left_s)
        self._around.sleep(left_s)

    def _hold_until(self, error: ConnectorError) -> None:
        if error.retry_after_s:
            with self._lock:
                self._not_before_s = max(self._not_before_s, self._around.clock() + error.retry_after_s)

    def _count_retry(self) -> None:
        with self._lock:
            self.meter.retries += 1

    def _api(self, package: Any, name: str, config: Mapping[str, Any]) -> Any:
        """The held API object of a package. The library would make a new one, with its own sockets, at every access."""
        key = (package.__name__, name)
        with self._lock:
            if key not in self._apis:
                configuration = package.Configuration()
                configuration.host = config["host"]
                configuration.retries = False
                api_client = package.ApiClient(configuration=configuration)
                api_client.rest_client = self.transport
                self._apis[key] = getattr(package, name)(api_client=api_client)
            return self._apis[key]

    def _token_source(self, credentials: Credentials) -> TokenSource:
        if isinstance(credentials, StaticToken):
            return FixedBearer(credentials)
        return RefreshedBearer(lambda: self._exchange(credentials), clock=self._around.clock)

    def _exchange(self, grant: RefreshGrant) -> Mapping[str, Any]:
        """A new access token. Raises Fatal when HubSpot does not take the grant."""
        call = Call(route="POST /oauth/token", login=True, bare=True)
        create = self.client.oauth.tokens_api.create
        loop = retrying(
            self.settings.retry,
            resend_lost=True,
            sleep=self._around.sleep,
            chance=self._around.chance,
            on_retry=self._count_retry,
        )
        try:
            answer: dict[str, Any] = loop(
                self._once,
                call,
                lambda: create(
                    grant_type="refresh_token",
                    refresh_token=grant.refresh_token,
                    client_id=grant.client_id,
                    client_secret=grant.client_secret,
                    _preload_content=False,
                ),
                None,
            )
        except (Rejected, RefusedToken) as exc:
            remedy = "Check client id and secret, and install the app again if it was removed."
            raise Fatal(
                f"HubSpot does not accept the refresh token ({exc.code}). {remedy}",
                system=SYSTEM,
                code="REFRESH_REFUSED",
            ) from exc
        return answer
