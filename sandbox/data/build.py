"""Derives the demo's files from the folder of public hospital data that ORIGIN.md describes.

    python -m sandbox.data.build SOURCE [TARGET]

It is the record of where the files come from; nobody needs to run it to use them. The same source gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.data import activity, facts, people
from sandbox.data.tables import Row, read_rows, write_rows

STATES = frozenset({"CO", "KY", "MA", "PA"})
"""Whole states; the families that reach into them come along with their members elsewhere."""

DAYS = (
    ("definitive_2020.csv.gz", "definitive_day1.csv.gz", "2020-06-01", "utf-8"),
    ("definitive_2022.csv.gz", "definitive_day2.csv.gz", "2022-12-01", "cp1252"),
)
FACT_SYSTEMS, FACT_HOSPITALS = 60, 6
NAMED_ACCOUNTS = {"289885": "cora.pike@example.com", "684295": "iris.rowan@example.com"}
"""Two large systems that somebody works whatever their states say, by vendor id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source tables that decide what is chosen."""

    accounts: list[Row]
    companies: list[Row]
    keys: dict[str, Row]  # by record id
    links: list[Row]
    events: list[Row]
    days: list[list[Row]]
    users: list[Row]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build every file of the demo's world but ORIGIN.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with crm/, feeds/, truth/, regulation/ and geo/")
    parser.add_argument("target", type=Path, nargs="?", default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    build(options.source, options.target)


def build(folder: Path, target: Path) -> None:
    """Choose records and firms, then write the CRM tables, the feeds, the facts and the overlays."""
    source = _read(folder)
    record_ids = choose_records(source)
    firm_ids = choose_firms(source, record_ids)
    _write_crm(source, folder, target, record_ids)
    _write_feeds(source, target, firm_ids)
    _write_facts(source, folder, target, record_ids)
    _write_activity(source, target, record_ids)
    _write_overlays(source, folder, target)


def choose_records(source: Source) -> frozenset[str]:
    """Records of the states, their families, the families they move to, and every parent that one of them names."""
    records = _places(source)
    inside = {record_id for record_id, place in records.items() if place["state"] in STATES}
    systems = {name for record_id in inside for name in _system_names(source.keys[record_id])}
    systems |= {e["system_key_new"] for e in source.events if e["state"] in STATES and e["kind"].startswith("moved")}
    systems.discard("")
    family = {record_id for record_id in records if systems & _system_names(source.keys[record_id])}
    chosen = inside | family
    return frozenset(chosen | {records[record_id]["parent"] for record_id in chosen} - {""})


def choose_firms(source: Source, record_ids: frozenset[str]) -> frozenset[str]:
    """Firms of the chosen records, of the states and of the chosen systems, with every system that these name.

    The few firms that are written with letters outside ASCII come too: without them the encoding would not matter.
    """
    linked = {link["definitive_id"] for link in source.links if _linked_records(link) & record_ids}
    rows = [row for day in source.days for row in day]
    chosen = linked | {row["Definitive ID"] for row in rows if row["State"] in STATES}
    chosen |= {row["Definitive ID"] for row in rows if linked & {row["IDN ID"], row["IDN Parent ID"]}}
    chosen |= {row["Definitive ID"] for row in rows if not "".join(row.values()).isascii()}
    named = {row[column] for row in rows if row["Definitive ID"] in chosen for column in ("IDN ID", "IDN Parent ID")}
    return frozenset(chosen | named - {""})


def _read(folder: Path) -> Source:
    return Source(
        accounts=read_rows(folder / "crm/salesforce_accounts.csv.gz"),
        companies=read_rows(folder / "crm/hubspot_companies.csv.gz"),
        keys={row["record_id"]: row for row in read_rows(folder / "truth/crm_keys.csv.gz")},
        links=[row for row in read_rows(folder / "truth/match.csv.gz") if row["verdict"] == "match"],
        events=read_rows(folder / "truth/events_2020_2022.csv"),
        days=[read_rows(folder / "feeds" / name, encoding) for name, _, _, encoding in DAYS],
        users=read_rows(folder / "crm/users.csv"),
    )


def _places(source: Source) -> dict[str, Row]:
    places = {row["Id"]: {"state": row["BillingState"], "parent": row["ParentId"]} for row in source.accounts}
    for row in source.companies:
        places[row["hs_object_id"]] = {"state": row["state"], "parent": row["hs_parent_company_id"]}
    return places


def _system_names(key: Row) -> set[str]:
    return {key["system_key"], key["true_parent_key"]}


def _linked_records(link: Row) -> set[str]:
    return set(f"{link['salesforce_ids']};{link['hubspot_ids']}".split(";")) - {""}


def _write_crm(source: Source, folder: Path, target: Path, record_ids: frozenset[str]) -> None:
    accounts = [row for row in source.accounts if row["Id"] in record_ids]
    companies = [row for row in source.companies if row["hs_object_id"] in record_ids]
    opportunities = [row for row in read_rows(folder / "crm/opportunities.csv.gz") if _account(row) in record_ids]
    # HubSpot has no account team of its own, so only Salesforce keeps one.
    team = [row for row in read_rows(folder / "crm/account_team.csv") if row["AccountId"] in record_ids]
    team = [row for row in team if row["crm"] == "salesforce"]
    _write(target / "salesforce_accounts.csv.gz", accounts)
    _write(target / "hubspot_companies.csv.gz", companies)
    _write(target / "users.csv", source.users)
    _write(target / "opportunities.csv.gz", opportunities)
    _write(target / "account_team.csv", team)


def _account(opportunity: Row) -> str:
    return opportunity["AccountId"] or opportunity["hs_company_id"]


def _write(path: Path, rows: list[Row], encoding: str = "utf-8") -> None:
    write_rows(path, rows, list(rows[0]), encoding)


def _write_feeds(source: Source, target: Path, firm_ids: frozenset[str]) -> None:
    manifest: list[Row] = []
    for day, (_, name, as_of, encoding) in zip(source.days, DAYS, strict=True):
        rows = [row for row in day if row["Definitive ID"] in firm_ids]
        _write(target / "feeds" / name, rows, encoding)
        manifest.append({"file": name, "as_of": as_of, "encoding": encoding, "delimiter": ",", "rows": str(len(rows))})
    _write(target / "feeds/MANIFEST.csv", manifest)


def _write_facts(source: Source, folder: Path, target: Path, record_ids: frozenset[str]) -> None:
    in_crm = {link["definitive_id"] for link in source.links if _linked_records(link) & record_ids}
    certificate = {row["state"]: row["con_2025_12"] for row in read_rows(folder / "regulation/state_facts.csv")}
    hospitals = [row for row in source.days[0] if row["Firm Type"] == "Hospital"]
    single = [
        r["Definitive ID"]
        for r in hospitals
        if r["State"] in STATES and not r["IDN ID"] and r["Definitive ID"] in in_crm
    ]
    systems = [system for system in _systems(hospitals, certificate) if system.firm_id in in_crm]
    largest = sorted(systems, key=lambda s: (-s.hospitals, s.firm_id))[:FACT_SYSTEMS]
    confirmers = [user["email"] for user in source.users if user["role"] == "OVERLAY"]
    rows = facts.make_facts(largest, sorted(single)[:FACT_HOSPITALS], confirmers)
    write_rows(target / "feeds/confirmed_facts.csv", rows, facts.COLUMNS)


def _write_activity(source: Source, target: Path, record_ids: frozenset[str]) -> None:
    accounts = [row for row in source.accounts if row["Id"] in record_ids]
    companies = [row for row in source.companies if row["hs_object_id"] in record_ids]
    write_rows(target / "feeds/sixsense.csv", activity.make_signals(accounts, companies), activity.SIGNALS)
    write_rows(target / "feeds/crm_contacts.csv", activity.make_contacts(accounts, companies), activity.CONTACTS)


def _systems(hospitals: Iterable[Row], certificate: dict[str, str]) -> list[facts.System]:
    states: dict[str, Counter[bool]] = defaultdict(Counter)
    for row in hospitals:
        if row["IDN Parent ID"]:
            states[row["IDN Parent ID"]][certificate.get(row["State"]) == "no CON"] += 1
    return [
        facts.System(firm_id=firm_id, hospitals=count.total(), non_con_share=100 * count[True] / count.total())
        for firm_id, count in states.items()
        if count.total() >= 2
    ]


def _write_overlays(source: Source, folder: Path, target: Path) -> None:
    regions = read_rows(folder / "geo/census_regions.csv")
    _write_yaml(target / "mappings/reps.yaml", "People of the demo; none of them exists.", people.roster(source.users))
    drawn = people.territories(regions, NAMED_ACCOUNTS)
    _write_yaml(target / "mappings/territories.yaml", "Territories of the demo: Census divisions.", drawn)


def _write_yaml(path: Path, comment: str, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = yaml.safe_dump(content, sort_keys=False, width=118, allow_unicode=True)
    path.write_text(f"# {comment}\n{body}", encoding="utf-8")


if __name__ == "__main__":
    main()
