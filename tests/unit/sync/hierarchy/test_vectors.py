"""The worked cases of the hierarchy, by their ids: edges in, parents out. On Spark: test_on_spark.py above."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mappings.load import load
from sync.engine import Engine
from sync.hierarchy.doubts import doubts
from sync.hierarchy.edges import EDGES, NODES, FeedEdges
from sync.hierarchy.forest import Forest
from sync.hierarchy.latency import latency
from sync.hierarchy.stated import SUCCESSIONS
from sync.hierarchy.status import statuses
from sync.hierarchy.tree import resolve
from sync.segmentation.holders import CONFIRMED
from sync.world import FIELD_CHANGES, TEXT

Row = dict[str, Any]
POLICY = load().policies.hierarchy
AS_OF = "2026-01-15"


def edge(child: str, parent: str, kind: str = "OWNS", pct: int | None = 10000, **values: Any) -> Row:
    said = {"confidence_bp": 9000, "source": "steward", "source_ref": f"{child}>{parent}", "state": "ACTIVE"}
    return {"child": child, "parent": parent, "kind": kind, "pct_bp": pct, **said, **values}


@dataclass(frozen=True)
class Grown:
    rows: dict[str, Row]
    forest: Forest
    engine: Engine

    def parent(self, child: str) -> tuple[Any, Any]:
        return self.rows[child]["parent_account_id"], self.rows[child]["conflict"]

    def problems(self) -> list[tuple[str, str, str]]:
        return [(p.code, p.subject, p.fact) for p in doubts(self.forest, self.engine)]


@pytest.fixture
def grown(engine: Engine) -> Callable[..., Grown]:
    def grow(edges: list[Row], as_of: str = AS_OF, **nodes: Row) -> Grown:
        names = sorted({name for e in edges for name in (e["child"], e["parent"])} | set(nodes))
        rows = [{"account_id": name, "name": name, "kind": "HOSPITAL", **nodes.get(name, {})} for name in names]
        table = engine.table(rows, NODES)
        made = engine.table(edges, EDGES)
        tree = resolve(made, table, POLICY, as_of, engine)
        blanks = engine.table([], dict.fromkeys(("feed", "firm_id", "account_id", "name", "previous_idn", "ref"), TEXT))
        none = engine.table([], CONFIRMED)
        forest = Forest(
            edges=made,
            nodes=table,
            tree=tree,
            feed=FeedEdges(edges=made, stubs=blanks, blanks=blanks, released=blanks),
            stated=None,
            status=statuses(none, engine.table([], SUCCESSIONS), engine),
        )
        return Grown({row["account_id"]: row for row in engine.rows(tree.hierarchy)}, forest, engine)

    return grow


Grow = Callable[..., Grown]
JV = [edge("JV", "A", pct=5000), edge("JV", "B", pct=5000)]


@pytest.mark.parametrize(("as_of", "system"), [("2025-04-30", "VMG"), ("2025-05-01", "RHS")])
def test_T01_an_acquisition_counts_from_the_day_of_closing(grown: Grow, as_of: str, system: str) -> None:
    made = grown([edge("VMG", "RHS", effective_from="2025-05-01")], as_of)
    assert made.rows["VMG"]["system_account_id"] == system


def test_T02_an_announced_deal_changes_nothing(grown: Grow) -> None:
    announced = edge("VMG", "RHS", state="ANNOUNCED", effective_from="2025-05-01")
    assert grown([announced], "2025-03-15").parent("VMG") == (None, None)


def test_T03_half_and_half_is_a_conflict_that_lists_the_shares_and_leaves_the_parent(grown: Grow) -> None:
    made = grown(JV)
    assert made.parent("JV") == (None, "NO_CONTROL")
    [(code, subject, fact)] = made.problems()
    assert (code, subject) == ("NO-CONTROL", "JV")
    assert fact == "no candidate controls it: A (OWNS, 50 %), B (OWNS, 50 %)"
    assert grown(JV, JV={"incumbent": "B"}).parent("JV") == ("B", "NO_CONTROL")


@pytest.mark.parametrize(("as_of", "parent"), [("2023-06-30", (None, "NO_CONTROL")), ("2023-07-01", ("B", None))])
def test_T04_an_operator_that_buys_beats_the_owners_from_its_first_day(
    grown: Grow, as_of: str, parent: tuple[Any, Any]
) -> None:
    operated = edge("JV", "B", "MANAGES", None, procurement=True, effective_from="2023-07-01")
    made = grown([*JV, operated], as_of)
    assert made.parent("JV") == parent
    assert made.rows["JV"]["basis"] == ("operator" if parent[0] else "no_control")


def test_T06_fifty_one_wins_and_exactly_fifty_does_not(grown: Grow) -> None:
    assert grown([edge("H", "A", pct=5100), edge("H", "B", pct=4900)]).parent("H") == ("A", None)
    assert grown([edge("H", "A", pct=5000)]).parent("H") == (None, "NO_CONTROL")


def test_T06_shares_are_summed_by_ultimate_parent(grown: Grow) -> None:
    through = [edge("S1", "A"), edge("S2", "A"), edge("H", "S1", pct=3000), edge("H", "S2", pct=3000)]
    made = grown([*through, edge("H", "B", pct=4000)])
    assert made.rows["H"]["system_account_id"] == "A"


def test_T08_a_circle_drops_its_weakest_edge_and_writes_no_parent(grown: Grow) -> None:
    made = grown([edge("A", "B", confidence_bp=9000), edge("B", "A", confidence_bp=6000)])
    assert made.parent("A") == ("B", "CYCLE")
    assert made.parent("B") == (None, "CYCLE")
    [cycle] = made.forest.tree.cycles
    assert (cycle.members, cycle.dropped) == (("A", "B"), ("B|A|OWNS|steward|B>A",))
    assert len(cycle.edge_ids) == 2
    assert [code for code, *_ in made.problems()] == ["PARENT-CYCLE"]


def test_T08_of_two_equally_sure_edges_the_one_seen_last_goes(grown: Grow) -> None:
    made = grown([edge("A", "B", first_seen="2025-01-01"), edge("B", "A", first_seen="2025-06-01")])
    assert made.forest.tree.cycles[0].dropped[0].startswith("B|A|")


def test_T09_memberships_make_no_parent(grown: Grow) -> None:
    made = grown([edge("H", "Vizient", "GPO_MEMBER", None), edge("H", "X", "ACO_PARTICIPANT", None)])
    assert (made.parent("H"), made.rows["H"]["system_account_id"]) == ((None, None), "H")


@pytest.mark.parametrize("kind", ["INVESTOR", "REIT", "GOVERNMENT", "GPO"])
def test_R20_the_climb_ends_below_a_boundary(grown: Grow, kind: str) -> None:
    made = grown([edge("Clinic", "MSO"), edge("MSO", "Fund")], Fund={"kind": kind})
    assert made.rows["Clinic"]["system_account_id"] == "MSO"


def test_R19_a_stewards_override_decides_alone(grown: Grow) -> None:
    facts = [edge("H", "A", pct=10000), edge("H", "B", "SITE_OF", None, is_override=True)]
    made = grown(facts)
    assert (made.parent("H"), made.rows["H"]["basis"]) == (("B", None), "steward_override")
    alone = grown([edge("H", "A"), edge("H", "H", "OWNS", None, is_override=True)])
    assert (alone.parent("H"), alone.rows["H"]["basis"]) == ((None, None), "steward_override")


def test_R19_an_override_that_has_ended_decides_nothing(grown: Grow) -> None:
    over = edge("H", "B", "SITE_OF", None, is_override=True, effective_to="2026-01-15")
    assert grown([edge("H", "A"), over]).parent("H") == ("A", None)


def test_an_ended_edge_holds_until_its_last_day(grown: Grow) -> None:
    ended = edge("H", "A", state="ENDED", effective_to="2025-06-01")
    assert grown([ended], "2025-05-31").parent("H") == ("A", None)
    assert grown([ended], "2025-06-01").parent("H") == (None, None)


SHOWN = {"connection": TEXT, "record_id": TEXT, "account_id": TEXT, "native_parent": TEXT, "crm_parent": TEXT}
DATED = {"account_id": TEXT, "parent_account_id": TEXT, "effective_from": TEXT, "first_seen": TEXT}


def test_T33_both_clocks_of_a_late_change_are_told_apart(engine: Engine) -> None:
    change = {"account_id": "H", "parent_account_id": "S", "effective_from": "2026-02-10", "first_seen": "2026-03-01"}
    record = {"connection": "salesforce", "record_id": "R", "account_id": "H", "native_parent": "P", "crm_parent": "P"}
    written = {"connection": "salesforce", "record_id": "R", "field": "parent", "new_value": "P"}
    history = [{**written, "changed_at": "2026-03-14T09:00:00.000Z"}]
    tables = engine.table([change], DATED), engine.table([record], SHOWN), engine.table(history, FIELD_CHANGES)
    [row] = engine.rows(latency(*tables, POLICY, "2026-04-01", engine))
    assert (row["latency_days"], row["is_breached"], row["note"]) == (32, True, "source lag 19 d, own lag 13 d")


def test_T33_a_change_that_no_crm_shows_runs_until_today(engine: Engine) -> None:
    change = {"account_id": "H", "parent_account_id": "S", "effective_from": "2026-02-10", "first_seen": "2026-02-12"}
    record = {"connection": "salesforce", "record_id": "R", "account_id": "H", "native_parent": "P", "crm_parent": "Q"}
    tables = engine.table([change], DATED), engine.table([record], SHOWN), engine.table([], FIELD_CHANGES)
    [row] = engine.rows(latency(*tables, POLICY, "2026-03-01", engine))
    assert (row["latency_days"], row["own_lag_days"], row["is_breached"]) == (19, 17, False)
    assert row["applied_on"] is None
