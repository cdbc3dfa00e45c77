"""Policies about leads and holds that cannot be used are refused with their line and a near miss."""

from __future__ import annotations

from importlib.resources import files

import pytest

from mappings.located import read
from mappings.models import validate
from mappings.policy import RepPolicy
from mappings.routing_checks import check_holds, check_lead_people, check_leads, check_roster
from mappings.routing_policy import CONFLICTS, HoldPolicy, LeadPolicy

LEADS, HOLDS = ((files("mappings") / "policies" / name).read_text() for name in ("leads.yaml", "holds.yaml"))


def leads(*changes: tuple[str, str]) -> list[str]:
    """What is wrong with the shipped leads.yaml after some changes of its text."""
    text = LEADS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    document = read(text, "leads.yaml")
    policy, problems = validate(document, LeadPolicy)
    return [str(problem) for problem in (check_leads(document, policy) if policy else problems)]


def holds(*changes: tuple[str, str]) -> list[str]:
    """What is wrong with the shipped holds.yaml after some changes of its text."""
    text = HOLDS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    document = read(text, "holds.yaml")
    policy, problems = validate(document, HoldPolicy)
    return [str(problem) for problem in (check_holds(document, policy) if policy else problems)]


def test_the_shipped_policies_are_whole() -> None:
    assert (leads(), holds()) == ([], [])


@pytest.mark.parametrize("name", CONFLICTS)
def test_r60_a_conflict_without_a_rule_is_refused(name: str) -> None:
    told = holds((f"  {name}:", "  nobody_asked:"))
    assert any("CONFLICT-POLICY-MISSING" in one and repr(name) in one for one in told)
    assert any("nobody_asked" in one for one in told)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("eq: [is_held, true]", "eq: [is_hold, true]"), "Did you mean is_held?"),
        (("[authority_level, [REGION", "[authority_level, [REGIO"), "Did you mean REGION?"),
        (("assign: record_owner", "assign: record_ownr"), "Did you mean record_owner?"),
        (("[junk, match, successor, hold", "[junk, successor, match, hold"), "precedence must begin with junk, match"),
        (("gpo_activation, overlay, system_owner, geo_rep, queue]", "overlay, geo_rep, queue]"), "each of"),
        (("id: held,", "id: junk,"), "stands twice"),
        (("unmatched_queue: NEW_ACCOUNTS", "unmatched_queue: NEW_ACOUNTS"), "Did you mean NEW_ACCOUNTS?"),
        (("roles: [ACTIVATION]", "roles: [ACTIVATON]"), "Did you mean ACTIVATION?"),
        (("assign: queue}", "assign: reject}"), "would be lost"),
    ],
)
def test_a_fault_in_the_lead_policy_is_told(change: tuple[str, str], says: str) -> None:
    told = leads(change)
    assert any(says in one for one in told), told
    assert all(one.startswith("leads.yaml:") for one in told)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("escalate_to: MANAGER", "escalate_to: MANGER"), "Did you mean MANAGER?"),
        (("eligible: {stage_gte: 3", "eligible: {stage_gte: 6"), "never reached"),
        (("next_plan: 01-01", "next_plan: 13-01"), "month and day"),
        (("winner: [acquirer_owner, open_pipeline", "winner: [tenure, acquirer_owner, open_pipeline"), "stands twice"),
        (("    winner: [acquirer_owner, open_pipeline, tenure, capacity]\n", ""), "winner is empty"),
    ],
)
def test_a_fault_in_the_hold_policy_is_told(change: tuple[str, str], says: str) -> None:
    told = holds(change)
    assert any(says in one for one in told), told


def test_people_who_are_not_on_the_roster_are_told_with_a_near_miss() -> None:
    roster = """policy: {id: reps, version: 1, owner: o, effective_from: 2020-01-01}
reps:
  - {email: ann@x.example, name: Ann, role: PRIMARY, delegate: bop@x.example, manager: ann@x.example}
  - {email: bob@x.example, name: Bob, role: OVERLAY}
"""
    document = read(roster, "reps.yaml")
    reps = RepPolicy.model_validate(document.data)
    told = [str(problem) for problem in check_roster(document, reps)]
    assert told[0].startswith("reps.yaml:3:")
    assert "Did you mean bob@x.example?" in told[0]
    assert "of itself" in told[1]
    text = LEADS.replace("overlays: []", "overlays: [{id: o, line: ONCOLOGY, rep: bub@x.example}]")
    leads_document = read(text, "leads.yaml")
    policy = LeadPolicy.model_validate(leads_document.data)
    [problem] = check_lead_people(leads_document, policy, reps)
    assert "Did you mean bob@x.example?" in str(problem)
