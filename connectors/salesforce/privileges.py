"""What the integration user may do beyond its work: system, object and field permissions that nothing here needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.errors import Fatal
from connectors.protocol import Privilege
from connectors.salesforce import soql
from connectors.salesforce.ids import to_18
from connectors.salesforce.responses import SYSTEM, next_page, unreadable
from connectors.salesforce.session import Session

_RIGHTS = ("Create", "Edit", "Delete", "ModifyAllRecords")
_NEEDED = {"Account": frozenset({"Edit"}), "AccountTeamMember": frozenset({"Create", "Edit"})}
_DANGEROUS = {
    "ModifyAllData": "writes every record of every object",
    "ManageUsers": "creates users and gives permissions",
    "CustomizeApplication": "changes objects, fields and rules",
    "ModifyMetadata": "deploys metadata",
    "AuthorApex": "runs code of its own",
    "ManageSharing": "changes who sees what",
}


def excess_privileges(session: Session, pushed: Sequence[str]) -> tuple[Privilege, ...]:
    """Give what the user may do beyond reading, and writing these Account fields; sorted, empty when nothing.

    Read-only; four calls. Raises Fatal where the user may not look at permissions (View Setup).
    """
    sets = _permission_sets(session)
    found = [*_system(session)]
    if sets:
        found += _objects(session, sets)
        found += _fields(session, sets, pushed)
    unique = {(one.kind, one.name): one for one in found}
    return tuple(unique[key] for key in sorted(unique))


def _permission_sets(session: Session) -> list[str]:
    user_id = session.identify()
    if not user_id:
        raise Fatal(
            "Salesforce does not say which user the credentials act as, so its rights cannot be looked at; give the "
            "connected app the scope id, or openid",
            system=SYSTEM,
            code="NO_IDENTITY",
        )
    where = soql.id_in("AssigneeId", [user_id])
    rows = _rows(session, "PermissionSetAssignment", ("PermissionSetId",), where)
    return sorted({to_18(row["PermissionSetId"]) for row in rows})


def _system(session: Session) -> Iterable[Privilege]:
    names = [f"Permissions{name}" for name in _DANGEROUS]
    for row in _rows(session, "UserPermissionAccess", names, ""):
        for name, why in _DANGEROUS.items():
            if row.get(f"Permissions{name}"):
                yield Privilege(kind="system", name=name, why=why)


def _objects(session: Session, sets: Sequence[str]) -> Iterable[Privilege]:
    names = ("SobjectType", *(f"Permissions{right}" for right in _RIGHTS))
    for row in _rows(session, "ObjectPermissions", names, soql.id_in("ParentId", sets)):
        object_name = str(row["SobjectType"])
        for right in _RIGHTS:
            if row.get(f"Permissions{right}") and right not in _NEEDED.get(object_name, ()):
                why = f"{right.lower()} on {object_name} is not part of the work"
                yield Privilege(kind="object", name=f"{object_name}.{right}", why=why)


def _fields(session: Session, sets: Sequence[str], pushed: Sequence[str]) -> Iterable[Privilege]:
    where = f"{soql.id_in('ParentId', sets)} AND {soql.equals('SobjectType', 'Account')}"
    for row in _rows(session, "FieldPermissions", ("Field", "PermissionsEdit"), where):
        name = str(row["Field"]).rpartition(".")[2]
        if row.get("PermissionsEdit") and name not in pushed:
            yield Privilege(kind="field", name=f"Account.{name}", why="no map pushes this field")


def _rows(session: Session, native_object: str, fields: Sequence[str], where: str) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    resource, params = "query", {"q": soql.select(native_object, fields, where=where)}
    while True:
        try:
            body = session.call("GET", resource, route="privileges", is_write=False, params=params).body
        except Fatal as error:
            if error.code != "INVALID_TYPE":
                raise
            remedy = "give the integration user 'View Setup' to check its rights"
            text = f"Salesforce {native_object} is not visible; {remedy}"
            raise Fatal(text, system=SYSTEM, code=error.code) from error
        if not isinstance(body, dict) or not (body.get("done") or next_page(body)):
            raise unreadable(route="privileges", is_write=False)
        rows += body.get("records") or []
        if body.get("done"):
            return rows
        resource, params = next_page(body), {}
