"""Kleene logic, classes, motions, segments and scores are the same on Polars and on Spark."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.expressions import evaluate, parse
from mappings.insight_policy import Contract, Purchasing
from sync.engine import Engine
from sync.segmentation.predicates import column, letter
from sync.world import BOOL, INT, Schema
from tests.fixtures.small_world import Row, firm, system
from tests.unit.sync.segmentation.conftest import changed, made

RULES: dict[str, Any] = {
    "both": {"all": ["a", "b"]},
    "either": {"any": ["a", "b"]},
    "neither": {"not": {"any": ["a", "b"]}},
    "two_of_three": {"at_least": [2, ["a", "b", "c"]]},
}


def test_three_valued_logic_is_kleenes_on_every_engine(engine: Engine) -> None:
    cases = list(product((True, False, None), repeat=3))
    schema: Schema = {"case": INT, "p__a": BOOL, "p__b": BOOL, "p__c": BOOL}
    rows = [{"case": n, **dict(zip(("p__a", "p__b", "p__c"), case, strict=True))} for n, case in enumerate(cases)]
    table = engine.table(rows, schema)
    judged = table.select("case", *(letter(column(parse(node))).alias(name) for name, node in RULES.items()))
    for row in engine.rows(judged):
        truth = dict(zip("abc", cases[row["case"]], strict=True))
        for name, node in RULES.items():
            expected = evaluate(parse(node), lambda _: None, truth.__getitem__)
            assert row[name] == {True: "T", False: "F", None: "U"}[expected], (name, truth)


def statement(firm_id: str, name: str, value: str, **values: Any) -> Row:
    return {"firm_id": firm_id, "fact": name, "value": value, **values}


def a_world() -> tuple[list[Row], list[Row], dict[str, list[Row]]]:
    """A network, a rural hospital, a group and a province, with signals, contacts and deals."""
    inside = {"idn_id": "900", "idn_name": "Prairie", "idn_parent_id": "900", "idn_parent_name": "Prairie"}
    shares = {"oncology_share_bp": 1800, "cardiology_share_bp": 900, "net_patient_revenue_cents": 7_000_003}
    days = {"medicare_days_bp": 4100, "medicaid_days_bp": 2000, "other_days_bp": 3900}
    members = [
        firm(str(i), f"H{i}", staffed_beds=40 + i, ehr_vendor="Epic" if i % 2 else "Cerner", **inside, **shares, **days)
        for i in range(1, 8)
    ]
    others = [
        firm("20", "Rural", staffed_beds=25, is_rural=True, gpo="Premier", domain="rural.example"),
        firm("21", "Group", firm_type="Physician Group", providers=80),
        firm("22", "Toronto", state="ON"),
    ]
    facts = [
        statement("900", "procurement_centralized", "true"),
        statement("900", "oncology_growth", "2.5", category="oncology"),
        statement("21", "pe_backed", "true"),
        statement("900", "it_budget_usd", "5000000"),
    ]
    tables = {
        "signals": [
            {"domain": "rural.example", "kind": "demo_view", "person": "a", "occurred_on": "2026-01-10"},
            {"firm_id": "900", "kind": "intent", "topic": "x", "strength": 72, "occurred_on": "2026-01-02"},
        ],
        "contacts": [{"record_id": "20", "person": "a", "title": "CFO", "last_touch_on": "2025-12-01"}],
        "opportunities": [
            {"connection": "salesforce", "opportunity_id": "1", "record_id": "20", "amount_cents": 900, "is_won": True,
             "is_closed": True, "close_date": "2025-01-01"},
        ],
    }  # fmt: skip
    return [system("900", "Prairie"), *members, *others], facts, tables


@pytest.mark.spark
def test_profiles_and_scores_are_the_same_on_spark(spark: Engine) -> None:
    contract = Contract(gpo="Premier", category="infusion_pumps", awarded_to="US", valid_from="2020-01-01")
    policy = changed(segments={"purchasing": Purchasing(contracts=(contract,))})
    firms, facts, tables = a_world()
    ours = made(PolarsEngine(), firms, facts, mappings=policy, **tables)
    theirs = made(spark, firms, facts, mappings=policy, **tables)
    assert theirs == ours
    assert ours["20"]["motion"] == "CONTRACT_ACTIVATION"
    assert ours["1"]["segment"] == "regional-systems"


def test_the_order_of_rows_changes_nothing() -> None:
    firms, facts, tables = a_world()
    there = made(PolarsEngine(), firms, facts, **tables)
    back = made(PolarsEngine(), firms[::-1], facts[::-1], **{name: rows[::-1] for name, rows in tables.items()})
    assert back == there
