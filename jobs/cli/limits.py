"""Passed limits in words: one paragraph per guard, however many fields or people it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from jobs.present import Names
from sync.planning.limits import unit_of
from sync.world import GuardResult

SUBJECTS_SHOWN = 12


def limit_lines(results: Iterable[GuardResult], names: Names | None = None) -> Iterator[str]:
    """Lines for people about limits that were passed: per guard what it counts, the numbers, and how to go on."""
    ordered = sorted(results, key=lambda one: (one.guard, one.subject))
    for guard, found in groupby(ordered, key=lambda one: one.guard):
        passed = list(found)
        limits = {one.limit for one in passed}
        common = f", limit {limits.pop():,}" if len(limits) == 1 else ""
        yield f"▲ {guard}: {unit_of(guard) or 'limit passed'}{common}"
        for connection, own in groupby(passed, key=lambda one: one.subject.split(":")[0]):
            yield f"    {connection}: {_figures(list(own), names or Names(), with_limit=not common)}"
        yield f"    {_remedy(passed[0])} To let it through once: platbook apply --accept-guard {guard} --reason ..."


def stopped(subject: str, results: Sequence[GuardResult], *, who: str = "") -> str:
    """The paragraph about an apply that a guard stopped; `subject` is the plan, `who` may let the limits through."""
    lines = [*limit_lines(results), *([who] if who else ())]
    return "\n  ".join([f"{subject}: stopped by a guard, nothing was written", *lines])


def _figures(results: Sequence[GuardResult], names: Names, *, with_limit: bool) -> str:
    shown = " · ".join(_figure(one, names, with_limit) for one in results[:SUBJECTS_SHOWN])
    more = len(results) - SUBJECTS_SHOWN
    return f"{shown} · and {more:,} more" if more > 0 else shown


def _figure(one: GuardResult, names: Names, with_limit: bool) -> str:
    connection, _, rest = one.subject.partition(":")
    name = names.users.get((connection, rest), (rest, ""))[0]
    share = f" of {one.population:,}" if one.population else ""
    limit = f" (limit {one.limit:,})" if with_limit else ""
    return f"{name} {one.measured:,}{share}{limit}".strip()


def _remedy(one: GuardResult) -> str:
    """What to look at first, from the guard's own message."""
    _, _, remedy = one.message.rpartition("; ")
    return f"{remedy[:1].upper()}{remedy[1:]}"
