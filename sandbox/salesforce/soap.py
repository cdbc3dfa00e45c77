"""The partner SOAP endpoint, for the one thing REST cannot do: update() with owner change options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree.ElementTree import Element  # the type only; texts are parsed by defusedxml
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from sandbox.moment import Cut
from sandbox.salesforce.bundles import MAX_ROWS
from sandbox.salesforce.calls import Call
from sandbox.salesforce.errors import ApiError, too_many
from sandbox.salesforce.ids import id18
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.tables import value_of
from sandbox.salesforce.writes import Writer
from sandbox.world import World

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
PARTNER = "urn:partner.soap.sforce.com"
FAULT = "urn:fault.partner.soap.sforce.com"
OPTIONS = frozenset(
    {
        "EnforceNewOwnerHasReadAccess",
        "KeepAccountTeam",
        "KeepSalesTeam",
        "SendEmail",
        "TransferContacts",
        "TransferContracts",
        "TransferNotesAndAttachments",
        "TransferOpenActivities",
        "TransferOrders",
        "TransferOthersOpenOpportunities",
        "TransferOwnedOpenOpportunities",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A call as it was read from XML."""

    session: str
    client: str = ""
    all_or_none: bool = False
    assigns: str = "TRUE"  # like REST, rules run unless told not to
    options: Mapping[str, bool] = field(default_factory=dict)  # owner change option -> execute
    rows: Sequence[Mapping[str, Any]] = ()  # field -> text, or None to clear; "type" and "Id" among them


class Soap:
    """The update() call of one world."""

    def __init__(self, world: World, schema: Schema, writer: Writer) -> None:
        self._world = world
        self._schema = schema
        self._writer = writer

    def update(self, call: Call, envelope: Envelope) -> str:
        """The answer to an update. ApiError when the request as such is refused."""
        if len(envelope.rows) > MAX_ROWS:
            raise too_many(MAX_ROWS)
        call = replace(call, headers={"sforce-auto-assign": envelope.assigns})
        ids = [id18(str(row["Id"])) for row in envelope.rows if row.get("Id")]
        with self._writer.claim(call, ids):
            self._world.emit("before_write", "salesforce", "Account", ids)
            results = self._each(call, envelope)
        return _answer("".join(f"<result>{result}</result>" for result in results))

    def _each(self, call: Call, envelope: Envelope) -> list[str]:
        results: list[str | ApiError] = []
        pair = self._pair(envelope.rows[0]) if envelope.rows else None
        with self._world.transaction() as rollback:
            for row in envelope.rows:
                held = not self._world.settings.owner_options_per_pair or self._pair(row) == pair
                try:
                    results.append(self._one(_with_options(call, envelope.options if held else {}), row))
                except ApiError as error:
                    if error.code == "INVALID_FIELD":
                        rollback()
                        raise
                    results.append(error)
                except Cut:
                    if envelope.all_or_none:
                        rollback()
                    raise
            if envelope.all_or_none and any(isinstance(result, ApiError) for result in results):
                rollback()
                text = "Record rolled back because not all records were valid and the request was using AllOrNone"
                undone = ApiError("ALL_OR_NONE_OPERATION_ROLLED_BACK", text)
                results = [result if isinstance(result, ApiError) else undone for result in results]
        return [_refused(one) if isinstance(one, ApiError) else _written(one) for one in results]

    def _pair(self, row: Mapping[str, Any]) -> tuple[Any, Any]:
        """Old and new owner of a row."""
        record = self._world.table("salesforce", "Account").get(id18(str(row.get("Id"))), {})
        return record.get("OwnerId"), id18(str(row.get("OwnerId")))

    def _one(self, call: Call, row: Mapping[str, Any]) -> str:
        name = self._schema.object_name(str(row.get("type", "")))
        if name is None:
            raise ApiError("INVALID_TYPE", f"sObject type '{row.get('type')}' is not supported.")
        if not row.get("Id"):
            raise ApiError("MISSING_ARGUMENT", "Id not specified in an update call")
        fields = {}
        for key, text in row.items():
            if key not in ("type", "Id"):
                known = self._schema.field(name, key)
                fields[key] = text if known is None or text is None else value_of(known, text)
        return str(self._writer.update(call, name, str(row["Id"]), fields)["Id"])


