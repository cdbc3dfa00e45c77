"""What the policies about leads and holds must satisfy beyond their shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from mappings.expressions import check, near
from mappings.facts import vocabulary
from mappings.leads import LEAD_FACTS
from mappings.located import Document, MappingProblem
from mappings.routing_policy import CONFLICTS, STAGES, HoldPolicy, LeadPolicy

_FIRST = ("junk", "match", "successor")
_WITHOUT_RULES = ("match", "successor")
_ROLES = ("PRIMARY", "GEO", "OVERLAY", "ACTIVATION", "INSIDE", "MANAGER")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")

Problems = Iterator[MappingProblem]


def check_leads(document: Document, policy: LeadPolicy) -> Problems:
    """Every stage once, rules with facts that exist, queues that exist."""
    yield from _precedence(document, policy)
    seen: set[str] = set()
    for index, rule in enumerate(policy.rules):
        place = ("rules", index)
        if rule.id in seen:
            yield document.problem((*place, "id"), f"rule {rule.id!r} stands twice")
        seen.add(rule.id)
        if rule.stage in _WITHOUT_RULES:
            fact = f"stage {rule.stage!r} follows `match` and the successions on record; it has no rules"
            yield document.problem((*place, "stage"), fact)
        for fault in check(rule.when, predicates=frozenset(), facts=vocabulary(LEAD_FACTS)):
            yield document.problem((*place, "when", *fault.path), fault.message, fault.suggestion)
    if "queue" not in {rule.assign for rule in policy.rules}:
        yield document.problem(("rules",), "no rule assigns to a queue, so a lead that nothing else fits would be lost")
    yield from _queues(document, policy)


def check_holds(document: Document, policy: HoldPolicy) -> Problems:
    """A rule for every conflict, stages that can be reached, a day of the year for the next plan."""
    for missing in (name for name in CONFLICTS if name not in policy.conflicts):
        fact = f"CONFLICT-POLICY-MISSING: `conflicts` has no rule {missing!r}; say who owns what, when it transfers"
        yield document.problem(("conflicts",), f"{fact}, and who settles it")
    for name, rule in policy.conflicts.items():
        if name not in CONFLICTS:
            fact = f"{name!r} is no conflict; known are {', '.join(CONFLICTS)}"
            yield document.problem(("conflicts", name), fact, near(name, CONFLICTS))
        if rule.escalate_to not in _ROLES and not _EMAIL.match(rule.escalate_to):
            fact = f"escalate_to is {rule.escalate_to!r}; expected a role ({', '.join(_ROLES)}) or an e-mail address"
            yield document.problem(("conflicts", name, "escalate_to"), fact, near(rule.escalate_to, _ROLES))
        if len(set(rule.winner)) != len(rule.winner):
            yield document.problem(("conflicts", name, "winner"), "a reason to win stands twice")
    if "two_primaries" in policy.conflicts and not policy.conflicts["two_primaries"].winner:
        yield document.problem(
            ("conflicts", "two_primaries"), "winner is empty; two owners of one system need an order"
        )
    if policy.exempt.stage_gte < policy.eligible.stage_gte:
        fact = f"exempt from stage {policy.exempt.stage_gte}, eligible from {policy.eligible.stage_gte}: never reached"
        yield document.problem(("eligible",), f"{fact}; eligible must begin earlier")
    if policy.grandfather and not _is_day(policy.grandfather.next_plan):
        fact = f"next_plan is {policy.grandfather.next_plan!r}; expected month and day such as 01-01"
        yield document.problem(("grandfather", "next_plan"), fact)


def check_roster(document: Document, reps: Any) -> Problems:
    """Delegates and managers are on the roster, and nobody stands in for himself."""
    known = {rep.email.lower() for rep in reps.reps}
    for index, rep in enumerate(reps.reps):
        for name in ("delegate", "manager"):
            other = getattr(rep, name).lower()
            if other and other not in known:
                fact = f"{name} {other} of {rep.email} is not in reps.yaml"
                yield document.problem(("reps", index, name), fact, near(other, known))
            if other and other == rep.email.lower():
                yield document.problem(("reps", index, name), f"{rep.email} is named as {name} of itself")


def check_lead_people(document: Document, policy: LeadPolicy, reps: Any) -> Problems:
    """Specialists and queue members are on the roster, when there is one."""
    known = {rep.email.lower() for rep in reps.reps}
    if not known:
        return
    named: list[tuple[tuple[str | int, ...], str]] = [
        (("overlays", index, "rep"), overlay.rep) for index, overlay in enumerate(policy.overlays)
    ]
    named += [
        (("queues", name, "members", index), email)
        for name, queue in policy.queues.items()
        for index, email in enumerate(queue.members)
    ]
    for place, email in named:
        if email.lower() not in known:
            yield document.problem(place, f"{email} is not in reps.yaml", near(email.lower(), known))


def _precedence(document: Document, policy: LeadPolicy) -> Problems:
    if policy.precedence[: len(_FIRST)] != _FIRST:
        fact = f"precedence must begin with {', '.join(_FIRST)}: the others ask about the account that was matched"
        yield document.problem(("precedence",), fact)
    if sorted(policy.precedence) != sorted(STAGES):
        fact = f"precedence must name each of {', '.join(STAGES)} once"
        yield document.problem(("precedence",), fact)


def _queues(document: Document, policy: LeadPolicy) -> Problems:
    queues: Mapping[str, Any] = policy.queues
    for name in ("unmatched_queue", "ambiguous_queue"):
        if getattr(policy, name) not in queues:
            fact = f"{name} is {getattr(policy, name)!r}, which is not one of `queues`"
            yield document.problem((name,), fact, near(getattr(policy, name), queues))
    for name, queue in queues.items():
        for index, role in enumerate(queue.roles):
            if role not in _ROLES:
                fact = f"{role!r} is not a role; expected {', '.join(_ROLES)}"
                yield document.problem(("queues", name, "roles", index), fact, near(role, _ROLES))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(f"2024-{text}").isoformat()[5:] == text
    except ValueError:
        return False
