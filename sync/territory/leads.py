"""Where a lead goes: one decision from values alone, with a trace that keeps every rule.

1. junk        what is no lead is rejected
2. match       the account it is about; too close to call waits for a person
3. successor   a closed organisation is followed to the one that took over
4. rules       in the policy's order of stages; the first that is known to hold and names somebody who is there wins
5. stand-ins   whoever is away or full is followed to the delegate, then the manager, then the queue

Pure: the same inputs and policy give the same decision and trace, which is how a stored decision is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mappings.expressions import Scalar, evaluate, parse
from mappings.leads import Lead
from mappings.routing_policy import ConflictRule, LeadPolicy, LeadRule
from mappings.structure_policy import AuthorityPolicy
from sync.territory.capacity import Colleague, Found, covering, next_in_queue, stand_in
from sync.territory.deciding import EVERY, AuthorityRecord, Decided, Question, who_decides
from sync.territory.matching import Candidate, Match, choose, lead_domain
from sync.territory.wording import letter, worded


class Outcome(StrEnum):
    """What became of a lead."""

    ASSIGNED = "assigned"  # a person has it
    AMBIGUOUS = "ambiguous"  # a person must say which account is meant
    REJECTED = "rejected"  # it is no lead
    UNASSIGNED = "unassigned"  # nobody is there to take it; somebody is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What routing knows of an account on the day of the lead."""

    account_id: str
    name: str
    unit: str  # root of its coverage unit
    in_system: bool = False
    system_name: str | None = None
    state: str | None = None
    tier: str | None = None
    org_type: str | None = None
    archetype: str | None = None
    owner: str | None = None  # e-mail, by rule
    system_owner: str | None = None  # e-mail, of the coverage unit
    record_owner: str | None = None  # e-mail, in the CRM now
    hold_kind: str | None = None
    hold_reason: str | None = None
    motion: str | None = None
    customer: bool = False
    open_opportunity: bool = False
    queue: str | None = None
    closed_on: str | None = None  # first day it is closed
    successor: str | None = None  # account that took over
    authority: tuple[AuthorityRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What all leads of one day share."""

    policy: LeadPolicy
    authority: AuthorityPolicy
    conflicts: Mapping[str, ConflictRule]
    people: Mapping[str, Colleague]  # by e-mail
    geo: Mapping[str, str]  # state -> e-mail of its geographic representative


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one decision rests on besides the basis."""

    lead: Lead
    as_of: str  # ISO date of arrival
    candidates: tuple[Candidate, ...]
    places: Mapping[str, Place]  # the candidates, their successors and whoever decides for them
    work: Mapping[str, int] = field(default_factory=dict)  # open work by e-mail
    assumed: Mapping[str, Scalar] = field(default_factory=dict)  # facts taken as given instead of those found


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule as it was asked."""

    stage: str
    rule_id: str
    expression: str  # with the values of its facts
    verdict: str  # T, F or U
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborator:
    """Somebody who works the lead beside the assignee."""

    email: str
    role: str  # as what: account_owner, geo_rep, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The decision."""

    outcome: Outcome
    assignee: str | None
    assigned_as: str | None
    queue: str | None
    account_id: str | None
    account_name: str | None
    redirected_from: str | None
    rule_id: str
    because: str
    collaborators: tuple[Collaborator, ...]
    unknown: tuple[str, ...]  # facts that rules asked for and nobody knows
    alerts: tuple[str, ...]
    trace: tuple[Step, ...]


def route_lead(inputs: Inputs, basis: Basis) -> Routed:
    """The decision on one lead."""
    return _Routing(inputs, basis).decide()


class _Routing:
    """One walk through the stages."""

    def __init__(self, inputs: Inputs, basis: Basis) -> None:
        self._inputs, self._basis, self._lead = inputs, basis, inputs.lead
        self._match = Match(account_id=None, how="none", told="not looked for")
        self._place: Place | None = None
        self._redirected: str | None = None
        self._decided = Decided(level=None, basis=None)
        self._facts: dict[str, Scalar | None] = {}
        self._trace: list[Step] = []
        self._won: dict[str, Any] | None = None
        self._unknown: set[str] = set()

    def decide(self) -> Routed:
        self._learn()
        for stage in self._basis.policy.precedence:
            if stage == "match":
                self._matching()
            elif stage == "successor":
                self._succession()
            else:
                for rule in self._basis.policy.rules:
                    if rule.stage == stage:
                        self._ask(rule)
        return self._result()

    # --- the account --------------------------------------------------------------------------------------------------

    def _matching(self) -> None:
        """Stage 1. Candidates in one unit after a succession are one answer."""
        if self._won is not None:
            self._step("match", "match", "", "F", f"not looked for: {self._won['rule_id']} decided")
            return
        units = {one: self._successor(self._inputs.places.get(one)) for one in self._inputs.places}
        candidates = [
            replace(one, unit=place.unit) if (place := units.get(one.account_id)) else one
            for one in self._inputs.candidates
        ]
        self._match = choose(candidates, self._basis.policy.match)
        for one in candidates:
            ids = [*one.strong, *(["domain"] if one.same_domain else [])]
            told = f"{one.name} ({one.account_id}) {one.score_bp / 10_000:.2f}: {one.parts or 'nothing compared'}"
            effect = f"agrees in {', '.join(ids)}" if ids else "compared by score"
            self._step(
                "match", f"match-{one.account_id}", told, letter(one.account_id == self._match.account_id), effect
            )
        verdict = "T" if self._match.account_id else "U" if self._match.how == "ambiguous" else "F"
        self._step("match", "match", self._match.told, verdict, self._match.how)
        self._place = self._inputs.places.get(self._match.account_id or "")
        if self._match.how == "ambiguous":
            self._stop("ambiguous_lead", Outcome.AMBIGUOUS, self._basis.policy.ambiguous_queue)
        self._learn()

    def _succession(self) -> None:
        """Stage 2. A closed organisation without a successor stays what it is."""
        before, after = self._place, self._successor(self._place)
        if before is None or after is None or before.account_id == after.account_id:
            closed = before is not None and before.closed_on is not None and before.closed_on <= self._inputs.as_of
            told = f"closed_on={_day(before.closed_on)}" if before else "no account"
            effect = "closed, and no successor is on record" if closed else "stays"
            self._step("successor", "successor", told, "U" if closed else "F", effect)
            return
        self._redirected, self._place = before.account_id, after
        told = f"closed_on={_day(before.closed_on)} [as of {self._inputs.as_of}]"
        self._step("successor", "successor", told, "T", f"goes on with {after.name} ({after.account_id})")
        self._learn()

    def _successor(self, place: Place | None) -> Place | None:
        """The organisation that works on; follows successions, never in a circle."""
        seen: set[str] = set()
        while place is not None and place.account_id not in seen:
            seen.add(place.account_id)
            closed = place.closed_on is not None and place.closed_on <= self._inputs.as_of
            follower = self._inputs.places.get(place.successor or "") if closed else None
            if follower is None:
                return place
            place = follower
        return place

    # --- the facts ----------------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """What is known by now; assumed facts take the place of found ones."""
        lead, place, policy = self._lead, self._place, self._basis.policy
        line = self._line()
        category = lead.category or policy.default_category
        function = lead.function or policy.default_function
        state = (place.state if place else None) or lead.state or None
        if place is not None:
            asked = Question(
                function=function,
                service_line=line or EVERY,
                category=category,
                amount_cents=lead.amount_cents,
                as_of=self._inputs.as_of,
            )
            self._decided = who_decides(place.authority, asked, place.archetype, self._basis.authority)
        domain, name = lead_domain(lead, policy.match), lead.organisation.strip().lower()
        named = bool(name or domain or lead.account or lead.ccn or lead.npi)
        facts: dict[str, Scalar | None] = {
            "is_blocked": domain in policy.junk.domains or name in policy.junk.names,
            "is_identifiable": named,
            "lead_source": lead.source or None,
            "lead_state": lead.state or None,
            "service_line": line,
            "product": lead.product or None,
            "category": category,
            "function": function,
            "amount_cents": lead.amount_cents,
            "is_specialised": None if line is None else line in policy.specialised_lines,
            "is_matched": place is not None,
            "is_held": None if place is None else place.hold_kind is not None,
            "hold_kind": place.hold_kind if place else None,
            "motion": place.motion if place else None,
            "has_overlay": None if line is None or state is None else bool(self._specialists(line, state)),
            "authority_level": self._decided.level,
            "authority_basis": self._decided.basis,
            "account_tier": place.tier if place else None,
            "org_type": place.org_type if place else None,
            "state": state,
            "in_system": place.in_system if place else None,
            "customer": place.customer if place else None,
            "open_opportunity": place.open_opportunity if place else None,
            "account_queue": place.queue if place else None,
        }
        self._facts = {**facts, **self._inputs.assumed}

    def _line(self) -> str | None:
        lines = {product.lower(): line.upper() for product, line in self._basis.policy.product_lines.items()}
        return self._lead.service_line or lines.get(self._lead.product.lower()) or None

    # --- the rules ----------------------------------------------------------------------------------------------------

    def _ask(self, rule: LeadRule) -> None:
        expr = parse(rule.when)
        verdict = evaluate(expr, self._facts.get, lambda name: None)
        shown = worded(expr, self._facts)
        if "authority" in shown.text:
            shown = replace(shown, text=f"{shown.text} {self._authority_told()}")
        if self._won is not None:
            self._step(rule.stage, rule.id, shown.text, letter(verdict), f"not reached: {self._won['rule_id']} decided")
            return
        self._unknown |= shown.unknown if verdict is None else set()
        if verdict is not True:
            effect = "does not hold" if verdict is False else f"unknown: {', '.join(sorted(shown.unknown))}; no match"
            self._step(rule.stage, rule.id, shown.text, letter(verdict), effect)
            return
        self._step(rule.stage, rule.id, shown.text, "T", self._take(rule, shown.text))

    def _take(self, rule: LeadRule, told: str) -> str:
        """Give the lead to whom the rule names; the effect in words."""
        if rule.assign == "reject":
            self._won = {"outcome": Outcome.REJECTED, "rule_id": rule.id, "because": told}
            return "rejected"
        if rule.assign == "queue":
            return self._queue(rule, told)
        wanted = self._named(rule.assign)
        if wanted is None:
            return f"nobody is {rule.assign}; goes on"
        found = stand_in(wanted, self._basis.people, self._inputs.work, self._inputs.as_of)
        passed = f" ({'; '.join(found.passed)})" if found.passed else ""
        if found.email is None:
            return self._queue(rule, told, f"{rule.assign} {wanted}{passed}; ")
        return self._assign(rule, found, told) + passed

    def _queue(self, rule: LeadRule, told: str, before: str = "") -> str:
        policy = self._basis.policy
        known = str(self._facts.get("account_queue") or "")
        name = known if known in policy.queues else policy.unmatched_queue
        state = self._facts.get("state")
        people, work = self._basis.people, self._inputs.work
        found = next_in_queue(policy.queues[name], str(state) if state else None, people, work, self._inputs.as_of)
        if found.email is None:
            self._stop("unassigned_lead", Outcome.UNASSIGNED, name, rule.id)
            return f"{before}queue {name}: nobody is there ({'; '.join(found.passed) or 'no members'})"
        return before + self._assign(rule, found, told, queue=name) + f" of queue {name}, least open work"

    def _assign(self, rule: LeadRule, found: Found, told: str, queue: str | None = None) -> str:
        helpers: dict[str, str] = {}
        for role in rule.add:
            email = self._named(role)
            if email and email != found.email:
                helpers.setdefault(email, role)
        self._won = {
            "outcome": Outcome.ASSIGNED,
            "assignee": found.email,
            "assigned_as": "queue" if queue else rule.assign,
            "queue": queue,
            "rule_id": rule.id,
            "because": told,
            "collaborators": tuple(Collaborator(email=email, role=role) for email, role in helpers.items()),
        }
        beside = f", with {', '.join(f'{email} ({role})' for email, role in helpers.items())}" if helpers else ""
        return f"goes to {found.email} as {'next' if queue else rule.assign}{beside}"

    def _named(self, assign: str) -> str | None:
        """Whom a word of the policy means here; lower case."""
        place, state = self._place, self._facts.get("state")
        if assign == "geo_rep":
            return self._basis.geo.get(str(state)) if state else None
        if assign == "overlay_rep":
            line = self._facts.get("service_line")
            return next(iter(self._specialists(str(line), str(state))), None) if line and state else None
        if place is None:
            return None
        if assign == "activation_rep":
            people = [p for p in self._basis.people.values() if p.role == "ACTIVATION"]
            return next((p.email for p in covering(people, place.state)), None)
        if assign == "record_owner":
            return place.record_owner or place.owner
        if assign == "system_owner":
            holder = self._inputs.places.get(self._decided.holder_id or "")
            return (holder.owner if holder else None) or place.system_owner
        return place.owner or place.record_owner

    def _specialists(self, line: str, state: str) -> list[str]:
        """Who sells a line in a state: overlays of the policy first, then specialists of the roster."""
        named = [
            o.rep.lower() for o in self._basis.policy.overlays if o.line.upper() == line and _covers(o.states, state)
        ]
        people = [p for p in self._basis.people.values() if p.role == "OVERLAY" and line in p.lines]
        return [*named, *(p.email for p in covering(people, state))]

    # --- the end ------------------------------------------------------------------------------------------------------

    def _stop(self, conflict: str, outcome: Outcome, queue: str, rule_id: str = "match") -> None:
        rule = self._basis.conflicts.get(conflict)
        told = f"{conflict}: {rule.escalate_to} within {rule.within_hours} hours" if rule else conflict
        because = self._match.told if outcome is Outcome.AMBIGUOUS else f"nobody in queue {queue} can take it"
        self._won = {"outcome": outcome, "queue": queue, "rule_id": rule_id, "because": because, "alerts": (told,)}

    def _authority_told(self) -> str:
        decided = self._decided
        over = f"; no longer: {'; '.join(decided.expired)}" if decided.expired else ""
        return f"({decided.ref or 'nothing on record'}{over})"

    def _step(self, stage: str, rule_id: str, expression: str, verdict: str, effect: str) -> None:
        self._trace.append(Step(stage=stage, rule_id=rule_id, expression=expression, verdict=verdict, effect=effect))

    def _result(self) -> Routed:
        if self._won is None:
            self._stop("unassigned_lead", Outcome.UNASSIGNED, self._basis.policy.unmatched_queue, "none")
        won = self._won or {}
        place = self._place
        return Routed(
            outcome=won["outcome"],
            assignee=won.get("assignee"),
            assigned_as=won.get("assigned_as"),
            queue=won.get("queue"),
            account_id=place.account_id if place else None,
            account_name=place.name if place else None,
            redirected_from=self._redirected,
            rule_id=won["rule_id"],
            because=won["because"],
            collaborators=won.get("collaborators", ()),
            unknown=tuple(sorted(self._unknown)),
            alerts=won.get("alerts", ()),
            trace=tuple(self._trace),
        )


def _covers(states: tuple[str, ...], state: str) -> bool:
    return not states or state in states


def _day(day: str | None) -> str:
    return day or "none"
