"""A world of six accounts that a person can hold in the head, in both CRMs, and what a vendor says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.world import World

ANA, BEA, DEE, CARL = "005000000000aNaAAI", "005000000000bEaAAI", "005000000000dEeAAI", "005000000000cARAAY"
"""Salesforce users: Ana, Bea and Dee sell, Carl has left."""
HS_ANA, HS_BEA, HS_CARL, HS_DEE = "71", "72", "73", "74"
"""The same persons as HubSpot owners; their user ids are these plus 9000."""

MERCY = "001000000000sYsAAI"  # Mercy Health, the system; Ana's
HAYS = "001000000000hAyAAI"  # Mercy Hospital Hays; Carl's, so it gets an owner; no parent yet
TOPEKA = "001000000000tOpAAI"  # Mercy Hospital Topeka; Bea's, while the system is Ana's
TEAMED = "001000000000tEaAAI"  # Mercy Hospital Salina; Bea's, has an account team
HS_HAYS = "102"  # Mercy Hospital Hays in HubSpot; Carl's
HS_LONE = "104"  # Lakeside Medical Center in HubSpot; Bea's, known to no vendor

_STAMP, _HS_STAMP = "2026-01-05T08:00:00.000+0000", "2026-01-05T08:00:00.000Z"  # fixed: every new world is the same

FEED = "definitive_day1.csv"
_FEED_HEADER = (
    "Definitive ID,Hospital Name,Firm Type,Hospital Type,City,State,Zip Code,IDN ID,IDN,IDN Parent ID,IDN Parent,"
    "Medicare Provider Number,# of Staffed Beds"
)
_HOSPITAL = "Hospital,Short Term Acute Care Hospital"
_SYSTEM = "900,Mercy Health,900,Mercy Health"
_FEED_ROWS = (
    "900,Mercy Health,IDN,,Hays,KS,,900,Mercy Health,900,Mercy Health,,",
    f"901,Mercy Hospital Hays,{_HOSPITAL},Hays,KS,67601,{_SYSTEM},170001,120",
    f"902,Mercy Hospital Topeka,{_HOSPITAL},Topeka,KS,66603,{_SYSTEM},170002,80",
    f"903,Mercy Hospital Salina,{_HOSPITAL},Salina,KS,67401,{_SYSTEM},170003,60",
)


def small_world(world: World) -> World:
    """The six accounts in the sandbox CRMs."""
    sellers = [_user(ANA, "Ana Active"), _user(BEA, "Bea Busy"), _user(DEE, "Dee Dune")]
    world.load("salesforce", "User", [*sellers, _user(CARL, "Carl Gone", False)])
    world.load("salesforce", "Account", _accounts())
    world.load(
        "salesforce", "AccountTeamMember", [_member("01M000000000oNeEAI", ANA), _member("01M000000000tWoEAI", BEA)]
    )
    active = [_owner(HS_ANA, "Ana", False), _owner(HS_BEA, "Bea", False), _owner(HS_DEE, "Dee", False)]
    world.load("hubspot", "owners", [*active, _owner(HS_CARL, "Carl", True)])
    world.load("hubspot", "companies", _companies())
    return world


def write_feed(folder: Path, *, header: str = _FEED_HEADER, encoding: str = "utf-8", name: str = FEED) -> Path:
    """The vendor's file in a folder."""
    path = folder / name
    path.write_bytes("\r\n".join((header, *_FEED_ROWS, "")).encode(encoding))
    return path


def header_without(column: str) -> str:
    """The feed's header with one column called something else."""
    return _FEED_HEADER.replace(column, "Something Else", 1)


def write_mappings(folder: Path, *, named: str = "{}") -> Path:
    """An overlay with the roster, Kansas for Ana, accounts that are somebody's by name, and nothing else changed."""
    folder.mkdir(exist_ok=True)
    (folder / "reps.yaml").write_text(
        _policy("reps")
        + "reps:\n"
        + "  - {email: ana@people.example, name: Ana Active, role: PRIMARY, states: [KS]}\n"
        + "  - {email: bea@people.example, name: Bea Busy, role: GEO, states: [KS]}\n"
        + "  - {email: dee@people.example, name: Dee Dune, role: GEO, states: [MO]}\n",
        encoding="utf-8",
    )
    (folder / "territories.yaml").write_text(
        _policy("territories")
        + "owner_order: [named, root_owner, majority_owner, state_primary, state_geo]\n"
        + f"named_accounts: {named}\n"
        + "territories:\n  - {id: PLAINS, name: Plains, states: [KS]}\n",
        encoding="utf-8",
    )
    return folder


def _policy(name: str) -> str:
    return f"policy: {{id: {name}, version: 1, owner: sales operations, effective_from: 2020-01-01}}\n"


def _user(user_id: str, name: str, is_active: bool = True) -> dict[str, Any]:
    email = f"{name.split()[0].lower()}@people.example"
    shown = {"Id": user_id, "Name": name, "Email": email, "Username": email}
    return {**shown, "IsActive": is_active, "UserType": "Standard"}


def _accounts() -> list[dict[str, Any]]:
    hays, topeka, salina = (
        {"BillingCity": city, "BillingState": "KS", "BillingPostalCode": code}
        for city, code in (("Hays", "67601"), ("Topeka", "66603"), ("Salina", "67401"))
    )
    rows = [
        {"Id": MERCY, "Name": "Mercy Health", "OwnerId": ANA, "Definitive_ID__c": "900", **hays},
        {"Id": HAYS, "Name": "Mercy Hospital Hays", "OwnerId": CARL, "CCN__c": "170001", **hays},
        {"Id": TOPEKA, "Name": "Mercy Hospital Topeka", "OwnerId": BEA, "CCN__c": "170002", **topeka},
        {"Id": TEAMED, "Name": "Mercy Hospital Salina", "OwnerId": BEA, "CCN__c": "170003", **salina},
    ]
    stamps = {"CreatedDate": _STAMP, "LastModifiedDate": _STAMP, "SystemModstamp": _STAMP}
    return [{**row, "LastModifiedById": row["OwnerId"], **stamps} for row in rows]


def _member(member_id: str, user: str) -> dict[str, Any]:
    return {"Id": member_id, "AccountId": TEAMED, "UserId": user, "TeamMemberRole": "Sales Rep"}


def _owner(owner_id: str, name: str, is_archived: bool) -> dict[str, Any]:
    person = {"firstName": name, "lastName": "Test", "email": f"{name.lower()}@people.example"}
    return {"hs_object_id": owner_id, "userId": int(owner_id) + 9000, "archived": is_archived, **person}


def _companies() -> list[dict[str, Any]]:
    place = {"city": "Hays", "state": "KS", "zip": "67601", "hs_lastmodifieddate": _HS_STAMP, "createdate": _HS_STAMP}
    return [
        {"hs_object_id": HS_HAYS, "name": "Mercy Hospital Hays", "ccn": "170001", "hubspot_owner_id": HS_CARL, **place},
        {"hs_object_id": HS_LONE, "name": "Lakeside Medical Center", "hubspot_owner_id": HS_BEA, **place},
    ]
