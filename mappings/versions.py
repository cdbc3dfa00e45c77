"""What each policy says at its version, as one exact text: a changed rule under an old version is found by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from mappings.insight_policy import Segment
from mappings.policy import Policies

LISTS = {
    "alerts": frozenset({"recipients", "sender", "redact_accounts", "attach_csv"}),
    "reps": frozenset({"reps"}),
    "territories": frozenset({"territories", "named_accounts"}),
}
"""Parts of policies that list people and places: they change from day to day and need no new version."""


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


def same_rules(policy: str, used: str, now: str) -> bool:
    """Whether two contents of a policy say the same. A knob that did not exist yet said what its default says today."""
    return used == now or _completed(policy, used) == now


def _completed(policy: str, content: str) -> str:
    """The content with today's knobs; as it is where today's schema does not take it."""
    said = json.loads(content)
    try:
        if "/" in policy:
            return _canonical(Segment.model_validate(said).model_dump(mode="json", by_alias=True))
        model = Policies.model_fields[policy].annotation
        header = {"id": policy, "version": 1, "owner": "", "effective_from": ""}
        plain = _without_header(model.model_validate({"policy": header, **said}))  # type: ignore[union-attr]  # every policy is a model
        apart = LISTS.get(policy, {"segments"} if policy == "segments" else set())
        return _canonical({key: value for key, value in plain.items() if key not in apart})
    except (ValidationError, KeyError):
        return content


def content_of(policies: Policies, name: str) -> dict[str, Any]:
    """What a policy says, without its header."""
    return _without_header(getattr(policies, name))


def _without_header(policy: BaseModel) -> dict[str, Any]:
    plain = policy.model_dump(mode="json", by_alias=True)
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
        plain = {key: said for key, said in content_of(policies, name).items() if key not in LISTS.get(name, ())}
        if name == "segments":
            for segment in plain.pop("segments"):
                yield _versioned(f"segments/{segment['id']}", segment["version"], segment)
        yield _versioned(name, getattr(policies, name).policy.version, plain)


def _versioned(name: str, version: int, content: Mapping[str, Any]) -> Versioned:
    text = _canonical(content)
    return Versioned(policy=name, version=version, digest=hashlib.sha256(text.encode()).hexdigest(), content=text)


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
