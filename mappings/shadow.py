"""Rules that can never be the first to hold, because those before them take every case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.expressions import Expr
from mappings.monotone import TooManyCases, violations


def shadowed(rules: Sequence[tuple[str, Expr]]) -> Iterator[tuple[int, str]]:
    """(position, what is wrong) of rules that never decide. Nothing is said where there are too many cases to try."""
    try:
        for index, what in violations(rules, {}):
            if "can never" in what:
                name = rules[index][0]
                yield index, f"POLICY-UNREACHABLE: rule {name!r} never decides: rules before it take every case of it"
    except TooManyCases:
        return
