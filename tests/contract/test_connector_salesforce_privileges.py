"""The report on what the integration user may do beyond its work."""

from __future__ import annotations

import pytest

from connectors.errors import Fatal
from connectors.salesforce.session import Session
from connectors.salesforce.source import SalesforceSource
from sandbox.faults import Fault, Verb
from sandbox.salesforce.permissions import field_permission, object_permission
from sandbox.settings import MANAGED_SALESFORCE

PUSHED = ("OwnerId", "ParentId", *MANAGED_SALESFORCE)


@pytest.fixture
def source(salesforce_session: Session) -> SalesforceSource:
    return SalesforceSource(salesforce_session)


def test_a_user_with_only_what_the_work_needs_has_no_excess(source):
    assert source.excess_privileges(PUSHED) == ()
    assert source.meter.reads == 4


def test_everything_beyond_is_named_with_its_kind(source, sandbox):
    world = sandbox.world
    world.load("salesforce", "ObjectPermissions", [object_permission("Contact", ("Read", "Delete"))])
    world.load("salesforce", "FieldPermissions", [field_permission("Account", "Phone")])
    (access,) = world.table("salesforce", "UserPermissionAccess").values()
    access["PermissionsModifyAllData"] = True
    found = source.excess_privileges(PUSHED)
    assert [(one.kind, one.name) for one in found] == [
        ("field", "Account.Phone"),
        ("object", "Contact.Delete"),
        ("system", "ModifyAllData"),
    ]
    assert all(one.why for one in found)


def test_a_field_that_is_no_longer_pushed_is_excess(source):
    left = [name for name in PUSHED if name != "Account_Tier__c"]
    assert [one.name for one in source.excess_privileges(left)] == ["Account.Account_Tier__c"]


def test_rights_of_others_do_not_count(source, sandbox):
    grant = {**object_permission("Lead", ("Delete",)), "ParentId": "0PS000000000zzzAAA"}
    sandbox.world.load("salesforce", "ObjectPermissions", [grant])
    assert source.excess_privileges(PUSHED) == ()


def test_a_user_who_may_not_look_is_told_what_to_give(source, sandbox):
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=403, route="/query"))
    with pytest.raises(Fatal, match="permissions of the integration user"):
        source.excess_privileges(PUSHED)
