"""Least changes of numbers, and owners who take over from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from mappings.policy import FieldPolicy, Policies
from mappings.successors import Successor
from sync.planning.adjusted import with_heirs
from sync.world import Plan, World

Rows = list[dict[str, Any]]
SCORE = FieldPolicy(on_update="auto", on_drift="enforce", on_conflict="ours", on_takeover="ours", min_delta=3)


@pytest.fixture
def changes_of(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
) -> Callable[..., Rows]:
    """Changes of one record's score by its CRM, agreed and desired text."""

    def make(crm: str | None, agreed: Any, wish: str) -> Rows:
        told = {} if agreed == "never" else {"agreed": [{"record_id": "1", "score": agreed}]}
        seen = world(records=[{"record_id": "1", "score": crm}], **told)
        return rows_of(plan_of([{"record_id": "1", "score": wish}], seen, policies({"score": SCORE})).changes)

    return make


@pytest.mark.parametrize(
    ("crm", "agreed", "wish", "state", "desired"),
    {
        "two points are no change": ("80", "80", "82", None, None),
        "two points down neither": ("80", "80", "78", None, None),
        "three are": ("80", "80", "83", "update", "83"),
        "many small steps from the agreed value are": ("80", "80", "77", "update", "77"),
        "a person's own value is put back to the agreed one": ("40", "80", "82", "drift", "80"),
        "what is there already is agreed on": ("82", "80", "82", "converged", "82"),
        "an empty agreed value is no number to be near to": (None, None, "2", "update", "2"),
        "first contact has nothing to be near to": (None, "never", "2", "fill", "2"),
        "a text that is no number is far from any": ("80", "n/a", "82", "conflict", "82"),
    }.values(),
)
def test_a_number_is_compared_with_the_agreed_value(
    changes_of: Callable[..., Rows], crm: str | None, agreed: Any, wish: str, state: str | None, desired: str | None
) -> None:
    found = changes_of(crm, agreed, wish)
    assert [(row["state"], row["desired"]) for row in found] == ([(state, desired)] if state else [])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 100), steps=st.lists(st.integers(-2, 2), max_size=6))
def test_what_the_crm_says_is_never_further_from_the_score_than_the_least_change(
    changes_of: Callable[..., Rows], start: int, steps: list[int]
) -> None:
    crm = wish = start
    for step in steps:
        wish += step
        found = changes_of(str(crm), str(crm), str(wish))
        crm = int(found[0]["desired"]) if found else crm
        assert abs(crm - wish) < 3


# --- successors -------------------------------------------------------------------------------------------------------

USERS = [
    {"connection": crm, "user_id": f"{crm}-{name}", "email": f"{name}@x.example", "is_active": name != "maria"}
    for crm in ("salesforce", "hubspot")
    for name in ("maria", "priya", "ken")
]


def heir(since: str = "2026-05-01", old: str = "maria", new: str = "priya") -> Successor:
    people = {"from_user": f"{old}@x.example", "to_user": f"{new}@x.example"}
    return Successor(**people, reason='left "us"', from_date=since, source="owners.csv:2")


def following(policies: Callable[..., Policies], *successors: Successor) -> Policies:
    rules = policies()
    return rules.model_copy(
        update={"conflicts": rules.conflicts.model_copy(update={"successors": successors, "fight_flips": 0})}
    )


MARIA, PRIYA, KEN = (f"salesforce-{name}" for name in ("maria", "priya", "ken"))


@pytest.mark.parametrize(
    ("crm", "agreed", "wish", "since", "expected"),
    {
        "the owner who left is followed by the successor": (MARIA, MARIA, None, "2026-05-01", ("update", PRIYA)),
        "also where the rules still name the one who left": (MARIA, MARIA, MARIA, "2026-05-01", ("update", PRIYA)),
        "not before the day": (MARIA, MARIA, None, "2026-06-02", None),
        "the CRM being there already has converged": (PRIYA, MARIA, MARIA, "2026-05-01", ("converged", PRIYA)),
        "also ahead of the day": (PRIYA, MARIA, MARIA, "2026-06-02", ("converged", PRIYA)),
        "somebody else's owner is nobody's to inherit": (KEN, KEN, None, "2026-05-01", None),
        "another rule's owner stands": (MARIA, MARIA, KEN, "2026-05-01", ("update", KEN)),
    }.values(),
)
def test_accounts_go_to_the_successor(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
    crm: str,
    agreed: str,
    wish: str | None,
    since: str,
    expected: tuple[str, str] | None,
) -> None:
    seen = world(records=[{"record_id": "1", "owner": crm}], agreed=[{"record_id": "1", "owner": agreed}], users=USERS)
    wanted = [{"record_id": "1", **({"owner": wish} if wish else {})}]
    found = rows_of(plan_of(wanted, seen, following(policies, heir(since))).changes)
    assert [(row["state"], row["desired"]) for row in found] == ([expected] if expected else [])
    if expected and expected[1] == PRIYA:
        assert found[0]["rule_id"] == "successor"
        evidence = '{"successor of":"maria@x.example","reason":"left \\"us\\"","from":"owners.csv:2"}'
        assert found[0]["evidence"] == evidence


def test_a_chain_of_successors_ends_with_the_one_who_is_there(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
) -> None:
    seen = world(records=[{"record_id": "1", "owner": MARIA}], agreed=[{"record_id": "1", "owner": MARIA}], users=USERS)
    rules = following(policies, heir(), heir(old="priya", new="ken"))
    (row,) = rows_of(plan_of([{"record_id": "1"}], seen, rules).changes)
    assert row["desired"] == KEN


def test_owners_are_looked_for_as_if_the_successor_held_the_accounts_already(
    engine: PolarsEngine, world: Callable[..., World], policies: Callable[..., Policies], rows_of: Callable[[Any], Rows]
) -> None:
    seen = world(records=[{"record_id": "1", "owner": MARIA}, {"record_id": "2", "owner": KEN}], users=USERS)
    rules = following(policies, heir()).conflicts
    now, before = (with_heirs(seen, rules, day, engine) for day in ("2026-06-01", "2026-04-30"))
    assert {row["record_id"]: row["owner"] for row in rows_of(now.records)} == {"1": PRIYA, "2": KEN}
    assert {row["record_id"]: row["owner"] for row in rows_of(before.records)} == {"1": MARIA, "2": KEN}
    assert with_heirs(seen, policies().conflicts, "2026-06-01", engine) is seen
