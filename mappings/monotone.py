"""Proof that better tiers imply the next ones, and that each tier can be reached.

Every combination of facts that an expression can tell apart is tried: each text it names and one other, each side of
each limit, both booleans. That is exact for facts that do not depend on each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

from mappings.expressions import Compare, Expr, Scalar, evaluate, walk

MAX_CASES = 60_000  # about a second
_OTHER = "\0other"  # a text that no policy names

Case = Mapping[str, Scalar]


class TooManyCases(ValueError):
    """The expressions tell more combinations apart than can be tried."""


def violations(tiers: Sequence[tuple[str, Expr]], predicates: Mapping[str, Expr]) -> Iterator[tuple[int, str]]:
    """(position of a tier, what is wrong with it), best tier first. Raises TooManyCases.

    Predicates must be free of cycles and unknown names.
    """
    unproved = dict(enumerate(tiers[:-1]))
    unreached = set(range(len(tiers)))
    for case in _cases(tiers, predicates):
        earned = [_holds(expr, predicates, case) for _, expr in tiers]
        if any(earned):
            unreached.discard(earned.index(True))
        for index in [i for i in unproved if earned[i] and not earned[i + 1]]:
            del unproved[index]
            yield (
                index,
                f"{tiers[index][0]} does not imply {tiers[index + 1][0]}: with {_shown(case)} it is the first only",
            )
    for index in sorted(unreached):
        yield index, f"{tiers[index][0]} can never be given: no facts earn it, or a better tier always takes them"


def _holds(expr: Expr, predicates: Mapping[str, Expr], case: Case) -> bool:
    return bool(evaluate(expr, case.get, lambda name: _holds(predicates[name], predicates, case)))


def _cases(tiers: Sequence[tuple[str, Expr]], predicates: Mapping[str, Expr]) -> Iterator[Case]:
    values = _told_apart([expr for _, expr in tiers], predicates)
    count = prod(len(v) for v in values.values())
    if count > MAX_CASES:
        raise TooManyCases(f"{count} combinations of facts, limit {MAX_CASES}")
    for combination in product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _told_apart(exprs: Sequence[Expr], predicates: Mapping[str, Expr]) -> dict[str, list[Scalar]]:
    """Per fact, one value of each class that the comparisons distinguish."""
    compares: dict[str, list[Compare]] = defaultdict(list)
    for expr in exprs:
        for compare in _compares(expr, predicates):
            compares[compare.field].append(compare)
    return {field: _representatives(found) for field, found in sorted(compares.items())}


def _compares(expr: Expr, predicates: Mapping[str, Expr]) -> Iterator[Compare]:
    for node in walk(expr):
        if isinstance(node, Compare):
            yield node
        elif name := getattr(node, "name", None):
            yield from _compares(predicates[name], predicates)


def _representatives(compares: Sequence[Compare]) -> list[Scalar]:
    constants = [v for c in compares for v in (c.value if isinstance(c.value, tuple) else (c.value,))]
    if any(isinstance(v, bool) for v in constants):
        return [False, True]
    texts = sorted({v for v in constants if isinstance(v, str)})
    if texts:
        return [*texts, _OTHER]
    starts: set[int] = set()  # first number of each stretch that all comparisons treat alike
    for compare in compares:
        for value in compare.value if isinstance(compare.value, tuple) else (compare.value,):
            number = int(value)
            starts |= {"gt": {number + 1}, "gte": {number}, "lt": {number}, "lte": {number + 1}}.get(
                compare.op, {number, number + 1}
            )
    return [min(starts) - 1, *sorted(starts)]


def _shown(case: Case) -> str:
    return ", ".join(f"{k} {'another' if v == _OTHER else v}" for k, v in case.items())
