"""The worked cases that are set computations, by their ids, on Spark: all in one forest, each stage once."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pytest

from mappings.load import load
from sync.authority.records import RECORDS
from sync.authority.resolve import ANSWERS, NEEDS, recorded
from sync.engine import Engine
from sync.enrichment import ACCOUNTS
from sync.hierarchy.edges import EDGES, NODES
from sync.hierarchy.latency import latency
from sync.hierarchy.stated import SUCCESSIONS
from sync.hierarchy.status import gone, statuses
from sync.hierarchy.tree import HIERARCHY, resolve
from sync.segmentation.holders import CONFIRMED, holders
from sync.segmentation.tiers import TIERS, inherited
from sync.territory.units import Tree, coverage_units
from sync.world import FIELD_CHANGES, TEXT

pytestmark = pytest.mark.spark

Row = dict[str, Any]
AS_OF = "2026-01-15"
POLICY = load().policies.hierarchy
TERRITORIES = load().policies.territories
_VERDICTS = {name: dtype for name, dtype in TIERS.items() if name != "account_id"}
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
    "T32-before": (
        [("H", "A", {"effective_to": "2026-01-16"}), ("H", "B", {"effective_from": "2026-01-16"})],
        "H",
        ("A", None),
    ),
    "T32": (
        [("H", "A", {"effective_to": "2026-01-15"}), ("H", "B", {"effective_from": "2026-01-15"})],
        "H",
        ("B", None),
    ),
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


def test_T23_an_affiliate_has_the_tier_of_its_system_unless_it_decides_itself(spark: Engine) -> None:
    of = {"account_id": TEXT, "system_account_id": TEXT}
    members = ("S", "inherits", "decides")
    tree = spark.table([{"account_id": name, "system_account_id": "S"} for name in members], of)
    answer = {"account_id": "decides", "need": 0, "holder_account_id": "decides", "level": "SITE", "basis": "EXPLICIT"}
    deciding = spark.materialize(holders(tree, spark.table([answer], ANSWERS), load().policies.authority))
    judged = {"S": "T1", "inherits": "T3", "decides": "T3"}
    verdicts = spark.table([{"holder_account_id": key, "tier": tier} for key, tier in judged.items()], _VERDICTS)
    alone = deciding.with_columns(holder_account_id=nw.col("account_id"))
    effective, standalone = (
        {row["account_id"]: row["tier"] for row in spark.rows(inherited(who, verdicts))} for who in (deciding, alone)
    )
    assert effective == {"S": "T1", "inherits": "T1", "decides": "T3"}
    assert standalone == judged


def test_T31_T32_who_is_gone_is_followed_to_the_successor_and_numbers_keep_their_zeros(spark: Engine) -> None:
    closed = {"account_id": "old", "fact": "status", "value": "CLOSED", "category": "", "valid_from": "2025-06-30"}
    confirmed = spark.table([{**closed, "in_force": True, "fact_source": "facts:f.csv:row 2"}], CONFIRMED)
    follows = {"old": "H9", "450001": "450010", "050001": "450010"}
    steps = [
        {"account_id": was, "successor_account_id": now, "since": "2026-01-01", "source_ref": "edges:e.csv:row 2"}
        for was, now in follows.items()
    ]
    made = statuses(confirmed, spark.table(steps, SUCCESSIONS), spark)
    told = {row["account_id"]: (row["status"], row["successor_account_id"]) for row in spark.rows(made)}
    assert told == {"old": ("CLOSED", "H9"), "450001": ("MERGED", "450010"), "050001": ("MERGED", "450010")}
    known = [*follows, "H9", "450010", "50001"]
    tree = [{"account_id": name, "system_account_id": "S" if name == "H9" else name} for name in known]
    accounts = spark.table([{"account_id": name, "name": name, "state": "KS"} for name in [*known, "S"]], ACCOUNTS)
    hierarchy = spark.table([*tree, {"account_id": "S", "system_account_id": "S"}], HIERARCHY)
    units = coverage_units(
        Tree(accounts=accounts, hierarchy=hierarchy, recorded=None, gone=gone(made)), TERRITORIES, spark
    )
    found = {row["account_id"]: (row["unit"], row["is_gone"]) for row in spark.rows(units)}
    assert (found["old"], found["H9"]) == (("S", True), ("S", False))  # its leads reach the owner of H9's system
    assert (found["050001"], found["50001"]) == (("450010", True), ("50001", False))
