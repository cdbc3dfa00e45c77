"""Who is there to take work: people with their leave, limits and stand-ins, and whose turn it is in a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mappings.policy import Rep
from mappings.routing_policy import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Colleague:
    """A person who may be given work."""

    email: str  # lower case
    role: str
    active: bool = True
    states: tuple[str, ...] = ()  # empty = everywhere
    lines: tuple[str, ...] = ()  # upper case
    leave_from: str = ""  # ISO dates, half-open
    leave_to: str = ""
    delegate: str = ""
    manager: str = ""
    capacity: int = 0  # open work carried at most; 0 = no limit


People = Mapping[str, Colleague]
Work = Mapping[str, int]
"""Open deals and leads by e-mail; who is not in it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who takes it in the end, and why the ones before do not."""

    email: str | None
    passed: tuple[str, ...] = ()


def absence(person: Colleague | None, work: Work, as_of: str) -> str:
    """Why somebody cannot take more work on a date; empty when nothing speaks against it."""
    if person is None:
        return "is not on the roster and no active user"
    if not person.active:
        return "is not active"
    if on_leave(person.leave_from, person.leave_to, as_of):
        return f"is on leave {person.leave_from or '...'} to {person.leave_to or 'further notice'}"
    carried = work.get(person.email, 0)
    if person.capacity and carried >= person.capacity:
        return f"carries {carried} of {person.capacity}"
    return ""


def on_leave(leave_from: str, leave_to: str, as_of: str) -> bool:
    """Whether a leave, from its first day to the day before the last, holds on a date; an empty end is open."""
    begun = not leave_from or leave_from <= as_of
    return bool(leave_from or leave_to) and begun and (not leave_to or as_of < leave_to)


def capacity_on(rep: Rep, as_of: str, ramp_bp: int) -> int:
    """Open work a person carries at most on a date: a part of it while ramping up, at least one; 0 = no limit."""
    if not rep.capacity or not rep.ramp_until or rep.ramp_until <= as_of:
        return rep.capacity
    return max(1, rep.capacity * ramp_bp // 10_000)


def stand_in(email: str, people: People, work: Work, as_of: str) -> Found:
    """The person, else the delegates one after the other, else the managers; nobody is asked twice."""
    passed: list[str] = []
    asked: set[str] = set()
    for step in ("delegate", "manager"):
        current = email
        while current and (current not in asked or current == email):
            person = people.get(current)
            reason = absence(person, work, as_of)
            if not reason:
                return Found(email=current, passed=tuple(passed))
            if current not in asked:
                passed.append(f"{current} {reason}")
            asked.add(current)
            current = getattr(person, step) if person else ""
            if current == email:
                break
    return Found(email=None, passed=tuple(passed))


def next_in_queue(queue: Queue, state: str | None, people: People, work: Work, as_of: str) -> Found:
    """Whoever has the least open work for the capacity; the lower e-mail where that is the same."""
    named = {email.lower() for email in queue.members}
    members = [p for p in people.values() if p.email in named or p.role in queue.roles]
    members = list(_of_state(members, state))
    reasons = {person.email: absence(person, work, as_of) for person in members}
    free = [person for person in members if not reasons[person.email]]
    passed = tuple(f"{email} {reason}" for email, reason in sorted(reasons.items()) if reason)
    if not free:
        return Found(email=None, passed=passed)
    largest = max((person.capacity for person in free), default=0) or 1
    chosen = min(free, key=lambda p: (Fraction(work.get(p.email, 0), p.capacity or largest), p.email))
    return Found(email=chosen.email, passed=passed)


def covering(people: Iterable[Colleague], state: str | None) -> list[Colleague]:
    """Those who work a state: first who names it, then who works everywhere; sorted by e-mail within."""
    sure = [p for p in people if state and state in p.states]
    anywhere = [p for p in people if not p.states]
    return [*sorted(sure, key=lambda p: p.email), *sorted(anywhere, key=lambda p: p.email)]


def _of_state(members: Sequence[Colleague], state: str | None) -> Iterable[Colleague]:
    """The members who work the state; all of them where nobody does."""
    return covering(members, state) or members
