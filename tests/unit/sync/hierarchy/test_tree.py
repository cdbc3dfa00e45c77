"""Parents and systems from edges: the worked cases of ownership, operation, dates, boundaries and cycles."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.policy import HierarchyPolicy
from sync.hierarchy.edges import EDGES, NODES, feed_edges
from sync.hierarchy.tree import Tree, resolve
from tests.fixtures.small_world import Row, firm, system, world

POLICY = HierarchyPolicy.model_validate(
    {
        "policy": {"id": "hierarchy", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "control_edges": ["OWNS", "MANAGES", "LEASES", "SITE_OF"],
        "boundary_types": ["INVESTOR", "REIT", "GOVERNMENT", "GPO"],
        "source_priority": ["steward", "definitive", "salesforce"],
    }
)


def edge(child: str, parent: str, kind: str = "OWNS", pct: int | None = 10000, **values: Any) -> Row:
    base = {"confidence_bp": 9000, "source": "steward", "source_ref": f"{child}>{parent}", "state": "ACTIVE"}
    return {"child": child, "parent": parent, "kind": kind, "pct_bp": pct, **base, **values}


def tree(edges: list[Row], as_of: str = "2026-01-15", **nodes: Row) -> tuple[dict[str, Row], Tree]:
    engine = PolarsEngine()
    names = sorted({name for e in edges for name in (e["child"], e["parent"])} | set(nodes))
    rows = [{"account_id": name, "name": name, "kind": "HOSPITAL", **nodes.get(name, {})} for name in names]
    made = resolve(engine.table(edges, EDGES), engine.table(rows, NODES), POLICY, as_of, engine)
    return {row["account_id"]: row for row in engine.rows(made.hierarchy)}, made


def parent_of(child: str, edges: list[Row], as_of: str = "2026-01-15", **nodes: Row) -> tuple[Any, Any]:
    row = tree(edges, as_of, **nodes)[0][child]
    return row["parent_account_id"], row["conflict"]


@pytest.mark.parametrize(("as_of", "system_id"), [("2025-04-30", "VMG"), ("2025-05-01", "RHS")])
def test_an_acquisition_counts_from_the_day_of_closing(as_of: str, system_id: str) -> None:
    rows, _ = tree([edge("VMG", "RHS", effective_from="2025-05-01")], as_of)
    assert rows["VMG"]["system_account_id"] == system_id


def test_the_last_day_of_an_edge_does_not_count() -> None:
    assert parent_of("A", [edge("A", "B", effective_to="2026-01-15")]) == (None, None)


def test_an_announced_deal_changes_nothing() -> None:
    assert parent_of("VMG", [edge("VMG", "RHS", state="ANNOUNCED")]) == (None, None)


def test_half_and_half_without_an_operator_is_a_conflict_and_keeps_todays_parent() -> None:
    halves = [edge("JV", "A", pct=5000), edge("JV", "B", pct=5000)]
    assert parent_of("JV", halves) == (None, "NO_CONTROL")
    assert parent_of("JV", halves, JV={"incumbent": "B"}) == ("B", "NO_CONTROL")
    assert parent_of("JV", halves, JV={"incumbent": "Z"}, Z={}) == (None, "NO_CONTROL")


@pytest.mark.parametrize(("as_of", "expected"), [("2023-06-30", (None, "NO_CONTROL")), ("2023-07-01", ("B", None))])
def test_an_operator_that_buys_beats_the_owners_from_its_first_day(as_of: str, expected: tuple[Any, Any]) -> None:
    operated = edge("JV", "B", "MANAGES", None, procurement=True, effective_from="2023-07-01")
    assert parent_of("JV", [edge("JV", "A", pct=5000), edge("JV", "B", pct=5000), operated], as_of) == expected


def test_a_landlord_that_does_not_buy_is_no_parent() -> None:
    assert parent_of("H", [edge("H", "L", "LEASES", None)]) == (None, "NO_CONTROL")
    assert parent_of("H", [edge("H", "L", "LEASES", None), edge("H", "S", "SITE_OF", None)]) == ("S", None)


def test_fifty_one_wins_and_exactly_fifty_does_not() -> None:
    assert parent_of("H", [edge("H", "A", pct=5100), edge("H", "B", pct=4900)]) == ("A", None)
    assert parent_of("H", [edge("H", "A", pct=5000)]) == (None, "NO_CONTROL")


def test_shares_are_summed_by_ultimate_parent_and_the_largest_edge_of_it_is_the_parent() -> None:
    # A holds 31 + 29 = 60 % through two subsidiaries, B holds 40 %.
    edges = [
        edge("S1", "A"),
        edge("S2", "A"),
        edge("H", "S1", pct=2900),
        edge("H", "S2", pct=3100),
        edge("H", "B", pct=4000),
    ]
    rows, _ = tree(edges)
    assert (rows["H"]["parent_account_id"], rows["H"]["system_account_id"]) == ("S2", "A")
    assert (rows["H"]["depth"], rows["H"]["path"], rows["H"]["basis"]) == (2, "A/S2/H", "owns_majority")


def test_one_owner_of_unknown_share_is_the_parent_and_says_so() -> None:
    rows, _ = tree([edge("H", "A", pct=None)])
    assert (rows["H"]["parent_account_id"], rows["H"]["basis"]) == ("A", "owns_pct_unknown")


def test_two_sites_named_by_equally_trusted_sources_are_a_conflict_never_a_choice_by_name() -> None:
    two = [edge("H", "A", "SITE_OF", None), edge("H", "B", "SITE_OF", None)]
    assert parent_of("H", two) == (None, "NO_CONTROL")
    less_trusted = [two[0], {**two[1], "source": "definitive"}]
    assert parent_of("H", less_trusted) == ("A", None)


def test_affiliations_make_no_parent() -> None:
    affiliations = [edge("H", "Vizient", "GPO_MEMBER", None), edge("H", "X", "ACO_PARTICIPANT", None)]
    rows, _ = tree(affiliations)
    assert rows["H"]["system_account_id"] == "H"


def test_the_climb_ends_below_an_investor() -> None:
    rows, _ = tree([edge("MSO", "Fund"), edge("Practice", "MSO")], Fund={"kind": "INVESTOR"})
    assert rows["Practice"]["system_account_id"] == "MSO"
    assert rows["MSO"]["parent_account_id"] is None


def test_an_uncertain_edge_is_evidence_only() -> None:
    assert parent_of("H", [edge("H", "A", confidence_bp=5999)]) == (None, None)


def test_a_cycle_names_its_members_leaves_out_its_weakest_edge_and_marks_both() -> None:
    rows, made = tree([edge("A", "B", confidence_bp=9000), edge("B", "A", confidence_bp=6000), edge("C", "B")])
    [cycle] = made.cycles
    assert cycle.members == ("A", "B")
    assert cycle.dropped[0].startswith("B|A|")
    assert [rows[name]["conflict"] for name in "ABC"] == ["CYCLE", "CYCLE", None]
    assert rows["C"]["path"] == "B/C"


def test_a_long_cycle_and_its_tail_are_resolved() -> None:
    ring = [edge(f"R{i}", f"R{(i + 1) % 4}") for i in range(4)]
    rows, made = tree([*ring, edge("T", "R0"), edge("U", "T")])
    assert [len(cycle.members) for cycle in made.cycles] == [4]
    assert rows["U"]["system_account_id"] == rows["R0"]["system_account_id"]


def test_a_chain_deeper_than_the_limit_is_marked_and_does_not_hang() -> None:
    chain = [edge(f"N{i:03}", f"N{i + 1:03}") for i in range(80)]
    rows, _ = tree(chain)
    assert rows["N000"]["conflict"] == "DEPTH"
    assert rows["N079"]["conflict"] is None


LINKED = dict.fromkeys(("source", "source_id", "account_id"), EDGES["child"])


def from_feed(feed: str = "definitive", **tables: Any) -> tuple[list[Row], list[Row]]:
    engine = PolarsEngine()
    firms = [*tables.get("firms", []), *tables.get("previous_firms", [])]
    ids = sorted({row["firm_id"] for row in tables.get("firms", firms)})
    links = engine.table([{"source": feed, "source_id": i, "account_id": f"acc{i}"} for i in ids], LINKED)
    found = feed_edges(world(**tables), links, engine)
    return sorted(engine.rows(found.edges), key=lambda e: e["child"]), list(engine.rows(found.blanks))


def test_the_flat_feed_gives_two_levels_and_a_self_reference_is_a_root() -> None:
    hospital = firm("1", "H", idn_id="2", idn_name="D", idn_parent_id="3", idn_parent_name="S")
    edges, _ = from_feed(firms=[hospital, system("2", "D", idn_parent_id="3"), system("3", "S")])
    assert [(e["child"], e["parent"], e["kind"]) for e in edges] == [
        ("acc1", "acc2", "SITE_OF"),
        ("acc2", "acc3", "SITE_OF"),
    ]


def test_a_parent_without_a_row_of_its_own_is_a_stub() -> None:
    edges, _ = from_feed(firms=[firm("1", "H", idn_id="9", idn_name="S", idn_parent_id="9")])
    [only] = edges
    assert only["child"] == "acc1"
    assert len(only["parent"]) == 16


def test_a_parent_that_two_vendors_number_alike_is_a_stub_of_each() -> None:
    engine = PolarsEngine()
    firms = [firm("1", "H", idn_id="9", feed="definitive"), firm("2", "G", idn_id="9", feed="definitive_groups")]
    linked = [
        {"source": row["feed"], "source_id": row["firm_id"], "account_id": f"acc{row['firm_id']}"} for row in firms
    ]
    found = feed_edges(world(firms=firms), engine.table(linked, LINKED), engine)
    parents = {row["child"]: row["parent"] for row in engine.rows(found.edges)}
    stubs = {row["feed"]: row["account_id"] for row in engine.rows(found.stubs)}
    assert engine.count(found.edges) == 2
    assert parents == {"acc1": stubs["definitive"], "acc2": stubs["definitive_groups"]}
    assert parents["acc1"] != parents["acc2"]


def test_a_system_that_goes_blank_is_carried_on_and_reported_never_detached() -> None:
    before = firm("1", "H", idn_id="3", idn_parent_id="3", file="old.csv")
    edges, blanks = from_feed(firms=[firm("1", "H"), system("3", "S")], previous_firms=[before, system("3", "S")])
    assert [(e["child"], e["parent"], e["source_ref"]) for e in edges] == [("acc1", "acc3", "definitive:old.csv:row 2")]
    assert [(b["firm_id"], b["previous_idn"]) for b in blanks] == [("1", "3")]


@pytest.mark.parametrize("feed", ["definitive", "definitive_groups"])
def test_a_system_that_a_word_empties_ends_on_the_day_of_the_delivery(feed: str) -> None:
    before = firm("1", "H", idn_id="3", idn_parent_id="3", file="old.csv", feed=feed)
    now = firm("1", "H", cleared="idn_id,idn_parent_id", as_of="2026-02-01", feed=feed)
    edges, blanks = from_feed(firms=[now, system("3", "S", feed=feed)], previous_firms=[before], feed=feed)
    assert [(e["child"], e["parent"], e["state"], e["effective_to"]) for e in edges] == [
        ("acc1", "acc3", "ENDED", "2026-02-01")
    ]
    assert blanks == []


def test_the_parent_of_a_system_that_is_emptied_beside_a_blank_system_says_nothing() -> None:
    before = firm("1", "H", idn_id="2", idn_parent_id="3", file="old.csv")
    now = firm("1", "H", cleared="idn_parent_id")
    edges, blanks = from_feed(firms=[now, system("2", "D"), system("3", "S")], previous_firms=[before])
    assert ("acc1", "acc2", "ACTIVE") in [(e["child"], e["parent"], e["state"]) for e in edges]
    assert [b["previous_idn"] for b in blanks] == ["2"]
    alone = before | {"idn_id": None}
    edges, blanks = from_feed(firms=[now, system("3", "S")], previous_firms=[alone])
    assert ([e["state"] for e in edges], blanks) == (["ENDED"], [])


def test_a_division_that_goes_blank_below_the_same_system_moves_nobody_up() -> None:
    before = firm("1", "H", idn_id="2", idn_parent_id="3", file="old.csv")
    division = system("2", "D", idn_parent_id="3")
    now = firm("1", "H", idn_parent_id="3")
    edges, blanks = from_feed(firms=[now, division, system("3", "S")], previous_firms=[before, division])
    assert [(e["child"], e["parent"], e["state"]) for e in edges] == [
        ("acc1", "acc2", "ACTIVE"),
        ("acc2", "acc3", "ACTIVE"),
    ]
    assert [b["previous_idn"] for b in blanks] == ["2"]
    said = now | {"cleared": "idn_id"}
    edges, blanks = from_feed(firms=[said, division, system("3", "S")], previous_firms=[before, division])
    assert {(e["child"], e["parent"], e["state"]) for e in edges} == {
        ("acc1", "acc2", "ENDED"),
        ("acc1", "acc3", "ACTIVE"),
        ("acc2", "acc3", "ACTIVE"),
    }
    assert blanks == []
