"""What policies must satisfy beyond their shape: names that exist, expressions that hold, limits that make sense."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from mappings.canonical import ACCOUNT, FIRM, MANAGED, FieldType
from mappings.expressions import Compare, Expr, check, near, parse, references, walk
from mappings.facts import ROUTING_FACTS, TIER_FACTS, vocabulary
from mappings.guard_checks import check_guards
from mappings.identity_checks import check_model
from mappings.located import Document, MappingProblem, Path
from mappings.models import validate
from mappings.monotone import TooManyCases, violations
from mappings.policy import (
    AlertPolicy,
    Assumptions,
    Classification,
    ConflictPolicy,
    HierarchyPolicy,
    IdentityPolicy,
    RegulationFile,
    RepPolicy,
    RoutingPolicy,
    SurvivorshipPolicy,
    TerritoryPolicy,
    TierPolicy,
)
from mappings.routing_checks import check_holds, check_leads, check_roster
from mappings.shadow import shadowed
from mappings.structure_checks import check_authority, check_triggers
from mappings.successors import Successor

_US = (
    "AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT NC ND NE NH NJ NM NV NY "
)
_US_2 = "OH OK OR PA PR RI SC SD TN TX UT VA VI VT WA WI WV WY"
_CANADA = "AB BC MB NB NL NS NT NU ON PE QC SK YT"
STATES: tuple[str, ...] = tuple((_US + _US_2 + " " + _CANADA).split())
"""USPS codes of states, districts and territories, and of the Canadian provinces."""

EDGES: tuple[str, ...] = ("OWNS", "MANAGES", "LEASES", "SITE_OF")
"""Kinds of edges that may carry control."""

EDGE_SOURCES: tuple[str, ...] = ("steward", "cms_chow", "ahrq")
"""Sources that rows of an edge feed may name, besides feeds and CRMs."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_MAX_BP = 10_000

Problems = Iterator[MappingProblem]


def check_header(document: Document, policy: Any) -> Problems:
    """The header that every policy has."""
    if policy.policy.version < 1:
        yield document.problem(("policy", "version"), f"version is {policy.policy.version}; expected 1 or more")
    yield from _check_date(document, ("policy", "effective_from"), policy.policy.effective_from, optional=False)


def check_identity(document: Document, policy: IdentityPolicy) -> Problems:
    """No key twice, and at least one."""
    if not policy.keys:
        yield document.problem(("keys",), "no key is named, so nothing could ever be linked")
    yield from _check_repeats(document, ("keys",), policy.keys)
    yield from check_model(document, policy.model) if policy.model else ()


def check_survivorship(document: Document, policy: SurvivorshipPolicy, sources: frozenset[str]) -> Problems:
    """Known fields and known sources."""
    fields = [f.name for f in ACCOUNT if not f.managed]
    for name in policy.fields:
        if name not in fields:
            fact = f"unknown field {name!r}; sources are ranked for {', '.join(fields)}"
            yield document.problem(("fields", name), fact, near(name, fields))
    lists: list[tuple[Path, tuple[str, ...]]] = [(("default",), policy.default)]
    lists += [(("fields", name), ranked) for name, ranked in policy.fields.items()]
    for place, ranked in lists:
        yield from _check_sources(document, place, ranked, sources)
    yield from _check_survivors(document, policy, sources)


def _check_survivors(document: Document, policy: SurvivorshipPolicy, sources: frozenset[str]) -> Problems:
    """Fields that are protected, expire, or are compared."""
    shared = [f.name for f in ACCOUNT if not f.managed]
    known = [*shared, *(f.name for f in FIRM if f.name not in shared)]
    listed: list[tuple[Path, str, list[str]]] = [
        *((("protected", index), name, shared) for index, name in enumerate(policy.protected)),
        *((("compare", index), name, shared) for index, name in enumerate(policy.compare)),
        *((("tolerance_bp", name), name, shared) for name in policy.tolerance_bp),
        *((("ttl_days", name), name.rpartition(".")[2], known) for name in policy.ttl_days),
    ]
    for place, name, allowed in listed:
        if name not in allowed:
            yield document.problem(
                place, f"unknown field {name!r}; known are {', '.join(allowed)}", near(name, allowed)
            )
    for name, days in policy.ttl_days.items():
        source = name.rpartition(".")[0]
        if source and source not in sources:
            fact = f"unknown source {source!r}; known are {', '.join(sorted(sources))}"
            yield document.problem(("ttl_days", name), fact, near(source, sources))
        if days < 1:
            yield document.problem(("ttl_days", name), f"{name} lives {days} days; expected 1 or more")
    for name, share in policy.tolerance_bp.items():
        yield from _check_share(document, ("tolerance_bp", name), share)


