"""What Salesforce's answers mean: error envelopes to connector errors, row results to verdicts. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable, Stale
from connectors.http import never_sent, retry_after_s
from connectors.protocol import Verdict
from connectors.salesforce.ids import is_id, to_18
from connectors.salesforce.retry import LostAnswer

SYSTEM = "salesforce"

_THROTTLED = frozenset({420, 429})
_TRANSIENT_READS = frozenset({406, 408, 409, 420, 429})
_TRANSIENT_ROWS = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "API_TEMPORARILY_UNAVAILABLE",
        "SERVER_UNAVAILABLE",
        "REQUEST_LIMIT_EXCEEDED",
        "PROCESSING_HALTED",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    }
)
_ABOUT_ONE_RECORD = frozenset({"INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"})
_TRANSIENT_LOGINS = frozenset({"server_error", "temporarily_unavailable", "unknown_error", "rate_limit_exceeded"})
_LOCK_TEXT = re.compile(r"UNABLE_TO_LOCK_ROW|unable to obtain exclusive access", re.IGNORECASE)
_NO_COLUMN = re.compile(r"No such column '([^']+)'")
_LONGEST_TEXT = 240
_UNSENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """The first error of an envelope; Salesforce names the code `errorCode`, in row results `statusCode`."""

    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one record on the wire."""

    verdict: Verdict
    code: str = ""
    message: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answered request: status, parsed JSON (None when empty), and headers whose names ignore case."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def first_error(body: object) -> ApiError:
    """Give the first error of any envelope Salesforce uses; empty strings where it says nothing."""
    item = body[0] if isinstance(body, list) and body else body
    if not isinstance(item, Mapping):
        return ApiError(message=_one_line(item if isinstance(item, str) else ""))
    code = item.get("errorCode") or item.get("statusCode") or item.get("error") or item.get("exceptionCode") or ""
    text = item.get("message") or item.get("error_description") or item.get("exceptionMessage") or ""
    fields = item.get("fields")
    named = tuple(str(name) for name in fields) if isinstance(fields, list) else ()
    return ApiError(code=str(code), message=_one_line(str(text)), fields=named)


def failure(reply: Reply, *, route: str, is_write: bool) -> ConnectorError:
    """Give the error that an answer of 300 or more stands for."""
    error = first_error(reply.body)
    wait = retry_after_s(reply.headers.get("Retry-After"))
    said = _said(route, reply.status, error)
    if reply.status == 401:
        return Fatal(f"{said}. Check the credentials and the connected app's policy", system=SYSTEM, code=error.code)
    if reply.status == 403:
        return _refused(said, error, wait)
    if reply.status == 412:
        return Stale(f"{said}. The record moved since it was read", system=SYSTEM, code=error.code)
    if is_write:
        return _failed_write(reply.status, said, error, wait, is_envelope=isinstance(reply.body, list))
    return _failed_read(reply.status, said, error, wait)


