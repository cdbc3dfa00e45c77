"""The parts of an apply run, from the parts of the process."""

from __future__ import annotations

from collections.abc import Callable

from jobs.applying.checks import digest_check, guard_check
from jobs.applying.model import ApplyDeps, Connected
from jobs.applying.native import MapTranslation
from jobs.wiring import Connection, Wired
from mappings.canonical import MANAGED
from mappings.policy import ConflictPolicy


def apply_deps(
    wired: Wired,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> ApplyDeps:
    """Everything an apply run touches, every configured CRM logged in."""
    policies = wired.mappings.policies
    return ApplyDeps(
        database=wired.database,
        files=wired.files,
        leases=wired.leases,
        connections={one.id: _connected(one) for one in wired.connections},
        ruleset_digest=wired.mappings.digest,
        rule_files=wired.mappings.file_digests,
        guards=guard_check(policies, wired.engine, local_time=wired.local_time),
        plan_digest=digest_check(wired.engine),
        recipients=policies.alerts.recipients,
        conflicts=policies.conflicts,
        named_accounts=tuple(policies.territories.named_accounts),
        audit_head_file=wired.settings.audit_head_file,
        feeds={name: layout.rows for name, layout in wired.mappings.feeds.items()},
        budget=policies.guards.api_budget,
        watched_fields=watched_fields(policies.conflicts),
        keeps_teams=keeps_teams(wired),
        stop=stop,
        progress=progress,
    )


def _connected(one: Connection) -> Connected:
    return Connected(
        id=one.id, kind=one.kind, target=one.target, org=one.source.org, translation=MapTranslation(one.map)
    )


def keeps_teams(wired: Wired) -> bool:
    """True where owner changes of accounts with a team go by the lane that keeps it."""
    return wired.settings.salesforce.team_lane == "soap" and not wired.mappings.policies.conflicts.blocks_teams


def watched_fields(conflicts: ConflictPolicy) -> frozenset[str]:
    """Fields in which a person's value may stand against ours: an edit written over there must show."""
    return frozenset(MANAGED) - {name for name, one in conflicts.fields.items() if one.always_wins}
