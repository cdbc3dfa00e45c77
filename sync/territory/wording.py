"""Expressions as a person reads them: each fact with the value that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.expressions import All, Any_, AtLeast, Compare, Expr, Not, Ref, Scalar, walk

SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """An expression with its values, and the facts that nobody knows."""

    text: str
    unknown: frozenset[str]


def worded(expr: Expr, facts: Mapping[str, Scalar | None]) -> Worded:
    """`all(authority_level = SITE [SYSTEM], account_tier = T1 [unknown])`: what is asked, in brackets what is so."""
    asked = {node.field for node in walk(expr) if isinstance(node, Compare)}
    return Worded(text=_text(expr, facts), unknown=frozenset(name for name in asked if facts.get(name) is None))


def letter(verdict: bool | None) -> str:
    """T, F or U."""
    return "U" if verdict is None else "T" if verdict else "F"


def _text(expr: Expr, facts: Mapping[str, Scalar | None]) -> str:
    match expr:
        case Compare(op, field, value):
            wanted = "|".join(_plain(one) for one in value) if isinstance(value, tuple) else _plain(value)
            return f"{field} {SIGNS[op]} {wanted} [{_plain(facts.get(field))}]"
        case All(items):
            return f"all({', '.join(_text(item, facts) for item in items)})"
        case Any_(items):
            return f"any({', '.join(_text(item, facts) for item in items)})"
        case AtLeast(k, items):
            return f"at least {k} of ({', '.join(_text(item, facts) for item in items)})"
        case Not(item):
            return f"not {_text(item, facts)}"
        case Ref(name):
            return name


def _plain(value: Scalar | None) -> str:
    if value is None:
        return "unknown"
    return str(value).lower() if isinstance(value, bool) else str(value)
