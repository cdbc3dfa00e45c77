"""What the integration user of the sandbox may do: one permission set, as small as the work allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.salesforce.ids import PREFIXES, make_id
from sandbox.settings import MANAGED_SALESFORCE

GRANTED = make_id(PREFIXES["PermissionSet"], 1)
"""The permission set of the integration user."""

_OBJECTS = {
    "Account": ("Read", "Edit", "ViewAllRecords"),
    "AccountTeamMember": ("Read", "Create", "Edit", "ViewAllRecords"),
    "Opportunity": ("Read", "ViewAllRecords"),
    "Contact": ("Read", "ViewAllRecords"),
}
_FIELDS = ("ParentId", *MANAGED_SALESFORCE)
_SYSTEM = ("ApiEnabled", "ViewSetup")


def seed(user_id: str) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Objects and their records, ready to be loaded. Required fields such as OwnerId have no field permission."""
    yield "PermissionSet", [{"Id": GRANTED, "Name": "Platbook", "IsOwnedByProfile": False}]
    yield "PermissionSetAssignment", [{"AssigneeId": user_id, "PermissionSetId": GRANTED}]
    yield "ObjectPermissions", [object_permission(name, granted) for name, granted in _OBJECTS.items()]
    yield "FieldPermissions", [field_permission("Account", name) for name in _FIELDS]
    yield "UserPermissionAccess", [{f"Permissions{name}": True for name in _SYSTEM}]


def object_permission(object_name: str, granted: Iterable[str]) -> dict[str, Any]:
    """A grant on an object: Read, Create, Edit, Delete, ViewAllRecords, ModifyAllRecords."""
    return {"ParentId": GRANTED, "SobjectType": object_name} | {f"Permissions{name}": True for name in granted}


def field_permission(object_name: str, field: str) -> dict[str, Any]:
    """A grant to read and edit a field."""
    grant = {"PermissionsEdit": True, "PermissionsRead": True}
    return {"ParentId": GRANTED, "SobjectType": object_name, "Field": f"{object_name}.{field}", **grant}
