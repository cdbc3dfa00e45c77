"""The properties of the portal: HubSpot's own and the custom ones an admin made for account ownership."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.errors import not_found
from sandbox.world import World

Definition = dict[str, Any]

OBJECT_NAMES = {
    "companies": "companies",
    "company": "companies",
    "0-2": "companies",
    "deals": "deals",
    "deal": "deals",
    "0-3": "deals",
}
"""Every spelling of an object type and the one the sandbox uses."""

TYPE_IDS = {"companies": "0-2", "deals": "0-3"}
SINGULAR = {"companies": "company", "deals": "deal"}
SYSTEM_NAMES = ("createdate", "hs_lastmodifieddate", "hs_object_id")
DEFAULT_NAMES = {
    "companies": ("name", "domain", *SYSTEM_NAMES),
    "deals": ("dealname", "amount", "dealstage", "pipeline", "closedate", *SYSTEM_NAMES),
}
"""What a reader gets who names no properties."""

GROUPS = {
    "companies": (("companyinformation", "Company information"), ("account_ownership", "Account ownership")),
    "deals": (("dealinformation", "Deal information"),),
}

_TEXT, _NUMBER, _TIME = ("string", "text"), ("number", "number"), ("datetime", "date")
_SELECT, _CHECK = ("enumeration", "select"), ("bool", "booleancheckbox")
_READ_ONLY = frozenset(
    {
        "createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
        "hs_merged_object_ids",
        "hs_parent_company_id",
        "hs_num_child_companies",
        "hs_updated_by_user_id",
        "num_associated_contacts",
        "num_associated_deals",
        "hs_is_closed",
        "hs_is_closed_won",
    }
)
_CALCULATED = _READ_ONLY - {"createdate", "hs_object_id", "hs_merged_object_ids", "hs_updated_by_user_id"}
_SHARED = {
    "createdate": ("Create date", _TIME),
    "hs_lastmodifieddate": ("Last modified date", _TIME),
    "hs_object_id": ("Record ID", _NUMBER),
    "hs_merged_object_ids": ("Merged record IDs", ("enumeration", "checkbox")),
    "hs_updated_by_user_id": ("Updated by user ID", _NUMBER),
    "hubspot_owner_id": ("Owner", _SELECT),
}
_STANDARD: dict[str, dict[str, tuple[str, tuple[str, str]]]] = {
    "companies": {
        **_SHARED,
        "name": ("Company name", _TEXT),
        "domain": ("Company domain name", _TEXT),
        "website": ("Website URL", _TEXT),
        "type": ("Type", _SELECT),
        "phone": ("Phone number", ("string", "text")),
        "address": ("Street address", _TEXT),
        "city": ("City", _TEXT),
        "state": ("State/region", _TEXT),
        "zip": ("Postal code", _TEXT),
        "country": ("Country/region", _TEXT),
        "description": ("Description", ("string", "textarea")),
        "numberofemployees": ("Number of employees", _NUMBER),
        "annualrevenue": ("Annual revenue", _NUMBER),
        "hs_parent_company_id": ("Parent company ID", _NUMBER),
        "hs_num_child_companies": ("Number of child companies", _NUMBER),
        "num_associated_contacts": ("Number of associated contacts", _NUMBER),
        "num_associated_deals": ("Number of associated deals", _NUMBER),
    },
    "deals": {
        **_SHARED,
        "dealname": ("Deal name", _TEXT),
        "amount": ("Amount", _NUMBER),
        "dealstage": ("Deal stage", _SELECT),
        "pipeline": ("Pipeline", _SELECT),
        "closedate": ("Close date", _TIME),
        "description": ("Deal description", ("string", "textarea")),
        "hs_is_closed": ("Is closed", _CHECK),
        "hs_is_closed_won": ("Is closed won", _CHECK),
    },
}
_CUSTOM = {
    "ccn": ("CMS certification number", _TEXT),
    "npi": ("National provider identifier", _TEXT),
    "definitive_id": ("Definitive ID", _TEXT),
    "health_system": ("Health system", _TEXT),
    "owner_role": ("Owner role", _SELECT),
    "territory": ("Territory", _TEXT),
    "routing_queue": ("Routing queue", _TEXT),
    "account_tier": ("Account tier", _SELECT),
    "tier_status": ("Tier status", _TEXT),
    "account_score": ("Account score", _NUMBER),
    "rescore_flag": ("Re-score", _CHECK),
    "rescore_reason": ("Re-score reason", ("string", "textarea")),
}
_OPTIONS = {
    "type": ("PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER"),
    "owner_role": ("PRIMARY", "GEO", "OVERLAY", "ACTIVATION", "INSIDE", "MANAGER"),
    "account_tier": ("T1", "T2", "T3", "UNTIERED"),
    "rescore_flag": ("true", "false"),
    "hs_is_closed": ("true", "false"),
    "hs_is_closed_won": ("true", "false"),
    "pipeline": ("default",),
    "dealstage": (
        "appointmentscheduled",
        "qualifiedtobuy",
        "presentationscheduled",
        "decisionmakerboughtin",
        "contractsent",
        "closedwon",
        "closedlost",
    ),
}


def object_name(given: str) -> str:
    """The sandbox's word for an object type. Refused (404) when it has none."""
    if given not in OBJECT_NAMES:
        raise not_found(f"Unable to infer object type from: {given}")
    return OBJECT_NAMES[given]


def definitions(world: World, object_type: str) -> dict[str, Definition]:
    """Property definitions by name, made on first use; what a client adds is kept in the world."""
    table = world.table("hubspot", f"properties/{object_type}")
    if not table:
        group = GROUPS[object_type][0][0]
        for name, (label, kind) in _STANDARD[object_type].items():
            table[name] = _definition(name, label, kind, group, standard=True)
        if object_type == "companies":
            for name, (label, kind) in _CUSTOM.items():
                table[name] = _definition(name, label, kind, "account_ownership", standard=False)
    return table


def groups(world: World, object_type: str) -> dict[str, Definition]:
    """Property groups by name."""
    table = world.table("hubspot", f"groups/{object_type}")
    if not table:
        for order, (name, label) in enumerate(GROUPS[object_type]):
            table[name] = {"name": name, "label": label, "displayOrder": order, "archived": False}
    return table


def is_read_only(definition: Definition) -> bool:
    """True when the API refuses to write the property."""
    return bool(definition["modificationMetadata"]["readOnlyValue"])


def options(values: tuple[str, ...]) -> list[dict[str, Any]]:
    """Options whose label is their value."""
    return [{"label": v, "value": v, "displayOrder": order, "hidden": False} for order, v in enumerate(values)]


def _definition(name: str, label: str, kind: tuple[str, str], group: str, *, standard: bool) -> Definition:
    read_only = name in _READ_ONLY
    return {
        "name": name,
        "label": label,
        "type": kind[0],
        "fieldType": kind[1],
        "description": label,
        "groupName": group,
        "options": options(_OPTIONS.get(name, ())),
        "displayOrder": -1,
        "calculated": name in _CALCULATED,
        "externalOptions": name == "hubspot_owner_id",
        "hasUniqueValue": name == "hs_object_id",
        "hidden": False,
        "hubspotDefined": standard,
        "archived": False,
        "formField": not read_only,
        "modificationMetadata": {
            "archivable": not standard,
            "readOnlyDefinition": standard,
            "readOnlyValue": read_only,
            "readOnlyOptions": standard,
        },
    } | ({"referencedObjectType": "OWNER"} if name == "hubspot_owner_id" else {})
