"""Routing decisions: kept with their basis, found by the beginning of an id, counted as work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from store import tables
from store.database import Database, StoreError
from store.decisions import Person
from store.routed import Decided, Routings

ANN, BOB = "ann@x.example", "bob@x.example"
DECIDED = Decided(
    lead_id="1",
    as_of="2026-01-10",
    outcome="assigned",
    assignee=ANN,
    account_id="a",
    rule_id="held",
    inputs='{"lead":"é"}',
    result="{}",
)


def save(routings: Routings, *decisions: Decided) -> tuple[str, ...]:
    person = Person(name="maria")
    return routings.save(decisions, basis='{"b":1}', ruleset_digest="r", snapshot_ids=["S-1"], person=person)


def test_a_decision_comes_back_as_it_was_kept_with_its_basis(database: Database) -> None:
    routings = Routings(database)
    [id_] = save(routings, DECIDED)
    found = routings.get(id_[:12])
    assert (found.id, found.decided, found.snapshot_ids) == (id_, DECIDED, ("S-1",))
    assert routings.basis(found.basis_digest) == '{"b":1}'


def test_many_decisions_share_one_basis(database: Database) -> None:
    routings = Routings(database)
    save(routings, DECIDED, replace(DECIDED, lead_id="2"))
    save(routings, replace(DECIDED, lead_id="3"))
    with database.read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.routing_basis)) == 1
    assert [one.decided.lead_id for one in routings.list(limit=2)] == ["3", "2"]


def test_an_unknown_or_ambiguous_id_is_refused_with_a_remedy(database: Database) -> None:
    routings = Routings(database)
    save(routings, DECIDED, replace(DECIDED, lead_id="2"))
    for wanted, fact in (("L-0000", "no routing decision"), ("L-", "several")):
        with pytest.raises(StoreError, match=fact):
            routings.get(wanted)


def test_a_lead_routed_again_is_one_piece_of_work_of_whoever_has_it_now(database: Database) -> None:
    routings = Routings(database)
    save(routings, DECIDED, replace(DECIDED, lead_id="2"), replace(DECIDED, lead_id="", as_of="2025-12-01"))
    save(routings, replace(DECIDED, assignee=BOB), replace(DECIDED, lead_id="9", assignee=None))
    assert routings.work_since("2026-01-01") == {ANN: 1, BOB: 1}


def test_a_basis_that_was_changed_in_the_database_is_refused(database: Database) -> None:
    routings = Routings(database)
    [id_] = save(routings, DECIDED)
    with database.state() as conn:
        conn.execute(sa.update(tables.routing_basis).values(content="{}"))
    with pytest.raises(StoreError, match="not what was kept"):
        routings.basis(routings.get(id_).basis_digest)
