"""The files of the demo's world hold what the demo promises to show."""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

from mappings.policy import RepPolicy, TerritoryPolicy
from sandbox.data import build
from sandbox.data.demo import FOLDER, load_demo
from sandbox.data.tables import Row, read_rows
from sandbox.world import World

DAYS = {"2020-06-01": ("definitive_day1.csv.gz", "utf-8"), "2022-12-01": ("definitive_day2.csv.gz", "cp1252")}
SOURCE = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    load_demo(world)
    return world


@pytest.fixture(scope="module")
def firms() -> dict[str, dict[str, Row]]:
    """Rows of both deliveries by day and vendor id."""
    return {
        day: {row["Definitive ID"]: row for row in read_rows(FOLDER / "feeds" / name, encoding)}
        for day, (name, encoding) in DAYS.items()
    }


def test_the_world_is_small_enough_to_ship_and_large_enough_to_mean_something(world: World) -> None:
    records = len(world.table("salesforce", "Account")) + len(world.table("hubspot", "companies"))
    assert 1_500 <= records <= 2_200
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert size < 1_500_000


def test_nothing_refers_to_what_is_not_there(world: World) -> None:
    accounts, users = world.table("salesforce", "Account"), world.table("salesforce", "User")
    companies, owners = world.table("hubspot", "companies"), world.table("hubspot", "owners")
    assert {a["ParentId"] for a in accounts.values()} - {None} <= set(accounts)
    assert {a["OwnerId"] for a in accounts.values()} <= set(users)
    assert {c["hs_parent_company_id"] for c in companies.values()} - {None} <= set(companies)
    assert {c["hubspot_owner_id"] for c in companies.values()} - {None} <= set(owners)
    assert {o["AccountId"] for o in world.table("salesforce", "Opportunity").values()} <= set(accounts)
    assert {m["AccountId"] for m in world.table("salesforce", "AccountTeamMember").values()} <= set(accounts)


def test_records_come_in_the_native_types(world: World) -> None:
    accounts = world.table("salesforce", "Account").values()
    assert {type(a["AnnualRevenue"]) for a in accounts} == {float, type(None)}
    assert {a["Rescore_Flag__c"] for a in accounts} == {False}
    assert all(a["Account_Tier__c"] is None for a in accounts)
    companies = world.table("hubspot", "companies").values()
    assert {type(value) for c in companies for value in c.values()} == {str, bool, type(None)}
    stages = {d["dealstage"] for d in world.table("hubspot", "deals").values()}
    assert {"closedwon", "closedlost", "contractsent"} <= stages
    assert not world.history


def test_the_known_troubles_of_a_crm_are_in_it(world: World) -> None:
    accounts, users = world.table("salesforce", "Account"), world.table("salesforce", "User")
    inactive = {key for key, user in users.items() if not user["IsActive"]}
    assert any(a["OwnerId"] in inactive for a in accounts.values())
    owners_of = defaultdict(set)
    for account in accounts.values():
        owners_of[account["ParentId"]].add(account["OwnerId"])
    assert sum(len(owners) > 1 for parent, owners in owners_of.items() if parent) >= 5
    names = Counter((a["Name"].lower(), a["BillingPostalCode"]) for a in accounts.values() if a["BillingPostalCode"])
    assert any(count > 1 for count in names.values())
    assert len(world.table("salesforce", "AccountTeamMember")) > 100


def test_hospitals_change_their_system_between_the_days(firms: dict[str, dict[str, Row]]) -> None:
    first, second = firms.values()
    parents = {key: row["IDN Parent ID"] for key, row in first.items() if row["IDN Parent ID"]}
    moved = [key for key, old in parents.items() if key in second and second[key]["IDN Parent ID"] not in ("", old)]
    assert len(moved) >= 30


def test_every_named_system_is_itself_in_the_delivery(firms: dict[str, dict[str, Row]]) -> None:
    for rows in firms.values():
        named = {row[column] for row in rows.values() for column in ("IDN ID", "IDN Parent ID")} - {""}
        assert named <= set(rows)


def test_the_manifest_says_how_to_read_the_deliveries(firms: dict[str, dict[str, Row]]) -> None:
    manifest = read_rows(FOLDER / "feeds/MANIFEST.csv")
    listed = {row["as_of"]: (row["file"], row["encoding"], int(row["rows"])) for row in manifest}
    assert listed == {day: (*DAYS[day], len(rows)) for day, rows in firms.items()}
    day_two = gzip.decompress((FOLDER / "feeds/definitive_day2.csv.gz").read_bytes())
    with pytest.raises(UnicodeDecodeError):
        day_two.decode("utf-8")


