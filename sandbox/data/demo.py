"""Loads the demo's world into the sandbox, every record in the native shape of its CRM."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from sandbox.data.tables import Row, read_rows
from sandbox.hubspot.associations import link
from sandbox.world import World

FOLDER = Path(__file__).parent
FIRST_USER_ID = 60_000_001

ACCOUNT_UNSET: dict[str, Any] = {
    "MasterRecordId": None,
    "Health_System__c": None,
    "Owner_Role__c": None,
    "Territory__c": None,
    "Routing_Queue__c": None,
    "Account_Tier__c": None,
    "Tier_Status__c": None,
    "Account_Score__c": None,
    "Rescore_Flag__c": False,
    "Rescore_Reason__c": None,
}
"""Account fields that nobody has filled in yet."""

DEAL_STAGES = {
    "Prospecting": "appointmentscheduled",
    "Qualification": "qualifiedtobuy",
    "Proposal": "presentationscheduled",
    "Negotiation": "contractsent",
    "Closed Won": "closedwon",
    "Closed Lost": "closedlost",
}
"""Stage names of the source and the internal names of HubSpot's default sales pipeline."""


def load_demo(world: World) -> None:
    """Put users, accounts, deals and teams of the demo into both CRMs. Nothing of it makes history."""
    users = read_rows(FOLDER / "users.csv")
    deals = read_rows(FOLDER / "opportunities.csv.gz")
    _load_salesforce(world, users, deals)
    _load_hubspot(world, users, deals)


def _load_salesforce(world: World, users: list[Row], deals: list[Row]) -> None:
    accounts = read_rows(FOLDER / "salesforce_accounts.csv.gz")
    names = {row["Id"]: row["Name"] for row in accounts}
    world.load("salesforce", "User", map(_user, users))
    world.load("salesforce", "Account", map(_account, accounts))
    opportunities = (row for row in deals if row["crm"] == "salesforce")
    world.load("salesforce", "Opportunity", (_opportunity(row, names[row["AccountId"]]) for row in opportunities))
    world.load("salesforce", "AccountTeamMember", map(_member, read_rows(FOLDER / "account_team.csv")))


def _load_hubspot(world: World, users: list[Row], deals: list[Row]) -> None:
    companies = read_rows(FOLDER / "hubspot_companies.csv.gz")
    names = {row["hs_object_id"]: row["name"] for row in companies}
    ours = [row for row in deals if row["crm"] == "hubspot"]
    world.load("hubspot", "owners", _owners(users))
    world.load("hubspot", "companies", map(_company, companies))
    world.load("hubspot", "deals", (_deal(row, names[row["hs_company_id"]]) for row in ours))
    for row in ours:
        link(world, ("deals", row["Id"]), ("companies", row["hs_company_id"]), (5, 341))


def _user(row: Row) -> dict[str, Any]:
    return {
        "Id": row["sf_user_id"],
        "Name": row["name"],
        "Email": row["email"],
        "Username": row["email"],
        "IsActive": row["active"] == "true",
        "UserType": "Standard",
        "CreatedDate": _salesforce_day(row["start_date"]),
    }


def _account(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {name: value or None for name, value in row.items()}
    record["NumberOfEmployees"] = int(row["NumberOfEmployees"]) if row["NumberOfEmployees"] else None
    record["AnnualRevenue"] = float(row["AnnualRevenue"]) if row["AnnualRevenue"] else None
    return ACCOUNT_UNSET | record | {"CreatedDate": row["LastModifiedDate"], "LastModifiedById": row["OwnerId"]}


def _opportunity(row: Row, account: str) -> dict[str, Any]:
    return {
        "Id": row["Id"],
        "AccountId": row["AccountId"],
        "Name": f"{account} - {row['category']}",
        "StageName": row["StageName"],
        "Amount": float(row["Amount"]),
        "CloseDate": row["CloseDate"],
        "IsClosed": row["IsClosed"] == "true",
        "IsWon": row["IsWon"] == "true",
        "OwnerId": row["OwnerId"],
        "CreatedDate": _salesforce_day(row["CreatedDate"]),
        "LastModifiedDate": _salesforce_day(row["CreatedDate"]),
        "SystemModstamp": _salesforce_day(row["CreatedDate"]),
    }


def _member(row: Row) -> dict[str, Any]:
    access = {"AccountAccessLevel": "Edit", "OpportunityAccessLevel": "Read", "CaseAccessLevel": "None"}
    return {"AccountId": row["AccountId"], "UserId": row["UserId"], "TeamMemberRole": row["role"], **access}


def _owners(users: list[Row]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(users):
        first, _, last = row["name"].partition(" ")
        yield {
            "hs_object_id": row["hubspot_owner_id"],
            "email": row["email"],
            "firstName": first,
            "lastName": last,
            "userId": FIRST_USER_ID + number,
            "archived": row["active"] != "true",
            "createdate": _hubspot_day(row["start_date"]),
            "hs_lastmodifieddate": _hubspot_day(row["start_date"]),
        }


def _company(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {name: value or None for name, value in row.items()}
    return record | {"createdate": row["hs_lastmodifieddate"]}


def _deal(row: Row, company: str) -> dict[str, Any]:
    return {
        "hs_object_id": row["Id"],
        "dealname": f"{company} - {row['category']}",
        "amount": row["Amount"],
        "pipeline": "default",
        "dealstage": DEAL_STAGES[row["StageName"]],
        "closedate": _hubspot_day(row["CloseDate"]),
        "hubspot_owner_id": row["hubspot_owner_id"] or None,
        "createdate": _hubspot_day(row["CreatedDate"]),
        "hs_lastmodifieddate": _hubspot_day(row["CreatedDate"]),
    }


def _salesforce_day(day: str) -> str:
    return f"{date.fromisoformat(day).isoformat()}T00:00:00.000+0000"


def _hubspot_day(day: str) -> str:
    return f"{date.fromisoformat(day).isoformat()}T00:00:00.000Z"
