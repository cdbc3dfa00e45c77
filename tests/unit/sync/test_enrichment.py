"""Golden accounts take each field from the most trusted source that has it, and say from where."""

from __future__ import annotations

from typing import Any

from jobs.engines import PolarsEngine
from mappings.policy import SurvivorshipPolicy
from sync.enrichment import ACCOUNTS, enrich
from tests.fixtures.small_world import Row, account, company, firm, world

POLICY = SurvivorshipPolicy.model_validate(
    {
        "policy": {"id": "survivorship", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "default": ["definitive", "salesforce", "hubspot"],
        "fields": {"name": ["salesforce", "hubspot", "definitive"], "phone": ["hubspot"]},
    }
)
LINKS = {"A": "acc", "100": "acc", "B": "acc"}


def golden(**tables: Any) -> list[Row]:
    engine = PolarsEngine()
    made = world(**tables)
    schema = dict.fromkeys(("source", "source_id", "account_id"), ACCOUNTS["account_id"])
    sources = {"A": "salesforce", "A2": "salesforce", "B": "hubspot", "100": "definitive"}
    rows = [row["record_id"] for row in tables.get("records", [])] + [r["firm_id"] for r in tables.get("firms", [])]
    links = engine.table([{"source": sources[i], "source_id": i, "account_id": "acc"} for i in rows], schema)
    return list(engine.rows(enrich(made, links, POLICY, engine)))


def test_each_field_comes_from_its_most_trusted_source_with_its_place() -> None:
    [row] = golden(
        firms=[firm("100", "Mercy (vendor)", phone="7855550100", staffed_beds=40, row=12)],
        records=[account("A", "Mercy", phone="7855550101", employees=90), company("B", "Mercy HS", phone="7855550102")],
    )
    assert (row["name"], row["name__source"]) == ("Mercy", "salesforce:A")
    assert (row["phone"], row["phone__source"]) == ("7855550102", "hubspot:B")
    assert (row["city"], row["city__source"]) == ("Hays", "definitive:feed.csv:row 12")
    assert (row["staffed_beds"], row["firm_source"]) == (40, "definitive:feed.csv:row 12")
    assert (row["employees"], row["employees__source"]) == (90, "salesforce:A")
    assert row["definitive_id"] == "100"


def test_a_field_nobody_has_is_unknown_and_has_no_source() -> None:
    [row] = golden(records=[company("B", "Mercy")])
    assert row["staffed_beds"] is None
    assert row["ccn"] is None
    assert row["ccn__source"] is None


def test_two_records_of_one_account_give_one_row_whatever_their_order() -> None:
    pair = [account("A", "First"), account("A2", "Second")]
    assert golden(records=pair) == golden(records=pair[::-1])
    assert [row["name"] for row in golden(records=pair)] == ["First"]


def test_the_columns_are_the_schema() -> None:
    [row] = golden(firms=[firm("100", "Mercy")])
    assert list(row) == list(ACCOUNTS)
