"""The SOAP envelope: what is sent, and what answers and faults mean."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ConnectorError, Fatal, Rejected, Retriable
from connectors.salesforce import soap
from connectors.salesforce.retry import LostAnswer
from connectors.salesforce.sending import Row

ACCOUNT = "001000000000001AAA"
PARTNER = "{urn:partner.soap.sforce.com}"
OBJECT = "{urn:sobject.partner.soap.sforce.com}"


def _sent(fields: dict[str, Any]) -> Any:
    raw = soap.update(
        [Row(record_id=ACCOUNT, fields=fields)],
        native_object="Account",
        token="to<k>en",
        client="platbook/r/1",
        options={"KeepAccountTeam": True, "TransferOwnedOpenOpportunities": False},
    )
    return fromstring(raw)


def _answer(body: str, status: int = 200) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    spaces = 'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"'
    response._content = f"<e:Envelope {spaces}><e:Body>{body}</e:Body></e:Envelope>".encode()
    return response


def _fault(code: str, text: str = "") -> requests.Response:
    inner = f"<faultcode>sf:{code}</faultcode><faultstring>{code}: {escape(text)}</faultstring>"
    return _answer(f"<e:Fault>{inner}</e:Fault>", 500)


def test_the_headers_keep_the_team_and_keep_rules_out():
    root = _sent({"OwnerId": "005000000000001AAA"})
    said = {element.tag.removeprefix(PARTNER): element.text for element in root.iter() if element.text}
    assert said["sessionId"] == "to<k>en"
    assert (said["client"], said["allOrNone"], said["useDefaultRule"]) == ("platbook/r/1", "false", "false")
    options = [(o.findtext(f"{PARTNER}type"), o.findtext(f"{PARTNER}execute")) for o in root.iter(f"{PARTNER}options")]
    assert options == [("KeepAccountTeam", "true"), ("TransferOwnedOpenOpportunities", "false")]


def test_empty_values_are_cleared_by_name_before_the_id():
    (row,) = _sent({"OwnerId": "005", "CCN__c": None, "NPI__c": "", "Rescore_Flag__c": False}).iter(
        f"{PARTNER}sObjects"
    )
    assert [(child.tag.removeprefix(OBJECT), child.text) for child in row] == [
        ("type", "Account"),
        ("fieldsToNull", "CCN__c"),
        ("fieldsToNull", "NPI__c"),
        ("Id", ACCOUNT),
        ("OwnerId", "005"),
        ("Rescore_Flag__c", "false"),
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1))
def test_text_that_is_sent_at_all_is_sent_whole(text: str):
    fields = {"Territory__c": text}
    if soap.unsendable(fields):
        return
    assert _sent(fields).findtext(f".//{OBJECT}Territory__c") == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("text", ["\x00", "a\x1fb", "\ud800", "\uffff"])
def test_what_xml_cannot_carry_is_named(text: str):
    assert soap.unsendable({"Name": "fine", "Territory__c": text}) == "Territory__c"


def test_a_field_name_cannot_smuggle_in_elements():
    with pytest.raises(ValueError, match="not a Salesforce API name"):
        _sent({"A/><x": "1"})


def test_rows_are_read_in_their_order():
    good = "<result><id>001000000000001AAA</id><success>true</success></result>"
    error = (
        "<errors><fields>OwnerId</fields><message>no</message><statusCode>INACTIVE_OWNER_OR_USER</statusCode></errors>"
    )
    rows, is_answer = soap.read(
        _answer(f"<updateResponse>{good}<result>{error}<success>false</success></result></updateResponse>")
    )
    assert is_answer
    assert [(row["id"], row["success"]) for row in rows] == [(ACCOUNT, True), (None, False)]
    assert rows[1]["errors"] == [{"statusCode": "INACTIVE_OWNER_OR_USER", "message": "no", "fields": ["OwnerId"]}]


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("INVALID_SESSION_ID", "", Fatal),  # refused again after a renewal
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Fatal),
        ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.", Retriable),
        ("SERVER_UNAVAILABLE", "", Retriable),
        ("UNABLE_TO_LOCK_ROW", "", Retriable),
        ("INVALID_FIELD", "no such column", Rejected),
        ("UNKNOWN_EXCEPTION", "", LostAnswer),  # it may have happened
    ],
)
def test_a_fault_is_judged_by_its_code(code: str, text: str, kind: type[ConnectorError]):
    with pytest.raises(ConnectorError) as raised:
        soap.read(_fault(code, text))
    assert type(raised.value) is kind
    assert raised.value.code == code


def test_a_dead_session_is_seen_in_its_fault():
    assert soap.is_expired(_fault("INVALID_SESSION_ID"))
    assert not soap.is_expired(_fault("INVALID_FIELD"))


@pytest.mark.parametrize("raw", [b"<html>", b"", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a/>"])
def test_what_is_no_answer_is_not_taken_for_one(raw: bytes):
    response = _answer("")
    response._content = raw
    assert soap.read(response)[1] is False
