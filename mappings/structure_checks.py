"""What the policies about structure must satisfy beyond their shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from mappings.located import Document, MappingProblem
from mappings.structure_policy import Archetype, AuthorityPolicy, EventKind, TriggerPolicy

RELATIONS: tuple[str, ...] = (
    *("self", "descendant", "member", "holder", "site", "successor", "old_root", "new_root", "unit"),
)
"""How an account may be affected by an event."""

Problems = Iterator[MappingProblem]


def check_authority(document: Document, policy: AuthorityPolicy) -> Problems:
    """Every archetype has a last word for every function, no default is shadowed, and the tier's question exists."""
    if not 0 <= policy.tier_need < len(policy.needs):
        fact = f"tier_need is {policy.tier_need}; expected a place in `needs`, 0 to {len(policy.needs) - 1}"
        yield document.problem(("tier_need",), fact)
    closed: set[str] = set()
    for index, line in enumerate(policy.defaults):
        if line.archetype in closed:
            fact = f"{line.archetype} is decided for all functions above; this line can never count"
            yield document.problem(("defaults", index), fact)
        if line.function == "ALL":
            closed.add(line.archetype)
    for archetype in get_args(Archetype):
        if archetype not in closed:
            yield document.problem(("defaults",), f"archetype {archetype} has no line for all functions")
    for source, days in policy.expires_days.items():
        if source not in policy.source_priority or days < 1:
            expected = ", ".join(policy.source_priority)
            fact = f"expires_days of {source!r} is {days}; expected days for one of {expected}"
            yield document.problem(("expires_days", source), fact)


def check_triggers(document: Document, policy: TriggerPolicy) -> Problems:
    """A rule for every kind of event, known relations, windows of at least a day."""
    for kind in get_args(EventKind):
        if kind not in policy.rules:
            yield document.problem(("rules",), f"event {kind} has no rule")
    for name, rule in sorted(policy.rules.items()):
        for index, relation in enumerate(rule.flags):
            if relation not in RELATIONS:
                fact = f"{relation!r} is no relation to an event; expected one of {', '.join(RELATIONS)}"
                yield document.problem(("rules", name, "flags", index), fact)
    for knob in ("window_days", "flapping_days"):
        if getattr(policy, knob) < 1:
            yield document.problem((knob,), f"{knob} is {getattr(policy, knob)}; expected 1 or more")
    if not 0 < policy.service_line_delta_bp <= 10_000:
        fact = f"service_line_delta_bp is {policy.service_line_delta_bp}; expected 1 to 10000"
        yield document.problem(("service_line_delta_bp",), fact)