def transport_failure(error: requests.RequestException, *, route: str, is_write: bool) -> ConnectorError:
    """Give the error for a request without an answer; a write that may have arrived is a LostAnswer."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Fatal(
            f"Salesforce {route}: the server's certificate is not trusted. Check login_url, the proxy and the "
            "certificate store of this machine",
            system=SYSTEM,
            code="TLS",
        )
    if isinstance(error, _UNSENDABLE):
        return Fatal(f"Salesforce {route}: the request could not be built. Check login_url", system=SYSTEM)
    if never_sent(error):
        text = f"Salesforce {route}: no connection. Check the network and login_url; nothing was sent"
        return Retriable(text, system=SYSTEM, code="UNREACHABLE")
    said = f"Salesforce {route}: the connection ended without an answer ({type(error).__name__})"
    if is_write:
        return LostAnswer(f"{said}; the write may or may not have happened, read it back", system=SYSTEM, code="LOST")
    return LostAnswer(f"{said}; try again later", system=SYSTEM, code="LOST")


def unreadable(*, route: str, is_write: bool) -> LostAnswer:
    """Give the error for a success whose body is not JSON, such as a maintenance page."""
    remedy = "read the records back" if is_write else "try again later"
    text = f"Salesforce {route}: the answer is not JSON, perhaps a maintenance page; {remedy}"
    return LostAnswer(text, system=SYSTEM, code="NOT_JSON")


def login_failure(error: Exception) -> ConnectorError:
    """Give the error for a failed login, naming what to check and never a secret."""
    if isinstance(error, requests.RequestException):
        failed = transport_failure(error, route="login", is_write=False)
        # A lost login never means a lost write: whatever needed the token has not been sent.
        return Retriable(str(failed), system=SYSTEM, code=failed.code) if isinstance(failed, LostAnswer) else failed
    if not isinstance(error, SalesforceAuthenticationFailed | AttributeError | TypeError | KeyError):
        text = "salesforce private key cannot sign; expected an RSA key in PEM without a password"
        return Fatal(text, system=SYSTEM, code=type(error).__name__)
    if not isinstance(error, SalesforceAuthenticationFailed):
        text = "Salesforce login: the answer is not a token. Check that login_url is the My Domain of the organisation"
        return Retriable(text, system=SYSTEM, code=type(error).__name__)
    code = error.code
    # With 200 it is a page in the place of a token: maintenance, which passes.
    is_down = isinstance(code, int) and (code in _THROTTLED or code >= 500 or code < 300)
    if is_down or str(code) in _TRANSIENT_LOGINS:
        return Retriable(f"Salesforce login: {code}; try again later", system=SYSTEM, code=str(code))
    reason = (
        "" if error.auth_message.lstrip().startswith("<") else _one_line(error.auth_message)
    )  # a page, not a reason
    text = (
        f"Salesforce login refused: {code}{f' ({reason})' if reason else ''}. Check the client id, the client secret "
        "or private key, the user name, login_url (My Domain), and that the connected app is allowed for its user"
    )
    return Fatal(text, system=SYSTEM, code=str(code))


def next_page(body: Mapping[str, Any]) -> str:
    """Give the opaque address of the next page without its host, or "": the session decides where requests go."""
    url = body.get("nextRecordsUrl")
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def row_outcome(status: int, body: object, *, version: str = "") -> Outcome:
    """Give the outcome of one record from its own status and body."""
    if 200 <= status < 300:
        return Outcome(verdict=Verdict.OK, version=version)
    error = first_error(body)
    return Outcome(verdict=_verdict(status, error), code=error.code or f"HTTP_{status}", message=_about(error))


def collection_outcomes(record_ids: Sequence[str], status: int, body: object) -> tuple[Outcome, ...]:
    """Give one outcome per row of an sObject collection, by position and, where the row names one, by id."""
    if not 200 <= status < 300:
        return (row_outcome(status, body),) * len(record_ids)
    if not isinstance(body, list) or len(body) != len(record_ids):
        lost = Outcome(verdict=Verdict.UNKNOWN, code="RESULT_COUNT", message="rows and results differ in number")
        return (lost,) * len(record_ids)
    return tuple(_collected(record_id, row) for record_id, row in zip(record_ids, body, strict=True))


def created_outcomes(count: int, status: int, body: object) -> tuple[Outcome, ...]:
    """Give one outcome per row of a collection of new records, by position."""
    if not 200 <= status < 300:
        return (row_outcome(status, body),) * count
    if not isinstance(body, list) or len(body) != count:
        lost = Outcome(verdict=Verdict.UNKNOWN, code="RESULT_COUNT", message="rows and results differ in number")
        return (lost,) * count
    return tuple(_collected(None, row) for row in body)


def composite_results(references: Sequence[str], body: object) -> list[dict[str, Any]] | None:
    """Give one result per subrequest in the order asked; a missing or broken one as status 500. None: not readable."""
    answered = body.get("compositeResponse") if isinstance(body, Mapping) else None
    if not isinstance(answered, list):
        return None
    by_reference = {item.get("referenceId"): item for item in answered if _is_part(item)}
    return [by_reference.get(reference, {"httpStatusCode": 500}) for reference in references]


def _is_part(item: object) -> bool:
    """Tell whether a subrequest's result can be read: it names its request and has a status and real headers."""
    if not isinstance(item, Mapping) or not isinstance(item.get("referenceId"), str):
        return False
    headers = item.get("httpHeaders") or {}
    is_plain = isinstance(headers, Mapping) and all(isinstance(value, str) for value in headers.values())
    return type(item.get("httpStatusCode")) is int and is_plain


