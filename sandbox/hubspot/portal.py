"""The account itself: tokens, limits, and what it says about them."""

from __future__ import annotations

import math
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.hubspot.calls import Call, Reply
from sandbox.hubspot.errors import Refused, not_found
from sandbox.hubspot.history import APP_ID, APP_USER_ID
from sandbox.world import World, hubspot_time

PORTAL_ID = 4_200_001
TOKEN_LIFETIME_S = 1_800
BURST_WINDOW_S, SEARCH_WINDOW_S = 10.0, 1.0
SCOPES = ["crm.objects.companies.read", "crm.objects.companies.write", "crm.objects.owners.read"]
REFRESH_TOKEN = "sandbox"
"""The refresh token of the app that an admin has already installed."""


class TooMany(Refused):
    """A limit was hit."""

    def __init__(self, policy: str, retry_after_s: float) -> None:
        super().__init__(429, "RATE_LIMITS", f"You have reached your {policy.lower()} limit.")
        self.policy = policy
        self.retry_after_s = math.ceil(retry_after_s)

    def body(self) -> dict[str, Any]:
        """The envelope with the name of the policy."""
        more = {"errorType": "RATE_LIMIT", "policyName": self.policy, "groupName": f"publicapi:app:{APP_ID}"}
        return super().body() | more


@dataclass(slots=True)
class Portal:
    """Requests counted against the limits, and tokens given out. Thread-safe."""

    world: World
    _burst: deque[datetime] = field(default_factory=deque)
    _searches: deque[datetime] = field(default_factory=deque)
    _day: deque[datetime] = field(default_factory=deque)
    _issued: dict[str, datetime] = field(default_factory=dict)  # access token -> when it stops working
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, *, is_search: bool) -> dict[str, str]:
        """Count a request and give its rate-limit headers. TooMany when a limit is hit; then it does not count."""
        settings, now = self.world.settings, self.world.now()
        with self._lock:
            _let_through(self._day, now, 86_400.0, settings.hubspot_daily_limit, "DAILY")
            if is_search:
                _let_through(self._searches, now, SEARCH_WINDOW_S, settings.search_per_second, "SECONDLY")
                self._searches.append(now)
            else:
                _let_through(self._burst, now, BURST_WINDOW_S, settings.burst_limit, "TEN_SECONDLY_ROLLING")
                self._burst.append(now)
            self._day.append(now)
            return {} if is_search else self._headers()

    def check_token(self, header: str) -> None:
        """Refused (401) unless the header carries a bearer token that works."""
        scheme, _, token = header.partition(" ")
        now = self.world.now()
        if (
            scheme.lower() == "bearer"
            and token in self.world.hubspot_tokens
            and now < self._issued.get(token, _ever(now))
        ):
            return
        if (ended := self._issued.get(token)) is not None:
            ago = max(0, math.ceil((now - ended).total_seconds()))
            text = f"The OAuth token used to make this call expired {ago} second(s) ago."
            raise Refused(401, "EXPIRED_AUTHENTICATION", text)
        raise Refused(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")

    def give_token(self, call: Call) -> Reply:
        """A new access token for a refresh token. The refresh token stays the same."""
        given = call.body if isinstance(call.body, dict) else {}
        client_id, client_secret = given.get("client_id"), given.get("client_secret")
        if given.get("grant_type") != "refresh_token":
            return _oauth_error("BAD_GRANT_TYPE", "the sandbox gives tokens for grant_type refresh_token only")
        if client_id is None or self.world.clients.get(client_id) != client_secret:
            return _oauth_error("BAD_CLIENT_ID", "missing or unknown client id, or a client secret that is not its own")
        if given.get("refresh_token") != REFRESH_TOKEN:
            return _oauth_error("BAD_REFRESH_TOKEN", "missing or unknown refresh token")
        token = f"sandbox-{secrets.token_hex(12)}"
        with self._lock, self.world.lock:
            self._issued[token] = self.world.now() + timedelta(seconds=TOKEN_LIFETIME_S)
            self.world.hubspot_tokens.add(token)
        body = {"access_token": token, "refresh_token": REFRESH_TOKEN, "expires_in": TOKEN_LIFETIME_S}
        return Reply(body=body | {"token_type": "bearer"})

    def describe_token(self, call: Call) -> Reply:
        """Who a token belongs to."""
        token = call.params["token"]
        if token not in self.world.hubspot_tokens:
            raise not_found("access token not found")
        left = (self._issued.get(token, self.world.now()) - self.world.now()).total_seconds()
        body = {"token": token, "hub_id": PORTAL_ID, "app_id": int(APP_ID), "token_type": "access"}
        return Reply(body=body | {"expires_in": max(0, int(left)), "user_id": APP_USER_ID, "scopes": SCOPES})

    def describe_private_token(self, call: Call) -> Reply:
        """Who the token of a private app belongs to."""
        if call.fields().get("tokenKey") not in self.world.hubspot_tokens:
            raise not_found("token not found")
        return Reply(body={"hubId": PORTAL_ID, "appId": int(APP_ID), "userId": APP_USER_ID, "scopes": SCOPES})

    def details(self, call: Call) -> Reply:
        """The account: its id, kind, money and time zone."""
        return Reply(
            body={
                "portalId": PORTAL_ID,
                "accountType": "DEVELOPER_TEST",
                "timeZone": "UTC",
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "utcOffset": "+00:00",
                "utcOffsetMilliseconds": 0,
                "uiDomain": "app.hubspot.example",
                "dataHostingLocation": "sandbox",
            }
        )

    def usage(self, call: Call) -> Reply:
        """Calls of the day against the daily limit."""
        now = self.world.now()
        entry = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.world.settings.hubspot_daily_limit,
            "currentUsage": len(self._day),
            "collectedAt": hubspot_time(now),
            "fetchStatus": "SUCCESS",
            "resetsAt": hubspot_time(now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)),
        }
        return Reply(body={"results": [entry]})

    def _headers(self) -> dict[str, str]:
        settings = self.world.settings
        return {
            "X-HubSpot-RateLimit-Max": str(settings.burst_limit),
            "X-HubSpot-RateLimit-Remaining": str(max(0, settings.burst_limit - len(self._burst))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(BURST_WINDOW_S * 1000)),
            "X-HubSpot-RateLimit-Daily": str(settings.hubspot_daily_limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, settings.hubspot_daily_limit - len(self._day))),
        }


def _let_through(window: deque[datetime], now: datetime, seconds: float, limit: int, policy: str) -> None:
    while window and (now - window[0]).total_seconds() >= seconds:
        window.popleft()
    if len(window) >= limit:
        passed = (now - window[0]).total_seconds() if window else 0.0
        raise TooMany(policy, seconds - passed)


def _ever(now: datetime) -> datetime:
    return now + timedelta(days=1)


def _oauth_error(status: str, message: str) -> Reply:
    body = {"status": status, "message": message, "category": "VALIDATION_ERROR", "correlationId": "sandbox-oauth"}
    return Reply(body=body, status=400)
