"""The worked cases that are set computations, by their ids, on Spark: all in one forest, each stage once."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.load import load
from sync.authority.records import RECORDS
from sync.authority.resolve import NEEDS, recorded
from sync.engine import Engine
from sync.hierarchy.edges import EDGES, NODES
from sync.hierarchy.latency import latency
from sync.hierarchy.tree import resolve
from sync.world import FIELD_CHANGES, TEXT

pytestmark = pytest.mark.spark

Row = dict[str, Any]
AS_OF = "2026-01-15"
POLICY = load().policies.hierarchy
JV = [("JV", "A", {"pct_bp": 5000}), ("JV", "B", {"pct_bp": 5000})]
BUYS = {"kind": "MANAGES", "pct_bp": None, "procurement": True}

CASES: dict[str, tuple[list[tuple[str, str, Row]], str, tuple[str | None, str | None]]] = {
    "T01-before": ([("VMG", "RHS", {"effective_from": "2026-01-16"})], "VMG", (None, None)),
    "T01-closing": ([("VMG", "RHS", {"effective_from": "2026-01-15"})], "VMG", ("RHS", None)),
    "T02": ([("VMG", "RHS", {"state": "ANNOUNCED"})], "VMG", (None, None)),
    "T03": (JV, "JV", (None, "NO_CONTROL")),
    "T04-before": ([*JV, ("JV", "B", {**BUYS, "effective_from": "2026-01-16"})], "JV", (None, "NO_CONTROL")),
    "T04": ([*JV, ("JV", "B", {**BUYS, "effective_from": "2026-01-15"})], "JV", ("B", None)),
    "T06": ([("H", "A", {"pct_bp": 5100}), ("H", "B", {"pct_bp": 4900})], "H", ("A", None)),
    "T06-exactly": ([("H", "A", {"pct_bp": 5000})], "H", (None, "NO_CONTROL")),
    "T06-through": (
        [("S1", "A", {}), ("S2", "A", {}), ("H", "S1", {"pct_bp": 2900}), ("H", "S2", {"pct_bp": 3100})],
        "H",
        ("S2", None),
    ),
    "T08": ([("A", "B", {"confidence_bp": 9000}), ("B", "A", {"confidence_bp": 6000})], "A", ("B", "CYCLE")),
    "T08-dropped": ([("A", "B", {"confidence_bp": 9000}), ("B", "A", {"confidence_bp": 6000})], "B", (None, "CYCLE")),
    "T09": ([("H", "Vizient", {"kind": "GPO_MEMBER"}), ("H", "X", {"kind": "ACO_PARTICIPANT"})], "H", (None, None)),
    "R19-override": ([("H", "A", {}), ("H", "B", {"is_override": True})], "H", ("B", None)),
    "T24": ([("D", "S", {}), ("H1", "D", {}), ("H2", "D", {})], "H1", ("D", None)),
}


@pytest.fixture(scope="session")
def forest(spark: Engine) -> tuple[Engine, Any, dict[str, Row]]:
    """The hierarchy of all cases at once; every name carries its case."""
    said = {"kind": "OWNS", "pct_bp": 10000, "confidence_bp": 9000, "source": "steward", "state": "ACTIVE"}
    edges = [
        {**said, "child": f"{case}:{child}", "parent": f"{case}:{parent}", "source_ref": f"{case}:{row}", **more}
        for case, (given, _, _) in CASES.items()
        for row, (child, parent, more) in enumerate(given)
    ]
    names = sorted({edge[end] for edge in edges for end in ("child", "parent")})
    nodes = [{"account_id": name, "name": name, "kind": "HOSPITAL"} for name in names]
    tree = resolve(spark.table(edges, EDGES), spark.table(nodes, NODES), POLICY, AS_OF, spark)
    return spark, tree.hierarchy, {row["account_id"]: row for row in spark.rows(tree.hierarchy)}


@pytest.mark.parametrize("case", CASES)
def test_a_hierarchy_case(forest: tuple[Engine, Any, dict[str, Row]], case: str) -> None:
    _, child, (parent, conflict) = CASES[case]
    row = forest[2][f"{case}:{child}"]
    assert row["conflict"] == conflict
    assert row["parent_account_id"] == (parent and f"{case}:{parent}")


def test_T24_T25_who_decides(forest: tuple[Engine, Any, dict[str, Row]]) -> None:
    spark, hierarchy, _ = forest
    said = {"function": "ALL", "category": "ALL", "trust": 0, "confidence_bp": 10000, "in_force": True}
    said |= {"is_expired": False, "valid_from": "2025-01-01"}
    records = [
        {**said, "org": "T24:S", "level": "SYSTEM", "service_line": "ONCOLOGY", "delegates": True, "ref": "r1"},
        {**said, "org": "T24:H1", "level": "SITE", "service_line": "CARDIOLOGY", "delegates": False, "ref": "r2"},
        {**said, "org": "T24:H2", "level": "SITE", "service_line": "CARDIOLOGY", "delegates": False, "ref": "r3"}
        | {"in_force": False, "is_expired": True, "valid_to": "2026-01-14"},
    ]
    asked = {"function": "BUDGET", "category": "pumps"}
    needs = [{**asked, "need": 0, "service_line": "ONCOLOGY"}, {**asked, "need": 1, "service_line": "CARDIOLOGY"}]
    made = recorded(spark.table(records, RECORDS), hierarchy, spark.table(needs, NEEDS), spark)
    rows = {(row["account_id"], row["need"]): row for row in spark.rows(made)}
    assert (rows["T24:H1", 0]["holder_account_id"], rows["T24:H1", 0]["basis"]) == ("T24:S", "DELEGATED")
    assert (rows["T24:H1", 1]["holder_account_id"], rows["T24:H1", 1]["basis"]) == ("T24:H1", "EXPLICIT")
    assert (rows["T24:H2", 1]["basis"], rows["T24:H2", 1]["expired_ref"]) == (None, "r3")


def test_T33_both_clocks(spark: Engine) -> None:
    change = {"account_id": "H", "parent_account_id": "S", "effective_from": "2026-02-10", "first_seen": "2026-03-01"}
    record = {"connection": "salesforce", "record_id": "R", "account_id": "H", "native_parent": "P", "crm_parent": "P"}
    written = {"connection": "salesforce", "record_id": "R", "field": "parent", "new_value": "P"}
    tables = [
        spark.table([change], dict.fromkeys(change, TEXT)),
        spark.table([record], dict.fromkeys(record, TEXT)),
        spark.table([{**written, "changed_at": "2026-03-14T09:00:00.000Z"}], FIELD_CHANGES),
    ]
    [row] = spark.rows(latency(*tables, POLICY, "2026-04-01", spark))
    assert (row["latency_days"], row["note"]) == (32, "source lag 19 d, own lag 13 d")
