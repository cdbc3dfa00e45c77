"""What a HubSpot answer means: its JSON, or one of the four connector errors. The one place that reads status codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable

SYSTEM = "hubspot"

_RETRIABLE_CATEGORIES = {"RATE_LIMITS", "RATE_LIMIT", "LOCKED", "INTERNAL_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE"}


class Lost(Retriable):
    """The request may have been carried out: the answer did not arrive, or says only that something broke."""


class RefusedToken(Fatal):
    """The access token was refused: expired, taken back, or not known; a refreshed one may do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response, read to its end and decompressed."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """One entry of a batch answer's `errors`. It may speak for many rows, or name none."""

    category: str
    code: str
    message: str
    ids: frozenset[str]

    @property
    def retriable(self) -> bool:
        return self.category in _RETRIABLE_CATEGORIES


def parse(answer: Answer) -> dict[str, Any]:
    """The JSON object of a 2xx answer; {} for one without a body. Raises ConnectorError for everything else."""
    if not 200 <= answer.status < 300:
        raise error_of(answer)
    if not answer.body.strip():
        return {}
    document = _json(answer.body)
    if not isinstance(document, dict):
        raise Lost(
            f"HubSpot answered {answer.status} with something that is not a JSON object. "
            "Check that the base URL leads to HubSpot and not to a proxy's page.",
            system=SYSTEM,
            code="NOT_JSON",
        )
    return document


def row_errors(document: Mapping[str, Any]) -> tuple[RowError, ...]:
    """The errors inside a batch answer of any status; dated versions send them in a plain 200 too."""
    return tuple(_row_error(entry) for entry in document.get("errors") or () if isinstance(entry, dict))


def error_of(answer: Answer) -> ConnectorError:
    """The error that stands for a non-2xx answer."""
    document = _json(answer.body)
    envelope: dict[str, Any] = document if isinstance(document, dict) else {}
    status = answer.status
    code = _code(envelope) or str(status)
    said = f"HubSpot answered {status} {code}"
    if status == 401:
        return _refused_token(envelope, said)
    if status == 429:
        return _throttled(answer, envelope)
    if status in {423, 477, 503}:  # locked, being migrated, unavailable: turned away before anything was done
        wait_s = _retry_after(answer)
        return Retriable(f"{said}. It may work later.", system=SYSTEM, code=code, retry_after_s=wait_s)
    if status == 530:
        return Fatal(f"{said}: the access token is malformed. Enter it again.", system=SYSTEM, code=code)
    if status >= 500 or status == 408:
        return Lost(f"{said}. It may work later.", system=SYSTEM, code=code, retry_after_s=_retry_after(answer))
    if status == 403:
        remedy = "Give the app the scopes that docs/configuration.md lists."
        return Fatal(f"{said}: the token may not do this. {remedy}", system=SYSTEM, code=code)
    if status < 400:
        return Fatal(f"{said}, a redirect. Set the base URL to HubSpot's API.", system=SYSTEM, code="REDIRECT")
    return Rejected(f"{said}: {_plain(envelope)}", system=SYSTEM, code=code)


def _refused_token(envelope: Mapping[str, Any], said: str) -> RefusedToken:
    if envelope.get("category") == "EXPIRED_AUTHENTICATION":
        remedy = "Enter a new token, or use a refresh token."
        return RefusedToken(f"{said}: the access token has expired. {remedy}", system=SYSTEM, code="EXPIRED")
    remedy = "Check the token in the settings."
    text = f"{said}: the access token is not accepted. {remedy}"
    return RefusedToken(text, system=SYSTEM, code="INVALID_AUTHENTICATION")


def _throttled(answer: Answer, envelope: Mapping[str, Any]) -> ConnectorError:
    policy = _policy(envelope)
    if policy == "DAILY":
        return Fatal(
            "HubSpot's daily call limit of this account is used up. It starts again at midnight in the portal's "
            "time zone; run then, or raise the limit.",
            system=SYSTEM,
            code="DAILY",
        )
    message = f"HubSpot throttles ({policy or 'no policy named'}). It may work later."
    return Retriable(message, system=SYSTEM, code=policy or "RATE_LIMITS", retry_after_s=_retry_after(answer))


def _policy(envelope: Mapping[str, Any]) -> str:
    """DAILY, TEN_SECONDLY_ROLLING, SECONDLY, or "". Search names it in its message only."""
    context = envelope.get("context")
    named = envelope.get("policyName")
    if not named and isinstance(context, dict):
        named = context.get("policyName")
    if isinstance(named, list):
        named = named[0] if named else ""
    if named:
        return str(named).upper()
    message = str(envelope.get("message", "")).lower()
    spoken = {"ten_secondly": "TEN_SECONDLY_ROLLING", "secondly": "SECONDLY", "daily": "DAILY"}
    return next((policy for word, policy in spoken.items() if word in message), "")


def _retry_after(answer: Answer) -> float | None:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return None  # absent, or a date: our own wait serves


def _row_error(entry: Mapping[str, Any]) -> RowError:
    context = entry.get("context")
    names = context if isinstance(context, dict) else {}
    named = names.get("ids") or names.get("fromObjectId")  # objects, and the near ends of associations
    ids = frozenset(str(one) for one in named) if isinstance(named, list) else frozenset()
    return RowError(category=str(entry.get("category", "")), code=_code(entry), message=_plain(entry), ids=ids)


def _code(envelope: Mapping[str, Any]) -> str:
    """The most specific code of an error envelope."""
    details = envelope.get("errors")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    for found in (first.get("code"), envelope.get("subCategory"), envelope.get("category"), envelope.get("errorType")):
        if found:
            return str(found)
    return ""


def _plain(envelope: Mapping[str, Any]) -> str:
    """HubSpot's sentence, cut short: it may repeat what was sent."""
    text = " ".join(str(envelope.get("message") or "no reason given").split())
    return text if len(text) <= 200 else text[:199] + "…"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
