"""What each policy says at its version, as one exact text: a changed rule under an old version is found by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.policy import Policies

LISTS = frozenset({"reps", "territories", "alerts"})
"""Policies that are lists of people and places: they change from day to day and need no new version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """One policy, or one segment, at one version."""

    policy: str
    version: int
    digest: str
    content: str  # canonical JSON without the header


def versions(policies: Policies) -> tuple[Versioned, ...]:
    """Every policy that needs a new version when it changes, and every segment by itself; sorted by name."""
    return tuple(sorted(_all(policies), key=lambda one: one.policy))


def content_of(policies: Policies, name: str) -> dict[str, Any]:
    """What a policy says, without its header."""
    plain: dict[str, Any] = getattr(policies, name).model_dump(mode="json", by_alias=True)
    return {key: value for key, value in plain.items() if key not in ("policy", "successors")}


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of every leaf that differs; None = not there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}, key=str):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and _keyed(old) and _keyed(new):
        yield from differences({row["id"]: row for row in old}, {row["id"]: row for row in new}, path)
    elif old != new:
        yield path, old, new


def _keyed(rows: list[Any]) -> bool:
    return all(isinstance(row, Mapping) and "id" in row for row in rows) and bool(rows)


def _all(policies: Policies) -> Iterator[Versioned]:
    for name in Policies.model_fields:
        if name in LISTS:
            continue
        plain = content_of(policies, name)
        if name == "segments":
            for segment in plain.pop("segments"):
                yield _versioned(f"segments/{segment['id']}", segment["version"], segment)
        yield _versioned(name, getattr(policies, name).policy.version, plain)


def _versioned(name: str, version: int, content: Mapping[str, Any]) -> Versioned:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Versioned(policy=name, version=version, digest=hashlib.sha256(text.encode()).hexdigest(), content=text)
