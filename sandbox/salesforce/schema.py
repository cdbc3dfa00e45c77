"""Objects and fields of the sandbox Salesforce, and their describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.salesforce.ids import PREFIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an object."""

    name: str
    type: str  # as describe names it: id, string, picklist, reference, boolean, double, currency, int, date, ...
    length: int = 0
    updateable: bool = True
    createable: bool = True
    required: bool = False
    refers_to: str = ""  # object a reference points to
    values: tuple[str, ...] = ()  # of a picklist
    restricted: bool = False  # other values are refused
    external: bool = False  # an upsert may find records by it

    @property
    def relationship(self) -> str:
        """Name under which a query walks the reference; "" when there is none."""
        return self.name.removesuffix("Id") if self.refers_to else ""


def _read_only(name: str, type_: str, **more: Any) -> Field:
    return Field(name=name, type=type_, updateable=False, createable=False, **more)


def _text(name: str, length: int = 255, **more: Any) -> Field:
    return Field(name=name, type=more.pop("type", "string"), length=length, **more)


def _reference(name: str, object_name: str, **more: Any) -> Field:
    return Field(name=name, type="reference", length=18, refers_to=object_name, **more)


def _fixed_reference(name: str, object_name: str) -> Field:
    return _reference(name, object_name, updateable=False, createable=False)


_ID = _read_only("Id", "id", length=18)
_DELETED = _read_only("IsDeleted", "boolean")
_CREATED = (_read_only("CreatedDate", "datetime"), _fixed_reference("CreatedById", "User"))
_STAMPS = (
    *_CREATED,
    _read_only("LastModifiedDate", "datetime"),
    _fixed_reference("LastModifiedById", "User"),
    _read_only("SystemModstamp", "datetime"),
)

_ADDRESS = tuple(
    _text(f"{kind}{part}", length)
    for kind in ("Billing", "Shipping")
    for part, length in (("Street", 255), ("City", 40), ("State", 80), ("PostalCode", 20), ("Country", 80))
)

_ACCOUNT_TYPES = ("Prospect", "Customer - Direct", "Customer - Channel", "Partner", "Competitor", "Other")
_INDUSTRIES = ("Biotechnology", "Government", "Healthcare", "Insurance", "Not For Profit", "Technology", "Other")
_STAGES = (
    "Prospecting",
    "Qualification",
    "Needs Analysis",
    "Value Proposition",
    "Proposal/Price Quote",
    "Negotiation/Review",
    "Closed Won",
    "Closed Lost",
)
_ACCESS = ("None", "Read", "Edit", "All")

