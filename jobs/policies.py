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
from mappings.load import load, version_places
from mappings.policy import Mappings, Policies
from mappings.versions import LISTS, Versioned, content_of, differences, same_rules, versions
from store.policy_versions import PolicyVersion
from sync.problem import Problem, Severity
from sync.reconcile import find_out

PACKAGED, USED = "packaged", "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A policy that may not be used as it stands: its version or its first day is not right."""

    policy: str
    version: int
    file: str
    line: int
    fact: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.fact}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that two versions of a policy say differently."""

    policy: str
    path: str
    before: Any
    after: Any
    needs_version: bool  # the version did not go up


def version_faults(wired: Wired, as_of: str = "") -> tuple[Fault, ...]:
    """Policies that say something else than when their version was used first, and those whose first day is to come."""
    places = version_places(wired.settings.mappings_dir)
    policies = wired.mappings.policies
    found = [*_changed(versions(policies), wired.policy_versions.first()), *_early(policies, as_of or wired.as_of())]
    return tuple(
        Fault(policy=name, version=version, file=places[name][0], line=places[name][1], fact=fact, remedy=remedy)
        for name, version, fact, remedy in found
    )


_Found = tuple[str, int, str, str]
"""Policy, version, fact, remedy."""


def _changed(stated: tuple[Versioned, ...], known: Mapping[tuple[str, int], PolicyVersion]) -> Iterator[_Found]:
    highest: dict[str, int] = {}
    for policy, version in known:
        highest[policy] = max(version, highest.get(policy, 0))
    for one in stated:
        first = known.get((one.policy, one.version))
        if first and not same_rules(one.policy, first.content, one.content):
            where = _first_change(first.content, one.content)
            fact = (
                f"{one.policy} says something else than when version {one.version} was used first "
                f"({first.at[:10]}, by {first.by}): {where}"
            )
            yield one.policy, one.version, fact, f"write version {highest[one.policy] + 1}"
        elif one.version < highest.get(one.policy, 0):
            fact = f"{one.policy} is version {one.version}, and version {highest[one.policy]} was used already"
            yield one.policy, one.version, fact, f"write version {highest[one.policy] + 1}"


def _first_change(used: str, now: str) -> str:
    changes = list(differences(json.loads(used), json.loads(now)))
    path, was, is_ = changes[0]
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"{path} was {_shown(was)} and is {_shown(is_)}{more}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _early(policies: Policies, as_of: str) -> Iterator[_Found]:
    for name in Policies.model_fields:
        header = getattr(policies, name).policy
        if header.effective_from > as_of:
            fact = f"{name} is in force from {header.effective_from} and would be used on {as_of}"
            yield name, header.version, fact, "keep it out of the folder until then, or correct the date"


def note_policies(wired: Wired) -> None:
    """Remember what every policy says, so that a change without a new version is found."""
    used = versions(wired.mappings.policies)
    known = [PolicyVersion(policy=v.policy, version=v.version, digest=v.digest, content=v.content) for v in used]
    wired.policy_versions.note(known, by=wired.person.name)


def version_problems(wired: Wired, as_of: str) -> tuple[Problem, ...]:
    """The same as problems of a plan."""
    return tuple(
        Problem(
            code="POLICY-VERSION",
            severity=Severity.REVIEW,
            subject=f"{one.policy} version {one.version}",
            fact=one.fact,
            remedy=one.remedy,
            refs=(f"{one.file}:{one.line}",),
        )
        for one in version_faults(wired, as_of)
    )


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
        for path, was, now in differences(content_of(old, name), content_of(new, name)):
            ruled = path.partition(".")[0] not in LISTS.get(name, ())
            yield Difference(policy=name, path=path, before=was, after=now, needs_version=before == after and ruled)


def _from_used(wired: Wired, ours: Policies) -> Iterator[Difference]:
    for one in versions(ours):
        used = wired.policy_versions.used(one.policy)
        if used and not same_rules(one.policy, used[-1].content, one.content):
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
