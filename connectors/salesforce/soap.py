"""The partner SOAP envelope for update() with owner change options, which REST has no way to send. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from xml.sax.saxutils import escape

import requests
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from connectors.salesforce import soql
from connectors.salesforce.floors import TEAM_ROWS
from connectors.salesforce.responses import Reply, failure
from connectors.salesforce.sending import Row

ROUTE = "soap_update"
MAX_ROWS = TEAM_ROWS
HEADERS = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""', "Accept": "text/xml"}

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_PARTNER = "urn:partner.soap.sforce.com"
_OBJECT = "urn:sobject.partner.soap.sforce.com"
_UNSENDABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HTTP = {  # the status that REST answers such a code with
    "INVALID_SESSION_ID": 401,
    "INVALID_LOGIN": 401,
    "API_DISABLED_FOR_ORG": 403,
    "INSUFFICIENT_ACCESS": 403,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "API_CURRENTLY_DISABLED": 503,
    "SERVER_UNAVAILABLE": 503,
    "UNABLE_TO_LOCK_ROW": 503,
    "UNKNOWN_EXCEPTION": 500,
}


def unsendable(fields: Mapping[str, Any]) -> str:
    """Give the name of the first field whose text XML cannot carry; "" when there is none."""
    return next((name for name, value in fields.items() if isinstance(value, str) and _UNSENDABLE.search(value)), "")


def update(rows: Sequence[Row], *, native_object: str, token: str, client: str, options: Mapping[str, bool]) -> bytes:
    """Give the request: rows stand alone (AllOrNone false), no assignment rule runs, `options` as said.

    None and "" clear a field. `options` are owner change options, by the vendor's names: True does it, False skips it.
    """
    chosen = "".join(
        f"<options><execute>{_text(execute)}</execute><type>{soql.identifier(name)}</type></options>"
        for name, execute in options.items()
    )
    header = (
        f"<SessionHeader><sessionId>{escape(token)}</sessionId></SessionHeader>"
        f"<CallOptions><client>{escape(client)}</client></CallOptions>"
        "<AllOrNoneHeader><allOrNone>false</allOrNone></AllOrNoneHeader>"
        "<AssignmentRuleHeader><useDefaultRule>false</useDefaultRule></AssignmentRuleHeader>"
        f"<OwnerChangeOptions>{chosen}</OwnerChangeOptions>"
    )
    body = "".join(_object(row, soql.identifier(native_object)) for row in rows)
    spaces = f'xmlns:env="{_ENVELOPE}" xmlns="{_PARTNER}" xmlns:o="{_OBJECT}"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><env:Envelope {spaces}><env:Header>{header}</env:Header>'
        f"<env:Body><update>{body}</update></env:Body></env:Envelope>"
    ).encode()


def read(response: requests.Response) -> tuple[Any, bool]:
    """Give the row results in the form collections have, and whether the answer was one.

    Raises the connector error a fault stands for: every fault comes with status 500, so its code decides.
    """
    try:
        root = fromstring(response.content)
    except (ParseError, DefusedXmlException, ValueError):
        return response.text, False
    fault = root.find(f".//{{{_ENVELOPE}}}Fault")
    if fault is not None:
        said = {child.tag.rpartition("}")[2]: child.text or "" for child in fault}
        _raise(said.get("faultcode", ""), said.get("faultstring", ""))
    answer = root.find(f".//{{{_PARTNER}}}updateResponse")
    if answer is None:
        return response.text, False
    return [_result(item) for item in answer.findall(f"{{{_PARTNER}}}result")], True


def is_expired(response: requests.Response) -> bool:
    """Tell whether the session was refused: SOAP says so in a fault, not by status 401."""
    return response.status_code == 500 and b"INVALID_SESSION_ID" in response.content


def _object(row: Row, native_object: str) -> str:
    cleared = [name for name, value in row.fields.items() if value is None or value == ""]
    given = {name: value for name, value in row.fields.items() if name not in cleared}
    nulls = "".join(f"<o:fieldsToNull>{soql.identifier(name)}</o:fieldsToNull>" for name in cleared)
    values = "".join(f"<o:{soql.identifier(name)}>{escape(_text(value))}</o:{name}>" for name, value in given.items())
    return f"<sObjects><o:type>{native_object}</o:type>{nulls}<o:Id>{row.record_id}</o:Id>{values}</sObjects>"


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _result(item: Any) -> dict[str, Any]:
    errors = [
        {
            "statusCode": error.findtext(f"{{{_PARTNER}}}statusCode", ""),
            "message": error.findtext(f"{{{_PARTNER}}}message", ""),
            "fields": [field.text or "" for field in error.findall(f"{{{_PARTNER}}}fields")],
        }
        for error in item.findall(f"{{{_PARTNER}}}errors")
    ]
    success = {"true": True, "false": False}.get(item.findtext(f"{{{_PARTNER}}}success", ""))
    return {"id": item.findtext(f"{{{_PARTNER}}}id", "") or None, "success": success, "errors": errors}


def _raise(code: str, text: str) -> NoReturn:
    short = code.rpartition(":")[2]
    envelope = [{"errorCode": short, "message": text.removeprefix(f"{short}: ")}]
    raise failure(Reply(status=_HTTP.get(short, 400), body=envelope), route=ROUTE, is_write=True)
