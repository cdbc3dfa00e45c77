"""Public registers beside vendors: a dated sale that a vendor ignores is a review item; a like name is support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.crosscheck import CONTRADICTIONS, register_problems
from sync.engine import Engine
from sync.problem import Problem
from sync.world import FIRMS, OWNERSHIP_FACTS
from tests.fixtures.small_world import AS_OF, Row, firm, world

POLICY = load().policies.survivorship
BEFORE, SALE, AFTER = "2025-01-01", "2025-09-01", "2026-01-01"


def sale(**values: Any) -> Row:
    told = {"feed": "cms_chow", "file": "chow.csv", "row": 3, "kind": "CHOW", "ccn": "170001", "record_key": "O1"}
    return {
        **told,
        "owner_name": "PRIME KANSAS LLC",
        "former_owner_name": "MERCY HEALTH INC",
        "effective_on": SALE,
        **values,
    }


def hospital(**values: Any) -> Row:
    of = {"ccn": "170001", "idn_id": "900", "idn_name": "Mercy Health", "as_of": AFTER, "updated_on": AFTER}
    return firm("901", "Mercy Hospital Hays", **{**of, **values})


def problems(
    told: list[Row],
    now: list[Row],
    before: Sequence[Row] = (),
    engine: Engine | None = None,
) -> tuple[Problem, ...]:
    engine = engine or PolarsEngine()
    made = replace(
        world(),
        firms=engine.table(now, FIRMS),
        previous_firms=engine.table(list(before), FIRMS),
        ownership_facts=engine.table(told, OWNERSHIP_FACTS),
    )
    return register_problems(made, POLICY, AS_OF, engine)


def test_a_vendor_that_still_names_the_seller_is_contradicted(engine: Engine) -> None:
    [problem] = problems([sale()], [hospital()], engine=engine)
    assert (problem.code, problem.severity) == ("CHOW-CONTRADICTS", "review")
    assert problem.fact == (
        "CMS dates a change of ownership from MERCY HEALTH INC to PRIME KANSAS LLC on 2025-09-01; "
        "definitive as of 2026-01-01 still names Mercy Health"
    )
    assert problem.refs == ("cms_chow:chow.csv:row 3", "definitive:feed.csv:row 2")


CONTRADICTED = {
    "the row was last touched before the sale": (
        [sale(former_owner_name="SHELL 1 LLC")],
        [hospital(updated_on=BEFORE)],
        [],
    ),
    "the system is the one of the delivery before the sale": (
        [sale(former_owner_name=None)],
        [hospital()],
        [hospital(as_of=BEFORE)],
    ),
}
NOT = {
    "the vendor names the buyer": ([sale()], [hospital(idn_id="7", idn_name="Prime Kansas Health")], []),
    "the buyer's listed owner is the vendor's system": (
        [sale(), sale(kind="OWNER", owner_name="Lifepoint Health", former_owner_name=None)],
        [hospital(idn_id="8", idn_name="Lifepoint", updated_on=BEFORE)],
        [],
    ),
    "the vendor moved it after the sale, to a name nobody can compare": (
        [sale()],
        [hospital(idn_id="7", idn_name="Sunflower")],
        [hospital(as_of=BEFORE)],
    ),
    "the sale is of an earlier time": ([sale(effective_on="2020-01-01")], [hospital()], []),
    "the sale has not taken effect": ([sale(effective_on="2026-02-01")], [hospital()], []),
    "another hospital was sold": ([sale(ccn="170009")], [hospital()], []),
    "the vendor names no system": ([sale()], [hospital(idn_id=None, idn_name=None)], []),
}


@pytest.mark.parametrize("case", CONTRADICTED.values(), ids=CONTRADICTED)
def test_a_vendor_that_has_not_noticed_is_contradicted(case: tuple[list[Row], list[Row], list[Row]]) -> None:
    assert [problem.code for problem in problems(*case)] == ["CHOW-CONTRADICTS"]


@pytest.mark.parametrize("case", NOT.values(), ids=NOT)
def test_nothing_is_said_where(case: tuple[list[Row], list[Row], list[Row]]) -> None:
    assert problems(*case) == ()


def test_memberships_that_differ_are_counted_in_one_problem() -> None:
    member = {"kind": "MEMBER", "feed": "ahrq_linkage", "effective_on": None, "former_owner_name": None}
    told = [sale(**member, owner_name="Mercy"), sale(**member, owner_name="Ascension", ccn="170002")]
    [problem] = problems(told, [hospital(), firm("902", "B", ccn="170002", idn_id="900", idn_name="Mercy Health")])
    assert (problem.code, problem.subject) == ("SOURCES-DISAGREE", "health system")
    assert problem.fact.startswith("1 hospitals")


def test_the_list_of_contradictions_is_bounded_and_the_rest_is_counted() -> None:
    numbers = range(CONTRADICTIONS + 5)
    told = [sale(ccn=f"{170_000 + n}") for n in numbers]
    found = problems(told, [hospital(ccn=f"{170_000 + n}", row=n) | {"firm_id": str(n)} for n in numbers])
    assert len(found) == CONTRADICTIONS + 1
    assert found[-1].fact.startswith("5 more")


def test_without_registers_nothing_is_said() -> None:
    assert register_problems(world(), POLICY, AS_OF, PolarsEngine()) == ()