def read_envelope(raw: bytes) -> Envelope:
    """The call in an envelope. ApiError when it is no update()."""
    try:
        root = fromstring(raw)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ApiError("UNKNOWN_EXCEPTION", f"the envelope is not XML: {error}") from error
    header, body = root.find(f"{{{ENVELOPE}}}Header"), root.find(f"{{{ENVELOPE}}}Body")
    update = None if body is None else body.find(f"{{{PARTNER}}}update")
    if header is None or update is None:
        raise ApiError("UNKNOWN_EXCEPTION", "the sandbox answers update() of the partner API only")
    assigns = _text(header, "AssignmentRuleHeader", "useDefaultRule") or "true"
    return Envelope(
        session=_text(header, "SessionHeader", "sessionId"),
        client=_text(header, "CallOptions", "client"),
        all_or_none=_text(header, "AllOrNoneHeader", "allOrNone") == "true",
        assigns=assigns.upper(),
        options=_options(header),
        rows=[_row(item) for item in update.findall(f"{{{PARTNER}}}sObjects")],
    )


def fault(error: ApiError) -> str:
    """A refusal of the whole request."""
    detail = (
        f'<sf:UnexpectedErrorFault xmlns:sf="{FAULT}"><sf:exceptionCode>{error.code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(error.message)}</sf:exceptionMessage></sf:UnexpectedErrorFault>"
    )
    text = f"<faultcode>sf:{error.code}</faultcode><faultstring>{error.code}: {escape(error.message)}</faultstring>"
    inner = f'<soapenv:Fault xmlns:sf="{FAULT}">{text}<detail>{detail}</detail></soapenv:Fault>'
    return _envelope(inner, "")  # faultcode and faultstring are in no namespace


def _with_options(call: Call, options: Mapping[str, bool]) -> Call:
    return replace(
        call,
        keeps_team=options.get("KeepAccountTeam", False),
        moves_opportunities=options.get("TransferOwnedOpenOpportunities"),
    )


def _options(header: Element) -> dict[str, bool]:
    options = {}
    for item in header.findall(f"{{{PARTNER}}}OwnerChangeOptions/{{{PARTNER}}}options"):
        kind = item.findtext(f"{{{PARTNER}}}type", "")
        if kind not in OPTIONS:
            raise ApiError("UNKNOWN_EXCEPTION", f"'{kind}' is not a valid value for OwnerChangeOptionType")
        options[kind] = item.findtext(f"{{{PARTNER}}}execute", "") == "true"
    return options


def _row(item: Element) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for child in item:
        name = child.tag.rpartition("}")[2]
        if name == "fieldsToNull":
            row[child.text or ""] = None
        else:
            row[name] = child.text or ""
    return row


def _text(header: Element, name: str, inner: str) -> str:
    return header.findtext(f"{{{PARTNER}}}{name}/{{{PARTNER}}}{inner}", "")


def _written(record_id: str) -> str:
    return f"<id>{record_id}</id><success>true</success>"


def _refused(error: ApiError) -> str:
    fields = "".join(f"<fields>{name}</fields>" for name in error.fields)
    text = f"<message>{escape(error.message)}</message><statusCode>{error.code}</statusCode>"
    return f'<errors>{fields}{text}</errors><id xsi:nil="true"/><success>false</success>'


def _answer(results: str) -> str:
    spaces = f' xmlns="{PARTNER}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return _envelope(f"<updateResponse>{results}</updateResponse>", spaces)


def _envelope(body: str, spaces: str) -> str:
    start = f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{ENVELOPE}"{spaces}>'
    return f"{start}<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