def check_hierarchy(document: Document, policy: HierarchyPolicy, sources: frozenset[str]) -> Problems:
    """Known edges and sources, shares within 0 and 10,000."""
    sources = sources | frozenset(EDGE_SOURCES)
    for index, edge in enumerate(policy.control_edges):
        if edge not in EDGES:
            fact = f"{edge!r} is not an edge of control; expected {', '.join(EDGES)}"
            yield document.problem(("control_edges", index), fact, near(edge, EDGES))
    yield from _check_sources(document, ("source_priority",), policy.source_priority, sources)
    yield from _check_sources(document, ("confidence_bp",), tuple(policy.confidence_bp), sources, optional=True)
    for source, share in policy.confidence_bp.items():
        yield from _check_share(document, ("confidence_bp", source), share)
    if policy.update_sla_days < 1:
        yield document.problem(("update_sla_days",), f"update_sla_days is {policy.update_sla_days}; expected 1 or more")
    for name in ("majority_bp", "min_confidence_bp"):
        yield from _check_share(document, (name,), getattr(policy, name))
    if not 1 <= policy.max_rounds <= 1000:
        yield document.problem(("max_rounds",), f"max_rounds is {policy.max_rounds}; expected 1 to 1000")


def check_tiers(document: Document, policy: TierPolicy) -> Problems:
    """Expressions, references without cycles, better tiers implying the next ones, each tier within reach."""
    predicates, problems = _predicates(document, policy)
    problems += validate(document, Assumptions, ("assumptions",))[1]
    problems += validate(document, Classification, ("classify",))[1]
    names = frozenset(policy.predicates)
    for index, rule in enumerate(policy.tiers):
        problems += _expression_problems(document, ("tiers", index, "when"), rule.when, names, vocabulary(TIER_FACTS))
    problems += _check_repeats(document, ("tiers",), tuple(rule.id for rule in policy.tiers), "id")
    if not policy.tiers:
        problems.append(document.problem(("tiers",), "no tier is defined"))
    if policy.untiered in {rule.id for rule in policy.tiers}:
        problems.append(
            document.problem(("untiered",), f"untiered is {policy.untiered!r}, which is a tier; take another word")
        )
    yield from problems
    if not problems:
        yield from _check_order(document, policy, predicates)


def _predicates(document: Document, policy: TierPolicy) -> tuple[dict[str, Expr], list[MappingProblem]]:
    """The named predicates that parse, and everything wrong with all of them."""
    names, facts = frozenset(policy.predicates), vocabulary(TIER_FACTS)
    parsed: dict[str, Expr] = {}
    problems: list[MappingProblem] = []
    for name, node in policy.predicates.items():
        found = _expression_problems(document, ("predicates", name), node, names, facts)
        problems += found
        if not found:
            parsed[name] = parse(node)
    for name in sorted(_cyclic(parsed)):
        problems.append(document.problem(("predicates", name), f"predicate {name!r} refers to itself in the end"))
    return parsed, problems


def _cyclic(predicates: Mapping[str, Expr]) -> set[str]:
    """Names that are left once every predicate whose references are all resolved is taken away."""
    waiting = {name: set(references(expr)) for name, expr in predicates.items()}
    while ready := {name for name, refs in waiting.items() if not refs & waiting.keys()}:
        for name in ready:
            del waiting[name]
    return set(waiting)


def _check_order(document: Document, policy: TierPolicy, predicates: Mapping[str, Expr]) -> Problems:
    tiers = [(rule.id, parse(rule.when)) for rule in policy.tiers]
    try:
        for index, what in violations(tiers, predicates):
            code = "POLICY-UNREACHABLE" if "can never" in what else "POLICY-NONMONOTONE"
            yield document.problem(("tiers", index), f"{code}: {what}")
    except TooManyCases as exc:
        fact = f"POLICY-NONMONOTONE cannot be ruled out: {exc}. Compare fewer facts or use fewer limits"
        yield document.problem(("tiers",), fact)