OBJECT_PERMISSIONS = ("Read", "Create", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
SYSTEM_PERMISSIONS = (
    "ApiEnabled",
    "AuthorApex",
    "CustomizeApplication",
    "ManageSharing",
    "ManageUsers",
    "ModifyAllData",
    "ModifyMetadata",
    "ViewAllData",
    "ViewSetup",
)

_ACCOUNT_CUSTOM = (
    _text("CCN__c", 20),
    _text("NPI__c", 20),
    _text("Definitive_ID__c", 40, external=True),
    _text("Health_System__c"),
    _text("Owner_Role__c", 80),
    _text("Territory__c", 80),
    _text("Routing_Queue__c", 80),
    _text("Account_Tier__c", type="picklist", values=("T1", "T2", "T3", "UNTIERED"), restricted=True),
    _text("Tier_Status__c"),
    Field(name="Account_Score__c", type="double"),
    Field(name="Rescore_Flag__c", type="boolean"),
    _text("Rescore_Reason__c", 1000, type="textarea"),
)

_OBJECTS: dict[str, tuple[Field, ...]] = {
    "Account": (
        _ID,
        _DELETED,
        _fixed_reference("MasterRecordId", "Account"),
        _text("Name", required=True),
        _text("Type", type="picklist", values=_ACCOUNT_TYPES),
        _reference("ParentId", "Account"),
        *_ADDRESS,
        _read_only("BillingAddress", "address"),
        _text("Phone", 40, type="phone"),
        _text("Website", type="url"),
        _text("AccountNumber", 40),
        _text("Industry", type="picklist", values=_INDUSTRIES),
        Field(name="AnnualRevenue", type="currency"),
        Field(name="NumberOfEmployees", type="int"),
        _text("Description", 32000, type="textarea"),
        _reference("OwnerId", "User", required=True),
        *_STAMPS,
        *_ACCOUNT_CUSTOM,
    ),
    "User": (
        _ID,
        _text("Username", 80, required=True),
        _read_only("Name", "string", length=121),
        _text("FirstName", 40),
        _text("LastName", 80, required=True),
        _text("Email", 128, type="email", required=True),
        _text("Title", 80),
        _text("Department", 80),
        Field(name="IsActive", type="boolean"),
        _text("UserType", 40, type="picklist", updateable=False, createable=False),
        _text("UserRoleId", 18),
        _text("ProfileId", 18),
        _reference("ManagerId", "User"),
        *_STAMPS,
    ),
    "Opportunity": (
        _ID,
        _DELETED,
        _reference("AccountId", "Account"),
        _text("Name", 120, required=True),
        _text("StageName", type="picklist", values=_STAGES, required=True),
        Field(name="Amount", type="currency"),
        Field(name="Probability", type="percent"),
        Field(name="CloseDate", type="date", required=True),
        _text("Type", type="picklist"),
        _read_only("IsClosed", "boolean"),
        _read_only("IsWon", "boolean"),
        _reference("OwnerId", "User", required=True),
        *_STAMPS,
    ),
    "Contact": (
        _ID,
        _DELETED,
        _reference("AccountId", "Account"),
        _text("FirstName", 40),
        _text("LastName", 80, required=True),
        _read_only("Name", "string", length=121),
        _text("Email", 80, type="email"),
        _reference("OwnerId", "User", required=True),
        *_STAMPS,
    ),
    "AccountTeamMember": (
        _ID,
        _DELETED,
        _reference("AccountId", "Account", updateable=False, required=True),
        _reference("UserId", "User", updateable=False, required=True),
        _text("TeamMemberRole", 40, type="picklist"),
        _text("AccountAccessLevel", 40, type="picklist", values=_ACCESS),
        _text("OpportunityAccessLevel", 40, type="picklist", values=_ACCESS),
        _text("CaseAccessLevel", 40, type="picklist", values=_ACCESS),
        _text("ContactAccessLevel", 40, type="picklist", values=_ACCESS),
        *_STAMPS,
    ),
    "AccountHistory": (
        _ID,
        _DELETED,
        _fixed_reference("AccountId", "Account"),
        _read_only("Field", "picklist", length=255),
        _read_only("DataType", "picklist", length=40),
        _read_only("OldValue", "anyType"),
        _read_only("NewValue", "anyType"),
        *_CREATED,
    ),
    "PermissionSet": (_ID, _read_only("Name", "string", length=80), _read_only("IsOwnedByProfile", "boolean")),
    "PermissionSetAssignment": (
        _ID,
        _fixed_reference("AssigneeId", "User"),
        _fixed_reference("PermissionSetId", "PermissionSet"),
    ),
    "ObjectPermissions": (
        _ID,
        _fixed_reference("ParentId", "PermissionSet"),
        _read_only("SobjectType", "picklist", length=40),
        *(_read_only(f"Permissions{name}", "boolean") for name in OBJECT_PERMISSIONS),
    ),
    "FieldPermissions": (
        _ID,
        _fixed_reference("ParentId", "PermissionSet"),
        _read_only("SobjectType", "picklist", length=40),
        _read_only("Field", "picklist", length=255),
        _read_only("PermissionsEdit", "boolean"),
        _read_only("PermissionsRead", "boolean"),
    ),
    "UserPermissionAccess": (
        _ID,
        *(_read_only(f"Permissions{name}", "boolean") for name in SYSTEM_PERMISSIONS),
    ),
    "Organization": (
        _ID,
        _read_only("Name", "string", length=80),
        _read_only("OrganizationType", "picklist", length=40),
        _read_only("InstanceName", "picklist", length=5),
        _read_only("IsSandbox", "boolean"),
        *_STAMPS,
    ),
}

_READ_ONLY_OBJECTS = frozenset(
    {
        "AccountHistory",
        "FieldPermissions",
        "ObjectPermissions",
        "Organization",
        "PermissionSet",
        "PermissionSetAssignment",
        "UserPermissionAccess",
    }
)

TEXT_TYPES = frozenset({"string", "textarea", "phone", "url", "email", "picklist"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})


class Schema:
    """The objects of one org. `custom` adds fields to Account ("Foo__c": "string"), `picklists` closes value lists.

    `changes` may grow later: ("drop", field, ""), ("rename", field, name) or ("retype", field, type) of Account.
    """

    def __init__(
        self,
        custom: Mapping[str, str],
        picklists: Mapping[str, Iterable[str]],
        changes: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        self._changes = changes
        self._applied = 0
        added = tuple(Field(name=name, type=type_, length=255) for name, type_ in custom.items())
        self._objects = {**_OBJECTS, "Account": (*_OBJECTS["Account"], *added)}
        self._closed = {name: tuple(values) for name, values in picklists.items()}
        self._names = {name.lower(): name for name in self._objects}
        self._known = {
            name: {field.name.lower(): self._with_values(field) for field in fields}
            for name, fields in self._objects.items()
        }

    @property
    def _fields(self) -> dict[str, dict[str, Field]]:
        """Fields by object and lower-case name, with the changes made so far."""
        while self._applied < len(self._changes):
            kind, name, to = self._changes[self._applied]
            self._applied += 1
            field = self._known["Account"].pop(name.lower(), None)
            if field is not None and kind == "rename":
                self._known["Account"][to.lower()] = replace(field, name=to)
            if field is not None and kind == "retype":
                self._known["Account"][name.lower()] = replace(field, type=to)
        return self._known

    def object_name(self, name: str) -> str | None:
        """The object's proper name, whatever the case; None when there is no such object."""
        return self._names.get(name.lower())

    def objects(self) -> tuple[str, ...]:
        """Names of all objects."""
        return tuple(self._objects)

    def fields(self, object_name: str) -> tuple[Field, ...]:
        """Fields of an object, in the order of its describe."""
        return tuple(self._fields[object_name].values())

    def field(self, object_name: str, name: str) -> Field | None:
        """A field by name, whatever the case; None when there is no such field."""
        return self._fields[object_name].get(name.lower())

    def by_relationship(self, object_name: str, name: str) -> Field | None:
        """The reference a query walks by `name` ("Owner"); None when there is none."""
        for field in self.fields(object_name):
            if field.relationship and field.relationship.lower() == name.lower():
                return field
        return None

    def describe(self, object_name: str, base: str) -> dict[str, Any]:
        """The describe of an object. `base` is /services/data/vNN.N."""
        fields = [_describe_field(object_name, field) for field in self.fields(object_name)]
        return {**self.summary(object_name, base), "fields": fields, "childRelationships": [], "recordTypeInfos": []}

    def summary(self, object_name: str, base: str) -> dict[str, Any]:
        """The entry of an object in the list of objects."""
        writable = object_name not in _READ_ONLY_OBJECTS
        here = f"{base}/sobjects/{object_name}"
        return {
            "name": object_name,
            "label": object_name,
            "keyPrefix": PREFIXES.get(object_name),
            "custom": object_name.endswith("__c"),
            "createable": writable,
            "updateable": writable,
            "deletable": writable and object_name != "User",
            "queryable": True,
            "retrieveable": True,
            "replicateable": object_name not in ("Organization",),
            "mergeable": object_name in ("Account", "Contact"),
            "urls": {"sobject": here, "describe": f"{here}/describe", "rowTemplate": f"{here}/{{ID}}"},
        }

    def _with_values(self, field: Field) -> Field:
        values = self._closed.get(field.name)
        return field if values is None else replace(field, type="picklist", values=values, restricted=True)


def _describe_field(object_name: str, field: Field) -> dict[str, Any]:
    options = [
        {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value}
        for value in field.values
    ]
    return {
        "name": field.name,
        "label": _label(field.name),
        "type": field.type,
        "length": field.length,
        "scale": 2 if field.type == "currency" else 0,
        "precision": 18 if field.type in ("currency", "double") else 0,
        "custom": field.name.endswith("__c"),
        "createable": field.createable,
        "updateable": field.updateable,
        "nillable": not (field.required or field.type == "boolean" or field.name == "Id"),
        "calculated": False,
        "filterable": field.type != "anyType" and not (object_name == "Account" and field.name == "Description"),
        "sortable": field.type not in ("anyType", "textarea", "address"),
        "picklistValues": options,
        "restrictedPicklist": field.restricted,
        "referenceTo": [field.refers_to] if field.refers_to else [],
        "relationshipName": field.relationship or None,
        "unique": False,
        "externalId": field.external,
    }


def _label(name: str) -> str:
    plain = name.removesuffix("__c").replace("_", " ")
    return plain.removesuffix("Id") + " ID" if plain.endswith("Id") and plain != "Id" else plain
