"""Events of small worlds, by the worked cases: found once, with deadline, gate, and whom they touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings
from mappings.regulation import Regulation
from sync.proposals import Findings
from sync.reconcile import find_out, reconcile
from tests.fixtures.small_world import AS_OF, Row, account, edge_fact, firm, system, user, world

MAPPINGS = load()
ENGINE = PolarsEngine()
SYSTEMS = [system("900", "Prairie"), system("800", "Lakes", state="IA")]
HOSPITAL = firm("1", "Mercy")


@dataclass(frozen=True)
class Seen:
    found: Findings
    firm_of: dict[str, str]

    def events(self, kind: str) -> list[Row]:
        return sorted((r for r in ENGINE.rows(self.found.structure.events) if r["kind"] == kind), key=str)

    def touched(self, event: Row) -> set[tuple[str, str]]:
        rows = ENGINE.rows(self.found.structure.affected)
        return {(self.name(r["account_id"]), r["relation"]) for r in rows if r["event_id"] == event["event_id"]}

    def flags(self) -> dict[str, str]:
        return {self.name(r["account_id"]): r["reason"] for r in ENGINE.rows(self.found.flags)}

    def name(self, account_id: str) -> str:
        return self.firm_of.get(account_id, account_id)


def look(as_of: str = AS_OF, mappings: Mappings = MAPPINGS, **tables: Any) -> Seen:
    found, _ = find_out(world(**tables), mappings, as_of, ENGINE)
    return Seen(found, {row["account_id"]: row["source_id"] for row in ENGINE.rows(found.links)})


def moved(*edges: Row, as_of: str = AS_OF, **tables: Any) -> Seen:
    return look(as_of, firms=[*SYSTEMS, HOSPITAL, *tables.pop("firms", [])], edge_facts=list(edges), **tables)


SOLD = (
    edge_fact("1", "900", effective_to="2026-01-10", first_seen="2020-01-01", row=2),
    edge_fact("1", "800", effective_from="2026-01-10", first_seen="2026-01-10", row=3),
)


def test_T01_a_sale_is_an_event_of_its_day_with_old_and_new_system() -> None:
    seen = moved(*SOLD)
    [event] = seen.events("OWNERSHIP_CHANGE")
    assert (event["detail"], event["old"], event["new"]) == ("moved_system", "Prairie", "Lakes")
    assert (event["effective_date"], event["due_on"], event["gate"]) == ("2026-01-10", "2026-02-09", "auto")
    assert seen.touched(event) == {("1", "self"), ("900", "old_root"), ("800", "new_root")}
    assert seen.flags() == {"1": "Ownership change: Moved from Prairie to Lakes (as of 2026-01-10)"}


@pytest.mark.parametrize(
    ("owner", "closed", "gate"),
    [("u-prairie", False, "approval"), ("u-prairie", True, "auto"), ("u-lakes", False, "auto")],
    ids=["open deal and another owner", "no open deal", "the owner stays"],
)
def test_R63_a_sale_waits_for_approval_where_the_owner_of_an_open_deal_changes(
    owner: str, closed: bool, gate: str
) -> None:
    people = [user("u-prairie", "p@x.example"), user("u-lakes", "l@x.example")]
    records = [
        account("R1", "Mercy", owner=owner, definitive_id="1", state="KS", zip5="67601"),
        account("R8", "Lakes", owner="u-lakes", definitive_id="800", state="IA"),
    ]
    deal = {"connection": "salesforce", "opportunity_id": "O", "record_id": "R1", "owner": owner, "stage": "Proposal"}
    seen = moved(*SOLD, records=records, users=people, opportunities=[{**deal, "is_closed": closed, "is_won": False}])
    [event] = seen.events("OWNERSHIP_CHANGE")
    assert event["gate"] == gate


def test_T02_an_announced_deal_is_watched_and_no_event() -> None:
    deal = edge_fact("1", "900", state="ANNOUNCED", announced_on="2025-12-01", effective_from="2026-05-01")
    seen = moved(deal)
    assert seen.events("OWNERSHIP_CHANGE") == []
    [row] = ENGINE.rows(seen.found.structure.watch)
    assert (seen.name(row["child"]), row["effective_from"], row["is_overdue"]) == ("1", "2026-05-01", False)


def test_R63_the_same_event_found_again_has_the_same_id() -> None:
    first, again = moved(*SOLD), moved(*SOLD[::-1], as_of="2026-01-20")
    assert first.events("OWNERSHIP_CHANGE")[0]["event_id"] == again.events("OWNERSHIP_CHANGE")[0]["event_id"]


def test_R63_an_event_leaves_with_its_window() -> None:
    assert moved(*SOLD, as_of="2026-02-09").events("OWNERSHIP_CHANGE") == []


def test_R63_what_is_below_a_sold_organisation_is_flagged_too() -> None:
    site = edge_fact("2", "1", "SITE_OF", None, first_seen="2020-01-01", row=9)
    seen = moved(*SOLD, site, firms=[firm("2", "Mercy North", zip5="67602")])
    [event] = seen.events("OWNERSHIP_CHANGE")
    assert ("2", "descendant") in seen.touched(event)
    assert seen.flags()["2"].endswith("(of an organisation above) (as of 2026-01-10)")


def test_A08_late_knowledge_makes_a_correction_and_edits_no_history() -> None:
    known = "2026-01-12"
    old = edge_fact("1", "900", first_seen="2020-01-01", row=2)
    new = edge_fact("1", "800", "OWNS", 10000, effective_from="2025-11-01", first_seen=known, row=3)
    gone = edge_fact("1", "900", effective_from="2025-11-01", effective_to="2025-11-01", first_seen=known, row=4)
    seen = moved(old, new, gone)
    [event] = [e for e in seen.events("OWNERSHIP_CHANGE") if e["new"] == "Lakes"]
    assert (event["is_late"], event["first_seen"]) == (True, known)
    rows = [r for r in ENGINE.rows(seen.found.structure.corrections) if r["known"] != r["believed"]]
    assert ("2025-11-01", known, "Prairie") in {(r["effective_date"], r["first_seen"], r["believed"]) for r in rows}


@pytest.mark.parametrize(("back_on", "details"), [("2026-01-12", ["flapping"]), ("2026-01-13", None)])
def test_R63_there_and_back_within_a_fortnight_is_one_event_to_look_at(back_on: str, details: Any) -> None:
    edges = [
        edge_fact("1", "900", effective_to="2025-12-29", first_seen="2020-01-01", row=2),
        edge_fact("1", "800", effective_from="2025-12-29", effective_to=back_on, first_seen="2025-12-29", row=3),
        edge_fact("1", "900", effective_from=back_on, first_seen=back_on, row=4),
    ]
    found = moved(*edges).events("OWNERSHIP_CHANGE")
    assert [e["detail"] for e in found] == (details or ["moved_system", "moved_system"])
    if details:
        assert (found[0]["gate"], found[0]["old"]) == ("review", "Prairie")


def test_R63_another_operator_is_an_event_without_another_system() -> None:
    owned = edge_fact("1", "900", first_seen="2020-01-01", row=2)
    run = {"procurement": True, "effective_from": "2026-01-05", "first_seen": "2026-01-05", "row": 3}
    [event] = moved(owned, edge_fact("1", "900", "MANAGES", None, **run)).events("OWNERSHIP_CHANGE")
    assert event["detail"] == "operator_change"


def test_T31_a_closed_hospital_hands_over_to_its_successor_and_counts_no_more() -> None:
    closed = {"feed": "facts", "firm_id": "1", "fact": "status", "value": "CLOSED", "valid_from": "2026-01-01"}
    heir = firm("9", "Heir", zip5="67609")
    follows = edge_fact("9", "1", "SUCCESSOR_OF", None, effective_from="2026-01-01")
    records = [account("R1", "Mercy", owner="U1"), account("R9", "Heir", zip5="67609", owner="U2")]
    users = [user("U1", "ann@x.example"), user("U2", "bob@x.example")]
    seen = look(
        firms=[HOSPITAL, heir],
        facts=[{**closed, "file": "f.csv", "row": 2}],
        edge_facts=[follows],
        records=records,
        users=users,
    )
    owners = {seen.name(r["account_id"]): r["owner_email"] for r in ENGINE.rows(seen.found.ownership)}
    assert set(owners.values()) == {"bob@x.example"}
    [status] = ENGINE.rows(seen.found.structure.status)
    assert status["status"] == "CLOSED"
    [event] = seen.events("SUCCESSION")
    assert (event["due_on"], {relation for _, relation in seen.touched(event)}) == ("2026-01-02", {"self", "successor"})
    facts = {r["account_id"]: r["hospitals__lo"] for r in ENGINE.rows(seen.found.facts)}
    assert not facts[event["account_id"]]


def test_T32_R21_a_change_of_owner_keeps_the_organisation_and_a_consolidation_retires_a_number() -> None:
    before = firm("1", "Mercy", ccn="050001")
    same = moved(*SOLD, firms=[firm("3", "Other", ccn="050002", zip5="67603")])
    assert same.events("OWNERSHIP_CHANGE")[0]["account_id"]
    old, new = firm("1", "Mercy", ccn="450001"), firm("9", "Heir", ccn="450010", zip5="67609")
    follows = edge_fact("9", "1", "SUCCESSOR_OF", None, effective_from="2026-01-01")
    seen = look(firms=[old, new], edge_facts=[follows])
    [status] = ENGINE.rows(seen.found.structure.status)
    assert (seen.name(status["account_id"]), status["status"]) == ("1", "MERGED")
    assert seen.name(status["successor_account_id"]) == "9"
    assert before["ccn"] != before["ccn"].lstrip("0")


def test_R63_a_chain_of_successors_ends_at_the_last_and_a_circle_at_nobody() -> None:
    firms = [firm(str(i), f"Site {i}", zip5=f"6760{i}") for i in (1, 2, 3, 4, 5)]
    chain = [("2", "1"), ("3", "2"), ("5", "4"), ("4", "5")]
    seen = look(
        firms=firms, edge_facts=[edge_fact(a, b, "SUCCESSOR_OF", None, row=i) for i, (a, b) in enumerate(chain)]
    )
    heirs = {seen.name(r["account_id"]): r["successor_account_id"] for r in ENGINE.rows(seen.found.structure.status)}
    assert {key: value and seen.name(value) for key, value in heirs.items()} == {
        "1": "3",
        "2": "3",
        "4": None,
        "5": None,
    }


def test_R63_lines_payers_and_technology_restated_by_the_vendor() -> None:
    was = {"net_patient_revenue_cents": 10**10, "oncology_share_bp": 1000, "cardiology_share_bp": 1000}
    was |= {"orthopedics_share_bp": 0, "ehr_vendor": "Epic", "medicare_days_bp": 3000, "medicaid_days_bp": 2000}
    now = {**was, "oncology_share_bp": 1600, "cardiology_share_bp": 1199, "orthopedics_share_bp": 300}
    now |= {"ehr_vendor": "MEDITECH", "medicare_days_bp": 4100, "aco": "New Care"}
    seen = look(firms=[firm("1", "Mercy", **now)], previous_firms=[firm("1", "Mercy", **was)])
    details = {e["detail"] for e in seen.events("SERVICE_LINE_CHANGE")}
    assert details == {"oncology_strength", "orthopedics_opened"}
    assert [(e["old"], e["new"]) for e in seen.events("TECH_CHANGE")] == [("Epic", "MEDITECH")]
    assert [e["detail"] for e in seen.events("PAYER_CONTRACT")] == ["payer_class"]
    assert "Health record system: Epic to MEDITECH" in seen.flags()["1"]
    assert seen.flags()["1"].endswith("; and 1 more")


def test_R63_the_marks_of_strength_and_of_government_are_the_policys() -> None:
    was = {"oncology_share_bp": 1000, "medicare_days_bp": 3000, "medicaid_days_bp": 2000}
    now = {**was, "oncology_share_bp": 1600, "medicare_days_bp": 4100}
    tables: Any = {"firms": [firm("1", "Mercy", **now)], "previous_firms": [firm("1", "Mercy", **was)]}
    policies = MAPPINGS.policies
    strict = policies.segments.model_copy(
        update={
            "strength": policies.segments.strength.model_copy(update={"strong_share_bp": 2000}),
            "payers": policies.segments.payers.model_copy(update={"gov_heavy_above_bp": 7000}),
        }
    )
    changed = MAPPINGS.model_copy(update={"policies": policies.model_copy(update={"segments": strict})})
    kinds = ("SERVICE_LINE_CHANGE", "PAYER_CONTRACT")
    assert [len(look(**tables).events(kind)) for kind in kinds] == [1, 1]
    assert [len(look(mappings=changed, **tables).events(kind)) for kind in kinds] == [0, 0]


def test_R23_medicare_advantage_counts_as_the_policy_says_in_events_too() -> None:
    was = {"medicare_days_bp": 3500, "medicaid_days_bp": 2000, "medicare_advantage_days_bp": 0}
    tables: Any = {
        "firms": [firm("1", "Mercy", **{**was, "medicare_advantage_days_bp": 1200})],
        "previous_firms": [firm("1", "Mercy", **was)],
    }
    tiers = MAPPINGS.policies.tiers
    other = tiers.model_copy(update={"assumptions": {**tiers.assumptions, "ma_counts_as": "commercial"}})
    commercial = MAPPINGS.model_copy(update={"policies": MAPPINGS.policies.model_copy(update={"tiers": other})})
    assert len(look(**tables).events("PAYER_CONTRACT")) == 1
    assert look(mappings=commercial, **tables).events("PAYER_CONTRACT") == []


def test_R63_a_contract_that_begins_touches_the_holder_and_its_members() -> None:
    contract = {"feed": "facts", "firm_id": "900", "fact": "gpo_contract", "category": "infusion_pumps"}
    said = {**contract, "value": "Premier", "valid_from": AS_OF, "file": "f.csv", "row": 2}
    seen = moved(edge_fact("1", "900", first_seen="2020-01-01"), facts=[said])
    [event] = seen.events("PAYER_CONTRACT")
    assert seen.touched(event) == {("900", "self"), ("1", "member")}
    assert (event["due_on"], event["gate"]) == ("2026-01-22", "auto")


def test_R63_a_law_touches_the_hospitals_of_its_state_from_its_first_day() -> None:
    law = (
        Regulation(state="KS", con="CON", valid_from="", valid_to="2026-01-10", citation="a law"),
        Regulation(state="KS", con="none", valid_from="2026-01-10", citation="its repeal"),
    )
    seen = look(mappings=MAPPINGS.model_copy(update={"regulation": law}), firms=[*SYSTEMS, HOSPITAL])
    [event] = seen.events("REGULATORY")
    assert (event["old"], event["new"], event["due_on"]) == ("CON", "none", "2026-01-10")
    assert seen.touched(event) == {("1", "site")}


def test_R63_an_owner_who_is_inactive_touches_the_book() -> None:
    users = [user("U1", "ann@x.example", is_active=False)]
    seen = look(firms=[HOSPITAL], records=[account("R1", "Mercy", owner="U1")], users=users)
    [event] = seen.events("REP_CHANGE")
    assert (event["subject"], {relation for _, relation in seen.touched(event)}) == ("ann@x.example", {"unit"})
    assert seen.flags() == {}


def test_R63_row_order_changes_nothing() -> None:
    one, other = moved(*SOLD), moved(*SOLD[::-1])
    assert sorted(map(str, ENGINE.rows(one.found.structure.events))) == sorted(
        map(str, ENGINE.rows(other.found.structure.events))
    )


def test_R64_the_days_since_a_sale_are_counted_on_the_crm_record() -> None:
    records = [account("R1", "Mercy"), account("R8", "Lakes", zip5=None, state="IA")]
    made = reconcile(
        world(firms=[*SYSTEMS, HOSPITAL], edge_facts=list(SOLD), records=records), MAPPINGS, "2026-02-20", ENGINE
    )
    assert made.latency is not None
    [row] = ENGINE.rows(made.latency)
    assert (row["record_id"], row["latency_days"], row["is_breached"]) == ("R1", 41, True)
