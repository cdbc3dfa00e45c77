"""Leads through the whole core: vector T01 by the day of arrival, T31 by a succession on file, and equal records."""

from __future__ import annotations

import random
from itertools import product

import pytest

from jobs.engines import PolarsEngine
from mappings.leads import Lead
from mappings.load import load
from mappings.policy import RepPolicy
from sync.authority.records import RECORDS
from sync.authority.resolve import NEEDS, recorded
from sync.hierarchy.tree import HIERARCHY
from sync.reconcile import find_out
from sync.territory.deciding import AuthorityRecord, Question, who_decides
from sync.territory.lead_book import LeadBook, Sources
from sync.territory.leads import Routed, route_lead
from sync.world import World
from tests.fixtures.small_world import account, authority_fact, edge_fact, firm, user, world

SHIPPED = load()
ENGINE = PolarsEngine()
REPS = RepPolicy.model_validate(
    {
        "policy": {"id": "reps", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "reps": [
            {"email": "sam@x.example", "name": "Sam", "role": "PRIMARY"},
            {"email": "nia@x.example", "name": "Nia", "role": "PRIMARY"},
            {"email": "gia@x.example", "name": "Gia", "role": "GEO", "states": ["KS"]},
        ],
    }
)
MAPPINGS = SHIPPED.model_copy(update={"policies": SHIPPED.policies.model_copy(update={"reps": REPS})})
USERS = [user(f"U{place}", rep.email) for place, rep in enumerate(REPS.reps)]


def book(tables: World, as_of: str) -> LeadBook:
    found, forest = find_out(tables, MAPPINGS, as_of, ENGINE)
    sources = Sources(world=tables, found=found, forest=forest, policies=MAPPINGS.policies, as_of=as_of)
    return LeadBook(sources, ENGINE)


def routed(tables: World, lead: Lead, as_of: str) -> Routed:
    by = book(tables, as_of)
    return route_lead(by.inputs(lead, {}), by.basis)


def acquired() -> World:
    """Valley Medical Group, a hospital of its own until RHS buys it on the first of May."""
    return world(
        users=USERS,
        records=[
            account("V", "Valley Medical Group", definitive_id="10", owner="U1"),
            account("R", "Regional Health System", definitive_id="20", owner="U0", zip5="67602"),
            account("R1", "Regional Hospital", definitive_id="21", owner="U0", zip5="67602"),
        ],
        firms=[
            firm("10", "Valley Medical Group", zip5="67601"),
            firm("20", "Regional Health System", zip5="67602"),
            firm("21", "Regional Hospital", zip5="67602"),
        ],
        edge_facts=[
            edge_fact("10", "20", "OWNS", 10_000, effective_from="2025-05-01"),
            edge_fact("21", "20", "OWNS", 10_000, effective_from="2020-01-01"),
        ],
    )


@pytest.mark.parametrize(("day", "assignee"), [("2025-04-30", "gia@x.example"), ("2025-05-01", "sam@x.example")])
def test_T01_the_day_of_closing_counts(day: str, assignee: str) -> None:
    lead = Lead(organisation="Valley Medical Group", zip5="67601")
    assert routed(acquired(), lead, day).assignee == assignee


def test_T24_a_record_of_the_authority_feed_reaches_the_routing() -> None:
    tables = acquired()
    facts = [authority_fact("21", "SITE", service_line="CARDIOLOGY", valid_from="2025-01-01")]
    with_records = world(
        **{name: list(ENGINE.rows(getattr(tables, name))) for name in ("users", "records", "firms", "edge_facts")},
        authority_facts=facts,
    )
    by = book(with_records, "2025-06-01")
    lead = Lead(organisation="Regional Hospital", zip5="67602", service_line="CARDIOLOGY")
    assert route_lead(by.inputs(lead, {}), by.basis).assignee == "gia@x.example"
    other = lead.model_copy(update={"service_line": "ONCOLOGY"})
    assert route_lead(by.inputs(other, {}), by.basis).assignee == "sam@x.example"


def test_T31_a_lead_on_the_old_name_reaches_the_successors_owner() -> None:
    tables = world(
        users=USERS,
        records=[
            account("O", "Old Valley Hospital", definitive_id="10", owner="U0"),
            account("N", "Mountain View Clinic", definitive_id="9", owner="U1", zip5="67602"),
            account("N2", "Mountain View Hospital", definitive_id="8", owner="U1", zip5="67602"),
        ],
        firms=[
            firm("10", "Old Valley Hospital"),
            firm("9", "Mountain View Clinic", zip5="67602"),
            firm("8", "Mountain View Hospital", zip5="67602"),
        ],
        edge_facts=[
            edge_fact("9", "10", "SUCCESSOR_OF", None, effective_from="2026-06-30"),
            edge_fact("9", "8", "OWNS", 10_000),
        ],
    )
    lead = Lead(organisation="Old Valley Hospital", zip5="67601")
    after, before = routed(tables, lead, "2026-07-02"), routed(tables, lead, "2026-06-29")
    assert (after.account_name, after.assignee) == ("Mountain View Clinic", "nia@x.example")
    assert (before.account_name, before.redirected_from) == ("Old Valley Hospital", None)


def test_one_lead_and_the_whole_table_are_answered_by_the_same_rules() -> None:
    dice = random.Random(7)
    scopes = list(product(("ALL", "CLINICAL"), ("ALL", "ONCOLOGY"), ("ALL", "PUMPS")))
    tree = [{"account_id": "s", "system_account_id": "s", "path": "s"}]
    tree += [{"account_id": "h", "parent_account_id": "s", "system_account_id": "s", "path": "s/h"}]
    for _ in range(60):
        rows = [_record(dice, number, *dice.choice(scopes)) for number in range(dice.randint(0, 5))]
        question = {"need": 0, "function": "CLINICAL", "service_line": "ONCOLOGY", "category": "PUMPS"}
        answer = next(
            (
                row
                for row in ENGINE.rows(
                    recorded(
                        ENGINE.table(rows, RECORDS),
                        ENGINE.table(tree, HIERARCHY),
                        ENGINE.table([question], NEEDS),
                        ENGINE,
                    )
                )
                if row["account_id"] == "h"
            ),
            None,
        )
        asked = Question(
            function="CLINICAL", service_line="ONCOLOGY", category="PUMPS", amount_cents=None, as_of="2026-01-01"
        )
        own = who_decides([_as_record(row) for row in rows], asked, None, MAPPINGS.policies.authority)
        expected = (answer["level"], answer["basis"]) if answer else (None, None)
        assert (own.level, own.basis) == expected


def _record(dice: random.Random, number: int, function: str, line: str, category: str) -> dict[str, object]:
    over = dice.random() < 0.2
    return {
        "org": dice.choice("hs"),
        "function": function,
        "service_line": line,
        "category": category,
        "level": dice.choice(("SITE", "REGION", "SYSTEM")),
        "delegates": dice.random() < 0.7,
        "valid_from": f"2025-0{dice.randint(1, 9)}-01",
        "valid_to": "2025-12-31" if over else None,
        "trust": dice.randint(0, 2),
        "confidence_bp": 10_000,
        "ref": f"r{number}",
        "in_force": not over,
        "is_expired": over,
    }


def _as_record(row: dict[str, object]) -> AuthorityRecord:
    own = {k: v for k, v in row.items() if k not in ("org", "in_force", "is_expired")}
    return AuthorityRecord(org_id=str(row["org"]), distance=0 if row["org"] == "h" else 1, **own)  # type: ignore[arg-type]  # fields of the record