def check_routing(document: Document, policy: RoutingPolicy) -> Problems:
    """Expressions over routing facts; named predicates are not available here."""
    for index, rule in enumerate(policy.rules):
        place = ("rules", index, "when")
        yield from _expression_problems(document, place, rule.when, frozenset(), vocabulary(ROUTING_FACTS))
        if not rule.queue:
            yield document.problem(("rules", index, "queue"), f"rule {rule.id!r} names no queue")
    yield from _check_repeats(document, ("rules",), tuple(rule.id for rule in policy.rules), "id")
    if not policy.default_queue:
        yield document.problem(("default_queue",), "default_queue is empty; accounts that no rule fits need one")
    if not any(check(rule.when, facts=vocabulary(ROUTING_FACTS), predicates=frozenset()) for rule in policy.rules):
        for index, what in shadowed([(rule.id, parse(rule.when)) for rule in policy.rules]):
            yield document.problem(("rules", index, "when"), what)


def check_tier_words(document: Document, policy: RoutingPolicy, tiers: TierPolicy) -> Problems:
    """Routing rules that compare the tier name tiers that exist."""
    words = [*(rule.id for rule in tiers.tiers), tiers.untiered]
    for index, rule in enumerate(policy.rules):
        if check(rule.when):
            continue
        for compare in _account_tiers(parse(rule.when)):
            for value in compare.value if isinstance(compare.value, tuple) else (compare.value,):
                if value not in words:
                    fact = f"rule {rule.id!r} asks for tier {value!r}; tiers.yaml has {', '.join(words)}"
                    yield document.problem(("rules", index, "when"), fact, near(value, words))


def _account_tiers(expr: Expr) -> list[Compare]:
    return [node for node in walk(expr) if isinstance(node, Compare) and node.field == "account_tier"]


def check_reps(document: Document, policy: RepPolicy) -> Problems:
    """One row a person, real states, leave that ends after it begins."""
    yield from _check_repeats(document, ("reps",), tuple(rep.email.lower() for rep in policy.reps), "email")
    for index, rep in enumerate(policy.reps):
        place = ("reps", index)
        if not _EMAIL.match(rep.email):
            yield document.problem((*place, "email"), f"{rep.email!r} is not an e-mail address")
        yield from _check_states(document, (*place, "states"), rep.states)
        yield from _check_period(document, place, ("leave_from", rep.leave_from), ("leave_to", rep.leave_to))
        yield from _check_date(document, (*place, "since"), rep.since, optional=True)
        yield from _check_date(document, (*place, "ramp_until"), rep.ramp_until, optional=True)
    yield from check_roster(document, policy)


def check_territories(document: Document, policy: TerritoryPolicy) -> Problems:
    """Unique ids, real states, no state in two active territories."""
    yield from _check_repeats(document, ("owner_order",), policy.owner_order)
    yield from _check_repeats(document, ("territories",), tuple(t.id for t in policy.territories), "id")
    holder: dict[str, str] = {}
    for index, territory in enumerate(policy.territories):
        place = ("territories", index, "states")
        yield from _check_states(document, place, territory.states)
        for position, state in enumerate(territory.states if territory.active else ()):
            if holder.setdefault(state, territory.id) != territory.id:
                fact = f"state {state} is in {holder[state]} already; a state has one active territory"
                yield document.problem((*place, position), fact)


def check_people(document: Document, policy: TerritoryPolicy, reps: RepPolicy) -> Problems:
    """Persons named by the territories are in the roster, when there is one."""
    roster = {rep.email.lower(): rep for rep in reps.reps}
    if not roster:
        return
    named: list[tuple[Path, str]] = [(("named_accounts", key), who) for key, who in policy.named_accounts.items()]
    named += [(("territories", i, "owner"), t.owner) for i, t in enumerate(policy.territories) if t.owner]
    for place, email in named:
        if email.lower() not in roster:
            yield document.problem(place, f"{email} is not in reps.yaml", near(email.lower(), roster))


def check_successors(rows: tuple[Successor, ...], reps: RepPolicy | None) -> Problems:
    """Whoever takes over is on the roster, when there is one."""
    roster = {rep.email.lower(): rep for rep in reps.reps} if reps else {}
    for row in rows:
        if roster and row.to_user not in roster:
            file, _, line = row.source.rpartition(":")
            fact = f"{row.to_user} is not in reps.yaml"
            yield MappingProblem(file=file, line=int(line), fact=fact, suggestion=near(row.to_user, roster))


