"""Coverage units: the whole system, its divisions, or the regions that decide by record."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.reconcile import find_out
from tests.fixtures.small_world import AS_OF, Row, account, authority_fact, firm, system, user, world

MAPPINGS = load()
ENGINE = PolarsEngine()
ROOT = {"idn_parent_id": "900", "idn_parent_name": "Prairie"}
WEST = {"idn_id": "910", "idn_name": "West", **ROOT}
FIRMS = [
    system("900", "Prairie"),
    system("910", "West", state="CO", **ROOT),
    firm("1", "Hospital 1", zip5="67601", **WEST),
    firm("2", "Hospital 2", zip5="67602", idn_id="900", idn_name="Prairie", **ROOT),
]
USERS = [user("U1", "ann@x.example"), user("U2", "bob@x.example")]
RECORDS = [
    account("R", "Prairie", zip5=None, definitive_id="900", owner="U1"),
    account("W", "West", zip5=None, state="CO", definitive_id="910", owner="U2"),
]


def owned(level: str, facts: list[Row]) -> dict[str, tuple[Any, Any, Any]]:
    """Unit, owner and role by vendor id."""
    territories = MAPPINGS.policies.territories.model_copy(update={"coverage_level": level})
    policies = MAPPINGS.policies.model_copy(update={"territories": territories})
    mappings = MAPPINGS.model_copy(update={"policies": policies})
    made = world(firms=FIRMS, records=RECORDS, users=USERS, authority_facts=facts)
    found, _ = find_out(made, mappings, AS_OF, ENGINE)
    name = {r["account_id"]: r["source_id"] for r in ENGINE.rows(found.links) if r["source"] == "definitive"}
    return {
        name[row["account_id"]]: (name[row["unit_account_id"]], row["owner_email"], row["owner_role"])
        for row in ENGINE.rows(found.ownership)
    }


REGION = [authority_fact("910", "REGION")]
ANN, BOB = ("900", "ann@x.example", "PRIMARY"), ("910", "bob@x.example", "REGIONAL_PRIMARY")


@pytest.mark.parametrize(
    ("level", "facts", "west"),
    [
        ("ULTIMATE", REGION, ANN),
        ("AUTHORITY", [], ANN),
        ("AUTHORITY", REGION, BOB),
        ("AUTHORITY", [authority_fact("910", "REGION", valid_to=AS_OF)], ANN),
        ("IDN", [], BOB),
    ],
)
def test_R57_the_level_says_what_shares_an_owner(level: str, facts: list[Row], west: tuple[Any, Any, Any]) -> None:
    found = owned(level, facts)
    assert (found["900"], found["2"]) == (ANN, ANN)
    assert (found["910"], found["1"]) == (west, west)
