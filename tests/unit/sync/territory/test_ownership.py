"""One coverage unit, one owner: who is asked, in which order, and who never owns."""

from __future__ import annotations

from typing import Any

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import RepPolicy, TerritoryPolicy
from sync.enrichment import enrich
from sync.hierarchy.edges import NODES, feed_edges
from sync.hierarchy.tree import resolve
from sync.identity.keys import link
from sync.territory.ownership import Book, assign_owners
from tests.fixtures.small_world import AS_OF, Row, account, company, firm, system, user, world

POLICIES = load().policies
HEADER = {"id": "p", "version": 1, "owner": "o", "effective_from": "2020-01-01"}
ORDER = ["named", "root_owner", "majority_owner", "state_primary", "state_geo"]
USERS = [user("U1", "ann@x.example"), user("U2", "bob@x.example"), user("U3", "cat@x.example", is_active=False)]
USERS.append(user("7", "ann@x.example", connection="hubspot"))
IN_SYSTEM = {"idn_id": "900", "idn_name": "Prairie", "idn_parent_id": "900", "idn_parent_name": "Prairie"}
FIRMS = [
    system("900", "Prairie"),
    *(firm(str(i), f"Hospital {i}", zip5=f"6760{i}", **IN_SYSTEM) for i in (1, 2, 3)),
    firm("5", "Alone", zip5="67605"),
]


def records(root: str | None, *owners: str | None, alone: str | None = "U1") -> list[Row]:
    rows = [account("R", "Prairie", zip5=None, owner=root, definitive_id="900")]
    rows += [account(f"M{i}", f"Hospital {i}", zip5=f"6760{i}", owner=o) for i, o in enumerate(owners, 1)]
    return [*rows, account("X", "Alone", zip5="67605", owner=alone)]


def owners(rows: list[Row], reps: list[Row] | None = None, **changes: Any) -> dict[str, Row]:
    """Rows of OWNERSHIP by vendor id."""
    engine = PolarsEngine()
    territory = {key: changes.pop(key) for key in ("named_accounts", "territories") if key in changes}
    made = world(firms=FIRMS, records=rows, users=changes.pop("users", USERS), **changes)
    links = link(made, POLICIES.identity, engine)
    accounts = enrich(made, links, POLICIES.survivorship, engine)
    edges = feed_edges(made, links, engine).edges
    nodes = [{"account_id": r["account_id"], "kind": "HOSPITAL"} for r in engine.rows(accounts.select("account_id"))]
    tree = resolve(edges, engine.table(nodes, NODES), POLICIES.hierarchy, AS_OF, engine)
    policy = TerritoryPolicy.model_validate({"policy": HEADER, "owner_order": ORDER, **territory})
    roster = RepPolicy.model_validate({"policy": HEADER, "reps": reps or []})
    book = Book(world=made, links=links, accounts=accounts, hierarchy=tree.hierarchy)
    found = engine.rows(assign_owners(book, policy, roster, engine, as_of=AS_OF))
    firm_of = {r["account_id"]: r["source_id"] for r in engine.rows(links) if r["source"] == "definitive"}
    return {firm_of[row["account_id"]]: row for row in found if row["account_id"] in firm_of}


def owner(found: dict[str, Row], firm_id: str) -> tuple[Any, Any]:
    return found[firm_id]["owner_email"], found[firm_id]["rule"]


def test_the_owner_of_the_systems_own_record_owns_every_member() -> None:
    found = owners(records("U2", "U1", "U1", "U1"))
    assert {owner(found, i) for i in ("900", "1", "2", "3")} == {("bob@x.example", "root_owner")}


def test_an_inactive_root_owner_yields_to_whoever_owns_most_members() -> None:
    found = owners(records("U3", "U2", "U2", "U1"))
    assert owner(found, "1") == ("bob@x.example", "majority_owner")


def test_equal_books_go_to_the_larger_open_pipeline() -> None:
    deal = {"connection": "salesforce", "opportunity_id": "O", "record_id": "M2", "owner": "U2", "amount_cents": 5}
    open_, closed = {**deal, "is_closed": False}, {**deal, "is_closed": True}
    assert owner(owners(records(None, "U1", "U2"), opportunities=[open_]), "1")[0] == "bob@x.example"
    assert owner(owners(records(None, "U1", "U2"), opportunities=[closed]), "1")[0] == "ann@x.example"


def test_a_named_account_names_the_owner_of_its_whole_unit() -> None:
    found = owners(records("U2", "U2"), named_accounts={"3": "ann@x.example"})
    assert owner(found, "900") == ("ann@x.example", "named")
    assert owner(found, "5") == ("ann@x.example", "root_owner")


def test_an_independent_keeps_its_active_owner() -> None:
    assert owner(owners(records("U2", alone="U1")), "5") == ("ann@x.example", "root_owner")


def test_without_an_active_owner_the_state_decides_and_else_nobody() -> None:
    reps = [{"email": "bob@x.example", "name": "Bob", "role": "GEO", "states": ["KS"]}]
    assert owner(owners(records(None, alone="U3"), reps), "5") == ("bob@x.example", "state_geo")
    assert owner(owners(records(None, alone="U3")), "5") == (None, None)
    assert owner(owners(records(None, alone="unknown")), "5") == (None, None)


def test_the_primary_of_the_state_comes_before_its_geographic_representative() -> None:
    reps = [
        {"email": "bob@x.example", "name": "Bob", "role": "GEO", "states": ["KS"]},
        {"email": "ann@x.example", "name": "Ann", "role": "PRIMARY", "states": ["KS"]},
    ]
    found = owners(records(None, alone=None), reps)
    assert owner(found, "5") == ("ann@x.example", "state_primary")
    assert found["5"]["owner_role"] == "PRIMARY"


def test_two_representatives_of_one_state_leave_it_open() -> None:
    reps = [{"email": e, "name": e, "role": "GEO", "states": ["KS"]} for e in ("ann@x.example", "bob@x.example")]
    assert owner(owners(records(None, alone=None), reps), "5") == (None, None)


def test_an_active_user_who_is_not_on_the_roster_does_not_own() -> None:
    reps = [{"email": "bob@x.example", "name": "Bob", "role": "GEO", "states": ["KS"]}]
    assert owner(owners(records("U1", "U1"), reps), "900") == ("bob@x.example", "state_geo")


def test_one_person_in_two_crms_is_one_owner() -> None:
    rows = [*records(None, "U2"), company("C2", "Hospital 2", zip5="67602", owner="7")]
    rows.append(company("C3", "Hospital 3", zip5="67603", owner="7"))
    assert owner(owners(rows), "1") == ("ann@x.example", "majority_owner")


def test_the_territory_is_that_of_the_accounts_own_state() -> None:
    plains = {"id": "PLAINS", "name": "Plains", "states": ["KS"]}
    old = {"id": "OLD", "name": "Old", "states": ["KS"], "active": False}
    found = owners(records("U1"), territories=[old, plains])
    assert found["5"]["territory"] == "PLAINS"


def test_a_territorys_named_owner_comes_before_the_geographic_representative() -> None:
    reps = [{"email": e, "name": e, "role": "GEO", "states": ["KS"]} for e in ("ann@x.example", "bob@x.example")]
    plains = {"id": "PLAINS", "name": "Plains", "states": ["KS"], "owner": "bob@x.example"}
    assert owner(owners(records(None, alone=None), reps, territories=[plains]), "5")[0] == "bob@x.example"


def test_the_order_of_rows_does_not_matter() -> None:
    rows = records(None, "U1", "U2", "U1")
    assert owners(rows) == owners(rows[::-1], users=USERS[::-1])
