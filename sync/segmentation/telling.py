"""A tier in words: every predicate with the facts it rests on, and what would change it and the tier."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from mappings.expressions import Expr, Ref, evaluate, parse, walk
from mappings.policy import TierPolicy
from sync.segmentation.predicates import facts_of, parse_rules, wanted

_WORDS = {"T": "true", "F": "false", "U": "unknown"}
_TRUTH = {"T": True, "F": False, "U": None}


def predicate_lines(policy: TierPolicy, predicates: str, evidence: str) -> Iterator[str]:
    """A line per predicate of a row of TIERS, then what would earn each better tier."""
    letters = dict(one.split("=", 1) for one in predicates.split(", ") if "=" in one)
    known: Mapping[str, Any] = json.loads(evidence or "{}")
    rules = parse_rules(policy.predicates)
    exprs = {rule.name: rule.expr for rule in rules}
    for rule in rules:
        if rule.name in letters:
            rests = "; ".join(_fact(name, known) for name in facts_of(rule.expr, exprs))
            would = "" if letters[rule.name] == "T" else f"; true if {wanted(rule)}"
            yield f"{rule.name} is {_WORDS[letters[rule.name]]}: {rests}{would}"
    yield from _better(policy, letters)


def _fact(name: str, known: Mapping[str, Any]) -> str:
    if name not in known:
        return f"{name} unknown"
    source, value = known[name]["from"], known[name]["is"]
    percent = _percent(value) if name.endswith("_bp") else ""
    return f"{name} {value}{percent}" + (f" [{source}]" if source else "")


def _percent(value: str) -> str:
    """Basis points as percent beside them; of bounds both ends."""
    ends = [end for end in value.split(" to ") if end.isdigit()]
    return f" ({' to '.join(f'{int(end) / 100:g}' for end in ends)} %)" if ends else ""


def _better(policy: TierPolicy, letters: Mapping[str, str]) -> Iterator[str]:
    """What would earn each tier that is not earned now, in the fewest predicates, and what would lose this one."""
    truth = {name: _TRUTH[letter] for name, letter in letters.items()}
    tiers = [(tier.id, parse(tier.when)) for tier in policy.tiers]
    for id_, expr in tiers:
        if _holds(expr, truth):
            losses = [name for name, value in truth.items() if value and not _holds(expr, {**truth, name: False})]
            if losses:
                yield f"{id_} would be lost without {' or '.join(sorted(losses))}"
            return
        ways = _lifts(expr, truth)
        if ways:
            alone = " alone" if len(ways[0]) == 1 else ""
            yield f"{id_} would be earned by {' or '.join(' with '.join(way) for way in ways)}{alone}"


def _lifts(expr: Expr, truth: Mapping[str, bool | None]) -> list[tuple[str, ...]]:
    """The smallest sets of predicates that, were they true, would make it hold; at most five, in order of names."""
    open_ = sorted({e.name for e in walk(expr) if isinstance(e, Ref)} & {n for n, value in truth.items() if not value})
    for size in range(1, len(open_) + 1):
        ways = [way for way in combinations(open_, size) if _holds(expr, {**truth, **dict.fromkeys(way, True)})]
        if ways:
            return ways[:_WAYS]
    return []


_WAYS = 5
"""Ways to a tier that are told."""


def _holds(expr: Expr, truth: Mapping[str, bool | None]) -> bool:
    return evaluate(expr, lambda _: None, truth.__getitem__) is True
