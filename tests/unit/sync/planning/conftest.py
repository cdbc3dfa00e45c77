"""A small world to plan in: what a CRM says, what was agreed, and what the rules want, per named account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.canonical import MANAGED
from mappings.policy import (
    AlertPolicy,
    ConflictPolicy,
    FieldPolicy,
    GuardPolicy,
    Header,
    HierarchyPolicy,
    IdentityPolicy,
    Limit,
    Policies,
    RepPolicy,
    RoutingPolicy,
    SurvivorshipPolicy,
    TerritoryPolicy,
    TierPolicy,
    TierRule,
)
from sync import world as w
from sync.planning.desired import DESIRED
from sync.planning.plan import build_plan

Rows = Sequence[Mapping[str, Any]]
ENGINE = PolarsEngine()


@pytest.fixture(scope="session")
def engine() -> PolarsEngine:
    return ENGINE


def _policies(fields: Mapping[str, FieldPolicy], guards: Mapping[str, Limit], *, block_team: bool) -> Policies:
    header = Header(id="test", version=1, owner="tests", effective_from="2026-01-01")
    ownership = FieldPolicy(group="ownership", on_fill="review")
    ours = FieldPolicy(
        group="segmentation", on_update="auto", on_drift="enforce", on_conflict="ours", on_takeover="ours"
    )
    defaults = {
        **dict.fromkeys(("owner", "owner_role", "territory", "routing_queue"), ownership),
        "parent": FieldPolicy(group="hierarchy", clear="review"),
        "health_system": FieldPolicy(group="system", on_update="auto"),
        **dict.fromkeys(("account_tier", "tier_status"), ours),
        **dict.fromkeys(
            ("rescore_flag", "rescore_reason"), FieldPolicy(group="rescore", on_update="auto", clear="auto")
        ),
    }
    limits = {
        "owner_changes": Limit(count=50, share_bp=200),
        "owner_moves": Limit(count=50, share_bp=200),
        "owner_lost_by_rep": Limit(count=20, share_bp=1500),
        "owner_gained_by_rep": Limit(count=30, share_bp=2000),
        "accounts_to_one_owner": Limit(count=200),
        "parent_changes": Limit(count=25, share_bp=200),
        "any_field": Limit(count=50, share_bp=1000),
        "tier_downgrades": Limit(count=25, share_bp=500),
        "clears": Limit(count=0),
        "first_contact": Limit(count=50, share_bp=200),
    }
    return Policies(
        identity=IdentityPolicy(policy=header, keys=("definitive_id",)),
        survivorship=SurvivorshipPolicy(policy=header, default=("definitive",)),
        hierarchy=HierarchyPolicy(policy=header, control_edges=("owned",), source_priority=("definitive",)),
        tiers=TierPolicy(
            policy=header,
            assumptions={},
            classify={},
            predicates={},
            tiers=tuple(TierRule(id=tier, when=True) for tier in ("T1", "T2", "T3")),
        ),
        territories=TerritoryPolicy(policy=header, owner_order=("state_primary",)),
        reps=RepPolicy(policy=header),
        routing=RoutingPolicy(policy=header, rules=(), default_queue="inside"),
        guards=GuardPolicy(policy=header, **{**limits, **guards}),
        conflicts=ConflictPolicy(policy=header, fields={**defaults, **fields}, block_owner_change_with_team=block_team),
        alerts=AlertPolicy(policy=header, recipients=("ops@example.org",), sender="platbook@example.org"),
    )


@pytest.fixture(scope="session")
def policies() -> Callable[..., Policies]:
    """Policies with the seed figures; fields and limits may be replaced by name."""

    def make(
        fields: Mapping[str, FieldPolicy] | None = None,
        guards: Mapping[str, Limit] | None = None,
        *,
        block_team: bool = True,
    ) -> Policies:
        return _policies(fields or {}, guards or {}, block_team=block_team)

    return make


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"connection": "salesforce", "modified_by": "005LAST", "modified_at": "2026-05-01T00:00:00.000Z", **row}


def _agreed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values stand for 'value', None for 'empty', and ... for 'released'."""
    told: dict[str, Any] = {"connection": "salesforce"}
    for name, value in row.items():
        told[name] = None if value is ... else value
        if name in MANAGED:
            told[f"{name}__kind"] = "released" if value is ... else "empty" if value is None else "value"
    return told


def _wanted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values stand for 'value', None for 'clear'; what is not named abstains."""
    told: dict[str, Any] = {"connection": "salesforce", "account_id": f"a-{row['record_id']}", "depth": 0}
    told["account_name"] = f"Account {row['record_id']}"
    for name, value in row.items():
        told[name] = value
        if name in MANAGED:
            told[f"{name}__kind"] = "clear" if value is None else "value"
            told[f"{name}__rule"] = f"rule-{name}"
            told[f"{name}__evidence"] = '{"facts":[]}'
    return told


def _world(tables: Mapping[str, Rows], **settings: Any) -> w.World:
    defaults = {
        "users": [
            {"connection": c, "user_id": user, "is_active": active}
            for c in ("salesforce", "hubspot")
            for user, active in (("005A", True), ("005B", True), ("005C", True), ("005X", False), ("005US", True))
        ]
    }
    schemas = {
        "records": w.RECORDS,
        "firms": w.FIRMS,
        "previous_firms": w.FIRMS,
        "facts": w.FACTS,
        "users": w.USERS,
        "opportunities": w.OPPORTUNITIES,
        "team_members": w.TEAM_MEMBERS,
        "field_changes": w.FIELD_CHANGES,
        "crosswalk": w.CROSSWALK,
        "agreed": w.AGREED,
        "overrides": w.OVERRIDES,
        "holds": w.HOLDS,
    }
    shaped = {**defaults, **tables}
    shaped["records"] = [_record(row) for row in tables.get("records", ())]
    shaped["agreed"] = [_agreed(row) for row in tables.get("agreed", ())]
    for name in ("team_members", "field_changes", "overrides", "holds"):
        shaped[name] = [{"connection": "salesforce", **row} for row in tables.get(name, ())]
    frames = {name: ENGINE.table(list(shaped.get(name, ())), schema) for name, schema in schemas.items()}
    return w.World(**frames, our_users={"salesforce": "005US"}, **settings)


@pytest.fixture(scope="session")
def world() -> Callable[..., w.World]:
    """A world from plain rows; the connection is Salesforce unless a row says otherwise."""
    return lambda settings=None, **tables: _world(tables, **(settings or {}))


@pytest.fixture(scope="session")
def wanted() -> Callable[[Rows], Any]:
    """The table of desired values from rows that name a field only where there is an opinion."""
    return lambda rows: ENGINE.table([_wanted(row) for row in rows], DESIRED)


@pytest.fixture(scope="session")
def plan_of(policies: Callable[..., Policies], wanted: Callable[[Rows], Any]) -> Callable[..., w.Plan]:
    """The plan for desired rows in a world, as of 2026-06-01."""

    def make(rows: Rows, world: w.World, rules: Policies | None = None) -> w.Plan:
        return build_plan(wanted(rows), world, rules or policies(), "2026-06-01", ENGINE)

    return make


@pytest.fixture(scope="session")
def rows_of() -> Callable[[Any], list[dict[str, Any]]]:
    return lambda frame: list(ENGINE.rows(frame))
