"""Routing of leads: vectors T24, T25, T31, T46, the principles R58 and R59, and who stands in for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mappings.leads import Lead
from sync.territory.deciding import AuthorityRecord
from sync.territory.leads import Basis, Outcome, Place
from tests.unit.sync.territory.leads_world import (
    AS_OF,
    BOSS,
    GEO,
    H1,
    INSIDE,
    OTHER_INSIDE,
    PEOPLE,
    RHS,
    SPECIALIST,
    SYSTEM_OWNER,
    basis,
    routed,
    site,
    step,
)

LEAD = Lead(organisation="Valley Medical Center", state="TN", service_line="CARDIOLOGY")
CARDIOLOGY_AT_SITE = site(service_line="CARDIOLOGY")
ONCOLOGY_AT_SYSTEM = AuthorityRecord(org_id="rhs", distance=1, level="SYSTEM", service_line="ONCOLOGY")
SPLIT = replace(H1, authority=(CARDIOLOGY_AT_SITE, ONCOLOGY_AT_SYSTEM))


def test_T24_a_line_the_site_decides_goes_to_the_geographic_representative() -> None:
    found = routed(LEAD, SPLIT, RHS)
    assert (found.assignee, found.rule_id) == (GEO, "site-decides")
    assert [(one.email, one.role) for one in found.collaborators] == [(SYSTEM_OWNER, "account_owner")]


def test_T24_a_line_the_system_decides_goes_to_the_system_owner() -> None:
    lead = LEAD.model_copy(update={"service_line": "ONCOLOGY"})
    found = routed(lead, SPLIT, RHS, on=basis(specialised_lines=()))
    assert (found.assignee, found.rule_id) == (SYSTEM_OWNER, "system-decides")


def test_T24_an_account_based_t1_keeps_its_owner_unless_a_record_names_the_site() -> None:
    alone = replace(H1, tier="T1", archetype="INDEPENDENT", owner=SYSTEM_OWNER)
    by_default = routed(LEAD, alone)
    assert (by_default.assignee, by_default.rule_id) == (SYSTEM_OWNER, "site-of-named-system")
    assert [one.email for one in by_default.collaborators] == [GEO]
    assert routed(LEAD, replace(SPLIT, tier="T1"), RHS).assignee == GEO


def test_T25_an_expired_record_is_not_used_but_shown() -> None:
    expired = replace(H1, authority=(replace(CARDIOLOGY_AT_SITE, valid_from="2026-01-01", valid_to="2026-07-01"),))
    found = routed(LEAD, expired, RHS)
    assert (found.assignee, found.rule_id) == (SYSTEM_OWNER, "system-decides")
    shown = step(found, "system-decides").expression
    assert "default of IDN" in shown
    assert "no longer: SITE for ALL/CARDIOLOGY/ALL at h1 since 2026-01-01 until 2026-07-01" in shown


def test_the_last_day_of_a_record_is_the_day_before_its_end() -> None:
    record = replace(CARDIOLOGY_AT_SITE, valid_from="2026-01-01", valid_to="2026-07-03")
    assert routed(LEAD, replace(H1, authority=(record,)), RHS).assignee == GEO


OLD = Place(
    account_id="old", name="Old Valley Hospital", unit="old", state="TN", closed_on="2026-06-30", successor="h9"
)
H9 = replace(H1, account_id="h9", name="New Mountain Hospital", owner=BOSS, system_owner=BOSS)


def test_T31_a_lead_on_a_closed_hospital_goes_on_with_its_successor() -> None:
    found = routed(Lead(organisation="Old Valley Hospital", state="TN"), OLD, H9)
    assert (found.account_id, found.redirected_from, found.assignee) == ("h9", "old", BOSS)
    assert step(found, "successor").verdict == "T"


def test_T31_before_it_closed_the_old_hospital_was_worked_itself() -> None:
    lead = Lead(organisation="Old Valley Hospital", state="TN")
    assert routed(lead, OLD, H9, as_of="2026-06-29").account_id == "old"


def test_successions_in_a_circle_come_to_an_end() -> None:
    one = replace(OLD, successor="two")
    two = replace(OLD, account_id="two", name="Second Hospital", successor="old")
    assert routed(Lead(organisation="Old Valley Hospital", state="TN"), one, two).account_id in ("old", "two")


ARIZONA = replace(H1, account_id="az", name="Valley Medical", unit="az", state="AZ", in_system=False)
TEXAS = replace(ARIZONA, account_id="tx", name="Valley Medicals", unit="tx", state="TX")


def test_T46_two_organisations_within_the_margin_wait_for_a_person() -> None:
    found = routed(Lead(organisation="Valley Medical"), ARIZONA, TEXAS)
    assert (found.outcome, found.queue, found.assignee) == (Outcome.AMBIGUOUS, "AMBIGUOUS", None)
    assert found.alerts == ("ambiguous_lead: MANAGER within 24 hours",)
    assert "Valley Medical 0.90" in step(found, "match").expression


def test_two_sites_that_one_person_works_are_no_riddle() -> None:
    twin = replace(TEXAS, unit="az")
    assert routed(Lead(organisation="Valley Medical"), ARIZONA, twin).account_id == "az"


def test_R58_1_what_the_system_buys_goes_to_its_owner() -> None:
    assert routed(LEAD, H1, RHS).assignee == SYSTEM_OWNER


def test_R58_2_what_the_site_decides_goes_to_the_geographic_representative() -> None:
    assert routed(LEAD, replace(H1, authority=(site(),)), RHS).assignee == GEO


def test_R58_3_a_specialised_line_goes_to_the_specialist_with_the_account_owner_beside() -> None:
    found = routed(LEAD.model_copy(update={"service_line": "ONCOLOGY"}), H1, RHS)
    assert (found.assignee, found.assigned_as) == (SPECIALIST, "overlay_rep")
    assert [one.email for one in found.collaborators] == [SYSTEM_OWNER]


def test_a_product_stands_for_its_line() -> None:
    lead = Lead(organisation="Valley Medical Center", state="TN", product="Linac")
    assert routed(lead, H1, RHS, on=basis(product_lines={"linac": "ONCOLOGY"})).assignee == SPECIALIST


def test_without_a_specialist_for_the_state_the_next_stage_decides() -> None:
    lead = LEAD.model_copy(update={"service_line": "ONCOLOGY"})
    assert routed(lead, replace(H1, state="OH"), RHS).rule_id == "system-decides"


def test_R59_a_practice_that_a_system_bought_goes_to_the_systems_owner() -> None:
    practice = replace(H1, account_id="vmg", name="Valley Medical Group", archetype="HOSPITAL_GROUP", owner=None)
    found = routed(Lead(organisation="Valley Medical Group", state="TN"), practice, RHS)
    assert (found.assignee, found.account_id) == (SYSTEM_OWNER, "vmg")


def test_a_hold_comes_before_every_rule_of_ownership() -> None:
    held = replace(H1, hold_kind="open_opportunity", record_owner=INSIDE)
    assert routed(LEAD, held, RHS).assignee == INSIDE


def test_a_contract_awarded_to_us_goes_to_the_activation_representative() -> None:
    found = routed(LEAD, replace(H1, motion="CONTRACT_ACTIVATION"), RHS)
    assert (found.assignee, found.rule_id) == ("act@x.example", "contract-activation")


def test_an_unknown_motion_matches_nothing_and_is_named() -> None:
    found = routed(LEAD, H1, RHS)
    assert step(found, "contract-activation").verdict == "U"
    assert found.unknown == ("motion",)


@pytest.mark.parametrize(
    "lead", [Lead(organisation="Test"), Lead(email="joe@mailinator.com"), Lead(phone="6155550100")]
)
def test_junk_is_rejected_and_not_looked_for(lead: Lead) -> None:
    found = routed(lead, H1)
    assert (found.outcome, found.assignee, found.account_id) == (Outcome.REJECTED, None, None)


def test_the_trace_keeps_every_rule_of_the_policy() -> None:
    ids = [one.rule_id for one in routed(LEAD, H1, RHS).trace if one.stage not in ("match", "successor")]
    assert ids == [rule.id for rule in basis().policy.rules]


def test_an_unknown_organisation_goes_to_the_queue_of_new_accounts() -> None:
    found = routed(Lead(organisation="Somewhere Else", state="TN"), H1)
    assert (found.queue, found.assignee) == ("NEW_ACCOUNTS", INSIDE)


def test_the_queue_weighs_open_work_by_capacity() -> None:
    lead = Lead(organisation="Somewhere Else")
    # 6 of 20 is less than 4 of 10
    assert routed(lead, work={INSIDE: 6, OTHER_INSIDE: 4}).assignee == INSIDE
    assert routed(lead, work={INSIDE: 9, OTHER_INSIDE: 4}).assignee == OTHER_INSIDE
    assert routed(lead, work={INSIDE: 8, OTHER_INSIDE: 4}).assignee == INSIDE  # as much: the lower e-mail


def test_nobody_there_is_an_alert() -> None:
    full = {INSIDE: 20, OTHER_INSIDE: 10}
    found = routed(Lead(organisation="Somewhere Else"), work=full)
    assert (found.outcome, found.queue) == (Outcome.UNASSIGNED, "NEW_ACCOUNTS")
    assert found.alerts == ("unassigned_lead: MANAGER within 24 hours",)


def _with(email: str, **values: Any) -> Basis:
    return replace(basis(), people={**PEOPLE, email: replace(PEOPLE[email], **values)})


def test_somebody_on_leave_is_followed_to_the_delegate() -> None:
    away = _with(SYSTEM_OWNER, leave_from="2026-07-01", leave_to="2026-07-15")
    found = routed(LEAD, H1, RHS, on=away)
    assert found.assignee == GEO
    assert "is on leave 2026-07-01 to 2026-07-15" in step(found, "system-decides").effect


def test_the_first_day_back_is_no_leave() -> None:
    away = _with(SYSTEM_OWNER, leave_from="2026-06-01", leave_to=AS_OF)
    assert routed(LEAD, H1, RHS, on=away).assignee == SYSTEM_OWNER


def test_an_absent_delegate_is_followed_to_the_manager() -> None:
    both = {
        **PEOPLE,
        SYSTEM_OWNER: replace(PEOPLE[SYSTEM_OWNER], active=False),
        GEO: replace(PEOPLE[GEO], active=False),
    }
    assert routed(LEAD, H1, RHS, on=replace(basis(), people=both)).assignee == BOSS


def test_with_nobody_to_stand_in_the_queue_of_the_account_takes_it() -> None:
    alone = {email: one for email, one in PEOPLE.items() if email not in (GEO, BOSS)}
    alone[SYSTEM_OWNER] = replace(PEOPLE[SYSTEM_OWNER], active=False)
    alone["pia@x.example"] = replace(PEOPLE[SYSTEM_OWNER], email="pia@x.example", delegate="", manager="")
    found = routed(LEAD, H1, RHS, on=replace(basis(), people=alone))
    assert (found.assignee, found.queue) == ("pia@x.example", "ENTERPRISE")


def test_a_deal_above_the_sites_limit_is_the_systems() -> None:
    limited = replace(H1, authority=(site(spend_limit_cents=5_000_000),))
    small, large = (
        LEAD.model_copy(update={"amount_cents": 5_000_000}),
        LEAD.model_copy(update={"amount_cents": 5_000_001}),
    )
    assert (routed(small, limited, RHS).assignee, routed(large, limited, RHS).assignee) == (GEO, SYSTEM_OWNER)


def test_assumed_facts_take_the_place_of_those_found() -> None:
    found = routed(LEAD, H1, RHS, assumed={"authority_level": "SITE", "authority_basis": "EXPLICIT"})
    assert found.assignee == GEO
