"""Hospitals H1 and H9, their system RHS, a practice, and the people who work them, for tests of routing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mappings.leads import Lead
from mappings.load import load
from mappings.policy import Mappings
from mappings.routing_policy import Overlay
from sync.territory.capacity import Colleague
from sync.territory.deciding import AuthorityRecord
from sync.territory.leads import Basis, Inputs, Place, Routed, Step, route_lead
from sync.territory.matching import Known, Register

AS_OF = "2026-07-02"
SHIPPED: Mappings = load()
SYSTEM_OWNER, GEO, SPECIALIST = "sam@x.example", "gia@x.example", "ola@x.example"
INSIDE, OTHER_INSIDE, BOSS = "ida@x.example", "ivo@x.example", "max@x.example"

PEOPLE = {
    person.email: person
    for person in (
        Colleague(email=SYSTEM_OWNER, role="PRIMARY", delegate=GEO, manager=BOSS),
        Colleague(email=GEO, role="GEO", states=("TN",)),
        Colleague(email=SPECIALIST, role="OVERLAY", states=("TN",), lines=("ONCOLOGY",)),
        Colleague(email="act@x.example", role="ACTIVATION", states=("TN",)),
        Colleague(email=INSIDE, role="INSIDE", capacity=20),
        Colleague(email=OTHER_INSIDE, role="INSIDE", capacity=10),
        Colleague(email=BOSS, role="MANAGER"),
    )
}
H1 = Place(
    account_id="h1",
    name="Valley Medical Center",
    unit="rhs",
    in_system=True,
    system_name="Regional Health System",
    state="TN",
    tier="T2",
    org_type="IDN",
    archetype="IDN",
    owner=SYSTEM_OWNER,
    system_owner=SYSTEM_OWNER,
    record_owner=SYSTEM_OWNER,
    queue="ENTERPRISE",
)
RHS = replace(H1, account_id="rhs", name="Regional Health System")


def basis(**policy: Any) -> Basis:
    """The shipped policy with some of its values changed, and the people above."""
    own = SHIPPED.policies.leads.model_copy(update={"specialised_lines": ("ONCOLOGY",), **policy})
    return Basis(
        policy=own,
        authority=SHIPPED.policies.authority,
        conflicts=SHIPPED.policies.holds.conflicts,
        people=PEOPLE,
        geo={"TN": GEO},
    )


def known(place: Place, **values: Any) -> Known:
    """The account of a place as leads are compared with it."""
    return Known(account_id=place.account_id, name=place.name, unit=place.unit, state=place.state, **values)


def inputs(lead: Lead, *places: Place, **values: Any) -> Inputs:
    """What a decision about these places rests on."""
    found = Register([known(place) for place in places]).candidates(lead, SHIPPED.policies.leads.match)
    own = {"as_of": AS_OF, "places": {place.account_id: place for place in places}, **values}
    return Inputs(lead=lead, candidates=found, **own)


def routed(lead: Lead, *places: Place, on: Basis | None = None, **values: Any) -> Routed:
    """The decision on a lead about one of these places."""
    return route_lead(inputs(lead, *places, **values), on or basis())


def step(found: Routed, rule_id: str) -> Step:
    """How one rule was asked."""
    return next(one for one in found.trace if one.rule_id == rule_id)


def site(**values: Any) -> AuthorityRecord:
    """A steward's record that H1 decides itself."""
    return AuthorityRecord(**{"org_id": "h1", "distance": 0, "level": "SITE", **values})


ONCOLOGY_WEST = Overlay(id="onc", line="ONCOLOGY", states=("CA",), rep="wes@x.example")
