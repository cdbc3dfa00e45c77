"""Policies checked beyond loading, compared, and tried on the newest plan before they are used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.insight import look
from jobs.wiring import Wired
from jobs.world import load_world
from mappings.load import load
from mappings.policy import Mappings, Policies
from mappings.versions import LISTS, Versioned, content_of, differences, versions
from sync.reconcile import find_out

PACKAGED, USED = "packaged", "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A policy that changed without a new version."""

    policy: str
    version: int
    fact: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that two versions of a policy say differently."""

    policy: str
    path: str
    before: Any
    after: Any
    needs_version: bool  # the version did not go up


def version_faults(wired: Wired) -> tuple[Fault, ...]:
    """Policies whose content is not what was used under the same version."""
    known = wired.policy_versions.digests()
    return tuple(_faults(versions(wired.mappings.policies), known))


def _faults(found: tuple[Versioned, ...], known: Mapping[tuple[str, int], frozenset[str]]) -> Iterator[Fault]:
    highest: dict[str, int] = {}
    for policy, version in known:
        highest[policy] = max(version, highest.get(policy, 0))
    for one in found:
        used = known.get((one.policy, one.version), frozenset())
        if used and one.digest not in used:
            fact = f"{one.policy} says something else than when version {one.version} was used"
            yield Fault(
                policy=one.policy, version=one.version, fact=fact, remedy=f"write version {highest[one.policy] + 1}"
            )
        elif one.version < highest.get(one.policy, 0):
            fact = f"{one.policy} is version {one.version}, and version {highest[one.policy]} was used already"
            yield Fault(policy=one.policy, version=one.version, fact=fact, remedy="count on from the highest version")


def policy_differences(wired: Wired, against: str = PACKAGED) -> tuple[Difference, ...]:
    """What our policies say differently from the packaged ones, the last used ones, or those of another folder."""
    ours = wired.mappings.policies
    if against == USED:
        return tuple(_from_used(wired, ours))
    other = load() if against == PACKAGED else load(Path(against))
    return tuple(_between(other.policies, ours))


def _between(old: Policies, new: Policies) -> Iterator[Difference]:
    for name in Policies.model_fields:
        before, after = getattr(old, name).policy.version, getattr(new, name).policy.version
        same = before == after and name not in LISTS
        for path, was, now in differences(content_of(old, name), content_of(new, name)):
            yield Difference(policy=name, path=path, before=was, after=now, needs_version=same)


def _from_used(wired: Wired, ours: Policies) -> Iterator[Difference]:
    for one in versions(ours):
        used = wired.policy_versions.used(one.policy)
        if used and used[-1].digest != one.digest:
            for path, was, now in differences(json.loads(used[-1].content), json.loads(one.content)):
                same = used[-1].version == one.version
                yield Difference(policy=one.policy, path=path, before=was, after=now, needs_version=same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What the policies of today would decide otherwise than the newest plan did, on the same data and day."""

    plan_id: str
    tiers: Mapping[tuple[str, str], int]  # (before, after) -> accounts
    segments: Mapping[tuple[str, str], int]
    bands: Mapping[tuple[str, str], int]


def membership_moves(wired: Wired) -> Moves:
    """Tier, segment and score band of every account, before and after. Read-only."""
    seen = look(wired)
    before = {row["account_id"]: row for row in seen.rows("profiles")}
    after = _profiles(wired, wired.mappings, seen.as_of)
    counted = {
        name: Counter(
            (str(before[key][name] or "-"), str(row[name] or "-"))
            for key, row in after.items()
            if key in before and before[key][name] != row[name]
        )
        for name in ("account_tier", "segment", "band")
    }
    return Moves(
        plan_id=seen.plan_id, tiers=counted["account_tier"], segments=counted["segment"], bands=counted["band"]
    )


def _profiles(wired: Wired, mappings: Mappings, as_of: str) -> dict[str, dict[str, Any]]:
    found = find_out(load_world(wired, as_of).world, mappings, as_of, wired.engine)[0]
    rows = wired.engine.rows(found.profiles) if found.profiles is not None else iter(())
    return {row["account_id"]: row for row in rows}