def test_the_facts_make_every_tier_on_both_days(firms: dict[str, dict[str, Row]]) -> None:
    for day, rows in firms.items():
        tiers = _tiers(day, rows)
        assert set(tiers.values()) == {"T1", "T2", "T3", "UNTIERED", "provisional"}, (day, Counter(tiers.values()))
        assert Counter(tiers.values())["T1"] >= 3
    first, second = (_tiers(day, rows) for day, rows in firms.items())
    assert any(first[key] == "T1" and second.get(key) == "T2" for key in first)
    assert any(first[key] == "T2" and second.get(key) == "T1" for key in first)


def test_the_facts_are_about_some_dozens_of_systems_and_a_few_hospitals(firms: dict[str, dict[str, Row]]) -> None:
    about = {row["Definitive ID"] for row in read_rows(FOLDER / "feeds/confirmed_facts.csv")}
    kinds = Counter(firms["2020-06-01"][key]["Firm Type"] for key in about)
    assert 40 <= kinds["IDN"] + kinds["Corporate Parent"] <= 70
    assert 3 <= kinds["Hospital"] <= 10


def test_the_overlays_are_policies_and_their_people_exist() -> None:
    reps = RepPolicy.model_validate(yaml.safe_load((FOLDER / "mappings/reps.yaml").read_text("utf-8")))
    drawn = yaml.safe_load((FOLDER / "mappings/territories.yaml").read_text("utf-8"))
    territories = TerritoryPolicy.model_validate(drawn)
    emails = {row["email"] for row in read_rows(FOLDER / "users.csv")}
    assert {rep.email for rep in reps.reps} == emails
    assert set(territories.named_accounts.values()) <= emails
    states = [state for territory in territories.territories for state in territory.states]
    assert len(states) == len(set(states)) == 56


def test_signals_and_people_are_of_accounts_that_are_there(world: World) -> None:
    accounts, companies = world.table("salesforce", "Account"), world.table("hubspot", "companies")
    contacts = read_rows(FOLDER / "feeds/crm_contacts.csv")
    assert {row["Account ID"] for row in contacts} <= {*accounts, *companies}
    assert {row["Email"].partition("@")[2] for row in contacts} == {"example.com"}
    signals = read_rows(FOLDER / "feeds/sixsense.csv")
    sites = " ".join(str(a["Website"]) for a in accounts.values()) + " ".join(
        str(c["domain"]) for c in companies.values()
    )
    assert all(row["Domain"] in sites for row in signals)
    assert len({row["Domain"] for row in signals}) > 100
    assert max(row["Activity Date"] for row in signals) <= "2022-12-01"


@pytest.mark.shared
def test_the_files_are_what_the_script_makes_of_the_source(tmp_path: Path) -> None:
    if not SOURCE.is_dir():
        pytest.skip("the source data is not beside this checkout; the files can be used without it")
    build.build(SOURCE, tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 13
    assert [p for p in made if (tmp_path / p).read_bytes() != (FOLDER / p).read_bytes()] == []


def _tiers(day: str, rows: dict[str, Row]) -> dict[str, str]:
    """Tiers of the systems with facts, worked out by hand: (true, false, unknown) per predicate."""
    facts: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for row in read_rows(FOLDER / "feeds/confirmed_facts.csv"):
        if row["Valid From"] <= day and (not row["Valid To"] or day < row["Valid To"]):
            facts[row["Definitive ID"]][row["Fact"], row["Category"]] = row["Value"]
    hospitals = Counter(row["IDN Parent ID"] for row in rows.values() if row["Firm Type"] == "Hospital")
    known = {
        key: values
        for key, values in facts.items()
        if rows.get(key, {}).get("Firm Type") in ("IDN", "Corporate Parent")
    }
    return {key: _tier(values, hospitals[key]) for key, values in known.items()}


def _tier(facts: dict[tuple[str, str], str], hospitals: int) -> str:
    strength = facts.get(("oncology_strength", "oncology"))
    gpo = facts.get(("gpo_contract", "infusion_pumps"))
    predicates = [
        hospitals >= 6 or (hospitals >= 2 and _is(facts.get(("procurement_centralized", "")), "true")),
        None if strength is None else strength == "STRONG",
        _at_least(facts.get(("commercial_share", "")), 50),
        _at_least(facts.get(("non_con_share", "oncology")), 50),
        None if gpo is None else gpo == "none",
    ]
    certain, possible = predicates.count(True), predicates.count(True) + predicates.count(None)
    if certain == 5:
        return "T1"
    if possible == 5:
        return "provisional"
    moderate = strength in ("STRONG", "MODERATE")
    return "T2" if moderate and certain >= 3 else "T3" if certain >= 2 else "UNTIERED"


def _is(value: str | None, wanted: str) -> bool | None:
    return None if value is None else value == wanted


def _at_least(value: str | None, limit: float) -> bool | None:
    return None if value is None else float(value) >= limit
