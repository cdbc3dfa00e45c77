"""The queue that new leads of an account go to: the first rule of the policy that is known to hold."""

from __future__ import annotations

import narwhals as nw

from mappings.expressions import parse
from mappings.policy import RoutingPolicy
from sync.engine import Frame
from sync.frames import cases, null
from sync.segmentation.predicates import column, facts_of, is_true
from sync.world import TEXT

_OF_ACCOUNT = {
    "account_tier": "tier",
    "tier_status": "tier_status",
    "state": "state",
    "owner_role": "owner_role",
    "motion": "motion",
}
"""Facts that only routing knows, and the column each is read from."""


def route(table: Frame, policy: RoutingPolicy) -> Frame:
    """Adds `routing_queue`, `routing_rule` from the columns `<fact>__lo` and `<fact>__hi`; unknown never matches."""
    holds = {f"__rule_{i}": is_true(column(parse(rule.when))) for i, rule in enumerate(policy.rules)}
    asked = table.with_columns(**holds) if holds else table
    queue = cases(
        [(nw.col(name), rule.queue) for name, rule in zip(holds, policy.rules, strict=True)], policy.default_queue
    )
    rule_id = cases([(nw.col(name), rule.id) for name, rule in zip(holds, policy.rules, strict=True)], "default")
    return asked.with_columns(routing_queue=queue, routing_rule=rule_id).drop(*holds)


def routing_facts(policy: RoutingPolicy) -> tuple[str, ...]:
    """Facts of the deciding organisation that the rules ask for, sorted."""
    asked = {fact for rule in policy.rules for fact in facts_of(parse(rule.when), {})}
    return tuple(sorted(asked - set(_OF_ACCOUNT)))


def with_motion(table: Frame, profiles: Frame | None) -> Frame:
    """Adds `motion` by `account_id`; null where no profile says so."""
    if profiles is None:
        return table.with_columns(motion=null(TEXT))
    return table.join(profiles.select("account_id", "motion"), on="account_id", how="left")


def with_routing_facts(table: Frame) -> Frame:
    """Adds the bounds of the facts that only routing knows, from tier, tier_status, state, owner_role, motion."""
    ends = [nw.col(name).alias(f"{fact}{end}") for fact, name in _OF_ACCOUNT.items() for end in ("__lo", "__hi")]
    return table.with_columns(*ends)
