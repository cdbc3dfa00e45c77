"""Golden accounts take each field from the most trusted source that has it, and say from where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jobs.engines import PolarsEngine
from mappings.policy import SurvivorshipPolicy
from sync.crosscheck import field_problems
from sync.engine import Engine
from sync.enrichment import ACCOUNTS, enrich, enrich_with_doubts
from sync.world import BOOL, TEXT
from tests.fixtures.small_world import AS_OF, Row, account, company, firm, world

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


def with_policy(**changes: Any) -> SurvivorshipPolicy:
    return POLICY.model_copy(update=changes)


def enriched(engine: Engine, policy: SurvivorshipPolicy, as_of: str, **tables: Any) -> tuple[Row, Row]:
    """The golden row and the doubts of the one account that all rows belong to."""
    rows = [(row["connection"], row["record_id"]) for row in tables.get("records", [])]
    rows += [(row["feed"], row["firm_id"]) for row in tables.get("firms", [])]
    schema = dict.fromkeys(("source", "source_id", "account_id"), TEXT)
    links = engine.table([{"source": s, "source_id": i, "account_id": "acc"} for s, i in rows], schema)
    made, polars = world(**tables), PolarsEngine()
    moved = {n: engine.from_arrow(polars.to_arrow(getattr(made, n))) for n in ("records", "firms", "field_changes")}
    found = enrich_with_doubts(replace(made, **moved), links, policy, engine, as_of)
    [golden_row], [doubts] = engine.rows(found.accounts), engine.rows(found.doubts)
    return dict(golden_row), dict(doubts)


def change(field: str, kind: str, at: str) -> Row:
    return {"connection": "salesforce", "record_id": "A", "field": field, "actor_kind": kind, "changed_at": at}


def test_what_a_person_entered_wins_until_something_else_writes_the_field(engine: Engine) -> None:
    policy = with_policy(protected=("city", "street"))
    rows = {"firms": [firm("100", "Mercy", street="1 Vendor St")]}
    rows["records"] = [account("A", "Mercy", city="Salina", street="2 CRM St")]
    history = [
        change("city", "human", "2026-01-02T00:00:00.000Z"),
        change("city", "import", "2026-01-01T00:00:00.000Z"),
        change("street", "human", "2026-01-01T00:00:00.000Z"),
        change("street", "import", "2026-01-03T00:00:00.000Z"),
    ]
    row, _ = enriched(engine, policy, AS_OF, field_changes=history, **rows)
    assert (row["city"], row["city__source"]) == ("Salina", "salesforce:A")
    assert (row["street"], row["street__source"]) == ("1 Vendor St", "definitive:feed.csv:row 2")


def test_an_expired_value_yields_to_a_fresher_one_and_is_used_where_there_is_none(engine: Engine) -> None:
    policy = with_policy(ttl_days={"city": 365, "staffed_beds": 365})
    old = firm("100", "Mercy", city="Hays", staffed_beds=40, updated_on="2020-01-01")
    fresh = account("A", "Mercy", city="Salina", modified_at="2026-01-01T00:00:00.000Z")
    row, doubts = enriched(engine, policy, AS_OF, firms=[old], records=[fresh])
    assert (row["city"], row["staffed_beds"]) == ("Salina", 40)
    assert (doubts["expired__city"], doubts["expired__staffed_beds"]) == (False, True)
    dropped, _ = enriched(engine, policy.model_copy(update={"expired": "drop"}), AS_OF, firms=[old], records=[fresh])
    assert (dropped["city"], dropped["staffed_beds"]) == ("Salina", None)


def test_a_time_to_live_may_be_that_of_one_source(engine: Engine) -> None:
    policy = with_policy(ttl_days={"definitive.city": 10_000, "city": 1})
    old = firm("100", "Mercy", city="Hays", updated_on="2020-01-01")
    row, _ = enriched(engine, policy, AS_OF, firms=[old], records=[account("A", "Mercy", city="Salina")])
    assert row["city"] == "Hays"


def test_a_vendor_that_says_there_is_none_is_not_filled_up_from_elsewhere(engine: Engine) -> None:
    said = firm("100", "Mercy", phone=None, domain=None, cleared="domain,street")
    row, _ = enriched(engine, POLICY, AS_OF, firms=[said], records=[account("A", "Mercy", domain="m.org", phone="1")])
    assert (row["domain"], row["domain__source"]) == (None, "definitive:feed.csv:row 2")
    assert (row["phone"], row["phone__source"]) == ("1", "salesforce:A")


def test_sources_that_differ_are_counted_within_the_tolerance(engine: Engine) -> None:
    policy = with_policy(compare=("zip5", "city", "employees", "phone"), tolerance_bp={"employees": 2500})
    pair = [account("A", "M", employees=100, city="Hays"), company("B", "M", employees=80, city="Salina", phone="1")]
    _, doubts = enriched(engine, policy, AS_OF, records=pair)
    assert doubts == {
        "account_id": "acc",
        "disagrees__zip5": False,
        "disagrees__city": True,
        "disagrees__employees": False,
        "disagrees__phone": False,
    }
    [problem] = field_problems(engine.table([doubts], dict.fromkeys(doubts, BOOL) | {"account_id": TEXT}), engine)
    assert (problem.code, problem.subject, problem.refs) == ("SOURCES-DISAGREE", "city", ("acc",))
    assert problem.fact == "1 of 1 accounts have sources that differ"


def test_another_vendors_id_is_not_the_vendor_id_that_crms_keep(engine: Engine) -> None:
    row, _ = enriched(engine, POLICY, AS_OF, firms=[firm("7", "Mercy", feed="zoominfo", employees=12)])
    assert (row["definitive_id"], row["employees"], row["firm_feed"]) == (None, 12, "zoominfo")
