"""Routing: the first rule known to hold names the queue; unknown never matches."""

from __future__ import annotations

from typing import Any

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import RoutingPolicy
from sync.segmentation.classify import FACT_BOUNDS
from sync.territory.routing import route, with_routing_facts
from sync.world import TEXT

SCHEMA = {**FACT_BOUNDS, "tier": TEXT, "tier_status": TEXT, "state": TEXT, "owner_role": TEXT, "motion": TEXT}
SHIPPED = load().policies.routing


def queue(policy: RoutingPolicy = SHIPPED, **values: Any) -> tuple[str, str]:
    engine = PolarsEngine()
    known = {k: v for name, v in values.items() for k in ([name] if name in SCHEMA else [f"{name}__lo", f"{name}__hi"])}
    [row] = engine.rows(route(with_routing_facts(engine.table([known], SCHEMA)), policy))
    return row["routing_queue"], row["routing_rule"]


def test_a_contract_in_force_goes_to_activation_before_any_tier() -> None:
    assert queue(gpo_covered=True, tier="T1") == ("CONTRACT_ACTIVATION", "gpo-activation")


def test_T30_a_contract_of_a_competitor_is_no_activation() -> None:
    assert queue(gpo_covered=True, motion="DISPLACEMENT", tier="T1") == ("DISPLACEMENT", "displacement")
    assert queue(gpo_covered=True, motion="CONTRACT_ACTIVATION") == ("CONTRACT_ACTIVATION", "gpo-activation")


def test_an_unknown_contract_does_not_match_and_the_tier_decides() -> None:
    assert queue(tier="T1") == ("STRATEGIC", "tier-1")
    assert queue(tier="T2", gpo_covered=False) == ("ENTERPRISE", "tier-2")


def test_the_type_decides_where_no_tier_does_and_else_the_default() -> None:
    assert queue(org_type="POST_ACUTE", tier="UNTIERED") == ("INSIDE_SALES", "inside-sales")
    assert queue(tier="UNTIERED") == ("FIELD", "default")


def test_rules_may_ask_for_the_state_and_the_role_of_the_owner() -> None:
    west = {"all": [{"in": ["state", ["CA"]]}, {"eq": ["owner_role", "GEO"]}]}
    content = {
        "policy": {"id": "routing", "version": 1, "owner": "o", "effective_from": "2020-01-01"},
        "rules": [{"id": "west", "when": west, "queue": "W"}],
        "default_queue": "REST",
    }
    policy = RoutingPolicy.model_validate(content)
    assert queue(policy, state="CA", owner_role="GEO") == ("W", "west")
    assert queue(policy, state="CA") == ("REST", "default")
