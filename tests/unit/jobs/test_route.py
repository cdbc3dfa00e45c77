"""Leads and assumptions as they are read: what is wrong is told with place and near miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.route import LeadError, read_assumptions, read_lead, read_leads

FAULTS = {
    "a misspelt field": ('{"organisation": "X",\n "stat": "TX"}', ("lead:2", "'stat'", "state?")),
    "no JSON": ("{", ("lead:1", "not valid JSON")),
    "a file that is not there": ("nowhere.json", ("nowhere.json", "cannot be read")),
    "a day in words": ('{"received_on": "1 May"}', ("lead:1", "1 May", "YYYY-MM-DD")),
    "a function nobody has": ('{"function": "SALES"}', ("lead:1", "SALES", "CLINICAL")),
    "a list": ("[1]", ("lead:1",)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_lead_that_cannot_be_read_is_told_with_its_place(name: str) -> None:
    text, says = FAULTS[name]
    with pytest.raises(LeadError) as refused:
        read_lead(text)
    assert all(word in str(refused.value) for word in says), str(refused.value)


def test_the_parts_of_a_lead_get_the_form_that_accounts_have() -> None:
    lead = read_lead(
        '{"state": "Texas", "zip5": "75001-1234", "phone": "(214) 555-0100", "ccn": "50001", "amount": "$75,000.50",'
        ' "service_line": "behavioral health", "account": "001000000000sYs"}'
    )
    assert (lead.state, lead.zip5, lead.phone, lead.ccn) == ("TX", "75001", "2145550100", "050001")
    assert (lead.amount_cents, lead.service_line) == (7_500_050, "BEHAVIORAL_HEALTH")
    assert lead.account == "001000000000sYsAAI"


def test_a_faulty_row_of_a_batch_is_told_with_its_line_and_the_others_as_well(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("Organisation,Received On\nMercy,2026-01-01\nMercy,yesterday\nMercy,2026-02-30\n")
    with pytest.raises(LeadError, match=r"(?s)leads\.csv:3.*leads\.csv:4"):
        read_leads(file)


def test_an_unknown_column_of_a_batch_is_told_with_a_near_miss(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("Organization\nMercy\n")
    with pytest.raises(LeadError, match="did you mean organisation"):
        read_leads(file)


def test_assumptions_are_fields_of_the_lead_or_typed_facts() -> None:
    given = ["service_line=ONCOLOGY", "is_held=yes", "amount_cents=5", "authority_level=SITE", "customer=no"]
    fields, facts = read_assumptions(given)
    assert fields == {"service_line": "ONCOLOGY", "amount_cents": "5"}
    assert facts == {"is_held": True, "authority_level": "SITE", "customer": False}


@pytest.mark.parametrize(
    ("given", "says"),
    [("auhority_level=SITE", "authority_level"), ("authority_level=SITES", "SITE, REGION"), ("customer=maybe", "true"),
     ("customer", "has no =")],
)  # fmt: skip
def test_an_assumption_that_cannot_be_read_is_told_with_what_was_expected(given: str, says: str) -> None:
    with pytest.raises(LeadError, match=says):
        read_assumptions([given])
