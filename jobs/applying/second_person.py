"""Who may let a passed limit of a plan through, and whose word on it counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from jobs.applying.model import ApplyDeps
from jobs.persons import NotPermitted
from mappings.policy import ConflictPolicy
from store.database import Database
from store.decisions import Acceptance, Decisions, Person
from store.persons import Persons, Role, reaches
from store.plans import PlanHeader, StoredPlan
from store.voices import acceptances
from sync.planning.approvals import OverrideTerms, override_terms
from sync.world import GuardResult


def terms_of(database: Database, policy: ConflictPolicy, header: PlanHeader) -> OverrideTerms:
    """The terms of a plan, by the policy and the persons of today."""
    has_persons = Persons(database).are_any
    return override_terms(policy, has_persons=has_persons, author=header.author, kind=header.author_kind)


def take_acceptances(deps: ApplyDeps, plan: StoredPlan, accept: Sequence[Acceptance]) -> frozenset[str]:
    """Remember who lets limits of this plan through; the guard ids for which enough persons have by now.

    Raises NotPermitted, and remembers nothing, for somebody whose word does not count.
    """
    terms = terms_of(deps.database, deps.conflicts, plan.header)
    for person in dict.fromkeys(one.by for one in accept):
        _require_heard(deps, plan, terms, person)
    if accept:
        Decisions(deps.database).accept_guards(
            plan.header.digest, accept, plan_id=plan.id, suffices=lambda persons: _suffices(deps, terms, persons)
        )
    spoken: dict[str, list[Person]] = defaultdict(list)
    for one in acceptances(deps.database, plan.header.digest):
        spoken[f"{one.guard}:{one.subject}"].append(one.by)
    return frozenset(guard for guard, persons in spoken.items() if _suffices(deps, terms, persons))


def what_lacks(deps: ApplyDeps, plan: StoredPlan, breached: Iterable[GuardResult]) -> str:
    """For people: who may let these limits through, who did, and how many more it takes."""
    terms = terms_of(deps.database, deps.conflicts, plan.header)
    passed = {(one.guard, one.subject) for one in breached}
    heard: dict[str, set[str]] = defaultdict(set)
    for one in acceptances(deps.database, plan.header.digest):
        if (one.guard, one.subject) in passed and one.by.is_verified and terms.counts(one.by.name):
            heard[one.guard].add(one.by.name)
    notes = [
        f"{guard} was let through by {', '.join(sorted(names))}; still missing: {terms.lack(names)}."
        for guard, names in sorted(heard.items())
    ]
    return " ".join([*notes, f"Who may let a limit through: {terms.says}."])


def _require_heard(deps: ApplyDeps, plan: StoredPlan, terms: OverrideTerms, person: Person) -> None:
    said = f"plan {plan.id}: --accept-guard: "
    if person.is_verified and not reaches(person.role, Role.APPROVER):
        raise NotPermitted(f"{said}{person.name} has the role {person.role}, it takes {Role.APPROVER}")
    if not person.is_verified and (terms.persons or deps.conflicts.require_verified_person):
        raise NotPermitted(
            f"{said}{person.label} is not a verified person; {terms.says}. Log in with a personal token "
            "(`platbook login`, or PLATBOOK_TOKEN)"
        )
    if person.is_verified and not terms.counts(person.name):
        raise NotPermitted(
            f"{said}{terms.says}. Somebody else has to let the limit through (an admin adds persons: `platbook people "
            "add`); a plan made by the daemon has no author"
        )


def _suffices(deps: ApplyDeps, terms: OverrideTerms, persons: Collection[Person]) -> bool:
    verified = [one.name for one in persons if one.is_verified]
    others = any(not one.is_verified for one in persons) and not deps.conflicts.require_verified_person
    return not terms.lack(verified, others=others)