def check_conflicts(document: Document, policy: ConflictPolicy) -> Problems:
    """A policy for every managed field and for no other; groups with names of their own."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, field in policy.fields.items():
        if name not in MANAGED:
            fact = f"{name!r} is not a managed field; policies are for {', '.join(MANAGED)}"
            yield document.problem(("fields", name), fact, near(name, MANAGED))
        groups[field.group or name].append(name)
    for missing in (name for name in MANAGED if name not in policy.fields):
        yield document.problem(("fields",), f"CONFLICT-POLICY-MISSING: managed field {missing!r} has no policy")
    for group, members in groups.items():
        if group in MANAGED and members != [group]:
            fact = f"group {group!r} is named like the field {group}, which would be confused; take another name"
            yield document.problem(("fields", members[0], "group"), fact)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", group):
            yield document.problem(
                ("fields", members[0], "group"), f"group {group!r} must be lower-case words joined by _"
            )
    if not 1 <= policy.plan_ttl_hours <= 24 * 31:
        fact = f"plan_ttl_hours is {policy.plan_ttl_hours}; expected 1 to {24 * 31}"
        yield document.problem(("plan_ttl_hours",), fact)
    yield from _check_trust(document, policy)
    yield from _check_multi_crm(document, policy)
    if policy.successors:
        yield document.problem(("successors",), "successors stand in a CSV file; name it by successor_map of the owner")
    for name, field in policy.fields.items():
        if field.cascade and name != "owner":
            yield document.problem(("fields", name, "cascade"), f"nothing goes along with {name}; only with owner")
        if field.successor_map and name != "owner":
            yield document.problem(("fields", name, "successor_map"), f"{name} has no successors; only owner has")
        if field.min_delta and name not in NUMBERS:
            fact = f"min_delta is for numbers ({', '.join(sorted(NUMBERS))}); {name} is none"
            yield document.problem(("fields", name, "min_delta"), fact)
    for place, rule in enumerate(policy.requires):
        known = {"*", "guard_override", *groups}
        if rule.of not in known:
            fact = f"class {rule.of!r} is neither a group nor guard_override"
            yield document.problem(("requires", place, "class"), fact, near(rule.of, known))
        if not rule.approvers and rule.of != "guard_override":
            fact = f"approvers is 0 for {rule.of}; only guard_override can be left to any named person"
            yield document.problem(("requires", place, "approvers"), fact)
        if rule.of == "guard_override" and any(other.of == rule.of for other in policy.requires[:place]):
            yield document.problem(("requires", place, "class"), "guard_override is said twice; one line decides")


CONNECTIONS = ("salesforce", "hubspot")
_LONGEST_WAIT = 24 * 60


def _check_multi_crm(document: Document, policy: ConflictPolicy) -> Problems:
    for name, one in policy.multi_crm.items():
        place = ("multi_crm", name)
        if name not in MANAGED:
            fact = f"{name!r} is not a managed field; expected one of {', '.join(MANAGED)}"
            yield document.problem(place, fact, near(name, MANAGED))
        for position, crm in ((("master",), one.master), *((("mirror", at), crm) for at, crm in enumerate(one.mirror))):
            if crm not in CONNECTIONS:
                fact = f"{crm!r} is not a connection; expected {' or '.join(CONNECTIONS)}"
                yield document.problem((*place, *position), fact, near(crm, CONNECTIONS))
        if not one.mirror or one.master in one.mirror:
            yield document.problem((*place, "mirror"), f"mirror needs another connection than the master {one.master}")
        if not 1 <= one.minutes <= _LONGEST_WAIT:
            fact = f"wait_for_echo {one.wait_for_echo!r}: expected minutes or hours up to a day, such as 20m or 2h"
            yield document.problem((*place, "wait_for_echo"), fact)


NUMBERS = frozenset(f.name for f in ACCOUNT if f.managed and f.type in (FieldType.INTEGER, FieldType.MONEY))
"""Managed fields that differ by an amount."""

ACTOR_KINDS = ("human", "integration", "workflow", "import", "us")


def _check_trust(document: Document, policy: ConflictPolicy) -> Problems:
    for name, field in policy.fields.items():
        yield from _check_date(document, ("fields", name, "override_until"), field.override_until, optional=True)
        for place, one in enumerate(field.trust):
            kind = one.actor.partition(":")[0]
            if kind not in ACTOR_KINDS:
                fact = f"actor {one.actor!r}: {kind!r} is not a kind of actor; expected {', '.join(ACTOR_KINDS)}"
                yield document.problem(("fields", name, "trust", place, "actor"), fact, near(kind, ACTOR_KINDS))
            if one.verdict == "converge" and kind != "us":
                fact = f"verdict converge is for actor us alone, not for {one.actor!r}; theirs keeps the CRM's value"
                yield document.problem(("fields", name, "trust", place, "verdict"), fact)


def check_alerts(document: Document, policy: AlertPolicy) -> Problems:
    """Addresses that could be written to."""
    if not _EMAIL.match(policy.sender):
        yield document.problem(("sender",), f"{policy.sender!r} is not an e-mail address")
    for index, address in enumerate(policy.recipients):
        if not _EMAIL.match(address):
            yield document.problem(("recipients", index), f"{address!r} is not an e-mail address")


def check_regulation(document: Document, regulation: RegulationFile) -> Problems:
    """Real states, and one fact per state, day and thing it is about."""
    lists = {"states": regulation.states, "medicaid_expansion": regulation.medicaid_expansion}
    for name, facts in {**lists, "nurse_practice": regulation.nurse_practice}.items():
        periods: dict[tuple[object, ...], list[tuple[str, str]]] = defaultdict(list)
        for index, entry in enumerate(facts):
            place = (name, index)
            yield from _check_states(document, (*place, "state"), (entry.state,))
            yield from _check_period(document, place, ("valid_from", entry.valid_from), ("valid_to", entry.valid_to))
            start, end = entry.valid_from, entry.valid_to or "9999-12-31"
            about = (entry.state, getattr(entry, "facilities", ()), getattr(entry, "categories", ()))
            if any(start < other_end and other_start < end for other_start, other_end in periods[about]):
                yield document.problem(
                    place, f"{entry.state} has two facts for the same days; close the earlier by valid_to"
                )
            periods[about].append((start, end))


def _expression_problems(
    document: Document, place: Path, node: Any, names: frozenset[str], facts: Mapping[str, Any]
) -> list[MappingProblem]:
    faults = check(node, predicates=names, facts=facts)
    return [document.problem((*place, *fault.path), fault.message, fault.suggestion) for fault in faults]


def _check_repeats(document: Document, place: Path, values: tuple[str, ...], key: str = "") -> list[MappingProblem]:
    seen: dict[str, int] = {}
    problems = []
    for index, value in enumerate(values):
        if value in seen:
            here = (*place, index, key) if key else (*place, index)
            problems.append(document.problem(here, f"{value!r} stands twice, first as entry {seen[value] + 1}"))
        seen.setdefault(value, index)
    return problems


def _check_sources(
    document: Document, place: Path, ranked: tuple[str, ...], sources: frozenset[str], *, optional: bool = False
) -> Problems:
    if not ranked and not optional:
        yield document.problem(place, "no source is named")
    for index, source in enumerate(ranked):
        if source not in sources:
            fact = f"unknown source {source!r}; known are {', '.join(sorted(sources))}"
            yield document.problem((*place, source if optional else index), fact, near(source, sources))


def _check_states(document: Document, place: Path, states: tuple[str, ...]) -> Problems:
    for index, state in enumerate(states):
        if state not in STATES:
            fact = f"{state!r} is not a state code; expected two capital letters such as TX"
            yield document.problem((*place, index), fact, near(state.upper(), STATES))


def _check_period(document: Document, place: Path, start: tuple[str, str], end: tuple[str, str]) -> Problems:
    for key, text in (start, end):
        yield from _check_date(document, (*place, key), text, optional=True)
    if start[1] and end[1] and start[1] >= end[1]:
        yield document.problem((*place, end[0]), f"{end[0]} {end[1]} is not after {start[0]} {start[1]}")


def _check_date(document: Document, place: Path, text: str, *, optional: bool) -> Problems:
    if optional and not text:
        return
    try:
        canonical = date.fromisoformat(text).isoformat() == text
    except ValueError:
        canonical = False
    if not canonical:
        yield document.problem(place, f"{text!r} is not a date; expected YYYY-MM-DD")


def _check_share(document: Document, place: Path, share: int) -> Problems:
    if not 0 <= share <= _MAX_BP:
        yield document.problem(place, f"{share} is not a share in basis points; expected 0 to {_MAX_BP}")


CHECKS: Mapping[str, Callable[[Document, Any], Problems]] = {
    "identity": check_identity,
    "tiers": check_tiers,
    "routing": check_routing,
    "authority": check_authority,
    "triggers": check_triggers,
    "leads": check_leads,
    "holds": check_holds,
    "reps": check_reps,
    "territories": check_territories,
    "guards": check_guards,
    "conflicts": check_conflicts,
    "alerts": check_alerts,
}
"""Checks that need one policy only, by policy name."""
