"""Who changed the value decides what happens to it, where the policy trusts kinds of actors differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.policy import ConflictPolicy, FieldPolicy, Policies, Trust
from sync.planning.decisions import moves_without_write
from sync.world import Plan, World

TRUST = (
    Trust(actor="integration:bot", verdict="ours"),
    Trust(actor="integration", verdict="theirs"),
    Trust(actor="human", verdict="review"),
)
MOVED = {"drift": ("005B", "005C", "005B"), "conflict": ("005A", "005C", "005B")}
"""Agreed, in the CRM, wanted."""


def trusting(policies: Callable[..., Policies], *trust: Trust, **knobs: str) -> Policies:
    rules = policies()
    owner = FieldPolicy(group="owner_alone", trust=trust, **knobs)  # type: ignore[arg-type]  # knobs are literals
    fields = {**rules.conflicts.fields, "owner": owner}
    conflicts = rules.conflicts.model_copy(update={"fields": fields})
    return rules.model_copy(update={"conflicts": conflicts})


def moved(world: Callable[..., World], state: str, kind: str | None, who: str) -> World:
    agreed, crm, _ = MOVED[state]
    history = [
        {
            "record_id": "a",
            "field": "owner",
            "changed_at": "2026-05-10T10:00:00.000Z",
            "changed_by": who,
            "actor_kind": kind,
            "new_value": crm,
        }
    ]
    return world(
        records=[{"record_id": "a", "owner": crm}],
        agreed=[{"record_id": "a", "owner": agreed}],
        field_changes=history if kind else [],
    )


@pytest.mark.parametrize("state", MOVED)
@pytest.mark.parametrize(
    ("kind", "who", "action"),
    [
        ("integration", "bot", "auto"),
        ("integration", "other", "agree"),
        ("human", "005K", "review"),
        (None, "", "review"),  # nobody knows who it was: a human, as far as we know
        ("workflow", "flow", "review"),  # no entry fits: on_drift and on_conflict as they are
    ],
)
def test_the_first_entry_that_fits_the_actor_decides(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    state: str,
    kind: str | None,
    who: str,
    action: str,
) -> None:
    wanted = [{"record_id": "a", "owner": MOVED[state][2]}]
    plan = plan_of(wanted, moved(world, state, kind, who), trusting(policies, *TRUST))
    (row,) = rows_of(plan.changes)
    assert (row["state"], row["action"]) == (state, action)


VERDICTS = st.sampled_from(("review", "ours", "theirs"))
KINDS = st.sampled_from(("human", "integration", "workflow", "import", None))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(MOVED)), KINDS, st.lists(st.tuples(KINDS.filter(bool), VERDICTS), max_size=3))
def test_a_human_or_unknown_edit_is_never_overwritten_unless_an_entry_for_humans_says_so(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    state: str,
    kind: str | None,
    entries: list[tuple[str, str]],
) -> None:
    trust = [Trust.model_validate({"actor": actor, "verdict": verdict}) for actor, verdict in entries]
    wanted = [{"record_id": "a", "owner": MOVED[state][2]}]
    plan = plan_of(wanted, moved(world, state, kind, "x"), trusting(policies, *trust))
    (row,) = rows_of(plan.changes)
    said = next((one.verdict for one in trust if one.actor == (kind or "human")), "review")
    assert row["action"] == {"review": "review", "ours": "auto", "theirs": "agree"}[said]


def test_trust_does_not_touch_the_first_contact(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
) -> None:
    taken = world(records=[{"record_id": "a", "owner": "005C"}])
    rules = trusting(policies, Trust(actor="human", verdict="ours"))
    (row,) = rows_of(plan_of([{"record_id": "a", "owner": "005B"}], taken, rules).changes)
    assert (row["state"], row["action"]) == ("takeover", "review")


def test_the_default_policy_trusts_nobody_in_particular() -> None:
    assert ConflictPolicy.model_fields["require_verified_person"].default is False
    assert FieldPolicy().trust == ()


@pytest.mark.parametrize("state", MOVED)
def test_what_we_wrote_ourselves_converges_and_refuses_nothing(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    state: str,
) -> None:
    rules = trusting(policies, Trust(actor="us", verdict="converge"), on_drift="adopt", on_conflict="theirs")
    wanted = [{"record_id": "a", "owner": MOVED[state][2]}]
    (ours,) = rows_of(plan_of(wanted, moved(world, state, "integration", "005US"), rules).changes)
    assert (ours["state"], ours["action"]) == ("converged", "agree")
    assert [refusal for _, refusal in moves_without_write([ours])] == [None]
    (theirs,) = rows_of(plan_of(wanted, moved(world, state, "integration", "bot"), rules).changes)
    assert (theirs["state"], theirs["action"]) == (state, "agree")
    assert [refusal.refused for _, refusal in moves_without_write([theirs]) if refusal] == [MOVED[state][2]]


def test_a_field_whose_own_writes_converge_may_still_be_written_without_looking() -> None:
    enforced = {"on_drift": "enforce", "on_conflict": "ours"}
    assert FieldPolicy.model_validate({**enforced, "trust": [{"actor": "us", "verdict": "converge"}]}).always_wins
    assert not FieldPolicy.model_validate({**enforced, "trust": [{"actor": "human", "verdict": "theirs"}]}).always_wins