def _collected(record_id: str | None, row: object) -> Outcome:
    if not isinstance(row, Mapping) or not isinstance(row.get("success"), bool):
        return Outcome(verdict=Verdict.UNKNOWN, code="RESULT_SHAPE", message="the row result is not readable")
    named = row.get("id")
    if record_id and isinstance(named, str) and named and (not is_id(named) or to_18(named) != to_18(record_id)):
        return Outcome(verdict=Verdict.UNKNOWN, code="ID_MISMATCH", message="the row result names another record")
    if row["success"]:
        return Outcome(verdict=Verdict.OK)
    return row_outcome(400, row.get("errors"))


def _verdict(status: int, error: ApiError) -> Verdict:
    if status == 412:
        return Verdict.STALE
    if error.code in _TRANSIENT_ROWS or status in _THROTTLED or status == 503 or _LOCK_TEXT.search(error.message):
        return Verdict.RETRIABLE
    return Verdict.UNKNOWN if status >= 500 else Verdict.REJECTED


def _refused(said: str, error: ApiError, wait: float | None) -> ConnectorError:
    if error.code == "REQUEST_LIMIT_EXCEEDED":
        if "concurrent" in error.message.lower():
            return Retriable(f"{said}. Try again later", system=SYSTEM, code=error.code, retry_after_s=wait)
        remedy = "The organisation's daily API calls are used up; run again when the 24-hour window has moved on"
        return Fatal(f"{said}. {remedy}", system=SYSTEM, code=error.code)
    if error.code in _ABOUT_ONE_RECORD:
        return Rejected(f"{said}. Check the sharing of this record", system=SYSTEM, code=error.code)
    return Fatal(f"{said}. Check the permissions of the integration user", system=SYSTEM, code=error.code)


def _failed_write(status: int, said: str, error: ApiError, wait: float | None, *, is_envelope: bool) -> ConnectorError:
    # A 503 with Salesforce's own envelope or a Retry-After refused the request; a bare one may come from a gateway
    # that had already passed it on.
    refused = status in _THROTTLED or (status == 503 and (is_envelope or wait is not None))
    if refused or (status < 500 and _verdict(status, error) is Verdict.RETRIABLE):
        return Retriable(f"{said}. Try again later", system=SYSTEM, code=error.code, retry_after_s=wait)
    if status >= 500 or status == 408:
        text = f"{said}; the write may or may not have happened, read it back"
        return LostAnswer(text, system=SYSTEM, code=error.code or f"HTTP_{status}", retry_after_s=wait)
    return Rejected(said, system=SYSTEM, code=error.code or f"HTTP_{status}")


def _failed_read(status: int, said: str, error: ApiError, wait: float | None) -> ConnectorError:
    if error.code == "INVALID_QUERY_LOCATOR":
        return Retriable(f"{said}. The cursor has expired: pull again", system=SYSTEM, code=error.code)
    if status in _TRANSIENT_READS or status >= 500 or _verdict(status, error) is Verdict.RETRIABLE:
        code = error.code or f"HTTP_{status}"
        return Retriable(f"{said}. Try again later", system=SYSTEM, code=code, retry_after_s=wait)
    if error.code == "INVALID_FIELD":
        return Fatal(_unknown_field(said, error), system=SYSTEM, code=error.code)
    if status < 400:
        return Fatal(f"{said}. Check login_url", system=SYSTEM, code=error.code or f"HTTP_{status}")
    if status == 404:
        return Rejected(said, system=SYSTEM, code=error.code or "NOT_FOUND")
    return Fatal(f"{said}. Check mappings/salesforce.yaml", system=SYSTEM, code=error.code or f"HTTP_{status}")


def _unknown_field(said: str, error: ApiError) -> str:
    found = _NO_COLUMN.search(error.message)
    name = found.group(1) if found else ", ".join(error.fields) or "a field"
    return (
        f"{said.split(':')[0]}: no field {name}, or the integration user may not read it. "
        "Correct mappings/salesforce.yaml or grant field-level security"
    )


def _said(route: str, status: int, error: ApiError) -> str:
    words = [f"Salesforce {route}: HTTP {status}"]
    if error.code:
        words.append(error.code)
    if error.message and error.message != error.code:
        words.append(f"({error.message})")
    return " ".join(words)


def _about(error: ApiError) -> str:
    named = f" [{', '.join(error.fields)}]" if error.fields else ""
    return f"{error.message}{named}"


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST_TEXT else flat[: _LONGEST_TEXT - 1] + "…"
